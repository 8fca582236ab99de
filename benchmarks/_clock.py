"""Clocks: how long calls take on the device where they are computed.

A call on a GPU returns before its work is done. So a mark is put into the device's queue before the
first call and after each one (an event, which the device itself notes the time of), all are
queued without waiting, and only then are the times between the marks read. This is the time from
the end of one call to the end of the next: what a loop takes, whether the GPU or Python is slower.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from benchmarks._measure import FEWEST, MOST, WARM_UP, Budget, Times

MakeCall = Callable[[], Callable[[], object]]


class Clock:
    """The host's clock, for calls that return when their work is done; and the form of others."""

    def __init__(self, fewest: int = FEWEST, warm_up: int = WARM_UP) -> None:
        self.fewest, self.warm_up = fewest, warm_up

    def mark(self) -> Any:
        """Return a mark of the moment at which the work queued so far is done."""
        return time.perf_counter()

    def between(self, first: Any, second: Any) -> float:
        """Return the milliseconds from one mark to another, both in the past."""
        return (second - first) * 1e3

    def wait(self) -> None:
        """Wait until all queued work is done."""

    def free(self) -> None:
        """Hand memory that nobody uses back to the device."""

    def times(self, call: Callable[[], object], seconds: float) -> Times:
        """Return the milliseconds of each call, after a warm-up, for about so many seconds."""
        call()  # compiles
        self.wait()
        warm, spent = Budget(seconds / 4, self.warm_up, MOST), []
        while warm.left():
            start = time.perf_counter()
            call()
            self.wait()  # the queue must not run ahead of the warm-up's time
            spent.append(time.perf_counter() - start)
            warm.count += 1
        expected = max(statistics.median(spent), 1e-6)
        count = min(max(round(seconds / expected), self.fewest), MOST)
        marks = [self.mark()]
        for _ in range(count):
            call()
            marks.append(self.mark())
        return self.intervals(marks)

    def intervals(self, marks: Sequence[Any]) -> Times:
        """Return the milliseconds from each mark to the next, when all their work is done."""
        self.wait()
        return [self.between(*pair) for pair in itertools.pairwise(marks)]


class CupyClock(Clock):
    """The clock of the GPU that CuPy works on."""

    def __init__(self, fewest: int = FEWEST, warm_up: int = WARM_UP) -> None:
        super().__init__(fewest, warm_up)
        import cupy

        self._cupy = cupy

    def mark(self) -> Any:
        """Put an event into the current stream."""
        event = self._cupy.cuda.Event()
        event.record(self._cupy.cuda.get_current_stream())
        return event

    def between(self, first: Any, second: Any) -> float:
        """Return what the device noted."""
        return float(self._cupy.cuda.get_elapsed_time(first, second))

    def wait(self) -> None:
        """Wait for the device."""
        self._cupy.cuda.Device().synchronize()

    def free(self) -> None:
        """Empty CuPy's pool."""
        self._cupy.get_default_memory_pool().free_all_blocks()


class TorchClock(Clock):
    """The clock of the GPU that PyTorch works on."""

    def __init__(self, fewest: int = FEWEST, warm_up: int = WARM_UP) -> None:
        super().__init__(fewest, warm_up)
        import torch

        self._cuda = torch.cuda

    def mark(self) -> Any:
        """Put an event into the current stream."""
        event = self._cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, first: Any, second: Any) -> float:
        """Return what the device noted."""
        return float(first.elapsed_time(second))

    def wait(self) -> None:
        """Wait for the device."""
        self._cuda.synchronize()

    def free(self) -> None:
        """Empty PyTorch's pool."""
        self._cuda.empty_cache()


class Timed(NamedTuple):
    """The times of calls by their names, and why others have none."""

    times: dict[str, Times]
    failures: dict[str, str]


def time_all(
    clock: Clock,
    works: Iterable[tuple[str, Callable[[], Any]]],
    seconds: float,
    how: Callable[[Clock, Any, float], Times] = Clock.times,
) -> Timed:
    """Time what the functions `works` make; what fails is left out, and says why."""
    found = Timed({}, {})
    for name, make in works:
        try:
            found.times[name] = how(clock, make(), seconds)
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            found.failures[name] = f"{type(error).__name__}: {lines[0]}"
        clock.free()
    return found
