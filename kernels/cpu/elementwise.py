"""Arithmetic, element by element, on the CPU: NumPy's loops on all threads, into used memory.

Where one number for each channel meets channels-last images, NumPy's innermost loop would be over
the channels, which are few; their numbers are repeated, so that it is over many pixels.
"""

import math

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._layout import FAST

_LONG = 1 << 10  # elements of a loop that are worth its start


def combine(name, a, b):
    """Apply a function of two numbers by its name in NumPy: add, subtract, multiply, divide."""
    big, small = (a, b) if a.size >= b.size else (b, a)
    if a.dtype != b.dtype or a.dtype not in FAST or not big.size:
        return plain.combine(name, a, b)
    order = _memory_order(big)
    if order is None:
        return plain.combine(name, a, b)
    memory = big.transpose(order)
    if small.size == 1 and small.ndim <= big.ndim:
        rows, beside = memory.reshape(-1), small.reshape(1)
    elif small.shape == big.shape and small.strides == big.strides:
        rows, beside = memory.reshape(-1), small.transpose(order).reshape(-1)
    else:
        rows, beside = _by_channel(big, memory, small)
        if beside is None:
            return plain.combine(name, a, b)
    y = _applied(getattr(np, name), rows, beside, big is a).reshape(memory.shape)
    return y.transpose(sorted(range(y.ndim), key=order.__getitem__))


def copied(a):
    """Return a copy with the axes in the same order in memory."""
    order = _memory_order(a)
    if order is None or not a.size:
        return plain.copied(a)
    source = a.transpose(order)
    y = _buffers.empty(source.shape, a.dtype)
    flat, rows = y.reshape(-1), source.reshape(-1)

    def work(_, start, stop):
        flat[start:stop] = rows[start:stop]

    _parallel.run(work, _parallel.grains(a.size, a.nbytes))
    return y.transpose(sorted(range(y.ndim), key=order.__getitem__))


def _memory_order(x):
    """Return the axes as they lie in memory without gaps, channels first or last, or None."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    last = (0, *range(2, x.ndim), 1) if x.ndim > 2 else (1, 0)
    return last if x.ndim > 1 and x.transpose(last).flags.c_contiguous else None


def _by_channel(big, memory, small):
    """Return both as (N, rows, many pixels), or None: `small` is not (N or 1, C, 1, ...)."""
    n, c, *space = (*big.shape, 1, 1)[: max(2, big.ndim)]
    each = (1,) * (big.ndim - small.ndim) + small.shape
    if big.ndim < 3 or memory.shape[-1] != c or each[1:] != (c, *(1,) * len(space)):
        return None, None
    if big.flags.c_contiguous or each[0] not in (1, n):
        return None, None
    pixels = math.prod(space)
    times = math.gcd(pixels, max(1, _LONG // c))
    return memory.reshape(n, pixels // times, times * c), np.tile(small.reshape(-1, 1, c), times)


def _applied(function, rows, beside, is_first):
    """Compute ``function(rows, beside)``, or the other way round, on pieces of the first axis."""
    y, state = _buffers.empty(rows.shape, rows.dtype), np.geterr()

    def work(_, start, stop):
        part = slice(start, stop)
        other = beside[part] if len(beside) == len(rows) else beside
        with np.errstate(**state):  # what the caller wants to be warned of, in all threads
            if is_first:
                function(rows[part], other, out=y[part])
            else:
                function(other, rows[part], out=y[part])

    _parallel.run(work, _parallel.grains(len(rows), rows.nbytes))
    return y
