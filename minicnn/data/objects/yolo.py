"""The layout of YOLO: a file of text for each picture.

A line is ``class x y width height``: a number from 0 on, and the middle and size of the box as
shares of the picture's width and height. ``images/train/1.jpg`` belongs to
``labels/train/1.txt``, or ``1.jpg`` to ``1.txt`` beside it. Pictures without such a file hold
no objects. The parts are folders named train, val, valid or test. The classes are named by
``data.yaml``, ``classes.txt`` or ``obj.names``, if there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import takewhile

from minicnn._reading import shown
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.image_files import Files, part_of
from minicnn.data.objects.records import (
    Found,
    Layout,
    Record,
    gathered,
    number_in,
    whole_corners,
)
from minicnn.errors import DataError

__all__ = ["is_yolo", "read_yolo"]

MOST_LABELS = 2**20  # bytes of the file of one picture
_FAR = 2.0  # shares beyond are no shares
_KEY = re.compile(r"^names[ \t]*:[ \t]*", re.MULTILINE)
_ITEM = re.compile(r"[ \t]*(?:-|([0-9]{1,4})[ \t]*:)[ \t]*(.*)")


def is_yolo(files: Files) -> bool:
    """Tell whether files look like this layout: a picture has a file of text of its name."""
    texts = set(files.ending("txt"))
    return any(_labels_of(name, texts) for name in files.pictures())


def read_yolo(files: Files, faults: Faults, names: Sequence[str] | None = None) -> Layout:
    """Read the boxes of all pictures.

    Parameters
    ----------
    files : Files
        Of a folder or an archive.
    faults : Faults
        Is told of what is broken.
    names : sequence of str, optional
        Of the classes, by their numbers; by default as the set names them, or else the numbers.

    Returns
    -------
    Layout
        The images of each part, in the order of their names.

    Raises
    ------
    DataError
        If something is broken, unless `faults` skips it.
    """
    known = _names(files) if names is None else tuple(names)
    texts = set(files.ending("txt"))
    parts: dict[str, list[Record]] = {}
    for name in sorted(files.pictures()):
        labels = _labels_of(name, texts)
        try:
            size = files.size(name)
            text = files.text(labels, MOST_LABELS) if labels else ""
        except DataError as error:
            faults.add(files.place(labels or name), str(error))
            continue
        lines = [line for line in text.splitlines() if line.strip()]
        make = partial(_object, size=size, names=known)
        objects = gathered(lines, make, f"{files.place(labels)} box", faults)
        parts.setdefault(part_of(name), []).append(Record(name, size, objects))
    return Layout(parts, known or _numbers(parts))


def _labels_of(picture: str, texts: set[str]) -> str:
    """Return the file of a picture's boxes, or nothing if there is none."""
    before = picture.rpartition(".")[0]
    top, images, rest = f"/{before}".rpartition("/images/")
    beside = f"{before}.txt"
    apart = f"{top}/labels/{rest}.txt".lstrip("/") if images else beside
    return next((name for name in (apart, beside) if name in texts), "")


def _object(line: str, place: str, size: tuple[int, int], names: Sequence[str]) -> Found:
    cells = line[:10_000].split()
    if len(cells) != 5:
        raise DataError(f"has {len(cells)} numbers; five are expected: class x y width height")
    if not re.fullmatch("[0-9]{1,4}", cells[0]):
        raise DataError(f"class is '{shown(cells[0][:40])}', not a whole number from 0 to 9999")
    label = int(cells[0])
    x, y, across, down = map(number_in, cells[1:], ("x", "y", "width", "height"))
    if max(map(abs, (x, y, across, down))) > _FAR:
        raise DataError(f"x y width height are {line[:80].split()[1:]}; give shares of 0 to 1")
    height, width = size
    sides = ((x - across / 2) * width, (y - down / 2) * height)
    left, top, right, bottom = whole_corners(
        *sides, (x + across / 2) * width, (y + down / 2) * height
    )
    name = names[label] if label < len(names) else f"number {label}" if names else str(label)
    return Found((top, left, bottom, right), name, place)


def _numbers(parts: dict[str, list[Record]]) -> tuple[str, ...]:
    """Return numbers as names of the classes: up to the largest that occurs."""
    labels = (int(o.label) for records in parts.values() for r in records for o in r.objects)
    return tuple(map(str, range(max(labels, default=-1) + 1)))


def _names(files: Files) -> tuple[str, ...]:
    """Return the names of the classes as the set tells them; none if it does not."""
    tables = {name.rpartition("/")[2]: name for name in reversed(files.names)}
    for name in [n for n in files.names if n.rpartition("/")[2] in ("data.yaml", "data.yml")]:
        if found := _read_names(files, name, _names_in_yaml):
            return found
    for last in ("classes.txt", "obj.names"):
        if last in tables and (found := _read_names(files, tables[last], str.splitlines)):
            return found
    return ()


def _read_names(files: Files, name: str, parse: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    try:
        found = [text.strip() for text in parse(files.text(name, MOST_LABELS))]
        while found and not found[-1]:
            found.pop()
        if not all(found):
            raise DataError("leaves the name of a class empty")
    except DataError as error:
        raise DataError(f"{files.place(name)}: {error}") from error
    return tuple(found)


def _names_in_yaml(text: str) -> list[str]:
    """Return the entry ``names`` of a file of settings; other entries do not matter.

    As a list, ``names: [cat, dog]`` or in lines that begin with ``-``, or with numbers,
    ``0: cat``.
    """
    lines = "\n".join(text.splitlines())
    key = _KEY.search(lines)
    if key is None:
        return []
    if lines.startswith("[", key.end()):
        return [_bare(item) for item in lines[key.end() + 1 :].partition("]")[0].split(",")]
    _, *below = lines[key.end() :].split("\n")
    matches = (_ITEM.fullmatch(line) for line in below if line.strip())
    items = [match for match in takewhile(bool, matches) if match]
    numbers = [int(m[1]) if m[1] else i for i, m in enumerate(items)]
    if numbers != list(range(len(items))):
        raise DataError(f"numbers its names {numbers[:20]}; number them 0, 1, 2 and so on")
    return [_bare(m[2]) for m in items]


def _bare(item: str) -> str:
    """Return an item without the quotes around it, or the comment behind it."""
    item = item.strip()
    if item[:1] in ("'", '"') and item[0] in item[1:]:
        return item[1 : item.index(item[0], 1)]
    return re.sub(r"\s#.*", "", item).strip()
