"""The layout of the German Traffic Sign Detection Benchmark: pictures beside one ``gt.txt``.

A line is ``file;left;top;right;bottom;class``, in pixels counted from 0; pictures that no line
names hold no sign. Pictures from 00600 on are the official test part.

Both ends belong to the box: ``left`` to ``right`` is ``left`` to ``right + 1`` here. That pixel is
one of the pictures as they were published, 1360 wide; in a copy at half size it is half as wide.
Measured on a copy at half size, the contrast is strongest 1 pixel inside of ``left`` and 0 to 1
pixel inside of ``right``: the ends of the boxes lie about ``right + 0.5`` there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from minicnn._reading import shown
from minicnn.data.archives import unsafe
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.image_files import Files
from minicnn.data.objects.records import (
    Found,
    Layout,
    Record,
    number_in,
    whole_corners,
)
from minicnn.errors import DataError

__all__ = ["is_gtsdb", "read_gtsdb"]

TABLE = "gt.txt"
PUBLISHED = 800, 1360  # height and width in pixels
FIRST_OF_TEST = 600
MOST_TABLE = 16 * 2**20  # bytes; the official one has 50,000
_PICTURE = re.compile("[0-9]{5}")


def is_gtsdb(files: Files) -> bool:
    """Tell whether files look like this layout: a table is there."""
    return bool(_tables(files))


def _tables(files: Files) -> list[str]:
    return [name for name in files.names if name.rpartition("/")[2] == TABLE]


def read_gtsdb(files: Files, faults: Faults, names: Sequence[str] | None = None) -> Layout:
    """Read the table of all pictures.

    Parameters
    ----------
    files : Files
        Of a folder or an archive.
    faults : Faults
        Is told of what is broken.
    names : sequence of str, optional
        Of the classes, by their numbers; by default the 43 of `minicnn.data.classes`.

    Returns
    -------
    Layout
        The images of the parts "train" and "test", in the order of their names.

    Raises
    ------
    DataError
        If something is broken, unless `faults` skips it.
    """
    tables = _tables(files)
    if len(tables) != 1:
        where = ", ".join(map(shown, tables[:4]))
        raise DataError(
            f"{shown(files.tree.path)}: holds {len(tables)} tables {TABLE} {where}; give the "
            "folder of one"
        )
    classes = CLASS_NAMES if names is None else tuple(names)
    folder = tables[0][: -len(TABLE)]
    here = [n for n in files.pictures() if n.startswith(folder) and "/" not in n[len(folder) :]]
    sizes: dict[str, tuple[int, int]] = {}
    for name in sorted(here):
        try:
            sizes[name] = files.size(name)
        except DataError as error:
            faults.add(files.place(name), str(error))
    objects = _objects(files, tables[0], sizes, classes, faults)
    parts: dict[str, list[Record]] = {}
    for name, size in sizes.items():
        own = name[len(folder) :].rpartition(".")[0]
        is_test = bool(_PICTURE.fullmatch(own)) and int(own) >= FIRST_OF_TEST
        record = Record(name, size, tuple(objects.get(name, ())))
        parts.setdefault("test" if is_test else "train", []).append(record)
    return Layout(parts, classes)


def _objects(
    files: Files,
    table: str,
    sizes: dict[str, tuple[int, int]],
    classes: Sequence[str],
    faults: Faults,
) -> dict[str, list[Found]]:
    """Return the signs of each picture."""
    found: dict[str, list[Found]] = defaultdict(list)
    try:
        lines = files.text(table, MOST_TABLE).splitlines()
    except DataError as error:
        raise DataError(f"{files.place(table)}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{files.place(table)} line {number}"
        try:
            cells = _cells(line)
            picture = table[: -len(TABLE)] + cells[0]
            if picture not in sizes:
                raise DataError(f"its picture '{shown(picture)}' is missing or broken")
            found[picture].append(_sign(cells, place, classes, _pixel(sizes[picture])))
        except DataError as error:
            faults.add(place, str(error))
    return found


def _cells(line: str) -> list[str]:
    cells = [cell.strip() for cell in line[:10_000].split(";")]
    if len(cells) != 6:
        raise DataError(f"has {len(cells)} cells; a line is file;left;top;right;bottom;class")
    if fault := unsafe(cells[0]):
        raise DataError(f"file name '{shown(cells[0])}' {fault}")
    return cells


def _sign(cells: list[str], place: str, classes: Sequence[str], pixel: float) -> Found:
    _, *sides, label = cells
    if not re.fullmatch("[0-9]{1,4}", label):
        raise DataError(f"class is '{shown(label[:40])}', not a whole number from 0 on")
    names = ("left", "top", "right", "bottom")
    corners = [number_in(text, side) for text, side in zip(sides, names, strict=True)]
    left, top, right, bottom = whole_corners(*corners)
    name = classes[int(label)] if int(label) < len(classes) else f"number {int(label)}"
    return Found((top, left, bottom + pixel, right + pixel), name, place)


def _pixel(size: tuple[int, int]) -> float:
    """Return how wide a pixel of the published picture is in this copy of it."""
    height, width = size
    scale = width / PUBLISHED[1]
    is_copy = scale < 1 and abs(height - PUBLISHED[0] * scale) <= 1
    return scale if is_copy else 1.0
