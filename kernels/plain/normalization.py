"""Normalisation in array expressions, in float64 where sums are taken."""

import numpy as np

from ._windows import array_module


def moments(x, per_image):
    """x (N, C, *spatial) -> mean and variance of each channel, float64 (I, C), in two passes.

    I is N if each image has its own (`per_image`), and 1 if all of them share one.
    """
    axes = _axes(x, per_image)
    mean = x.mean(axis=axes, dtype=np.float64, keepdims=True)
    deviation = x.astype(np.float64) - mean
    shape = (x.shape[0] if per_image else 1, x.shape[1])
    return mean.reshape(shape), (deviation * deviation).mean(axis=axes).reshape(shape)


def normalize(x, mean, scale, beta):
    """y = (x - mean) * scale + beta, for each channel; mean, scale, beta are float64 (I, C)."""
    mean, scale, beta = (_along_channels(a, x.ndim) for a in (mean, scale, beta))
    return ((x.astype(np.float64) - mean) * scale + beta).astype(x.dtype)


def normalize_sums(grad_y, x, mean):
    """Return sum(grad_y) and sum(grad_y * (x - mean)) of each channel, float64 (I, C)."""
    axes = _axes(x, mean.shape[0] != 1)
    wide = grad_y.astype(np.float64)
    deviation = x.astype(np.float64) - _along_channels(mean, x.ndim)
    sums = wide.sum(axis=axes), (wide * deviation).sum(axis=axes)
    return tuple(s.reshape(mean.shape) for s in sums)


def normalize_grad_x(grad_y, x, mean, a, b, c):
    """grad_x = a * grad_y + b * (x - mean) + c, for each channel; a, b, c, mean float64 (I, C)."""
    mean, a, b, c = (_along_channels(v, x.ndim) for v in (mean, a, b, c))
    return (a * grad_y + b * (x.astype(np.float64) - mean) + c).astype(x.dtype)


def normalize_rows(x, gamma, beta, epsilon, centred):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each row of x (R, M).

    gamma, beta (M,).  Returns y, and mean and 1 / sqrt(...) of each row, float64 (R,).  Without
    `centred`, the mean counts as 0, and the variance is the mean square.
    """
    xp = array_module(x)
    wide = x.astype(np.float64)
    mean = wide.mean(axis=1) if centred else xp.zeros(len(x))
    deviation = wide - mean[:, None]
    rstd = 1.0 / xp.sqrt((deviation * deviation).mean(axis=1) + epsilon)
    y = deviation * rstd[:, None] * gamma + beta
    return y.astype(x.dtype), mean, rstd


def normalize_rows_grad(grad_y, x, gamma, mean, rstd, centred):
    """grad_y, x (R, M), gamma (M,), mean, rstd (R,) -> grad_x, grad_gamma, grad_beta (float64)."""
    wide = grad_y.astype(np.float64)
    z = (x.astype(np.float64) - mean[:, None]) * rstd[:, None]
    v = wide * gamma
    grad_x = v - z * (v * z).mean(axis=1, keepdims=True)
    if centred:
        grad_x = grad_x - v.mean(axis=1, keepdims=True)
    grad_x = (grad_x * rstd[:, None]).astype(x.dtype)
    return grad_x, (wide * z).sum(axis=0), wide.sum(axis=0)


def sum_channels(x, before, after):
    """x (N, C, *spatial) -> the sum over the channels from c - before to c + after, for each c."""
    y = x.copy()
    channels = x.shape[1]
    for step in range(-before, after + 1):
        size = channels - abs(step)
        if step and size > 0:
            to, since = max(-step, 0), max(step, 0)
            y[:, to : to + size] += x[:, since : since + size]
    return y


def _axes(x, per_image):
    return (*(() if per_image else (0,)), *range(2, x.ndim))


def _along_channels(values, ndim):
    """values (I, C) -> (I, C, 1, ...)."""
    return values.reshape(*values.shape, *(1,) * (ndim - 2))
