"""Convolutions that are one matrix product: windows as large as their images, and 1x1.

A window that covers its image sees each of its numbers once, so (N, *IN*C) meets (O, *K*C) and
nothing has to be gathered.  With windows of one pixel the same holds for pixels instead of images.
cuBLAS takes both, and cuts long sums into parts where there are few of them; `matmul` tells it
what may be rounded, or asks our own tensor cores' kernel.
"""

import math

import cupy

from ._layout import channels_last, logical
from .linear import matmul


def applies(image_shape, out, window, groups):
    """Tell whether the convolution of such images (N, C, *IN) to outputs (*OUT) is a product."""
    image = tuple(image_shape[2:])
    if groups > 1 or any(map(any, window.padding)):
        return False
    if set(out) == {1} and tuple(window.size) == image:
        return True
    return image == tuple(out) and set(window.size) == set(window.stride) == {1}


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C, *K), bias (O,) or None -> y (N, O, *OUT)."""
    y = matmul(_rows(x, window), _rows(weight, window).T)
    if bias is not None:
        y += bias
    return logical(y.reshape(len(x), *out_size, len(weight)))


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight (O, C, *K) -> grad_x (N, C, *IN)."""
    n, c, *image = image_shape
    grad_x = matmul(_pixels(grad_y), _rows(weight, window))
    return logical(grad_x.reshape(n, *image, c))


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C, *K)."""
    o, c, *size = kernel_shape
    grad = matmul(_pixels(grad_y).T, _rows(x, window))  # (O, *K*C)
    return cupy.ascontiguousarray(logical(grad.reshape(o, *size, c)))


def _pixels(grad_y):
    """grad_y (N, O, *OUT) -> (N*OUT, O)."""
    return channels_last(grad_y).reshape(-1, grad_y.shape[1])


def _rows(x, window):
    """x (N, C, *IN) -> (N*OUT, K*C)."""
    return channels_last(x).reshape(-1, math.prod(window.size) * x.shape[1])
