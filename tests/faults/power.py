"""What a power cut leaves of files: what was forced to the disk, and of the rest anything.

As journalling file systems have it: changes of names come to the disk in their order, and all
earlier ones with every fsync; what was written into a file and not forced is there up to some
byte.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any


class Journal:
    """Remembers what a power cut could undo.

    Parameters
    ----------
    folder : str
        Whose files count.
    random : Random
        Decides what is undone.
    """

    def __init__(self, folder: str, random: Random) -> None:
        self._folder, self._random = folder, random
        self._undo: list[Callable[[], None]] = []  # changes of names since the last fsync
        self._safe: dict[tuple[int, int], int] = {}  # bytes on the disk, by device and inode
        for path in (p for p in Path(folder).rglob("*") if p.is_file()):
            self._safe[_key(path.stat())] = path.stat().st_size  # of earlier processes
        self._os = {name: getattr(os, name) for name in ("rename", "unlink", "rmdir", "mkdir")}

    def before(self, place: str, path: Any, *others: Any, dir_fd: int | None = None) -> None:
        """Remember how to undo what is about to be done."""
        if dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fspath(path))
        path = os.path.abspath(os.fspath(path))
        if place == "rename":
            self._rename(path, os.path.abspath(os.fspath(others[0])))
        elif place == "unlink":
            content = Path(path).read_bytes()
            self._forget(path)
            self._undo.append(lambda: self._write(path, content))
        elif place == "rmdir":
            self._undo.append(lambda: self._os["mkdir"](path))
        elif place == "mkdir" and not os.path.exists(path):
            self._undo.append(lambda: self._remove(path))
        elif place == "open":
            self._open(path)

    def _rename(self, source: str, target: str) -> None:
        old = Path(target).read_bytes() if os.path.isfile(target) else None
        if old is not None:
            self._forget(target)

        def back() -> None:
            self._os["rename"](target, source)
            if old is not None:
                self._write(target, old)

        self._undo.append(back)

    def _open(self, path: str) -> None:
        if not os.path.exists(path):
            self._undo.append(lambda: self._os["unlink"](path))
            return
        state = os.stat(path)
        self._safe.setdefault(_key(state), state.st_size)

    def _forget(self, path: str) -> None:
        """Its number may become another file's."""
        self._safe.pop(_key(os.stat(path, follow_symlinks=False)), None)

    def synced(self, descriptor: Any) -> None:
        """Take note that a file, and all names, are on the disk."""
        self._undo.clear()
        state = os.fstat(descriptor if isinstance(descriptor, int) else descriptor.fileno())
        self._safe[_key(state)] = state.st_size

    def cut(self) -> None:
        """Leave what could be on the disk after a power cut now."""
        for path in (p for p in Path(self._folder).rglob("*") if p.is_file()):
            state = path.stat()
            safe = min(self._safe.get(_key(state), 0), state.st_size)
            os.truncate(
                path, self._random.choice([safe, self._random.randint(safe, state.st_size)])
            )
        for undo in reversed(self._undo[self._random.randint(0, len(self._undo)) :]):
            undo()

    def _remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # it could not be made: its parent was missing
            self._os["rmdir"](path)

    @staticmethod
    def _write(path: str, content: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, content)
        os.close(descriptor)


def _key(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def cut_and_kill(journal: Journal) -> None:
    """Kill this process, having cut the power: no thread of it goes on with what is left."""
    victim = os.getpid()
    if os.fork() == 0:
        os.kill(victim, signal.SIGSTOP)
        while not _stands_still(victim):
            time.sleep(0.001)
        try:
            journal.cut()
        finally:
            os.kill(victim, signal.SIGKILL)
            os._exit(0)
    while True:
        time.sleep(1)


def _stands_still(process: int) -> bool:
    tasks = Path(f"/proc/{process}/task")
    if not tasks.exists():  # another system; it was told
        time.sleep(0.1)
        return True
    states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()]
    return set(states) <= {"T", "t"}
