"""Print a hash of what kernels and ops compute: run by test_threads with several settings.

Large enough that work is cut into pieces, images into rows, and sums into partial ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, grad, matmul
from minicnn.backend.random import Stream


def draw(name: str, *shape: int) -> Tensor:
    return Tensor(Stream(0, name).normal(shape, dtype=np.float32), requires_grad=True)


def conv(x: tuple[int, ...], weight: tuple[int, ...], **options: Any) -> Callable[[], Any]:
    def call() -> tuple[Tensor, list[Tensor]]:
        given = [draw("x", *x), draw("weight", *weight), draw("bias", weight[0])]
        return ops.conv2d(*given, **options), given

    return call


def of(op: Callable[..., Tensor], *shapes: tuple[int, ...]) -> Callable[[], Any]:
    def call() -> tuple[Tensor, list[Tensor]]:
        given = [draw(f"argument {k}", *shape) for k, shape in enumerate(shapes)]
        return op(*given), given

    return call


IMAGES = (37, 6, 24, 24)
CALLS: dict[str, Callable[[], tuple[Tensor, list[Tensor]]]] = {
    "conv, rows of large images": conv((3, 16, 70, 66), (8, 16, 3, 3), padding="same"),
    "conv, one large image": conv((1, 8, 129, 130), (16, 8, 3, 3), stride=2),
    "conv, many images": conv(IMAGES, (12, 6, 3, 3), padding=1),
    "conv, groups": conv(IMAGES, (9, 2, 3, 3), groups=3, dilation=2),
    "conv, depthwise": conv(IMAGES, (6, 1, 3, 3), groups=6, padding=1),
    "conv, 1x1": conv(IMAGES, (32, 6, 1, 1)),
    "matmul": of(matmul, (300, 257), (257, 130)),
    "matmul, stacks": of(matmul, (5, 30, 40), (40, 50)),
    "dense": of(ops.dense, (333, 200), (100, 200), (100,)),
    "max_pool2d": of(lambda x: ops.max_pool2d(x, 3, 2, 1), IMAGES),
    "avg_pool2d": of(lambda x: ops.avg_pool2d(x, 3, 2, 1, False), IMAGES),
    "global_avg_pool2d": of(ops.global_avg_pool2d, IMAGES),
    "batch_norm": of(lambda *a: ops.batch_norm(*a)[0], IMAGES, (6,), (6,)),
    "batch_norm, vectors": of(lambda *a: ops.batch_norm(*a)[0], (700, 100), (100,), (100,)),
    "relu": of(ops.relu, (300_001,)),
    "softmax": of(ops.softmax, (500, 43)),
    "dropout": of(lambda x: ops.dropout(x, 0.3, Stream(1, "d")), (300, 301)),
    "loss": of(
        lambda x: ops.sparse_softmax_cross_entropy(x, Stream(0, "labels").integers(0, 43, 500)),
        (500, 43),
    ),
}


def hashes() -> dict[str, str]:
    """Return call -> hash of its value and its gradients."""
    found = {}
    for name, call in CALLS.items():
        y, given = call()
        g = Stream(0, "cotangent").normal(y.shape, dtype=np.float32)
        gradients = grad(y, given, np.asarray(g))
        digest = hashlib.sha256()
        for t in (y, *gradients):
            digest.update(np.asarray(t.data, order="C").tobytes())
        found[name] = digest.hexdigest()
    return found


if __name__ == "__main__":
    print(json.dumps(hashes()))
