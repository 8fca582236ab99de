"""What a table of several nets needs: times that are fair, and results that survive a crash."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minicnn._files import write_file

FEWEST = 5  # turns, however long they take


def time_in_turns(
    looks: dict[str, Callable[[int], object]], turns: int, seconds: float
) -> dict[str, float]:
    """Return the median milliseconds of each function, called with the number of the turn.

    In a turn each is called once, another one first each time: what slows the machine down for a
    while slows all of them down. After so many seconds there are no more turns.
    """
    spent: dict[str, list[float]] = {name: [] for name in looks}
    for look in looks.values():
        look(0)  # compiles, and warms up
    end, names = time.perf_counter() + seconds, list(looks)
    for turn in range(turns):
        if turn >= FEWEST and time.perf_counter() > end:
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            looks[name](turn)
            spent[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(own) for name, own in spent.items()}


def write_results(results: Sequence[Any], path: Path | None) -> None:
    """Write what is known so far, a line of JSON for each dataclass."""
    if path is not None:
        lines = [json.dumps({k: _plain(v) for k, v in asdict(r).items()}) for r in results]
        write_file(path, ("\n".join(lines) + "\n").encode())


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
