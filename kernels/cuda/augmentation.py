"""Geometry and light of photographs on the GPU: a thread for each pixel, a block for each image."""

import math

import cupy
import numpy as np

from . import _launch

_LARGE = 4096  # numbers in an image that are worth a block of 1024 threads


def warp_affine(images, matrices, gains, offsets):
    """images uint8 (N, H, W, 3) -> float32 (N, H, W, 3), moved by matrices (N, 2, 3), relit.

    Output pixel (y, x), counted from the centre, shows the image at ``matrix @ (y, x, 1)``,
    bilinearly, reflected at the borders; then times gain plus offset, as shares of white.
    """
    n, height, width, _ = images.shape
    out = cupy.empty(images.shape, np.float32)
    arrays = [cupy.ascontiguousarray(images)]
    arrays += (_single(a) for a in (matrices, gains, offsets))
    count = n * height * width
    _launch.flat("augmentation", "warp_affine", count, *arrays, out, count, height, width)
    return out


def standardize(images, softening):
    """Subtract each image's mean and divide by its standard deviation plus `softening`.

    images float32 (N, H, W, 3), of any range; softening in the same units.
    """
    out, size = cupy.empty(images.shape, np.float32), math.prod(images.shape[1:])
    if out.size:
        block = 1024 if size >= _LARGE else _launch.THREADS
        given = _single(images), out, size, float(softening)
        _launch.launch("augmentation", "standardize", (len(images),), (block,), *given)
    return out


def remap(image, places, fill):
    """image uint8 (H, W, 3), places float32 (2, OH, OW) of (y, x) -> uint8 (OH, OW, 3).

    Output pixel (i, j) shows the image at places[:, i, j], bilinearly; the middle of its first
    pixel is (0.5, 0.5). Beyond its borders is fill, three numbers.
    """
    out, size = cupy.empty((*places.shape[1:], 3), np.uint8), image.shape[:2]
    colour = _launch.table(fill, np.uint8)
    given = cupy.ascontiguousarray(image), _single(places), colour, out
    _launch.flat("augmentation", "remap", out.size // 3, *given, out.size // 3, *size)
    return out


def remap_nearest(mask, places, fill):
    """mask uint8 (H, W), places float32 (2, OH, OW) of (y, x) -> uint8 (OH, OW).

    As remap, but the nearest pixel is taken; fill is a number.
    """
    out = cupy.empty(places.shape[1:], np.uint8)
    given = cupy.ascontiguousarray(mask), _single(places), out, int(fill)
    _launch.flat("augmentation", "remap_nearest", out.size, *given, out.size, *mask.shape)
    return out


def _single(a):
    """Return an array of the host or the device as float32 on the device."""
    return cupy.ascontiguousarray(cupy.asarray(a, np.float32))
