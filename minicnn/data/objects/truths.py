"""Boxes of several images as one table, as detectors are trained with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minicnn.errors import ShapeError

__all__ = ["LEAST", "ignored", "padded_truths"]

LEAST = 8.0  # pixels: what is lower or narrower is neither to be found nor background
# The same numbers as in minicnn.detection, which stands above this package
_NOTHING, _IGNORED = -1, -2


def padded_truths(
    objects: Sequence[tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]], least: float = LEAST
) -> dict[str, np.ndarray]:
    """Put the boxes of several images into one table.

    Parameters
    ----------
    objects : sequence of (boxes, classes, ignored)
        For each image boxes (T, 4), (y0, x0, y1, x1) in pixels, classes (T,) from 0 on, and which
        (T,) are difficult or crowds: neither to be found nor background. T may be 0.
    least : float, default 8.0
        Objects whose smaller side has fewer pixels are ignored, too.

    Returns
    -------
    dict
        "boxes", float32 (N, T, 4), and "classes", int64 (N, T), where T is the most boxes of an
        image, at least 1. Class -1 marks rows that only fill up, -2 what is ignored.

    Raises
    ------
    ShapeError
        If boxes are not (T, 4), or there are not as many classes and marks.

    Examples
    --------
    >>> table = padded_truths([([[0, 0, 9, 9], [4, 4, 8, 30]], [3, 5], [False, False]),
    ...                        ([], [], [])])
    >>> table["boxes"].shape, table["classes"].tolist()
    ((2, 2, 4), [[3, -2], [-1, -1]])
    """
    rows = [_columns(i, *columns) for i, columns in enumerate(objects)]
    most = max([1, *(len(labels) for _, labels, _ in rows)])
    boxes = np.zeros((len(rows), most, 4), np.float32)
    classes = np.full((len(rows), most), _NOTHING, np.int64)
    for i, (corners, labels, marked) in enumerate(rows):
        boxes[i, : len(labels)] = corners
        classes[i, : len(labels)] = np.where(ignored(corners, marked, least), _IGNORED, labels)
    return {"boxes": boxes, "classes": classes}


def ignored(boxes: np.ndarray, marked: np.ndarray, least: float = LEAST) -> np.ndarray:
    """Tell which objects count neither as found nor as missed.

    Parameters
    ----------
    boxes : ndarray, shape (T, 4)
        (y0, x0, y1, x1) in pixels.
    marked : ndarray of bool, shape (T,)
        Those known to be difficult, or crowds.
    least : float, default 8.0
        Pixels of the smaller side, below which an object is ignored, too.

    Returns
    -------
    ndarray of bool, shape (T,)
        Whether each is.
    """
    return marked | ((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < least)


def _columns(
    image: int, boxes: npt.ArrayLike, classes: npt.ArrayLike, marked: npt.ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    corners, labels = np.asarray(boxes, np.float32), np.asarray(classes)
    marks = np.asarray(marked)
    if corners.size == 0 and labels.size == 0 and marks.size == 0:
        return np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, bool)
    if corners.shape != (len(corners), 4) or not labels.shape == marks.shape == corners.shape[:1]:
        raise ShapeError(
            f"padded_truths: image {image} has boxes {corners.shape}, classes {labels.shape} and "
            f"marks {marks.shape}; give (T, 4), (T,) and (T,)"
        )
    return corners, labels.astype(np.int64), marks.astype(bool)
