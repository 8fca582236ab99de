"""Readings of a process, to see whether something in it grows."""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

READINGS = 20
WINDOW = 25  # steps
PATIENCE = 3.0  # seconds that threads may take to end
# What each may grow by in the second half
LIMITS = {
    "memory": 4 << 20,
    "objects": 200,
    "threads": 0,
    "open files": 0,
    "mappings": 10,
    "files": 7,  # the best checkpoint may be one of the newest, or one more
    "checkpoint": 1024,
}
SLOWER, SAVED_SLOWER = 1.1, 1.5  # how much longer a step and a save may take


class Reading(NamedTuple):
    """What a process holds at one moment."""

    memory: int
    objects: int
    threads: int
    open_files: int
    mappings: int
    files: int
    checkpoint: int


class Watch:
    """Takes readings of the process, and of a run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder.
    count : int
        How many turns there will be.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count
        self.readings: list[Reading] = []
        self.times: list[float] = []  # seconds of each turn
        self.saves: list[float] = []
        self.saved = 0  # bytes of the largest checkpoint since the last reading
        self._turn, self._since = 0, time.perf_counter()
        gc.collect()
        gc.freeze()  # what is there already need not be looked at each time

    def turn(self) -> None:
        """Note that one more turn is done."""
        self._turn += 1
        now = time.perf_counter()
        self.times.append(now - self._since)
        if self._turn % max(1, self.count // READINGS) == 0:
            self.readings.append(self._read())
        self._since = time.perf_counter()

    def save(self, checkpoint: Path, seconds: float) -> None:
        """Note that a checkpoint was written."""
        self.saves.append(seconds)
        self.saved = max(self.saved, sum(p.stat().st_size for p in checkpoint.iterdir()))

    def _settle(self) -> None:
        """Collect garbage, and let threads end that were told to; on a busy machine that takes."""
        gc.collect()
        most = max((reading.threads for reading in self.readings), default=10**9)
        end = time.monotonic() + PATIENCE
        while threading.active_count() > most and time.monotonic() < end:
            time.sleep(0.01)
            gc.collect()

    def _read(self) -> Reading:
        self._settle()
        process = Path("/proc/self")
        pages = int((process / "statm").read_text().split()[1])
        files = [p for p in self.folder.rglob("*") if "tfevents" not in p.name]
        saved, self.saved = self.saved, 0
        return Reading(
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
            objects=len(gc.get_objects()),
            threads=threading.active_count(),
            open_files=len(os.listdir(process / "fd")),
            mappings=len((process / "maps").read_bytes().splitlines()),
            files=len(files),
            checkpoint=saved,
        )


def growth(watch: Watch) -> dict[str, int]:
    """Return by how much the highest readings of the second half are above those of the first."""
    half = len(watch.readings) // 2
    early, late = (
        [max(column) for column in zip(*readings, strict=True)]
        for readings in (watch.readings[:half], watch.readings[half:])
    )
    return {name: b - a for name, a, b in zip(LIMITS, early, late, strict=True)}


def ratios(watch: Watch) -> dict[str, Any]:
    """Return the milliseconds of a late turn and save, and their ratios to early ones."""
    tenth = max(1, len(watch.times) // 10)
    early, late = watch.times[tenth : 2 * tenth], watch.times[-tenth:]
    found = {"step": least(late) * 1e3, "slower": least(late) / least(early)}
    if len(watch.saves) >= 8:
        quarter = len(watch.saves) // 4
        first, last = min(watch.saves[:quarter]), min(watch.saves[-quarter:])
        found |= {"save": last * 1e3, "save slower": last / first}
    return found


def least(times: list[float]) -> float:
    """Return the least median of some steps in a row: that of a quiet moment."""
    size = min(WINDOW, len(times))
    return min(
        statistics.median(times[at : at + size]) for at in range(0, len(times) - size + 1, size)
    )


def faults(found: dict[str, Any], counts_only: bool) -> list[str]:
    """Say what grows."""
    said = []
    for name, grown in found["grown"].items():
        if grown > LIMITS[name] and not (counts_only and name == "memory"):
            said.append(f"{name} by {grown:,}")
    for name, what, limit in (("slower", "step", SLOWER), ("save slower", "save", SAVED_SLOWER)):
        if not counts_only and found.get(name, 0) > limit:
            said.append(f"time of a {what} by {found[name] - 1:.0%}")
    return said
