"""Convolution, batch normalisation and ReLU as array expressions, one after the other.

In all of these ``v = (y - mean) * scale + beta`` for each channel, where y is what the convolution
gave, and ``z = max(v, 0)`` if `rectified`, else v. Statistics and coefficients are float64 (1, C).
"""

from .activation import relu, relu_grad
from .convolution import conv, conv_grad_weight, conv_grad_x
from .normalization import moments, normalize, normalize_grad_x, normalize_sums


def conv_moments(x, weight, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K) -> y (N, O, *OUT), its mean and variance (1, O)."""
    y = conv(x, weight, None, out_size, window, groups)
    return y, *moments(y, False)


def conv_act(x, weight, bias, normal, rectified, out_size, window, groups):
    """x (N, C, *IN) -> z (N, O, *OUT); `normal` is (mean, scale, beta), or None for v = y."""
    y = conv(x, weight, bias, out_size, window, groups)
    if normal is not None:
        return normalize_act(y, *normal, rectified)
    return relu(y) if rectified else y


def prepare_conv_act(x, weight, bias, normal, rectified, out_size, window, groups):
    """Return a function of arrays like x that does `conv_act`, for use with one set of weights."""
    return lambda x: conv_act(x, weight, bias, normal, rectified, out_size, window, groups)


def normalize_act(y, mean, scale, beta, rectified):
    """y (N, C, *spatial) -> z of its shape."""
    v = normalize(y, mean, scale, beta)
    return relu(v) if rectified else v


def normalize_act_sums(grad_z, y, mean, scale, beta, rectified):
    """Return sum(g) and sum(g * (y - mean)) of each channel, (1, C), where g is dL/dv."""
    g = _grad_v(grad_z, y, mean, scale, beta, rectified)
    return normalize_sums(g, y, mean)


def conv_block_grad(grad_z, y, x, weight, normal, slopes, rectified, window, groups, wanted):
    """Return dL/dx and dL/dweight, each None unless it is wanted (a pair of bools).

    `normal` is (mean, scale, beta), and `slopes` are a, b, c of dL/dy = a*g + b*(y - mean) + c.
    """
    g = _grad_v(grad_z, y, *normal, rectified)
    grad_y = normalize_grad_x(g, y, normal[0], *slopes)
    wants_x, wants_weight = wanted
    return (
        conv_grad_x(grad_y, weight, x.shape, window, groups) if wants_x else None,
        conv_grad_weight(grad_y, x, weight.shape, window, groups) if wants_weight else None,
    )


def _grad_v(grad_z, y, mean, scale, beta, rectified):
    """Return dL/dv: what passes through the activation."""
    return relu_grad(grad_z, normalize(y, mean, scale, beta)) if rectified else grad_z
