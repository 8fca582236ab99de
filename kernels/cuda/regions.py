"""Regions of images on the GPU: see boxes.cu (overlaps, suppression) and regions.cu (RoI)."""

import cupy
import numpy as np

from .. import plain
from . import _launch
from ._integers import added
from ._layout import channels_last, image_like, logical

_WORD = 64  # boxes, a bit for each


def iou_matrix(a, b):
    """a (A, 4), b (B, 4) -> intersection over union (A, B); 0 where the union is nothing."""
    if not _launch.covers(a, b):
        return plain.iou_matrix(a, b)
    y = cupy.empty((len(a), len(b)), a.dtype)
    boxes = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b)
    name = f"iou_matrix<{_launch.NAMES[a.dtype]}>"
    _launch.flat("boxes", name, y.size, *boxes, y, y.size, len(b), _nothing(a.dtype))
    return y


def nms(boxes, groups, threshold, limit):
    """boxes (R, 4), groups (R,), best box first in each run of a group -> bool (R,): which stay.

    A box goes if one of its group that stays overlaps it by more than threshold
    (intersection over union). At most `limit` of a group stay.  Takes R*R/8 bytes of memory.
    """
    if not _launch.covers(boxes):
        return plain.nms(boxes, groups, threshold, limit)
    count, kept = len(boxes), cupy.zeros(len(boxes), bool)
    if not count:
        return kept
    boxes, groups = cupy.ascontiguousarray(boxes), cupy.ascontiguousarray(groups, np.int64)
    row = -(-count // _WORD)
    words = cupy.empty((count, row), np.uint64)
    name = f"suppressions<{_launch.NAMES[boxes.dtype]}>"
    options = count, float(threshold), _nothing(boxes.dtype)
    _launch.launch("boxes", name, (row, row), (_WORD,), boxes, groups, words, *options)
    given = groups, words, kept, count, int(limit)
    _launch.launch("boxes", "keep_best", (row,), (_launch.THREADS,), *given, shared=8 * row)
    return kept


def roi_max_pool(x, images, rows, columns):
    """x (N, C, H, W), images (R,), rows and columns (starts, stops) (R, I), (R, J) -> y, winner.

    y and winner are (R, C, I, J): the largest pixel of each cell, and its place
    h*W + w (int32); in an empty cell 0, and -1.
    """
    if not _launch.covers(x):
        return plain.roi_max_pool(x, images, rows, columns)
    grid = rows[0].shape[1], columns[0].shape[1]
    shape = (len(images), x.shape[1], *grid)
    y, winner = image_like(shape, x.dtype), image_like(shape, np.int32)
    x, tables = channels_last(x), _tables(images, *rows, *columns)
    _run("roi_max_pool", [x, *tables, y, winner], y, *grid, *x.shape[1:])
    return logical(y), logical(winner)


def roi_max_unpool(grad_y, winner, images, rows, columns, image_shape):
    """grad_y, winner (R, C, I, J) -> (N, C, H, W): every value added to its winner's place.

    rows and columns are those of the pooling: a pixel looks only at the cells that it is in.
    """
    if not _launch.covers(grad_y):
        more = winner, images, rows, columns, image_shape
        return added(plain.roi_max_unpool, grad_y, *more)
    grid, regions = grad_y.shape[2:], len(images)
    grad_x, tables = image_like(image_shape, grad_y.dtype), _tables(images, *rows, *columns)
    bounds = cupy.empty((regions, 4), np.int32)
    _launch.flat("regions", "cell_bounds", regions, *tables[1:], bounds, regions, *grid)
    arrays = [channels_last(grad_y), channels_last(winner), *tables, bounds, grad_x]
    _run("roi_max_unpool", arrays, grad_x, regions, *grid, *grad_x.shape[1:])
    return logical(grad_x)


def roi_take_winners(x, winner, images):
    """x (N, C, H, W), winner (R, C, I, J) -> the pixels that won (R, C, I, J), else 0."""
    if not _launch.covers(x):
        return plain.roi_take_winners(x, winner, images)
    y, x = image_like(winner.shape, x.dtype), channels_last(x)
    arrays = x, channels_last(winner), *_tables(images), y
    lengths = y.shape[1] * y.shape[2], x.shape[1] * x.shape[2], x.shape[3]
    name = f"roi_take_winners<{_launch.NAMES[x.dtype]}>"
    _launch.flat("regions", name, y.size, *arrays, y.size, *lengths)
    return logical(y)


def roi_sample(x, images, rows, columns):
    """x (N, C, H, W), images (R,), rows and columns (first, weights) -> y (R, C, I, J).

    first (R, I) and weights (R, I, K) say: output row i is the sum of the image's
    rows first[i] + k times weights[i, k]; columns likewise. What weighs 0 may be NaN.
    """
    if not _launch.covers(x):
        return plain.roi_sample(x, images, rows, columns)
    y = image_like((len(images), x.shape[1], rows[0].shape[1], columns[0].shape[1]), x.dtype)
    x, tables = channels_last(x), _taps(rows, columns, x.dtype)
    arrays = [x, *_tables(images), *tables, y]
    _run("roi_sample", arrays, y, *_lengths(rows, columns), *x.shape[1:])
    return logical(y)


def roi_spread(grad_y, images, rows, columns, image_shape):
    """grad_y (R, C, I, J) -> (N, C, H, W): each value added, by its weights, to what it came from.

    The transpose of `roi_sample`.
    """
    if not _launch.covers(grad_y):
        return plain.roi_spread(grad_y, images, rows, columns, image_shape)
    regions, lengths = len(images), (*_lengths(rows, columns), *image_shape[2:])
    grad_x, tables = image_like(image_shape, grad_y.dtype), _taps(rows, columns, grad_y.dtype)
    bounds = cupy.empty((regions, 4), np.int32)
    name = f"tap_bounds<{_launch.NAMES[grad_y.dtype]}>"
    _launch.flat("regions", name, regions, *tables, bounds, regions, *lengths)
    arrays = [channels_last(grad_y), *_tables(images), *tables, bounds, grad_x]
    _run("roi_spread", arrays, grad_x, regions, *lengths, image_shape[1])
    return logical(grad_x)


def _run(name, arrays, y, *lengths):
    """Run a kernel whose threads take as many channels of y (..., C) as are read at once."""
    lanes = 16 // y.itemsize
    images = (a for a in arrays if a.ndim == 4)
    packed = y.shape[-1] % lanes == 0 and all(a.data.ptr % 16 == 0 for a in images)
    count = y.size // lanes if packed else y.size
    name = f"{name}<{_launch.NAMES[y.dtype]}>"
    _launch.flat("regions", name, count, *arrays, count, *lengths, np.bool_(packed))


def _tables(*arrays):
    """Return whole numbers as the kernels take them."""
    return [cupy.ascontiguousarray(a, np.int64) for a in arrays]


def _taps(rows, columns, dtype):
    """Return first row, its weights, first column, its weights, as the kernels take them."""
    wide = np.float32 if dtype == np.float16 else dtype
    tables = (*rows, *columns)
    types = (np.int64, wide) * 2
    return [cupy.ascontiguousarray(a, kind) for a, kind in zip(tables, types, strict=True)]


def _lengths(rows, columns):
    """Return (I, K, J, L): how many rows of cells, their taps, columns of cells, and theirs."""
    return (*rows[1].shape[1:], *columns[1].shape[1:])


def _nothing(dtype):
    """Return the area that counts as none, as in kernels.plain."""
    return float(np.finfo(dtype).tiny ** 0.5)
