"""Convolution as a product whose matrix of windows is never made: launchers of implicit_gemm.cu."""

import math
from typing import NamedTuple

import cupy
import numpy as np

from . import _geometry, _launch
from ._filters import Chunks, pack_filters, pack_size, sum_chunks
from ._layout import channels_last, image_like, logical

_PROCESSORS = 128  # of a large card; not asked for, so that every card takes the same tiles
_WORKERS = 1 << 17  # threads of a weight gradient, if its pixels can be cut for so many
_SHORTEST = 512  # pixels of one of its chunks
_MOST_SHEETS = 65535  # of a grid's third axis


class Tile(NamedTuple):
    """What a block and a thread make, and how fast: template arguments of the kernels."""

    rows: int
    columns: int
    depth: int
    thread_rows: int
    thread_columns: int
    speed: float  # beside the largest: more sums a thread, fewer loads for each product

    @property
    def threads(self):
        """How many a block has."""
        return self.rows // self.thread_rows * (self.columns // self.thread_columns)

    @property
    def arguments(self):
        """The template arguments, as text."""
        return ", ".join(map(str, self[:5]))


TILES = (
    Tile(128, 128, 8, 8, 8, 1.0),
    Tile(128, 64, 8, 8, 8, 0.95),
    Tile(128, 32, 8, 8, 4, 0.75),
    Tile(64, 64, 16, 4, 4, 0.7),
    Tile(32, 32, 16, 4, 4, 0.5),
)


def applies(image_shape, kernel_shape, out, window, groups):
    """Tell whether 32 bits and the grid suffice for this convolution and its gradients."""
    there = _geometry.forward(image_shape, kernel_shape[0], out, window, groups)
    back = _geometry.backward(image_shape, kernel_shape[0], out, window, groups)
    return there.fits and back.fits and back.classes * groups <= _MOST_SHEETS


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K), bias (O,) or None -> y (N, O, *OUT)."""
    y = image_like((len(x), len(weight), *out_size), x.dtype)
    geometry = _geometry.forward(x.shape, len(weight), out_size, window, groups)
    _product(geometry, x, weight, bias, y, groups, False)
    return logical(y)


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight -> grad_x (N, C, *IN)."""
    grad_x = image_like(image_shape, grad_y.dtype)
    geometry = _geometry.backward(image_shape, len(weight), grad_y.shape[2:], window, groups)
    if geometry.depth:
        _product(geometry, grad_y, weight, None, grad_x, groups, True)
    else:  # no window sees a pixel
        grad_x[...] = 0
    return logical(grad_x)


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C/groups, *K)."""
    o, inner = kernel_shape[:2]
    columns = o // groups
    geometry = _geometry.forward(x.shape, o, grad_y.shape[2:], window, groups)
    images, grads = channels_last(x), channels_last(grad_y)
    packs = pack_size(inner, images), pack_size(columns, grads)
    tile = _tile_of_weights(geometry.depth, columns, packs[0])
    blocks = -(-geometry.depth // tile.rows), -(-columns // tile.columns)
    wanted = _WORKERS // (tile.threads * math.prod(blocks) * groups)
    chunks = Chunks.of(geometry.rows, wanted, _SHORTEST)
    partial = chunks.room(geometry.depth * o, x.dtype)
    arguments = f"{_launch.NAMES[x.dtype]}, {tile.arguments}, {packs[0]}, {packs[1]}"
    _launch.launch(
        "implicit_gemm",
        f"implicit_gemm_weight<{arguments}>",
        (*blocks, chunks.pieces * groups),
        (tile.threads,),
        _launch.table(geometry.table, geometry.table.dtype),
        images,
        grads,
        partial,
        groups,
        chunks.length,
        columns,
    )
    return sum_chunks(partial, chunks, kernel_shape, groups, x.dtype)


def _product(geometry, source, weight, bias, result, groups, transposed):
    """Launch `implicit_gemm` for all classes and groups."""
    images, filters = channels_last(source), pack_filters(geometry, weight, groups, transposed)
    columns, inner = result.shape[-1] // groups, source.shape[1] // groups
    sheets = geometry.classes * groups
    pack = pack_size(inner, images)
    tile = _tile(geometry.rows, columns, sheets)
    _launch.launch(
        "implicit_gemm",
        f"implicit_gemm<{_launch.NAMES[source.dtype]}, {tile.arguments}, {pack}>",
        (-(-geometry.rows // tile.rows), -(-columns // tile.columns), sheets),
        (tile.threads,),
        _launch.table(geometry.table, geometry.table.dtype),
        images,
        filters,
        None if bias is None else cupy.ascontiguousarray(bias),
        result,
        groups,
        geometry.depth,
        filters.shape[3],
        columns,
        np.bool_(pack_size(columns, result) == 4),
    )


def _tile(rows, columns, sheets):
    """Return the tile with which the busiest processor is done first."""

    def time(tile):
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * sheets
        return -(-blocks // _PROCESSORS) * tile.rows * tile.columns / tile.speed

    return min(TILES, key=time)


def _tile_of_weights(rows, columns, pack):
    """Return the tile for a weight gradient, which has as many blocks as it wants."""

    def time(tile):
        blocks = -(-rows // tile.rows) * -(-columns // tile.columns)
        return blocks * tile.rows * tile.columns / tile.speed

    # Where numbers come singly, their places take the registers of the largest tile.
    return min(TILES if pack > 1 else TILES[1:], key=time)
