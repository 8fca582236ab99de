"""Convolutions that are one matrix product: windows as large as their images, and 1x1.

A window that covers its image sees each of its numbers once, so (N, C*H*W) meets (O, C*H*W) and
nothing has to be gathered.  With windows of one pixel the same holds for pixels instead of images.
Such a product goes to the BLAS where images are so few that the generated code could not fill its
tiles, or where the partial sums of a weight gradient would be more work than their summands.

The product is cut into blocks of columns, or of rows of the weight gradient, the same ones on any
number of threads.
"""

import math

import numpy as np

from . import _buffers, _parallel
from ._layout import channels_last, logical

_BLOCK = 1 << 20  # multiplications of a block, at least
_NARROWEST = 64  # columns of one
_MANY = 16  # blocks
_FEW_ROWS = 128  # for which the BLAS is faster than generated code
_FEW_SUMMANDS = 2048  # of a weight gradient, likewise


def is_pointwise(image, out, window, groups):
    """Tell whether each output pixel sees the one pixel at its place: nothing to gather."""
    return (
        groups == 1
        and tuple(image) == tuple(out)
        and set(window.size) == set(window.stride) == {1}
        and not any(map(any, window.padding))
    )


def is_product(images, image, out, window, groups, few=_FEW_ROWS):
    """Tell whether the convolution of so many images to outputs (*OUT) is a product for here."""
    if groups > 1 or any(map(any, window.padding)) or not images:
        return False
    if set(out) == {1} and tuple(window.size) == tuple(image):
        return True
    pixels = images * math.prod(out)
    return pixels <= few and is_pointwise(image, out, window, groups)


def is_sum(images, image, out, window, groups):
    """Tell whether its weight gradient is a product for here."""
    return is_product(images, image, out, window, groups, _FEW_SUMMANDS)


def conv(x, weight, bias, out_size):
    """x (N, C, *IN), weight (O, C, *K), bias (O,) or None -> y (N, O, *OUT)."""
    rows, filters = _rows(x, weight.shape), weight.reshape(len(weight), -1)
    y = _buffers.empty((len(rows), len(filters)), x.dtype)

    def work(_, start, stop):
        np.matmul(rows, filters[start:stop].T, out=y[:, start:stop])
        if bias is not None:
            y[:, start:stop] += bias[start:stop]

    _in_blocks(work, len(filters), rows.size)
    return logical(y.reshape(len(x), *out_size, len(weight)))


def conv_grad_x(grad_y, weight, image_shape):
    """grad_y (N, O, *OUT), weight (O, C, *K) -> grad_x (N, C, *IN)."""
    grads, filters = _pixels(grad_y), weight.reshape(len(weight), -1)
    grad_x = _buffers.empty((len(grads), filters.shape[1]), grad_y.dtype)

    def work(_, start, stop):
        np.matmul(grads, filters[:, start:stop], out=grad_x[:, start:stop])

    _in_blocks(work, filters.shape[1], grads.size)
    if len(grads) == image_shape[0]:
        return logical(channels_last(grad_x.reshape(image_shape)))
    return logical(grad_x.reshape(image_shape[0], *image_shape[2:], image_shape[1]))


def conv_grad_weight(grad_y, x, kernel_shape):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C, *K)."""
    grads, rows = _pixels(grad_y), _rows(x, kernel_shape)
    grad = _buffers.empty((kernel_shape[0], rows.shape[1]), x.dtype)

    def work(_, start, stop):
        np.matmul(grads[:, start:stop].T, rows, out=grad[start:stop])

    _in_blocks(work, len(grad), rows.size)
    return grad.reshape(kernel_shape)


def _rows(x, kernel_shape):
    """x (N, C, *IN) -> its windows as rows (count, C*prod(K)), as the weights lie."""
    return x.reshape(len(x), -1) if x.shape[2:] == kernel_shape[2:] else _pixels(x)


def _pixels(x):
    """x (N, C, *spatial) -> (pixels, C)."""
    return channels_last(x).reshape(-1, x.shape[1])


def _in_blocks(work, columns, each):
    """Run ``work(block, start, stop)`` for blocks of columns of `each` multiplications."""
    most = min(_MANY, max(1, columns // _NARROWEST), max(1, columns * each // _BLOCK))
    with _parallel.one_blas_thread():
        _parallel.run(work, _parallel.chunks(columns, most))
