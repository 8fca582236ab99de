"""The numbers of batch normalisation that every channel has one of: a loop for each function.

With tens of channels, each array expression costs ten times what its arithmetic does.
"""

import numpy as np

from .. import plain
from ._jit import njit, njit_as_written
from ._layout import FAST

_WIDE = np.dtype(np.float64)


def normalize_coefficients(mean, var, gamma, beta, epsilon):
    """Return mean, rstd = 1 / sqrt(var + epsilon), scale = gamma * rstd, shift = beta: (I, C).

    mean, var (I, C), gamma and beta (C,) or None: 1 and 0. What is returned is float64.
    """
    if gamma is None or beta is None or gamma.dtype not in FAST or beta.dtype not in FAST:
        return plain.normalize_coefficients(mean, var, gamma, beta, epsilon)
    if not (mean.dtype == var.dtype == _WIDE):
        mean, var = mean.astype(_WIDE), var.astype(_WIDE)
    rstd, scale, shift = np.empty(var.shape), np.empty(var.shape), np.empty(var.shape)
    _coefficients(var, gamma, beta, epsilon, rstd, scale, shift)
    return mean, rstd, scale, shift


def normalize_slopes(total, product, scale, rstd, count, dtype):
    """Return b and c (1, C) of dL/dy = a*g + b*(y - mean) + c, and dL/dgamma and dL/dbeta (C,).

    total = sum(g) and product = sum(g * (y - mean)) are over the `count` values of a channel, and
    a = scale = gamma * rstd; all are float64 (1, C), but dL/dgamma and dL/dbeta of `dtype`.
    """
    if dtype not in FAST:
        return plain.normalize_slopes(total, product, scale, rstd, count, dtype)
    b, c = np.empty(rstd.shape), np.empty(rstd.shape)
    grad_gamma, grad_beta = np.empty(rstd.shape[1], dtype), np.empty(rstd.shape[1], dtype)
    _slopes(total, product, scale, rstd, float(count), b, c, grad_gamma, grad_beta)
    return b, c, grad_gamma, grad_beta


def move_averages(mean, var, updates, batch_mean, batch_var, decay, count):
    """Return mean, var (C,) and updates () after one more batch, as new arrays.

    moving = decay * moving + (1 - decay) * batch, where the batch's variance, which is the biased
    one of `count` values, is made the unbiased one.
    """
    given = updates, batch_mean, batch_var, decay, count
    if not (
        mean.dtype == var.dtype
        and var.dtype in FAST
        and batch_mean.dtype == batch_var.dtype == _WIDE
        and updates.dtype == np.int64
    ):
        return plain.move_averages(mean, var, *given)
    moved = np.empty(mean.shape, mean.dtype), np.empty(mean.shape, mean.dtype)
    old = mean, var, batch_mean, batch_var
    _move(*old, mean.dtype.type(decay), 1 - decay, count / (count - 1), *moved)
    return *moved, np.asarray(updates + 1)


@njit
def _coefficients(var, gamma, beta, epsilon, rstd, scale, shift):
    for i in range(len(var)):
        for c in range(var.shape[1]):
            rstd[i, c] = 1.0 / np.sqrt(var[i, c] + epsilon)
            scale[i, c] = gamma[c] * rstd[i, c]
            shift[i, c] = beta[c]


@njit
def _slopes(total, product, scale, rstd, count, b, c, grad_gamma, grad_beta):
    for i in range(len(grad_gamma)):
        grad, share = product[0, i] * rstd[0, i], scale[0, i] / -count
        b[0, i] = share * rstd[0, i] * grad
        c[0, i] = share * total[0, i]
        grad_gamma[i] = grad
        grad_beta[i] = total[0, i]


@njit_as_written
def _move(mean, var, batch_mean, batch_var, decay, rest, unbiased, new_mean, new_var):
    for c in range(len(mean)):
        new_mean[c] = np.float64(decay * mean[c]) + rest * batch_mean[c]
        new_var[c] = np.float64(decay * var[c]) + rest * (batch_var[c] * unbiased)
