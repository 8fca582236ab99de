"""Putting rows to places on the GPU, in order: see indexing.cu.

CuPy could sort as well, but its sort waits for the device, which no graph can record.
"""

import cupy
import numpy as np

from .. import plain
from . import _launch
from ._integers import added

_FEW = 128  # places that are looked through rather than sorted
_DIGIT, _TILE = 8, 1024  # bits that are sorted by at once; numbers that a warp takes (TILE)
_SCAN = 1024  # threads of sums_before


def add_rows(x, places, rows):
    """x (K, B), places (K,) -> y (rows, B): ``y[places[k]] += x[k]`` into zeros, in order."""
    if not _launch.covers(x):
        return added(plain.add_rows, x, places, rows)
    known, length = x.shape
    if not known:
        return cupy.zeros((rows, length), x.dtype)
    x, places = cupy.ascontiguousarray(x), cupy.ascontiguousarray(places, np.int64)
    y, lanes = cupy.empty((rows, length), x.dtype), 16 // x.itemsize
    packed = length % lanes == 0 and x.data.ptr % 16 == 0
    count = y.size // lanes if packed else y.size
    kind = _launch.NAMES[x.dtype]
    if known <= _FEW:
        arguments = x, places, y, count, known, rows, length, np.bool_(packed)
        _launch.flat("indexing", f"add_few<{kind}>", count, *arguments)
    elif count:
        arguments = x, *_sorted(places, rows), y, count, known, length, np.bool_(packed)
        _launch.flat("indexing", f"add_sorted<{kind}>", count, *arguments)
    return y


def _sorted(places, rows):
    """Places (K,), of which `rows` exist -> the same from low to high, and where each was."""
    keys, order = places, cupy.arange(len(places))
    blocks = -(-len(places) // _TILE)
    counts = cupy.empty((1 << _DIGIT, blocks), np.int64)
    for shift in range(0, max(1, (rows - 1).bit_length()), _DIGIT):
        end = len(places), rows, shift
        _launch.launch("indexing", "count_digits", (blocks,), (32,), keys, counts, *end)
        _launch.launch("indexing", "sums_before", (1,), (_SCAN,), counts, counts.size)
        moved = cupy.empty_like(keys), cupy.empty_like(order)
        given = keys, order, counts, *moved
        _launch.launch("indexing", "move_by_digit", (blocks,), (32,), *given, *end)
        keys, order = moved
    return keys, order
