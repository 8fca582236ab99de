"""Depthwise convolution: each filter sees one channel, so there is no matrix product in it.

Channels lie side by side in memory, so they are the vector; but they may be few, and loops over
a few numbers take longer to start than to run.  So a row of windows is computed at once, as one
row of OW*C numbers, tap after tap:

    y[j, :] += x[j*SH + u*DH, the pixels that tap (u, v) meets] * tap[u, v], repeated OW times

With a stride those pixels lie apart.  Therefore an image is first copied, with its padding, so
that they lie side by side: first the columns 0, SW, 2 SW, ..., then 1, SW + 1, ...  Such a row is
called a lane; what tap (u, v) meets is a part of lane v*DW % SW, from column v*DW // SW on.  The
gradients go the same way, the one of x back from lanes to columns.

With M = O/C filters for each channel, all that is done M times, for one filter of every channel
at a time.
"""

import numpy as np

from ._jit import njit
from ._layout import three

_WIDE = 512  # numbers of a row that are computed at once, about: they stay in the first cache


def taps(weight, channels):
    """weight (C*M, 1, *K) -> (M, KD, KH, KW, C)."""
    many = len(weight) // channels
    split = weight.reshape(channels, many, *three(weight.shape[2:]))
    return np.ascontiguousarray(np.moveaxis(split, 0, -1))


def conv(images, taps, y, stride, before, dilation):
    """images (N, D, H, W, C), taps (M, KD, KH, KW, C) -> y (N, OD, OH, OW, C*M), written to."""
    lanes = _lanes(images.shape, taps.shape, y.shape[3], stride[2], dilation[2], y.dtype)
    for m, own in enumerate(taps):
        one = y if len(taps) == 1 else np.empty((*y.shape[:4], taps.shape[4]), y.dtype)
        _conv(images, _repeated(own, y.shape[3]), one, lanes, stride, before, dilation)
        if one is not y:
            y[..., m :: len(taps)] = one


def conv_grad_x(grads, taps, grad_x, stride, before, dilation):
    """grads (N, OD, OH, OW, C*M), taps (M, KD, KH, KW, C) -> grad_x (N, D, H, W, C), written to."""
    *_, out_depth, out_height, out_width, _ = grads.shape
    reach = (taps.shape[3] - 1) * dilation[2] // stride[2]  # columns between a tap and the first
    padded = out_depth, out_height, out_width + 2 * reach, grad_x.shape[4]
    row = np.empty((out_width + reach) * grad_x.shape[4], grads.dtype)
    for m, own in enumerate(taps):
        one = np.ascontiguousarray(grads[..., m :: len(taps)])
        tiles = _repeated(own, out_width + reach)
        memory = np.zeros(padded, grads.dtype)
        _conv_grad_x(one, tiles, grad_x, memory, row, stride, before, dilation, m > 0)


def conv_grad_weight(grads, images, grad_taps, stride, before, dilation):
    """grads (N, OD, OH, OW, C*M), images (N, D, H, W, C) -> added to (M, KD, KH, KW, C)."""
    out_width = grads.shape[3]
    lanes = _lanes(images.shape, grad_taps.shape, out_width, stride[2], dilation[2], grads.dtype)
    for m, own in enumerate(grad_taps):
        one = np.ascontiguousarray(grads[..., m :: len(grad_taps)])
        sums = np.empty_like(_repeated(own, out_width))
        _conv_grad_weight(one, images, sums, own, lanes, stride, before, dilation)


def _lanes(images, taps, out_width, stride, dilation, dtype):
    """Return room for an image (D, H, W, C) in lanes: (D, H, SW, columns of a lane, C)."""
    columns = out_width + (taps[3] - 1) * dilation // stride
    return np.empty((*images[1:3], stride, columns, images[4]), dtype)


def _repeated(taps, width):
    """taps (KD, KH, KW, C) -> each of them again and again: (KD, KH, KW, about _WIDE)."""
    return np.tile(taps, max(1, min(width, _WIDE // max(1, taps.shape[3]))))


@njit
def _add_products(total, a, at_a, b, at_b, count):
    """Add ``a * b`` to a row for each of `count` parts of a and of b."""
    size, k = len(total), 0
    while k + 3 <= count:  # three at a time: the row is loaded and stored less often
        a0, b0 = a[at_a[k] : at_a[k] + size], b[at_b[k] : at_b[k] + size]
        a1, b1 = a[at_a[k + 1] : at_a[k + 1] + size], b[at_b[k + 1] : at_b[k + 1] + size]
        a2, b2 = a[at_a[k + 2] : at_a[k + 2] + size], b[at_b[k + 2] : at_b[k + 2] + size]
        for i in range(size):
            total[i] += a0[i] * b0[i] + a1[i] * b1[i] + a2[i] * b2[i]
        k += 3
    while k < count:
        a0, b0 = a[at_a[k] : at_a[k] + size], b[at_b[k] : at_b[k] + size]
        for i in range(size):
            total[i] += a0[i] * b0[i]
        k += 1


@njit
def _cut(image, lanes, before):
    """Copy an image into lanes, with zeros for its padding."""
    width, stride = image.shape[2], lanes.shape[2]
    for d in range(lanes.shape[0]):
        for h in range(lanes.shape[1]):
            for p in range(stride):
                for q in range(lanes.shape[3]):
                    w, lane = q * stride + p - before, lanes[d, h, p, q]
                    if 0 <= w < width:
                        pixel = image[d, h, w]
                        for c in range(len(lane)):
                            lane[c] = pixel[c]
                    else:
                        lane[:] = 0


@njit
def _conv(images, tiles, y, lanes, stride, before, dilation):
    depth, height, _, columns, channels = lanes.shape
    size_d, size_h, size_w, wide = tiles.shape
    length = y.shape[3] * channels
    source, factors, target = lanes.reshape(-1), tiles.reshape(-1), y.reshape(-1)
    at_x, at_tile = np.empty((2, size_d * size_h * size_w), np.int64)
    for n in range(y.shape[0]):
        _cut(images[n], lanes, before[2])
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                count = 0
                for t in range(size_d):
                    d = i * stride[0] - before[0] + t * dilation[0]
                    for u in range(size_h):
                        h = j * stride[1] - before[1] + u * dilation[1]
                        if 0 <= d < depth and 0 <= h < height:
                            for v in range(size_w):
                                lane, q = v * dilation[2] % stride[2], v * dilation[2] // stride[2]
                                row = (d * height + h) * stride[2] + lane
                                at_x[count] = (row * columns + q) * channels
                                at_tile[count] = ((t * size_h + u) * size_w + v) * wide
                                count += 1
                row = ((n * y.shape[1] + i) * y.shape[2] + j) * length
                for start in range(0, length, wide):
                    total = target[row + start : row + min(start + wide, length)]
                    total[:] = 0
                    _add_products(total, source, at_x, factors, at_tile, count)
                    at_x[:count] += wide


@njit
def _conv_grad_x(grads, tiles, grad_x, padded, row, stride, before, dilation, adds):
    depth, height, _, channels = grad_x.shape[1:]
    out_depth, out_height, columns = padded.shape[:3]
    size_d, size_h, size_w, wide = tiles.shape
    reach = (columns - grads.shape[3]) // 2
    source, factors, length = padded.reshape(-1), tiles.reshape(-1), len(row)
    at_g, at_tile = np.empty((2, size_d * size_h * size_w), np.int64)
    for n in range(grads.shape[0]):
        padded[:, :, reach : columns - reach] = grads[n]
        for d in range(depth):
            for h in range(height):
                for lane in range(stride[2]):
                    count = 0
                    for t in range(size_d):
                        i, more_i = divmod(d + before[0] - t * dilation[0], stride[0])
                        for u in range(size_h):
                            j, more_j = divmod(h + before[1] - u * dilation[1], stride[1])
                            if more_i or more_j or not (0 <= i < out_depth and 0 <= j < out_height):
                                continue
                            for v in range(size_w):
                                q, own = v * dilation[2] // stride[2], v * dilation[2] % stride[2]
                                if own == lane:
                                    to = (i * out_height + j) * columns + reach - q
                                    at_g[count] = to * channels
                                    at_tile[count] = ((t * size_h + u) * size_w + v) * wide
                                    count += 1
                    row[:] = 0
                    for start in range(0, length, wide):
                        total = row[start : start + wide]
                        _add_products(total, source, at_g, factors, at_tile, count)
                        at_g[:count] += wide
                    _put(row, grad_x[n, d, h], lane - before[2], stride[2], adds)


@njit
def _put(row, pixels, first, stride, adds):
    """Write a lane's columns to the pixels first, first + stride, ..., or add them."""
    width, channels = pixels.shape
    columns = len(row) // channels
    for w in range(first % stride, width, stride):
        pixel, q = pixels[w], (w - first) // stride
        if not adds:
            pixel[:] = 0
        if q < columns:
            column = row[q * channels : (q + 1) * channels]
            for c in range(channels):
                pixel[c] += column[c]


@njit
def _conv_grad_weight(grads, images, sums, grad_taps, lanes, stride, before, dilation):
    depth, height, _, columns, channels = lanes.shape
    size_d, size_h, size_w, wide = sums.shape
    length = grads.shape[3] * channels
    source, given = lanes.reshape(-1), grads.reshape(-1)
    at_g, at_x = np.empty((2, grads.shape[2]), np.int64)
    for n in range(grads.shape[0]):
        _cut(images[n], lanes, before[2])
        sums[:] = 0
        for t in range(size_d):
            for u in range(size_h):
                for v in range(size_w):
                    lane, q = v * dilation[2] % stride[2], v * dilation[2] // stride[2]
                    for i in range(grads.shape[1]):
                        d, count = i * stride[0] - before[0] + t * dilation[0], 0
                        for j in range(grads.shape[2]):
                            h = j * stride[1] - before[1] + u * dilation[1]
                            if 0 <= d < depth and 0 <= h < height:
                                row = (d * height + h) * stride[2] + lane
                                at_x[count] = (row * columns + q) * channels
                                at_g[count] = length * (
                                    (n * grads.shape[1] + i) * grads.shape[2] + j
                                )
                                count += 1
                        for start in range(0, length, wide):
                            total = sums[t, u, v, : min(wide, length - start)]
                            _add_products(total, given, at_g, source, at_x, count)
                            at_g[:count] += wide
                            at_x[:count] += wide
                    for start in range(0, wide, channels):
                        for c in range(channels):
                            grad_taps[t, u, v, c] += sums[t, u, v, start + c]
