"""Boxes told relative to others: what a detector predicts are small steps from anchors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, clip, composed, concatenate, exp, log, stack
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, DeviceError, ShapeError

__all__ = [
    "clip_boxes",
    "decode_boxes",
    "decode_distances",
    "encode_boxes",
    "encode_distances",
]

FourNumbers = tuple[float, float, float, float]
# exp(4.1) = 62.5, which makes an anchor of 16 pixels 1000 pixels high: larger steps are cut off,
# or one bad prediction early in training would be infinite.
LARGEST_GROWTH = math.log(1000 / 16)


@composed
def encode_boxes(
    boxes: Array | Tensor, anchors: Array | Tensor, scale: FourNumbers = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Tell boxes as steps from anchors: how far to move, in anchor sizes, and how much to grow.

    With centres c, heights h and widths w, of boxes and of anchors a:
    ``y = ((cy - cy_a) / h_a, (cx - cx_a) / w_a, log(h / h_a), log(w / w_a)) / scale``.

    Parameters
    ----------
    boxes : Tensor or ndarray, shape (..., 4)
        (y0, x0, y1, x1) in pixels, half-open, higher and wider than 0.
    anchors : Tensor or ndarray, shape (..., 4)
        The anchor of each, likewise.
    scale : four floats, default (1, 1, 1, 1)
        What each step is divided by, its standard deviation over a data set, say: then all four
        weigh alike in a loss. (0.1, 0.1, 0.2, 0.2) is usual.

    Returns
    -------
    Tensor, shape (..., 4)
        The steps, without a unit; gradients flow to both.

    Raises
    ------
    ShapeError
        If the last axis is not of four, or shapes do not broadcast.
    ConfigError
        If a box or an anchor has no area: leave those out before; or a scale is not above 0.
    DeviceError
        If they are on two devices.

    References
    ----------
    Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object detection
    and semantic segmentation", CVPR 2014, appendix C.
    """
    op = "encode_boxes"
    b, a = _pair(op, "boxes", boxes, "anchors", anchors)
    factors = _factors(op, scale, b)
    for name, t in (("boxes", b), ("anchors", a)):
        _check_area(op, name, t)
    (centre, size), (centre_a, size_a) = _centred(b), _centred(a)
    steps = concatenate([(centre - centre_a) / size_a, log(size / size_a)], axis=-1)
    return steps / factors


@composed
def decode_boxes(
    steps: Array | Tensor, anchors: Array | Tensor, scale: FourNumbers = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Go from anchors by steps to boxes, as `encode_boxes` tells them.

    With steps t times `scale`: ``centre = centre_a + (ty, tx) * (h_a, w_a)`` and
    ``(h, w) = (h_a, w_a) * exp(min((th, tw), log(1000 / 16)))``.

    Parameters
    ----------
    steps : Tensor or ndarray, shape (..., 4)
        (ty, tx, th, tw), without a unit.
    anchors : Tensor or ndarray, shape (..., 4)
        (y0, x0, y1, x1) in pixels, half-open.
    scale : four floats, default (1, 1, 1, 1)
        As the boxes were encoded.

    Returns
    -------
    Tensor, shape (..., 4)
        Boxes (y0, x0, y1, x1) in pixels, half-open; gradients flow to both, none to a growth
        that is cut off.

    Raises
    ------
    ShapeError
        If the last axis is not of four, or shapes do not broadcast.
    ConfigError
        If a scale is not above 0.
    DeviceError
        If they are on two devices.
    """
    op = "decode_boxes"
    t, a = _pair(op, "steps", steps, "anchors", anchors)
    t = t * _factors(op, scale, t)
    centre_a, size_a = _centred(a)
    centre = centre_a + t[..., :2] * size_a
    half = 0.5 * size_a * exp(clip(t[..., 2:], high=LARGEST_GROWTH))
    return concatenate([centre - half, centre + half], axis=-1)


@composed
def encode_distances(boxes: Array | Tensor, points: Array | Tensor) -> Tensor:
    """Tell boxes as the distances of a point to their four sides: up, left, down and right.

    With the point p: ``y = (py - y0, px - x0, y1 - py, x1 - px)``. All four are above 0 if and
    only if the point lies inside.

    Parameters
    ----------
    boxes : Tensor or ndarray, shape (..., 4)
        (y0, x0, y1, x1) in pixels, half-open.
    points : Tensor or ndarray, shape (..., 2)
        The place (y, x) from which each box is seen, in pixels; the middle of pixel (i, j) is
        (i + 0.5, j + 0.5).

    Returns
    -------
    Tensor, shape (..., 4)
        In pixels; gradients flow to both.

    Raises
    ------
    ShapeError
        If the last axes are not of four and two, or shapes do not broadcast.
    DeviceError
        If they are on two devices.

    References
    ----------
    Yu et al., "UnitBox: An advanced object detection network", ACM Multimedia 2016, section 2.
    Tian, Shen, Chen and He, "FCOS: Fully convolutional one-stage object detection", ICCV 2019,
    equation 1.
    """
    op = "encode_distances"
    b, p = _pair(op, "boxes", boxes, "points", points, 2)
    return concatenate([p - b[..., :2], b[..., 2:] - p], axis=-1)


@composed
def decode_distances(distances: Array | Tensor, points: Array | Tensor) -> Tensor:
    """Go from points by distances to boxes, as `encode_distances` tells them.

    With the distances d and the point p: ``y = (py - d0, px - d1, py + d2, px + d3)``.

    Parameters
    ----------
    distances : Tensor or ndarray, shape (..., 4)
        Up, left, down and right, in pixels. Negative ones give a box that the point is not in.
    points : Tensor or ndarray, shape (..., 2)
        The place (y, x) from which each was measured, in pixels.

    Returns
    -------
    Tensor, shape (..., 4)
        Boxes (y0, x0, y1, x1) in pixels, half-open; gradients flow to both.

    Raises
    ------
    ShapeError
        If the last axes are not of four and two, or shapes do not broadcast.
    DeviceError
        If they are on two devices.
    """
    op = "decode_distances"
    d, p = _pair(op, "distances", distances, "points", points, 2)
    return concatenate([p - d[..., :2], p + d[..., 2:]], axis=-1)


@composed
def clip_boxes(boxes: Array | Tensor, height: float, width: float) -> Tensor:
    """Cut boxes off at the border of their image: ``y = min(max(boxes, 0), (H, W, H, W))``.

    Parameters
    ----------
    boxes : Tensor or ndarray, shape (..., 4)
        (y0, x0, y1, x1) in pixels, half-open.
    height, width : float
        Of the image, in pixels, H and W.

    Returns
    -------
    Tensor, shape (..., 4)
        A box outside the image has no area.

    Raises
    ------
    ShapeError
        If the last axis is not of four.
    ConfigError
        If height or width is negative.
    """
    op = "clip_boxes"
    b = _last_axis(op, "boxes", boxes, 4)
    if not (0 <= height < math.inf and 0 <= width < math.inf):
        raise ConfigError(f"{op}: an image of {height} x {width} pixels has no border; give H, W")
    borders = enumerate((height, width, height, width))
    return stack([clip(b[..., i], low=0, high=border) for i, border in borders], axis=-1)


def _pair(
    op: str, name: str, first: Any, name_of_other: str, other: Any, width: int = 4
) -> tuple[Tensor, Tensor]:
    """Return two arguments (..., 4) and (..., `width`) that broadcast, or refuse them."""
    a = _floats(_last_axis(op, name, first, 4))
    b = _floats(_last_axis(op, name_of_other, other, width))
    if a.device != b.device:
        raise DeviceError(
            f"{op}: {name} {a.shape} are on {a.device}, {name_of_other} {b.shape} on {b.device}; "
            "move one with .to(...)"
        )
    try:
        np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    except ValueError:
        raise ShapeError(
            f"{op}: {name} {a.shape} and {name_of_other} {b.shape} do not fit; give one for each"
        ) from None
    return a, b


def _last_axis(op: str, name: str, given: Any, width: int) -> Tensor:
    t = given if isinstance(given, Tensor) else Tensor(given)
    if not t.ndim or t.shape[-1] != width:
        raise ShapeError(f"{op}: {name} must be (..., {width}), got shape {t.shape}")
    return t


def _floats(t: Tensor) -> Tensor:
    return t if t.dtype.kind == "f" else t.astype("float64")


def _factors(op: str, scale: Any, like: Tensor) -> Tensor:
    """Return the scale (4,) of the type and on the device of a Tensor."""
    factors = np.asarray(scale, np.float64)
    if factors.shape != (4,) or not (factors > 0).all() or not np.isfinite(factors).all():
        raise ConfigError(f"{op}: scale must be four numbers above 0, got {scale!r}")
    return Tensor(array_module(like.data).asarray(factors, like.dtype))


def _check_area(op: str, name: str, boxes: Tensor) -> None:
    size = boxes.data[..., 2:] - boxes.data[..., :2]
    flat = ~(size > 0).all(axis=-1)  # NaN as well
    if flat.any():
        at = int(array_module(flat).argmax(flat.reshape(-1)))
        box = boxes.data.reshape(-1, 4)[at].tolist()
        raise ConfigError(
            f"{op}: {name} {boxes.shape}: number {at}, {box}, has no area, and steps to it or from "
            "it would not be finite; leave such boxes out"
        )


def _centred(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres (..., 2) and the heights and widths (..., 2)."""
    begin, end = boxes[..., :2], boxes[..., 2:]
    return 0.5 * (begin + end), end - begin
