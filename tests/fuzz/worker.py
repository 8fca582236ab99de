"""A process that runs one target under limits: ``python -m tests.fuzz.worker '{...}'``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.fuzz import engines
from tests.fuzz.execution import Outcome, Runner, load
from tests.fuzz.record import Record, save_finding

MIB = 2**20
HANGS = 5  # after which a process gives up, for nothing else would be found in time
GIVES_UP = 99  # its exit code then; libFuzzer has 77 of its own


def main(text: str) -> None:
    """Run what the campaign asks for; see `tests.fuzz.campaign`."""
    task = json.loads(text)
    folder, found = Path(task["folder"]), Path(task["findings"])
    name, package = task["target"], task["package"]
    if task["engine"] == "atheris":
        target = engines.load_watched(name, package)
    else:
        target = load(name, package)
        getattr(target, "prepare", lambda: None)()
    (folder / "box").mkdir()
    runner = Runner(target, folder / "box", task["limit"])
    record = Record(folder / "record")
    hung: list[bytes] = []

    def execute(data: bytes) -> Outcome:
        record.begin(data)
        outcome = runner.execute(data)
        record.end()
        if outcome.fault:
            save_finding(found, name, outcome.fault, outcome.details, data, outcome.path)
        if not record.executions & 1023 and (left := runner.outside()):
            save_finding(found, name, f"wrote {left} outside of its folder", "", data)
        if outcome.hung:
            hung.append(data)
            if len(hung) >= HANGS:
                os._exit(GIVES_UP)  # atheris would go on over any exception but its own
        return outcome

    limit_memory(task["memory"])
    options: dict[str, Any] = {k: task[k] for k in ("seed", "runs", "seconds")}
    with runner.watched():
        if task["engine"] == "atheris":
            engines.follow_coverage(target, execute, **options, folder=folder)
        else:
            engines.plain(target, execute, **options)


def limit_memory(mebibytes: int) -> None:
    """Let this process have no more memory than that, where the system can."""
    try:
        import resource
    except ImportError:
        return
    now = _status()
    if now is None:
        return
    # What is reserved but not used (by BLAS, by threads) does not count
    size = mebibytes * MIB - now["VmRSS"] + now["VmSize"]
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))  # so that a leak shows
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _status() -> dict[str, int] | None:
    """Return the sizes of this process in bytes, None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    sizes = (line.split() for line in lines if line.endswith(" kB"))
    return {key.removesuffix(":"): int(kib) * 1024 for key, kib, _ in sizes}


if __name__ == "__main__":
    main(sys.argv[1])
