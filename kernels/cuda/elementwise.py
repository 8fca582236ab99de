"""Arithmetic, element by element: one pass over memory (elementwise.cu)."""

import math

import cupy
import numpy as np

from .. import plain
from . import _launch
from ._blocks import around

_FUNCTIONS = ("add", "subtract", "multiply", "divide")  # by their number in elementwise.cu


def combine(name, a, b):
    """Apply a function of two numbers by its name in NumPy: add, subtract, multiply, divide."""
    big, small = (a, b) if a.size >= b.size else (b, a)
    if name not in _FUNCTIONS or not _launch.covers(a, b) or not big.size:
        return plain.combine(name, a, b)
    blocks = around(big, ())
    has_gaps = not big.transpose(blocks.order).flags.c_contiguous
    plan = None if has_gaps else _plan(big, small, blocks.order)
    if plan is None:
        return plain.combine(name, a, b)
    kernel, beside, sizes = plan
    given, y = blocks.of(big), cupy.empty(big.size, big.dtype)
    options = [_FUNCTIONS.index(name)]
    if kernel != "combine":
        options.append(np.bool_(big is b))
    elif big is b:
        given, beside = beside, given
    packs = -(-big.nbytes // 16)
    kernel = f"{kernel}<{_launch.NAMES[big.dtype]}>"
    _launch.flat("elementwise", kernel, packs, given, beside, y, big.size, *sizes, *options)
    return blocks.whole(y)


def _plan(big, small, order):
    """Return the kernel, the small array in the memory order of the big one, and sizes; or None.

    Repeated along some axes, an array is (outer or 1, 1, inner) beside (outer, middle, inner).
    """
    if small.ndim > big.ndim:
        return None
    if small.size == 1:
        return "combine_number", small.reshape(1), ()
    small = small.reshape((1,) * (big.ndim - small.ndim) + small.shape)
    shape = [big.shape[a] for a in order]
    each = [small.shape[a] for a in order]
    if any(m not in (1, n) for n, m in zip(shape, each, strict=True)):
        return None
    flat = cupy.ascontiguousarray(small.transpose(order)).reshape(-1)
    if each == shape:
        return "combine", flat, ()
    first, last = _repeated(shape, each)
    if any(n != 1 for n in each[first:last]):
        return None
    before, after = math.prod(each[:first]), math.prod(shape[last:])
    once = before == 1
    middle = math.prod(shape[:last] if once else shape[first:last])
    return "combine_spread", flat, (middle, after, np.bool_(once))


def _repeated(shape, each):
    """Return where the axes begin and end along which the small array is repeated."""
    axes = [i for i, (n, m) in enumerate(zip(shape, each, strict=True)) if n != m]
    return axes[0], axes[-1] + 1


def copied(a):
    """Return a copy with the axes in the same order in memory."""
    blocks = around(a, ())
    memory = a.transpose(blocks.order)
    if not memory.flags.c_contiguous:
        return plain.copied(a)
    return blocks.whole(memory.copy())  # one block of memory: no kernel is as fast
