"""Pooling on the CPU.

Memory is channels-last, so the innermost loop runs over channels that lie side
by side.  One piece of work is a few images: images share no data, so the
scatters in the gradients need no lock even where windows overlap.
"""

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST, channels_last, logical


def max_pool2d(x, out_shape, window):
    """x (N, C, H, W) -> y and winner, both (N, C, OH, OW); winner is int32 h*W + w."""
    if x.dtype not in FAST:
        return plain.max_pool2d(x, out_shape, window)
    x = channels_last(x)
    y, winner = _result(out_shape, x.dtype), _result(out_shape, np.int32)
    sizes = _sizes(window)

    def work(_, start, stop):
        _max_pool2d(x[start:stop], y[start:stop], winner[start:stop], *sizes)

    _parallel.run(work, _parallel.chunks(len(x)))
    return logical(y), logical(winner)


def max_unpool2d(grad_y, winner, image_shape):
    """grad_y and winner (N, C, OH, OW) -> (N, C, H, W): every value added to its winner's place."""
    if grad_y.dtype not in FAST:
        return plain.max_unpool2d(grad_y, winner, image_shape)
    grad_y, winner = channels_last(grad_y), channels_last(winner)
    n, c, height, width = image_shape
    grad_x = _result(image_shape, grad_y.dtype)
    pixels = grad_x.reshape(n, height * width, c)

    def work(_, start, stop):
        _max_unpool2d(grad_y[start:stop], winner[start:stop], pixels[start:stop])

    _parallel.run(work, _parallel.chunks(n))
    return logical(grad_x)


def take_winners2d(x, winner):
    """x (N, C, H, W), winner (N, C, OH, OW) -> the pixels that won (N, C, OH, OW)."""
    return plain.take_winners2d(x, winner)


def sum_pool2d(x, out_shape, window):
    """x (N, C, H, W) -> the sum of each window (N, C, OH, OW); padding counts as 0."""
    if x.dtype not in FAST:
        return plain.sum_pool2d(x, out_shape, window)
    x = channels_last(x)
    y = _result(out_shape, x.dtype)
    sizes = _sizes(window)

    def work(_, start, stop):
        _sum_pool2d(x[start:stop], y[start:stop], *sizes)

    _parallel.run(work, _parallel.chunks(len(x)))
    return logical(y)


def sum_unpool2d(grad_y, image_shape, window):
    """grad_y (N, C, OH, OW) -> (N, C, H, W): each value added to every pixel of its window."""
    if grad_y.dtype not in FAST:
        return plain.sum_unpool2d(grad_y, image_shape, window)
    grad_y = channels_last(grad_y)
    grad_x = _result(image_shape, grad_y.dtype)
    sizes = _sizes(window)

    def work(_, start, stop):
        _sum_unpool2d(grad_y[start:stop], grad_x[start:stop], *sizes)

    _parallel.run(work, _parallel.chunks(len(grad_y)))
    return logical(grad_x)


def _result(shape, dtype):
    """Return an empty C-contiguous (N, H, W, C) for a logical shape (N, C, H, W)."""
    n, c, height, width = shape
    return _buffers.empty((n, height, width, c), dtype)


def _sizes(window):
    """Return (KH, KW), (SH, SW) and the padding before, (PH, PW)."""
    return window.size, window.stride, tuple(before for before, _ in window.padding)


@njit
def _max_pool2d(x, y, winner, size, stride, padding):
    images, height, width, channels = x.shape
    for n in range(images):
        for i in range(y.shape[1]):
            top = i * stride[0] - padding[0]
            for j in range(y.shape[2]):
                left = j * stride[1] - padding[1]
                first_h, first_w = max(top, 0), max(left, 0)
                best, at = y[n, i, j], winner[n, i, j]
                for c in range(channels):
                    best[c] = x[n, first_h, first_w, c]
                    at[c] = first_h * width + first_w
                for h in range(first_h, min(top + size[0], height)):
                    for w in range(first_w, min(left + size[1], width)):
                        pixel, place = x[n, h, w], h * width + w
                        for c in range(channels):
                            v, b = pixel[c], best[c]
                            wins = (v > b) | ((v != v) & (b == b))  # the first NaN wins, and shows
                            best[c] = v if wins else b
                            at[c] = place if wins else at[c]


@njit
def _max_unpool2d(grad_y, winner, grad_x):
    grad_x[:] = 0
    for n in range(grad_y.shape[0]):
        for i in range(grad_y.shape[1]):
            for j in range(grad_y.shape[2]):
                for c in range(grad_y.shape[3]):
                    grad_x[n, winner[n, i, j, c], c] += grad_y[n, i, j, c]


@njit
def _sum_pool2d(x, y, size, stride, padding):
    images, height, width, channels = x.shape
    y[:] = 0
    for n in range(images):
        for i in range(y.shape[1]):
            top = i * stride[0] - padding[0]
            for j in range(y.shape[2]):
                left = j * stride[1] - padding[1]
                total = y[n, i, j]
                for h in range(max(top, 0), min(top + size[0], height)):
                    for w in range(max(left, 0), min(left + size[1], width)):
                        pixel = x[n, h, w]
                        for c in range(channels):
                            total[c] += pixel[c]


@njit
def _sum_unpool2d(grad_y, grad_x, size, stride, padding):
    images, height, width, channels = grad_x.shape
    grad_x[:] = 0
    for n in range(images):
        for i in range(grad_y.shape[1]):
            top = i * stride[0] - padding[0]
            for j in range(grad_y.shape[2]):
                left = j * stride[1] - padding[1]
                g = grad_y[n, i, j]
                for h in range(max(top, 0), min(top + size[0], height)):
                    for w in range(max(left, 0), min(left + size[1], width)):
                        pixel = grad_x[n, h, w]
                        for c in range(channels):
                            pixel[c] += g[c]
