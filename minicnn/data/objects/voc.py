"""The layout of Pascal VOC: a file of XML for each picture.

``Annotations/000001.xml`` tells of ``JPEGImages/000001.jpg``; ``ImageSets/Main/train.txt`` lists
the names of a part. Where there are no lists, folders named train, val, valid or test are the
parts, and XML and pictures may lie side by side.

Pixels are counted from 1 in VOC, and both ends belong to the box: ``xmin`` to ``xmax`` is
``xmin - 1`` to ``xmax`` here. A box from a pixel to itself would have an area of one; nobody drew
such a box on purpose, and it is refused as one without area.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from minicnn._reading import shown
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.image_files import Files, part_of, stem
from minicnn.data.objects.records import (
    Found,
    Layout,
    Record,
    class_names,
    gathered,
    number_in,
    whole_corners,
)
from minicnn.errors import DataError

__all__ = ["is_voc", "read_voc"]

MOST_XML = 2**20  # bytes; a file of VOC has one to ten thousand
_LIST = re.compile(r"(?:(.*)/)?ImageSets/Main/(train|val|trainval|test)\.txt")


def is_voc(files: Files) -> bool:
    """Tell whether files look like this layout: some are XML."""
    return bool(files.ending("xml"))


def read_voc(files: Files, faults: Faults, names: Sequence[str] | None = None) -> Layout:
    """Read the annotations of all pictures.

    Parameters
    ----------
    files : Files
        Of a folder or an archive.
    faults : Faults
        Is told of what is broken.
    names : sequence of str, optional
        Of the classes; by default those that occur, sorted.

    Returns
    -------
    Layout
        The images of each part, in the order of its list or of their names.

    Raises
    ------
    DataError
        If something is broken, unless `faults` skips it.
    """
    found = {}
    for name in files.ending("xml"):
        try:
            root, file, size = _opened(files, name)
        except DataError as error:
            faults.add(files.place(name), str(error))
            continue
        objects = gathered(root.findall("object"), _object, f"{files.place(name)} object", faults)
        found[name] = Record(file, size, objects)
    lists = [match for match in map(_LIST.fullmatch, files.names) if match]
    parts: dict[str, list[Record]] = {}
    for match in lists:
        records = parts.setdefault(match[2], [])
        records.extend(_listed(files, match[0], match[1] or "", found, faults))
    if not lists:
        for name, record in found.items():
            part = part_of(name) if part_of(name) != "all" else part_of(record.file)
            parts.setdefault(part, []).append(record)
    return Layout(parts, class_names(parts) if names is None else tuple(names))


def _listed(
    files: Files, name: str, root: str, found: dict[str, Record], faults: Faults
) -> Iterator[Record]:
    """Yield what a list names; its pictures lie in the folder that the lists lie in."""
    within = {
        stem(n)[:-4]: n for n in files.ending("xml") if n.startswith(f"{root}/" if root else "")
    }
    try:
        lines = files.text(name, 16 * MOST_XML).splitlines()
    except DataError as error:
        faults.add(files.place(name), str(error))
        return
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        key = stem(line.strip()) if stem(line.strip()) in within else stem(words[0])
        if key not in within:
            faults.add(f"{files.place(name)} line {number}", f"'{shown(key)}' has no annotation")
        elif within[key] in found:
            yield found[within[key]]


def _opened(files: Files, name: str) -> tuple[ElementTree.Element, str, tuple[int, int]]:
    """Read the file of a picture; also find the picture and its size."""
    text = files.text(name, MOST_XML)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # a few lines of which unpack to gigabytes
        raise DataError("declares entities, which no annotation needs; refused")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"is broken XML ({shown(str(error))})") from error
    picture = name[:-4].rpartition("/")[2]
    if not files.has_picture(picture):  # it may be named otherwise
        told = (root.findtext("filename") or "").strip().replace("\\", "/")
        picture = told or picture
    file = files.picture(picture, name)
    return root, file, _size(root) or files.size(file)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return the height and width that the file tells; some programs leave them 0 or out."""
    texts = [(root.findtext(f"size/{side}") or "").strip() for side in ("height", "width")]
    if not all(re.fullmatch("[0-9]{1,6}", text) for text in texts):
        return None
    height, width = map(int, texts)
    return (height, width) if height and width else None


def _object(item: ElementTree.Element, place: str) -> Found:
    label = (item.findtext("name") or "").strip()
    if not label:
        raise DataError("has no name")
    left, top, right, bottom = whole_corners(
        *(
            number_in((item.findtext(f"bndbox/{side}") or "").strip(), side)
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
    )
    difficult = (item.findtext("difficult") or "").strip() == "1"
    return Found((top - 1, left - 1, bottom, right), label, place, difficult)
