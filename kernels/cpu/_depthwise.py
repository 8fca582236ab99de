"""Depthwise convolution: each filter sees one channel, so there is no matrix product in it.

Channels lie side by side in memory, so they are the vector.  With M = O/C
filters for each channel, the same loops run M times, for one filter of every
channel at a time.
"""

import numpy as np

from ._jit import njit
from ._layout import three


def taps(weight, channels):
    """weight (C*M, 1, *K) -> (M, KD, KH, KW, C)."""
    many = len(weight) // channels
    split = weight.reshape(channels, many, *three(weight.shape[2:]))
    return np.ascontiguousarray(np.moveaxis(split, 0, -1))


def conv(images, taps, y, stride, before, dilation):
    """images (N, D, H, W, C), taps (M, KD, KH, KW, C) -> y (N, OD, OH, OW, C*M), written to."""
    if len(taps) == 1:
        _conv(images, taps[0], y, stride, before, dilation)
        return
    one = np.empty((*y.shape[:4], taps.shape[4]), y.dtype)
    for m, own in enumerate(taps):
        _conv(images, own, one, stride, before, dilation)
        y[..., m :: len(taps)] = one


def conv_grad_x(grads, taps, grad_x, stride, before, dilation):
    """grads (N, OD, OH, OW, C*M), taps (M, KD, KH, KW, C) -> grad_x (N, D, H, W, C), written to."""
    grad_x[...] = 0
    for m, own in enumerate(taps):
        one = np.ascontiguousarray(grads[..., m :: len(taps)])
        _conv_grad_x(one, own, grad_x, stride, before, dilation)


def conv_grad_weight(grads, images, grad_taps, stride, before, dilation):
    """grads (N, OD, OH, OW, C*M), images (N, D, H, W, C) -> added to (M, KD, KH, KW, C)."""
    for m, own in enumerate(grad_taps):
        one = np.ascontiguousarray(grads[..., m :: len(grad_taps)])
        _conv_grad_weight(one, images, own, stride, before, dilation)


@njit
def _conv(images, taps, y, stride, before, dilation):
    depth, height, width = images.shape[1:4]
    size_d, size_h, size_w = taps.shape[:3]
    y[:] = 0
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for k in range(y.shape[3]):
                    total = y[n, i, j, k]
                    for t in range(size_d):
                        d = i * stride[0] - before[0] + t * dilation[0]
                        for u in range(size_h):
                            h = j * stride[1] - before[1] + u * dilation[1]
                            if 0 <= d < depth and 0 <= h < height:
                                for v in range(size_w):
                                    w = k * stride[2] - before[2] + v * dilation[2]
                                    if 0 <= w < width:
                                        pixel, tap = images[n, d, h, w], taps[t, u, v]
                                        for c in range(len(total)):
                                            total[c] += pixel[c] * tap[c]


@njit
def _conv_grad_x(grads, taps, grad_x, stride, before, dilation):
    depth, height, width = grad_x.shape[1:4]
    size_d, size_h, size_w = taps.shape[:3]
    for n in range(grads.shape[0]):
        for i in range(grads.shape[1]):
            for j in range(grads.shape[2]):
                for k in range(grads.shape[3]):
                    g = grads[n, i, j, k]
                    for t in range(size_d):
                        d = i * stride[0] - before[0] + t * dilation[0]
                        for u in range(size_h):
                            h = j * stride[1] - before[1] + u * dilation[1]
                            if 0 <= d < depth and 0 <= h < height:
                                for v in range(size_w):
                                    w = k * stride[2] - before[2] + v * dilation[2]
                                    if 0 <= w < width:
                                        pixel, tap = grad_x[n, d, h, w], taps[t, u, v]
                                        for c in range(len(g)):
                                            pixel[c] += g[c] * tap[c]


@njit
def _conv_grad_weight(grads, images, grad_taps, stride, before, dilation):
    depth, height, width = images.shape[1:4]
    size_d, size_h, size_w = grad_taps.shape[:3]
    for n in range(grads.shape[0]):
        for i in range(grads.shape[1]):
            for j in range(grads.shape[2]):
                for k in range(grads.shape[3]):
                    g = grads[n, i, j, k]
                    for t in range(size_d):
                        d = i * stride[0] - before[0] + t * dilation[0]
                        for u in range(size_h):
                            h = j * stride[1] - before[1] + u * dilation[1]
                            if 0 <= d < depth and 0 <= h < height:
                                for v in range(size_w):
                                    w = k * stride[2] - before[2] + v * dilation[2]
                                    if 0 <= w < width:
                                        pixel, tap = images[n, d, h, w], grad_taps[t, u, v]
                                        for c in range(len(g)):
                                            tap[c] += g[c] * pixel[c]
