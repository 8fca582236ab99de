"""Sweeps of the generated code over the channels of images: sums, and affine maps.

What batch normalisation consists of, with or without ReLU behind it; see `vector.channels`. The
callers ask for a tile first: without one, there is no code for the case.
"""

import functools

import numpy as np

from . import _buffers, _parallel
from ._layout import channels_last, logical
from ._records import combine, fold
from .vector import channels, objects
from .vector.program import COUNT, Prepared, Shelf, Step, fixed, images_of, number, run

LEAST = 1 << 12  # numbers below which compiling is not worth it
shelf = Shelf(1 << 25)  # programs of the layers that learn, with the memory that they work in


def tile_of(y, rectified):
    """Return the tile for y (N, C, *spatial), None if there is none."""
    return tile_for(y.transpose(0, *range(2, y.ndim), 1), rectified) if y.ndim > 2 else None


def tile_for(images, rectified, least=None):
    """Return the tile for images (N, ..., C), None if there is none, or less than `least`."""
    machine = objects.machine()
    if (
        machine is None
        or images.dtype != np.float32
        or images.size < max(LEAST if least is None else least, 1)
    ):
        return None
    width = images.shape[-1]
    return channels.choose(machine, width, images[0].size // width, rectified)


def statistics(images, records, tile):
    """Return the step that sums images up."""
    given = (
        images_of(images), images_of(records), tiles_of(images, tile), number(channels.LONGEST),
        COUNT,
    )  # fmt: skip
    return Step(channels.function(channels.statistics, tile), given)


def normalize(y, mean, scale, beta, tile):
    """y (N, C, *spatial) -> z of its shape."""
    images = channels_last(y)
    z = _buffers.empty(images.shape, y.dtype)
    run([normalization(images, z, coefficients(tile, mean, scale, beta), tile)], len(y))
    return logical(z)


def normalization(images, z, known, tile):
    """Return the step that maps images to z, which may be the same memory."""
    given = images_of(images), images_of(z), fixed(known), tiles_of(images, tile), COUNT
    return Step(channels.function(channels.normalize, tile), given)


def sums(grad_z, y, mean, scale, beta, tile):
    """Return sum(g) and sum(g * (y - mean)) of each channel, (1, C), where g is dL/dv."""
    images, grads = channels_last(y), channels_last(grad_z)
    group = max(1, channels.LONGEST // (images[0].size // tile.floats))

    def make():
        records = records_for(images, tile, group, 2)
        like = coefficients(tile, mean, scale, beta)
        given = (
            images_of(grads), images_of(images), fixed(like), images_of(records),
            tiles_of(images, tile), number(channels.LONGEST), COUNT,
        )  # fmt: skip
        steps = [Step(channels.function(channels.gradient_sums, tile), given)]
        return Prepared(steps, len(y), group, grads, images, like), records

    program, records = shelf.take(("sums", images.shape, tile), make)
    try:
        program.run(grads, images, coefficients(tile, mean, scale, beta))
        return folded(records, group, mean)
    finally:
        program.free.release()


def gradient(grad_z, y, normal, slopes, tile):
    """Return dL/dy = a*g + b*(y - mean) + c, with `normal` as in `sums` and `slopes` a, b, c."""
    images, grads = channels_last(y), channels_last(grad_z)
    grad_y = _buffers.empty(images.shape, y.dtype)
    known = coefficients(tile, *normal, *slopes)
    run([slope(grads, images, known, images_of(grad_y), tile)], len(y))
    return logical(grad_y)


def slope(grads, images, known, target, tile):
    """Return the step that forms dL/dy where `target`, an Argument, says."""
    given = images_of(grads), images_of(images), fixed(known), target, tiles_of(images, tile), COUNT
    return Step(channels.function(channels.gradient, tile), given)


def tiles_of(images, tile):
    """Return how many tiles an image has, as an argument."""
    return number(images[0].size // tile.floats)


def coefficients(tile, mean, scale, beta, *slopes):
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
def groups_of(images, group):
    """Return the first image of each group that a program makes, and the groups' sizes."""
    found = [
        (first, min(group, stop - first))
        for start, stop in _parallel.chunks(images)
        for first in range(start, stop, group)
    ]
    return tuple(np.array(column) for column in zip(*found, strict=True))


def records_for(images, tile, group, rows):
    """Return room for the records of each group, at the place of its first image."""
    tiles = images[0].size // tile.floats
    each = -(-tiles * group // channels.LONGEST)
    return np.zeros((len(images), each, rows, tile.floats), np.float32)


def combined(records, tiles, group, width):
    """Return mean and variance (1, C) of what the records say, in float64."""
    mean, variance = np.empty((1, width)), np.empty((1, width))
    starts, sizes = groups_of(len(records), group)
    combine(records, starts, sizes, tiles, channels.LONGEST, mean[0], variance[0])
    return mean, variance


def folded(records, group, mean):
    """Return sum(g) and sum(g * (y - mean)) (1, C), in float64."""
    totals, products = np.empty_like(mean), np.empty_like(mean)
    centre = mean[0].astype(np.float32)
    starts, _ = groups_of(len(records), group)
    fold(records, starts, centre, mean[0], totals[0], products[0])
    return totals, products
