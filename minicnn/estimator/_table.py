"""A CSV file with a row for each step, which a run that is resumed goes on with.

The first row names the columns, quoted where a name needs it, as everywhere in CSV; all
others hold numbers.  Nothing else is ever taken for a row: not what a crash has torn, nor
zeros that a power cut has left, nor what a person has typed in between.
"""

from __future__ import annotations

import contextlib
import csv
import os
import re
import stat
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from minicnn import _files
from minicnn.errors import CheckpointError, CheckpointWarning, ConfigError
from minicnn.estimator._appending import AppendedFile, cannot_write

_OWNER = "OutputHook"
_LONGEST = 1 << 20  # bytes in a row; what is longer is none
_DIGITS = 18  # in a step; what has more is none
_REMEMBERED = 100  # tables
_SHOWN = 5  # numbers of lines in a warning
_NUMBER = rb"(?:[-+]?(?:\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|inf|nan))"
_ROW = re.compile(rb"%b(?:,%b)*\r?\n" % (_NUMBER, _NUMBER))


class Table:
    """A CSV file with a column "step", to which rows are appended.

    Parameters
    ----------
    path : Path
        The file, or a link to it; created if need be.
    last_step : int
        Rows of later steps are dropped, and so is what is no row.

    Raises
    ------
    ConfigError
        If something else than a table is there; it is not touched.
    OutputError
        If it cannot be read or written.
    """

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        if "\0" in str(path):
            raise ConfigError(f"{_OWNER}: path is {str(path)!r}; leave out the NUL character")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(_OWNER, path, error) from error
        self._columns: list[str] = []
        self._kept = -1  # the last step that was there already
        self._newest = -1  # the last step
        self._file: AppendedFile
        self._open(last_step)

    def write(self, row: dict[str, int | float]) -> None:
        """Append a row, all of it or nothing; a kill does not lose it.

        Raises
        ------
        ConfigError
            If the file has other columns.
        OutputError
            If it cannot be written.
        """
        columns = [_plain(name) for name in row]
        # A person has saved it with an editor, or deleted it; or a kill came between an evaluation
        # and the checkpoint that knows of it
        if self._file.replaced() or row["step"] <= self._kept:
            self._file.close()
            self._open(int(row["step"]) - 1)
        if self._columns and columns != self._columns:
            raise ConfigError(
                f"{_OWNER}: {self.path} has the columns {self._columns}, the run now has "
                f"{columns}; move the file away, or give another path (and give each metric at "
                "every step, NaN where it has no value)"
            )
        line = (",".join(map(repr, row.values())) + "\n").encode()
        self._file.append(line if self._columns else _header(columns) + line)
        self._columns, self._newest = columns, max(self._newest, int(row["step"]))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        with contextlib.suppress(OSError):
            _left[self._file.path] = _Left(_look_of(self._file.path), self._columns, self._newest)
        while len(_left) > _REMEMBERED:
            _left.pop(next(iter(_left)))

    def _open(self, last_step: int) -> None:
        try:
            target = Path(os.path.realpath(self.path))  # a link stays one
            there = _has_rows(target)
            self._columns, self._kept = _prepared(target, last_step) if there else ([], -1)
            self._newest = self._kept
        except OSError as error:
            raise cannot_write(_OWNER, self.path, error) from error
        except CheckpointError as error:  # it was to be written as a whole
            cause = error.__cause__
            reason = cause if isinstance(cause, OSError) else error
            raise cannot_write(_OWNER, self.path, reason) from cause
        self._file = AppendedFile(target, _OWNER)


class _Left(NamedTuple):
    """How this process has left a table."""

    look: tuple[int, ...]
    columns: list[str]
    newest: int  # the last step


# So that many short calls of `train` do not read a long table each time
_left: dict[Path, _Left] = {}


def _look_of(path: Path) -> tuple[int, ...]:
    """Return what is another when somebody has written to a file."""
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _prepared(path: Path, last_step: int) -> tuple[list[str], int]:
    """Let a table be such that rows can be appended; return the columns and the last step left."""
    left = _left.pop(path, None)
    if left is not None and left.newest <= last_step and left.look == _look_of(path):
        return left.columns, left.newest
    return _cut(path, last_step)


def _has_rows(path: Path) -> bool:
    """Tell whether there is a file to be read; refuse what is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode) and not stat.S_ISCHR(mode):  # a pipe would let us wait for ever
        raise ConfigError(f"{_OWNER}: {path} is no file; give another path")
    return stat.S_ISREG(mode)  # nor is there anything to be read from /dev/null


def _cut(path: Path, last_step: int) -> tuple[list[str], int]:
    """Drop the rows after a step, and what is no row; return the columns and the last step left."""
    odd: list[int] = []  # the numbers of lines that are no rows
    kept, lost, newest = 0, 0, -1  # rows; odd lines before one; the last step of a row
    with path.open("rb") as file:
        head = _head(file)
        columns = _columns(path, head)
        tidy = not columns or head == _header(columns)  # whether there is nothing to be put right
        end, gap = file.tell(), False
        for number, line in enumerate(_lines(file), head.count(b"\n") + 1):
            step = _step_of(line, columns)
            if step is None:
                odd.append(number)
            if step is None or step > last_step:
                gap = True
                continue
            tidy = tidy and not gap and not line.endswith(b"\r\n")
            end, kept, lost, newest = file.tell(), kept + 1, len(odd), max(newest, step)
    if not columns and odd:
        raise ConfigError(_no_table(path))  # only a file that ends with its torn header is ours
    if kept and not tidy:
        _files.write_file(path, _header(columns) + b"".join(_tidied(path, columns, last_step)))
    elif path.stat().st_size > (end if kept else 0):
        os.truncate(path, end if kept else 0)
    if lost:
        shown = ", ".join(map(str, odd[: min(lost, _SHOWN)])) + (", ..." if lost > _SHOWN else "")
        warnings.warn(
            f"{_OWNER}: {path}: dropped {lost} lines that are no rows of this table: line {shown}",
            CheckpointWarning,
            stacklevel=2,
        )
    return (columns, newest) if kept else ([], -1)


def _head(file: IO[bytes]) -> bytes:
    """Return the first row; a name in it may go over several lines."""
    head = file.readline(_LONGEST)
    while head.count(b'"') % 2 and len(head) < _LONGEST and (more := file.readline(_LONGEST)):
        head += more
    return head


def _columns(path: Path, head: bytes) -> list[str]:
    """Return the names of the columns; none of a first row that a crash has torn."""
    if not head.strip(b"\0\r\n"):
        return []
    if not head.endswith(b"\n") or head.count(b'"') % 2:
        if head[:5] == b"step,"[: len(head)] and len(head) < _LONGEST:
            return []
        raise ConfigError(_no_table(path))
    try:
        text = head.decode("utf-8-sig")  # which is how Excel begins a file
        columns = next(csv.reader([text]), [])
    except (UnicodeDecodeError, csv.Error):
        columns = []
    if "step" not in columns:
        raise ConfigError(_no_table(path))
    return columns


def _no_table(path: Path) -> str:
    return (
        f"{_OWNER}: {path} is no table of a run, for its first line names no column 'step'; move "
        "it away, or give another path"
    )


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield all lines; of one that is too long only the beginning."""
    while line := file.readline(_LONGEST):
        rest = line
        while len(rest) == _LONGEST and not rest.endswith(b"\n"):
            rest = file.readline(_LONGEST)
        yield line


def _step_of(line: bytes, columns: Sequence[str]) -> int | None:
    """Return the step of a row, None of what is no row."""
    if not columns or line.count(b",") != len(columns) - 1 or not _ROW.fullmatch(line):
        return None
    step = line.split(b",")[columns.index("step")].strip()
    return int(step) if step.isdigit() and len(step) <= _DIGITS else None


def _tidied(path: Path, columns: Sequence[str], last_step: int) -> Iterator[bytes]:
    """Yield the rows that are kept, as they should be."""
    with path.open("rb") as file:
        _head(file)
        for line in _lines(file):
            step = _step_of(line, columns)
            if step is not None and step <= last_step:
                yield line.rstrip(b"\r\n") + b"\n"


def _header(columns: Sequence[str]) -> bytes:
    return (",".join(map(_quoted, columns)) + "\n").encode()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if re.search(r'[,"\r\n]', name) else name


def _plain(name: str) -> str:
    """Return a name that UTF-8 can hold."""
    return name.encode("utf-8", "backslashreplace").decode()
