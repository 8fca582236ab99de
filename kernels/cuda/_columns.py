"""Convolution the textbook's way: launchers of columns.cu, and products by cuBLAS between them."""

import math

import cupy
import numpy as np

from .. import plain
from . import _geometry, _launch
from ._layout import channels_last, image_like, logical
from .linear import matmul

_MEMORY = 1 << 28  # bytes of columns at a time


def im2col(x, out_size, window):
    """x (N, C, *IN) -> its windows (N, C*prod(K), prod(OUT)), one in each column."""
    n, c = x.shape[:2]
    taps, outputs = math.prod(window.size), math.prod(out_size)
    if not n * c * taps * outputs or not x.size:
        return cupy.zeros((n, c * taps, outputs), x.dtype)
    geometry = _geometry.forward(x.shape, 1, out_size, window, 1)
    if not geometry.fits:
        return plain.im2col(x, out_size, window)
    columns = cupy.empty((n, c * taps, outputs), x.dtype)
    table, images = _launch.table(geometry.table, geometry.table.dtype), channels_last(x)
    name = f"im2col<{_launch.NAMES[x.dtype]}>"
    _launch.flat("columns", name, columns.size, table, images, columns, outputs, taps, columns.size)
    return columns


def col2im(columns, image_shape, out_size, window):
    """columns (N, C*prod(K), prod(OUT)) -> (N, C, *IN): each number added to its pixel."""
    if not columns.size or 0 in image_shape:
        return cupy.zeros(image_shape, columns.dtype)
    geometry = _geometry.backward(image_shape, 1, out_size, window, 1)
    if not geometry.fits:
        return plain.col2im(columns, image_shape, out_size, window)
    image = image_like(image_shape, columns.dtype)
    blocks = -(-geometry.rows * image_shape[1] // _launch.THREADS)
    _launch.launch(
        "columns",
        f"col2im<{_launch.NAMES[columns.dtype]}>",
        (min(blocks, 1 << 20), geometry.classes),
        (_launch.THREADS,),
        _launch.table(geometry.table, geometry.table.dtype),
        cupy.ascontiguousarray(columns),
        image,
        math.prod(out_size),
    )
    return logical(image)


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K), bias (O,) or None -> y (N, O, *OUT)."""
    filters, c = _filters(weight, groups), x.shape[1]
    y = image_like((len(x), len(weight), *out_size), x.dtype)
    for part in _parts(len(x), c * math.prod(window.size) * math.prod(out_size) * x.itemsize):
        columns = _by_group(im2col(x[part], out_size, window), groups)
        # (n, groups, OUT, C/groups*K) meets (groups, C/groups*K, O/groups)
        rows = matmul(columns.transpose(0, 1, 3, 2), filters.transpose(0, 2, 1))
        y[part] = rows.transpose(0, 2, 1, 3).reshape(y[part].shape)
    if bias is not None:
        y += bias
    return logical(y)


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight -> grad_x (N, C, *IN): columns back to where they came from."""
    filters, out_size = _filters(weight, groups), grad_y.shape[2:]
    n, c, *image = image_shape
    grad_x = image_like(image_shape, grad_y.dtype)
    bytes_each = c * math.prod(window.size) * math.prod(out_size) * grad_y.itemsize
    for part in _parts(n, bytes_each):
        columns = matmul(filters.transpose(0, 2, 1), _by_group(_flat(grad_y[part]), groups))
        columns = columns.reshape(len(columns), -1, columns.shape[3])
        target = grad_x[part]
        target[...] = channels_last(col2im(columns, (len(target), c, *image), out_size, window))
    return logical(grad_x)


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C/groups, *K)."""
    out_size, o = grad_y.shape[2:], kernel_shape[0]
    each = math.prod(kernel_shape[1:])
    wide = np.float64 if x.dtype == np.float64 else np.float32
    grad = cupy.zeros((groups, o // groups, each), wide)
    for part in _parts(len(x), (groups * each * math.prod(out_size) + o * each) * x.itemsize):
        columns = _by_group(im2col(x[part], out_size, window), groups)
        grads = matmul(_by_group(_flat(grad_y[part]), groups), columns.transpose(0, 1, 3, 2))
        grad += grads.sum(axis=0, dtype=wide)
    return grad.astype(x.dtype).reshape(kernel_shape)


def _parts(images, bytes_each):
    """Return slices of the batch whose columns fit in the memory that is meant for them."""
    step = max(1, _MEMORY // max(1, bytes_each))
    return [slice(i, i + step) for i in range(0, images, step)]


def _filters(weight, groups):
    """weight -> (groups, O/groups, C/groups*K)."""
    return weight.reshape(groups, len(weight) // groups, -1)


def _flat(images):
    """images (N, O, *OUT) -> (N, O, prod(OUT))."""
    return images.reshape(*images.shape[:2], -1)


def _by_group(rows, groups):
    """rows (N, R, OUT) -> (N, groups, R/groups, OUT)."""
    return rows.reshape(len(rows), groups, -1, rows.shape[2])
