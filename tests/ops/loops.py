"""Plain loops that the oracles share: the definitions, with no array arithmetic in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def elementwise(f: Callable[..., float]) -> Callable[..., np.ndarray]:
    """Return the oracle that applies `f` to Python floats, element by element."""

    def oracle(*arrays: np.ndarray, **options: Any) -> np.ndarray:
        arrays = np.broadcast_arrays(*arrays)
        y = np.empty(arrays[0].shape)
        for at in np.ndindex(y.shape):
            y[at] = f(*(a[at].item() for a in arrays), **options)
        return y

    return oracle


def lines(x: np.ndarray, axis: int) -> Iterator[tuple[tuple[Any, ...], list[float]]]:
    """Yield the index and the numbers of every line of `x` along an axis."""
    axis %= x.ndim
    others = [range(n) if i != axis else [slice(None)] for i, n in enumerate(x.shape)]
    for at in _product(others):
        yield at, [float(v) for v in x[at]]


def _product(ranges: list[Any]) -> Iterator[tuple[Any, ...]]:
    if not ranges:
        yield ()
        return
    for first in ranges[0]:
        for rest in _product(ranges[1:]):
            yield (first, *rest)


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def geometry(
    image: tuple[int, int], size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[list[tuple[int, int]], list[int]]:
    """Return (before, after) and the output's length, of both axes."""
    pads, lengths = [], []
    for axis, n in enumerate(image):
        extent = pair(dilation)[axis] * (pair(size)[axis] - 1) + 1
        step = pair(stride)[axis]
        if padding == "same":  # the least padding that makes ceil(n / step) windows fit
            wanted = math.ceil(n / step)
            total = 0
            while (wanted - 1) * step + extent > n + total:
                total += 1
            before, after = total // 2, math.ceil(total / 2)
        elif padding == "valid":
            before = after = 0
        elif isinstance(padding, tuple) and isinstance(padding[axis], tuple):
            before, after = padding[axis]
        else:
            before = after = pair(padding)[axis]
        pads.append((before, after))
        starts = range(-before, n + after - extent + 1, step)
        lengths.append(len(starts))
    return pads, lengths


def taps(
    image: tuple[int, int], size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> Iterator[tuple[int, int, int, int, int, int]]:
    """Yield (i, j, u, v, h, w): output i, j sees pixel h, w of the image under weight u, v."""
    (top, left), (rows, columns) = _starts(image, size, stride, padding, dilation)
    for i in range(rows):
        for j in range(columns):
            for u in range(pair(size)[0]):
                for v in range(pair(size)[1]):
                    h = i * pair(stride)[0] + u * pair(dilation)[0] - top
                    w = j * pair(stride)[1] + v * pair(dilation)[1] - left
                    if 0 <= h < image[0] and 0 <= w < image[1]:
                        yield i, j, u, v, h, w


def _starts(*arguments: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    pads, lengths = geometry(*arguments)
    return (pads[0][0], pads[1][0]), (lengths[0], lengths[1])
