"""Softmax and its logarithm, in array expressions; float16 is summed in float32."""

import numpy as np

from ._windows import array_module


def softmax(x, axis):
    """y_k = e**x_k / sum_j e**x_j along an axis."""
    xp = array_module(x)
    e = xp.exp(x - _largest(x, axis))
    return (e / _sum(e, axis)).astype(x.dtype)


def softmax_grad(grad_y, y, axis):
    """grad_x = y * (grad_y - sum_k y_k grad_y_k)."""
    wide_g, wide_y = _wide(grad_y), _wide(y)
    g = wide_y * (wide_g - (wide_g * wide_y).sum(axis=axis, keepdims=True))
    return g.astype(y.dtype)


def log_softmax(x, axis):
    """y_k = x_k - log sum_j e**x_j along an axis."""
    xp = array_module(x)
    shifted = x - _largest(x, axis)
    return (shifted - xp.log(_sum(xp.exp(shifted), axis))).astype(x.dtype)


def log_softmax_grad(grad_y, y, axis):
    """grad_x = grad_y - e**y * sum_k grad_y_k."""
    wide_g, wide_y = _wide(grad_y), _wide(y)
    g = wide_g - array_module(y).exp(wide_y) * wide_g.sum(axis=axis, keepdims=True)
    return g.astype(y.dtype)


def softmax_cross_entropy(x, labels, weights, smoothing):
    """x (N, K, ...), labels, weights (N, ...) -> losses (N, ...) and log_p, log softmax(x).

    losses = weights * -sum_k t_k log_p_k, where t = 1 - smoothing at the label, plus smoothing / K
    everywhere; what has weight 0 counts 0.
    """
    xp, log_p = array_module(x), log_softmax(x, 1)
    target = _target(log_p, labels, smoothing)
    terms = xp.where((target > 0) & (weights != 0)[:, None], log_p, log_p.dtype.type(0)) * target
    return -terms.sum(axis=1) * weights, log_p


def cross_entropy_grad(factors, log_p, labels, smoothing):
    """grad_x = factors * (e**log_p - t), of the logits x; 0 where the factor (N, ...) is."""
    xp = array_module(log_p)
    grad = factors[:, None] * (xp.exp(log_p) - _target(log_p, labels, smoothing))
    return xp.where((factors != 0)[:, None], grad, log_p.dtype.type(0))


def _largest(x, axis):
    return x.max(axis=axis, keepdims=True) if x.shape[axis] else x  # of nothing: nothing


def _target(log_p, labels, smoothing):
    classes = log_p.shape[1]
    numbers = array_module(log_p).arange(classes).reshape(1, classes, *(1,) * (labels.ndim - 1))
    target = (labels[:, None] == numbers) * log_p.dtype.type(1.0 - smoothing)
    target += log_p.dtype.type(smoothing / classes)
    return target


def _sum(e, axis):
    return e.sum(axis=axis, keepdims=True, dtype=np.promote_types(e.dtype, np.float32))


def _wide(x):
    return x.astype(np.float32) if x.dtype == np.float16 else x
