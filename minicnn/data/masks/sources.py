"""Where the masks of a set of images come from: memory, or the files beside the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from minicnn.data.picture_sources import FilePictures, StoredPictures
from minicnn.data.pictures import decode_labels
from minicnn.errors import DataError, ShapeError

__all__ = ["FileMasks", "Masks", "StoredMasks", "label_fault", "mask_dtype"]

MOST_CLASSES = 2**16
_BYTE = 255


class Masks(Protocol):
    """Masks of any sizes, by number; safe to use from several threads."""

    def read(self, row: int) -> np.ndarray:
        """Return a mask, uint8 or int64 (H, W), or raise a DataError that names its file."""

    def feed(self, row: int, take: Callable[[Any], object]) -> None:
        """Hand all bytes of a mask to a function that sums them up."""

    def fingerprint(self, rows: np.ndarray) -> str:
        """Return a digest that changes when one of these masks does; cheap if it can be."""

    def stacked(self, rows: np.ndarray) -> np.ndarray:
        """Return masks of one size, (N, H, W)."""


def mask_dtype(classes: int, ignore_label: int | None) -> npt.DTypeLike:
    """Return the type of a set's masks: bytes if all labels fit, whole numbers otherwise.

    Parameters
    ----------
    classes : int
        Their number, K.
    ignore_label : int or None
        The label of pixels that count for nothing.

    Returns
    -------
    dtype
        uint8 or int64.
    """
    ignored = ignore_label or 0
    return np.uint8 if ignored >= 0 and max(classes - 1, ignored) <= _BYTE else np.int64


def label_fault(mask: np.ndarray, classes: int, ignore_label: int | None) -> str:
    """Say which label of a mask is none, or nothing if all are.

    Parameters
    ----------
    mask : ndarray of int
        Labels.
    classes : int
        There are 0 ... K - 1.
    ignore_label : int or None
        And this.

    Returns
    -------
    str
        For a person to read.
    """
    if not mask.size or 0 <= int(mask.min()) <= int(mask.max()) < classes:
        return ""
    wrong = mask[((mask < 0) | (mask >= classes)) & (mask != ignore_label)]
    if not wrong.size:
        return ""
    spared = "" if ignore_label is None else f", and {ignore_label} for what is to be ignored"
    return (
        f"has the label {int(wrong[0])} in {wrong.size:,} pixels, but there are the classes 0 to "
        f"{classes - 1}{spared}"
    )


class StoredMasks(StoredPictures):
    """Masks of one size, in memory.

    Parameters
    ----------
    masks : ndarray of uint8 or int64, shape (N, H, W)
        The class of each pixel.

    Raises
    ------
    ShapeError
        If they are not.
    """

    def __init__(self, masks: np.ndarray) -> None:
        if masks.ndim != 3 or masks.dtype not in (np.uint8, np.int64):
            raise ShapeError(
                f"StoredMasks: needs uint8 or int64 (N, H, W), got {masks.dtype} {masks.shape}"
            )
        self._keep(masks)


class FileMasks(FilePictures):
    """Masks in files, decoded whenever they are asked for.

    Parameters
    ----------
    pictures : FilePictures
        The pictures, by the same numbers; of the same tree, which stays open for both.
    files : sequence of str
        The masks' names in the tree.
    classes : int
        How many there are, K.
    ignore_label : int or None
        The label of pixels that count for nothing.
    """

    def __init__(
        self, pictures: FilePictures, files: Sequence[str], classes: int, ignore_label: int | None
    ) -> None:
        self._pictures = pictures  # who lets go of them closes the tree
        self._tree, self._files, self._sizes = pictures.tree, tuple(files), pictures.sizes
        self._classes, self._ignored = classes, ignore_label

    def _decoded(self, data: bytes) -> np.ndarray:
        mask = decode_labels(data)
        if fault := label_fault(mask, self._classes, self._ignored):
            raise DataError(fault)
        return mask.astype(mask_dtype(self._classes, self._ignored), copy=False)
