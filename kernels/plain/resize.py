"""Linear maps along one axis: each output a weighted sum of a few inputs, and the transpose."""

import numpy as np

from ._windows import array_module


def sample_axis(x, axis, index, weight):
    """y[..., i, ...] = sum over t of weight[i, t] * x[..., index[i, t], ...], along an axis of x.

    index int64 and weight float64 (O, T).  What has weight 0 is not looked at, be it NaN.
    """
    xp = array_module(x)
    at = [xp.asarray(column) for column in index.T]
    if x.dtype.kind != "f":  # copies of whole numbers
        return xp.take(x, at[0], axis=axis)
    y = 0
    for place, column in zip(at, weight.T, strict=True):
        scale = _along(column, axis, x)
        taken = xp.take(x, place, axis=axis)
        y = y + xp.where(scale == 0, scale, taken * scale)
    return y.astype(x.dtype)


def spread_axis(grad_y, axis, index, weight, length):
    """The transpose of `sample_axis`, to an axis of `length` elements."""
    xp = array_module(grad_y)
    rows = xp.moveaxis(grad_y, axis, 0).astype(_wide(grad_y))
    grad_x = xp.zeros((length, *rows.shape[1:]), rows.dtype)
    for row, places, weights in zip(rows, index.tolist(), weight.tolist(), strict=True):
        for place, scale in zip(places, weights, strict=True):
            if scale != 0:
                grad_x[place] += scale * row
    return xp.moveaxis(grad_x, 0, axis).astype(grad_y.dtype)


def _along(column, axis, x):
    """column (O,) -> of x's type or a wider one, to be broadcast along its axis."""
    column = array_module(x).asarray(column.astype(_wide(x)))
    return column.reshape(-1, *(1,) * (x.ndim - axis - 1))


def _wide(x):
    return np.float32 if x.dtype == np.float16 else x.dtype
