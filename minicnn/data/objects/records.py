"""What the readers of all layouts share: finding files, and judging boxes."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from minicnn._reading import shown
from minicnn.data.archives import Tree
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.objects.object_set import Annotation
from minicnn.data.pictures import picture_size
from minicnn.errors import DataError

__all__ = [
    "Files",
    "Found",
    "Layout",
    "Record",
    "annotated",
    "class_names",
    "gathered",
    "number_in",
    "numbered",
    "part_of",
    "stem",
    "whole_corners",
]

PICTURES = frozenset({"jpg", "jpeg", "png", "bmp", "ppm", "gif", "webp"})
MOST_FILES, MOST_FOLDERS, DEEPEST = 250_000, 10_000, 8
MOST_TEXT = 1024**3  # bytes in all tables of a set together
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "trainval": "trainval",
}
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


@dataclass
class Files:
    """All files of a tree, by folder and by name.

    Parameters
    ----------
    tree : Tree
        A folder or an archive.

    Raises
    ------
    DataError
        If there are absurdly many.
    """

    tree: Tree
    names: list[str] = field(default_factory=list)
    _folders: int = 0
    _left: int = MOST_TEXT

    def __post_init__(self) -> None:
        self._enter("", 0)
        self._pictures: dict[str, list[str]] = defaultdict(list)
        for name in self.pictures():
            self._pictures[stem(name)].append(name)

    def _enter(self, folder: str, depth: int) -> None:
        listing = self.tree.entries(folder)
        self.names.extend(f"{folder}{name}" for name in listing.files if name[0] != ".")
        self._folders += 1
        if len(self.names) > MOST_FILES or self._folders > MOST_FOLDERS:
            raise DataError(
                f"{shown(self.tree.path)}: holds more than {MOST_FILES:,} files or "
                f"{MOST_FOLDERS:,} folders; give the folder of the data set itself"
            )
        for name in listing.folders:
            if depth < DEEPEST and name[0] != "." and name != "__MACOSX":
                self._enter(f"{folder}{name}/", depth + 1)

    def ending(self, *endings: str) -> list[str]:
        """Return the files with these endings, in any case, such as ``"xml"``."""
        return [n for n in self.names if n.rpartition(".")[2].lower() in endings and "." in n]

    def pictures(self) -> list[str]:
        """Return the files that are pictures by their endings."""
        return self.ending(*PICTURES)

    def has_picture(self, name: str) -> bool:
        """Tell whether there is a picture of a name or stem, wherever."""
        return stem(name) in self._pictures

    def picture(self, name: str, near: str, part: str = "all") -> str:
        """Find the picture of a name or stem: in a part, nearest to another file; or refuse."""
        found = self._pictures.get(stem(name), [])
        tail = [n for n in found if f"/{n}".endswith(f"/{name}")]
        found = tail or found
        if not found:
            raise DataError(f"its picture '{shown(name)}' is missing")
        shared = [(part_of(other) == part, *_shared(near, other)) for other in found]
        best = [n for n, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise DataError(
                f"its picture may be '{shown(best[0])}' or '{shown(best[1])}'; keep one of them"
            )
        return best[0]

    def text(self, name: str, most: int) -> str:
        """Read a file of at most so many bytes as text in UTF-8, as long as there is room."""
        data = self.tree.read(name, min(most, self._left))
        self._left -= len(data)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"is not a text file in UTF-8 ({error.reason})") from error

    def place(self, name: str) -> str:
        """Return where a file is, for a person to read."""
        return shown(self.tree.path / name)

    def size(self, name: str) -> tuple[int, int]:
        """Read a picture's height and width; the error names it."""
        try:
            return picture_size(self.tree.read(name))
        except DataError as error:
            raise DataError(f"its picture '{shown(name)}' {error}") from error


def stem(name: str) -> str:
    """Return a file's name without its folders and its ending as a picture, if it has one."""
    last = name.rpartition("/")[2]
    before, dot, ending = last.rpartition(".")
    return before if dot and ending.lower() in PICTURES else last


def _shared(one: str, other: str) -> tuple[int, int]:
    """Tell how near two files are: folders that they share from the top, and in any place."""
    mine, theirs = one.split("/")[:-1], other.split("/")[:-1]
    top = next(
        (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
        min(len(mine), len(theirs)),
    )
    return len(set(mine) & set(theirs)), top


def part_of(name: str, file_too: bool = False) -> str:
    """Tell which part of a set a file belongs to, by the words of its folders' names.

    Parameters
    ----------
    name : str
        A file's name with its folders.
    file_too : bool, default False
        Whether its own name says it, too.

    Returns
    -------
    str
        "train", "val", "test", "trainval", or "all" if no folder tells.

    Examples
    --------
    >>> part_of("images/valid/0001.jpg"), part_of("instances_train2017.json", file_too=True)
    ('val', 'train')
    """
    folders = name.lower().split("/")
    for folder in reversed(folders if file_too else folders[:-1]):
        for word in re.findall("[a-z]+", folder):
            if word in _PARTS:
                return _PARTS[word]
    return "all"


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
