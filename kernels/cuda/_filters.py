"""Weights on their way into the convolutions' products, and their gradients on the way out."""

import math
from typing import NamedTuple

import cupy
import numpy as np

from . import _launch

_THREADS = 256  # as in filters.cu
_MANY = 16  # chunks that are added up by several threads
_SHARES = 8  # so many


class Chunks(NamedTuple):
    """How the pixels that a weight gradient is summed over are cut, whatever the device."""

    pieces: int
    length: int  # pixels; the last may have fewer

    @classmethod
    def of(cls, pixels, wanted, shortest):
        """Return about the wanted number of chunks, of `shortest` pixels at least."""
        count = max(1, min(wanted, pixels // shortest))
        length = -(-pixels // count)
        return cls(-(-pixels // length), length)

    def room(self, numbers, dtype):
        """Return memory for a sum of so many numbers for each chunk."""
        wide = np.float64 if dtype == np.float64 else np.float32
        return cupy.empty((self.pieces, numbers), wide)


def pack_filters(geometry, weight, groups, transposed):
    """weight (O, C/groups, *K) -> (classes, groups, depth, width), as filters.cu says."""
    outputs, channels = len(weight) // groups, weight.shape[1]
    width = -(-(channels if transposed else outputs) // 4) * 4  # whole packs of 4 are read
    packed = cupy.empty((geometry.classes, groups, geometry.depth, width), weight.dtype)
    count = groups * geometry.depth * width
    _launch.launch(
        "filters",
        f"pack_filters<{_launch.NAMES[weight.dtype]}>",
        (min(-(-count // _THREADS), 1 << 16), geometry.classes),
        (_THREADS,),
        _launch.table(geometry.table, geometry.table.dtype),
        cupy.ascontiguousarray(weight),
        packed,
        groups,
        outputs,
        channels,
        geometry.depth,
        width,
        np.bool_(transposed),
    )
    return packed


def sum_chunks(partial, chunks, kernel_shape, groups, dtype):
    """partial (chunks, groups, K, C/groups, O/groups) -> grad_weight (O, C/groups, *K)."""
    o, c, *size = kernel_shape
    grad = cupy.empty(kernel_shape, dtype)
    shares = _SHARES if chunks.pieces >= _MANY else 1
    blocks = -(-grad.size * shares // _THREADS)
    numbers = chunks.pieces, shares, groups, math.prod(size), c, o // groups
    name = f"sum_chunks<{_launch.NAMES[np.dtype(dtype)]}>"
    _launch.launch("filters", name, (blocks,), (_THREADS,), partial, grad, *numbers)
    return grad


def pack_size(channels, *arrays):
    """Return how many channels may be read and written at once from all of these arrays: 4 or 1."""
    size = min(16, 4 * arrays[0].itemsize)
    return 1 if channels % 4 or any(a.data.ptr % size for a in arrays) else 4
