"""Where the pixels of a convolution lie: the tables that geometry.cuh reads, and explains."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from ._layout import three

_MOST = 1 << 30  # of what the kernels count with 32 bits
_MOST_CLASSES = 4096  # of a large stride; a row of the table each


class Geometry(NamedTuple):
    """The classes of a convolution (one, forward) and the largest measures among them."""

    table: np.ndarray  # (classes, ints), int32: struct Geometry of geometry.cuh, once a class
    rows: int  # images times places in the result
    depth: int  # offsets in the window times channels of a group
    taps: int  # offsets in the window
    fits: bool  # 32 bits suffice; if not, no kernel may read this table

    @property
    def classes(self):
        """How many there are."""
        return len(self.table)


_TOO_LARGE = Geometry(np.empty((0, 0), np.int32), 0, 0, 0, False)


@functools.lru_cache(maxsize=1024)
def forward(x_shape, outputs, out_size, window, groups):
    """Return the Geometry by which y (N, outputs, *out_size) reads x (N, C, *IN): no 0 in them."""
    axes = [
        [_Axis(m, k, s, -p, d, n, 0, 1, m, 0, 1, k)]
        for n, m, k, s, p, d in zip(*_axes(x_shape[2:], out_size, window), strict=True)
    ]
    return _geometry(x_shape[0], axes, x_shape[1], outputs, groups)


@functools.lru_cache(maxsize=1024)
def backward(x_shape, outputs, out_size, window, groups):
    """Return the Geometry by which grad_x (N, C, *IN) reads grad_y (N, outputs, *out_size)."""
    measures = list(zip(*_axes(x_shape[2:], out_size, window), strict=True))
    if math.prod(min(s, n) for n, _, _, s, _, _ in measures) > _MOST_CLASSES:
        return _TOO_LARGE
    axes = [[_class(r, *each) for r in range(min(each[3], each[0]))] for each in measures]
    return _geometry(x_shape[0], axes, outputs, x_shape[1], groups)


class _Axis(NamedTuple):
    """One axis of one class: the numbers of struct Axis, less those that follow from others."""

    rows: int
    taps: int
    step: int
    shift: int
    hop: int
    length: int
    first: int
    stride: int
    result_length: int
    tap: int
    tap_stride: int
    size: int


def _class(r, n, m, k, s, p, d):
    """Return the pixels r, r + s, ... of n, seen by m windows of k offsets.

    s, p, d: stride, padding before, dilation.
    """
    every = s // math.gcd(s, d)  # offsets come back to the same class after so many
    u0 = next((u for u in range(min(every, k)) if (u * d - r - p) % s == 0), k)
    taps = -(-(k - u0) // every)
    shift = (r + p - u0 * d) // s
    return _Axis(-(-(n - r) // s), taps, 1, shift, -(every * d // s), m, r, s, n, u0, every, k)


def _axes(image, out, window):
    """Return IN, OUT, K, the stride, the padding before and the dilation, of three axes each."""
    more = 3 - len(image)
    before = (0,) * more + tuple(p[0] for p in window.padding)
    image, out, size, stride, dilation = map(
        three, (image, out, window.size, window.stride, window.dilation)
    )
    return image, out, size, stride, before, dilation


def _geometry(images, axes, source_channels, result_channels, groups):
    """Return the Geometry of every combination of the axes' classes."""
    channels = source_channels // groups
    classes = list(itertools.product(*axes))
    rows = [images * math.prod(a.rows for a in each) for each in classes]
    taps = [math.prod(a.taps for a in each) for each in classes]
    lengths = [each[0].length for each in axes]
    between = (source_channels * lengths[1] * lengths[2], source_channels * lengths[2])
    between += (source_channels,)
    reach = [_reach(a) * numbers for e in classes for a, numbers in zip(e, between, strict=True)]
    image = source_channels * math.prod(lengths)
    if max(image, result_channels, max(rows), max(taps) * channels, 3 * max(reach)) >= _MOST:
        return _TOO_LARGE
    table = []
    for each, m, t in zip(classes, rows, taps, strict=True):
        ints = []
        for axis, apart in zip(each, between, strict=True):
            ints += [*divider(axis.rows), *divider(axis.taps), *axis[2:6], apart, *axis[6:]]
        ints += [*divider(channels), m, t * channels, source_channels, image, result_channels]
        table.append(ints)
    found = np.array(table, np.int64).astype(np.uint32).view(np.int32)
    return Geometry(found, max(rows), max(taps) * channels, max(taps), True)


def _reach(axis):
    """Return how far from pixel 0 a window may look, in pixels, at most."""
    return abs(axis.step * axis.rows) + abs(axis.shift) + abs(axis.hop * axis.taps) + 1


def divider(by):
    """Return struct Divider: (by, magic, shift)."""
    divisor = max(1, by)
    shift = (divisor - 1).bit_length()
    return by, (((1 << shift) - divisor) << 32) // divisor + 1, shift
