"""What all measurements share: own processes in turns, statistics, tables, a small asv."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FEWEST, MOST = 10, 2000  # calls that are timed in one process
WARM_UP = 8  # calls before them, or as many as a quarter of the time allows
THREADS = ("MINICNN_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ROOT = Path(__file__).resolve().parents[1]

Times = list[float]  # milliseconds, one for each call


class SideError(Exception):
    """A process that was to measure something failed; the message says how it ended."""


def time_calls(call: Callable[[], object], seconds: float) -> Times:
    """Return the milliseconds of each call, after a warm-up, for about so many seconds."""
    warm = Budget(seconds / 4, WARM_UP, MOST)
    while warm.left():
        call()
        warm.count += 1
    times: Times = []
    budget = Budget(seconds, FEWEST, MOST)
    while budget.left():
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
        budget.count += 1
    return times


class Budget:
    """How long to go on: for some seconds, but not fewer than some calls nor more than others."""

    def __init__(self, seconds: float, fewest: int, most: int) -> None:
        self._end = time.perf_counter() + seconds
        self._fewest, self._most = fewest, most
        self.count = 0

    def left(self) -> bool:
        """Tell whether there should be another call."""
        if self.count < self._fewest:
            return True
        return self.count < self._most and time.perf_counter() < self._end


def in_own_process(
    module: str,
    arguments: Sequence[str],
    threads: int,
    python: str = sys.executable,
    limit: float = 900.0,
) -> Any:
    """Return what a module of the checkout prints last, as JSON, run by itself.

    A process of its own keeps one side's threads, caches and memory from the other side.
    """
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    command = [python, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        raise SideError(f"took longer than {limit:.0f} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.strip() or "it printed nothing").splitlines()[-1]
        raise SideError(f"ended with {done.returncode}: {last}")
    return json.loads(lines[-1])


def alternate(
    sides: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Call every side once a round, in turns, so that a disturbed machine disturbs all.

    Every other round goes backwards, so that none has always the same neighbour before it. A
    side that fails once is left out from then on.

    Returns
    -------
    results : dict of str to list
        What each side returned; of those that never failed.
    failures : dict of str to str
        Why the others did not.
    """
    results: dict[str, list[Any]] = {side: [] for side in sides}
    failures: dict[str, str] = {}
    for number in range(rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            if side in failures:
                continue
            try:
                results[side].append(sides[side]())
            except SideError as error:
                failures[side] = str(error)
    return {side: found for side, found in results.items() if side not in failures}, failures


def median_of(processes: Sequence[Times]) -> float:
    """Return the median over processes of each one's median."""
    return statistics.median(statistics.median(times) for times in processes)


def least_of(processes: Sequence[Times]) -> float:
    """Return the least time of all."""
    return min(min(times) for times in processes)


def table(rows: Iterable[Sequence[object]], left: int = 1) -> str:
    """Return rows of cells as aligned text; the first `left` columns begin where they begin.

    Numbers get three digits; None is an empty cell.
    """
    texts = [[_cell(cell) for cell in row] for row in rows]
    columns = max(map(len, texts), default=0)
    texts = [row + [""] * (columns - len(row)) for row in texts]
    widths = [max(len(row[i]) for row in texts) for i in range(columns)]
    lines = []
    for row in texts:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return three_digits(value) if isinstance(value, float) else str(value)


def three_digits(value: float) -> str:
    """Return a number as people write it: 0.123, 1.23, 12.3, 123, 1234."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def peak_memory() -> float:
    """Return the most memory this process has had so far, in MiB.

    Linux hands `ru_maxrss` down to a started process, which may then show its parent's; the
    high-water mark of the process itself is read where there is one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        for line in found:
            return int(line.split()[1]) / 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


def run_suite(module: ModuleType, seconds: float = 0.3) -> str:
    """Run a file of asv benchmarks without asv; return a table of what they measured.

    A suite is a class with lists `params` and their `param_names`, a `setup` and methods
    ``time_*`` (here the median of milliseconds), ``track_*`` (a number, in its `unit`) and
    ``peakmem_*`` (the most MiB of a process that does nothing else).
    """
    blocks = []
    for suite in suites_of(module):
        names = benchmarks_of(suite)
        rows: list[Sequence[object]] = [(suite.__name__, *(title_of(suite, n) for n in names))]
        for case in cases_of(suite):
            numbers = [_measured(module, suite, case, name, seconds) for name in names]
            rows.append((", ".join(map(str, case)), *numbers))
        blocks.append(table(rows))
    return "\n\n".join(blocks)


def title_of(suite: type, name: str) -> str:
    """Return the head of a benchmark's column: what it measures, in which unit."""
    kind, _, what = name.partition("_")
    unit = getattr(getattr(suite, name), "unit", getattr(suite, "unit", ""))
    return f"{what} {({'time': 'ms', 'peakmem': 'MiB'}).get(kind, unit)}".strip()


def suites_of(module: ModuleType) -> list[type]:
    """Return the classes of a module that have benchmarks, in the order of their lines."""
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__ and benchmarks_of(value)
    ]


def benchmarks_of(suite: type) -> list[str]:
    """Return the names of a class's benchmarks: times first, then numbers, then memory."""
    kinds = ("time_", "track_", "peakmem_")
    return [name for kind in kinds for name in dir(suite) if name.startswith(kind)]


def cases_of(suite: type) -> list[tuple[Any, ...]]:
    """Return all combinations of a class's parameters; [()] if it has none."""
    params = getattr(suite, "params", [])
    if params and not isinstance(params[0], list | tuple):
        params = [params]  # asv takes a plain list for one parameter
    return list(itertools.product(*params))


def _measured(
    module: ModuleType, suite: type, case: tuple[Any, ...], name: str, seconds: float
) -> float:
    if name.startswith("peakmem_"):
        place = module.__spec__.name if module.__spec__ else module.__name__
        number = cases_of(suite).index(case)
        return _peak_in_own_process(f"{place}:{suite.__name__}.{name}", number)
    benchmark = getattr(set_up(suite, case), name)
    if name.startswith("track_"):
        return float(benchmark(*case))
    return statistics.median(time_calls(lambda: benchmark(*case), seconds))


def set_up(suite: type, case: tuple[Any, ...]) -> Any:
    """Return an object of a class of benchmarks, ready for a case."""
    made = suite()
    getattr(made, "setup", lambda *_: None)(*case)
    return made


def _peak_in_own_process(call: str, case: int) -> float:
    threads = int(os.environ.get("MINICNN_THREADS") or os.cpu_count() or 1)
    return float(in_own_process("benchmarks._peak", [call, str(case)], threads))
