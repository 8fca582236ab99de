"""Arrays seen from some of their axes: (outer, K, inner), in the order in which memory lies.

What is done along axes (a sum, a softmax) is done along the middle one. Where inner is 1 the K
numbers lie side by side; else inner numbers do.
"""

import functools
import math

import cupy


def around(x, axes):
    """Return how an array lies around some of its axes (a tuple, none negative)."""
    return _Blocks(x.shape, x.strides, axes)


@functools.lru_cache(maxsize=1024)
class _Blocks:
    """How arrays of a shape and strides lie around some of their axes."""

    def __init__(self, shape, strides, axes):
        rank = len(shape)
        # Axes of length 1 have no place in memory; they go first.
        self.order = sorted(range(rank), key=lambda a: (shape[a] != 1, -abs(strides[a])))
        self._back_order = tuple(sorted(range(rank), key=self.order.__getitem__))
        at = [i for i, a in enumerate(self.order) if a in axes and shape[a] != 1]
        self.adjacent = not at or at[-1] - at[0] + 1 == len(at)
        start, stop = (at[0], at[-1] + 1) if at else (rank, rank)
        self._lengths = [shape[a] for a in self.order]
        self._kept = [1 if a in axes else shape[a] for a in self.order]
        self.outer = math.prod(self._lengths[:start])
        self.count = math.prod(self._lengths[start:stop])
        self.inner = math.prod(self._lengths[stop:])

    def of(self, x):
        """x -> flat (outer * K * inner,); copies if its memory is in another order."""
        return cupy.ascontiguousarray(x.transpose(self.order)).reshape(-1)

    def cells(self, y):
        """y, with the axes of length 1 -> flat (outer * inner,)."""
        return cupy.ascontiguousarray(y.transpose(self.order)).reshape(-1)

    def whole(self, memory):
        """Flat (outer * K * inner,) -> view of x's shape."""
        return memory.reshape(self._lengths).transpose(self._back_order)

    def kept(self, cells):
        """Flat (outer * inner,) -> view of x's shape, but the axes have length 1."""
        return cells.reshape(self._kept).transpose(self._back_order)
