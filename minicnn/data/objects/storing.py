"""Sets of images of one size kept on disk, so that they are drawn or read only once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.data.image_cache import CacheSetting, Form, kept, pairs, strings
from minicnn.data.objects.object_set import Annotation, ObjectSet
from minicnn.data.picture_sources import StoredPictures
from minicnn.errors import DataError

__all__ = ["stored"]


def stored(
    setting: CacheSetting, stem: str, key: object, make: Callable[[], ObjectSet]
) -> ObjectSet:
    """Return a set from the cache, or make it and keep it there.

    Parameters
    ----------
    setting : bool, str, Path or None
        Where to keep it; see `minicnn.data.image_cache.CacheSetting`.
    stem : str
        The beginning of the file's name, for people who tidy up.
    key : object
        Everything the set depends on.
    make : callable
        Makes the set, whose images are of one size.

    Returns
    -------
    ObjectSet
        The set, in memory.
    """
    return kept(setting, stem, key, make, _FORM)


def _packed(objects: ObjectSet) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    notes = objects.annotations
    columns = {
        "images": objects.images,
        "counts": np.array([len(note.classes) for note in notes], np.int64),
        "boxes": np.concatenate([np.empty((0, 4), np.float32), *(n.boxes for n in notes)]),
        "classes": np.concatenate([np.empty(0, np.int64), *(n.classes for n in notes)]),
        "difficult": np.concatenate([np.empty(0, bool), *(n.difficult for n in notes)]),
        "crowd": np.concatenate([np.empty(0, bool), *(n.crowd for n in notes)]),
    }
    text = {
        "files": objects.files,
        "names": objects.names,
        "source": objects.source,
        "faults": objects.faults,
    }
    return columns, text


def _unpacked(columns: dict[str, np.ndarray], text: dict[str, Any]) -> ObjectSet:
    counts, files = columns["counts"], strings(text["files"])
    lengths = {len(columns[name]) for name in ("boxes", "classes", "difficult", "crowd")}
    if len(files) != len(counts) or (counts < 0).any() or lengths != {int(counts.sum())}:
        raise DataError("its columns are not equally long")
    ends = np.cumsum(counts)[:-1]
    parts = [np.split(columns[name], ends) for name in ("boxes", "classes", "difficult", "crowd")]
    (source,) = strings([text["source"]])
    return ObjectSet(
        StoredPictures(columns["images"]),
        np.arange(len(columns["images"])),
        tuple(map(Annotation, files, *parts)),
        strings(text["names"]),
        source,
        pairs(text["faults"]),
    )


_FORM = Form(
    {
        "images": (np.uint8, 4),
        "counts": (np.int64, 1),
        "boxes": (np.float32, 2),
        "classes": (np.int64, 1),
        "difficult": (np.bool_, 1),
        "crowd": (np.bool_, 1),
    },
    _packed,
    _unpacked,
)
