"""What a region's grid of cells sees of its image: the geometry of RoI pooling and RoI align.

Everything is told one axis at a time, by tables with a line for each region.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops._losses import beside

Table = tuple[Array, Array]
_FAR = 2.0**40  # pixels; farther away no box can see more of an image


def regions(op: str, x: Any, boxes: Any, images: Any, what: str) -> tuple[Tensor, Array, Array]:
    """Check images (N, C, H, W), boxes or windows (R, 4), and the number of each one's image.

    Returns x as a Tensor, the boxes as they are and the numbers as int64.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    boxes, images = beside(op, what, boxes, x.data), beside(op, "images", images, x.data)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"{op}: needs images (N, C, H, W) with pixels, got shape {x.shape}")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or images.shape != boxes.shape[:1]:
        raise ShapeError(
            f"{op}: {what} must be (R, 4) as (y0, x0, y1, x1) and images (R,), got {boxes.shape} "
            f"and {images.shape}; no {what} are of shape (0, 4)"
        )
    if images.size and images.dtype.kind not in "iu":
        raise DTypeError(
            f"{op}: images must be whole numbers, got {images.dtype} of shape {images.shape}; "
            "they say which image each of the regions is of"
        )
    outside = (images < 0) | (images >= len(x))
    if outside.any():
        at = int(array_module(images).nonzero(outside)[0][0])
        raise ConfigError(
            f"{op}: images[{at}] is {int(images[at])}, but x {x.shape} has the images 0 ... "
            f"{len(x) - 1}; number them within the batch"
        )
    return x, boxes, images.astype(np.int64)


def finite(op: str, boxes: Array) -> Array:
    """Return boxes (R, 4) as float64, or refuse what is no number."""
    xp = array_module(boxes)
    boxes = boxes.astype(np.float64)
    wrong = ~xp.isfinite(boxes).all(axis=1)
    if wrong.any():
        at = int(xp.nonzero(wrong)[0][0])
        raise ConfigError(
            f"{op}: box {at} of {boxes.shape} is {boxes[at].tolist()}; boxes must be finite"
        )
    return boxes


def scaled(boxes: Array, scale: float) -> Array:
    """Return boxes times scale, in pixels of the feature map, cut off far outside of it."""
    return (boxes * scale).clip(-_FAR, _FAR)


def rounded(boxes: Array, scale: float) -> Array:
    """Return boxes times scale, rounded to whole pixels; halves away from 0."""
    xp = array_module(boxes)
    exact = scaled(boxes, scale)
    whole = xp.trunc(exact)
    whole += xp.sign(exact) * (xp.abs(exact - whole) >= 0.5)
    return whole.astype(np.int64)


def cells(starts: Array, stops: Array, count: int, pixels: int) -> Table:
    """Cut windows (R,) into `count` cells each; return their first and last-but-one pixels.

    Cell i of a window of n pixels begins at ``floor(i n / count)`` and ends before
    ``ceil((i+1) n / count)``: cells may share a pixel, and none is without. Then they are cut off
    where the image ends, and may be empty.
    """
    xp = array_module(starts)
    starts = starts.clip(-int(_FAR), int(_FAR))
    lengths = xp.maximum(stops.clip(-int(_FAR), int(_FAR)) - starts, 1)[:, None]
    i = xp.arange(count)
    begin = starts[:, None] + i * lengths // count
    end = starts[:, None] - (-(i + 1) * lengths // count)
    return begin.clip(0, pixels), end.clip(0, pixels)


class Samples(NamedTuple):
    """Points at which regions read an axis of their image, S for each of the I cells."""

    counts: Array  # (R,), how many points a cell has, as floats
    low: Array  # (R, I, S), the pixel before a point
    high_weight: Array  # (R, I, S), the share of the pixel after it
    inside: Array  # (R, I, S), bool: whether there is such a point, in the image
    outside: Array  # (R, I), bool: whether the cell has points outside the image, which read 0


def samples(starts: Array, lengths: Array, count: int, per_cell: int, pixels: int) -> Samples:
    """Lay points evenly into the cells of regions (R,), `per_cell` of them or one a pixel.

    Point s of cell i is at ``start + (i + (s + 1/2) / S) * length / count``. Those before -1 or
    after the image's end are outside; the others are moved to the nearest pixel there is.
    """
    xp = array_module(starts)
    size = lengths / count
    counts = xp.ceil(size).clip(0) if not per_cell else xp.full(size.shape, float(per_cell))
    step = xp.where(counts > 0, size / xp.maximum(counts, 1), 1.0)[:, None]
    first = starts[:, None] + xp.arange(count) * size[:, None] + 0.5 * step  # (R, I)
    # A region far larger than the image has few points in it: begin with the first of them.
    # (One point a pixel means steps of more than 1/2.)
    most = max(per_cell, 2 * pixels + 6)
    far = counts[:, None] > most
    skipped = xp.where(far, xp.floor((-1 - first) / xp.where(far, step, 1)), 0)
    skipped = xp.clip(skipped, 0, counts[:, None])
    slots = int(min(float(counts.max()), most)) if counts.size else 0
    s = skipped[..., None] + xp.arange(slots)  # (R, I, S)
    at = first[..., None] + s * step[..., None]
    inside = (s < counts[:, None, None]) & (at >= -1) & (at <= pixels)
    at = xp.where(inside, at, 0).clip(0, pixels - 1)
    low = xp.floor(at)
    outside = inside.sum(axis=2) < counts[:, None]
    return Samples(counts, low.astype(np.int64), at - low, inside, outside)


def averaging(points: Samples) -> Table:
    """Return the table (first (R, I), weights (R, I, K)) that averages the points of each cell."""
    xp = array_module(points.low)
    regions, count, slots = points.low.shape
    if not points.low.size:
        return xp.zeros((regions, count), np.int64), xp.zeros((regions, count, 1))
    first = xp.where(points.inside, points.low, np.iinfo(np.int64).max).min(axis=2)
    first = xp.where(points.inside.any(axis=2), first, 0)
    offset = xp.where(points.inside, points.low - first[..., None], 0)
    weights = xp.zeros((regions, count, int(offset.max()) + 2))
    r, i = xp.arange(regions)[:, None], xp.arange(count)
    share = points.inside / points.counts.clip(1)[:, None, None]
    for s in range(slots):  # one point of every cell: no two add to one place
        weights[r, i, offset[..., s]] += share[..., s] * (1 - points.high_weight[..., s])
        weights[r, i, offset[..., s] + 1] += share[..., s] * points.high_weight[..., s]
    return first, weights


def single(points: Samples, by_tap: bool) -> tuple[Table, Array]:
    """Return a table with a line for every point (or each of its two pixels), and which exist.

    Points outside read 0; one line, where there are any, stands for all of a cell's.
    """
    xp = array_module(points.low)
    regions, count, slots = points.low.shape
    first, exist = points.low, points.inside
    weights = xp.stack([1 - points.high_weight, points.high_weight], axis=3) * exist[..., None]
    if points.outside.any() or not slots:
        first = xp.concatenate([first, xp.zeros((regions, count, 1), np.int64)], axis=2)
        exist = xp.concatenate([exist, points.outside[..., None]], axis=2)
        weights = xp.concatenate([weights, xp.zeros((regions, count, 1, 2))], axis=2)
    if by_tap:
        first = first[..., None] + xp.arange(2)
        exist = xp.broadcast_to(exist[..., None], first.shape)
    lines, taps = (2 * weights.shape[2], 1) if by_tap else (weights.shape[2], 2)  # of each cell
    table = (
        first.reshape(regions, count * lines),
        weights.reshape(regions, count * lines, taps),
    )
    return table, exist.reshape(regions, count, lines)
