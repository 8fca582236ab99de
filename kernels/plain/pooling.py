"""Pooling in array expressions.

`spans` holds, for each spatial axis, (starts, counts, step): window i sees the
`counts[i]` pixels starts[i], starts[i] + step, ... of that axis, at least one.
A maximum or a sum over a box is one over its rows, then over the results, so
these kernels take one axis after the other.
"""

import math

import numpy as np

from ._windows import array_module


def max_pool(x, spans):
    """x (N, C, *IMAGE) -> y and winner (N, C, *OUT); winner is the int32 place d*H*W + h*W + w."""
    xp = array_module(x)
    y, winner, weight = x, xp.zeros(x.shape, np.int32), 1
    # The last axis first: of equal pixels that leaves the first one, row by row.
    for axis, span in _last_axis_first(spans):
        at, _ = _taps(xp, span)
        pixels = _along(xp.arange(x.shape[axis], dtype=np.int32), axis, x.ndim)
        places = xp.take(winner + pixels * np.int32(weight), at, axis)
        parts = xp.take(y, at, axis)
        best = _first_largest(xp, parts, axis + 1)
        y = xp.take_along_axis(parts, best, axis + 1).squeeze(axis + 1)
        winner = xp.take_along_axis(places, best, axis + 1).squeeze(axis + 1)
        weight *= x.shape[axis]
    return y, winner


def max_unpool(x, winner, image_shape, spans):
    """x and winner (N, C, *OUT) -> (N, C, *IMAGE): every value added to its winner's place.

    `spans` are those of the pooling (a kernel need not look for winners elsewhere), or None.
    """
    del spans
    xp = array_module(x)
    planes, pixels = math.prod(image_shape[:2]), math.prod(image_shape[2:])
    outputs = math.prod(x.shape[2:])
    y = xp.zeros((planes, pixels), x.dtype)
    rows = xp.arange(planes)[:, None]
    xp.add.at(y, (rows, winner.reshape(planes, outputs)), x.reshape(planes, outputs))
    return y.reshape(image_shape)


def take_winners(x, winner):
    """x (N, C, *IMAGE), winner (N, C, *OUT) -> the pixels that won (N, C, *OUT)."""
    flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    places = winner.reshape(*x.shape[:2], math.prod(winner.shape[2:])).astype(np.int64)
    return array_module(x).take_along_axis(flat, places, axis=2).reshape(winner.shape)


def sum_pool(x, spans, scale):
    """x (N, C, *IMAGE) -> `scale` times the sum of each window (N, C, *OUT)."""
    xp = array_module(x)
    for axis, span in _last_axis_first(spans):
        at, inside = _taps(xp, span)
        parts = xp.take(x, at, axis)
        parts = xp.where(_along(inside, axis, parts.ndim), parts, x.dtype.type(0))
        x = parts.sum(axis=axis + 1, dtype=x.dtype)
    return x * x.dtype.type(scale)


def sum_unpool(x, image_shape, spans, scale):
    """x (N, C, *OUT) -> (N, C, *IMAGE): `scale` times each value added to its window's pixels."""
    xp = array_module(x)
    for axis, span in _last_axis_first(spans):
        at, taps = _places_of_pixels(xp, span, image_shape[axis])
        parts = xp.take(x, at // taps, axis)  # the windows that see each pixel
        parts = xp.where(_along(at >= 0, axis, parts.ndim), parts, x.dtype.type(0))
        x = parts.sum(axis=axis + 1, dtype=x.dtype)
    return x * x.dtype.type(scale)


def lp_pool(x, spans, p):
    """x (N, C, *IMAGE) -> (sum |x|^p)^(1/p) of each window (N, C, *OUT).

    Every sum is of multiples of its largest number, so no power over- or underflows.
    """
    xp = array_module(x)
    x = abs(x)
    for axis, span in _last_axis_first(spans):
        at, inside = _taps(xp, span)
        parts = xp.take(x, at, axis)
        parts = xp.where(_along(inside, axis, parts.ndim), parts, x.dtype.type(0))
        largest = parts.max(axis=axis + 1, keepdims=True)
        largest = xp.minimum(largest, np.finfo(x.dtype).max)  # inf / inf were NaN
        scale = xp.where(largest > 0, largest, x.dtype.type(1))
        sums = ((parts / scale) ** p).sum(axis=axis + 1)
        x = scale.squeeze(axis + 1) * sums ** (1 / p)
    return x


def lp_unpool(grad_y, x, y, spans, power, odd):
    """Each grad_y (N, C, *OUT) spread over its window's pixels x (N, C, *IMAGE), in proportion.

    A pixel gets ``grad_y * (|x|/y)^power``, times the sign of x if `odd`; nothing where y is 0.
    """
    xp = array_module(x)
    windows, _ = _windows(x, spans)
    parts = _beside(grad_y) * _share(xp, windows, _beside(y), power, odd)
    for axis, span in _last_axis_first(spans):  # (..., O, K, ...) -> (..., PIXELS, ...)
        at, _ = _places_of_pixels(xp, span, x.shape[axis])
        place = 2 * axis - 2  # of axis O: those before it are in pairs (O, K) still
        shape = parts.shape
        flat = parts.reshape(*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :])
        parts = xp.take(flat, at, place)
        parts = xp.where(_along(at >= 0, place, parts.ndim), parts, x.dtype.type(0))
        parts = parts.sum(axis=place + 1, dtype=x.dtype)
    return parts


def lp_take(v, x, y, spans, power, odd):
    """Add up each window's v (N, C, *IMAGE) in the proportions of `lp_unpool`: its transpose."""
    xp = array_module(x)
    windows, inside = _windows(x, spans)
    share = _share(xp, windows, _beside(y), power, odd)
    parts = xp.where(inside, _windows(v, spans)[0] * share, x.dtype.type(0))
    return parts.sum(axis=tuple(range(3, parts.ndim, 2)), dtype=x.dtype)


def _share(xp, x, y, power, odd):
    """Return (|x|/y)^power, times the sign of x if odd; 0 where y is 0 or it were infinite."""
    none = (y == 0) | ((x == 0) & (power < 0))
    ratio = abs(xp.where(none, x.dtype.type(1), x)) / xp.where(none, x.dtype.type(1), y)
    share = ratio**power if power else ratio * 0 + 1  # NaN stays
    share = share * xp.sign(x) if odd else share
    return xp.where(none, x.dtype.type(0), share)


def _windows(x, spans):
    """x (N, C, *IMAGE) -> its windows (N, C, OD, KD, OH, KH, ...) and which places are theirs."""
    xp = array_module(x)
    rank = len(spans)
    mask = xp.ones((1,) * (2 + 2 * rank), bool)
    for axis, span in _last_axis_first(spans):
        at, inside = _taps(xp, span)
        x = xp.take(x, at, axis)
        mask = mask & _along(inside, 2 * axis - 2, 2 + 2 * rank)
    return x, mask


def _beside(y):
    """y (N, C, OD, OH, ...) -> (N, C, OD, 1, OH, 1, ...), to stand beside its windows."""
    return y.reshape(*y.shape[:2], *(n for out in y.shape[2:] for n in (out, 1)))


def _last_axis_first(spans):
    """Return (axis of x, span) for each spatial axis, from the last to the first."""
    return reversed(list(enumerate(spans, 2)))


def _taps(xp, span):
    """Span -> the pixels (O, K) that each window sees, and which of them are there.

    Windows that see fewer than K repeat their first.
    """
    starts, counts, step = span
    k = np.arange(counts.max())
    inside = k < counts[:, None]
    return xp.asarray(starts[:, None] + np.where(inside, step * k, 0)), xp.asarray(inside)


def _places_of_pixels(xp, span, pixels):
    """Span -> where each pixel stands in the taps (O * K), an array (PIXELS, M); -1: nowhere."""
    at, inside = _taps(np, span)
    seen = np.where(inside, at, pixels).reshape(-1)  # what is not there goes to the end
    order = np.argsort(seen, kind="stable")
    times = np.bincount(seen, minlength=pixels + 1)[:pixels]
    m = np.arange(max(int(times.max(initial=0)), 1))
    place = (np.cumsum(times) - times)[:, None] + m
    there = m < times[:, None]
    return xp.asarray(np.where(there, order[np.where(there, place, 0)], -1)), at.shape[1]


def _along(a, axis, rank):
    """Put the axes of a small array at `axis` and after, among `rank` axes."""
    return a.reshape((1,) * axis + a.shape + (1,) * (rank - axis - a.ndim))


def _first_largest(xp, parts, axis):
    """Return where the largest number stands along an axis, which stays: the first; NaN is it."""
    if parts.dtype.kind != "f":
        return xp.expand_dims(parts.argmax(axis=axis), axis)
    # Libraries differ in which of several NaN they find, but not in the first that is True.
    nan = parts != parts
    largest = xp.where(nan, np.inf, parts).max(axis=axis, keepdims=True)
    wins = xp.where(nan.any(axis=axis, keepdims=True), nan, parts == largest)
    return xp.expand_dims(wins.argmax(axis=axis), axis)
