"""Plain loops that the oracles share: the definitions, with no array arithmetic in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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


def each(value: Any, axes: int) -> tuple[int, ...]:
    """Return one int for each axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)


def pair(value: Any) -> tuple[int, ...]:
    return each(value, 2)


def geometry(
    image: Sequence[int], size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> tuple[list[tuple[int, int]], list[int]]:
    """Return (before, after) and the output's length, of every axis."""
    axes = len(image)
    pads, lengths = [], []
    for axis, n in enumerate(image):
        extent = each(dilation, axes)[axis] * (each(size, axes)[axis] - 1) + 1
        step = each(stride, axes)[axis]
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
            before = after = each(padding, axes)[axis]
        pads.append((before, after))
        starts = range(-before, n + after - extent + 1, step)
        lengths.append(len(starts))
    return pads, lengths


def taps(
    image: Sequence[int], size: Any, stride: Any, padding: Any, dilation: Any = 1
) -> Iterator[tuple[int, ...]]:
    """Yield (i, j, u, v, h, w): output i, j sees pixel h, w of the image under weight u, v.

    With one axis (i, u, h), and so on: as many of each as the image has axes.
    """
    axes = len(image)
    pads, lengths = geometry(image, size, stride, padding, dilation)
    for at in np.ndindex(*lengths):
        for offset in np.ndindex(*each(size, axes)):
            pixel = tuple(
                i * s + u * d - before
                for i, s, u, d, (before, _) in zip(
                    at, each(stride, axes), offset, each(dilation, axes), pads, strict=True
                )
            )
            if all(0 <= h < n for h, n in zip(pixel, image, strict=True)):
                yield (*at, *offset, *pixel)
