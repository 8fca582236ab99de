"""What the engine costs: microseconds of Python around ops on tiny tensors, beside PyTorch.

    python -m benchmarks.bench_engine [--rounds 7]

The tensors are so small that the kernels take next to nothing: what is left is the way in and out.
Each work is done without history, with history, and with history and backward. PyTorch is an
optional install; the rounds of both sides alternate.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

CALLS = 500
WAYS = ("no_grad", "graph", "backward")
WORKS = ("add", "relu", "conv2d", "batch_norm", "dense", "BatchNorm2d", "ConvBNReLU", "Dense")


class Engine:
    """Microseconds of one call, for asv: one benchmark for each work and way."""

    params = (WORKS, WAYS)
    param_names = ("work", "way")
    unit = "us"

    def track_call(self, work: str, way: str) -> float:
        """Return the least of three rounds."""
        call, around = prepared(minicnn_side, work, way)
        return min(microseconds(call, around) for _ in range(3))


class Side(NamedTuple):
    """One library's calls by the names of the works, and what it takes to time them."""

    calls: dict[str, Callable[[], Any]]
    tensor: Callable[[np.ndarray], Any]
    no_grad: Callable[[], contextlib.AbstractContextManager[Any]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="the least of so many counts")
    arguments = parser.parse_args()
    sides = {"minicnn": minicnn_side}
    if importlib.util.find_spec("torch") is not None:
        sides["torch"] = torch_side
    print(f"us per call, {' / '.join(sides)}\n{'':12}" + "".join(f"{way:>16}" for way in WAYS))
    for work in WORKS:
        cells = []
        for way in WAYS:
            timed = {name: prepared(side, work, way) for name, side in sides.items()}
            rounds = [[microseconds(*t) for t in timed.values()] for _ in range(arguments.rounds)]
            cells.append(" / ".join(f"{min(times):.1f}" for times in zip(*rounds, strict=True)))
        print(f"{work:12}" + "".join(f"{cell:>16}" for cell in cells), flush=True)


def prepared(make: Callable[[bool], Side], work: str, way: str) -> tuple[Callable[[], Any], Any]:
    """Return the call that is timed, and the context around its loop."""
    side = make(way != "no_grad")
    call = side.calls[work]
    if way == "backward":
        grad_y = side.tensor(np.ones(tuple(call().shape), np.float32))
        return lambda: call().backward(grad_y), contextlib.nullcontext
    return call, side.no_grad if way == "no_grad" else contextlib.nullcontext


def microseconds(call: Callable[[], Any], around: Callable[[], Any]) -> float:
    """Return how long one of CALLS calls takes."""
    with around():
        call()
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        return (time.perf_counter() - start) / CALLS * 1e6


def minicnn_side(training: bool) -> Side:
    """Return minicnn's calls; with `training`, everything needs a gradient."""
    from minicnn import Tensor, nn, no_grad, ops

    x, matrix, weight, vector, kernel = (Tensor(a, requires_grad=training) for a in arrays())
    normalize, dense = nn.BatchNorm2d(1), nn.Dense(4, 4)
    block = nn.Conv2d(1, 1, normalizer=nn.BatchNorm2d, activation=ops.relu)
    for layer in (normalize, block):
        layer(x)  # moves the averages, without which evaluation would warn
        layer.train(training)
    calls = {
        "add": lambda: x + x,
        "relu": lambda: ops.relu(x),
        "conv2d": lambda: ops.conv2d(x, kernel, None, 1, 1),
        "batch_norm": lambda: ops.batch_norm(x, vector, vector)[0],
        "dense": lambda: ops.dense(matrix, weight),
        "BatchNorm2d": lambda: normalize(x),
        "ConvBNReLU": lambda: block(x),
        "Dense": lambda: dense(matrix),
    }
    return Side(calls, Tensor, no_grad)


def torch_side(training: bool) -> Side:
    """Return the same calls of PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(1)
    x, matrix, weight, vector, kernel = (
        torch.from_numpy(a).requires_grad_(training) for a in arrays()
    )
    normalize, dense = nn.BatchNorm2d(1).train(training), nn.Linear(4, 4)
    block = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.BatchNorm2d(1), nn.ReLU())
    block.train(training)
    calls = {
        "add": lambda: x + x,
        "relu": lambda: functional.relu(x),
        "conv2d": lambda: functional.conv2d(x, kernel, None, 1, 1),
        "batch_norm": lambda: functional.batch_norm(x, None, None, vector, vector, True),
        "dense": lambda: functional.linear(matrix, weight),
        "BatchNorm2d": lambda: normalize(x),
        "ConvBNReLU": lambda: block(x),
        "Dense": lambda: dense(matrix),
    }
    return Side(calls, torch.from_numpy, torch.no_grad)


def arrays() -> Iterator[np.ndarray]:
    """Yield an image, a matrix, weights, one number for the one channel, and a filter."""
    rng = np.random.default_rng(0)
    for shape in ((1, 1, 4, 4), (4, 4), (4, 4), (1,), (1, 1, 3, 3)):
        yield rng.standard_normal(shape, dtype=np.float32)


if __name__ == "__main__":
    main()
