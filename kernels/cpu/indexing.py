"""Putting rows to places on the CPU: a row is copied in one go, columns are shared out."""

import numpy as np

from .. import plain
from . import _parallel
from ._jit import njit
from ._layout import FAST

_GRAIN = 64  # numbers of a row that are worth a thread


def add_rows(x, places, rows):
    """x (K, B), places (K,) -> y (rows, B): ``y[places[k]] += x[k]`` into zeros, in order."""
    if x.dtype not in FAST or x.shape[1] == 1:  # NumPy is as fast along one axis
        return plain.add_rows(x, places, rows)
    x, places = np.ascontiguousarray(x), np.ascontiguousarray(places, np.int64)
    y = np.zeros((rows, x.shape[1]), x.dtype)

    # Threads take columns: two of them never meet at a place, and each adds in order.
    def work(_, start, stop):
        _add_rows(x, places, y, start, stop)

    _parallel.run(work, _parallel.chunks(x.shape[1], min(16, max(1, x.shape[1] // _GRAIN))))
    return y


@njit
def _add_rows(x, places, y, start, stop):
    for k in range(len(places)):
        row, at = x[k], y[places[k]]
        for i in range(start, stop):
            at[i] += row[i]
