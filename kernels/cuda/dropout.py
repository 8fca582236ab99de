"""Dropout: random numbers are made where they are used, the same as on the CPU."""

import math

import cupy
import numpy as np

from .. import capturing
from . import _launch, _layout
from .random import _signed


def drop(x, counter, rate, scale, spread):
    """Return x * scale where it stays, x * 0 where it is dropped, with the probability `rate`.

    Counted by rows, `spread` elements in a row share a number; the k-th number, of 24 bits from
    [0, 1), is word k % 4 of block first + k // 4, where counter is (key, stream, first).  They
    are dropped if it is below the rate as a float32.
    """
    if not _launch.covers(x):
        ones = cupy.ones(x.shape, np.float32)
        return x * (drop(ones, counter, rate, 1.0, spread).astype(x.dtype) * x.dtype.type(scale))
    least = math.ceil(float(np.float32(rate)) * 2**24)
    numbers, place = capturing.varying(lambda: [_signed(n) for n in capturing.now(counter)])
    settings = spread, least, float(scale), *numbers, place
    name = _launch.NAMES[x.dtype]
    if x.flags.c_contiguous or x.ndim < 3:
        x = cupy.ascontiguousarray(x).reshape(x.shape)
        y = cupy.empty(x.shape, x.dtype)
        fours = -(-x.size // 4)
        _launch.flat("dropout", f"drop_rows<{name}>", fours, x, y, x.size, *settings)
        return y
    x = _layout.channels_last(x)  # (N, *spatial, C)
    y = cupy.empty(x.shape, x.dtype)
    images, channels = x.shape[0], x.shape[-1]
    places = x.size // max(1, images * channels)
    threads = images * channels * -(-places // 4)
    shape = images, places, channels
    _launch.flat("dropout", f"drop_images<{name}>", threads, x, y, *shape, *settings)
    return _layout.logical(y)
