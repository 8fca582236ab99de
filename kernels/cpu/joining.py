"""Joining arrays on the CPU: short runs of memory are copied in a loop, long ones by NumPy."""

import math

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST

_LONG = 128  # elements of a run that are worth a call of memcpy


def concatenate(arrays, axis):
    """Join arrays of one shape, but for an axis, along it."""
    first = arrays[0]
    lengths = [math.prod(a.shape[axis:]) for a in arrays]  # of what lies side by side
    size, runs = sum(a.size for a in arrays), math.prod(first.shape[:axis])
    if (
        any(a.dtype != first.dtype or not a.flags.c_contiguous for a in arrays)
        or first.dtype not in FAST
        or not size
        or max(lengths) > _LONG
    ):
        return plain.concatenate(arrays, axis)
    along = sum(a.shape[axis] for a in arrays)
    y = _buffers.empty((*first.shape[:axis], along, *first.shape[axis + 1 :]), first.dtype)
    target = y.reshape(runs, sum(lengths))
    starts = np.cumsum([0, *lengths]).tolist()
    rows = [a.reshape(runs, n) for a, n in zip(arrays, lengths, strict=True)]

    def work(_, start, stop):
        for a, at in zip(rows, starts, strict=False):
            _copy_runs(a[start:stop].reshape(-1), target[start:stop].reshape(-1), stop - start, at)

    _parallel.run(work, _parallel.grains(runs, y.nbytes))
    return y


@njit
def _copy_runs(source, target, runs, at):
    runs, at = np.uint64(runs), np.uint64(at)  # unsigned: no test of the sign in the loop
    if runs == 0:
        return
    length, step = np.uint64(len(source)) // runs, np.uint64(len(target)) // runs
    for r in range(runs):
        for k in range(length):
            target[r * step + at + k] = source[r * length + k]
