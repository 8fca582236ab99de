"""What a process that fuzzes leaves for the one that watches it, even when it dies."""

from __future__ import annotations

import hashlib
import mmap
import struct
import time
from pathlib import Path

_HEAD = struct.Struct("<QQdd")  # executions done, bytes of the input, first begun, last ended
ROOM = 1 << 20  # bytes of an input that are kept


class Record:
    """A file in memory: how many executions were done, and what is being executed.

    Parameters
    ----------
    path : Path
        The file; it is made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_HEAD.size + ROOM))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _HEAD.size + ROOM)

    def begin(self, data: bytes) -> None:
        """Note what is executed next."""
        kept = data[:ROOM]
        self._map[_HEAD.size : _HEAD.size + len(kept)] = kept
        done, _, began, ended = _HEAD.unpack_from(self._map)
        _HEAD.pack_into(self._map, 0, done, len(kept), began or time.time(), ended)

    def end(self) -> None:
        """Count an execution as done."""
        done, length, began, _ = _HEAD.unpack_from(self._map)
        _HEAD.pack_into(self._map, 0, done + 1, length, began, time.time())

    @property
    def executions(self) -> int:
        """How many executions were done."""
        return int(_HEAD.unpack_from(self._map)[0])

    @property
    def seconds(self) -> float:
        """How long they took together, with the making of their inputs."""
        _, _, began, ended = _HEAD.unpack_from(self._map)
        return max(0.0, ended - began)

    @property
    def data(self) -> bytes:
        """What was executed last."""
        return self._map[_HEAD.size : _HEAD.size + _HEAD.unpack_from(self._map)[1]]

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()


def save_finding(
    folder: Path, target: str, fault: str, details: str, data: bytes, like: object = None
) -> bool:
    """Keep an input and what it did, unless one that is like it is there; say if it was kept."""
    name = f"{target}-{hashlib.sha256(repr(like or fault).encode()).hexdigest()[:8]}"
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / f"{name}.txt").exists():
        return False
    (folder / f"{name}.bin").write_bytes(data)
    text = f"{fault}\n\nreplay: python -m tests.fuzz --replay {target} {folder / name}.bin\n\n"
    (folder / f"{name}.txt").write_text(text + details, encoding="utf-8", errors="replace")
    return True


def findings(folder: Path) -> list[tuple[str, str]]:
    """Return what was found: the file with the input, and one line about it."""
    return [
        (str(p.with_suffix(".bin")), p.read_text(encoding="utf-8").partition("\n")[0])
        for p in sorted(folder.glob("*.txt"))
    ]
