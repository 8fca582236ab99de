"""Cases and mistakes of the exercises on detection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import ops


def streets(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (height, width, sides of windows), one of which fits nowhere."""
    for _ in range(6):
        height, width = int(rng.integers(50, 90)), int(rng.integers(95, 180))
        sides = sorted(int(s) for s in rng.choice(np.arange(9, 60), 4, replace=False))
        yield height, width, [*sides[:3], height + 30]  # the last one fits nowhere


def counted(height: int, width: int, sides: Any, step: Any, one: int = 1) -> int:
    """Count where windows fit, ``step(side)`` apart; `one`: the place at the beginning."""
    fitting = [(s, step(s)) for s in sides if s <= min(height, width)]
    return sum(((height - s) // d + one) * ((width - s) // d + one) for s, d in fitting)


def pairs(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield two boxes each: at random, apart, one inside the other, without area."""
    for _ in range(8):
        begin, size = rng.uniform(0, 20, (2, 2)), rng.uniform(5, 30, (2, 2))
        a, b = np.concatenate([begin, begin + size], axis=1)
        yield a, b
    yield np.array([1.0, 2, 11, 8]), np.array([30.0, 40, 35, 52])  # apart along both axes
    yield np.array([1.0, 2, 11, 8]), np.array([3.0, 20, 9, 31])  # along one
    yield np.array([0.0, 0, 20, 30]), np.array([5.0, 5, 9, 13])  # one inside the other
    yield np.array([3.0, 4, 3, 9]), np.array([3.0, 4, 3, 9])  # no area


def overlap(a: Any, b: Any, apart: bool = True, more: float = 0.0, kind: str = "union") -> Any:
    """Return what two boxes share, over their union or another whole; maybe spoilt."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + more
    shared = np.prod(np.maximum(sides, 0) if apart else sides)
    one, other = np.prod(a[2:] - a[:2] + more), np.prod(b[2:] - b[:2] + more)
    whole = {
        "union": one + other - shared,
        "both": one + other,
        "smaller": min(one, other),
        "first": one,
    }[kind]
    return shared / whole if whole else 0.0


def crowds(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (boxes, scores, threshold), where several boxes are of the same object."""
    # A chain: the first box drives out the second, which would have driven out the third.
    chain = np.array([[0.0, 40, 10, 50], [0, 4, 10, 14], [0, 0, 10, 10], [0, 8, 10, 18]])
    yield chain, np.array([0.3, 0.7, 0.9, 0.6]), 0.4
    for _ in range(6):
        centres = rng.uniform(20, 90, (3, 1, 2)) + rng.normal(0, 3.5, (3, 5, 2))
        boxes = np.concatenate([centres - 10, centres + 10], axis=2).reshape(-1, 4)
        scores = rng.permutation(np.linspace(0.1, 0.97, len(boxes)))
        yield boxes, scores, float(rng.uniform(0.35, 0.6))


def _suppressed(boxes: Any, scores: Any, threshold: float, spoilt: str = "") -> list[int]:
    """Suppress by a rule that may be spoilt."""
    share = ops.iou_matrix(boxes, boxes).numpy()
    falling = np.argsort(scores if spoilt == "rising" else -scores)
    order = range(len(scores)) if spoilt == "as given" else falling.tolist()
    kept: list[int] = []
    for place, i in enumerate(order):
        rivals = {"all": list(order)[:place], "best": kept[:1]}.get(spoilt, kept)
        if all(share[i, j] <= threshold for j in rivals):
            kept.append(i)
    if spoilt == "places":
        return [falling.tolist().index(i) for i in kept]
    return sorted(kept) if spoilt == "sorted" else kept


def suppressing(how: str) -> Any:
    """Return a suppression by a rule that may be spoilt."""
    return lambda boxes, scores, threshold: _suppressed(boxes, scores, threshold, how)


def regions(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (features, box, stride, grid) to be pooled, no edge of the box near a half."""
    for rows, columns in ((2, 3), (3, 2), (2, 2), (4, 3), (1, 2), (3, 4)):
        stride = int(rng.choice([4, 8, 16]))
        features = rng.normal(size=(int(rng.integers(2, 4)), 11, 14))
        corner, size = rng.integers(0, 4, 2), rng.integers([4, 6], [7, 10])
        near = rng.choice([-0.4, 0.4], 4) * rng.uniform(0.5, 1, 4)  # halves would be a matter of
        box = (np.concatenate([corner, corner + size]) + near) * stride  # taste
        yield features, box.clip(0), stride, (rows, columns)


def _pooled(features: Any, box: Any, stride: Any, grid: Any, rounding: Any, **spoilt: bool) -> Any:
    """Pool a region by a rule that may be spoilt."""
    order = [1, 0, 3, 2] if spoilt.get("swapped") else [0, 1, 2, 3]
    by = 1 if spoilt.get("unscaled") else stride
    y0, x0, y1, x1 = rounding(np.asarray(box)[order] / by).astype(int)
    h, w = y1 - y0, x1 - x0
    if spoilt.get("corner"):
        y0 = x0 = 0
    y = np.empty((len(features), *grid))
    for i, j in np.ndindex(*grid):
        down, across = -(-(i + 1) * h // grid[0]), -(-(j + 1) * w // grid[1])
        if spoilt.get("gaps"):
            down, across = (i + 1) * (h // grid[0]), (j + 1) * (w // grid[1])
        top, left = i * h // grid[0], j * w // grid[1]
        if spoilt.get("gaps"):
            top, left = i * (h // grid[0]), j * (w // grid[1])
        cell = features[:, y0 + top : y0 + down, x0 + left : x0 + across]
        y[:, i, j] = cell.mean(axis=(1, 2)) if spoilt.get("means") else cell.max(axis=(1, 2))
    return y


def pooling(rounding: Any = np.rint, **spoilt: bool) -> Any:
    """Return a pooling of regions by a rule that may be spoilt."""
    return lambda x, box, stride, grid: _pooled(x, box, stride, grid, rounding, **spoilt)


def boxes_and_anchors(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield a box and an anchor each."""
    for _ in range(6):
        begin, size = rng.uniform(5, 40, (2, 2)), rng.uniform(6, 40, (2, 2))
        box, anchor = np.concatenate([begin, begin + size], axis=1)
        yield box, anchor


def _steps(box: Any, anchor: Any) -> Any:
    """Return how far a box is from its anchor, from middle to middle, and both sizes."""
    size, size_a = box[2:] - box[:2], anchor[2:] - anchor[:2]
    return (box[:2] + box[2:] - anchor[:2] - anchor[2:]) / 2, size, size_a


def encoding(how: Any) -> Any:
    """Return an encoding made by ``how(moved, size, anchor's size) -> (move, growth)``."""
    return lambda box, anchor: np.concatenate(how(*_steps(box, anchor)))


def maps(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (rows and columns of a map, stride, sizes of anchors)."""
    for _ in range(5):
        rows, columns = (int(n) for n in rng.permutation([2, 3, 4, 5, 6])[:2])
        sizes = [float(s) for s in rng.uniform(6, 50, int(rng.integers(2, 4)))]
        yield (rows, columns), int(rng.choice([4, 8, 16])), sizes


def laid(map_size: Any, stride: Any, sizes: Any, middle: float = 0.5, share: float = 0.5) -> Any:
    """Lay anchors over a map: (rows, columns, sizes, 4), maybe beside the middle or too large."""
    rows, columns = ((np.arange(n) + middle) * stride for n in map_size)
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)[:, :, None]
    half = share * np.array(sizes)[:, None]
    return np.concatenate([centres - half, centres + half], axis=-1)


def judged_places(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (scores, truths, gamma) of the focal loss."""
    for gamma in (2.0, 0.5, 1.0, 3.0, 0.0):
        shape = tuple(int(n) for n in rng.integers(3, 6, 2))
        yield rng.normal(0, 2, shape), rng.integers(0, 2, shape).astype(float), gamma


def _slope(x: Any, t: Any, gamma: float, how: str) -> Any:
    """Return the focal loss's slope, spoilt."""
    p = 1 / (1 + np.exp(-x))
    q = p if how == "one for both" else np.where(t == 1, p, 1 - p)
    sign = np.ones_like(x) if how == "no sign" else 2 * t - 1
    turned = (1 - q) ** gamma
    parts = {
        "constant": -turned * (1 - q),
        "cross-entropy": q - 1,
        "first only": turned * gamma * q * np.log(q),
        "added": turned * (-gamma * q * np.log(q) - (1 - q)),
        "upwards": -turned * (gamma * q * np.log(q) - (1 - q)),
        "of the probability": turned * (gamma * np.log(q) / (1 - q) - 1 / q),
    }
    return sign * parts.get(how, turned * (gamma * q * np.log(q) - (1 - q)))


def slope_of(how: str) -> Any:
    """Return the focal loss's slope, spoilt, as a function."""
    return lambda x, t, gamma: _slope(x, t, gamma, how)


def findings(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (boxes, scores, truths, threshold), several boxes for each object."""
    # The second box overlaps the first object most, which is taken: it may not have the second.
    near = np.array([[0.0, 0, 20, 20], [0, 6, 20, 26]])
    found = np.array([[0.0, 2, 20, 22], [0, 0, 20, 20], [50, 50, 60, 60], [0, 7, 20, 27]])
    yield found, np.array([0.5, 0.8, 0.9, 0.3]), near, 0.5
    for _ in range(6):
        begin = rng.permutation([5.0, 45.0, 85.0])[:, None] + rng.uniform(0, 8, (3, 2))
        truths = np.concatenate([begin, begin + 25], axis=1)
        boxes = np.tile(truths, (3, 1)) + rng.normal(0, 3.5, (9, 4))
        yield boxes, rng.permutation(np.linspace(0.1, 0.95, 9)), truths, 0.5


def judging(order: str = "falling", taken: str = "found", rule: str = "voc") -> Any:
    """Return a judge that may be spoilt."""

    def mistake(boxes: Any, scores: Any, truths: Any, threshold: float) -> list[bool]:
        share, free, right = ops.iou_matrix(boxes, truths).numpy(), [True] * len(truths), []
        rows = np.argsort(scores if order == "rising" else -scores)
        for i in range(len(boxes)) if order == "given" else rows.tolist():
            own = np.where(free, share[i], -1) if rule == "next" else share[i]
            best = int(own.argmax())
            hit = bool(own[best] >= threshold)
            right.append(hit and (free[best] or taken == "never"))
            if hit or taken == "always":
                free[best] = False
        return right

    return mistake
