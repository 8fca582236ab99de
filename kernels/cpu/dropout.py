"""Dropout: the random words of a few thousand elements are made, used, and forgotten."""

import math

import numpy as np

from ..plain import dropout as plain
from . import _parallel
from ._jit import njit
from .random import _philox

_BLOCKS = 1 << 14  # blocks (four words each) that are worth a thread
_PIECE = 1 << 10  # blocks whose words stay in the nearest cache
_COMPILED = {np.dtype(np.float32), np.dtype(np.float64)}


def drop(x, counter, rate, scale, spread):
    """Return x * scale where it stays, x * 0 where it is dropped, with the probability `rate`.

    Counted by rows, `spread` elements in a row share a number; the k-th number, of 24 bits from
    [0, 1), is word k % 4 of block first + k // 4, where counter is (key, stream, first).  They
    are dropped if it is below the rate as a float32.
    """
    if spread != 1 or x.dtype not in _COMPILED or not x.flags.c_contiguous:
        return plain.drop(x, counter, rate, scale, spread)
    y = np.empty_like(x)
    blocks = -(-x.size // 4)
    # n * 2**-24 < rate, of whole numbers: n < rate * 2**24, which is exact
    least = np.uint32(math.ceil(float(np.float32(rate)) * 2**24))
    given = *(np.uint64(n) for n in counter), least, x.dtype.type(scale)

    def work(_, start, stop):
        _drop(x.reshape(-1), y.reshape(-1), *given, start, stop)

    _parallel.run(work, _parallel.chunks(blocks, min(16, max(1, blocks // _BLOCKS))))
    return y


@njit
def _drop(x, y, key, stream, first, least, scale, start, stop):
    words = np.empty((_PIECE, 4), np.uint32)
    for begin in range(start, stop, _PIECE):
        end = min(begin + _PIECE, stop)
        _philox(key, stream, first + np.uint64(begin), words, 0, end - begin)
        flat = words.reshape(-1)
        some, same = x[4 * begin : 4 * end], y[4 * begin : 4 * end]
        for i in range(len(some)):
            same[i] = some[i] * (scale if flat[i] >> np.uint32(8) >= least else scale * 0)
