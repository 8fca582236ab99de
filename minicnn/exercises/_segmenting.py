"""Cases and mistakes of the exercises on segmentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

IGNORED = 255


def confusions(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield confusion matrices, in most of which a class is neither there nor predicted."""
    for classes in (3, 4, 5, 6, 3):
        matrix = rng.integers(1, 40, (classes, classes)) + np.diag(rng.integers(20, 200, classes))
        gone = int(rng.integers(classes))
        if classes != 4:  # neither there nor predicted
            matrix[gone] = matrix[:, gone] = 0
        yield (matrix,)
    yield (np.array([[50, 0, 7], [0, 0, 0], [9, 4, 80]]),)  # predicted, but not there


def iou_with(whole: Any, gone: float | None = None, hits: Any = np.diag) -> Any:
    """Return a mean of ``hits / whole(rows, columns, hits)``, classes without any as said."""

    def mistake(matrix: Any) -> Any:
        right, rows, columns = hits(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
        share = np.divide(right, whole(rows, columns, right))
        if gone is not None:
            return np.where(rows + columns > 0, share, gone).mean()
        return np.nanmean(share)

    return mistake


def large_masks(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (mask, factor), with pixels that count for nothing."""
    # Of the first block most pixels count for nothing; of the second all; labels are far apart.
    mask = np.array([[7, 255, 255, 255, 0, 6], [255, 7, 255, 255, 6, 6]], np.uint8)
    yield mask, 2
    for factor in (2, 3, 4, 2, 3):
        rows, columns = (int(n) for n in rng.permutation([2, 3, 4, 5])[:2])
        main = rng.integers(0, 8, (rows, columns)).repeat(factor, 0).repeat(factor, 1)
        other = rng.integers(0, 8, main.shape)
        mask = np.where(rng.random(main.shape) < 0.45, other, main)
        mask[rng.random(main.shape) < 0.3] = IGNORED
        yield mask.astype(np.uint8), factor


def blocks_of(mask: Any, factor: int) -> Any:
    """(rows * f, columns * f) -> (rows, columns, f * f)."""
    rows, columns = mask.shape[0] // factor, mask.shape[1] // factor
    blocks = mask.reshape(rows, factor, columns, factor).swapaxes(1, 2)
    return blocks.reshape(rows, columns, factor * factor)


def shrunk(mask: Any, factor: int, choose: Any) -> Any:
    """Return a mask made smaller, each label by ``choose(labels of its block)``."""
    blocks = blocks_of(mask, factor)
    y = np.empty(blocks.shape[:2], mask.dtype)
    for place in np.ndindex(y.shape):
        y[place] = choose(blocks[place])
    return y


def most_votes(labels: Any, voters: Any, tie: str = "smallest") -> Any:
    """Return the commonest of the labels that vote; `IGNORED` if none does."""
    counts = np.bincount(labels[voters(labels)], minlength=256)
    if not counts.any():
        return IGNORED
    return counts.argmax() if tie == "smallest" else 255 - counts[::-1].argmax()


def lines(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (inputs, weights, stride), all along one axis."""
    for stride, size in ((2, 3), (2, 4), (3, 4), (1, 3), (3, 2), (2, 2), (3, 5)):
        yield rng.normal(size=int(rng.integers(4, 8))), rng.normal(size=size), stride


def enlarged_line(x: Any, w: Any, stride: int, how: str) -> Any:
    """Return a transposed convolution, spoilt."""
    length = {
        "stride": len(x) * stride,
        "same": (len(x) - 1) * 1 + len(w),
        "long": len(x) * stride + len(w),
        "beside": len(x) * len(w),
    }.get(how, (len(x) - 1) * stride + len(w))
    y = np.zeros(length)
    step = {"same": 1, "beside": len(w)}.get(how, stride)
    for i, k in np.ndindex(len(x), len(w)):
        value = x[i] * w[::-1][k] if how == "flipped" else x[i] * w[k]
        at = i * step + k
        if at < len(y):
            y[at] = value if how == "overwritten" else y[at] + value
    if how == "averaged":
        met = np.zeros(length)
        for i, k in np.ndindex(len(x), len(w)):
            met[i * step + k] += 1
        return y / np.maximum(met, 1)
    return y


def transposing(how: str) -> Any:
    """Return a transposed convolution, spoilt, as a function."""
    return lambda x, w, stride: enlarged_line(x, w, stride, how)


def small_maps(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (map, factor to enlarge it by)."""
    for factor in (2, 3, 4, 2, 3):
        rows, columns = (int(n) for n in rng.permutation([3, 4, 5, 6])[:2])
        yield rng.normal(size=(rows, columns)), factor


def interpolated(x: Any, factor: int, place: Any, outside: str = "border") -> Any:
    """Interpolate where ``place(i, factor, n)`` says, along both axes."""
    for axis in (0, 1):
        n = x.shape[axis]
        at = np.array([place(i, factor, n) for i in range(n * factor)])
        if outside == "border":
            at = at.clip(0, n - 1)
        low = np.floor(at).astype(int)
        if outside == "beyond":
            low = low.clip(0, n - 2)
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        first, second = (
            np.take(x, index.clip(0, n - 1), axis)
            * (((index >= 0) & (index < n)).reshape(share.shape) if outside == "zeros" else 1.0)
            for index in (low, low + 1)
        )
        x = first * (1 - share) + second * share
    return x


def half_pixel(i: int, factor: int, n: int) -> float:
    """Return where pixel i of an enlarged axis lies on the small one, from middle to middle."""
    return (i + 0.5) / factor - 0.5


def pooled_maps(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (largest values, where they stood in their channel, its size)."""
    for size in (2, 3, 2, 4, 2):
        channels, rows, columns = (int(n) for n in rng.permutation([2, 3, 4, 5])[:3])
        height, width = rows * size, columns * size
        values = rng.normal(size=(channels, rows, columns))
        i, j = np.indices((rows, columns))
        down, across = rng.integers(0, size, (2, channels, rows, columns))
        places = (i * size + down) * width + j * size + across
        yield values, places, (height, width)


def unpooled(values: Any, places: Any, size: Any, how: str) -> Any:
    """Return an unpooling, spoilt."""
    height, width = size
    y = np.zeros((len(values), height, width))
    window = height // values.shape[1]
    for c, i, j in np.ndindex(*values.shape):
        row, column = divmod(int(places[c, i, j]), height if how == "height" else width)
        if how == "columns":
            column, row = divmod(int(places[c, i, j]), height)
        if how == "filled":
            y[c, i * window : (i + 1) * window, j * window : (j + 1) * window] = values[c, i, j]
        elif how == "corner":
            y[c, i * window, j * window] = values[c, i, j]
        elif how == "first channel":
            row, column = divmod(int(places[0, i, j]), width)
            y[c, row, column] = values[c, i, j]
        elif row < height and column < width:
            y[c, row, column] = values[c, i, j]
    return y


def unpooling(how: str) -> Any:
    """Return an unpooling, spoilt, as a function."""
    return lambda values, places, size: unpooled(values, places, size, how)


def nets(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (channels of each level of a U-Net, classes)."""
    for depth in (3, 2, 4, 3, 1):
        widths = [int(n) for n in rng.permutation(np.arange(4, 20))[:depth]]
        yield widths, int(rng.integers(2, 12))


def counted(widths: Any, classes: int, **spoilt: Any) -> int:
    """Count what a U-Net learns, spoilt."""
    bias, up = spoilt.get("bias", 1), spoilt.get("up", 4)

    def layer(before: int, after: int, weights: int = 9) -> int:
        return weights * before * after + bias * after

    total, before = 0, 3
    for width in widths:
        total += layer(before, width) + layer(width, width) * spoilt.get("second", 1)
        before = width
    for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
        total += layer(below, width, up) if up else 0
        joined = spoilt.get("joined", lambda below, width: 2 * width)(below, width)
        total += layer(joined, width) + layer(width, width) * spoilt.get("second", 1)
    return total + layer(widths[0], classes, spoilt.get("last", 1))


def counting(**spoilt: Any) -> Any:
    """Return a count of what a U-Net learns, spoilt, as a function."""
    return lambda widths, classes: counted(widths, classes, **spoilt)


def soft_masks(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (probabilities, truths 0 or 1)."""
    for _ in range(6):
        shape = tuple(int(n) for n in rng.permutation([3, 4, 5, 6])[:2])
        t = (rng.random(shape) < 0.3).astype(float)
        t[0, 0] = 1.0
        yield rng.uniform(0.05, 0.95, shape), t


def dice_slope(how: Any) -> Any:
    """Return ``how(shared, whole, p, t)`` as a function of the masks."""
    return lambda p, t: how((p * t).sum(), p.sum() + t.sum(), p, t)


def mask_sets(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (masks, classes), where the last class is in no mask."""
    for classes in (4, 5, 4, 6, 5):
        masks = []
        for _ in range(4):
            shown = rng.permutation(classes - 1)[: classes - 2]  # the last class is in none
            share = rng.dirichlet(np.ones(len(shown)))
            masks.append(rng.choice(shown, (5, 7), p=share))
        masks.append(np.arange(35).reshape(5, 7) % (classes - 1))  # all others are in one
        yield np.array(masks), classes


def frequencies(masks: Any, classes: int, among: str = "showing") -> Any:
    """Return how common classes are, among all pixels or those of images that show them."""
    own = np.array([(masks == k).sum() for k in range(classes)], float)
    pixels = masks[0].size
    images = np.array([sum((mask == k).any() for mask in masks) for k in range(classes)])
    return own / (pixels * images if among == "showing" else masks.size)


def weighing(how: Any, among: str = "showing", gone: float = 0.0) -> Any:
    """Return weights made by ``how(frequencies of the classes that are there)``."""

    def mistake(masks: Any, classes: int) -> Any:
        f = frequencies(masks, classes, among)
        there = np.isin(np.arange(classes), masks)
        weights = np.full(classes, gone)
        weights[there] = how(f[there])
        return weights

    return mistake
