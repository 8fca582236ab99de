"""Arrays seen from some of their axes: (outer, K, inner), in the order in which memory lies.

What is done along axes (a sum, a softmax) is done along the middle one. Where inner is 1 the K
numbers lie side by side; else inner numbers do, and what is done is done to all of these at once.
"""

import math

import numpy as np

from . import _parallel

LANES = 256  # neighbouring numbers that a loop takes together, about: they stay in the first cache


class Blocks:
    """How an array of a shape and strides lies around some of its axes.

    Parameters
    ----------
    x : ndarray
        Which array.
    axes : tuple of int
        Which axes, none negative.
    """

    def __init__(self, x, axes):
        # Axes of length 1 have no place in memory; they go first.
        order = sorted(range(x.ndim), key=lambda a: (x.shape[a] != 1, -abs(x.strides[a])))
        self.order, self.shape, self.axes = order, x.shape, axes
        at = [i for i, a in enumerate(order) if a in axes and x.shape[a] != 1]
        self.adjacent = not at or at[-1] - at[0] + 1 == len(at)
        start, stop = (at[0], at[-1] + 1) if at else (x.ndim, x.ndim)
        lengths = [x.shape[a] for a in order]
        self.outer = math.prod(lengths[:start])
        self.count = math.prod(lengths[start:stop])
        self.inner = math.prod(lengths[stop:])

    def of(self, x):
        """x -> C-contiguous (outer, K, inner); copies only if its memory is in another order."""
        memory = np.ascontiguousarray(x.transpose(self.order))
        return memory.reshape(self.outer, self.count, self.inner)

    def cells(self, y):
        """y, with the axes of length 1 -> C-contiguous (outer, inner)."""
        return np.ascontiguousarray(y.transpose(self.order)).reshape(self.outer, self.inner)

    def whole(self, blocks):
        """(outer, K, inner) -> view of x's shape."""
        return self._back(blocks, self.shape)

    def kept(self, cells):
        """(outer, inner) -> view of x's shape, but the axes have length 1."""
        return self._back(cells, [1 if a in self.axes else n for a, n in enumerate(self.shape)])

    def _back(self, memory, shape):
        lengths = [shape[a] for a in self.order]
        return memory.reshape(lengths).transpose(np.argsort(self.order))

    def run(self, work, size, cuts_inner=True):
        """Call ``work(outer slice, inner slice)`` on fixed pieces of what is `size` bytes."""
        rows = _parallel.grains(self.outer, size)
        most = min(16, max(1, size >> 16)) // len(rows) if cuts_inner else 1
        columns = _parallel.chunks(self.inner, max(1, min(most, self.inner // LANES)))
        pieces = [(row, column) for row in rows for column in columns]
        _parallel.run(lambda _, row, column: work(slice(*row), slice(*column)), pieces)
