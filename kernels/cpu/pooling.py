"""Pooling on the CPU.

Memory is channels-last, so the innermost loop runs over channels that lie side
by side.  Signals and images are volumes one pixel deep (and high), so one loop
serves all; pixels and windows are numbered through, row by row.  One piece of
work is a few images: they share no data, so the scatters in the gradients need
no lock even where windows overlap.

`spans` holds, for each spatial axis, (starts, counts, step): window i sees the
`counts[i]` pixels starts[i], starts[i] + step, ... of that axis, at least one.
"""

import math

import numpy as np

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST, channels_last, logical

_ALL = np.array([0]), np.array([1]), 1  # the span of an axis that is not there


def max_pool(x, spans):
    """x (N, C, *IMAGE) -> y and winner (N, C, *OUT); winner is the int32 place d*H*W + h*W + w."""
    if x.dtype not in FAST:
        return plain.max_pool(x, spans)
    out_shape = _out_shape(x, spans)
    y, winner = _result(out_shape, x.dtype), _result(out_shape, np.int32)
    _each_image(_max_pool, [_rows(x)], [_flat(y), _flat(winner)], *_geometry(x.shape, spans))
    return logical(y), logical(winner)


def max_unpool(x, winner, image_shape, spans):
    """x and winner (N, C, *OUT) -> (N, C, *IMAGE): every value added to its winner's place.

    `spans` are those of the pooling (a kernel need not look for winners elsewhere), or None.
    """
    if x.dtype not in FAST:
        return plain.max_unpool(x, winner, image_shape, spans)
    y = _result(image_shape, x.dtype)
    _each_image(_max_unpool, [_rows(x), _rows(winner)], [_flat(y)])
    return logical(y)


def take_winners(x, winner):
    """x (N, C, *IMAGE), winner (N, C, *OUT) -> the pixels that won (N, C, *OUT)."""
    return plain.take_winners(x, winner)


def sum_pool(x, spans, scale):
    """x (N, C, *IMAGE) -> `scale` times the sum of each window (N, C, *OUT)."""
    if x.dtype not in FAST:
        return plain.sum_pool(x, spans, scale)
    y = _result(_out_shape(x, spans), x.dtype)
    geometry = _geometry(x.shape, spans)
    _each_image(_sum_pool, [_rows(x)], [_flat(y)], *geometry, x.dtype.type(scale))
    return logical(y)


def sum_unpool(x, image_shape, spans, scale):
    """x (N, C, *OUT) -> (N, C, *IMAGE): `scale` times each value added to its window's pixels."""
    if x.dtype not in FAST:
        return plain.sum_unpool(x, image_shape, spans, scale)
    y = _result(image_shape, x.dtype)
    geometry = _geometry(image_shape, spans)
    _each_image(_sum_unpool, [_rows(x)], [_flat(y)], *geometry, x.dtype.type(scale))
    return logical(y)


def lp_pool(x, spans, p):
    """x (N, C, *IMAGE) -> (sum |x|^p)^(1/p) of each window (N, C, *OUT).

    Every sum is of multiples of its largest number, so no power over- or underflows.
    """
    if x.dtype not in FAST:
        return plain.lp_pool(x, spans, p)
    y = _result(_out_shape(x, spans), x.dtype)
    number = x.dtype.type  # of one type all: mixed ones are computed in double precision
    _each_image(
        _lp_pool,
        [_rows(x)],
        [_flat(y)],
        *_geometry(x.shape, spans),
        number(p),
        number(1 / p),
        np.finfo(x.dtype).max,
    )
    return logical(y)


def lp_unpool(grad_y, x, y, spans, power, odd):
    """Each grad_y (N, C, *OUT) spread over its window's pixels x (N, C, *IMAGE), in proportion.

    A pixel gets ``grad_y * (|x|/y)^power``, times the sign of x if `odd`; nothing where y is 0.
    """
    if x.dtype not in FAST:
        return plain.lp_unpool(grad_y, x, y, spans, power, odd)
    grad_x = _result(x.shape, x.dtype)
    given = [_rows(a) for a in (grad_y, x, y)]
    geometry = _geometry(x.shape, spans)
    _each_image(_lp_unpool, given, [_flat(grad_x)], *geometry, x.dtype.type(power), bool(odd))
    return logical(grad_x)


def lp_take(v, x, y, spans, power, odd):
    """Add up each window's v (N, C, *IMAGE) in the proportions of `lp_unpool`: its transpose."""
    if x.dtype not in FAST:
        return plain.lp_take(v, x, y, spans, power, odd)
    taken = _result(y.shape, x.dtype)
    given = [_rows(a) for a in (v, x, y)]
    geometry = _geometry(x.shape, spans)
    _each_image(_lp_take, given, [_flat(taken)], *geometry, x.dtype.type(power), bool(odd))
    return logical(taken)


def _each_image(kernel, given, results, *more):
    """Run a kernel on fixed pieces of the batch."""

    def work(_, start, stop):
        kernel(*(a[start:stop] for a in given), *(a[start:stop] for a in results), *more)

    size = sum(a.nbytes for a in (*given, *results))
    _parallel.run(work, _parallel.grains(len(results[0]), size))


def _out_shape(x, spans):
    """Return (N, C, *OUT)."""
    return (*x.shape[:2], *(len(starts) for starts, _, _ in spans))


def _result(shape, dtype):
    """Return an empty C-contiguous (N, *IMAGE, C) for a logical shape (N, C, *IMAGE)."""
    n, c, *image = shape
    return _buffers.empty((n, *image, c), dtype)


def _rows(x):
    """x (N, C, *IMAGE) -> C-contiguous (N, PIXELS, C)."""
    return _flat(channels_last(x))


def _flat(x):
    """x (N, *IMAGE, C) -> view (N, PIXELS, C)."""
    return x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])


def _geometry(image_shape, spans):
    """Return the spans of D, H and W, as three starts, counts and steps, and (H, W)."""
    three = (_ALL, _ALL, *spans)[-3:]
    return tuple(zip(*three, strict=True)), (1, 1, *image_shape[2:])[-2:]


# Channels may be few, so nothing here makes a view of a pixel; and unsigned indices need no test
# for being negative, which would keep the loops over channels from being vectorised.
@njit
def _max_pool(x, y, winner, spans, plane):
    (d_start, h_start, w_start), (d_count, h_count, w_count), (d_step, h_step, w_step) = spans
    height, width = plane
    source, best, at = x.reshape(-1), y.reshape(-1), winner.reshape(-1)
    images, pixels, channels = x.shape[0], x.shape[1], np.uint64(x.shape[2])
    to = np.uint64(0)
    for n in range(images):
        for q in range(len(d_start)):
            for i in range(len(h_start)):
                corner, depths, rows = d_start[q] * height + h_start[i], d_count[q], h_count[i]
                for j in range(len(w_start)):
                    first, columns = corner * width + w_start[j], w_count[j]
                    place = np.uint64(n * pixels + first) * channels
                    if depths == 1 and rows == 2 and columns == 2:
                        down, across = h_step * width, w_step
                        _best_of_4(source, best, at, place, to, first, down, across, channels)
                        to += channels
                        continue
                    for c in range(channels):
                        best[to + c] = source[place + c]
                        at[to + c] = first
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            if columns == 3:
                                place = np.uint64(n * pixels + row) * channels
                                _better_of_3(source, best, at, place, to, row, w_step, channels)
                                continue
                            for w in range(columns):
                                here = np.int32(row + w * w_step)
                                place = np.uint64(n * pixels + here) * channels
                                for c in range(channels):
                                    v, b = source[place + c], best[to + c]
                                    wins = (v > b) | ((v != v) & (b == b))  # a NaN shows
                                    best[to + c] = v if wins else b
                                    at[to + c] = here if wins else at[to + c]
                    to += channels


@njit
def _best_of_4(x, y, winner, place, to, first, down, across, channels):
    """Take the largest of 2x2 pixels, for each channel, and where it is."""
    p0, p1 = np.int32(first), np.int32(first + across)
    p2, p3 = np.int32(first + down), np.int32(first + down + across)
    below, right = np.uint64(down) * channels, np.uint64(across) * channels
    for c in range(channels):
        b, v = x[place + c], x[place + right + c]
        wins = (v > b) | ((v != v) & (b == b))
        b, p = v if wins else b, p1 if wins else p0
        v = x[place + below + c]
        wins = (v > b) | ((v != v) & (b == b))
        b, p = v if wins else b, p2 if wins else p
        v = x[place + below + right + c]
        wins = (v > b) | ((v != v) & (b == b))
        y[to + c], winner[to + c] = v if wins else b, p3 if wins else p


@njit
def _better_of_3(x, y, winner, place, to, first, step, channels):
    """Compare what is the largest so far with three pixels in a row, for each channel."""
    p0, p1, p2 = np.int32(first), np.int32(first + step), np.int32(first + 2 * step)
    right = np.uint64(step) * channels
    for c in range(channels):
        b, p = y[to + c], winner[to + c]
        v = x[place + c]
        wins = (v > b) | ((v != v) & (b == b))
        b, p = v if wins else b, p0 if wins else p
        v = x[place + right + c]
        wins = (v > b) | ((v != v) & (b == b))
        b, p = v if wins else b, p1 if wins else p
        v = x[place + right + right + c]
        wins = (v > b) | ((v != v) & (b == b))
        y[to + c], winner[to + c] = v if wins else b, p2 if wins else p


@njit
def _max_unpool(x, winner, y):
    y[:] = 0
    images, windows, channels = x.shape
    source, places, target = x.reshape(-1), winner.reshape(-1), y.reshape(-1)
    at, many = np.uint64(0), np.uint64(channels)
    for n in range(images):
        first = np.uint64(n * y.shape[1]) * many
        for _ in range(windows):
            for c in range(many):
                target[first + np.uint64(places[at + c]) * many + c] += source[at + c]
            at += many


@njit
def _sum_pool(x, y, spans, plane, scale):
    (d_start, h_start, w_start), (d_count, h_count, w_count), (d_step, h_step, w_step) = spans
    height, width = plane
    source, total = x.reshape(-1), y.reshape(-1)
    images, pixels, channels = x.shape[0], x.shape[1], np.uint64(x.shape[2])
    total[:] = 0
    to = np.uint64(0)
    for n in range(images):
        for q in range(len(d_start)):
            for i in range(len(h_start)):
                corner, depths, rows = d_start[q] * height + h_start[i], d_count[q], h_count[i]
                for j in range(len(w_start)):
                    first, columns = corner * width + w_start[j], w_count[j]
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            for w in range(columns):
                                place = np.uint64(n * pixels + row + w * w_step) * channels
                                for c in range(channels):
                                    total[to + c] += source[place + c]
                    to += channels
    for k in range(len(total)):
        total[k] *= scale


@njit
def _sum_unpool(x, y, spans, plane, scale):
    (d_start, h_start, w_start), (d_count, h_count, w_count), (d_step, h_step, w_step) = spans
    height, width = plane
    source, target = x.reshape(-1), y.reshape(-1)
    images, pixels, channels = y.shape[0], y.shape[1], np.uint64(y.shape[2])
    target[:] = 0
    at = np.uint64(0)
    for n in range(images):
        for q in range(len(d_start)):
            for i in range(len(h_start)):
                corner, depths, rows = d_start[q] * height + h_start[i], d_count[q], h_count[i]
                for j in range(len(w_start)):
                    first, columns = corner * width + w_start[j], w_count[j]
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            for w in range(columns):
                                place = np.uint64(n * pixels + row + w * w_step) * channels
                                for c in range(channels):
                                    target[place + c] += scale * source[at + c]
                    at += channels


@njit
def _lp_pool(x, y, spans, plane, p, root, most):
    (d_start, h_start, w_start), (d_count, h_count, w_count), (d_step, h_step, w_step) = spans
    height, width = plane
    sums, ratio = np.empty(x.shape[2], x.dtype), np.empty(x.shape[2], x.dtype)
    for n in range(x.shape[0]):
        o = 0
        for q in range(len(d_start)):
            for i in range(len(h_start)):
                corner, depths, rows = d_start[q] * height + h_start[i], d_count[q], h_count[i]
                for j in range(len(w_start)):
                    first, columns = corner * width + w_start[j], w_count[j]
                    scale = y[n, o]
                    scale[:] = 0
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            for w in range(columns):
                                place = row + w * w_step
                                pixel = x[n, place]
                                for c in range(x.shape[2]):
                                    scale[c] = max(scale[c], abs(pixel[c]))
                    for c in range(x.shape[2]):
                        # inf / inf were NaN; and NaN or zeros alone need no scale
                        scale[c] = min(scale[c], most) if scale[c] > 0 else 1
                    sums[:] = 0
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            for w in range(columns):
                                place = row + w * w_step
                                pixel = x[n, place]
                                for c in range(x.shape[2]):
                                    ratio[c] = abs(pixel[c]) / scale[c]
                                _raise(ratio, p)
                                for c in range(x.shape[2]):
                                    sums[c] += ratio[c]
                    _raise(sums, root)
                    for c in range(x.shape[2]):
                        scale[c] *= sums[c]
                    o += 1


@njit
def _lp_unpool(grad_y, x, y, grad_x, spans, plane, power, odd):
    (d_start, h_start, w_start), (d_count, h_count, w_count), (d_step, h_step, w_step) = spans
    height, width = plane
    grad_x[:] = 0
    share = np.empty(x.shape[2], x.dtype)
    for n in range(x.shape[0]):
        o = 0
        for q in range(len(d_start)):
            for i in range(len(h_start)):
                corner, depths, rows = d_start[q] * height + h_start[i], d_count[q], h_count[i]
                for j in range(len(w_start)):
                    first, columns = corner * width + w_start[j], w_count[j]
                    g, whole = grad_y[n, o], y[n, o]
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            for w in range(columns):
                                place = row + w * w_step
                                _share(x[n, place], whole, power, odd, share)
                                grad_pixel = grad_x[n, place]
                                for c in range(x.shape[2]):
                                    grad_pixel[c] += g[c] * share[c]
                    o += 1


@njit
def _lp_take(v, x, y, taken, spans, plane, power, odd):
    (d_start, h_start, w_start), (d_count, h_count, w_count), (d_step, h_step, w_step) = spans
    height, width = plane
    taken[:] = 0
    share = np.empty(x.shape[2], x.dtype)
    for n in range(x.shape[0]):
        o = 0
        for q in range(len(d_start)):
            for i in range(len(h_start)):
                corner, depths, rows = d_start[q] * height + h_start[i], d_count[q], h_count[i]
                for j in range(len(w_start)):
                    first, columns = corner * width + w_start[j], w_count[j]
                    total, whole = taken[n, o], y[n, o]
                    for d in range(depths):
                        for h in range(rows):
                            row = first + (d * d_step * height + h * h_step) * width
                            for w in range(columns):
                                place = row + w * w_step
                                _share(x[n, place], whole, power, odd, share)
                                part = v[n, place]
                                for c in range(x.shape[2]):
                                    total[c] += part[c] * share[c]
                    o += 1


@njit
def _raise(a, exponent):
    """Raise numbers >= 0 to a power, in place; to the usual ones without the slow function."""
    if exponent == 0:
        for c in range(len(a)):
            a[c] = a[c] * 0 + 1  # NaN stays
    elif exponent == 2:
        for c in range(len(a)):
            a[c] *= a[c]
    elif exponent == 0.5:
        for c in range(len(a)):
            a[c] = np.sqrt(a[c])
    elif exponent != 1:
        for c in range(len(a)):
            a[c] = a[c] ** exponent


@njit
def _share(x, y, power, odd, share):
    """Write (|x|/y)^power, times the sign of x if odd; 0 where y is 0 or it were infinite."""
    for c in range(len(share)):
        share[c] = abs(x[c]) / y[c]
    _raise(share, power)
    for c in range(len(share)):
        # Where x is 0, powers below 0 have no value, and a sign is 0 whatever stands beside it.
        none = (y[c] == 0) | ((x[c] == 0) & (power < odd))
        signed = -share[c] if odd & (x[c] < 0) else share[c]
        share[c] = 0 if none else signed
