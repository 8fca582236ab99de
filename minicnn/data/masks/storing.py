"""Sets of images and masks of one size kept on disk, so that they are drawn or read only once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.data.image_cache import CacheSetting, Form, kept, pairs, strings
from minicnn.data.masks.mask_set import MaskSet
from minicnn.data.masks.sources import StoredMasks, label_fault, mask_dtype
from minicnn.data.picture_sources import StoredPictures
from minicnn.errors import DataError

__all__ = ["stored"]


def stored(setting: CacheSetting, stem: str, key: object, make: Callable[[], MaskSet]) -> MaskSet:
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
    MaskSet
        The set, in memory.
    """
    return kept(setting, stem, key, make, _FORM)


def _packed(images: MaskSet) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    # A file's columns are of one type each; masks of bytes, as nearly all are, stay bytes in it
    masks = images.masks
    columns = {
        "images": images.images,
        "masks": masks.reshape(*masks.shape, 1).view(np.uint8),
    }
    text = {
        "files": images.files,
        "names": images.names,
        "ignore_label": images.ignore_label,
        "source": images.source,
        "faults": images.faults,
    }
    return columns, text


def _unpacked(columns: dict[str, np.ndarray], text: dict[str, Any]) -> MaskSet:
    files, names, ignored = strings(text["files"]), strings(text["names"]), text["ignore_label"]
    if ignored is not None and not isinstance(ignored, int):
        raise DataError("its label to be ignored is no number")
    masks = columns["masks"].view(mask_dtype(len(names), ignored))[..., 0]
    if masks.shape != columns["images"].shape[:3] or len(files) != len(masks):
        raise DataError("its columns are not equally long")
    if fault := label_fault(masks, len(names), ignored):
        raise DataError(fault)
    (source,) = strings([text["source"]])
    return MaskSet(
        StoredPictures(columns["images"]),
        StoredMasks(masks),
        np.arange(len(masks)),
        files,
        names,
        ignored,
        source,
        pairs(text["faults"]),
    )


_FORM = Form({"images": (np.uint8, 4), "masks": (np.uint8, 4)}, _packed, _unpacked)
