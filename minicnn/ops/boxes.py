"""Boxes and how far they overlap.

A box is (y0, x0, y1, x1) in pixels, half-open: the pixel (y, x) is in it if ``y0 <= y < y1`` and
``x0 <= x < x1``, so that its height is ``y1 - y0``. A box that ends before it begins is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Tensor, clip, composed, maximum, minimum, where
from minicnn.backend import Array, kernels_for
from minicnn.errors import DeviceError, ShapeError

__all__ = ["box_area", "giou_matrix", "intersection_matrix", "iou_matrix"]


@composed
def box_area(boxes: Tensor) -> Tensor:
    """Return the boxes' areas: ``y = max(y1 - y0, 0) * max(x1 - x0, 0)``.

    Parameters
    ----------
    boxes : Tensor, shape (..., 4)
        (y0, x0, y1, x1) in pixels, half-open.

    Returns
    -------
    Tensor, shape (...)
        In square pixels; of whole numbers for boxes of whole numbers.

    Raises
    ------
    ShapeError
        If the last axis is not of four.
    """
    boxes = boxes if isinstance(boxes, Tensor) else Tensor(boxes)
    if not boxes.ndim or boxes.shape[-1] != 4:
        raise ShapeError(
            f"box_area: needs boxes (..., 4) as (y0, x0, y1, x1), got shape {boxes.shape}"
        )
    return area(boxes)


@composed
def intersection_matrix(boxes_a: Array | Tensor, boxes_b: Array | Tensor) -> Tensor:
    """Return the area that each box of one set shares with each of another.

    ``y[a, b] = max(h, 0) * max(w, 0)`` with ``h = min(y1_a, y1_b) - max(y0_a, y0_b)`` and
    ``w = min(x1_a, x1_b) - max(x0_a, x0_b)``.

    Parameters
    ----------
    boxes_a : Tensor or ndarray, shape (A, 4)
        (y0, x0, y1, x1) in pixels, half-open.
    boxes_b : Tensor or ndarray, shape (B, 4)
        The other set.

    Returns
    -------
    Tensor, shape (A, B)
        In square pixels; 0 for boxes that do not meet.

    Raises
    ------
    ShapeError
        If a set is not of shape (R, 4).
    DeviceError
        If the sets are on two devices.
    """
    op = "intersection_matrix"
    a, b = _two_sets(op, boxes_a, boxes_b)
    return intersection(a.expand_dims(1), b.expand_dims(0))


@composed
def iou_matrix(boxes_a: Array | Tensor, boxes_b: Array | Tensor) -> Tensor:
    """Return the overlap of each box of one set with each of another: intersection over union.

    ``y[a, b] = s / (area_a + area_b - s)``, where s is what they share: `intersection_matrix`.

    Parameters
    ----------
    boxes_a : Tensor or ndarray, shape (A, 4)
        (y0, x0, y1, x1) in pixels, half-open; whole numbers are taken as float64.
    boxes_b : Tensor or ndarray, shape (B, 4)
        The other set.

    Returns
    -------
    Tensor, shape (A, B)
        From 0 to 1. A box of no area overlaps nothing, not even itself: 0, and no NaN. Gradients
        flow to both sets; they are 0 for boxes that do not meet.

    Raises
    ------
    ShapeError
        If a set is not of shape (R, 4).
    DeviceError
        If the sets are on two devices.
    """
    a, b, narrow = _two_wide_sets("iou_matrix", boxes_a, boxes_b)
    if a.requires_grad or b.requires_grad:
        iou = ratio(*overlap(a.expand_dims(1), b.expand_dims(0)))
    else:  # some ten times as fast: a detector compares all its anchors
        iou = Tensor(kernels_for(a.data).iou_matrix(a.data, b.data))
    return iou.astype("float16") if narrow else iou


@composed
def giou_matrix(boxes_a: Array | Tensor, boxes_b: Array | Tensor) -> Tensor:
    """Return the generalised overlap of each box of one set with each of another.

    ``y[a, b] = IoU - (|E| - |union|) / |E|``, where E is the smallest box around both. Unlike
    `iou_matrix` it tells boxes that lie next to one another from those far apart.

    Parameters
    ----------
    boxes_a : Tensor or ndarray, shape (A, 4)
        (y0, x0, y1, x1) in pixels, half-open; whole numbers are taken as float64.
    boxes_b : Tensor or ndarray, shape (B, 4)
        The other set.

    Returns
    -------
    Tensor, shape (A, B)
        From -1 to 1, and never above the IoU: 1 for equal boxes, near -1 for small ones far
        apart. Where E has no area it is 0, and no NaN. Gradients flow to both sets.

    Raises
    ------
    ShapeError
        If a set is not of shape (R, 4).
    DeviceError
        If the sets are on two devices.

    References
    ----------
    Rezatofighi et al., "Generalized intersection over union", CVPR 2019, equation 2.
    """
    a, b, narrow = _two_wide_sets("giou_matrix", boxes_a, boxes_b)
    a, b = a.expand_dims(1), b.expand_dims(0)
    shared, union = overlap(a, b)
    around = enclosing_sides(a, b)
    whole = _product(around)
    giou = ratio(shared, union) - ratio(whole - union, whole)
    return giou.astype("float16") if narrow else giou


def _two_wide_sets(op: str, boxes_a: Any, boxes_b: Any) -> tuple[Tensor, Tensor, bool]:
    """Return two sets of boxes as floats whose areas do not overflow, and whether they are narrow.

    Areas of float16 would from 256 x 256 pixels on.
    """
    a, b = (
        t if t.dtype.kind == "f" else t.astype("float64") for t in _two_sets(op, boxes_a, boxes_b)
    )
    narrow = np.result_type(a.dtype, b.dtype) == np.float16
    return (a.astype("float32"), b.astype("float32"), True) if narrow else (a, b, False)


def _two_sets(op: str, boxes_a: Any, boxes_b: Any) -> tuple[Tensor, Tensor]:
    """Return two sets of boxes as Tensors on one device, or refuse them."""
    a, b = box_set(op, "boxes_a", boxes_a), box_set(op, "boxes_b", boxes_b)
    if a.device != b.device:
        raise DeviceError(
            f"{op}: boxes_a {a.shape} are on {a.device}, boxes_b {b.shape} on {b.device}; move one "
            "with .to(...)"
        )
    return a, b


def box_set(op: str, name: str, boxes: Any) -> Tensor:
    """Return the argument called `name` as a Tensor (R, 4), or refuse it."""
    boxes = boxes if isinstance(boxes, Tensor) else Tensor(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(
            f"{op}: {name} must be (R, 4) as (y0, x0, y1, x1), got shape {boxes.shape}; no boxes "
            "are of shape (0, 4)"
        )
    return boxes


def sides(begin: Tensor, end: Tensor) -> Tensor:
    """Return heights and widths (..., 2) between corners (..., 2), not less than 0.

    `clip` has the slope 1 at 0, so that a box of no area can still grow.
    """
    return clip(end - begin, low=0)


def area(boxes: Tensor) -> Tensor:
    """Return the areas (...) of boxes (..., 4)."""
    return _product(sides(boxes[..., :2], boxes[..., 2:]))


def intersection(a: Tensor, b: Tensor) -> Tensor:
    """Return the areas shared by boxes (..., 4) that broadcast with one another."""
    begin, end = maximum(a[..., :2], b[..., :2]), minimum(a[..., 2:], b[..., 2:])
    return _product(sides(begin, end))


def enclosing_sides(a: Tensor, b: Tensor) -> Tensor:
    """Return the sides (..., 2) of the smallest boxes around pairs that broadcast."""
    return sides(minimum(a[..., :2], b[..., :2]), maximum(a[..., 2:], b[..., 2:]))


def _product(lengths: Tensor) -> Tensor:
    return lengths[..., 0] * lengths[..., 1]


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the shared areas and those of the unions of boxes that broadcast."""
    shared = intersection(a, b)
    return shared, area(a) + area(b) - shared


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide; where the whole is (next to) nothing, return 0 and pass no gradient back.

    "Next to": the slope is of the order of 1 / whole, which must not overflow either.
    """
    something = whole.data > np.finfo(whole.dtype).tiny ** 0.5
    something |= whole.data != whole.data  # NaN shows
    return where(something, part, 0.0) / where(something, whole, 1.0)
