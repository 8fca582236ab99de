"""Boxes (y0, x0, y1, x1), half-open: their areas, and how far they overlap."""

import numpy as np

from ._windows import array_module


def overlaps(a, b):
    """a (..., 4), b (..., 4) that broadcast -> intersection over union (...); of nothing 0."""
    xp = array_module(b)
    height = xp.minimum(a[..., 2], b[..., 2]) - xp.maximum(a[..., 0], b[..., 0])
    width = xp.minimum(a[..., 3], b[..., 3]) - xp.maximum(a[..., 1], b[..., 1])
    shared = xp.maximum(height, 0) * xp.maximum(width, 0)
    union = areas(a) + areas(b) - shared
    nothing = union <= np.finfo(union.dtype).tiny ** 0.5
    return xp.where(nothing, 0, shared) / xp.where(nothing, 1, union)


def areas(boxes):
    """boxes (..., 4) -> their areas (...), NaN where a coordinate is."""
    sides = boxes[..., 2:] - boxes[..., :2]
    sides = array_module(boxes).maximum(sides, 0)
    return sides[..., 0] * sides[..., 1]
