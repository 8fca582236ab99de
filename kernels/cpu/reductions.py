"""Sums and extremes along axes on the CPU, in whatever order memory lies.

Sums are taken of a few numbers in their own type, many sums side by side, and then in float64: as
exact as adding in pairs, and as fast as memory.
"""

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._blocks import LANES, around
from ._jit import njit
from ._layout import FAST

_ROWS = 32  # numbers that are summed up in their own type


def sum_over(x, axes):
    """x -> its sums over some axes, which stay with length 1; float16 is summed in float32."""
    left = [a for a in axes if x.shape[a] != 1]
    if x.dtype not in FAST or not x.size or not left:
        return plain.sum_over(x, axes)
    while left:  # axes that are neighbours in memory are one; the innermost are summed first
        order = around(x, ()).order
        places = sorted(order.index(a) for a in left)
        first = next(p for p in places if set(range(p, places[-1])) <= {*places})
        run = tuple(a for a in left if order.index(a) >= first)
        x, left = _sum_run(x, run), [a for a in left if a not in run]
    return x


def _sum_run(x, axes):
    """Sum over axes that are neighbours in memory."""
    blocks = around(x, axes)
    given = blocks.of(x).reshape(-1)
    some = _parallel.grains(blocks.outer, x.nbytes)
    parts = _parallel.chunks(blocks.count, max(1, min(16, x.nbytes >> 16) // len(some)))
    sums = np.empty((len(parts), blocks.outer, blocks.inner))
    wide = blocks.inner * max(1, LANES // 2 // blocks.inner) if blocks.inner <= LANES else LANES
    pieces = [(row, part) for row in some for part in enumerate(parts)]

    def work(_, rows, part):
        number, (start, stop) = part
        lanes = np.empty(wide, x.dtype)
        _sum(given, sums[number], blocks.count, *rows, start, stop, lanes)

    _parallel.run(work, pieces)
    total = sums[0] if len(parts) == 1 else sums.sum(axis=0)
    return blocks.kept(total.astype(x.dtype))


@njit
def _sum(x, sums, count, first, last, start, stop, lanes):
    """Sum the rows start ... stop of blocks first ... last of x, flat (outer, count, inner)."""
    inner, wide = sums.shape[1], len(lanes)
    for block in range(first, last):
        row, end = (block * count + start) * inner, (block * count + stop) * inner
        if inner <= wide:  # several rows make a longer one, whose sums are folded
            sums[block, :] = 0
            for at in range(row, end, wide * _ROWS):
                lanes[:] = 0
                for begin in range(at, min(at + wide * _ROWS, end), wide):
                    part = x[begin : min(begin + wide, end)]
                    for k in range(len(part)):
                        lanes[k] += part[k]
                _fold(lanes, sums[block])
        else:
            for c in range(0, inner, wide):
                total = sums[block, c : c + wide]
                total[:] = 0
                for at in range(row + c, end, inner * _ROWS):
                    lanes[:] = 0
                    for begin in range(at, min(at + inner * _ROWS, end), inner):
                        part = x[begin : begin + len(total)]
                        for k in range(len(part)):
                            lanes[k] += part[k]
                    for k in range(len(total)):
                        total[k] += lanes[k]


@njit
def _fold(lanes, sums):
    for start in range(0, len(lanes), len(sums)):
        for c in range(len(sums)):
            sums[c] += lanes[start + c]


def extreme_over(x, axes, largest):
    """x -> its largest (or smallest) numbers along axes, which stay with length 1; NaN wins."""
    if x.dtype not in FAST or not x.size:
        return plain.extreme_over(x, axes, largest)
    blocks = around(x, axes)
    if not blocks.adjacent or blocks.count == 1:
        return plain.extreme_over(x, axes, largest)
    given, y = blocks.of(x), np.empty((blocks.outer, blocks.inner), x.dtype)

    def work(rows, columns):
        if blocks.inner == 1:
            _extreme_rows(given[rows].reshape(-1), y[rows, 0], blocks.count, largest)
        else:
            part = rows.start, rows.stop, columns.start, columns.stop
            _extreme_columns(given, y, *part, largest)

    blocks.run(work, x.nbytes)
    return blocks.kept(y)


def extreme_over_grad(grad_y, x, y):
    """Share each grad_y equally between the x that equal y; grad_y and y have axes of length 1."""
    axes = tuple(a for a, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)) if n != m)
    if x.dtype not in FAST or grad_y.dtype != x.dtype or not x.size:
        return plain.extreme_over_grad(grad_y, x, y)
    blocks = around(x, axes)
    if not blocks.adjacent:
        return plain.extreme_over_grad(grad_y, x, y)
    given, best, grads = blocks.of(x), blocks.cells(y), blocks.cells(grad_y)
    grad_x = _buffers.empty(given.shape, x.dtype)

    def work(rows, columns):
        if blocks.inner == 1:
            flat = (a[rows].reshape(-1) for a in (given, best, grads, grad_x))
            _extreme_rows_grad(*flat, blocks.count)
        else:
            part = rows.start, rows.stop, columns.start, columns.stop
            _extreme_columns_grad(given, best, grads, grad_x, *part)

    blocks.run(work, x.nbytes)
    return blocks.whole(grad_x)


# Rows may be short, so nothing here makes views of them; and unsigned indices need no test for
# being negative, which would keep these loops from being vectorised.
@njit
def _extreme_rows(x, y, count, largest):
    count, side = np.uint64(count), np.uint64(8)
    lanes = np.empty(8, x.dtype)
    for r in range(np.uint64(len(y))):
        at, k = r * count, np.uint64(0)
        best = x[at]
        if count >= side * side:  # several side by side, for each choice waits for the one before
            for i in range(side):
                lanes[i] = x[at + i]
            while k + side <= count:
                for i in range(side):
                    v, b = x[at + k + i], lanes[i]
                    wins = (v > b if largest else v < b) | (v != v)
                    lanes[i] = v if wins else b
                k += side
            for i in range(side):
                v = lanes[i]
                best = v if (v > best if largest else v < best) | (v != v) else best
        for i in range(k, count):
            v = x[at + i]
            best = v if (v > best if largest else v < best) | (v != v) else best
        y[r] = best


@njit
def _extreme_rows_grad(x, y, grad_y, grad_x, count):
    count, zero = np.uint64(count), x.dtype.type(0)
    for r in range(np.uint64(len(y))):
        at, best, ties = r * count, y[r], np.int32(0)
        for k in range(count):
            v = x[at + k]
            ties += np.int32((v == best) | (v != v))
        share = grad_y[r] / x.dtype.type(ties)
        for k in range(count):
            v = x[at + k]
            grad_x[at + k] = share if (v == best) | (v != v) else zero


@njit
def _extreme_columns(x, y, first, last, start, stop, largest):
    for block in range(first, last):
        for begin in range(start, stop, LANES):
            end = min(begin + LANES, stop)
            best = y[block, begin:end]
            best[:] = x[block, 0, begin:end]
            for k in range(1, x.shape[1]):
                row = x[block, k, begin:end]
                for i in range(len(best)):
                    v, b = row[i], best[i]
                    best[i] = v if (v > b if largest else v < b) | (v != v) else b


@njit
def _extreme_columns_grad(x, y, grad_y, grad_x, first, last, start, stop):
    share, zero = np.empty(LANES, x.dtype), x.dtype.type(0)
    for block in range(first, last):
        for begin in range(start, stop, LANES):
            end = min(begin + LANES, stop)
            best, g = y[block, begin:end], grad_y[block, begin:end]
            share[:] = zero
            for k in range(x.shape[1]):
                row = x[block, k, begin:end]
                for i in range(len(best)):
                    v = row[i]
                    share[i] += x.dtype.type((v == best[i]) | (v != v))
            for i in range(len(best)):
                share[i] = g[i] / share[i]
            for k in range(x.shape[1]):
                row, d_row = x[block, k, begin:end], grad_x[block, k, begin:end]
                for i in range(len(best)):
                    v = row[i]
                    d_row[i] = share[i] if (v == best[i]) | (v != v) else zero
