"""What all apps show alike: how far something is, figures as files, numbers as JSON."""

from __future__ import annotations

import io
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Progress", "check_apart", "free_name", "json_number", "png_of"]

_REDRAW = 0.2  # seconds


class Progress:
    """Shows on a terminal how many of a number of images are done; elsewhere it is silent.

    Parameters
    ----------
    what : str
        What is done with them.
    total : int
        How many there are.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._drawn = what, total, 0.0
        self._out = sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None

    def __call__(self, done: int, total: int | None = None) -> None:
        """Show a number, if the last one was shown a while ago."""
        now = time.perf_counter()
        if self._out is not None and now - self._drawn > _REDRAW:
            self._drawn = now
            print(f"\r{self._what} {done:,} of {total or self._total:,}", end="", file=self._out)
            self._out.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._out is not None and self._drawn:
            print("\r\x1b[K", end="", file=self._out, flush=True)


def png_of(figure: Figure) -> bytes:
    """Return a figure as a file of PNG."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()


def check_apart(folder: Path, *pictures: Path) -> None:
    """Refuse to write what is found in pictures to where one of them lies, maybe over it."""
    for path in pictures:
        if folder.resolve() in (path.parent.resolve(), path.resolve().parent):
            raise ConfigError(
                f"{path} lies in {folder} itself, where what is found would be written over it; "
                "give another --out"
            )


def free_name(path: Path, taken: set[str], *endings: str) -> str:
    """Return the name of a PNG for a picture that is not taken yet, and take it.

    With it, the names are taken that have one of the endings in place of ``.png``.
    """
    stem, number = path.stem, 1
    while taken & (names := {stem + ending for ending in (".png", *endings)}):
        number += 1
        stem = f"{path.stem}-{number}"
    taken |= names
    return f"{stem}.png"


def json_number(value: float) -> float | None:
    """Return a number as JSON has it, which knows no NaN."""
    return None if math.isnan(value) else float(value)
