"""Pooling on the GPU; `spans` as in kernels.plain.pooling.

Going forward a thread owns a window, going back a pixel: see pooling.cu.
"""

import functools
import math

import cupy
import numpy as np

from .. import plain
from . import _launch
from ._integers import added
from ._layout import channels_last, image_like, logical, three

_ONE = np.array([0]), np.array([1]), 1  # the span of an axis that is not there


def max_pool(x, spans):
    """x (N, C, *IMAGE) -> y and winner (N, C, *OUT); winner is the int32 place d*H*W + h*W + w."""
    if not _launch.covers(x):
        return plain.max_pool(x, spans)
    shape = _out_shape(x, spans)
    y, winner = image_like(shape, x.dtype), image_like(shape, np.int32)
    _run("max_pool", [channels_last(x), y, winner], y, _pixels(x.shape, spans))
    return logical(y), logical(winner)


def max_unpool(x, winner, image_shape, spans):
    """x and winner (N, C, *OUT) -> (N, C, *IMAGE): every value added to its winner's place.

    `spans` are those of the pooling, whose windows alone a pixel then looks at; None: the winners
    may be anywhere.
    """
    if not _launch.covers(x):
        return added(plain.max_unpool, x, winner, image_shape, spans)
    x, winner = channels_last(x), channels_last(winner)
    if spans is None:
        return _put_winners(x, winner, image_shape)
    y = image_like(image_shape, x.dtype)
    _run("max_unpool", [x, winner, y], y, _windows(image_shape, spans))
    return logical(y)


def take_winners(x, winner):
    """x (N, C, *IMAGE), winner (N, C, *OUT) -> the pixels that won (N, C, *OUT)."""
    if not _launch.covers(x):
        return plain.take_winners(x, winner)
    y = image_like(winner.shape, x.dtype)
    x, winner = channels_last(x), channels_last(winner)
    lengths = math.prod(y.shape[1:-1]), math.prod(x.shape[1:-1]), x.shape[-1]
    name = f"take_winners<{_launch.NAMES[x.dtype]}>"
    _launch.flat("pooling", name, y.size, x, winner, y, y.size, *lengths)
    return logical(y)


def sum_pool(x, spans, scale):
    """x (N, C, *IMAGE) -> `scale` times the sum of each window (N, C, *OUT)."""
    if not _launch.covers(x):
        return plain.sum_pool(x, spans, scale)
    y = image_like(_out_shape(x, spans), x.dtype)
    _run("sum_pool", [channels_last(x), y], y, _pixels(x.shape, spans), float(scale))
    return logical(y)


def sum_unpool(x, image_shape, spans, scale):
    """x (N, C, *OUT) -> (N, C, *IMAGE): `scale` times each value added to its window's pixels."""
    if not _launch.covers(x):
        return plain.sum_unpool(x, image_shape, spans, scale)
    y = image_like(image_shape, x.dtype)
    _run("sum_unpool", [channels_last(x), y], y, _windows(image_shape, spans), float(scale))
    return logical(y)


def lp_pool(x, spans, p):
    """x (N, C, *IMAGE) -> (sum |x|^p)^(1/p) of each window (N, C, *OUT).

    Every sum is of multiples of its largest number, so no power over- or underflows.
    """
    if not _launch.covers(x):
        return plain.lp_pool(x, spans, p)
    y = image_like(_out_shape(x, spans), x.dtype)
    powers = float(p), 1 / p, float(np.finfo(x.dtype).max)
    _run_singly("lp_pool", [channels_last(x), y], y, _pixels(x.shape, spans), *powers)
    return logical(y)


def lp_unpool(grad_y, x, y, spans, power, odd):
    """Each grad_y (N, C, *OUT) spread over its window's pixels x (N, C, *IMAGE), in proportion.

    A pixel gets ``grad_y * (|x|/y)^power``, times the sign of x if `odd`; nothing where y is 0.
    """
    if not _launch.covers(x, y, grad_y):
        return plain.lp_unpool(grad_y, x, y, spans, power, odd)
    grad_x = image_like(x.shape, x.dtype)
    arrays = [*(channels_last(a) for a in (grad_y, x, y)), grad_x]
    options = float(power), np.bool_(odd)
    _run_singly("lp_unpool", arrays, grad_x, _windows(x.shape, spans), *options)
    return logical(grad_x)


def lp_take(v, x, y, spans, power, odd):
    """Add up each window's v (N, C, *IMAGE) in the proportions of `lp_unpool`: its transpose."""
    if not _launch.covers(x, y, v):
        return plain.lp_take(v, x, y, spans, power, odd)
    taken = image_like(y.shape, x.dtype)
    arrays = [*(channels_last(a) for a in (v, x, y)), taken]
    options = float(power), np.bool_(odd)
    _run_singly("lp_take", arrays, taken, _pixels(x.shape, spans), *options)
    return logical(taken)


def _run(name, arrays, y, table, *options):
    """Run a kernel whose threads take as many channels of y (N, *IMAGE, C) as are read at once."""
    lanes = 16 // arrays[0].itemsize
    packed = y.shape[-1] % lanes == 0 and all(a.data.ptr % 16 == 0 for a in arrays)
    count = y.size // lanes if packed else y.size
    name = f"{name}<{_launch.NAMES[y.dtype]}>"
    rest = count, y.shape[-1], *options, np.bool_(packed)
    _launch.flat("pooling", name, count, *arrays, _launch.table(table, np.int32), *rest)


def _run_singly(name, arrays, y, table, *options):
    """Run a kernel whose threads take one number of y (N, *IMAGE, C) each."""
    name = f"{name}<{_launch.NAMES[y.dtype]}>"
    table = _launch.table(table, np.int32)
    _launch.flat("pooling", name, y.size, *arrays, table, y.size, y.shape[-1], *options)


def _put_winners(x, winner, image_shape):
    """x, winner (N, *OUT, C) -> (N, C, *IMAGE), for winners anywhere."""
    n, c, *image = image_shape
    wide = np.float32 if x.dtype == np.float16 else x.dtype
    y = cupy.zeros((n, *image, c), wide)
    lengths = math.prod(x.shape[1:-1]), math.prod(image), c
    name = f"put_winners<{_launch.NAMES[x.dtype]}>"
    _launch.flat("pooling", name, n * c, x, winner, y, n * c, *lengths)
    return logical(y.astype(x.dtype, copy=False))


def _out_shape(x, spans):
    """Return (N, C, *OUT)."""
    return (*x.shape[:2], *(len(starts) for starts, _, _ in spans))


def _pixels(image_shape, spans):
    """Return the table of the pixels that windows see, as `pixels_of` reads it."""
    spans = (_ONE, _ONE, *spans)[-3:]
    lengths = [len(starts) for starts, _, _ in spans]
    steps = [step for _, _, step in spans]
    lists = [part for starts, counts, _ in spans for part in (starts, counts)]
    return np.concatenate([three(image_shape[2:]), lengths, steps, *lists])


def _windows(image_shape, spans):
    """Return the table of the windows that see each pixel, as `windows_of` reads it."""
    image = three(image_shape[2:])
    spans = (_ONE, _ONE, *spans)[-3:]
    lengths = [len(starts) for starts, _, _ in spans]
    lists = [
        _seen_by(np.asarray(starts).tobytes(), np.asarray(counts).tobytes(), int(step), pixels)
        for (starts, counts, step), pixels in zip(spans, image, strict=True)
    ]
    return np.concatenate([lengths, image, *lists])


@functools.lru_cache(maxsize=1024)
def _seen_by(starts, counts, step, pixels):
    """Bytes of a span's int64 -> for each pixel of the axis where its windows end, and those."""
    starts, counts = (np.frombuffer(a, np.int64) for a in (starts, counts))
    k = np.arange(counts.max(initial=0))
    window, k = np.nonzero(k < counts[:, None])
    pixel = starts[window] + step * k
    ends = np.cumsum(np.bincount(pixel, minlength=pixels))
    return np.concatenate([[0], ends, window[np.argsort(pixel, kind="stable")]])
