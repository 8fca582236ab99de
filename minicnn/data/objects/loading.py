"""Sets of images with boxes in the layouts people have them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn._reading import shown
from minicnn.data.archives import Tree, open_tree
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.image_files import Files, whole_path
from minicnn.data.objects.coco import is_coco, read_coco
from minicnn.data.objects.gtsdb import is_gtsdb, read_gtsdb
from minicnn.data.objects.object_set import ObjectSet
from minicnn.data.objects.records import Layout, Record, annotated, numbered
from minicnn.data.objects.voc import is_voc, read_voc
from minicnn.data.objects.yolo import is_yolo, read_yolo
from minicnn.data.picture_sources import FilePictures
from minicnn.errors import ConfigError, DataError

__all__ = ["LAYOUTS", "layout_of", "load_objects"]


class _Reader(NamedTuple):
    fits: Callable[[Files], bool]
    read: Callable[[Files, Faults, Sequence[str] | None], Layout]


_READERS = {  # by how telling the sign is that a set has this layout
    "gtsdb": _Reader(is_gtsdb, read_gtsdb),
    "coco": _Reader(is_coco, read_coco),
    "voc": _Reader(is_voc, read_voc),
    "yolo": _Reader(is_yolo, read_yolo),
}
LAYOUTS = tuple(sorted(_READERS))


def load_objects(
    path: str | Path,
    layout: str | None = None,
    names: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> dict[str, ObjectSet]:
    """Read what is known of the images of a set; their pixels are read when they are asked for.

    Parameters
    ----------
    path : str or Path
        A folder or a zip archive, which is read in place.
    layout : {"coco", "gtsdb", "voc", "yolo"}, optional
        How it is laid out; by default what it looks like. See the modules of these names.
    names : sequence of str, optional
        The classes, in their order; by default those that the set names, or else those that occur
        in any of its parts, sorted.
    skip_bad : bool, default False
        Leave out what is broken and list it in `ObjectSet.faults`, instead of ending the run: an
        object without area, reversed, outside or of an unknown class by itself, an image with all
        of its objects. A box that reaches out of its picture is cut off at the border; by up to
        one pixel, that is done silently.

    Returns
    -------
    dict of str to ObjectSet
        The parts of the set: "train", "val", "trainval" and "test", as far as there are such, or
        "all". Images without objects are among them.

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    DataError
        If nothing is there, or something is broken; the message names the file and the object.
    """
    path = whole_path(path)
    if layout is not None and layout not in _READERS:
        raise ConfigError(
            f"load_objects: layout {layout!r} is unknown; choose from {', '.join(LAYOUTS)}"
        )
    tree = open_tree(path)
    try:
        files = Files(tree)
        kind = layout or _guessed(files)
        faults = Faults(skip_bad)
        found = _READERS[kind].read(files, faults, names)
        return _sets(tree, kind, found, faults)
    except BaseException:
        tree.close()
        raise


def layout_of(path: str | Path) -> str:
    """Tell how a set is laid out, as far as that can be seen.

    Parameters
    ----------
    path : str or Path
        A folder or a zip archive.

    Returns
    -------
    str
        One of `LAYOUTS`.

    Raises
    ------
    DataError
        If nothing is there, or nothing that is known.
    """
    tree = open_tree(whole_path(path))
    try:
        return _guessed(Files(tree))
    finally:
        tree.close()


def _sets(tree: Tree, kind: str, found: Layout, faults: Faults) -> dict[str, ObjectSet]:
    """Judge what was read, and give each part its set; all share the tree."""
    source = shown(tree.path)
    classes = numbered(found.names, source)
    notes, sizes = {}, {}
    for part, records in found.parts.items():
        records = list(_without_doubles(records, source, faults))
        sizes.update({record.file: record.size for record in records})
        notes[part] = tuple(annotated(record, classes, faults) for record in records)
    if not sizes:
        first = "; ".join(f"{place}: {reason}" for place, reason in faults.found[:3])
        raise DataError(f"{source}: no usable image in the layout {kind}. {first}".strip())
    pictures = FilePictures(tree, list(sizes), list(sizes.values()))
    row_of = {file: row for row, file in enumerate(sizes)}
    return {
        part: ObjectSet(
            pictures,
            np.array([row_of[note.file] for note in part_notes], np.int64),
            part_notes,
            found.names,
            source,
            tuple(faults.found),
        )
        for part, part_notes in notes.items()
        if part_notes
    }


def _guessed(files: Files) -> str:
    for kind, reader in _READERS.items():
        if reader.fits(files):
            return kind
    seen = ", ".join(map(shown, files.names[:6])) or "nothing at all"
    raise DataError(
        f"{shown(files.tree.path)}: holds no annotations of objects that are known "
        f"({', '.join(LAYOUTS)}), but {seen}; give another folder"
    )


def _without_doubles(records: Sequence[Record], source: str, faults: Faults) -> Iterator[Record]:
    """Leave out an image that a part has again, maybe with other objects."""
    seen = set()
    for record in records:
        if record.file in seen:
            faults.add(f"{source}/{record.file}", "is in the same part again")
            continue
        seen.add(record.file)
        yield record
