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
from . import _buffers, _parallel
from ._geometry import is_generated, vector_steps, volume
from ._layout import channels_last, logical, three, volumes
from ._records import combine, fold
from .activation import relu, relu_grad
from .convolution import conv, conv_grad_weight, conv_grad_x
from .normalization import moments, normalize, normalize_grad_x, normalize_sums
from .vector import channels, direct, objects, winograd
from .vector.program import (
    COUNT,
    Prepared,
    Shelf,
    Step,
    fixed,
    images_of,
    left_by,
    number,
    of_thread,
    run,
)

_NEAR = 1 << 16  # bytes of gradients that wait in a thread's own memory
_shelf = Shelf(1 << 25)  # programs of the layers that learn, with the memory that they work in
_CACHE = 1 << 18  # bytes of a convolution's output that are summed up while in the cache


def conv_moments(x, weight, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K) -> y (N, O, *OUT), its mean and variance (1, O)."""
    y = _buffers.empty((len(x), *three(out_size), len(weight)), x.dtype)
    tile = _tile(y, False)
    if tile is None or not is_generated(y, weight.shape, groups):
        y = conv(x, weight, None, out_size, window, groups)
        return y, *moments(y, False)
    images = volumes(channels_last(x))
    tiles = y[0].size // tile.floats
    group = max(1, min(channels.LONGEST // tiles, _CACHE // y[0].nbytes))

    def make():
        records = _records(y, tile, group, 3)
        steps = direct.conv_steps(images, volume(weight), None, y, vector_steps(window), groups)
        given = (images_of(y), images_of(records), number(tiles), number(channels.LONGEST), COUNT)
        steps.append(Step(channels.function(channels.statistics, tile), given))
        return Prepared(steps, len(y), group, images, y), records

    key = None
    if groups == 1:  # only then what it works with follows from the weights in their place
        key = "moments", images.shape, y.shape, id(weight), window, settings.winograd, tile
    program, records = _shelf.take(key, make)
    try:
        program.run(images, y)
        mean, variance = _combined(records, tiles, group, y.shape[-1])
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
    tile = _tile(z, rectified)
    if tile is None or not is_generated(z, weight.shape, groups):
        return None
    steps = direct.conv_steps(images, volume(weight), bias, z, vector_steps(window), groups)
    if normal is not None or rectified:
        known = _coefficients(tile, *(_unchanged(len(weight)) if normal is None else normal))
        given = images_of(z), images_of(z), fixed(known), _tiles(z, tile), COUNT
        steps.append(Step(channels.function(channels.normalize, tile), given))
    return steps


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
    tile = _tile_of(y, rectified)
    if tile is None:
        v = normalize(y, mean, scale, beta)
        return relu(v) if rectified else v
    images = channels_last(y)
    z = _buffers.empty(images.shape, y.dtype)
    known = _coefficients(tile, mean, scale, beta)
    given = images_of(images), images_of(z), fixed(known), _tiles(images, tile), COUNT
    run([Step(channels.function(channels.normalize, tile), given)], len(y))
    return logical(z)


def normalize_act_sums(grad_z, y, mean, scale, beta, rectified):
    """Return sum(g) and sum(g * (y - mean)) of each channel, (1, C), where g is dL/dv."""
    tile = _tile_of(y, rectified)
    if tile is None:
        return normalize_sums(_grad_v(grad_z, y, mean, scale, beta, rectified), y, mean)
    images, grads = channels_last(y), channels_last(grad_z)
    tiles = images[0].size // tile.floats
    group = max(1, channels.LONGEST // tiles)

    def make():
        records = _records(images, tile, group, 2)
        like = _coefficients(tile, mean, scale, beta)
        given = (
            images_of(grads), images_of(images), fixed(like), images_of(records), number(tiles),
            number(channels.LONGEST), COUNT,
        )  # fmt: skip
        steps = [Step(channels.function(channels.gradient_sums, tile), given)]
        return Prepared(steps, len(y), group, grads, images, like), records

    program, records = _shelf.take(("sums", images.shape, tile), make)
    try:
        program.run(grads, images, _coefficients(tile, mean, scale, beta))
        return _folded(records, group, mean)
    finally:
        program.free.release()


def conv_block_grad(grad_z, y, x, weight, normal, slopes, rectified, window, groups, wanted):
    """Return dL/dx and dL/dweight, each None unless it is wanted (a pair of bools).

    `normal` is (mean, scale, beta), and `slopes` are a, b, c of dL/dy = a*g + b*(y - mean) + c.
    """
    wants_x, wants_weight = wanted
    tile, geometry = _tile_of(y, rectified), vector_steps(window)
    images = volumes(channels_last(y))
    if tile is None or not is_generated(images, weight.shape, groups):
        g = _grad_v(grad_z, y, *normal, rectified)
        grad_y = normalize_grad_x(g, y, normal[0], *slopes)
        return (
            conv_grad_x(grad_y, weight, x.shape, window, groups) if wants_x else None,
            conv_grad_weight(grad_y, x, weight.shape, window, groups) if wants_weight else None,
        )
    grads, inputs = volumes(channels_last(grad_z)), volumes(channels_last(x))
    known = _coefficients(tile, *normal, *slopes)
    grad_x = _buffers.empty(inputs.shape if wants_x else (0,), x.dtype)

    def make():
        arrays = grads, images, known, inputs, grad_x
        return _grad_program(*arrays, weight, tile, geometry, groups, wanted)

    key = None
    if groups == max(geometry.stride) == 1:
        key = (
            "grad",
            inputs.shape,
            images.shape,
            id(weight),
            window,
            wanted,
            settings.winograd,
            tile,
        )
    program, finish = _shelf.take(key, make)
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
    given = (
        images_of(grads), images_of(images), fixed(known), of_thread(near),
        _tiles(images, tile), COUNT,
    )  # fmt: skip
    steps = [Step(channels.function(channels.gradient, tile), given)]
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


def _tile_of(y, rectified):
    """Return the tile for y (N, C, *spatial), None if there is none."""
    return _tile(y.transpose(0, *range(2, y.ndim), 1), rectified)


def _tile(images, rectified):
    """Return the tile for images (N, ..., C), None if there is none."""
    machine = objects.machine()
    if machine is None or images.dtype != np.float32 or not images.size:
        return None
    return channels.choose(machine, images.shape[-1], images[0].size // images.shape[-1], rectified)


def _tiles(images, tile):
    return number(images[0].size // tile.floats)


def _coefficients(tile, mean, scale, beta, *slopes):
    """Return centre, scale and offset of v along a tile, and those of dL/dy if there are slopes.

    What rounding takes from the mean is given back by the offsets.
    """
    count, width = 3 + len(slopes), mean.shape[1]
    found = np.empty((count, tile.floats // width, width), np.float32)
    found[0] = centre = mean.astype(np.float32)
    lost = centre - mean
    found[1], found[2] = scale, beta + lost * scale
    if slopes:
        found[3], found[4], found[5] = slopes[0], slopes[1], slopes[2] + lost * slopes[1]
    return found


@functools.lru_cache(maxsize=256)
def _groups(images, group):
    """Return the first image of each group that a program makes, and the groups' sizes."""
    found = [
        (first, min(group, stop - first))
        for start, stop in _parallel.chunks(images)
        for first in range(start, stop, group)
    ]
    return tuple(np.array(column) for column in zip(*found, strict=True))


def _records(images, tile, group, rows):
    """Return room for the records of each group, at the place of its first image."""
    tiles = images[0].size // tile.floats
    each = -(-tiles * group // channels.LONGEST)
    return np.zeros((len(images), each, rows, tile.floats), np.float32)


def _combined(records, tiles, group, width):
    """Return mean and variance (1, C) of what the records say, in float64."""
    mean, variance = np.empty((1, width)), np.empty((1, width))
    starts, sizes = _groups(len(records), group)
    combine(records, starts, sizes, tiles, channels.LONGEST, mean[0], variance[0])
    return mean, variance


def _folded(records, group, mean):
    """Return sum(g) and sum(g * (y - mean)) (1, C), in float64."""
    totals, products = np.empty_like(mean), np.empty_like(mean)
    centre = mean[0].astype(np.float32)
    starts, _ = _groups(len(records), group)
    fold(records, starts, centre, mean[0], totals[0], products[0])
    return totals, products
