"""What the readers of all layouts share: judging boxes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from minicnn._reading import shown
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.objects.object_set import Annotation
from minicnn.errors import DataError

__all__ = [
    "Found",
    "Layout",
    "Record",
    "annotated",
    "class_names",
    "gathered",
    "number_in",
    "numbered",
    "whole_corners",
]

Item = TypeVar("Item")
_NUMBER = re.compile(
    r"[-+]?(?:[0-9]{1,15}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?|[-+]?inf|nan"
)
_LONGEST_LIST = 600  # characters of names in a message
_ROUNDING = 1.0  # pixel: what reaches no farther outside was rounded, and is cut off silently


class Found(NamedTuple):
    """An object as a file tells it: its box (y0, x0, y1, x1) in pixels, half-open."""

    box: tuple[float, float, float, float]
    label: str
    place: str
    difficult: bool = False
    crowd: bool = False


class Record(NamedTuple):
    """An image as its files tell it; its size is its height and width in pixels."""

    file: str
    size: tuple[int, int]
    objects: tuple[Found, ...]


class Layout(NamedTuple):
    """What a reader found: the images of each part, and the names of the classes in order."""

    parts: dict[str, list[Record]]
    names: tuple[str, ...]


def gathered(
    items: Iterable[Item], make: Callable[[Item, str], Found], where: str, faults: Faults
) -> tuple[Found, ...]:
    """Make objects of what a file lists; tell `faults` of what makes none.

    Parameters
    ----------
    items : iterable
        What is listed.
    make : callable
        Makes an object of an item and its place, or raises a DataError.
    where : str
        Of the list: the place of an item is this, a space and its number from 1 on.
    faults : Faults
        Is told of what is broken.

    Returns
    -------
    tuple of Found
        The objects, in their order.

    Raises
    ------
    DataError
        If something is broken, unless `faults` skips it.
    """
    found = []
    for number, item in enumerate(items, 1):
        try:
            found.append(make(item, f"{where} {number}"))
        except DataError as error:
            faults.add(f"{where} {number}", str(error))
    return tuple(found)


def number_in(text: str, what: str) -> float:
    """Read a number as it is usually written; float() would take ``1_000`` and any script."""
    if not _NUMBER.fullmatch(text):
        raise DataError(f"{what} is '{shown(text[:40])}', not a number")
    return float(text)


def whole_corners(
    left: float, top: float, right: float, bottom: float
) -> tuple[float, float, float, float]:
    """Check corners as a file tells them, before half a pixel or one is added anywhere.

    Parameters
    ----------
    left, top, right, bottom : float
        As they are written.

    Returns
    -------
    tuple of float
        The same.

    Raises
    ------
    DataError
        If the box is reversed, has no width or height, or is not finite.
    """
    text = f"box from ({left:g}, {top:g}) to ({right:g}, {bottom:g})"
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise DataError(f"{text} is not finite")
    if right < left or bottom < top:
        raise DataError(f"{text} is reversed")
    if right == left or bottom == top:
        raise DataError(f"{text} has no area")
    return left, top, right, bottom


def annotated(record: Record, names: dict[str, int], faults: Faults) -> Annotation:
    """Judge the objects of an image; tell `faults` of those that are left out or cut off.

    Parameters
    ----------
    record : Record
        As its files tell it.
    names : dict of str to int
        The classes by their names.
    faults : Faults
        Is told of what is broken.

    Returns
    -------
    Annotation
        What can be used.

    Raises
    ------
    DataError
        If something is broken, unless `faults` skips it.
    """
    good: list[tuple[Found, tuple[float, ...]]] = []
    for found in record.objects:
        try:
            if found.label not in names:
                raise DataError(_unknown(found.label, names))
            box, cut = _inside(found.box, record.size)
        except DataError as error:
            faults.add(found.place, str(error))
            continue
        if cut:
            faults.add(found.place, cut)
        good.append((found, box))
    return Annotation(
        record.file,
        np.array([box for _, box in good], np.float32).reshape(-1, 4),
        np.array([names[found.label] for found, _ in good], np.int64),
        np.array([found.difficult for found, _ in good], bool),
        np.array([found.crowd for found, _ in good], bool),
    )


def _unknown(label: str, names: Iterable[str]) -> str:
    known = shown(", ".join(names))
    known = known if len(known) <= _LONGEST_LIST else f"{known[:_LONGEST_LIST]} ..."
    return f"class '{shown(label)}' is unknown; there are {known}"


def _inside(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[tuple[float, ...], str]:
    """Cut a box off at the border of its picture; also say so, unless it was but rounded."""
    y0, x0, y1, x1 = box
    height, width = size
    sides = max(y0, 0.0), max(x0, 0.0), min(y1, height), min(x1, width)
    inside = tuple(float(np.float32(side)) for side in sides)  # as it is kept
    text = f"box (y0, x0, y1, x1) = ({y0:g}, {x0:g}, {y1:g}, {x1:g})"
    if not (inside[2] > inside[0] and inside[3] > inside[1]):
        raise DataError(
            f"{text} has no area inside its picture of {height} x {width} pixels (H x W)"
        )
    beyond = max(-y0, -x0, y1 - height, x1 - width)
    if beyond <= _ROUNDING:
        return inside, ""
    return inside, (
        f"{text} reaches {beyond:g} pixels out of its picture of {height} x {width} (H x W); if "
        "skipped, it is cut off at the border"
    )


def class_names(parts: dict[str, list[Record]]) -> tuple[str, ...]:
    """Return the names of the classes that occur in any part, sorted."""
    records = (record for part in parts.values() for record in part)
    return tuple(sorted({found.label for record in records for found in record.objects}))


def numbered(names: Sequence[str], where: str) -> dict[str, int]:
    """Return each name's number; refuse names that come twice, in what is said to be where."""
    table = {name: i for i, name in enumerate(names)}
    if len(table) < len(names):
        twice = next(name for i, name in enumerate(names) if table[name] != i)
        raise DataError(f"{where}: class '{shown(twice)}' is named twice; name each once")
    return table
