"""Convolution on the GPU: which of its kernels shall do it.

What is one matrix product goes to cuBLAS at once (`_products`); depthwise
filters have kernels of their own (`_depthwise`); everything else is a product
whose matrix of windows is never made: on tensor cores if their rounding is
wanted (`_tensor_cores`), or else on the ordinary units (`_implicit_gemm`).  The
textbook's way, im2col, remains for what is too large for their 32-bit places
(`_columns`), and to be read.

Each of these modules has `conv`, `conv_grad_x` and `conv_grad_weight` of the
same parameters.
"""

import cupy

from .. import plain
from . import _columns, _depthwise, _implicit_gemm, _launch, _products, _tensor_cores
from ._layout import image_like, logical


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K), bias (O,) or None -> y (N, O, *OUT)."""
    if not _launch.covers(x, weight, *([] if bias is None else [bias])):
        return plain.conv(x, weight, bias, out_size, window, groups)
    out_size = tuple(out_size)
    shape = (len(x), len(weight), *out_size)
    if 0 in shape:
        return logical(image_like(shape, x.dtype))
    way = _way(x, x.shape, weight.shape, out_size, window, groups)
    return way.conv(x, weight, bias, out_size, window, groups)


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight -> grad_x (N, C, *IN)."""
    if not _launch.covers(grad_y, weight):
        return plain.conv_grad_x(grad_y, weight, image_shape, window, groups)
    image_shape = tuple(image_shape)
    if not grad_y.size or 0 in image_shape:
        return logical(cupy.zeros((image_shape[0], *image_shape[2:], image_shape[1]), grad_y.dtype))
    way = _way(grad_y, image_shape, weight.shape, grad_y.shape[2:], window, groups)
    return way.conv_grad_x(grad_y, weight, image_shape, window, groups)


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C/groups, *K)."""
    if not _launch.covers(grad_y, x):
        return plain.conv_grad_weight(grad_y, x, kernel_shape, window, groups)
    kernel_shape = tuple(kernel_shape)
    if not grad_y.size or not x.size:
        return cupy.zeros(kernel_shape, x.dtype)
    way = _way(x, x.shape, kernel_shape, grad_y.shape[2:], window, groups)
    return way.conv_grad_weight(grad_y, x, kernel_shape, window, groups)


def im2col(x, out_size, window):
    """x (N, C, *IN) -> its windows (N, C*prod(K), prod(OUT)), one in each column."""
    if not _launch.covers(x):
        return plain.im2col(x, out_size, window)
    return _columns.im2col(x, tuple(out_size), window)


def col2im(columns, image_shape, out_size, window):
    """columns (N, C*prod(K), prod(OUT)) -> (N, C, *IN): each number added to its pixel."""
    if not _launch.covers(columns):
        return plain.col2im(columns, image_shape, out_size, window)
    return _columns.col2im(columns, tuple(image_shape), tuple(out_size), window)


def _way(array, image_shape, kernel_shape, out, window, groups):
    """Return the module whose kernels fit; the array tells the type of all numbers."""
    if _depthwise.applies(image_shape, kernel_shape, out, window, groups):
        return _depthwise
    if _products.applies(image_shape, out, window, groups):
        return _products
    if _on_tensor_cores(array, kernel_shape, groups):
        return _tensor_cores
    if _implicit_gemm.applies(image_shape, kernel_shape, out, window, groups):
        return _implicit_gemm
    return _columns


def _on_tensor_cores(array, kernel_shape, groups):
    return _tensor_cores.applies(array, kernel_shape, groups)
