"""Linear maps along one axis, on the CPU.

Memory is channels-last.  Seen from the axis it is (outer, axis, inner), with the numbers of an
inner row side by side, so that the innermost loop runs over those.  One piece of work is a few
outer blocks, or where there are few, a part of the inner rows: neither shares data.
"""

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST

_THIN = 12  # inner rows below this are not worth the start of a loop over them


def sample_axis(x, axis, index, weight):
    """y[..., i, ...] = sum over t of weight[i, t] * x[..., index[i, t], ...], along an axis of x.

    index int64 and weight float64 (O, T).  What has weight 0 is not looked at, be it NaN.
    """
    if x.dtype not in FAST:
        return plain.sample_axis(x, axis, index, weight)
    return _run(_sample, _sample_thin, x, axis, index, weight, len(index))


def spread_axis(grad_y, axis, index, weight, length):
    """The transpose of `sample_axis`, to an axis of `length` elements."""
    if grad_y.dtype not in FAST:
        return plain.spread_axis(grad_y, axis, index, weight, length)
    return _run(_spread, _spread_thin, grad_y, axis, index, weight, length)


def _run(wide, thin, x, axis, index, weight, length):
    """Lay x out as (outer, axis, inner), run a kernel that gives the axis another length."""
    order = list(range(x.ndim))
    if x.ndim > 2:
        order.append(order.pop(1))
    at = order.index(axis)
    memory = np.ascontiguousarray(x.transpose(order))
    shape = (*memory.shape[:at], length, *memory.shape[at + 1 :])
    outer, inner = (int(np.prod(part)) for part in (shape[:at], shape[at + 1 :]))
    blocks = memory.reshape(outer, memory.shape[at], inner)
    y = _buffers.empty((outer, length, inner), x.dtype)
    kernel = thin if inner < _THIN else wide
    taps = np.ascontiguousarray(index), np.ascontiguousarray(weight, x.dtype)

    def work(_, some, part):
        kernel(blocks, y, *taps, *some, *part)

    some = _parallel.grains(outer, y.nbytes + x.nbytes)
    parts = _parallel.chunks(inner, 16 // len(some))
    _parallel.run(work, [(b, part) for b in some for part in parts])
    return y.reshape(shape).transpose(np.argsort(order))


# Inner rows may be short, so nothing here makes views of them; and unsigned indices need no test
# for being negative, which would keep these loops from being vectorised.
@njit
def _sample(x, y, index, weight, first, last, start, stop):
    length, inner, size = x.shape[1], np.uint64(x.shape[2]), np.uint64(stop - start)
    source, target = x.reshape(-1), y.reshape(-1)
    for block in range(first, last):
        for i in range(len(index)):
            to, empty, t = np.uint64(block * len(index) + i) * inner + np.uint64(start), True, 0
            while t < index.shape[1]:
                w = weight[i, t]
                at = np.uint64(block * length + index[i, t]) * inner + np.uint64(start)
                t += 1
                if w == 0:
                    continue
                if empty and t < index.shape[1] and weight[i, t] != 0:  # the first two at once
                    w2 = weight[i, t]
                    at2 = np.uint64(block * length + index[i, t]) * inner + np.uint64(start)
                    t += 1
                    for k in range(size):
                        target[to + k] = w * source[at + k] + w2 * source[at2 + k]
                elif empty:
                    for k in range(size):
                        target[to + k] = w * source[at + k]
                else:
                    for k in range(size):
                        target[to + k] += w * source[at + k]
                empty = False
            if empty:
                for k in range(size):
                    target[to + k] = 0


@njit
def _spread(grad_y, grad_x, index, weight, first, last, start, stop):
    length, inner, size = grad_x.shape[1], np.uint64(grad_x.shape[2]), np.uint64(stop - start)
    source, target = grad_y.reshape(-1), grad_x.reshape(-1)
    for block in range(first, last):
        for i in range(length):
            to = np.uint64(block * length + i) * inner + np.uint64(start)
            for k in range(size):
                target[to + k] = 0
        for i in range(len(index)):
            at = np.uint64(block * len(index) + i) * inner + np.uint64(start)
            for t in range(index.shape[1]):
                w = weight[i, t]
                if w != 0:
                    to = np.uint64(block * length + index[i, t]) * inner + np.uint64(start)
                    for k in range(size):
                        target[to + k] += w * source[at + k]


@njit
def _sample_thin(x, y, index, weight, first, last, start, stop):
    for block in range(first, last):
        for i in range(len(index)):
            for k in range(start, stop):
                total = x.dtype.type(0)
                for t in range(index.shape[1]):
                    w = weight[i, t]
                    if w != 0:
                        total += w * x[block, index[i, t], k]
                y[block, i, k] = total


@njit
def _spread_thin(grad_y, grad_x, index, weight, first, last, start, stop):
    for block in range(first, last):
        for i in range(grad_x.shape[1]):
            for k in range(start, stop):
                grad_x[block, i, k] = 0
        for i in range(len(index)):
            for t in range(index.shape[1]):
                w = weight[i, t]
                if w != 0:
                    at = index[i, t]
                    for k in range(start, stop):
                        grad_x[block, at, k] += w * grad_y[block, i, k]
