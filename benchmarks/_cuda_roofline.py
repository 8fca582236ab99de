"""How near each CUDA kernel is to its floor: ``python -m benchmarks.roofline --device cuda``.

First two rates of the card are measured, of copies in its memory and of cuBLAS's products. A
kernel can take no less than its arguments and results take to be moved once at the first, nor
less than its operations take at the second. Shown is how many times that it takes, by the
device's own events; "!" marks more than 1.25 times where memory is all there is to it, and more
than 1.5 times for products. Most kernels run in float32 and float16, products in all precisions.
The arrays are far larger than the caches, except those of ResNet-50's last convolutions.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks._clock import Clock, CupyClock, time_all
from benchmarks._cuda_cases import (
    MEMORY,
    NO_HALVES,
    PRODUCTS,
    TINY,
    Case,
    Sizes,
    cases,
    products,
    size_of,
)
from benchmarks._cuda_minicnn import Numbers, about, precisely, recorded
from benchmarks._cuda_peaks import Peaks, measure_peaks
from benchmarks._measure import table

HEADER = (
    *("family", "kernel", "of", "precision", "ms", "MB", "GFLOP", "GB/s", "TFLOP/s"),
    *("times floor", ""),
)


class Found(NamedTuple):
    """What was measured of a case."""

    case: Case
    precision: str
    milliseconds: float
    size: int  # bytes

    def ratio(self, peaks: Peaks) -> float:
        """Return the time in multiples of the floor."""
        return self.milliseconds / peaks.floor(self.size, self.case.flop, self.precision)


def main(arguments: argparse.Namespace) -> None:
    """Measure, and print the report."""
    known = about()
    if "error" in known:
        raise SystemExit(known["error"])
    print(known["device"])
    real = not (known["stand_in"] or arguments.quick)
    if not real:
        print("A try on a stand-in, or with tiny sizes: the times mean nothing.")
    clock = CupyClock(2, 1) if arguments.quick else CupyClock()
    peaks, missing = measure_peaks(clock, arguments.precisions, arguments.seconds, arguments.quick)
    if real:
        print(f"copies, read and written: {peaks.bandwidth / 1e9:.0f} GB/s")
        for precision, rate in peaks.flops.items():
            print(f"cuBLAS's product in {precision}: {rate / 1e12:.1f} TFLOP/s")
    sizes = TINY if arguments.quick else Sizes()
    found, failures = measure(clock, sizes, list(peaks.flops), arguments)
    print(table([HEADER, *(row(f, peaks if real else None) for f in found)], left=4))
    for name, reason in (missing | failures).items():
        print(f"left out: {name}: {reason}")


def measure(
    clock: Clock, sizes: Sizes, precisions: Sequence[str], arguments: argparse.Namespace
) -> tuple[list[Found], dict[str, str]]:
    """Return what was measured, and why other cases were not."""
    found: list[Found] = []
    failures: dict[str, str] = {}
    for case, precision in chosen(sizes, precisions, arguments.families):
        sized: list[int] = []
        name = " ".join(filter(None, (case.kernel, case.note, precision)))
        make = functools.partial(prepared, case, precision, sized)
        timed = time_all(clock, [(name, make)], arguments.seconds)
        failures |= timed.failures
        found += [
            Found(case, precision, statistics.median(times), sized[0])
            for times in timed.times.values()
        ]
    return found, failures


def chosen(
    sizes: Sizes, precisions: Sequence[str], families: Sequence[str] | None
) -> Iterator[tuple[Case, str]]:
    """Yield cases with the precisions to run them in."""
    kinds = dict.fromkeys("float16" if p == "float16" else "float32" for p in precisions)
    for some, ways in ((cases(sizes), kinds), (products(sizes), precisions)):
        for case in some:
            if families and case.family not in families:
                continue
            for precision in ways:
                if precision != "float16" or case.family not in NO_HALVES:
                    yield case, precision


def prepared(case: Case, precision: str, sized: list[int]) -> Callable[[], object]:
    """Return the replay of a kernel; put into `sized` how many bytes it moves at least.

    Replayed as a CUDA graph, so that Python's time is not taken for the kernel's.
    """
    numbers = Numbers("cuda", np.float16 if precision == "float16" else np.float32)
    arguments = case.make(numbers)
    kernel: Callable[..., Any] = getattr(numbers.kernels, case.kernel)

    def call() -> object:
        with precisely(precision):
            return kernel(*arguments, **(case.options or {}))

    sized.append(size_of(case, arguments, call()))
    return recorded(call)


def row(found: Found, peaks: Peaks | None) -> list[object]:
    """Return the table's line of a case; without peaks it is not judged."""
    case, seconds = found.case, found.milliseconds * 1e-3
    line = [
        *(case.family, case.kernel, case.note, found.precision, found.milliseconds),
        found.size / 1e6,
        case.flop / 1e9 if case.flop else None,
        found.size / seconds / 1e9,
        case.flop / seconds / 1e12 if case.flop else None,
    ]
    if peaks is None:
        return line
    ratio, limit = found.ratio(peaks), PRODUCTS if case.flop else MEMORY
    return [*line, f"{ratio:.2f}", "!" if ratio > limit else ""]
