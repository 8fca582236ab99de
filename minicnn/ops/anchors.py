"""Anchors: the boxes that a detector starts from, and which object each of them answers for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minicnn.autograd import Tensor, composed
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError
from minicnn.ops._windows import IntPair, per_axis
from minicnn.ops.boxes import box_set, iou_matrix

__all__ = ["BACKGROUND", "IGNORED", "anchor_boxes", "match_boxes"]

BACKGROUND = -1  # of an anchor that answers for no object
IGNORED = -2  # of one that is neither clearly an object nor clearly none


@composed
def anchor_boxes(
    map_size: IntPair,
    stride: IntPair,
    sizes: Sequence[float],
    ratios: Sequence[float] = (1.0,),
) -> Tensor:
    """Lay boxes of several sizes and shapes around the centre of every cell of a feature map.

    The cell (i, j) has its centre at ``((i + 0.5) * SH, (j + 0.5) * SW)``; there, each size s and
    ratio r gives a box ``s * sqrt(r)`` high and ``s / sqrt(r)`` wide: s*s square pixels.

    Parameters
    ----------
    map_size : int or (int, int)
        Height and width OH, OW of the feature map.
    stride : int or (int, int)
        How many pixels of the image a step on the map is, SH, SW.
    sizes : sequence of float
        Square roots of areas, in pixels.
    ratios : sequence of float, default (1,)
        Height by width.

    Returns
    -------
    Tensor of float32, shape (OH, OW, A, 4)
        (y0, x0, y1, x1) in pixels of the image, half-open; of the A boxes in a cell those of the
        first size come first, in the order of the ratios. Many reach out of the image.

    Raises
    ------
    ConfigError
        If a size, ratio or stride is not above 0, or there is none, or the map has no whole size.

    References
    ----------
    Ren, He, Girshick and Sun, "Faster R-CNN", NeurIPS 2015, section 3.1.1.
    """
    op = "anchor_boxes"
    rows, columns = per_axis(op, "map_size", map_size, 2, 0)
    down, across = per_axis(op, "stride", stride, 2, 1)
    for name, values in (("sizes", sizes), ("ratios", ratios)):
        if not len(values) or not all(0 < v < math.inf for v in values):
            raise ConfigError(f"{op}: {name} {values!r}; give one or more numbers above 0")
    shapes = [(s * math.sqrt(r), s / math.sqrt(r)) for s in sizes for r in ratios]
    half = np.array(shapes) / 2  # (A, 2)
    centres = np.stack(
        np.meshgrid(
            (np.arange(rows) + 0.5) * down, (np.arange(columns) + 0.5) * across, indexing="ij"
        ),
        axis=-1,
    )[:, :, None]  # (OH, OW, 1, 2)
    return Tensor(np.concatenate([centres - half, centres + half], axis=-1).astype(np.float32))


@composed
def match_boxes(
    anchors: Array | Tensor,
    boxes: Array | Tensor,
    positive: float = 0.7,
    negative: float = 0.3,
    best_too: bool = True,
) -> Tensor:
    """Say for which object each anchor answers: the one that it overlaps most, if enough.

    ``y[a] = b``, the first b of the largest overlap, if it is at least `positive`; -1 (background)
    if it is below `negative`; else -2 (ignored). With `best_too`, an object's best anchors answer
    for it even where the overlap is small, so that an object goes without only if another one,
    which they overlap more, has them all.

    Parameters
    ----------
    anchors : Tensor or ndarray, shape (A, 4)
        (y0, x0, y1, x1) in pixels, half-open.
    boxes : Tensor or ndarray, shape (T, 4)
        The objects; none at all is fine: all anchors are background.
    positive, negative : float, default 0.7 and 0.3
        Overlaps, intersection over union.
    best_too : bool, default True
        Whether an object's best anchors, all those of equal overlap, answer for it too.

    Returns
    -------
    Tensor of int64, shape (A,)
        Indices of boxes, or -1, or -2. An object of no area gets no anchor; there is no gradient.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    ConfigError
        If not 0 <= negative <= positive <= 1.

    References
    ----------
    Ren, He, Girshick and Sun, "Faster R-CNN", NeurIPS 2015, section 3.1.2.
    """
    op = "match_boxes"
    a, b = box_set(op, "anchors", anchors), box_set(op, "boxes", boxes)
    if not 0 <= negative <= positive <= 1:
        raise ConfigError(
            f"{op}: negative {negative} and positive {positive} are overlaps; give "
            "0 <= negative <= positive <= 1"
        )
    xp = array_module(a.data)
    if not len(b.data) or not len(a.data):
        return Tensor(xp.full(len(a.data), BACKGROUND, np.int64))
    share = iou_matrix(b.data, a.data).data  # (T, A): the long axis is the last, which is fast
    most = share.max(axis=0)
    matched = xp.full(len(a.data), BACKGROUND, np.int64)
    near = xp.flatnonzero(most != 0)  # few of them: the rest overlaps nothing
    if not len(near):
        return Tensor(matched)
    share, most = share[:, near], most[near]
    own = xp.where(most >= positive, share.argmax(axis=0), IGNORED)
    own[most < negative] = BACKGROUND
    if best_too:
        highest = share.max(axis=1, keepdims=True)
        is_best = (share == highest) & (highest > 0)  # (T, A)
        # An anchor that is the best of several objects answers for the one it overlaps most.
        best_of = xp.where(is_best, share, -1.0).argmax(axis=0)
        own = xp.where(is_best.any(axis=0), best_of, own)
    matched[near] = own
    return Tensor(matched)
