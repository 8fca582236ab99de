"""Joining arrays: runs of memory are copied to their places, array by array (joining.cu)."""

import math

import cupy
import numpy as np

from .. import plain
from . import _launch

_UNITS = {  # so many bytes moved at once, as which C++ type and which of NumPy's
    16: ("uint4", None),
    8: ("uint2", None),
    4: ("unsigned", np.uint32),
    2: ("unsigned short", np.uint16),
    1: ("unsigned char", np.uint8),
}


def concatenate(arrays, axis):
    """Join arrays of one shape, but for an axis, along it."""
    first = arrays[0]
    if any(a.dtype != first.dtype for a in arrays) or not any(a.size for a in arrays):
        return plain.concatenate(arrays, axis)
    along = sum(a.shape[axis] for a in arrays)
    y = cupy.empty((*first.shape[:axis], along, *first.shape[axis + 1 :]), first.dtype)
    given = [cupy.ascontiguousarray(a) for a in arrays if a.size]
    runs = math.prod(first.shape[:axis])
    lengths = [a.nbytes // runs for a in given]
    unit = math.gcd(16, y.data.ptr, *lengths, *(a.data.ptr for a in given))
    kind, dtype = _UNITS[unit]
    step, at = sum(lengths) // unit, 0
    for a, length in zip(given, (n // unit for n in lengths), strict=True):
        source, target = (m if dtype is None else m.reshape(-1).view(dtype) for m in (a, y))
        sizes = runs * length, length, step, at
        _launch.flat("joining", f"copy_runs<{kind}>", runs * length, source, target, *sizes)
        at += length
    return y
