"""Philox4x32-10, the counter-based generator behind every random number, compiled.

Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

import numpy as np

from . import _parallel
from ._jit import njit

_BLOCKS = 1 << 14  # blocks (four words each) that are worth a thread


def philox_words(key, stream, first, blocks):
    """Counters (first ... first + blocks, stream) under key -> uint32 words (blocks, 4)."""
    words = np.empty((blocks, 4), np.uint32)
    pieces = _parallel.chunks(blocks, min(16, max(1, blocks // _BLOCKS)))
    arguments = np.uint64(key), np.uint64(stream), np.uint64(first)

    def work(_, start, stop):
        _philox(*arguments, words, start, stop)

    _parallel.run(work, pieces)
    return words


@njit
def _philox(key, stream, first, words, start, stop):
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    for b in range(start, stop):
        counter = first + np.uint64(b)
        c0, c1 = counter & low, counter >> half
        c2, c3 = stream & low, stream >> half
        k0, k1 = key & low, key >> half
        for _ in range(10):
            p0 = np.uint64(0xD2511F53) * c0
            p1 = np.uint64(0xCD9E8D57) * c2
            c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
            k0 = (k0 + np.uint64(0x9E3779B9)) & low
            k1 = (k1 + np.uint64(0xBB67AE85)) & low
        words[b, 0] = c0
        words[b, 1] = c1
        words[b, 2] = c2
        words[b, 3] = c3
