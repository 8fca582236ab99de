"""Sums and extremes along axes, in array expressions."""

import numpy as np

from ._windows import array_module


def sum_over(x, axes):
    """x -> its sums over some axes, which stay with length 1; float16 is summed in float32."""
    if x.dtype == np.float16:
        return x.sum(axis=axes, keepdims=True, dtype=np.float32).astype(x.dtype)
    return x.sum(axis=axes, keepdims=True)


def extreme_over(x, axes, largest):
    """x -> its largest (or smallest) numbers along axes, which stay with length 1; NaN wins."""
    return (x.max if largest else x.min)(axis=axes, keepdims=True)


def extreme_over_grad(grad_y, x, y):
    """Share each grad_y equally between the x that equal y; grad_y and y have axes of length 1."""
    xp = array_module(x)
    wins = (x == y) | (x != x)  # a NaN always wins
    axes = tuple(a for a, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)) if n != m)
    share = xp.where(wins, 1.0 / wins.sum(axis=axes, keepdims=True), 0.0)
    return grad_y * share.astype(x.dtype)
