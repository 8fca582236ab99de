"""Launchers of normalization.cu, for `normalization` and `block`.

Only shapes decide how a batch is cut among blocks, so that sums are the same on
every card.
"""

import functools
import math
from typing import NamedTuple

import cupy
import numpy as np

from . import _launch
from ._layout import channels_last, logical

ALIGNED = 16  # bytes: what the address of a pack is a multiple of
THREADS = 256  # of a block; packs.cuh has room for as many
_ACROSS = 32  # packs of a row, at most, for a block: a warp's loads are neighbours
_SUMS = 512  # blocks that add up, about: they fill a large GPU, and `combine` has few chunks
_MAPS = 1024  # blocks that map, at least, where there is work for so many
_MOST_ROWS = 16  # of a thread that maps, as in the .cu; enough to forget what coefficients cost


class Walk(NamedTuple):
    """How a batch (I, rows, channels) is cut among blocks of threads."""

    images: int
    rows: int
    channels: int  # numbers of a row, `fold` times the cells
    cells: int  # C
    fold: int  # rows of the batch that make one row here
    whole: bool  # whether rows are whole packs
    block: tuple
    columns: int  # blocks side by side

    def chunks(self, per_thread):
        """Return how many rows of an image a block takes, and how many blocks an image is."""
        chunk = self.block[1] * per_thread
        return chunk, -(-self.rows // chunk)

    def rows_each(self, blocks):
        """Return how many rows a thread takes if there are to be so many blocks."""
        return -(-self.images * self.rows * self.columns // (self.block[1] * blocks))


def pack_of(itemsize):
    """Return how many numbers a thread loads at once, as packs.cuh has it."""
    return 2 if itemsize == 8 else 4


def walk(pixels, images, *others):
    """Return how to walk through pixels (N, *spatial, C), and others of its shape."""
    cells = pixels.shape[-1]
    aligned = not any(a.data.ptr % ALIGNED for a in (pixels, *others))
    return _walk(images, pixels.size // (images * cells), cells, pixels.itemsize, aligned)


@functools.lru_cache(maxsize=1024)
def _walk(images, rows, cells, itemsize, aligned):
    pack = pack_of(itemsize)
    fold = pack // math.gcd(pack, cells)
    if rows % fold or not aligned:
        fold = 1
    rows, channels = rows // fold, cells * fold
    packs = -(-channels // pack)
    columns = -(-packs // _ACROSS)
    across = -(-packs // columns)
    down = min(rows, THREADS // across)
    whole = aligned and channels % pack == 0
    return Walk(images, rows, channels, cells, fold, whole, (across, down), columns)


def moments(x, images):
    """x (N, C, *spatial) -> mean and variance (I, C)."""
    pixels = channels_last(x)
    cut = walk(pixels, images)
    return _sums("moment_parts", cut, (pixels,), (), pixels)


def sums(grad_z, y, mean, scale, beta, rectified):
    """Return sum(g) and sum(g * (y - mean)), (I, C); see `plain.block` for g."""
    arrays = channels_last(grad_z), channels_last(y)
    cut = walk(arrays[1], len(mean), arrays[0])
    known = _coefficients(cut, mean, scale, beta)
    return _sums("gradient_parts", cut, (*arrays, *known), (np.bool_(rectified),), None)


def affine(y, mean, scale, beta, rectified):
    """Return v = (y - mean) * scale + beta like y, or max(v, 0) if `rectified`."""
    pixels = channels_last(y)
    z = cupy.empty(pixels.shape, pixels.dtype)
    cut = walk(pixels, _images(mean, scale, beta), z)
    _map("affine", cut, pixels, *_coefficients(cut, mean, scale, beta), z, rectified=rectified)
    return logical(z)


def slope(grad_z, y, normal, slopes, rectified):
    """Return a*g + b*(y - mean) + c like y; see `plain.block` for g."""
    pixels, grads = channels_last(y), channels_last(grad_z)
    grad_y = cupy.empty(pixels.shape, pixels.dtype)
    cut = walk(pixels, _images(*normal, *slopes), grads, grad_y)
    known = _coefficients(cut, *normal, *slopes)
    _map("slope", cut, grads, pixels, *known, grad_y, rectified=rectified)
    return logical(grad_y)


def add_parts(parts, cells, count=0, pixels=None):
    """parts (I, chunks, 2, fold * C) -> two sums (I, C), or mean and variance of pixels.

    Pixels (I, count, C) are those that the sums are of.
    """
    images, chunks, _, channels = parts.shape
    fold = channels // cells
    first, second = (cupy.empty((images, cells), np.float64) for _ in range(2))
    across = min(8, cells)
    down = min(THREADS // across, chunks * fold)
    _launch.launch(
        "normalization",
        f"combine<{'float' if pixels is None else _launch.NAMES[pixels.dtype]}>",
        (images * -(-cells // across),),
        (across, down),
        *(parts, pixels, first, second),
        *(chunks, cells, fold, count, np.bool_(pixels is not None)),
    )
    return first, second


def _sums(kernel, cut, arrays, flags, pixels):
    chunk, chunks = cut.chunks(max(4, cut.rows_each(_SUMS)))
    parts = cupy.empty((cut.images, chunks, 2, cut.channels), np.float64)
    _launch.launch(
        "normalization",
        f"{kernel}<{_launch.NAMES[arrays[0].dtype]}>",
        (cut.images * chunks, cut.columns),
        cut.block,
        *(*arrays, parts, cut.rows, cut.channels, cut.cells, chunk, chunks),
        *(np.bool_(cut.whole), *flags),
    )
    return add_parts(parts, cut.cells, cut.rows * cut.fold, pixels)


def _map(kernel, cut, *arrays, rectified):
    chunk, chunks = cut.chunks(min(_MOST_ROWS, cut.rows_each(_MAPS)))
    _launch.launch(
        "normalization",
        f"{kernel}<{_launch.NAMES[arrays[0].dtype]}>",
        (cut.images * chunks, cut.columns),
        cut.block,
        *(*arrays, cut.rows, cut.channels, cut.cells, chunk, chunks),
        *(np.bool_(cut.whole), np.bool_(rectified)),
    )


def _images(*coefficients):
    return max(len(v) for v in coefficients)


def _coefficients(cut, *values):
    """Return arrays (I, C) or (1, C) as the kernels want them: float64, in a row, on the device."""
    return [_wide(v, (cut.images, cut.cells)) for v in values]


def _wide(values, shape):
    if values.shape == shape and values.dtype == np.float64 and values.flags.c_contiguous:
        return values  # the usual case, faster than asking CuPy for it
    return cupy.ascontiguousarray(cupy.broadcast_to(values, shape), np.float64)
