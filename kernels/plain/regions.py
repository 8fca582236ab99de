"""Regions of images in array expressions: pooling, interpolation, and non-maximum suppression.

A region's output is a grid (I, J). What it sees of its image is told by one
table for the rows and one for the columns, made by minicnn.ops._grids.
"""

import numpy as np

from ._boxes import overlaps
from ._windows import array_module


def iou_matrix(a, b):
    """a (A, 4), b (B, 4) -> intersection over union (A, B); 0 where the union is nothing."""
    return overlaps(a[:, None], b)


def nms(boxes, groups, threshold, limit):
    """boxes (R, 4), groups (R,), best box first in each run of a group -> bool (R,): which stay.

    A box goes if one of its group that stays overlaps it by more than threshold
    (intersection over union). At most `limit` of a group stay.
    """
    xp = array_module(boxes)
    kept = xp.zeros(len(boxes), bool)
    ends = _ends(groups)
    waiting = xp.ones(len(boxes), bool)
    start = 0
    for end in ends:
        stay = 0
        for i in range(start, end):
            if stay == limit:
                break
            if waiting[i]:
                kept[i] = True
                stay += 1
                waiting[i + 1 : end] &= ~(overlaps(boxes[i], boxes[i + 1 : end]) > threshold)
        start = end
    return kept


def roi_max_pool(x, images, rows, columns):
    """x (N, C, H, W), images (R,), rows and columns (starts, stops) (R, I), (R, J) -> y, winner.

    y and winner are (R, C, I, J): the largest pixel of each cell, and its place
    h*W + w (int32); in an empty cell 0, and -1.
    """
    xp = array_module(x)
    (tops, bottoms), (lefts, rights) = ([t.tolist() for t in table] for table in (rows, columns))
    shape = (len(images), x.shape[1], rows[0].shape[1], columns[0].shape[1])
    y, winner = xp.zeros(shape, x.dtype), xp.full(shape, -1, np.int32)
    for r, n in enumerate(images.tolist()):
        for i, (top, bottom) in enumerate(zip(tops[r], bottoms[r], strict=True)):
            for j, (left, right) in enumerate(zip(lefts[r], rights[r], strict=True)):
                if bottom > top and right > left:
                    cell = x[n, :, top:bottom, left:right]
                    cell = cell.reshape(x.shape[1], (bottom - top) * (right - left))
                    best = cell.argmax(axis=1)  # the first NaN, or the first of the largest
                    y[r, :, i, j] = xp.take_along_axis(cell, best[:, None], axis=1)[:, 0]
                    h, w = best // (right - left) + top, best % (right - left) + left
                    winner[r, :, i, j] = h * x.shape[3] + w
    return y, winner


def roi_max_unpool(grad_y, winner, images, rows, columns, image_shape):
    """grad_y, winner (R, C, I, J) -> (N, C, H, W): every value added to its winner's place.

    rows and columns are those of the pooling: a kernel need not look for winners elsewhere.
    """
    del rows, columns
    xp = array_module(grad_y)
    n, c, height, width = image_shape
    grad_x = xp.zeros((n, c, height * width), grad_y.dtype)
    values = xp.where(winner >= 0, grad_y, 0)
    xp.add.at(grad_x, _places(winner, images), values)
    return grad_x.reshape(image_shape)


def roi_take_winners(x, winner, images):
    """x (N, C, H, W), winner (R, C, I, J) -> the pixels that won (R, C, I, J), else 0."""
    n, c, height, width = x.shape
    taken = x.reshape(n, c, height * width)[_places(winner, images)]
    return array_module(x).where(winner >= 0, taken, x.dtype.type(0))


def roi_sample(x, images, rows, columns):
    """x (N, C, H, W), images (R,), rows and columns (first, weights) -> y (R, C, I, J).

    first (R, I) and weights (R, I, K) say: output row i is the sum of the image's
    rows first[i] + k times weights[i, k]; columns likewise. What weighs 0 may be NaN.
    """
    xp = array_module(x)
    shape = (len(images), rows[0].shape[1], columns[0].shape[1], x.shape[1])
    y = xp.zeros(shape, _wide(x.dtype))
    for at, weight in _taps(x.shape, images, rows, columns):
        pixels = x[at].astype(y.dtype)  # (R, I, J, C)
        y += xp.where(weight != 0, weight.astype(y.dtype) * pixels, 0)
    return xp.moveaxis(y, -1, 1).astype(x.dtype)


def roi_spread(grad_y, images, rows, columns, image_shape):
    """grad_y (R, C, I, J) -> (N, C, H, W): each value added, by its weights, to what it came from.

    The transpose of `roi_sample`.
    """
    xp = array_module(grad_y)
    grad_x = xp.zeros(image_shape, _wide(grad_y.dtype))
    values = xp.moveaxis(grad_y, 1, -1).astype(grad_x.dtype)  # (R, I, J, C)
    for at, weight in _taps(image_shape, images, rows, columns):
        parts = xp.where(weight != 0, weight.astype(grad_x.dtype) * values, 0)
        xp.add.at(grad_x, at, parts)
    return grad_x.astype(grad_y.dtype)


def _ends(groups):
    """groups (R,), equal ones side by side -> where each run of them ends."""
    if not len(groups):
        return []
    changes = array_module(groups).nonzero(groups[1:] != groups[:-1])[0] + 1
    return [*changes.tolist(), len(groups)]


def _places(winner, images):
    """winner (R, C, I, J) -> its index in (N, C, H*W); that of nobody is 0."""
    xp = array_module(winner)
    channels = xp.arange(winner.shape[1])[:, None, None]
    return images[:, None, None, None], channels, xp.maximum(winner, 0).astype(np.int64)


def _taps(image_shape, images, rows, columns):
    """Yield the index of pixels (R, I, J, C) in the image, and their weights (R, I, J, 1)."""
    (first_row, row_weights), (first_column, column_weights) = rows, columns
    n = images[:, None, None, None]
    c = array_module(images).arange(image_shape[1])
    for k in range(row_weights.shape[2]):
        h = (first_row + k).clip(0, image_shape[2] - 1)[:, :, None, None]
        for m in range(column_weights.shape[2]):
            w = (first_column + m).clip(0, image_shape[3] - 1)[:, None, :, None]
            weight = row_weights[:, :, None, k] * column_weights[:, None, :, m]
            yield (n, c, h, w), weight[..., None]


def _wide(dtype):
    """Return the type to sum in."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype
