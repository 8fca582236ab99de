"""Regions of images on the CPU.

Memory is channels-last, so the innermost loop runs over channels that lie side
by side. Going forward, a piece of work is a few regions: each fills its own
part of the result. Going back, regions overlap in the image, so a piece of
work is a few channels: each pixel gets its parts in the order of the regions,
whatever the number of threads.
"""

import numpy as np

from .. import plain
from ..plain._boxes import areas
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST, channels_last, logical


def iou_matrix(a, b):
    """a (A, 4), b (B, 4) -> intersection over union (A, B); 0 where the union is nothing."""
    if a.dtype not in FAST or a.dtype != b.dtype:
        return plain.iou_matrix(a, b)
    sides = np.ascontiguousarray(b.T)  # each coordinate in a row, for the vector unit
    a, area_a, area_b = np.ascontiguousarray(a), areas(a), areas(b)
    y = _buffers.empty((len(a), len(b)), a.dtype)
    least = a.dtype.type(np.finfo(a.dtype).tiny ** 0.5)

    def work(_, start, stop):
        part = slice(start, stop)
        _iou_matrix(a[part], area_a[part], *sides, area_b, least, y[part])

    _parallel.run(work, _parallel.chunks(len(a)))
    return y


def nms(boxes, groups, threshold, limit):
    """boxes (R, 4), groups (R,), best box first in each run of a group -> bool (R,): which stay.

    A box goes if one of its group that stays overlaps it by more than threshold
    (intersection over union). At most `limit` of a group stay.
    """
    sides = np.ascontiguousarray(boxes.T)  # each coordinate in a row, for the vector unit
    kept = np.zeros(len(boxes), np.bool_)
    _nms(*sides, areas(boxes), groups, float(threshold), int(limit), kept)
    return kept


def roi_max_pool(x, images, rows, columns):
    """x (N, C, H, W), images (R,), rows and columns (starts, stops) (R, I), (R, J) -> y, winner.

    y and winner are (R, C, I, J): the largest pixel of each cell, and its place
    h*W + w (int32); in an empty cell 0, and -1.
    """
    if x.dtype not in FAST:
        return plain.roi_max_pool(x, images, rows, columns)
    x = channels_last(x)
    shape = (len(images), rows[0].shape[1], columns[0].shape[1], x.shape[3])
    y, winner = _buffers.empty(shape, x.dtype), _buffers.empty(shape, np.int32)

    def work(_, start, stop):
        part = slice(start, stop)
        cells = [table[part] for table in (*rows, *columns)]
        _roi_max_pool(x, images[part], *cells, y[part], winner[part])

    _parallel.run(work, _parallel.chunks(len(images)))
    return logical(y), logical(winner)


def roi_max_unpool(grad_y, winner, images, rows, columns, image_shape):
    """grad_y, winner (R, C, I, J) -> (N, C, H, W): every value added to its winner's place.

    rows and columns are those of the pooling: a kernel need not look for winners elsewhere.
    """
    if grad_y.dtype not in FAST:
        return plain.roi_max_unpool(grad_y, winner, images, rows, columns, image_shape)
    grad_y, winner = channels_last(grad_y), channels_last(winner)
    n, c, height, width = image_shape
    grad_x = _buffers.empty((n, height, width, c), grad_y.dtype)
    pixels = grad_x.reshape(n, height * width, c)

    def work(_, start, stop):
        _roi_max_unpool(grad_y, winner, images, pixels, start, stop)

    _parallel.run(work, _channels(c))
    return logical(grad_x)


def roi_take_winners(x, winner, images):
    """x (N, C, H, W), winner (R, C, I, J) -> the pixels that won (R, C, I, J), else 0."""
    return plain.roi_take_winners(x, winner, images)


def roi_sample(x, images, rows, columns):
    """x (N, C, H, W), images (R,), rows and columns (first, weights) -> y (R, C, I, J).

    first (R, I) and weights (R, I, K) say: output row i is the sum of the image's
    rows first[i] + k times weights[i, k]; columns likewise. What weighs 0 may be NaN.
    """
    if x.dtype not in FAST:
        return plain.roi_sample(x, images, rows, columns)
    x = channels_last(x)
    tables = _tables(rows, columns, x.dtype)
    shape = (len(images), rows[0].shape[1], columns[0].shape[1], x.shape[3])
    y = _buffers.empty(shape, x.dtype)

    def work(_, start, stop):
        part = slice(start, stop)
        _roi_sample(x, images[part], *(table[part] for table in tables), y[part])

    _parallel.run(work, _parallel.chunks(len(images)))
    return logical(y)


def roi_spread(grad_y, images, rows, columns, image_shape):
    """grad_y (R, C, I, J) -> (N, C, H, W): each value added, by its weights, to what it came from.

    The transpose of `roi_sample`.
    """
    if grad_y.dtype not in FAST:
        return plain.roi_spread(grad_y, images, rows, columns, image_shape)
    grad_y = channels_last(grad_y)
    tables = _tables(rows, columns, grad_y.dtype)
    n, c, height, width = image_shape
    grad_x = _buffers.empty((n, height, width, c), grad_y.dtype)

    def work(_, start, stop):
        _roi_spread(grad_y, images, *tables, grad_x, start, stop)

    _parallel.run(work, _channels(c))
    return logical(grad_x)


def _channels(count):
    """Cut channels into pieces, of 32 where there are many: fewer would not fill a vector."""
    return _parallel.chunks(count, most=min(16, max(1, count // 32)))


def _tables(rows, columns, dtype):
    """Return first row, its weights, first column, its weights, as the loops take them."""
    return rows[0], rows[1].astype(dtype), columns[0], columns[1].astype(dtype)


@njit
def _iou_matrix(a, area_a, top, left, bottom, right, area_b, least, y):
    zero = a.dtype.type(0)
    for i in range(len(a)):
        y0, x0, y1, x1 = a[i, 0], a[i, 1], a[i, 2], a[i, 3]
        for k in range(len(top)):
            height = min(y1, bottom[k]) - max(y0, top[k])
            width = min(x1, right[k]) - max(x0, left[k])
            shared = max(height, zero) * max(width, zero)
            union = area_a[i] + area_b[k] - shared
            y[i, k] = zero if union <= least else shared / union


@njit
def _nms(top, left, bottom, right, area, groups, threshold, limit, kept):
    count = len(kept)
    gone = np.zeros(count, np.bool_)
    start = 0
    while start < count:
        end = start
        while end < count and groups[end] == groups[start]:
            end += 1
        stay = 0
        for i in range(start, end):
            if stay == limit:
                break
            if gone[i]:
                continue
            kept[i] = True
            stay += 1
            y0, x0, y1, x1, own = top[i], left[i], bottom[i], right[i], area[i]
            for k in range(i + 1, end):
                height = min(y1, bottom[k]) - max(y0, top[k])
                width = min(x1, right[k]) - max(x0, left[k])
                shared = max(height, 0.0) * max(width, 0.0)
                union = own + area[k] - shared
                union = union if shared > 0.0 else 1.0
                gone[k] |= shared / union > threshold
        start = end


@njit
def _roi_max_pool(x, images, tops, bottoms, lefts, rights, y, winner):
    channels = x.shape[3]
    for r in range(y.shape[0]):
        image = x[images[r]]
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                top, left = tops[r, i], lefts[r, j]
                best, at = y[r, i, j], winner[r, i, j]
                if top >= bottoms[r, i] or left >= rights[r, j]:
                    best[:] = 0
                    at[:] = -1
                    continue
                for c in range(channels):
                    best[c] = image[top, left, c]
                    at[c] = top * x.shape[2] + left
                for h in range(top, bottoms[r, i]):
                    for w in range(left, rights[r, j]):
                        pixel, place = image[h, w], np.int32(h * x.shape[2] + w)
                        for c in range(channels):
                            v, b = pixel[c], best[c]
                            wins = (v > b) | ((v != v) & (b == b))  # the first NaN wins, and shows
                            best[c] = v if wins else b
                            at[c] = place if wins else at[c]


@njit
def _roi_max_unpool(grad_y, winner, images, grad_x, first, last):
    grad_x[:, :, first:last] = 0
    for r in range(grad_y.shape[0]):
        image = grad_x[images[r]]
        for i in range(grad_y.shape[1]):
            for j in range(grad_y.shape[2]):
                for c in range(first, last):
                    if winner[r, i, j, c] >= 0:
                        image[winner[r, i, j, c], c] += grad_y[r, i, j, c]


@njit
def _roi_sample(x, images, first_row, row_weights, first_column, column_weights, y):
    for r in range(y.shape[0]):
        image = x[images[r]]
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                total = y[r, i, j]
                total[:] = 0
                for k in range(row_weights.shape[2]):
                    if row_weights[r, i, k] == 0:
                        continue
                    for m in range(column_weights.shape[2]):
                        weight = row_weights[r, i, k] * column_weights[r, j, m]
                        if weight == 0:
                            continue
                        pixel = image[first_row[r, i] + k, first_column[r, j] + m]
                        for c in range(x.shape[3]):
                            total[c] += weight * pixel[c]


@njit
def _roi_spread(
    grad_y, images, first_row, row_weights, first_column, column_weights, grad_x, first, last
):
    grad_x[:, :, :, first:last] = 0
    for r in range(grad_y.shape[0]):
        image = grad_x[images[r]]
        for i in range(grad_y.shape[1]):
            for j in range(grad_y.shape[2]):
                g = grad_y[r, i, j]
                for k in range(row_weights.shape[2]):
                    if row_weights[r, i, k] == 0:
                        continue
                    for m in range(column_weights.shape[2]):
                        weight = row_weights[r, i, k] * column_weights[r, j, m]
                        if weight == 0:
                            continue
                        pixel = image[first_row[r, i] + k, first_column[r, j] + m]
                        for c in range(first, last):
                            pixel[c] += weight * g[c]
