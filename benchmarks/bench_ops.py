"""Every op beside PyTorch's: forward and backward through the public API, float32.

    python -m benchmarks.bench_ops [--threads 2] [--ops "pool|norm"] [--rounds 3] [--json FILE]

A row is one call of an op and the `backward` of its result with a random gradient. Images lie
channels-last in memory on both sides. Each round runs each side once, in a process of its own, one
after the other, so that a disturbed machine disturbs both; a row is warmed up in its process, then
called for a fixed time. Without PyTorch (an optional install: ``pip install torch==2.13.0`` has a
CPU wheel) the table has minicnn's side only.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

SECONDS, LEAST = 0.3, 3  # for a row in a process: at least so long and so many steps
WARM_UP = 3  # steps before, but for those that take longer than a second
IMAGES, VECTORS = (128, 16, 32, 32), (512, 1024)
Shape = tuple[int, ...]


class Case(NamedTuple):
    """An op on both sides, and the shapes of the arguments that it is differentiated by.

    Both are called with those arguments and then with the constants.
    """

    shapes: tuple[Shape, ...]
    minicnn: Callable[..., Any]  # takes minicnn.ops first
    torch: Callable[..., Any]  # takes torch and torch.nn.functional first
    constants: tuple[np.ndarray, ...] = ()


def same(name: str, *shapes: Shape, **options: Any) -> Case:
    """Return an op whose name and arguments are minicnn's and torch.nn.functional's alike."""
    return Case(
        shapes,
        lambda ops, *given: getattr(ops, name)(*given, **options),
        lambda torch, F, *given: getattr(F, name)(*given, **options),
    )


def of_torch(name: str, *shapes: Shape) -> Case:
    """Return an op that has its name in torch itself."""
    return Case(
        shapes,
        lambda ops, *given: getattr(ops, name)(*given),
        lambda torch, F, *given: getattr(torch, name)(*given),
    )


def integers(high: int, *shape: int) -> np.ndarray:
    """Return labels or indices."""
    return np.random.default_rng(1).integers(0, high, shape)


def dropout(ops: Any, x: Any) -> Any:
    """Drop by a stream of random numbers; to make the stream takes microseconds."""
    from minicnn.backend.random import Stream

    return ops.dropout(x, 0.25, Stream(0, "dropout"))


CONVOLUTIONS = {
    "conv 3x3, 8 channels": same("conv2d", (128, 8, 32, 32), (8, 8, 3, 3), padding=1),
    "conv 3x3, 16 channels": same("conv2d", (128, 16, 32, 32), (16, 16, 3, 3), padding=1),
    "conv 3x3, 32 channels": same("conv2d", (128, 32, 32, 32), (32, 32, 3, 3), padding=1),
    "conv 3x3, 64 channels": same("conv2d", (128, 64, 16, 16), (64, 64, 3, 3), padding=1),
    "conv 3x3, 128 channels": same("conv2d", (128, 128, 8, 8), (128, 128, 3, 3), padding=1),
    "conv 3x3 of RGB": same("conv2d", (128, 3, 32, 32), (8, 3, 3, 3), padding=1),
    "conv 3x3 of one large image": same("conv2d", (1, 64, 300, 300), (64, 64, 3, 3), padding=1),
    "conv 3x3 stride 2": same("conv2d", IMAGES, (32, 16, 3, 3), stride=2, padding=1),
    "conv 3x3 dilation 2": same("conv2d", IMAGES, (16, 16, 3, 3), padding=2, dilation=2),
    "conv 1x1": same("conv2d", (128, 32, 32, 32), (32, 32, 1, 1)),
    "conv 7x7 of whole images": same("conv2d", (16, 512, 7, 7), (4096, 512, 7, 7)),
    "conv transposed k2 s2": same("conv_transpose2d", (128, 32, 16, 16), (32, 16, 2, 2), stride=2),
    "depthwise 3x3": same("conv2d", (128, 32, 32, 32), (32, 1, 3, 3), padding=1, groups=32),
    "depthwise 5x5 stride 2": same(
        "conv2d", (128, 32, 32, 32), (32, 1, 5, 5), stride=2, padding=2, groups=32
    ),
    "conv1d": same("conv1d", (32, 32, 2000), (32, 32, 5), padding=2),
    "conv3d": same("conv3d", (8, 16, 16, 24, 24), (16, 16, 3, 3, 3), padding=1),
}
PRODUCTS = {
    f"dense {n}x{c}x{o}": Case(
        ((n, c), (o, c), (o,)),
        lambda ops, *given: ops.dense(*given),
        lambda torch, F, *given: F.linear(*given),
    )
    for n, c, o in ((128, 4096, 4096), (128, 512, 100), (128, 32, 43))
} | {
    "matmul 512": of_torch("matmul", (512, 512), (512, 512)),
    "matmul of stacks": of_torch("matmul", (64, 64, 64), (64, 64, 64)),
}
POOLINGS = {
    "max pool 2x2": Case(
        (IMAGES,),
        lambda ops, x: ops.max_pool2d(x, 2),
        lambda torch, F, x: F.max_pool2d(x, 2),
    ),
    "max pool 2x2, 8 channels": Case(
        ((128, 8, 32, 32),),
        lambda ops, x: ops.max_pool2d(x, 2),
        lambda torch, F, x: F.max_pool2d(x, 2),
    ),
    "max pool 3x3 stride 2": Case(
        (IMAGES,),
        lambda ops, x: ops.max_pool2d(x, 3, 2, 1),
        lambda torch, F, x: F.max_pool2d(x, 3, 2, 1),
    ),
    "average pool 2x2": Case(
        (IMAGES,),
        lambda ops, x: ops.avg_pool2d(x, 2),
        lambda torch, F, x: F.avg_pool2d(x, 2),
    ),
    "average pool 3x3 stride 1": Case(
        (IMAGES,),
        lambda ops, x: ops.avg_pool2d(x, 3, 1, 1),
        lambda torch, F, x: F.avg_pool2d(x, 3, 1, 1),
    ),
    "global average pool": Case(
        ((128, 32, 8, 8),),
        lambda ops, x: ops.global_avg_pool2d(x),
        lambda torch, F, x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    ),
    "adaptive average pool 7": Case(
        (IMAGES,),
        lambda ops, x: ops.adaptive_avg_pool2d(x, 7),
        lambda torch, F, x: F.adaptive_avg_pool2d(x, 7),
    ),
    "resize bilinear x2": Case(
        ((32, 16, 32, 32),),
        lambda ops, x: ops.resize(x, scale=2, mode="linear"),
        lambda torch, F, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    ),
}
NORMALIZATIONS = {
    "batch norm": Case(
        (IMAGES, (16,), (16,)),
        lambda ops, *given: ops.batch_norm(*given)[0],
        lambda torch, F, x, *given: F.batch_norm(x, None, None, *given, training=True),
    ),
    "batch norm and ReLU": Case(
        (IMAGES, (16,), (16,)),
        lambda ops, *given: ops.relu(ops.batch_norm(*given)[0]),
        lambda torch, F, x, *given: F.relu(F.batch_norm(x, None, None, *given, training=True)),
    ),
    "batch norm and ReLU, 8 channels": Case(
        ((128, 8, 32, 32), (8,), (8,)),
        lambda ops, *given: ops.relu(ops.batch_norm(*given)[0]),
        lambda torch, F, x, *given: F.relu(F.batch_norm(x, None, None, *given, training=True)),
    ),
    "layer norm": Case(
        (VECTORS, VECTORS[1:], VECTORS[1:]),
        lambda ops, *given: ops.layer_norm(*given),
        lambda torch, F, x, *given: F.layer_norm(x, VECTORS[1:], *given),
    ),
    "group norm": Case(
        (IMAGES, (16,), (16,)),
        lambda ops, x, *given: ops.group_norm(x, 4, *given),
        lambda torch, F, x, *given: F.group_norm(x, 4, *given),
    ),
}
ACTIVATIONS = {
    "ReLU": same("relu", IMAGES),
    "GELU": same("gelu", IMAGES),
    "sigmoid": of_torch("sigmoid", IMAGES),
    "PReLU": same("prelu", IMAGES, (16,)),
    "dropout": Case((IMAGES,), dropout, lambda torch, F, x: F.dropout(x, 0.25)),
    "softmax over channels": Case(
        (IMAGES,),
        lambda ops, x: ops.softmax(x, axis=1),
        lambda torch, F, x: F.softmax(x, dim=1),
    ),
    "softmax of vectors": Case(
        (VECTORS,),
        lambda ops, x: ops.softmax(x, axis=1),
        lambda torch, F, x: F.softmax(x, dim=1),
    ),
    "softmax cross-entropy": Case(
        ((128, 43),),
        lambda ops, x, labels: ops.sparse_softmax_cross_entropy(x, labels),
        lambda torch, F, x, labels: F.cross_entropy(x, labels),
        (integers(43, 128),),
    ),
    "softmax cross-entropy, 1000 classes": Case(
        ((256, 1000),),
        lambda ops, x, labels: ops.sparse_softmax_cross_entropy(x, labels),
        lambda torch, F, x, labels: F.cross_entropy(x, labels),
        (integers(1000, 256),),
    ),
    "softmax cross-entropy of pixels": Case(
        ((16, 21, 64, 64),),
        lambda ops, x, labels: ops.sparse_softmax_cross_entropy(x, labels),
        lambda torch, F, x, labels: F.cross_entropy(x, labels),
        (integers(21, 16, 64, 64),),
    ),
}
MOVES = {
    "add": of_torch("add", IMAGES, IMAGES),
    "add to each channel": of_torch("add", IMAGES, (16, 1, 1)),
    "multiply each channel": of_torch("multiply", IMAGES, (128, 16, 1, 1)),
    "add to a transposed one": Case(
        ((1024, 1024), (1024, 1024)),
        lambda ops, a, b: a + b.T,
        lambda torch, F, a, b: a + b.T,
    ),
    "sum over images": Case(
        (IMAGES,),
        lambda ops, x: x.sum(axis=(0, 2, 3)),
        lambda torch, F, x: x.sum(dim=(0, 2, 3)),
    ),
    "mean of all": of_torch("mean", IMAGES),
    "max over channels": Case(
        (IMAGES,),
        lambda ops, x: x.max(axis=1),
        lambda torch, F, x: x.max(dim=1).values,
    ),
    "take along channels": Case(
        (IMAGES,),
        lambda ops, x, at: ops.take_along_axis(x, at, axis=1),
        lambda torch, F, x, at: torch.take_along_dim(x, at, dim=1),
        (integers(16, 128, 1, 32, 32),),
    ),
    "gather images": Case(
        (IMAGES,),
        lambda ops, x, at: ops.gather(x, at),
        lambda torch, F, x, at: x.index_select(0, at),
        (integers(128, 128),),
    ),
    "gather channels": Case(
        (IMAGES,),
        lambda ops, x, at: ops.gather(x, at, axis=1),
        lambda torch, F, x, at: x.index_select(1, at),
        (integers(16, 16),),
    ),
    "gather words": Case(
        ((10_000, 128),),
        lambda ops, x, at: ops.gather(x, at),
        lambda torch, F, x, at: F.embedding(at, x),
        (integers(10_000, 4096),),
    ),
    "concatenate channels": Case(
        (IMAGES, IMAGES),
        lambda ops, *given: ops.concatenate(given, axis=1),
        lambda torch, F, *given: torch.cat(given, dim=1),
    ),
    "pad": Case(
        (IMAGES,),
        lambda ops, x: ops.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))),
        lambda torch, F, x: F.pad(x, (1, 1, 1, 1)),
    ),
}
CASES = CONVOLUTIONS | PRODUCTS | POOLINGS | NORMALIZATIONS | ACTIVATIONS | MOVES


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="for both sides")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--ops", default="", help="only rows whose name this expression matches")
    parser.add_argument("--json", help="write the medians to this file, too")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [name for name in CASES if re.search(arguments.ops, name)]
    if arguments.side:
        step_of = SIDES[arguments.side]
        print(json.dumps({name: measure(step_of(CASES[name])) for name in names}))
        return
    sides = ["minicnn"] + ["torch"] * (importlib.util.find_spec("torch") is not None)
    times: dict[str, list[dict[str, list[float]]]] = {side: [] for side in sides}
    for _ in range(arguments.rounds):
        for side in sides:
            times[side].append(in_own_process(side, arguments.ops, arguments.threads))
    results = {name: summary(times, name) for name in names}
    print(table(results, arguments.threads))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({f"{n}/{arguments.threads}": r for n, r in results.items()}, file, indent=1)


def in_own_process(side: str, pattern: str, threads: int) -> dict[str, list[float]]:
    """Return the milliseconds of each step of each row that one process took."""
    command = [sys.executable, "-m", "benchmarks.bench_ops", "--side", side, "--ops", pattern]
    number = str(threads)
    environment = {**os.environ, "MINICNN_THREADS": number, "OMP_NUM_THREADS": number}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(output.stdout.splitlines()[-1])


def measure(step: Callable[[], object]) -> list[float]:
    """Return the milliseconds of each step, after a warm-up."""
    start = time.perf_counter()
    for _ in range(WARM_UP):
        if time.perf_counter() - start < 1:
            step()
    times: list[float] = []
    while len(times) < LEAST or sum(times) < SECONDS * 1e3:
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def summary(times: dict[str, list[dict[str, list[float]]]], name: str) -> dict[str, float]:
    """Return each side's median (of its processes' medians) and minimum, and their ratios."""
    found = {}
    for side, rounds in times.items():
        found[f"{side}_ms"] = statistics.median(statistics.median(r[name]) for r in rounds)
        found[f"{side}_min_ms"] = min(min(r[name]) for r in rounds)
    if "torch" in times:
        found["ratio"] = found["minicnn_ms"] / found["torch_ms"]
        found["min_ratio"] = found["minicnn_min_ms"] / found["torch_min_ms"]
    return found


def table(results: dict[str, dict[str, float]], threads: int) -> str:
    """Lay out the summaries."""
    sides = ("minicnn ms", "PyTorch ms", "ratio")
    lines = [f"{f'{threads} thread(s)':38}" + "".join(f"{side:>18}" for side in sides)]
    lines.append(" " * 38 + f"{'median':>9}{'min':>9}" * len(sides))
    for name, row in results.items():
        line = f"{name:38}{row['minicnn_ms']:9.3f}{row['minicnn_min_ms']:9.3f}"
        if "ratio" in row:
            line += f"{row['torch_ms']:9.3f}{row['torch_min_ms']:9.3f}"
            line += f"{row['ratio']:9.2f}{row['min_ratio']:9.2f}"
        lines.append(line)
    return "\n".join(lines)


def numbers(shape: Shape, seed: int) -> np.ndarray:
    """Return random numbers; those of images lie channels-last in memory."""
    rng = np.random.default_rng(seed)
    if len(shape) != 4:
        return rng.standard_normal(shape, dtype=np.float32)
    n, c, h, w = shape
    return np.moveaxis(rng.standard_normal((n, h, w, c), dtype=np.float32), -1, 1)


def minicnn_step(case: Case) -> Callable[[], object]:
    """Return forward and backward through minicnn's ordinary API."""
    from minicnn import Tensor, ops

    given = [Tensor(numbers(s, i), requires_grad=True) for i, s in enumerate(case.shapes)]
    grad_y = Tensor(numbers(case.minicnn(ops, *given, *case.constants).shape, len(given)))

    def step() -> None:
        for t in given:
            t.grad = None
        case.minicnn(ops, *given, *case.constants).backward(grad_y)

    return step


def torch_step(case: Case) -> Callable[[], object]:
    """Return the same of PyTorch, eager."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    functional = torch.nn.functional
    given = [torch.from_numpy(numbers(s, i)) for i, s in enumerate(case.shapes)]
    for t in given:
        t.requires_grad_()
    constants = [torch.from_numpy(a) for a in case.constants]
    y = case.torch(torch, functional, *given, *constants)
    grad_y = torch.from_numpy(numbers(tuple(y.shape), len(given)))

    def step() -> None:
        for t in given:
            t.grad = None
        case.torch(torch, functional, *given, *constants).backward(grad_y)

    return step


SIDES = {"minicnn": minicnn_step, "torch": torch_step}

if __name__ == "__main__":
    main()
