"""Random words by Philox4x32-10, made on the device: the same as on the CPU."""

import cupy
import numpy as np

from . import _launch


def philox_words(key, stream, first, blocks):
    """Counters (first ... first + blocks, stream) under key -> uint32 words (blocks, 4)."""
    words = cupy.empty((blocks, 4), np.uint32)
    numbers = [_signed(n) for n in (key, stream, first)]
    _launch.flat("random", "philox_words", blocks, words, *numbers, blocks)
    return words


def _signed(bits):
    """Return a number of 64 bits as the signed one with the same bits, which kernels take."""
    return bits - (1 << 64) if bits >= 1 << 63 else bits
