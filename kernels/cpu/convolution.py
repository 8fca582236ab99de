"""Convolution on the CPU: im2col and the BLAS, as much at a time as the cache holds.

A window becomes a row of KH*KW*C numbers, and rows meet filters in a matrix
product.  Done for a whole batch at once, the rows are nine times the batch and
go through main memory; done for a block of images (or for some output rows of
one large image) that fits in the second-level cache, they never leave it.
Memory is channels-last, so one kernel row of a window, KW*C numbers, is one
contiguous run of the image.

A piece of work is always the same images, whatever the number of threads; the
weight gradient keeps one partial sum for each piece and adds them up in order.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST, channels_last, logical

_CACHE = 1 << 20  # bytes of rows that stay in a core's second-level cache


def conv2d(x, weight, bias, window, groups):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, OH, OW)."""
    if x.dtype not in FAST:
        return plain.conv2d(x, weight, bias, window, groups)
    images = channels_last(x)
    out = window.output_size("conv2d", x.shape[2:])
    y = _buffers.empty((len(images), *out, weight.shape[0]), x.dtype)
    if _is_depthwise(x.shape[1], weight.shape, groups):
        taps = _taps(weight)

        def work(_, start, stop):
            _depthwise(images[start:stop], taps, y[start:stop], *_sizes(window))
    else:
        filters = _filters(weight, groups)  # (groups, KH*KW*C/groups, O/groups)

        def work(_, start, stop):
            memory = _memory(start, stop, out, filters[0])
            for block in _blocks(start, stop, out, filters[0]):
                for g in range(groups):
                    columns = _columns(images, block, out, window, g, groups, memory)
                    target = y[block.images, block.rows, :, _part(y, g, groups)]
                    if groups == 1:
                        np.matmul(columns, filters[0], out=target.reshape(len(columns), -1))
                    else:
                        target[...] = (columns @ filters[g]).reshape(target.shape)

    with _parallel.one_blas_thread():
        _parallel.run(work, _parallel.chunks(len(images)))
    if bias is not None:
        y += bias
    return logical(y)


def conv2d_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, OH, OW), weight -> grad_x (N, C, H, W): rows back to where they came from."""
    if grad_y.dtype not in FAST:
        return plain.conv2d_grad_x(grad_y, weight, image_shape, window, groups)
    n, channels, height, width = image_shape
    grads, out = channels_last(grad_y), grad_y.shape[2:]
    grad_x = _buffers.empty((n, height, width, channels), grad_y.dtype)
    if _is_depthwise(channels, weight.shape, groups):
        taps = _taps(weight)

        def work(_, start, stop):
            _depthwise_grad_x(grads[start:stop], taps, grad_x[start:stop], *_sizes(window))
    else:
        filters = _filters(weight, groups)

        def work(_, start, stop):
            grad_x[start:stop] = 0
            for block in _blocks(start, stop, out, filters[0]):
                for g in range(groups):
                    rows = _output_rows(grads, block, g, groups)
                    columns = (rows @ filters[g].T).reshape(
                        block.count, block.bottom - block.top, out[1], *window.size, -1
                    )
                    target = grad_x[block.images]
                    _col2im(columns, target, block.top, g * columns.shape[5], *_sizes(window))

    with _parallel.one_blas_thread():
        _parallel.run(work, _parallel.chunks(n))
    return logical(grad_x)


def conv2d_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, OH, OW), x (N, C, H, W) -> grad_weight (O, C/groups, KH, KW)."""
    if x.dtype not in FAST:
        return plain.conv2d_grad_weight(grad_y, x, kernel_shape, window, groups)
    images, grads, out = channels_last(x), channels_last(grad_y), grad_y.shape[2:]
    o, c, size_h, size_w = kernel_shape
    pieces = _parallel.chunks(len(images))
    shape = (groups, size_h * size_w * c, o // groups)
    if _is_depthwise(x.shape[1], kernel_shape, groups):
        partial = np.zeros((len(pieces), size_h, size_w, o), x.dtype)

        def work(p, start, stop):
            part = slice(start, stop)
            _depthwise_grad_weight(grads[part], images[part], partial[p], *_sizes(window))
    else:
        partial = np.zeros((len(pieces), *shape), x.dtype)

        def work(p, start, stop):
            memory = _memory(start, stop, out, partial[p, 0])
            for block in _blocks(start, stop, out, partial[p, 0]):
                for g in range(groups):
                    columns = _columns(images, block, out, window, g, groups, memory)
                    partial[p, g] += columns.T @ _output_rows(grads, block, g, groups)

    with _parallel.one_blas_thread():
        _parallel.run(work, pieces)
    grad = partial.sum(axis=0)
    if partial.ndim == 4 and grad.shape != shape:
        return np.ascontiguousarray(np.moveaxis(grad, -1, 0)[:, None])
    grad = grad.reshape(groups, size_h, size_w, c, o // groups)
    return np.ascontiguousarray(grad.transpose(0, 4, 3, 1, 2)).reshape(kernel_shape)


class _Block(NamedTuple):
    """Some whole images, or some output rows of one."""

    first: int
    last: int
    top: int
    bottom: int

    @property
    def count(self):
        return self.last - self.first

    @property
    def images(self):
        return slice(self.first, self.last)

    @property
    def rows(self):
        return slice(self.top, self.bottom)


def _block_shape(out, filters):
    """Return how many images, and how many output rows of each, fit in the cache at once."""
    bytes_a_row = max(1, out[1] * filters.shape[0] * filters.itemsize)
    return max(1, _CACHE // (out[0] * bytes_a_row)), min(out[0], max(1, _CACHE // bytes_a_row))


def _blocks(start, stop, out, filters):
    """Cut images start ... stop into blocks whose columns fit in the cache."""
    images, rows = _block_shape(out, filters)
    for first in range(start, stop, images):
        for top in range(0, out[0], rows):
            yield _Block(first, min(first + images, stop), top, min(top + rows, out[0]))


def _memory(start, stop, out, filters):
    """Return room for the columns of the largest block, to be used by one after the other."""
    images, rows = _block_shape(out, filters)
    windows = min(images, stop - start) * rows * out[1]
    return _buffers.empty((windows * filters.shape[0],), filters.dtype)


def _columns(images, block, out, window, g, groups, memory):
    """images (N, H, W, C) -> the block's windows as rows (count*rows*OW, KH*KW*C/groups)."""
    channels = images.shape[3] // groups
    rows = block.bottom - block.top
    unpadded = not any(map(any, window.padding))
    if groups == 1 and unpadded and set(window.size) == set(window.stride) == {1}:
        return images[block.images, block.rows].reshape(-1, channels)  # 1x1: nothing to gather
    shape = (block.count, rows, out[1], *window.size, channels)
    columns = memory[: math.prod(shape)].reshape(shape)
    _im2col(images[block.images], columns, block.top, g * channels, *_sizes(window))
    return columns.reshape(block.count * rows * out[1], -1)


def _output_rows(grads, block, g, groups):
    """grads (N, OH, OW, O) -> the block's pixels as rows (count*rows*OW, O/groups)."""
    part = grads[block.images, block.rows, :, _part(grads, g, groups)]
    return np.ascontiguousarray(part).reshape(-1, part.shape[3])


def _part(a, g, groups):
    """Return the channels of group g."""
    each = a.shape[-1] // groups
    return slice(g * each, (g + 1) * each)


def _is_depthwise(channels, kernel_shape, groups):
    return groups == channels == kernel_shape[0] > 1


def _taps(weight):
    """Depthwise weight (C, 1, KH, KW) -> (KH, KW, C)."""
    return np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))


def _filters(weight, groups):
    """weight (O, C/groups, KH, KW) -> (groups, KH*KW*C/groups, O/groups)."""
    o, c, size_h, size_w = weight.shape
    split = weight.reshape(groups, o // groups, c, size_h, size_w)
    return np.ascontiguousarray(split.transpose(0, 3, 4, 2, 1)).reshape(
        groups, size_h * size_w * c, o // groups
    )


def _sizes(window):
    """Return (SH, SW), the padding before (PH, PW), and (DH, DW)."""
    return window.stride, tuple(before for before, _ in window.padding), window.dilation


# Indices that may be negative count from the end, and the test for it keeps a loop from being
# vectorised.  Unsigned ones need no test: these two copy 4 to 10 times faster for it.
@njit
def _copy(target, to, source, at, count):
    to, at = np.uint64(to), np.uint64(at)
    for k in range(np.uint64(count)):
        target[to + k] = source[at + k]


@njit
def _add(target, to, source, at, count):
    to, at = np.uint64(to), np.uint64(at)
    for k in range(np.uint64(count)):
        target[to + k] += source[at + k]


@njit
def _im2col(images, columns, top, first, stride, padding, dilation):
    """Copy windows into rows; channels first ... first + C' of the image, output row `top` on."""
    count, rows, out_width, size_h, size_w, channels = columns.shape
    height, width, step = images.shape[1:]
    whole = dilation[1] == 1 and channels == step
    source, target = images.reshape(-1), columns.reshape(-1)
    run = size_w * channels
    for n in range(count):
        for r in range(rows):
            for u in range(size_h):
                h = (top + r) * stride[0] - padding[0] + u * dilation[0]
                line = (n * height + h) * width * step + first
                for j in range(out_width):
                    to = (((n * rows + r) * out_width + j) * size_h + u) * run
                    left = j * stride[1] - padding[1]
                    if h < 0 or h >= height:
                        target[to : to + run] = 0
                    elif whole and left >= 0 and left + size_w <= width:
                        _copy(target, to, source, line + left * step, run)
                    else:
                        for v in range(size_w):
                            w = left + v * dilation[1]
                            into = to + v * channels
                            if 0 <= w < width:
                                _copy(target, into, source, line + w * step, channels)
                            else:
                                target[into : into + channels] = 0


@njit
def _col2im(columns, grad_x, top, first, stride, padding, dilation):
    """Add rows back to where `_im2col` takes them from."""
    count, rows, out_width, size_h, size_w, channels = columns.shape
    height, width, step = grad_x.shape[1:]
    whole = dilation[1] == 1 and channels == step
    source, target = columns.reshape(-1), grad_x.reshape(-1)
    run = size_w * channels
    for n in range(count):
        for r in range(rows):
            for u in range(size_h):
                h = (top + r) * stride[0] - padding[0] + u * dilation[0]
                if h < 0 or h >= height:
                    continue
                line = (n * height + h) * width * step + first
                for j in range(out_width):
                    at = (((n * rows + r) * out_width + j) * size_h + u) * run
                    left = j * stride[1] - padding[1]
                    if whole and left >= 0 and left + size_w <= width:
                        _add(target, line + left * step, source, at, run)
                        continue
                    for v in range(size_w):
                        w = left + v * dilation[1]
                        if 0 <= w < width:
                            _add(target, line + w * step, source, at + v * channels, channels)


@njit
def _depthwise(images, taps, y, stride, padding, dilation):
    """Each channel has a filter of its own; channels lie side by side, so they are the vector."""
    height, width = images.shape[1:3]
    y[:] = 0
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                total = y[n, i, j]
                for u in range(taps.shape[0]):
                    h = i * stride[0] - padding[0] + u * dilation[0]
                    for v in range(taps.shape[1]):
                        w = j * stride[1] - padding[1] + v * dilation[1]
                        if 0 <= h < height and 0 <= w < width:
                            pixel, tap = images[n, h, w], taps[u, v]
                            for c in range(len(total)):
                                total[c] += pixel[c] * tap[c]


@njit
def _depthwise_grad_x(grads, taps, grad_x, stride, padding, dilation):
    height, width = grad_x.shape[1:3]
    grad_x[:] = 0
    for n in range(grads.shape[0]):
        for i in range(grads.shape[1]):
            for j in range(grads.shape[2]):
                g = grads[n, i, j]
                for u in range(taps.shape[0]):
                    h = i * stride[0] - padding[0] + u * dilation[0]
                    for v in range(taps.shape[1]):
                        w = j * stride[1] - padding[1] + v * dilation[1]
                        if 0 <= h < height and 0 <= w < width:
                            pixel, tap = grad_x[n, h, w], taps[u, v]
                            for c in range(len(g)):
                                pixel[c] += g[c] * tap[c]


@njit
def _depthwise_grad_weight(grads, images, grad_taps, stride, padding, dilation):
    height, width = images.shape[1:3]
    for n in range(grads.shape[0]):
        for i in range(grads.shape[1]):
            for j in range(grads.shape[2]):
                g = grads[n, i, j]
                for u in range(grad_taps.shape[0]):
                    h = i * stride[0] - padding[0] + u * dilation[0]
                    for v in range(grad_taps.shape[1]):
                        w = j * stride[1] - padding[1] + v * dilation[1]
                        if 0 <= h < height and 0 <= w < width:
                            pixel, tap = images[n, h, w], grad_taps[u, v]
                            for c in range(len(g)):
                                tap[c] += g[c] * pixel[c]
