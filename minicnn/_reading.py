"""Reading files that others made: only regular ones, only up to a size, and named safely."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

from minicnn.errors import DataError

__all__ = ["check_size", "explained", "open_regular", "printable", "read_regular", "shown"]

_LONGEST = 1000  # characters of a name in a message
_FLAGS = os.O_RDONLY  # and where the system has them: a pipe without a writer does not block, ...
for _name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def shown(name: str | os.PathLike[str]) -> str:
    r"""Return a name as it can be printed anywhere: on one line, escaped, and cut if very long.

    Parameters
    ----------
    name : str or PathLike
        A file's name, of whatever bytes.

    Returns
    -------
    str
        The name itself if all of it is printable.

    Examples
    --------
    >>> shown("Train/0/signe arrêt.png")
    'Train/0/signe arrêt.png'
    >>> print(shown("a\x1b[2J\udcff.png"))
    a\x1b[2J\xff.png
    """
    text = os.fspath(name)
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 3 :]}"
    return printable(text)


def printable(text: str) -> str:
    r"""Return text that does nothing to a terminal: other characters are written ``\x1b``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def open_regular(path: str | os.PathLike[str], flags: int = 0) -> int:
    """Open a regular file for reading, and nothing else: no pipe that blocks, no endless device.

    Parameters
    ----------
    path : str or PathLike
        The file.
    flags : int, default 0
        More flags of ``os.open``.

    Returns
    -------
    int
        A file descriptor; the caller closes it.

    Raises
    ------
    DataError
        If there is something else under that name.
    OSError
        As ``os.open`` raises it.
    """
    descriptor = os.open(path, _FLAGS | flags)
    kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
    if kind != stat.S_IFREG:
        os.close(descriptor)
        raise DataError(f"is {_KINDS.get(kind, 'something special')}, not a file")
    return descriptor


def read_regular(path: str | os.PathLike[str], most: int, flags: int = 0) -> bytes:
    """Read a regular file of at most so many bytes.

    Parameters
    ----------
    path : str or PathLike
        The file.
    most : int
        The most bytes that are accepted.
    flags : int, default 0
        More flags of ``os.open``.

    Returns
    -------
    bytes
        All of the file.

    Raises
    ------
    DataError
        If it is no regular file, is larger, or changed while it was read.
    OSError
        As the system raises it; see `explained`.
    """
    descriptor = open_regular(path, flags)
    try:
        size = os.fstat(descriptor).st_size
        check_size(size, most)
        data = os.read(descriptor, size + 1)  # one more: a file that grows is noticed
        while len(data) < size and (more := os.read(descriptor, size + 1 - len(data))):
            data += more
    finally:
        os.close(descriptor)
    if len(data) != size:
        raise DataError(f"changed while it was read (from {size:,} bytes); try again")
    return data


def check_size(size: int, most: int) -> None:
    """Refuse what claims too many bytes.

    Parameters
    ----------
    size : int
        What it claims.
    most : int
        The most that is accepted.

    Raises
    ------
    DataError
        If it claims more.
    """
    if size > most:
        raise DataError(f"claims {size:,} bytes; more than {most:,} are refused")


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn what the system says of a file into a DataError; the caller names the file.

    Raises
    ------
    DataError
        In place of an OSError, or of the ValueError for a name that no file can have.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("is missing") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"has a name that no file can have ({error})") from error
