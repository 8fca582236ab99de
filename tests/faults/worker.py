"""Plays the cases that it is told of, one after the other: a process that never starts a thread.

Reads a JSON object ``{"kind": ..., "number": ...}`` a line, answers each with what came of it.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.cases import KINDS, random_of
from tests.faults.night import Night, World

# What victims need: here once, not in every fork
_ONCE = (
    "matplotlib.backends.backend_agg", "matplotlib.figure", "minicnn.kernels.cpu",
    "minicnn.kernels.plain", "minicnn.visualise", "safetensors.numpy",
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a worker works.

    Attributes
    ----------
    world, cases, kept : Path
        What all cases share; where cases are played; where those that failed are kept.
    """

    world: Path
    cases: Path
    kept: Path


def play(world: World, place: Place, seed: int, kind: str, number: int) -> dict[str, Any]:
    """Play one case; return what came of it."""
    name = f"{kind.replace(' ', '-')}-{number}"
    folder = place.cases / name
    shutil.rmtree(folder, ignore_errors=True)
    start = time.monotonic()
    night = Night(world, folder, random_of(seed, kind, number))
    try:
        KINDS[kind].play(night)
    except Exception:  # the campaign itself failed, which must not look like success
        night.say("campaign", traceback.format_exc())
    kept = None
    if night.wrong:
        kept = place.kept / name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, ignore_dangling_symlinks=True)
        (kept / "story.txt").write_text("\n".join(night.story) + "\n")
    night.close()
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "kind": kind,
        "number": number,
        "seconds": time.monotonic() - start,
        "struck": night.struck,
        "missed": night.missed,
        "wrong": night.wrong,
        "kept": str(kept) if kept else None,
    }


def main(arguments: list[str]) -> int:
    """Work until there is no more input."""
    seed, *folders = arguments
    plain = folders[3:] == ["plain"]
    place = Place(*map(Path, folders[:3]))
    place.cases.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the campaign, which closes us
    for name in _ONCE:
        importlib.import_module(name)
    world = World(place.world, plain)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(play(world, place, int(seed), **asked)), flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
