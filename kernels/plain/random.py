"""Philox4x32-10, the counter-based generator behind every random number, in array expressions.

Each block is a 128-bit counter scrambled by ten rounds; a round multiplies two
of its four words into 64 bits, swaps halves, and mixes in the key:

    (c0, c1, c2, c3) -> (hi(M1*c2) ^ c1 ^ k0, lo(M1*c2), hi(M0*c0) ^ c3 ^ k1, lo(M0*c0))
    (k0, k1)         -> (k0 + W0, k1 + W1)

Nothing is carried from block to block, so any thread can make any part.
Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011.
"""

import numpy as np

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox_words(key, stream, first, blocks):
    """Counters (first ... first + blocks, stream) under key -> uint32 words (blocks, 4)."""
    counter = np.arange(blocks, dtype=np.uint64) + np.uint64(first)
    c0, c1 = counter & _LOW, counter >> _HALF
    c2 = np.full(blocks, stream & 0xFFFFFFFF, np.uint64)
    c3 = np.full(blocks, stream >> 32, np.uint64)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _HALF) ^ c1 ^ np.uint64(k0),
            p1 & _LOW,
            (p0 >> _HALF) ^ c3 ^ np.uint64(k1),
            p0 & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)
