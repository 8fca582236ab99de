"""Batch normalisation on the CPU: per-channel sums and per-channel affine maps.

An image batch is rows of C channels, a pixel to a row.  With few channels a
loop over one row is too short to use the vector unit, so rows are taken several
at a time, as one longer row of T*C numbers whose sums are folded at the end.

Sums are float64 and taken of x minus the channel's first value.  Without that
shift, and in float32, a mean of 1000 over a spread of 1 loses the variance.
"""

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST, channels_last, logical

_WIDE = 256  # numbers in a long row, about: enough to drown the cost of starting one


def moments(x):
    """x (N, C, *spatial) -> mean and variance of each channel, float64 (C,), in one pass."""
    if x.dtype not in FAST:
        return plain.moments(x)
    rows = _rows(x)
    shift = rows[0].astype(np.float64)
    sums, squares = _per_channel(_shifted_sums, rows, rows, shift)
    mean_of_shifted = sums / len(rows)
    # The variance does not change when all values are shifted: var = E[d^2] - E[d]^2.
    variance = np.maximum(squares / len(rows) - mean_of_shifted**2, 0.0)
    return mean_of_shifted + shift, variance


def normalize(x, mean, scale, beta):
    """y = (x - mean) * scale + beta, for each channel; mean, scale, beta are float64 (C,)."""
    if x.dtype not in FAST:
        return plain.normalize(x, mean, scale, beta)
    centre = mean.astype(x.dtype)
    # What rounding took from the mean is given back with beta.
    offset = beta + (centre.astype(np.float64) - mean) * scale
    return _affine(x, x, centre, np.zeros_like(scale), scale, offset)


def normalize_sums(grad_y, x, mean):
    """Return sum(grad_y) and sum(grad_y * (x - mean)) of each channel, float64 (C,)."""
    if x.dtype not in FAST:
        return plain.normalize_sums(grad_y, x, mean)
    return _per_channel(_gradient_sums, _rows(grad_y), _rows(x), mean)


def normalize_grad_x(grad_y, x, mean, a, b, c):
    """grad_x = a * grad_y + b * (x - mean) + c, for each channel; a, b, c, mean float64 (C,)."""
    if x.dtype not in FAST:
        return plain.normalize_grad_x(grad_y, x, mean, a, b, c)
    centre = mean.astype(x.dtype)
    offset = c + b * (centre.astype(np.float64) - mean)
    return _affine(grad_y, x, centre, a, b, offset)


def _affine(g, x, centre, a, b, c):
    """Return a * g + b * (x - centre) + c, for each channel, like x."""
    g_rows, x_rows = _rows(g), _rows(x)
    y = _buffers.empty(x_rows.shape, x.dtype)
    count, channels = x_rows.shape
    repeat = _repeat(channels)
    coefficients = [np.tile(v.astype(x.dtype), repeat) for v in (a, b, c, centre)]
    flat = g_rows.reshape(-1), x_rows.reshape(-1), y.reshape(-1)

    def work(_, start, stop):
        _affine_rows(*(v[start * channels : stop * channels] for v in flat), *coefficients)

    _parallel.run(work, _parallel.chunks(count, _pieces(x.size)))
    n, _, *space = x.shape
    return logical(y.reshape(n, *space, channels)) if space else y


def _per_channel(kernel, g_rows, x_rows, shift):
    """Run a summing kernel on fixed pieces of rows and add the pieces up, in order."""
    count, channels = x_rows.shape
    repeat = _repeat(channels)
    pieces = _parallel.chunks(count, _pieces(x_rows.size))
    sums = np.zeros((len(pieces), 2, repeat * channels))
    tiled = np.tile(shift, repeat)
    flat_g, flat_x = g_rows.reshape(-1), x_rows.reshape(-1)

    def work(p, start, stop):
        part = slice(start * channels, stop * channels)
        kernel(flat_g[part], flat_x[part], tiled, sums[p, 0], sums[p, 1])

    _parallel.run(work, pieces)
    first, second = sums.reshape(-1, 2, repeat, channels).sum(axis=2).sum(axis=0)
    return first, second


def _rows(x):
    """x (N, C, *spatial) -> C-contiguous (N*spatial, C)."""
    return channels_last(x).reshape(-1, x.shape[1])


def _repeat(channels):
    return max(1, _WIDE // channels)


def _pieces(size):
    return min(16, max(1, size >> 15))


@njit
def _shifted_sums(_, x, shift, sums, squares):
    wide = len(shift)
    for start in range(0, len(x), wide):
        row = x[start : start + wide]  # the last one may be shorter
        for k in range(len(row)):
            d = row[k] - shift[k]
            sums[k] += d
            squares[k] += d * d


@njit
def _gradient_sums(grad_y, x, mean, sums, products):
    wide = len(mean)
    for start in range(0, len(x), wide):
        g_row, row = grad_y[start : start + wide], x[start : start + wide]
        for k in range(len(row)):
            g = np.float64(g_row[k])
            sums[k] += g
            products[k] += g * (row[k] - mean[k])


@njit
def _affine_rows(g, x, y, a, b, c, centre):
    wide = len(a)
    for start in range(0, len(x), wide):
        end = start + wide
        g_row, row, y_row = g[start:end], x[start:end], y[start:end]
        for k in range(len(row)):
            y_row[k] = a[k] * g_row[k] + (b[k] * (row[k] - centre[k]) + c[k])
