"""What the command lines share: errors in one line, text that is safe to show, tables."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NoReturn

from minicnn._reading import printable
from minicnn.errors import MinicnnError

WRONG_USE = 2
WIDTH = 80  # columns, where the output is no terminal
_GAP = 3  # columns between two of rich's
_NAMES = 11  # columns for the name of a fact
_MOST_LINES = 40  # for one fact
SIGNALLED = 128  # plus the signal: what a shell says of a program that one has ended
_SIGPIPE = 13


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and where to read more, and exit with status 2."""
        text = f"{self.prog}: error: {printable(message)} (try {self.prog} --help)\n"
        self.exit(WRONG_USE, text)


def carry_out(name: str, command: Callable[[], int]) -> int:
    """Run a command; return its exit status, or what its failure is told by.

    Parameters
    ----------
    name : str
        What errors begin with.
    command : callable
        Returns the exit status.

    Returns
    -------
    int
        Its status; 2 after an error that was foreseen, told in one line; 130 after Ctrl-C; 141
        when nobody reads the output any more.
    """
    if sys.stdout is None:  # closed by the shell, as in `command >&-`
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            return carry_out(name, command)
    try:
        status = command()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return SIGNALLED + _SIGPIPE
    except (MinicnnError, OSError) as error:
        _discard_output()
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{os.fsdecode(error.filename)}: {error.strerror}"
        print(f"{name}: error: {printable(text)}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return SIGNALLED + signal.SIGINT


def _discard_output() -> None:
    """Have the interpreter say nothing of output that it cannot get rid of at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):  # what is no file needs none of this
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)


def say(line: str = "") -> None:
    """Print a line, whatever is in it, as far as the output has those characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    safe = printable(line).encode(encoding, "backslashreplace").decode(encoding)
    print(safe, flush=True)


def width() -> int:
    """Return how many columns a line may have."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH


def say_fact(name: str, text: str) -> None:
    """Print what something is called and what it is, in as many lines as that takes."""
    head, room = f"{name:<{_NAMES}}", max(width() - _NAMES, 20)
    text = printable(text[: _MOST_LINES * room])
    lines = textwrap.wrap(text, room, break_on_hyphens=False, max_lines=_MOST_LINES)
    for i, line in enumerate(lines or [""]):
        say((" " * _NAMES if i else head) + line)


def byte_size(count: int) -> str:
    """Return a number of bytes as people read it."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.95:
            break
        size, unit = size / 1000, larger
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def say_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> None:
    """Print a table: by rich on a terminal that has room for it, else as aligned text.

    Where a line has no room for a row, the first column, a name, is put on a line of its own.

    Parameters
    ----------
    head : sequence of str
        The titles of the columns.
    rows : sequence of sequences of str
        As many cells in each.
    left : sequence of int
        Which columns begin at the left; the others, numbers, end at the right.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    if sys.stdout.isatty() and sum(widths) + _GAP * len(widths) - _GAP <= width():
        _rich_table(head, rows, left)
        return
    apart = sum(widths) + 2 * len(widths) - 2 > width()  # then a name has a line of its own
    if apart:
        widths[0] = 2
    for row in [head, *rows]:
        cells = [
            f"{cell:<{room}}" if i in left else f"{cell:>{room}}"
            for i, (cell, room) in enumerate(zip(row, widths, strict=True))
        ]
        if apart:
            say(row[0])
            cells[0] = "  "
        say("  ".join(cells).rstrip())


def _rich_table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, title in enumerate(head):
        table.add_column(Text(title), justify="left" if i in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)
