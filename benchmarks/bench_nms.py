"""Non-maximum suppression of 10,000 boxes, beside torchvision's algorithm written in PyTorch.

    python -m benchmarks.bench_nms [--torch-python PYTHON] [--threads 1 2] [--rounds 3]

The algorithm of torchvision's CPU kernel: sort by score; go through the boxes from the best on; one
that still stays strikes out all those behind it that overlap it too much, which PyTorch compares
with it at once. If torchvision is there, its own kernel in C++ is timed as well. All must keep the
same boxes. Each round runs each side once, in a process of its own, in turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._measure import Times, alternate, in_own_process, least_of, median_of, table

COUNT, THRESHOLD = 10_000, 0.5
SECONDS, FEWEST = 1.0, 3  # for a side and a case in a process
CASES = {"few overlap": 3_000.0, "a detector's: 60 piles": 0.0}  # the side of the image, in pixels


def boxes_of(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (R, 4) and scores (R,): anywhere, or around 60 objects."""
    rng = np.random.default_rng(0)
    size = rng.uniform(20, 100, (COUNT, 2))
    if CASES[case]:
        middle = rng.uniform(0, CASES[case], (COUNT, 2))
    else:
        pile = rng.integers(0, 60, COUNT)
        middle = rng.uniform(0, 1_000, (60, 2))[pile] + rng.normal(0, 4, (COUNT, 2))
        size = rng.uniform(20, 100, (60, 2))[pile] * rng.uniform(0.8, 1.25, (COUNT, 2))
    boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return boxes.astype(np.float32), rng.random(COUNT).astype(np.float32)


def of_minicnn(boxes: np.ndarray, scores: np.ndarray) -> Callable[[], list[int]]:
    """Return the call of `minicnn.ops.nms`."""
    from minicnn import ops

    return lambda: ops.nms(boxes, scores, THRESHOLD).numpy().tolist()


def of_torch(boxes: np.ndarray, scores: np.ndarray) -> Callable[[], list[int]]:
    """Return the call of torchvision's algorithm in PyTorch."""
    import torch

    given, sure = torch.from_numpy(boxes), torch.from_numpy(scores)

    def overlap(a: Any, b: Any, area_a: Any, area_b: Any) -> Any:
        begin, end = torch.maximum(a[:2], b[:, :2]), torch.minimum(a[2:], b[:, 2:])
        shared = (end - begin).clamp_(min=0).prod(1)
        return shared / (area_a + area_b - shared)

    def call() -> list[int]:
        order = torch.argsort(sure, descending=True, stable=True)
        b = given[order]
        area = (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        struck = torch.zeros(len(b), dtype=torch.bool)
        for i in range(len(b) - 1):
            if not struck[i]:
                rest = slice(i + 1, None)
                struck[rest] |= overlap(b[i], b[rest], area[i], area[rest]) > THRESHOLD
        return order[~struck].tolist()

    return call


def of_torchvision(boxes: np.ndarray, scores: np.ndarray) -> Callable[[], list[int]]:
    """Return the call of torchvision's own kernel."""
    import torch
    from torchvision.ops import nms

    given, sure = torch.from_numpy(boxes[:, [1, 0, 3, 2]].copy()), torch.from_numpy(scores)
    return lambda: nms(given, sure, THRESHOLD).tolist()


SIDES: dict[str, Callable[[np.ndarray, np.ndarray], Callable[[], list[int]]]] = {
    "minicnn": of_minicnn,
    "PyTorch": of_torch,
    "torchvision": of_torchvision,
}


def measure(side: str) -> dict[str, Any]:
    """Return for each case the times in ms, and what is kept."""
    found: dict[str, Any] = {}
    for case in CASES:
        call = SIDES[side](*boxes_of(case))
        kept = call()  # compiles
        times: Times = []
        while len(times) < FEWEST or sum(times) < SECONDS * 1e3:
            start = time.perf_counter()
            call()
            times.append((time.perf_counter() - start) * 1e3)
        found[case] = {"kept": kept, "times": times}
    return found


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[2], help="for all sides")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        if arguments.side == "torchvision" and not importlib.util.find_spec("torchvision"):
            raise SystemExit("torchvision is not installed")
        print(json.dumps(measure(arguments.side)))
        return
    rows: list[tuple[object, ...]] = [
        (f"{COUNT:,} boxes", "threads", "side", "boxes kept", "median ms", "least ms", "slower")
    ]
    for threads in arguments.threads:
        calls = {
            side: lambda side=side, threads=threads: in_own_process(
                "benchmarks.bench_nms",
                ["--side", side],
                threads,
                sys.executable if side == "minicnn" else arguments.torch_python,
            )
            for side in SIDES
        }
        results, failures = alternate(calls, arguments.rounds)
        rows += rows_of(results, threads)
    print(table(rows, left=3))
    for side, reason in failures.items():
        print(f"{side}: {reason}")


def rows_of(results: dict[str, list[Any]], threads: int) -> list[tuple[object, ...]]:
    """Return the lines of the table; the sides must agree."""
    rows: list[tuple[object, ...]] = []
    for case in CASES:
        own = None
        for side, rounds in results.items():
            kept, times = rounds[0][case]["kept"], [r[case]["times"] for r in rounds]
            if kept != results["minicnn"][0][case]["kept"]:
                raise SystemExit(f"{side} keeps other boxes than minicnn: {case}")
            own = median_of(times) if own is None else own
            ratio = median_of(times) / own
            rows.append((case, threads, side, len(kept), median_of(times), least_of(times), ratio))
    return rows


if __name__ == "__main__":
    main()
