"""Depthwise convolution: launchers of depthwise.cu, which explains it."""

import math

import cupy

from . import _geometry, _launch
from ._filters import Chunks, pack_size, sum_chunks
from ._layout import channels_last, image_like, logical

_RUN, _LANES, _TAPS = 4, 32, 9  # as in depthwise.cu: pixels of a thread; a block of the gradient
_BLOCKS = 1024  # of a weight gradient
_SHORTEST = 256  # pixels of one of its chunks


def applies(image_shape, kernel_shape, out, window, groups):
    """Tell whether each output channel sees one of several input channels."""
    if kernel_shape[1] != 1 or groups == 1:
        return False
    return (
        _geometry.forward(image_shape, kernel_shape[0], out, window, groups).fits
        and _geometry.backward(image_shape, kernel_shape[0], out, window, groups).fits
    )


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (C*M, 1, *K), bias (C*M,) or None -> y (N, C*M, *OUT)."""
    y = image_like((len(x), len(weight), *out_size), x.dtype)
    geometry = _geometry.forward(x.shape, len(weight), out_size, window, groups)
    _gather(geometry, x, weight, bias, y, 1, len(weight) // groups)
    return logical(y)


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, C*M, *OUT), weight (C*M, 1, *K) -> grad_x (N, C, *IN)."""
    grad_x = image_like(image_shape, grad_y.dtype)
    geometry = _geometry.backward(image_shape, len(weight), grad_y.shape[2:], window, groups)
    _gather(geometry, grad_y, weight, None, grad_x, len(weight) // groups, 1)
    return logical(grad_x)


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, C*M, *OUT), x (N, C, *IN) -> grad_weight (C*M, 1, *K)."""
    o, k = kernel_shape[0], math.prod(kernel_shape[2:])
    grads, images = channels_last(grad_y), channels_last(x)
    geometry = _geometry.forward(x.shape, o, grad_y.shape[2:], window, groups)
    v = pack_size(o, grads, images) if o == groups else 1
    blocks = -(-o // (_LANES * v)), -(-k // _TAPS)
    chunks = Chunks.of(geometry.rows, _BLOCKS // math.prod(blocks), _SHORTEST)
    partial = chunks.room(k * o, x.dtype)
    _launch.launch(
        "depthwise",
        f"depthwise_weight<{_launch.NAMES[x.dtype]}, {v}>",
        (*blocks, chunks.pieces),
        (256,),
        _launch.table(geometry.table, geometry.table.dtype),
        images,
        grads,
        partial,
        o // groups,
        chunks.length,
    )
    return sum_chunks(partial, chunks, kernel_shape, 1, x.dtype)


def _gather(geometry, source, weight, bias, result, sources, repeats):
    """Launch `depthwise` for all classes; sources and repeats are explained there."""
    images, channels = channels_last(source), result.shape[-1]
    filters = cupy.ascontiguousarray(weight.reshape(len(weight), -1).T)  # (K, O)
    v = pack_size(channels, images, filters, result) if sources == repeats == 1 else 1
    threads = -(-geometry.rows // _RUN) * (channels // v)
    _launch.launch(
        "depthwise",
        f"depthwise<{_launch.NAMES[source.dtype]}, {v}>",
        (-(-threads // _launch.THREADS), geometry.classes),
        (_launch.THREADS,),
        _launch.table(geometry.table, geometry.table.dtype),
        images,
        filters,
        None if bias is None else cupy.ascontiguousarray(bias),
        result,
        sources,
        repeats,
    )
