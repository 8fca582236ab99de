"""Batch normalisation in array expressions, in float64 where sums are taken."""

import numpy as np


def moments(x):
    """x (N, C, *spatial) -> mean and variance of each channel, float64 (C,), in two passes."""
    axes = (0, *range(2, x.ndim))
    mean = x.mean(axis=axes, dtype=np.float64)
    deviation = x.astype(np.float64) - _along_channels(mean, x.ndim)
    return mean, (deviation * deviation).mean(axis=axes)


def normalize(x, mean, scale, beta):
    """y = (x - mean) * scale + beta, for each channel; mean, scale, beta are float64 (C,)."""
    mean, scale, beta = (_along_channels(a, x.ndim) for a in (mean, scale, beta))
    return ((x.astype(np.float64) - mean) * scale + beta).astype(x.dtype)


def normalize_sums(grad_y, x, mean):
    """Return sum(grad_y) and sum(grad_y * (x - mean)) of each channel, float64 (C,)."""
    axes = (0, *range(2, x.ndim))
    wide = grad_y.astype(np.float64)
    deviation = x.astype(np.float64) - _along_channels(mean, x.ndim)
    return wide.sum(axis=axes), (wide * deviation).sum(axis=axes)


def normalize_grad_x(grad_y, x, mean, a, b, c):
    """grad_x = a * grad_y + b * (x - mean) + c, for each channel; a, b, c, mean float64 (C,)."""
    mean, a, b, c = (_along_channels(v, x.ndim) for v in (mean, a, b, c))
    return (a * grad_y + b * (x.astype(np.float64) - mean) + c).astype(x.dtype)


def _along_channels(values, ndim):
    """values (C,) -> (1, C, 1, ...)."""
    return values.reshape(1, -1, *(1,) * (ndim - 2))
