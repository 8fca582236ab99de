"""What apps show alike: how far something is, data and their parts, pictures, numbers."""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from minicnn._command_line import say
from minicnn._files import write_file
from minicnn.apps._skipping import announce_skipped
from minicnn.data.pictures import read_photograph
from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicnn.apps._images import Parts
    from minicnn.data.masks import MaskSet
    from minicnn.data.objects import ObjectSet

__all__ = [
    "MOST_CLASSES",
    "Progress",
    "Shown",
    "describe_classes",
    "describe_split",
    "json_number",
    "png_of",
    "save_figures",
    "show_pictures",
    "some_rows",
]

MOST_CLASSES = 12  # that are named in a line
SHOWN = 4  # images of those that were held out
PREDICTIONS = "predictions.json"
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

    def clear(self) -> None:
        """Take the number off the terminal, where a line is to be printed; show the next one."""
        if self._out is not None and self._drawn:
            self._drawn = 0.0
            print("\r\x1b[K", end="", file=self._out, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()


class Shown(NamedTuple):
    """What was found in a picture: as the list has it, and in lines to be printed."""

    told: dict[str, Any]
    lines: list[str]


def png_of(figure: Figure) -> bytes:
    """Return a figure as a file of PNG."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    return drawn.getvalue()


def save_figures(figures: Mapping[str, Figure], model_dir: Path) -> None:
    """Save figures under their names beside those that training leaves there, and say so."""
    for name, figure in figures.items():
        write_file(model_dir / name, png_of(figure))
    names = ", ".join(sorted([*figures, "curves.png"]))
    say(f"pictures {names} in {model_dir}; every step's loss in training.csv there")


def some_rows(count: int) -> list[int]:
    """Return a few of so many rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, SHOWN).astype(int)).tolist()


def show_pictures(
    options: argparse.Namespace,
    show: Callable[[Path, np.ndarray, Path], Shown],
    content: Mapping[str, Any],
    kinds: str,
    endings: Sequence[str] = (".png",),
) -> list[dict[str, Any]]:
    """Draw what is found in each picture into a folder, with a file that lists it.

    Parameters
    ----------
    options : Namespace
        Which pictures, and where to.
    show : callable
        ``(path, picture uint8 (H, W, 3), where to draw it) -> Shown``: tells what is in one.
    content : dict
        What else the list begins with.
    kinds : str
        What is in the folder then, beside the list.
    endings : sequence of str
        Of the names of all that is written of one picture.

    Returns
    -------
    list of dict
        What `show` told of each.

    Raises
    ------
    ConfigError
        If a picture lies where they are to be drawn.
    """
    folder: Path = options.out or options.model_dir / "predictions"
    _check_apart(folder, options.images)
    taken: set[str] = set()
    found: list[dict[str, Any]] = []
    with Progress("seen", len(options.images)) as progress:
        for path in options.images:
            progress(len(found))
            shown = show(path, read_photograph(path), folder / _free_name(path, endings, taken))
            progress.clear()
            for line in shown.lines:
                say(line)
            found.append(shown.told)
    text = json.dumps({**content, "predictions": found}, indent=2) + "\n"
    write_file(folder / PREDICTIONS, text.encode())
    say(f"{kinds} and {PREDICTIONS} in {folder}")
    return found


def _check_apart(folder: Path, pictures: Sequence[Path]) -> None:
    """Refuse to write what is found in pictures to where one of them lies, maybe over it."""
    for path in pictures:
        if folder.resolve() in (path.parent.resolve(), path.resolve().parent):
            raise ConfigError(
                f"{path} lies in {folder} itself, where what is found would be written over it; "
                "give another --out"
            )


def _free_name(path: Path, endings: Sequence[str], taken: set[str]) -> str:
    """Return the name of a PNG for a picture that is not taken yet, with any ending; take all."""
    stem, number = path.stem, 1
    while taken & (names := {stem + ending for ending in endings}):
        number += 1
        stem = f"{path.stem}-{number}"
    taken |= names
    return f"{stem}.png"


def json_number(value: float) -> float | None:
    """Return a number as JSON has it, which knows no NaN."""
    return None if math.isnan(value) else float(value)


def describe_classes(
    images: ObjectSet | MaskSet, counts: np.ndarray, shown: Callable[[int], str], drawn: bool
) -> None:
    """Print how common classes are, the commonest first, and what else there is to know."""
    order = np.argsort(-counts, kind="stable")
    named = [f"{images.names[k]} {shown(counts[k])}" for k in order[:MOST_CLASSES]]
    more = f", and {len(order) - MOST_CLASSES} more" if len(order) > MOST_CLASSES else ""
    say(f"         {', '.join(named)}{more}")
    if drawn:
        say("         These streets are DRAWN, not photographed: give --data PATH for real ones.")
    announce_skipped(images.faults)


def describe_split(parts: Parts[Any], size: Sequence[int]) -> None:
    """Print what is learned from and what is held out, of images fitted into that size."""
    height, width = size
    say(f"split    {len(parts.train):,} to learn from, {len(parts.held_out):,} held out "
        f"({parts.how}); all fitted into {height}x{width}")  # fmt: skip
