"""Normalisation on the CPU: sums and affine maps of channels, and of rows.

A batch is blocks of rows of C channels, a pixel to a row: an image is a block, or all images
together are one.  With few channels a loop over one row is too short to use the vector unit, so
rows are taken several at a time, as one longer row of T*C numbers whose sums are folded at the
end.  Where images lie channel by channel, each channel is a block with rows of one number.

Sums are float64 and taken of x minus the channel's first value.  Without that
shift, and in float32, a mean of 1000 over a spread of 1 loses the variance.

Where all images share their statistics, `_sweeps` has generated code for what follows them.
"""

import numpy as np

from .. import plain
from . import _buffers, _parallel, _sweeps
from ._jit import njit
from ._layout import FAST, channels_last, logical

_WIDE = 256  # numbers in a long row, about: enough to drown the cost of starting one
_LANES = 64  # sums that run side by side along a row: a sum of its own order cannot be vectorised
_TURNS = 16  # numbers that such a sum adds up in its own type; the rest is float64


def moments(x, per_image):
    """x (N, C, *spatial) -> mean and variance of each channel, float64 (I, C), in one pass.

    I is N if each image has its own (`per_image`), and 1 if all of them share one.
    """
    if x.dtype not in FAST:
        return plain.moments(x, per_image)
    blocks = _blocks(x, per_image)
    shift = np.ascontiguousarray(blocks[:, 0], np.float64)
    sums, squares = _per_cell(_shifted_sums, blocks, blocks, shift)
    count = blocks.shape[1]
    mean_of_shifted = sums / count
    # The variance does not change when all values are shifted: var = E[d^2] - E[d]^2.
    variance = np.maximum(squares / count - mean_of_shifted**2, 0.0)
    shape = (len(x) if per_image else 1, x.shape[1])
    return (mean_of_shifted + shift).reshape(shape), variance.reshape(shape)


def normalize(x, mean, scale, beta):
    """y = (x - mean) * scale + beta, for each channel; mean, scale, beta are float64 (I, C)."""
    if x.dtype not in FAST:
        return plain.normalize(x, mean, scale, beta)
    if len(mean) == 1 and (tile := _sweeps.tile_of(x, False)) is not None:
        return _sweeps.normalize(x, mean, scale, beta, tile)
    centre = mean.astype(x.dtype)
    # What rounding took from the mean is given back with beta.
    offset = beta + (centre.astype(np.float64) - mean) * scale
    return _affine(x, x, centre, np.zeros_like(scale), scale, offset)


def normalize_sums(grad_y, x, mean):
    """Return sum(grad_y) and sum(grad_y * (x - mean)) of each channel, float64 (I, C)."""
    if x.dtype not in FAST:
        return plain.normalize_sums(grad_y, x, mean)
    if len(mean) == 1 and (tile := _sweeps.tile_of(x, False)) is not None:
        return _sweeps.sums(grad_y, x, mean, 1.0, 0.0, tile)
    blocks = _blocks(x, len(mean) != 1)
    shift = mean.reshape(blocks.shape[::2])
    sums, products = _per_cell(_gradient_sums, _blocks_like(grad_y, blocks), blocks, shift)
    return sums.reshape(mean.shape), products.reshape(mean.shape)


def normalize_grad_x(grad_y, x, mean, a, b, c):
    """grad_x = a * grad_y + b * (x - mean) + c, for each channel; a, b, c, mean float64 (I, C)."""
    if x.dtype not in FAST:
        return plain.normalize_grad_x(grad_y, x, mean, a, b, c)
    if len(mean) == 1 and (tile := _sweeps.tile_of(x, False)) is not None:
        return _sweeps.gradient(grad_y, x, (mean, 1.0, 0.0), (a, b, c), tile)
    centre = mean.astype(x.dtype)
    offset = c + b * (centre.astype(np.float64) - mean)
    return _affine(grad_y, x, centre, a, b, offset)


def normalize_rows(x, gamma, beta, epsilon, centred):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each row of x (R, M).

    gamma, beta (M,).  Returns y, and mean and 1 / sqrt(...) of each row, float64 (R,).  Without
    `centred`, the mean counts as 0, and the variance is the mean square.
    """
    if x.dtype not in FAST:
        return plain.normalize_rows(x, gamma, beta, epsilon, centred)
    x, gamma, beta = (np.ascontiguousarray(a) for a in (x, gamma, beta))
    y = _buffers.empty(x.shape, x.dtype)
    mean, rstd = np.empty(len(x)), np.empty(len(x))

    def work(_, start, stop):
        part = slice(start, stop)
        lanes = np.empty(_LANES, x.dtype)
        _rows(x[part], gamma, beta, epsilon, centred, y[part], mean[part], rstd[part], lanes)

    _parallel.run(work, _parallel.grains(len(x), x.nbytes))
    return y, mean, rstd


def normalize_rows_grad(grad_y, x, gamma, mean, rstd, centred):
    """grad_y, x (R, M), gamma (M,), mean, rstd (R,) -> grad_x, grad_gamma, grad_beta (float64)."""
    if x.dtype not in FAST:
        return plain.normalize_rows_grad(grad_y, x, gamma, mean, rstd, centred)
    grad_y, x, gamma = (np.ascontiguousarray(a) for a in (grad_y, x, gamma))
    grad_x = _buffers.empty(x.shape, x.dtype)
    pieces = _parallel.grains(len(x), x.nbytes)
    sums = np.zeros((2, len(pieces), x.shape[1]))

    def work(p, start, stop):
        part = slice(start, stop)
        given = grad_y[part], x[part], gamma, mean[part], rstd[part], centred
        memory = np.empty((2, _LANES), x.dtype), np.empty((2, x.shape[1]), x.dtype)
        _rows_grad(*given, grad_x[part], sums[0, p], sums[1, p], *memory)

    _parallel.run(work, pieces)
    grad_gamma, grad_beta = sums.sum(axis=1)
    return grad_x, grad_gamma, grad_beta


def sum_channels(x, before, after):
    """x (N, C, *spatial) -> the sum over the channels from c - before to c + after, for each c."""
    if x.dtype not in FAST:
        return plain.sum_channels(x, before, after)
    pixels = channels_last(x)
    rows = pixels.reshape(x.size // max(x.shape[1], 1), x.shape[1])
    y = _buffers.empty(rows.shape, x.dtype)

    def work(_, start, stop):
        _sum_channels(rows[start:stop], y[start:stop], before, after)

    _parallel.run(work, _parallel.chunks(len(rows), _pieces(x.size)))
    return logical(y.reshape(pixels.shape))


def _blocks(x, per_image):
    """x (N, C, *spatial) -> C-contiguous (blocks, rows, channels); the cells are (I, C) in order.

    What shares its statistics is one channel of one block.
    """
    n, c = x.shape[:2]
    pixels = int(np.prod(x.shape[2:]))
    if per_image and x.ndim > 2 and x.flags.c_contiguous:
        return x.reshape(n * c, pixels, 1)
    return channels_last(x).reshape((n, pixels, c) if per_image else (1, n * pixels, c))


def _blocks_like(g, blocks):
    """g (N, C, *spatial) -> in the form of blocks that are another array of this shape."""
    if blocks.shape[2] == 1 and g.ndim > 2:
        return np.ascontiguousarray(g).reshape(blocks.shape)
    return channels_last(g).reshape(blocks.shape)


def _affine(g, x, centre, a, b, c):
    """Return a * g + b * (x - centre) + c, for each cell, like x."""
    blocks = _blocks(x, len(centre) != 1)
    g_blocks = blocks if g is x else _blocks_like(g, blocks)
    y = _buffers.empty(blocks.shape, x.dtype)
    count, rows, channels = blocks.shape
    wide = _wide(blocks)
    coefficients = [v.astype(x.dtype).reshape(count, channels) for v in (a, b, c, centre)]
    flat = g_blocks.reshape(-1), blocks.reshape(-1), y.reshape(-1)

    def work(_, some, part):
        tiles = np.empty((4, wide), x.dtype)
        _affine_blocks(*flat, rows * channels, *some, *part, *coefficients, tiles)

    _parallel.run(work, _work(blocks))
    if channels != x.shape[1] or x.ndim == 2:
        return y.reshape(x.shape)
    return logical(y.reshape(x.shape[0], *x.shape[2:], channels))


def _per_cell(kernel, g_blocks, x_blocks, shift):
    """Run a summing kernel on fixed pieces of blocks and add the pieces up, in order."""
    count, rows, channels = x_blocks.shape
    pieces = _work(x_blocks)
    wide = _wide(x_blocks)
    parts = {part: i for i, part in enumerate(dict.fromkeys(part for _, part in pieces))}
    sums = np.zeros((len(parts), 2, count, channels))
    flat = g_blocks.reshape(-1), x_blocks.reshape(-1)

    def work(_, some, part):
        tiles = np.empty((3, wide))
        kernel(*flat, rows * channels, *some, *part, shift, *sums[parts[part]], tiles)

    _parallel.run(work, pieces)
    first, second = sums.sum(axis=0)
    return first, second


def _work(blocks):
    """Cut blocks into pieces: ((first block, last), (first number in each block, last))."""
    count, rows, channels = blocks.shape
    most = _pieces(blocks.size)
    some = _parallel.chunks(count, most)
    parts = [
        (start * channels, stop * channels)
        for start, stop in _parallel.chunks(rows, max(1, most // len(some)))
    ]
    return [(b, part) for b in some for part in parts]


def _wide(blocks):
    """Return how many numbers a long row has: whole rows, about _WIDE."""
    _, rows, channels = blocks.shape
    return channels * max(1, min(rows, _WIDE // max(channels, 4)))


def _pieces(size):
    return min(16, max(1, size >> 15))


@njit
def _shifted_sums(_, x, size, first, last, start, stop, shift, sums, squares, tiles):
    wide = tiles.shape[1]
    s, q, d0 = tiles[0], tiles[1], tiles[2]
    for block in range(first, last):
        s[:], q[:] = 0.0, 0.0
        _repeat(shift[block], d0)
        for at in range(block * size + start, block * size + stop, wide):
            row = x[at : min(at + wide, block * size + stop)]  # the last one may be shorter
            for k in range(len(row)):
                d = row[k] - d0[k]
                s[k] += d
                q[k] += d * d
        _fold(s, sums[block])
        _fold(q, squares[block])


@njit
def _gradient_sums(grad_y, x, size, first, last, start, stop, mean, sums, products, tiles):
    wide = tiles.shape[1]
    s, p, centre = tiles[0], tiles[1], tiles[2]
    for block in range(first, last):
        s[:], p[:] = 0.0, 0.0
        _repeat(mean[block], centre)
        for at in range(block * size + start, block * size + stop, wide):
            end = min(at + wide, block * size + stop)
            g_row, row = grad_y[at:end], x[at:end]
            for k in range(len(row)):
                g = np.float64(g_row[k])
                s[k] += g
                p[k] += g * (row[k] - centre[k])
        _fold(s, sums[block])
        _fold(p, products[block])


@njit
def _affine_blocks(g, x, y, size, first, last, start, stop, a, b, c, centre, tiles):
    wide = tiles.shape[1]
    ta, tb, tc, tm = tiles[0], tiles[1], tiles[2], tiles[3]
    for block in range(first, last):
        _repeat(a[block], ta)
        _repeat(b[block], tb)
        _repeat(c[block], tc)
        _repeat(centre[block], tm)
        for at in range(block * size + start, block * size + stop, wide):
            end = min(at + wide, block * size + stop)
            g_row, row, y_row = g[at:end], x[at:end], y[at:end]
            for k in range(len(row)):
                y_row[k] = ta[k] * g_row[k] + (tb[k] * (row[k] - tm[k]) + tc[k])


@njit
def _repeat(values, row):
    """Write the values of a block's channels again and again along a long row."""
    for start in range(0, len(row), len(values)):
        for c in range(len(values)):
            row[start + c] = values[c]


@njit
def _fold(row, sums):
    """Add what a long row holds for each channel to the channel's sum."""
    for start in range(0, len(row), len(sums)):
        for c in range(len(sums)):
            sums[c] += row[start + c]


# Sums along a row are of x minus its first value, or minus its mean: small numbers, which a few
# additions in single precision do no harm.  Unsigned indices keep loops from testing their sign.
@njit
def _rows(x, gamma, beta, epsilon, centred, y, mean, rstd, lanes):
    count = x.shape[1]
    for r in range(len(x)):
        row, y_row = x[r], y[r]
        m = row[0] + _sum(row, row[0], lanes) / count if centred else 0.0
        centre = x.dtype.type(m)
        squares = _sum_of_squares(row, centre, lanes) / count
        s = 1.0 / np.sqrt(max(squares - (m - centre) * (m - centre), 0.0) + epsilon)
        mean[r], rstd[r] = m, s
        scale, rest = x.dtype.type(s), x.dtype.type((centre - m) * s)
        for k in range(count):
            y_row[k] = ((row[k] - centre) * scale + rest) * gamma[k] + beta[k]


@njit
def _rows_grad(
    grad_y, x, gamma, mean, rstd, centred, grad_x, grad_gamma, grad_beta, lanes, features
):
    count, since = x.shape[1], 0
    gammas, betas = features[0], features[1]
    features[:] = 0
    for r in range(len(x)):
        g_row, row, d_row = grad_y[r], x[r], grad_x[r]
        m, s = mean[r], rstd[r]
        centre, scale = x.dtype.type(m), x.dtype.type(s)
        rest = x.dtype.type((centre - m) * s)
        for k in range(count):
            betas[k] += g_row[k]
            gammas[k] += g_row[k] * ((row[k] - centre) * scale + rest)
        since += 1
        if since == _TURNS or r == len(x) - 1:
            for k in range(count):
                grad_beta[k] += betas[k]
                grad_gamma[k] += gammas[k]
            features[:] = 0
            since = 0
        total, product = _weighted_sums(g_row, gamma, row, centre, lanes)
        product += total * (centre - m)
        # dL/dx = s * (v - mean(v) - z * mean(v * z)),  v = gamma * dL/dy,  z = (x - m) * s
        slope = -s * s * s * product / count
        shift = (-s * total / count if centred else 0.0) + slope * (centre - m)
        b, c = x.dtype.type(slope), x.dtype.type(shift)
        for k in range(count):
            d_row[k] = scale * (g_row[k] * gamma[k]) + (b * (row[k] - centre) + c)


@njit
def _sum(row, shift, lanes):
    total, wide, count = 0.0, np.uint64(len(lanes)), np.uint64(len(row))
    for first in range(np.uint64(0), count, wide * np.uint64(_TURNS)):
        lanes[:] = 0
        for start in range(first, min(first + wide * np.uint64(_TURNS), count), wide):
            for k in range(min(wide, count - start)):
                lanes[k] += row[start + k] - shift
        for k in range(len(lanes)):
            total += lanes[k]
    return total


@njit
def _sum_of_squares(row, mean, lanes):
    total, wide, count = 0.0, np.uint64(len(lanes)), np.uint64(len(row))
    for first in range(np.uint64(0), count, wide * np.uint64(_TURNS)):
        lanes[:] = 0
        for start in range(first, min(first + wide * np.uint64(_TURNS), count), wide):
            for k in range(min(wide, count - start)):
                d = row[start + k] - mean
                lanes[k] += d * d
        for k in range(len(lanes)):
            total += lanes[k]
    return total


@njit
def _weighted_sums(g_row, gamma, row, mean, lanes):
    total, product, wide, count = 0.0, 0.0, np.uint64(lanes.shape[1]), np.uint64(len(row))
    totals, products = lanes[0], lanes[1]
    for first in range(np.uint64(0), count, wide * np.uint64(_TURNS)):
        lanes[:] = 0
        for start in range(first, min(first + wide * np.uint64(_TURNS), count), wide):
            for k in range(min(wide, count - start)):
                v = g_row[start + k] * gamma[start + k]
                totals[k] += v
                products[k] += v * (row[start + k] - mean)
        for k in range(len(totals)):
            total += totals[k]
            product += products[k]
    return total, product


@njit
def _sum_channels(x, y, before, after):
    channels = x.shape[1]
    for r in range(len(x)):
        row, y_row = x[r], y[r]
        y_row[:] = row
        for step in range(-before, after + 1):
            size = channels - abs(step)
            if step != 0 and size > 0:
                to, since = max(-step, 0), max(step, 0)
                total, part = y_row[to : to + size], row[since : since + size]
                for k in range(len(total)):
                    total[k] += part[k]
