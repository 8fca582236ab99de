"""Convolution and matrix product on tensor cores.

A tensor core multiplies small matrices of float16, bfloat16 or TF32 (float32
with 10 bits of mantissa), adds in float32, and is about eight times as fast as
a GPU's other units.  float16 arrays always go there; float32 arrays if
`minicnn.config.matrix_precision` allows their numbers to be rounded.

tensor_cores.cu has the kernels, geometry.cuh and matrix_tiles.cuh what they rest on.
"""

import math
from typing import NamedTuple

import cupy
import numpy as np

from .. import plain, settings
from . import _geometry, _launch
from ._layout import channels_last, image_like, logical

_CAPABILITY = 80  # the first with TF32, bfloat16 and asynchronous copies
# Zeros fill up a block's tile of at least 64 filters: with 16 of them in use, the units' eightfold
# pace is down to twofold. With fewer channels, loads rather than products set the pace.
_FEWEST = 16
_ENOUGH = 256  # blocks: about two for each multiprocessor of a large GPU
_MOST_PARTS = 512  # blocks of a weight gradient, if its sum is cut
_LEAST_STAGES = 8  # that are worth a block
_STAGES, _STAGE_PIXELS, _ROW_BYTES, _THREADS = 3, 32, 128, 128  # as in matrix_tiles.cuh
_CHUNK = 16  # bytes that are copied at once
_SMALL = 64, 64  # the tile for what is small, or not aligned
_MOST_PIXELS = 1 << 31
_KINDS = {"float32": None, "tf32": "Tf32", "bfloat16": "Bfloat"}


class Point(NamedTuple):
    """The window of one pixel, which makes a convolution a matrix product."""

    size: tuple = (1,)
    stride: tuple = (1,)
    padding: tuple = ((0, 0),)
    dilation: tuple = (1,)


def applies(x, weight, groups):
    """Tell whether x and weight (an array or its shape) are for tensor cores, by type and shape."""
    shape = getattr(weight, "shape", weight)
    return (
        kind(x.dtype) is not None
        and getattr(weight, "dtype", x.dtype) == x.dtype
        and min(shape[0] // groups, shape[1]) >= _FEWEST
    )


def kind(dtype):
    """Return what the units round numbers of this type to, or None if they may or can not."""
    if _launch.capability() < _CAPABILITY:
        return None
    if dtype == np.float16:
        return "Half"
    precision = settings.precision()
    if precision not in _KINDS:  # from the environment; minicnn.config checks, too
        raise ValueError(
            f"MINICNN_MATRIX_PRECISION is one of {', '.join(_KINDS)}, got {precision!r}"
        )
    return _KINDS[precision] if dtype == np.float32 else None


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K), bias (O,) or None -> y (N, O, *OUT)."""
    y = image_like((len(x), len(weight), *out_size), x.dtype)
    if y.size:
        geometry = _geometry.forward(x.shape, len(weight), tuple(out_size), window, groups)
        if not _fits(geometry, x):
            return plain.conv(x, weight, bias, out_size, window, groups)
        filters = channels_last(weight)  # (O, *K, C/groups)
        _window_product(channels_last(x), filters, bias, y, geometry, groups)
    return logical(y)


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight -> grad_x (N, C, *IN)."""
    grad_x = image_like(image_shape, grad_y.dtype)
    if not grad_y.size:
        grad_x[...] = 0
    elif grad_x.size:
        args = tuple(image_shape), len(weight), grad_y.shape[2:], window, groups
        geometry = _geometry.backward(*args)
        if not _fits(geometry, grad_y):
            return plain.conv_grad_x(grad_y, weight, image_shape, window, groups)
        filters = weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)
        filters = cupy.ascontiguousarray(filters.transpose(0, 2, 3, 1))
        _window_product(channels_last(grad_y), filters, None, grad_x, geometry, groups)
    return logical(grad_x)


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C/groups, *K)."""
    if not (grad_y.size and x.size):
        return cupy.zeros(kernel_shape, x.dtype)
    geometry = _geometry.forward(x.shape, kernel_shape[0], grad_y.shape[2:], window, groups)
    if not _fits(geometry, x):
        return plain.conv_grad_weight(grad_y, x, kernel_shape, window, groups)
    grad = cupy.empty(kernel_shape, x.dtype)
    _weight_product(channels_last(grad_y), channels_last(x), grad, geometry, groups)
    return grad


def matmul(a, b):
    """a (I, K), b (K, J) -> (I, J), of a type with a `kind`."""
    (i, k), j = a.shape, b.shape[1]
    if not i * k * j:
        return cupy.zeros((i, j), a.dtype)
    y = cupy.empty((i, j), a.dtype)
    if a.flags.f_contiguous and not a.flags.c_contiguous:  # a transposed matrix: k goes downwards
        geometry = _geometry.forward((k, j, 1), i, (1,), Point(), 1)
        if _fits(geometry, b):
            _weight_product(a.T, cupy.ascontiguousarray(b), y, geometry, 1)
            return y
    geometry = _geometry.forward((i, k, 1), j, (1,), Point(), 1)
    if not _fits(geometry, a):
        return a @ b
    rows, columns = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b.T)
    _window_product(rows, columns, None, y, geometry, 1)
    return y


def _window_product(source, weight, bias, result, geometry, groups):
    """Fill result (N, *space, C) with the windows of source times the rows of weight."""
    columns, channels = result.shape[-1] // groups, source.shape[-1] // groups
    aligned = _aligned(source, weight, channels)
    rows, wide = _tile(geometry.rows, columns, groups * geometry.classes) if aligned else _SMALL
    tiles = -(-geometry.rows // rows), -(-columns // wide)
    if bias is not None:
        bias = cupy.ascontiguousarray(bias, result.dtype)
    name = _name("window_product", source, rows, wide, aligned)
    grid = tiles[0] * tiles[1] * groups * geometry.classes
    table = _launch.table(geometry.table, np.int32)
    args = source, weight, bias, result, table, columns, groups, *tiles
    shared = _STAGES * (rows + wide) * _ROW_BYTES
    _launch.launch("tensor_cores", name, (grid,), (_THREADS,), *args, shared=shared)


def _weight_product(grad_y, x, grad, geometry, groups):
    """Fill grad (O, C/groups, *K) with the sum over pixels of grad_y times the windows of x."""
    filters, channels = len(grad) // groups, x.shape[-1] // groups
    depth = geometry.depth
    aligned = _aligned(grad_y, x, filters, channels)
    rows, wide = _tile_of_weights(filters, depth) if aligned else _SMALL
    tiles = -(-filters // rows), -(-depth // wide)
    stages, parts = _parts(geometry.rows, tiles[0] * tiles[1] * groups)
    partial = cupy.empty((parts, groups, filters, depth), np.float32)
    name = _name("weight_product", x, rows, wide, aligned)
    table = _launch.table(geometry.table, np.int32)
    args = grad_y, x, partial, table, filters, groups, *tiles, stages
    shared = _STAGES * _STAGE_PIXELS * (rows + wide) * x.itemsize
    grid = tiles[0] * tiles[1] * groups * parts
    _launch.launch("tensor_cores", name, (grid,), (_THREADS,), *args, shared=shared)
    name = f"ordered_sum<{_launch.NAMES[grad.dtype]}>"
    args = partial, grad, parts, grad.size, depth // channels, channels
    _launch.flat("tensor_cores", name, grad.size, *args)


def _parts(pixels, tiles):
    """Return into how many parts the sum over pixels is cut, and the stages of each."""
    stages = -(-pixels // _STAGE_PIXELS)
    parts = max(1, min(_MOST_PARTS // tiles, stages // _LEAST_STAGES))
    each = -(-stages // parts)
    return each, -(-stages // each)


def _tile(rows, columns, times):
    """Return the rows and columns of a block's tile: large ones reuse more, small ones are more."""
    wide = _side(columns)
    if -(-rows // 128) * -(-columns // wide) * times >= _ENOUGH:
        return 128, wide
    return _SMALL


def _tile_of_weights(filters, depth):
    """Return the rows and columns of a tile of a weight gradient; parts make up for few tiles."""
    return _side(filters), _side(depth)


def _side(length):
    return 128 if length > 64 else 64


def _aligned(a, b, *lengths):
    """Tell whether a and b, whose runs have these lengths, are made of whole chunks."""
    whole = _CHUNK // a.itemsize
    return not any(n % whole for n in lengths) and not (a.data.ptr | b.data.ptr) % _CHUNK


def _name(function, array, rows, columns, aligned):
    """Return a kernel's name with its template arguments."""
    return f"{function}<{kind(array.dtype)}, {rows}, {columns}, {str(aligned).lower()}>"


def _fits(geometry, source):
    """Tell whether the kernels can count all pixels of the source (N, C, *space)."""
    return geometry.fits and math.prod(source.shape) // source.shape[1] < _MOST_PIXELS
