"""Convolution on the CPU: generated vector code, or im2col and the BLAS.

Where there is enough to do, `vector` writes code for the shape at hand (float32).  What is one
matrix product goes to the BLAS at once (`_products`), other depthwise filters have loops of their
own (`_depthwise`), and the rest goes the textbook's way, as much at a time as the cache holds.

A window becomes a row of KD*KH*KW*C numbers, and rows meet filters in a matrix
product.  Done for a whole batch at once, the rows are nine times the batch and
go through main memory; done for a block of images (or for some output rows of
one large image) that fits in the second-level cache, they never leave it.
Memory is channels-last, so one kernel row of a window, KW*C numbers, is one
contiguous run of the image.

All is written for volumes: an image is a volume one pixel deep, a signal an
image one pixel high, and neither view costs anything.

A piece of work is always the same images, whatever the number of threads; the
weight gradient keeps one partial sum for each piece and adds them up in order.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import plain
from . import _buffers, _depthwise, _parallel, _products
from ._geometry import in_rows, is_depthwise, is_generated, steps_of, vector_steps, volume
from ._jit import njit
from ._layout import FAST, channels_last, logical, three, volumes
from ._products import is_pointwise
from .vector import bands

_NEAR = 1 << 17  # bytes of pixels that a weight gradient of 1x1 walks over again and again
_CACHE = 1 << 20  # bytes of rows that stay in a core's second-level cache


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K), bias (O,) or None -> y (N, O, *OUT)."""
    if x.dtype not in FAST:
        return plain.conv(x, weight, bias, out_size, window, groups)
    if _products.is_product(len(x), x.shape[2:], out_size, window, groups):
        return _products.conv(x, weight, bias, out_size)
    images, out, steps = volumes(channels_last(x)), three(out_size), steps_of(window)
    y = _buffers.empty((len(images), *out, weight.shape[0]), x.dtype)
    if is_generated(y, weight.shape, groups):
        images, target = in_rows(images, y, window, groups)
        bands.conv(images, volume(weight), bias, target, vector_steps(window), groups)
        return logical(y.reshape(len(y), *out_size, weight.shape[0]))
    if is_depthwise(weight.shape, groups):
        taps = _depthwise.taps(weight, groups)

        def work(_, start, stop):
            _depthwise.conv(images[start:stop], taps, y[start:stop], *steps)
    else:
        filters = _filters(weight, groups)  # (groups, KD*KH*KW*C/groups, O/groups)
        gather = _gatherer(images, out, window, groups)
        pixels = _rows(y)

        def work(_, start, stop):
            memory = _memory(start, stop, out, filters[0])
            for block in _blocks(start, stop, out, filters[0]):
                for g in range(groups):
                    columns = gather(block, g, memory)
                    target = pixels[*block, _part(y, g, groups)]
                    if groups == 1:
                        np.matmul(columns, filters[0], out=target.reshape(len(columns), -1))
                    else:
                        target[...] = (columns @ filters[g]).reshape(target.shape)

    with _parallel.one_blas_thread():
        _parallel.run(work, _parallel.chunks(len(images)))
    if bias is not None:
        y += bias
    return logical(y.reshape(len(y), *out_size, weight.shape[0]))


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight -> grad_x (N, C, *IN): rows back to where they came from."""
    if grad_y.dtype not in FAST:
        return plain.conv_grad_x(grad_y, weight, image_shape, window, groups)
    if _products.is_product(len(grad_y), image_shape[2:], grad_y.shape[2:], window, groups):
        return _products.conv_grad_x(grad_y, weight, image_shape)
    n, channels, *space = image_shape
    grads, size, steps = volumes(channels_last(grad_y)), three(window.size), steps_of(window)
    out = grads.shape[1:4]
    grad_x = _buffers.empty((n, *three(space), channels), grad_y.dtype)
    if is_generated(grads, weight.shape, groups):
        target, grads = in_rows(grad_x, grads, window, groups)
        bands.conv_grad_x(grads, volume(weight), target, vector_steps(window), groups)
        return logical(grad_x.reshape(n, *space, channels))
    if is_depthwise(weight.shape, groups):
        taps = _depthwise.taps(weight, groups)

        def work(_, start, stop):
            _depthwise.conv_grad_x(grads[start:stop], taps, grad_x[start:stop], *steps)
    else:
        filters = _filters(weight, groups)
        gathers = not is_pointwise(image_shape[2:], grad_y.shape[2:], window, groups)

        def work(_, start, stop):
            if gathers:
                grad_x[start:stop] = 0
            for block in _blocks(start, stop, out, filters[0]):
                for g in range(groups):
                    columns = _output_rows(grads, block, g, groups) @ filters[g].T
                    if gathers:
                        columns = columns.reshape(*block.shape, *size, channels // groups)
                        corner = block.rows.start, block.windows.start
                        _col2im(columns, grad_x[block.images], *corner, g, out[1], *steps)
                    else:
                        target = _rows(grad_x)[block]
                        target[...] = columns.reshape(target.shape)

    with _parallel.one_blas_thread():
        _parallel.run(work, _parallel.chunks(n))
    return logical(grad_x.reshape(n, *space, channels))


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C/groups, *K)."""
    if x.dtype not in FAST:
        return plain.conv_grad_weight(grad_y, x, kernel_shape, window, groups)
    if _products.is_sum(len(x), x.shape[2:], grad_y.shape[2:], window, groups):
        return _products.conv_grad_weight(grad_y, x, kernel_shape)
    images, grads = volumes(channels_last(x)), volumes(channels_last(grad_y))
    out, size, steps = grads.shape[1:4], three(window.size), steps_of(window)
    o, c = kernel_shape[:2]
    if is_generated(grads, kernel_shape, groups):
        steps = vector_steps(window)
        images, grads = in_rows(images, grads, window, groups, _NEAR)
        grad = bands.conv_grad_weight(grads, images, (o, c, *size), steps, groups)
        return grad.reshape(kernel_shape)
    pieces = _parallel.chunks(len(images))
    if is_depthwise(kernel_shape, groups):
        partial = np.zeros((len(pieces), o // groups, *size, groups), x.dtype)

        def work(p, start, stop):
            part = slice(start, stop)
            _depthwise.conv_grad_weight(grads[part], images[part], partial[p], *steps)
    else:
        gather = _gatherer(images, out, window, groups)
        partial = np.zeros((len(pieces), groups, math.prod(window.size) * c, o // groups), x.dtype)

        def work(p, start, stop):
            memory = _memory(start, stop, out, partial[p, 0])
            for block in _blocks(start, stop, out, partial[p, 0]):
                for g in range(groups):
                    columns = gather(block, g, memory)
                    partial[p, g] += columns.T @ _output_rows(grads, block, g, groups)

    with _parallel.one_blas_thread():
        _parallel.run(work, pieces)
    grad = partial.sum(axis=0)
    if is_depthwise(kernel_shape, groups):
        grad = np.moveaxis(grad, -1, 0)  # (C, O/C, KD, KH, KW)
    else:
        grad = grad.reshape(groups, math.prod(window.size), c, o // groups).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(grad).reshape(kernel_shape)


def im2col(x, out_size, window):
    """x (N, C, *IN) -> its windows (N, C*prod(K), prod(OUT)), for people to look at."""
    return plain.im2col(x, out_size, window)


def col2im(columns, image_shape, out_size, window):
    """columns (N, C*prod(K), prod(OUT)) -> (N, C, *IN): each number added to its pixel."""
    return plain.col2im(columns, image_shape, out_size, window)


def _rows(images):
    """images (N, D, H, W, C) -> (N, D*H, W, C): all rows of pixels of an image."""
    n, depth, height, width, channels = images.shape
    return images.reshape(n, depth * height, width, channels)


class _Block(NamedTuple):
    """Some whole images, some whole output rows of one, or some windows of one output row."""

    images: slice
    rows: slice
    windows: slice

    @property
    def shape(self):
        return tuple(part.stop - part.start for part in self)


def _block_shape(out, filters):
    """Return how many images, rows of each and windows of a row fit in the cache at once."""
    rows = out[0] * out[1]
    bytes_a_window = max(1, filters.shape[0] * filters.itemsize)
    bytes_a_row = max(1, out[2] * bytes_a_window)
    return (
        max(1, _CACHE // (rows * bytes_a_row)),
        min(rows, max(1, _CACHE // bytes_a_row)),
        min(out[2], max(1, _CACHE // bytes_a_window)),
    )


def _blocks(start, stop, out, filters):
    """Cut images start ... stop into blocks whose columns fit in the cache."""
    images, rows, windows = _block_shape(out, filters)
    last_row, last_window = out[0] * out[1], out[2]
    for n in range(start, stop, images):
        for r in range(0, last_row, rows):
            for j in range(0, last_window, windows):
                yield _Block(
                    slice(n, min(n + images, stop)),
                    slice(r, min(r + rows, last_row)),
                    slice(j, min(j + windows, last_window)),
                )


def _memory(start, stop, out, filters):
    """Return room for the columns of the largest block, to be used by one after the other."""
    images, rows, windows = _block_shape(out, filters)
    count = min(images, stop - start) * rows * windows
    return _buffers.empty((count * filters.shape[0],), filters.dtype)


def _gatherer(images, out, window, groups):
    """Return (block, g, memory) -> its windows as rows (count, KD*KH*KW*C/groups)."""
    channels = images.shape[4] // groups
    size, steps = three(window.size), steps_of(window)

    def gather(block, g, memory):
        shape = (*block.shape, *size, channels)
        columns = memory[: math.prod(shape)].reshape(shape)
        corner = block.rows.start, block.windows.start
        _im2col(images[block.images], columns, *corner, g, out[1], *steps)
        return columns.reshape(math.prod(shape[:3]), -1)

    def take(block, g, memory):
        return _rows(images)[block].reshape(-1, channels)

    pointwise = is_pointwise(images.shape[1:4], out, window, groups)
    return take if pointwise else gather


def _output_rows(grads, block, g, groups):
    """grads (N, OD, OH, OW, O) -> the block's pixels as rows (count, O/groups)."""
    part = _rows(grads)[*block, _part(grads, g, groups)]
    return np.ascontiguousarray(part).reshape(-1, part.shape[3])


def _part(a, g, groups):
    """Return the channels of group g."""
    each = a.shape[-1] // groups
    return slice(g * each, (g + 1) * each)


def _filters(weight, groups):
    """weight (O, C/groups, *K) -> (groups, prod(K)*C/groups, O/groups)."""
    o, c = weight.shape[:2]
    taps = math.prod(weight.shape[2:])
    split = weight.reshape(groups, o // groups, c, taps).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(split).reshape(groups, taps * c, o // groups)


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
def _whole(windows, first_w, step, width, size_w):
    """Return from which window to which one all of each lies inside a row of pixels."""
    if width < size_w:
        return windows, windows
    start = min(windows, max(0, -(first_w // step)))
    return start, min(windows, max(start, (width - size_w - first_w) // step + 1))


@njit
def _im2col(images, columns, top, left, g, out_height, stride, before, dilation):
    """Copy windows into rows; group g's channels, from output row `top`, window `left` on."""
    count, rows, windows, size_d, size_h, size_w, channels = columns.shape
    depth, height, width, pixel = images.shape[1:]
    source, target = images.reshape(-1), columns.reshape(-1)
    run, to_next = size_w * channels, size_d * size_h * size_w * channels
    first_w, start, stop = left * stride[2] - before[2], windows, windows
    if dilation[2] == 1 and channels == pixel:
        start, stop = _whole(windows, first_w, stride[2], width, size_w)
    for n in range(count):
        for r in range(rows):
            first_d = (top + r) // out_height * stride[0] - before[0]
            first_h = (top + r) % out_height * stride[1] - before[1]
            for t in range(size_d):
                d = first_d + t * dilation[0]
                for u in range(size_h):
                    h = first_h + u * dilation[1]
                    to = (n * rows + r) * windows * to_next + (t * size_h + u) * run
                    if not (0 <= d < depth and 0 <= h < height):
                        for j in range(windows):
                            target[to + j * to_next : to + j * to_next + run] = 0
                        continue
                    line = ((n * depth + d) * height + h) * width * pixel + g * channels
                    for j in range(start, stop):
                        at = line + (first_w + j * stride[2]) * pixel
                        _copy(target, to + j * to_next, source, at, run)
                    for k in range(start + windows - stop):  # those that stick out, or have holes
                        j = k if k < start else k - start + stop
                        for v in range(size_w):
                            w = first_w + j * stride[2] + v * dilation[2]
                            into = to + j * to_next + v * channels
                            if 0 <= w < width:
                                _copy(target, into, source, line + w * pixel, channels)
                            else:
                                target[into : into + channels] = 0


@njit
def _col2im(columns, grad_x, top, left, g, out_height, stride, before, dilation):
    """Add rows back to where `_im2col` takes them from."""
    count, rows, windows, size_d, size_h, size_w, channels = columns.shape
    depth, height, width, pixel = grad_x.shape[1:]
    source, target = columns.reshape(-1), grad_x.reshape(-1)
    run, to_next = size_w * channels, size_d * size_h * size_w * channels
    first_w, start, stop = left * stride[2] - before[2], windows, windows
    if dilation[2] == 1 and channels == pixel:
        start, stop = _whole(windows, first_w, stride[2], width, size_w)
    for n in range(count):
        for r in range(rows):
            first_d = (top + r) // out_height * stride[0] - before[0]
            first_h = (top + r) % out_height * stride[1] - before[1]
            for t in range(size_d):
                d = first_d + t * dilation[0]
                for u in range(size_h):
                    h = first_h + u * dilation[1]
                    if not (0 <= d < depth and 0 <= h < height):
                        continue
                    at = (n * rows + r) * windows * to_next + (t * size_h + u) * run
                    line = ((n * depth + d) * height + h) * width * pixel + g * channels
                    for j in range(start, stop):
                        to = line + (first_w + j * stride[2]) * pixel
                        _add(target, to, source, at + j * to_next, run)
                    for k in range(start + windows - stop):
                        j = k if k < start else k - start + stop
                        for v in range(size_w):
                            w = first_w + j * stride[2] + v * dilation[2]
                            if 0 <= w < width:
                                there = at + j * to_next + v * channels
                                _add(target, line + w * pixel, source, there, channels)
