"""Softmax and its logarithm: one pass over memory, all intermediate values in the cache.

Classes may lie side by side, as the channels of channels-last images and the scores of vectors do;
then some rows of classes are taken at once, for one may be too short for the vector unit. Or
pixels lie side by side, and each step is done to many of them.
"""

import math

import numpy as np

from .. import plain
from . import _buffers
from ._blocks import LANES, around
from ._exponential import exp
from ._jit import njit

_ROW = 1024  # numbers of rows that are taken at once, about
_LONG = 64  # a row of so many numbers is summed up by several sums side by side


def softmax(x, axis):
    """y_k = e**x_k / sum_j e**x_j along an axis."""
    return _forward(x, axis, False) if _is_fast(x) else plain.softmax(x, axis)


def log_softmax(x, axis):
    """y_k = x_k - log sum_j e**x_j along an axis."""
    return _forward(x, axis, True) if _is_fast(x) else plain.log_softmax(x, axis)


def softmax_grad(grad_y, y, axis):
    """grad_x = y * (grad_y - sum_k y_k grad_y_k)."""
    if not _is_fast(y) or grad_y.dtype != y.dtype:
        return plain.softmax_grad(grad_y, y, axis)
    return _backward(grad_y, y, axis, False)


def log_softmax_grad(grad_y, y, axis):
    """grad_x = grad_y - e**y * sum_k grad_y_k."""
    if not _is_fast(y) or grad_y.dtype != y.dtype:
        return plain.log_softmax_grad(grad_y, y, axis)
    return _backward(grad_y, y, axis, True)


def softmax_cross_entropy(x, labels, weights, smoothing):
    """x (N, K, ...), labels, weights (N, ...) -> losses (N, ...) and log_p, log softmax(x).

    losses = weights * -sum_k t_k log_p_k, where t = 1 - smoothing at the label, plus smoothing / K
    everywhere; what has weight 0 counts 0.
    """
    if not _is_fast(x) or weights.dtype != x.dtype:
        return plain.softmax_cross_entropy(x, labels, weights, smoothing)
    blocks = around(x, (1,))
    wanted = blocks.cells(labels[:, None]).astype(np.int64, copy=False)
    shares = blocks.cells(weights[:, None])
    losses = np.empty(wanted.shape, np.float32)
    high, low = np.float32(1.0 - smoothing), np.float32(smoothing / blocks.count)

    def after(log_p, rows, columns):  # a piece of log_p, which is still in the cache
        part = rows.start, rows.stop, columns.start, columns.stop
        _cross_entropy(log_p, wanted, shares, losses, *part, high, low)

    log_p = _forward(x, 1, True, after)
    return blocks.kept(losses)[:, 0], log_p


def cross_entropy_grad(factors, log_p, labels, smoothing):
    """grad_x = factors * (e**log_p - t), of the logits x; 0 where the factor (N, ...) is."""
    if not _is_fast(log_p) or factors.dtype != log_p.dtype:
        return plain.cross_entropy_grad(factors, log_p, labels, smoothing)
    blocks = around(log_p, (1,))
    given = blocks.of(log_p)
    grad_x = _buffers.empty(given.shape, np.float32)
    wanted = blocks.cells(labels[:, None]).astype(np.int64, copy=False)
    shares = blocks.cells(factors[:, None])
    high, low = np.float32(1.0 - smoothing), np.float32(smoothing / blocks.count)

    def work(rows, _):
        _cross_entropy_grad(*(a[rows] for a in (given, wanted, shares, grad_x)), high, low)

    blocks.run(work, given.nbytes, False)
    return blocks.whole(grad_x)


def _is_fast(x):
    return x.dtype == np.float32 and x.size > 0


def _forward(x, axis, logarithm, after=None):
    blocks = around(x, (axis,))
    given = blocks.of(x)
    y = _buffers.empty(given.shape, np.float32)

    def work(rows, columns):
        if blocks.inner == 1:
            some, memory = _flat(rows, given, y), np.empty(_room(blocks), np.float32)
            _rows(*some, blocks.count, memory, logarithm)
        else:
            memory = np.empty((2, LANES), np.float32)
            part = rows.start, rows.stop, columns.start, columns.stop
            _columns(given, y, *part, memory, logarithm)
        if after:
            after(y, rows, columns)

    blocks.run(work, y.nbytes)
    return blocks.whole(y)


def _backward(grad_y, y, axis, logarithm):
    blocks = around(y, (axis,))
    given, values = blocks.of(grad_y), blocks.of(y)
    grad_x = _buffers.empty(given.shape, np.float32)

    def work(rows, columns):
        if blocks.inner == 1:
            some, memory = _flat(rows, given, values, grad_x), np.empty(_room(blocks), np.float32)
            _rows_grad(*some, blocks.count, memory, logarithm)
        else:
            memory = np.empty(LANES, np.float32)
            part = rows.start, rows.stop, columns.start, columns.stop
            _columns_grad(given, values, grad_x, *part, memory, logarithm)

    blocks.run(work, grad_x.nbytes)
    return blocks.whole(grad_x)


def _flat(rows, *arrays):
    """Return some rows of arrays, in a row."""
    return (a[rows].reshape(-1) for a in arrays)


def _room(blocks):
    """Return how many numbers are in the rows that are taken at once."""
    return blocks.count * max(1, min(blocks.outer, _ROW // blocks.count))


# Rows may be short, so nothing here makes views of them; and unsigned indices need no test for
# being negative, which would keep these loops from being vectorised.
@njit
def _rows(x, y, count, memory, logarithm):
    count, rows = np.uint64(count), np.uint64(len(x)) // np.uint64(count)
    some, lanes = np.uint64(len(memory)) // count, np.empty(_LONG, np.float32)
    is_short = count < _LONG
    for start in range(np.uint64(0), rows, some):
        stop = min(start + some, rows)
        for r in range(start, stop):
            at, to = r * count, (r - start) * count
            most = x[at] if is_short else _largest(x, at, count, lanes)
            if is_short:
                for k in range(count):
                    most = x[at + k] if x[at + k] > most else most
            for k in range(count):
                memory[to + k] = x[at + k] - most
        size = (stop - start) * count
        for i in range(size):
            y[start * count + i] = memory[i]
            memory[i] = exp(memory[i])
        for r in range(start, stop):
            at, to = r * count, (r - start) * count
            total = np.float32(0) if is_short else _sum(memory, to, count, lanes)
            if is_short:
                for k in range(count):
                    total += memory[to + k]
            if logarithm:
                rest = np.float32(math.log(total))
                for k in range(count):
                    y[at + k] -= rest
            else:
                share = np.float32(1) / total
                for k in range(count):
                    y[at + k] = memory[to + k] * share


@njit
def _rows_grad(grad_y, y, grad_x, count, memory, logarithm):
    count, rows = np.uint64(count), np.uint64(len(y)) // np.uint64(count)
    some, lanes = np.uint64(len(memory)) // count, np.empty(_LONG, np.float32)
    is_short = count < _LONG
    for start in range(np.uint64(0), rows, some):
        stop = min(start + some, rows)
        first, size = start * count, (stop - start) * count
        if logarithm:
            for i in range(size):
                memory[i] = exp(y[first + i])
        else:
            for i in range(size):
                memory[i] = grad_y[first + i] * y[first + i]
        for r in range(start, stop):
            at, to = r * count, (r - start) * count
            total = np.float32(0)
            if logarithm:
                if is_short:
                    for k in range(count):
                        total += grad_y[at + k]
                else:
                    total = _sum(grad_y, at, count, lanes)
                for k in range(count):
                    grad_x[at + k] = grad_y[at + k] - memory[to + k] * total
            else:
                if is_short:
                    for k in range(count):
                        total += memory[to + k]
                else:
                    total = _sum(memory, to, count, lanes)
                for k in range(count):
                    grad_x[at + k] = y[at + k] * (grad_y[at + k] - total)


@njit
def _largest(x, at, count, lanes):
    """Return the largest of some numbers in a row; a NaN may be passed over."""
    most = x[at]
    lanes[:] = most
    wide = np.uint64(len(lanes))
    for start in range(np.uint64(0), count, wide):
        for k in range(min(wide, count - start)):
            v = x[at + start + k]
            lanes[k] = v if v > lanes[k] else lanes[k]
    for k in range(len(lanes)):
        most = lanes[k] if lanes[k] > most else most
    return most


@njit
def _sum(x, at, count, lanes):
    total = np.float32(0)
    lanes[:] = 0
    wide = np.uint64(len(lanes))
    for start in range(np.uint64(0), count, wide):
        for k in range(min(wide, count - start)):
            lanes[k] += x[at + start + k]
    for k in range(len(lanes)):
        total += lanes[k]
    return total


@njit
def _columns(x, y, first, last, begin, end, memory, logarithm):
    for block in range(first, last):
        for start in range(begin, end, memory.shape[1]):
            stop = min(start + memory.shape[1], end)
            most, total = memory[0, : stop - start], memory[1, : stop - start]
            most[:] = x[block, 0, start:stop]
            for k in range(x.shape[1]):
                row = x[block, k, start:stop]
                for i in range(len(most)):
                    most[i] = row[i] if row[i] > most[i] else most[i]
            total[:] = 0
            for k in range(x.shape[1]):
                row, y_row = x[block, k, start:stop], y[block, k, start:stop]
                for i in range(len(most)):
                    e = exp(row[i] - most[i])
                    y_row[i] = e
                    total[i] += e
            for i in range(len(most)):
                total[i] = math.log(total[i]) if logarithm else np.float32(1) / total[i]
            for k in range(x.shape[1]):
                row, y_row = x[block, k, start:stop], y[block, k, start:stop]
                if logarithm:
                    for i in range(len(most)):
                        y_row[i] = row[i] - most[i] - total[i]
                else:
                    for i in range(len(most)):
                        y_row[i] *= total[i]


@njit
def _columns_grad(grad_y, y, grad_x, first, last, begin, end, memory, logarithm):
    for block in range(first, last):
        for start in range(begin, end, len(memory)):
            stop = min(start + len(memory), end)
            total = memory[: stop - start]
            total[:] = 0
            for k in range(y.shape[1]):
                g_row, row = grad_y[block, k, start:stop], y[block, k, start:stop]
                for i in range(len(total)):
                    total[i] += g_row[i] if logarithm else g_row[i] * row[i]
            for k in range(y.shape[1]):
                g_row, row = grad_y[block, k, start:stop], y[block, k, start:stop]
                d_row = grad_x[block, k, start:stop]
                for i in range(len(total)):
                    if logarithm:
                        d_row[i] = g_row[i] - exp(row[i]) * total[i]
                    else:
                        d_row[i] = row[i] * (g_row[i] - total[i])


@njit
def _cross_entropy(log_p, labels, weights, losses, first, last, begin, end, high, low):
    """log_p (outer, K, inner), labels, weights, losses (outer, inner), or a part of all."""
    classes, inner = np.uint64(log_p.shape[1]), np.uint64(log_p.shape[2])
    flat = log_p.reshape(-1)
    for block in range(np.uint64(first), np.uint64(last)):
        for i in range(np.uint64(begin), np.uint64(end)):
            w, total = weights[block, i], np.float32(0)
            if w != 0:
                at = block * classes * inner + i
                total = high * flat[at + np.uint64(labels[block, i]) * inner]
                if low > 0:
                    for k in range(classes):
                        total += low * flat[at + k * inner]
            losses[block, i] = -w * total


@njit
def _cross_entropy_grad(log_p, labels, factors, grad_x, high, low):
    """log_p, grad_x (outer, K, inner), labels, factors (outer, inner)."""
    classes, inner = np.uint64(log_p.shape[1]), np.uint64(log_p.shape[2])
    flat, target = log_p.reshape(-1), grad_x.reshape(-1)
    for block in range(np.uint64(len(log_p))):
        first = block * classes * inner
        if inner == 1:
            f = factors[block, 0]
            for k in range(classes):
                g = f * (exp(flat[first + k]) - low)
                target[first + k] = g if f != 0 else np.float32(0)
        else:
            share = factors[block]
            for k in range(classes):
                at = first + k * inner
                for i in range(inner):
                    g = share[i] * (exp(flat[at + i]) - low)
                    target[at + i] = g if share[i] != 0 else np.float32(0)
        for i in range(inner):
            target[first + np.uint64(labels[block, i]) * inner + i] -= high * factors[block, i]
