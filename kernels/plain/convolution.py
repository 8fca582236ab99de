"""Convolution the textbook way, im2col: windows become rows that meet the filters in one product.

    y[n, o, i, j] = bias[o] + sum_{c, u, v} weight[o, c, u, v] * x[n, c, i*SH + u*DH, j*SW + v*DW]

(x padded; with groups, the sum runs over the channels of o's own group.)
"""

import numpy as np

from ._windows import add_windows, array_module, pad, windows


def conv2d(x, weight, bias, window, groups):
    """x (N, C, H, W), weight (O, C/groups, KH, KW), bias (O,) or None -> y (N, O, OH, OW)."""
    y = _columns(x, window, groups) @ _filters(weight, groups)  # (groups, N*OH*OW, O/groups)
    out = windows(pad(x[:1], window), window).shape[2:4]
    y = y.reshape(groups, x.shape[0], *out, y.shape[2]).transpose(1, 0, 4, 2, 3)
    y = y.reshape(x.shape[0], weight.shape[0], *out)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


def conv2d_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, OH, OW), weight -> grad_x (N, C, H, W): rows back to where they came from."""
    n, _, out_h, out_w = grad_y.shape
    rows = _rows(grad_y, groups) @ _filters(weight, groups).transpose(0, 2, 1)
    parts = rows.reshape(groups, n, out_h, out_w, image_shape[1] // groups, *window.size)
    parts = parts.transpose(1, 0, 4, 2, 3, 5, 6)
    parts = parts.reshape(n, image_shape[1], out_h, out_w, *window.size)
    return add_windows(parts, image_shape, window)


def conv2d_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, OH, OW), x (N, C, H, W) -> grad_weight (O, C/groups, KH, KW)."""
    out = grad_y.shape[2:]
    columns = _columns(x, window, groups, out)
    grad = columns.transpose(0, 2, 1) @ _rows(grad_y, groups)  # (groups, C/groups*KH*KW, O/groups)
    return array_module(x).ascontiguousarray(grad.transpose(0, 2, 1).reshape(kernel_shape))


def _columns(x, window, groups, out=None):
    """x -> (groups, N*OH*OW, C/groups*KH*KW), one row for each window."""
    view = windows(pad(x, window), window)
    if out is not None:
        view = view[:, :, : out[0], : out[1]]
    n, c, out_h, out_w, size_h, size_w = view.shape
    view = view.reshape(n, groups, c // groups, out_h, out_w, size_h, size_w)
    return view.transpose(1, 0, 3, 4, 2, 5, 6).reshape(
        groups, n * out_h * out_w, c // groups * size_h * size_w
    )


def _filters(weight, groups):
    """weight -> (groups, C/groups*KH*KW, O/groups), one column for each filter."""
    per_filter = int(np.prod(weight.shape[1:]))
    return weight.reshape(groups, weight.shape[0] // groups, per_filter).transpose(0, 2, 1)


def _rows(grad_y, groups):
    """grad_y -> (groups, N*OH*OW, O/groups)."""
    n, o, out_h, out_w = grad_y.shape
    by_group = grad_y.reshape(n, groups, o // groups, out_h, out_w)
    return by_group.transpose(1, 0, 3, 4, 2).reshape(groups, n * out_h * out_w, o // groups)
