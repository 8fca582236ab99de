"""Files that a run appends to while it goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import IO

from minicnn import _files
from minicnn.errors import OutputError

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class AppendedFile:
    """A file to which pieces are appended: all of a piece, or nothing of it.

    Nothing waits in memory: what was appended is the system's to keep if the process is killed.

    Parameters
    ----------
    path : Path
        The file; created if need be.
    owner : str
        Who writes, for the error.
    new : bool, default False
        Whether it must not exist yet.

    Raises
    ------
    OutputError
        If it cannot be written.
    """

    def __init__(self, path: Path, owner: str, new: bool = False) -> None:
        self.path, self._owner = path, owner
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            number = os.open(path, flags | (os.O_EXCL if new else 0), 0o666)
            found = os.fstat(number)
            self._file: IO[bytes] = os.fdopen(number, "ab", 0)
        except (OSError, ValueError) as error:
            raise cannot_write(owner, path, error) from error
        self._size = found.st_size if stat.S_ISREG(found.st_mode) else None

    def append(self, content: bytes) -> None:
        """Append a piece and hand it to the system.

        Raises
        ------
        OutputError
            If it cannot be written; the file is as it was before then.
        """
        rest = memoryview(content)
        try:
            while rest:  # a disk that becomes full takes a part
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            if self._size is not None:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._size)
            raise cannot_write(self._owner, self.path, error) from error
        if self._size is not None:
            self._size += len(content)

    def replaced(self) -> bool:
        """Tell whether another file, or none, now has this one's name."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except OSError:
            return True

    def close(self) -> None:
        """Finish the file.

        Raises
        ------
        OutputError
            If a file system, say that of a network, tells only now that it could not write.
        """
        try:
            self._file.close()
        except OSError as error:
            raise cannot_write(self._owner, self.path, error) from error


def cannot_write(owner: str, path: Path, error: Exception) -> OutputError:
    """Return an error that says which file cannot be written, why, and what to do."""
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error)
    advice = "give another path"
    if number in _files.FULL:
        advice = "make room"
    elif number in _REFUSED:
        advice = "make it writable, or give another path"
    elif number in (errno.EEXIST, errno.ENOTDIR):
        reason = "a file is where a folder should be"
    return OutputError(
        f"{owner}: cannot write {path}: {reason}; {advice}, and run the same again to go on"
    )
