"""Anchors that fit a data set: the shapes of its boxes, sorted into a few groups by k-means.

Anchors chosen by hand suit the data set they were chosen for. Those that start closer to the
objects have less to learn. The distance between shapes is ``1 - IoU`` of boxes with one centre:
the Euclidean one would make the large boxes rule.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, section 2, "Dimension
Clusters". Departures: it begins with shapes spread evenly over the areas that occur, rather than
at random, so that there is one answer; and a group without boxes takes the box that fits worst.
"""

from __future__ import annotations

import itertools

import numpy as np

from minicnn.errors import ConfigError, ShapeError

__all__ = ["kmeans_anchors", "shape_overlaps"]

_ROUNDS = 300


def kmeans_anchors(boxes: np.ndarray, count: int = 5) -> np.ndarray:
    """Return the heights and widths that suit boxes best, by k-means with ``1 - IoU``.

    Parameters
    ----------
    boxes : ndarray, shape (T, 4)
        (y0, x0, y1, x1) in pixels; those without area count for nothing.
    count : int, default 5
        How many shapes.

    Returns
    -------
    ndarray of float32, shape (count, 2)
        Heights and widths in pixels, the smallest area first. Fewer different boxes than shapes
        give some shapes twice.

    Raises
    ------
    ShapeError
        If the boxes are not (T, 4).
    ConfigError
        If no box has an area, or the count is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> kmeans_anchors(np.array([[0, 0, 8, 8], [4, 4, 14, 14], [0, 0, 60, 30]]), count=2).tolist()
    [[9.0, 9.0], [60.0, 30.0]]
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(f"kmeans_anchors: needs boxes (T, 4), got shape {boxes.shape}")
    sides = boxes[:, 2:] - boxes[:, :2]
    sides = sides[(sides > 0).all(axis=1) & np.isfinite(sides).all(axis=1)]
    if not len(sides) or count < 1:
        raise ConfigError(
            f"kmeans_anchors: {len(sides)} of {len(boxes)} boxes have an area, for {count} "
            "anchors; give one or more of both"
        )
    sides = sides[np.argsort(sides.prod(axis=1), kind="stable")]
    shapes = sides[((np.arange(count) + 0.5) / count * len(sides)).astype(int)]
    nearest = np.full(len(sides), -1)
    for _ in range(_ROUNDS):
        overlaps = shape_overlaps(sides, shapes)
        before, nearest = nearest, overlaps.argmax(axis=1)
        if (before == nearest).all():
            break
        shapes = _centres(sides, nearest, overlaps)
    return shapes[np.argsort(shapes.prod(axis=1), kind="stable")].astype(np.float32)


def shape_overlaps(sides: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes around one centre.

    Parameters
    ----------
    sides : ndarray, shape (T, 2)
        Heights and widths.
    shapes : ndarray, shape (A, 2)
        The others' heights and widths.

    Returns
    -------
    ndarray, shape (T, A)
        From 0 to 1.
    """
    shared = np.minimum(sides[:, None], shapes).prod(axis=2)
    return shared / (sides.prod(axis=1)[:, None] + shapes.prod(axis=1) - shared)


def _centres(sides: np.ndarray, nearest: np.ndarray, overlaps: np.ndarray) -> np.ndarray:
    """Return the mean shape of each group; an empty one gets the shape that fits worst."""
    worst = itertools.cycle(np.argsort(overlaps.max(axis=1), kind="stable"))
    return np.stack(
        [
            sides[nearest == group].mean(axis=0) if (nearest == group).any() else sides[next(worst)]
            for group in range(overlaps.shape[1])
        ]
    )
