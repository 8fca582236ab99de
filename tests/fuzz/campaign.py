"""Sharing executions out among targets and processes, and watching those."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.execution import ROOT, TARGETS, scratch
from tests.fuzz.record import Record, findings, save_finding
from tests.fuzz.worker import GIVES_UP, MIB

_LEAST = 20_000  # executions that each target gets of a million
_TRIAL = 1500  # executions from which a target's speed is told
_SHARD = 150_000  # executions that a process does at most, so that the last one is not alone
_DEATHS = 3  # after which a target is left alone
_START = 300.0  # seconds a process may take before its first execution
_GAVE_UP = "gave up after too many hangs"


@dataclass
class Plan:
    """What is to be done."""

    targets: list[str]
    engines: list[str]
    findings: Path
    runs: int | None = None  # of all targets together
    seconds: float | None = None  # of all targets together, on one core
    jobs: int = 2
    seed: int = 0
    limit: float = 5.0  # seconds for one execution
    memory: int = 1024  # MiB for a process
    package: str = TARGETS
    verbose: bool = False  # say what is done, each time a process ends


@dataclass
class Result:
    """What was done with one target."""

    target: str
    executions: dict[str, int] = field(default_factory=dict)  # by engine
    seconds: float = 0.0
    peak: int = 0  # bytes
    deaths: int = 0
    processes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def total(self) -> int:
        """All executions."""
        return sum(self.executions.values())

    def add(self, engine: str, executions: int, seconds: float, peak: int) -> None:
        """Count what a process did; several threads do so."""
        with self.lock:
            self.executions[engine] = self.executions.get(engine, 0) + executions
            self.seconds += seconds
            self.peak = max(self.peak, peak)


def run(plan: Plan) -> list[Result]:
    """Fuzz all targets; what was found lies in ``plan.findings`` then."""
    results = {name: Result(name) for name in plan.targets}
    with ThreadPoolExecutor(plan.jobs) as pool:
        if plan.runs is not None:
            trials = [
                (name, engine, min(_TRIAL, plan.runs // len(plan.targets) // len(plan.engines) + 1))
                for name in plan.targets for engine in plan.engines
            ]  # fmt: skip
            list(pool.map(lambda t: _task(plan, results[t[0]], t[1], t[2]), trials))
            list(pool.map(lambda s: _task(plan, results[s[0]], *s[1:]), shares(plan, results)))
        else:
            each = (plan.seconds or 60.0) / len(plan.targets) / len(plan.engines)
            timed = [(name, engine) for name in plan.targets for engine in plan.engines]
            list(pool.map(lambda t: _task(plan, results[t[0]], t[1], 2**31, each), timed))
    return list(results.values())


def shares(plan: Plan, results: dict[str, Result]) -> list[tuple[str, str, int]]:
    """Return what is left to do: target, engine, executions; the longest first.

    Each target gets an equal floor, the rest goes by speed, so that all take equally long.
    """
    runs = plan.runs or 0
    done = sum(r.total for r in results.values())
    least = min(_LEAST * runs // 1_000_000, runs // len(results))
    speeds = {n: r.total / max(r.seconds, 1e-3) for n, r in results.items()}
    together = sum(speeds.values()) or 1.0
    rest = max(0, runs - max(done, least * len(results)))
    wanted = {
        n: max(0, least - r.total) + round(rest * speeds[n] / together) for n, r in results.items()
    }
    short = runs - done - sum(wanted.values())  # of rounding
    wanted[max(speeds, key=lambda n: speeds[n])] += max(0, short)
    found = []
    for name, count in wanted.items():
        each = -(-count // len(plan.engines))
        for engine in plan.engines if each else ():
            parts = -(-each // _SHARD)
            found += [(name, engine, -(-each // parts))] * parts
    return sorted(found, key=lambda s: -s[2] / max(speeds[s[0]], 1e-3))


def _task(plan: Plan, result: Result, engine: str, runs: int, seconds: float = 1e9) -> None:
    """Do so many executions, in a new process whenever one dies."""
    began = time.monotonic()
    while runs > 0 and result.deaths < _DEATHS and time.monotonic() - began < seconds:
        done = _process(plan, result, engine, runs, seconds - (time.monotonic() - began))
        runs = runs - done if seconds > 1e8 else 0
        if not done:
            with result.lock:
                result.deaths += 1
        if plan.verbose:
            said = f"{result.target}: {result.total:,} executions in {result.seconds:.0f} s"
            print(f"{time.strftime('%H:%M:%S')} {said} ({engine})", file=sys.stderr, flush=True)


def _process(plan: Plan, result: Result, engine: str, runs: int, seconds: float) -> int:
    """Run one process to its end; return how many executions it did."""
    with result.lock:
        result.processes += 1
        number = result.processes  # each draws other inputs
    with _folder() as folder:
        record = Record(folder / "record")
        task: dict[str, Any] = {
            "target": result.target, "package": plan.package, "engine": engine, "runs": runs,
            "seconds": seconds, "seed": plan.seed + 7919 * number, "limit": plan.limit,
            "memory": plan.memory, "folder": str(folder), "findings": str(plan.findings),
        }  # fmt: skip
        with (folder / "log").open("w+") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", json.dumps(task)],
                cwd=ROOT, env=_environment(), stdout=log, stderr=log,
            )  # fmt: skip
            why, peak = _wait(child, record, plan.limit)
            log.seek(0)
            said = log.read()[-4000:]
        done, spent, last = record.executions, record.seconds, record.data
        record.close()
    if not why and not done:
        why = "no execution was done"
    result.add(engine, done, spent, peak)
    with result.lock:
        result.deaths = _DEATHS if why == _GAVE_UP else result.deaths + bool(why)
    if why and why != _GAVE_UP:
        save_finding(plan.findings, result.target, f"{engine}: {why}", said, last)
    if peak > plan.memory * MIB:
        text = f"{engine}: the process took {peak // MIB} MiB"
        save_finding(plan.findings, result.target, text, said, last)
    return done


def _wait(child: subprocess.Popen[bytes], record: Record, limit: float) -> tuple[str, int]:
    """Return why a process died, if it did, and its peak memory."""
    seen, since, allowed = 0, time.monotonic(), _START
    while not (ended := _reap(child)):
        time.sleep(0.02)
        if record.executions != seen:
            seen, since, allowed = record.executions, time.monotonic(), 3 * limit
        elif time.monotonic() - since > allowed:
            child.kill()
            return f"hangs for more than {allowed:g} s", (_reap(child, wait=True) or (0, 0))[1]
    code, peak = ended
    why = _GAVE_UP if code == GIVES_UP else f"the process ended with {code}" if code else ""
    return why, peak


def _reap(child: subprocess.Popen[bytes], wait: bool = False) -> tuple[int, int] | None:
    """Return a process's exit code and its peak memory in bytes; None while it runs."""
    if not hasattr(os, "wait4"):
        code = child.wait() if wait else child.poll()
        return None if code is None else (code, 0)
    pid, status, usage = os.wait4(child.pid, 0 if wait else os.WNOHANG)
    if not pid:
        return None
    child.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return child.returncode, usage.ru_maxrss * unit


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Return a short-lived folder."""
    folder = Path(tempfile.mkdtemp(prefix="minicnn-fuzz-", dir=scratch()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    """Return the environment of processes that share a machine."""
    one = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(one, "1"), "PYTHONHASHSEED": "0"}


def table(plan: Plan, results: list[Result]) -> str:
    """Return what was done, one line for each target, and what was found."""
    found = findings(plan.findings)
    engines = list(plan.engines)
    head = ["target", *engines, "executions", "exec/s", "peak MiB", "findings"]
    rows = [head]
    for r in results:
        own = sum(Path(p).name.rpartition("-")[0] == r.target for p, _ in found)
        rows.append([
            r.target, *(f"{r.executions.get(e, 0):,}" for e in engines), f"{r.total:,}",
            f"{r.total / max(r.seconds, 1e-3):,.0f}", f"{r.peak / MIB:.0f}", str(own),
        ])  # fmt: skip
    total = sum(r.total for r in results)
    sums = [sum(r.executions.get(e, 0) for r in results) for e in engines]
    peak = max((r.peak for r in results), default=0)
    rows.append([
        "all", *(f"{n:,}" for n in sums), f"{total:,}", "", f"{peak / MIB:.0f}", str(len(found)),
    ])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    lines.insert(1, "-" * len(lines[0]))
    lines.insert(-1, "-" * len(lines[0]))
    lines += [f"\n{text}\n    {path}" for path, text in found]
    return "\n".join(lines)
