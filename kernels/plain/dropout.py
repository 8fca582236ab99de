"""Dropout: which elements stay is decided by random numbers made on the way, and not kept."""

import numpy as np

from ._windows import array_module
from .random import philox_words


def drop(x, counter, rate, scale, spread):
    """Return x * scale where it stays, x * 0 where it is dropped, with the probability `rate`.

    Counted by rows, `spread` elements in a row share a number; the k-th number, of 24 bits from
    [0, 1), is word k % 4 of block first + k // 4, where counter is (key, stream, first).  They
    are dropped if it is below the rate as a float32.
    """
    xp = array_module(x)
    numbers = x.size // spread
    words = philox_words(*counter, -(-numbers // 4)).ravel()[:numbers]
    kept = (words >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) >= np.float32(rate)
    factors = xp.asarray(kept) * x.dtype.type(scale)
    return x * xp.broadcast_to(factors[:, None], (numbers, spread)).reshape(x.shape)
