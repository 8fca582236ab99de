"""Convolution, batch normalisation and ReLU on the GPU, in as few sweeps over memory as there are.

Forward: the convolution writes y; `moments` reads it; normalisation and ReLU read it and write z.
Backward: one sweep over dL/dz and y for the two sums of each channel, one for dL/dy, and then the
convolution's own two gradients.  ReLU costs no sweep and no memory: where it let something pass is
found out again from y.  `kernels.plain.block` has the formulas, normalization.cu the kernels.
"""

from .. import plain
from . import _channels, _launch
from .activation import relu
from .convolution import conv, conv_grad_weight, conv_grad_x
from .normalization import moments


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
    if not (y.size and _launch.covers(y)):
        return plain.normalize_act(y, mean, scale, beta, rectified)
    return _channels.affine(y, mean, scale, beta, rectified)


def normalize_act_sums(grad_z, y, mean, scale, beta, rectified):
    """Return sum(g) and sum(g * (y - mean)) of each channel, (1, C), where g is dL/dv."""
    if not (y.size and _launch.covers(grad_z, y)):
        return plain.normalize_act_sums(grad_z, y, mean, scale, beta, rectified)
    return _channels.sums(grad_z, y, mean, scale, beta, rectified)


def conv_block_grad(grad_z, y, x, weight, normal, slopes, rectified, window, groups, wanted):
    """Return dL/dx and dL/dweight, each None unless it is wanted (a pair of bools).

    `normal` is (mean, scale, beta), and `slopes` are a, b, c of dL/dy = a*g + b*(y - mean) + c.
    """
    if not (y.size and _launch.covers(grad_z, y)):
        given = normal, slopes, rectified, window, groups, wanted
        return plain.conv_block_grad(grad_z, y, x, weight, *given)
    grad_y = _channels.slope(grad_z, y, normal, slopes, rectified)
    wants_x, wants_weight = wanted
    return (
        conv_grad_x(grad_y, weight, x.shape, window, groups) if wants_x else None,
        conv_grad_weight(grad_y, x, weight.shape, window, groups) if wants_weight else None,
    )
