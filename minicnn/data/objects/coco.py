"""The layout of COCO: one file of JSON for all pictures of a part.

It holds ``"images"`` (with ``id``, ``file_name``, ``height``, ``width``), ``"categories"`` (``id``,
``name``) and ``"annotations"`` (``image_id``, ``category_id``, ``bbox`` as left, top, width and
height in pixels, ``iscrowd``). The name of the file, or of its folder, tells the part:
``annotations/instances_train2017.json``, or ``valid/_annotations.coco.json``. Pictures are found by
``file_name``, nearest to the file or in a folder of the part. Classes are ordered by their ids.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from minicnn._reading import shown
from minicnn.data.archives import unsafe
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.image_files import Files, part_of
from minicnn.data.objects.records import (
    Found,
    Layout,
    Record,
    gathered,
    whole_corners,
)
from minicnn.errors import DataError

__all__ = ["is_coco", "read_coco"]

MOST_JSON = 64 * 2**20  # bytes; Python needs about ten times as many for what is in them
_LONGEST_SIDE = 10**6  # pixels


def is_coco(files: Files) -> bool:
    """Tell whether files look like this layout: there is JSON, and it lists objects."""
    return any(_tells(files, name) for name in files.ending("json"))


def _tells(files: Files, name: str) -> bool:
    try:
        data = files.tree.read(name, MOST_JSON)
    except DataError:
        return False
    return all(word in data for word in (b'"images"', b'"annotations"', b'"categories"'))


def read_coco(files: Files, faults: Faults, names: Sequence[str] | None = None) -> Layout:
    """Read all files of JSON that list objects.

    Parameters
    ----------
    files : Files
        Of a folder or an archive.
    faults : Faults
        Is told of what is broken.
    names : sequence of str, optional
        Of the classes; by default the categories in the order of their ids, the same in all files.

    Returns
    -------
    Layout
        The images of each part, in the order of its list.

    Raises
    ------
    DataError
        If a file makes no sense; or anything is broken, unless `faults` skips it.
    """
    parts: dict[str, list[Record]] = {}
    known: tuple[str, ...] = ()
    first = ""
    for name in filter(partial(_tells, files), files.ending("json")):
        try:
            table = _Table(files, name)
        except DataError as error:
            raise DataError(f"{files.place(name)}: {error}") from error
        if first and names is None and table.names != known:
            raise DataError(
                f"{files.place(name)}: has other classes than {shown(first)}; give their names"
            )
        first, known = name, table.names
        parts.setdefault(part_of(name, file_too=True), []).extend(table.records(faults))
    return Layout(parts, known if names is None else tuple(names))


class _Table:
    """One file: its images, its objects by image, and its classes."""

    def __init__(self, files: Files, name: str) -> None:
        self._files, self._name = files, name
        try:
            found = json.loads(files.text(name, MOST_JSON))
        except (ValueError, RecursionError) as error:
            raise DataError(f"is broken JSON ({shown(str(error))[:200]})") from error
        lists = ("images", "annotations", "categories")
        if not isinstance(found, dict) or not all(_is_table(found.get(key)) for key in lists):
            raise DataError(f"is no table of {', '.join(lists)}: each a list of objects of JSON")
        self._images = found["images"]
        labels = {_whole(c, "id"): _text(c, "name") for c in found["categories"]}
        if len(labels) < len(found["categories"]):
            raise DataError("gives two categories one id")
        self._labels = {key: labels[key] for key in sorted(labels)}
        self.names = tuple(self._labels.values())
        self._objects: dict[int | None, list[tuple[int, dict]]] = defaultdict(list)
        for number, item in enumerate(found["annotations"]):
            key = item.get("image_id")
            self._objects[key if type(key) is int else None].append((number, item))

    def records(self, faults: Faults) -> list[Record]:
        """Return the images; tell `faults` of what is broken."""
        records, place, seen = [], self._files.place(self._name), set()
        for number, image in enumerate(self._images):
            try:
                key = _whole(image, "id")
                if key in seen:
                    raise DataError(f"id {key} is that of an image before it")
                seen.add(key)
                file, size = self._picture(image)
            except DataError as error:
                faults.add(f"{place} image {number}", str(error))
                continue
            items = self._objects.pop(key, [])
            objects = gathered(items, self._object, f"{place} image {number} object", faults)
            records.append(Record(file, size, objects))
        for number, item in (pair for items in self._objects.values() for pair in items):
            told = _told(item.get("image_id"))
            faults.add(f"{place} annotation {number}", f"its image {told} is missing or broken")
        return records

    def _picture(self, image: dict) -> tuple[str, tuple[int, int]]:
        name = _text(image, "file_name").replace("\\", "/").removeprefix("./")
        if fault := unsafe(name):
            raise DataError(f"file name '{shown(name)}' {fault}")
        file = self._files.picture(name, self._name, part_of(self._name, file_too=True))
        size = _whole(image, "height"), _whole(image, "width")
        if not 1 <= min(size) <= max(size) <= _LONGEST_SIDE:
            raise DataError(f"has the size {size}; give the height and width of its picture")
        return file, size

    def _object(self, item: tuple[int, dict], place: str) -> Found:
        _, told = item
        label = self._labels.get(_whole(told, "category_id"))
        if label is None:
            raise DataError(f"category {told['category_id']} is unknown")
        box = told.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise DataError(f"bbox is {_told(box)}; give four numbers: left, top, width, height")
        left, top, width, height = map(float, box)
        whole_corners(left, top, left + width, top + height)
        crowd = told.get("iscrowd") == 1
        return Found((top, left, top + height, left + width), label, place, crowd=crowd)


def _is_table(found: Any) -> bool:
    return isinstance(found, list) and all(isinstance(item, dict) for item in found)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _told(value: Any) -> str:
    """Show a value; of what may be endless, only the kind."""
    if isinstance(value, list) and len(value) <= 8 and all(map(_is_simple, value)):
        return f"[{', '.join(map(_told, value))}]"
    return shown(repr(value)[:40]) if _is_simple(value) else f"a {type(value).__name__}"


def _is_simple(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def _whole(item: dict, key: str) -> int:
    value = item.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise DataError(f"{key} is {_told(value)}, not a whole number")
    return value


def _text(item: dict, key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise DataError(f"{key} is {_told(value)}, not a name")
    return value
