"""One run in one folder: a lock that the system itself takes back when the process ends."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import time
import warnings
import weakref
from pathlib import Path
from typing import Any, Self

from minicnn.errors import CheckpointError, CheckpointWarning

NAME = ".lock"
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_TRIES, _PAUSE = 5, 0.02  # how often to ask, after so many seconds
_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


class FolderLock:
    """The right to write into a folder, inside a ``with`` block; blocks may be nested.

    It lies on an open file, so there is none left when the process is killed, on whatever
    machine. The file itself stays, and says for people who was the last.

    Parameters
    ----------
    folder : Path
        The folder; created if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: Any = None
        self._depth = 0

    @property
    def held(self) -> bool:
        """Whether this object has the lock now."""
        return self._file is not None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises
        ------
        CheckpointError
            If another process, or another object of this one, has it, or the folder cannot be
            written to.
        """
        if not self._depth:
            self._take()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go, at the end of the outermost block."""
        self._depth = max(0, self._depth - 1)
        if not self._depth:
            self._release()

    def _take(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(_open(self.folder / NAME), "r+b", buffering=0)
        except OSError as error:
            raise CheckpointError(
                f"cannot write to {self.folder}: {error.strerror or error}; give another model_dir"
            ) from error
        try:
            _lock_soon(file)
        except OSError as error:
            if error.errno in _BUSY:
                who = holder_of(self.folder)
                file.close()
                raise CheckpointError(
                    f"{self.folder} is in use by {who}; wait until it has ended, or give another "
                    "model_dir"
                ) from None
            warnings.warn(
                f"{self.folder} lies on a file system without locks ({error.strerror}); see to it "
                "that no second run uses it",
                CheckpointWarning,
                stacklevel=4,
            )
        self._file = file
        _held.add(self)
        with contextlib.suppress(OSError):  # a full disk: it is only for people
            self._sign()

    def _sign(self) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        me = {"process": os.getpid(), "host": socket.gethostname(), "since": now}
        self._file.truncate(0)
        self._file.seek(0)
        self._file.write(json.dumps(me).encode() + b"\n")

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        _held.discard(self)


def holder_of(folder: Path) -> str:
    """Say who has the lock of a folder, or had it last."""
    try:
        with (folder / NAME).open("rb") as file:
            found = json.loads(file.read(1000))
        process, host, since = (found[key] for key in ("process", "host", "since"))
        return f"process {process!r} on {host!s:.100} since {since!s:.30}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"


def _open(path: Path) -> int:
    # Neither truncated, for another process may have signed it, nor followed to another place
    return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)


def _lock_soon(file: Any) -> None:
    """Lock a file, at once or after those have let it go who only ask whether it is locked."""
    for left in reversed(range(_TRIES)):
        try:
            _lock(file)
            return
        except OSError as error:
            if not left or error.errno not in _BUSY:
                raise
            time.sleep(_PAUSE)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: Any) -> None:
        file.seek(1 << 30)  # what is locked cannot be read there, so a byte that is not used
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: Any) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _forget() -> None:
    """In a forked child: the lock is the parent's, and must not outlive it in us."""
    for lock in list(_held):
        lock._release()
        lock._depth = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
