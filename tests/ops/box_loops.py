"""Boxes for the tests, and their overlap in plain arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.ops.values import distinct


def scattered_boxes(seed: int, count: int) -> np.ndarray:
    """Boxes (y0, x0, y1, x1) no two of whose edges lie close; one in eight is inside out."""
    ends = 2 * distinct(seed, 2, count, 2)  # of each axis and box, where it begins and ends
    ends.sort(axis=2)
    turned = np.random.default_rng(seed).random(count) < 0.125
    ends[0, turned] = ends[0, turned, ::-1]
    return np.stack([ends[0, :, 0], ends[1, :, 0], ends[0, :, 1], ends[1, :, 1]], axis=1)


def area(box: Sequence[float]) -> float:
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def shared(a: Sequence[float], b: Sequence[float]) -> float:
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    return height * width if height > 0 and width > 0 else 0.0


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    both = shared(a, b)
    return both / (area(a) + area(b) - both) if both else 0.0


def giou(a: Sequence[float], b: Sequence[float]) -> float:
    height, width = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    if not height > 0 or not width > 0:
        return iou(a, b)
    union = area(a) + area(b) - shared(a, b)
    return iou(a, b) - (height * width - union) / (height * width)
