"""The numbers of batch normalisation that every channel has one of: one launch a function.

They stay on the device; nobody waits for them.
"""

import cupy
import numpy as np

from .. import plain
from . import _launch

_FILE = "coefficients"
_WIDE, _KEPT = np.dtype(np.float64), np.dtype(np.float32)


def normalize_coefficients(mean, var, gamma, beta, epsilon):
    """Return mean, rstd = 1 / sqrt(var + epsilon), scale = gamma * rstd, shift = beta: (I, C).

    mean, var (I, C), gamma and beta (C,) or None: 1 and 0. What is returned is float64.
    """
    given = [a for a in (gamma, beta) if a is not None]
    known = _launch.covers(mean, var) and (not given or _launch.covers(*given))
    if not (var.size and known and var.dtype in (_WIDE, _KEPT)):
        return plain.normalize_coefficients(mean, var, gamma, beta, epsilon)
    kernel, wide_mean = "batch_coefficients", mean
    means = []  # what is read and written of them, if they are to be widened
    if var.dtype == _KEPT:
        kernel, wide_mean = "moving_coefficients", cupy.empty(mean.shape, _WIDE)
        means = [cupy.ascontiguousarray(mean), wide_mean]
    kernel += f"<{_launch.NAMES[given[0].dtype] if given else 'float'}>"
    read = [a if a is None else cupy.ascontiguousarray(a) for a in (var, gamma, beta)]
    found = [cupy.empty(var.shape, _WIDE) for _ in range(3)]
    sizes = var.size, var.shape[1], float(epsilon)
    _launch.flat(_FILE, kernel, var.size, *means, *read, *found, *sizes)
    return wide_mean, *found


def normalize_slopes(total, product, scale, rstd, count, dtype):
    """Return b and c (1, C) of dL/dy = a*g + b*(y - mean) + c, and dL/dgamma and dL/dbeta (C,).

    total = sum(g) and product = sum(g * (y - mean)) are over the `count` values of a channel, and
    a = scale = gamma * rstd; all are float64 (1, C), but dL/dgamma and dL/dbeta of `dtype`.
    """
    if not (rstd.size and dtype in _launch.NAMES):
        return plain.normalize_slopes(total, product, scale, rstd, count, dtype)
    known = [cupy.ascontiguousarray(a, _WIDE) for a in (total, product, scale, rstd)]
    b, c = (cupy.empty(rstd.shape, _WIDE) for _ in range(2))
    grads = [cupy.empty(rstd.shape[1:], dtype) for _ in range(2)]
    kernel = f"slopes<{_launch.NAMES[dtype]}>"
    _launch.flat(_FILE, kernel, rstd.size, *known, b, c, *grads, rstd.size, float(count))
    return b, c, *grads


def move_averages(mean, var, updates, batch_mean, batch_var, decay, count):
    """Return mean, var (C,) and updates () after one more batch, as new arrays.

    moving = decay * moving + (1 - decay) * batch, where the batch's variance, which is the biased
    one of `count` values, is made the unbiased one.
    """
    if not (
        mean.size
        and _launch.covers(mean, var)
        and batch_mean.dtype == batch_var.dtype == _WIDE
        and updates.dtype == np.int64
    ):
        given = updates, batch_mean, batch_var, decay, count
        return plain.move_averages(mean, var, *given)
    old, batch = (
        [cupy.ascontiguousarray(a) for a in pair] for pair in ((mean, var), (batch_mean, batch_var))
    )
    moved = [cupy.empty(a.shape, a.dtype) for a in (mean, var, updates)]
    kernel = f"move_averages<{_launch.NAMES[mean.dtype]}>"
    settings = mean.size, float(decay), float(count / (count - 1))
    _launch.flat(_FILE, kernel, mean.size, *old, updates, *batch, *moved, *settings)
    return tuple(moved)
