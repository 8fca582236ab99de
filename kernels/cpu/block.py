"""Convolution, batch normalisation and ReLU in few sweeps: what most networks are made of.

Done one after the other, each of the three reads and writes the whole batch, forward and
backward.  Here a convolution's output is summed up while it is still in the cache, normalisation
and ReLU are one sweep, and on the way back the gradient by the convolution's output never is in
main memory at all: it is formed for some images, seen by the weight gradient and by the input
gradient, and overwritten by that of the next images.

`kernels.plain.block` has the formulas. What `vector` has no code for is computed one by one.
"""

import functools

import numpy as np

from .. import settings
from . import _buffers, _parallel, _sweeps
from ._geometry import is_generated, vector_steps, volume
from ._layout import channels_last, logical, three, volumes
from .activation import relu, relu_grad
from .convolution import conv, conv_grad_weight, conv_grad_x
from .normalization import moments, normalize, normalize_grad_x, normalize_sums
from .vector import channels, direct, winograd
from .vector.program import Prepared, left_by, of_thread, run

_NEAR = 1 << 16  # bytes of gradients that wait in a thread's own memory
_CACHE = 1 << 18  # bytes of a convolution's output that are summed up while in the cache


def conv_moments(x, weight, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K) -> y (N, O, *OUT), its mean and variance (1, O)."""
    y = _buffers.empty((len(x), *three(out_size), len(weight)), x.dtype)
    tile = _sweeps.tile_for(y, False, least=1)
    if tile is None or not is_generated(y, weight.shape, groups):
        y = conv(x, weight, None, out_size, window, groups)
        return y, *moments(y, False)
    images = volumes(channels_last(x))
    tiles = y[0].size // tile.floats
    group = max(1, min(channels.LONGEST // tiles, _CACHE // y[0].nbytes))

    def make():
        records = _sweeps.records_for(y, tile, group, 3)
        steps = direct.conv_steps(images, volume(weight), None, y, vector_steps(window), groups)
        steps.append(_sweeps.statistics(y, records, tile))
        return Prepared(steps, len(y), group, images, y), records

    key = None
    if groups == 1:  # only then what it works with follows from the weights in their place
        key = "moments", images.shape, y.shape, _place(weight), window, settings.winograd, tile
    program, records = _sweeps.shelf.take(key, make)
    try:
        program.run(images, y)
        mean, variance = _sweeps.combined(records, tiles, group, y.shape[-1])
    finally:
        program.free.release()
    return logical(y.reshape(len(y), *out_size, len(weight))), mean, variance


def conv_act(x, weight, bias, normal, rectified, out_size, window, groups):
    """x (N, C, *IN) -> z (N, O, *OUT); `normal` is (mean, scale, beta), or None for v = y."""
    z = _buffers.empty((len(x), *three(out_size), len(weight)), x.dtype)
    images = volumes(channels_last(x))
    steps = _act_steps(images, weight, bias, normal, rectified, z, window, groups)
    if steps is None:
        y = conv(x, weight, bias, out_size, window, groups)
        if normal is not None:
            return normalize_act(y, *normal, rectified)
        return relu(y) if rectified else y
    run(steps, len(z), _act_group(z))
    return logical(z.reshape(len(z), *out_size, len(weight)))


def prepare_conv_act(x, weight, bias, normal, rectified, out_size, window, groups):
    """Return a function of arrays like x that does `conv_act`, for use with one set of weights.

    Where images are few and small, most of the time goes into finding out what to call; here
    that is done beforehand.
    """
    options = bias, normal, rectified, out_size, window, groups
    like = channels_last(x)
    shape = (len(x), *three(out_size), len(weight))
    z = np.empty(shape, x.dtype)
    steps = _act_steps(volumes(like), weight, bias, normal, rectified, z, window, groups)
    if steps is None or not len(x):
        return lambda x: conv_act(x, weight, *options)
    prepared = Prepared(steps, len(x), _act_group(z), like, z)

    def call(x):
        if not (prepared.fits() and prepared.free.acquire(blocking=False)):
            return conv_act(x, weight, *options)  # another thread of Python is at it
        try:
            z = _buffers.empty(shape, x.dtype)
            prepared.run(channels_last(x), z)
        finally:
            prepared.free.release()
        return logical(z.reshape(len(x), *out_size, shape[-1]))

    return call


def _act_steps(images, weight, bias, normal, rectified, z, window, groups):
    """Return the steps of `conv_act`, None if there is no code for it."""
    tile = _sweeps.tile_for(z, rectified, least=1)
    if tile is None or not is_generated(z, weight.shape, groups):
        return None
    steps = direct.conv_steps(images, volume(weight), bias, z, vector_steps(window), groups)
    if normal is not None or rectified:
        known = _sweeps.coefficients(tile, *(_unchanged(len(weight)) if normal is None else normal))
        steps.append(_sweeps.normalization(z, z, known, tile))
    return steps


def _place(weight):
    """Return where weights lie: a kept program reads them there, and keeps that memory alive."""
    return weight.ctypes.data, weight.shape, weight.strides


def _act_group(z):
    """Return how many images are normalised at once, in the cache that the convolution left."""
    return max(2, _CACHE // z[0].nbytes)


@functools.lru_cache(maxsize=256)
def _unchanged(channels_out):
    """Return mean, scale and beta for v = y."""
    zeros = np.zeros((1, channels_out))
    return zeros, np.ones((1, channels_out)), zeros


def normalize_act(y, mean, scale, beta, rectified):
    """y (N, C, *spatial) -> z of its shape."""
    tile = _sweeps.tile_of(y, rectified)
    if tile is not None:
        return _sweeps.normalize(y, mean, scale, beta, tile)
    v = normalize(y, mean, scale, beta)
    return relu(v) if rectified else v


def normalize_act_sums(grad_z, y, mean, scale, beta, rectified):
    """Return sum(g) and sum(g * (y - mean)) of each channel, (1, C), where g is dL/dv."""
    tile = _sweeps.tile_of(y, rectified)
    if tile is not None:
        return _sweeps.sums(grad_z, y, mean, scale, beta, tile)
    return normalize_sums(_grad_v(grad_z, y, mean, scale, beta, rectified), y, mean)


def conv_block_grad(grad_z, y, x, weight, normal, slopes, rectified, window, groups, wanted):
    """Return dL/dx and dL/dweight, each None unless it is wanted (a pair of bools).

    `normal` is (mean, scale, beta), and `slopes` are a, b, c of dL/dy = a*g + b*(y - mean) + c.
    """
    wants_x, wants_weight = wanted
    tile, geometry = _sweeps.tile_of(y, rectified), vector_steps(window)
    images = volumes(channels_last(y))
    if tile is None or not is_generated(images, weight.shape, groups):
        g = _grad_v(grad_z, y, *normal, rectified)
        grad_y = normalize_grad_x(g, y, normal[0], *slopes)
        return (
            conv_grad_x(grad_y, weight, x.shape, window, groups) if wants_x else None,
            conv_grad_weight(grad_y, x, weight.shape, window, groups) if wants_weight else None,
        )
    grads, inputs = volumes(channels_last(grad_z)), volumes(channels_last(x))
    known = _sweeps.coefficients(tile, *normal, *slopes)
    grad_x = _buffers.empty(inputs.shape if wants_x else (0,), x.dtype)

    def make():
        arrays = grads, images, known, inputs, grad_x
        return _grad_program(*arrays, weight, tile, geometry, groups, wanted)

    key = None
    if groups == max(geometry.stride) == 1:
        shapes = inputs.shape, images.shape
        key = "grad", *shapes, _place(weight), window, wanted, settings.winograd, tile
    program, finish = _sweeps.shelf.take(key, make)
    try:
        program.run(grads, images, known, inputs, grad_x)
        grad_weight = finish().reshape(weight.shape) if wants_weight else None
    finally:
        program.free.release()
    if not wants_x:
        return None, grad_weight
    return logical(grad_x.reshape(len(x), *x.shape[2:], x.shape[1])), grad_weight


def _grad_program(grads, images, known, inputs, grad_x, weight, tile, geometry, groups, wanted):
    """Return what computes the gradients, and what gives that by the weights afterwards."""
    out_shape = images.shape[1:]
    near_images = max(
        2,
        _NEAR // max(1, images[0].nbytes),
        winograd.images_at_once(images.shape, weight.shape[:2] + geometry.size, geometry, groups),
    )
    near = _buffers.empty((_parallel.threads(), near_images, *out_shape), np.float32)
    steps = [_sweeps.slope(grads, images, known, of_thread(near), tile)]
    here, (wants_x, wants_weight), finish = left_by(near), wanted, None
    if wants_weight:
        kernel = (*weight.shape[:2], *geometry.size)
        some, finish = direct.grad_weight_steps(near[0], inputs, kernel, geometry, groups, here)
        steps += some
    if wants_x:
        steps += direct.grad_x_steps(near[0], volume(weight), grad_x, geometry, groups, here)
    return Prepared(steps, len(images), near_images, grads, images, known, inputs, grad_x), finish


def _grad_v(grad_z, y, mean, scale, beta, rectified):
    """Return dL/dv: what passes through the activation."""
    return relu_grad(grad_z, normalize(y, mean, scale, beta)) if rectified else grad_z
