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
        return getattr(ops, f"conv{len(x) - 2}d")(*given, **options), given

    return call


def conv_transpose(
    x: tuple[int, ...], weight: tuple[int, ...], **options: Any
) -> Callable[[], Any]:
    def call() -> tuple[Tensor, list[Tensor]]:
        outputs = weight[1] * options.get("groups", 1)
        given = [draw("x", *x), draw("weight", *weight), draw("bias", outputs)]
        return getattr(ops, f"conv_transpose{len(x) - 2}d")(*given, **options), given

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
    "conv, depthwise, two outputs each": conv(IMAGES, (12, 1, 3, 3), groups=6, stride=2),
    "conv, 1x1": conv(IMAGES, (32, 6, 1, 1)),
    "conv, bands": conv((2, 16, 150, 140), (24, 16, 3, 3), padding=1),
    "conv, bands, 5x5": conv((1, 16, 150, 140), (24, 16, 5, 5), padding=1, stride=2),
    "conv, bands, depthwise": conv((1, 64, 150, 140), (64, 1, 3, 3), padding=1, groups=64),
    "conv, whole images": conv((20, 32, 6, 7), (300, 32, 6, 7)),
    "conv, 1x1 of few pixels": conv((50, 300, 1, 1), (260, 300, 1, 1)),
    "conv1d": conv((3, 8, 9001), (6, 8, 80), stride=2, padding="same"),
    "conv1d, many signals": conv((37, 6, 100), (8, 3, 5), groups=2, dilation=3),
    "conv3d": conv((3, 6, 9, 20, 22), (8, 6, 3, 3, 3), padding=1),
    "conv3d, depthwise": conv((19, 4, 5, 8, 9), (8, 1, 2, 3, 3), groups=4, padding="same"),
    "conv_transpose1d": conv_transpose((19, 8, 200), (8, 6, 4), stride=2, padding=1),
    "conv_transpose2d": conv_transpose(IMAGES, (6, 4, 3, 3), stride=2, padding="same", groups=2),
    "conv_transpose3d": conv_transpose((3, 6, 5, 9, 10), (6, 5, 2, 3, 3), stride=(1, 2, 2)),
    "matmul": of(matmul, (300, 257), (257, 130)),
    "matmul, stacks": of(matmul, (5, 30, 40), (40, 50)),
    "dense": of(ops.dense, (333, 200), (100, 200), (100,)),
    "max_pool2d": of(lambda x: ops.max_pool2d(x, 3, 2, 1), IMAGES),
    "avg_pool2d": of(lambda x: ops.avg_pool2d(x, 3, 2, 1, count_include_pad=False), IMAGES),
    "global_avg_pool2d": of(ops.global_avg_pool2d, IMAGES),
    "batch_norm": of(lambda *a: ops.batch_norm(*a)[0], IMAGES, (6,), (6,)),
    "instance_norm": of(ops.instance_norm, IMAGES, (6,), (6,)),
    "group_norm": of(lambda x, *a: ops.group_norm(x, 2, *a), IMAGES, (6,), (6,)),
    "group_norm, one image": of(lambda x: ops.group_norm(x, 4), (1, 8, 150, 140)),
    "layer_norm": of(ops.layer_norm, (333, 70), (70,), (70,)),
    "rms_norm": of(ops.rms_norm, (333, 70), (70,)),
    "local_response_norm": of(ops.local_response_norm, IMAGES),
    "resize": of(lambda x: ops.resize(x, scale=1.7, mode="cubic"), IMAGES),
    "resize, one image": of(lambda x: ops.resize(x, 99, mode="linear"), (1, 3, 50, 40)),
    "batch_norm, vectors": of(lambda *a: ops.batch_norm(*a)[0], (700, 100), (100,), (100,)),
    "relu": of(ops.relu, (300_001,)),
    "gelu": of(ops.gelu, (300_001,)),
    "silu": of(ops.silu, IMAGES),
    "softmax": of(ops.softmax, (500, 43)),
    "dropout": of(lambda x: ops.dropout(x, 0.3, Stream(1, "d")), (300, 301)),
    "gather, the same rows often": of(
        lambda x: ops.gather(x, Stream(0, "rows").integers(0, 50, 2000)), (50, 300)
    ),
    "scatter_add": of(
        lambda x, u: ops.scatter_add(x, Stream(0, "rows").integers(0, 50, (2000, 3)), u),
        (50, 3),
        (2000, 3),
    ),
    "einsum": of(lambda a, b: ops.einsum("bqhd,bkhd->bhqk", a, b), (3, 40, 4, 16), (3, 50, 4, 16)),
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
