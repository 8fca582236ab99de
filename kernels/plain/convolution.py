"""Convolution the textbook way, im2col: windows become rows that meet the filters in one product.

    y[n, o, i, j] = bias[o] + sum_{c, u, v} weight[o, c, u, v] * x[n, c, i*SH + u*DH, j*SW + v*DW]

(x padded; with groups, the sum runs over the channels of o's own group), and
likewise with one spatial axis or three: IN are the lengths of an image, K those
of the window, OUT those of the output.
"""

import math

from ._windows import add_windows, array_module, pad, windows


def conv(x, weight, bias, out_size, window, groups):
    """x (N, C, *IN), weight (O, C/groups, *K), bias (O,) or None -> y (N, O, *OUT)."""
    n, o = len(x), len(weight)
    y = _columns(x, out_size, window, groups) @ _filters(weight, groups)
    y = y.reshape(groups, n, math.prod(out_size), o // groups).transpose(1, 0, 3, 2)
    y = y.reshape(n, o, *out_size)
    return y if bias is None else y + bias.reshape(o, *(1,) * len(out_size))


def conv_grad_x(grad_y, weight, image_shape, window, groups):
    """grad_y (N, O, *OUT), weight -> grad_x (N, C, *IN): rows back to where they came from."""
    n, c = image_shape[:2]
    out = grad_y.shape[2:]
    columns = _rows(grad_y, groups) @ _filters(weight, groups).transpose(0, 2, 1)
    columns = columns.reshape(groups, n, math.prod(out), columns.shape[2]).transpose(1, 0, 3, 2)
    columns = columns.reshape(n, c * math.prod(window.size), math.prod(out))
    return col2im(columns, image_shape, out, window)


def conv_grad_weight(grad_y, x, kernel_shape, window, groups):
    """grad_y (N, O, *OUT), x (N, C, *IN) -> grad_weight (O, C/groups, *K)."""
    columns = _columns(x, grad_y.shape[2:], window, groups)
    grad = columns.transpose(0, 2, 1) @ _rows(grad_y, groups)  # (groups, C/groups*K, O/groups)
    return array_module(x).ascontiguousarray(grad.transpose(0, 2, 1).reshape(kernel_shape))


def im2col(x, out_size, window):
    """x (N, C, *IN) -> its windows (N, C*prod(K), prod(OUT)), one in each column."""
    rank = len(out_size)
    view = _windows_at(x, out_size, window)  # (N, C, *OUT, *K)
    view = view.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    return view.reshape(len(x), x.shape[1] * math.prod(window.size), math.prod(out_size))


def col2im(columns, image_shape, out_size, window):
    """columns (N, C*prod(K), prod(OUT)) -> (N, C, *IN): each number added to its pixel."""
    rank = len(out_size)
    parts = columns.reshape(*image_shape[:2], *window.size, *out_size)
    parts = parts.transpose(0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    return add_windows(parts, image_shape, window)


def _windows_at(x, out_size, window):
    """x -> view (N, C, *OUT, *K); there may be room for more windows than are asked for."""
    view = windows(pad(x, window), window)
    return view[(slice(None), slice(None), *map(slice, out_size))]


def _columns(x, out_size, window, groups):
    """x -> (groups, N*prod(OUT), C/groups*prod(K)), one row for each window."""
    n, c, rank = x.shape[0], x.shape[1] // groups, len(out_size)
    view = _windows_at(x, out_size, window)
    view = view.reshape(n, groups, c, *view.shape[2:])
    outputs, offsets = range(3, 3 + rank), range(3 + rank, 3 + 2 * rank)
    view = view.transpose(1, 0, *outputs, 2, *offsets)
    return view.reshape(groups, n * math.prod(out_size), c * math.prod(window.size))


def _filters(weight, groups):
    """weight -> (groups, C/groups*prod(K), O/groups), one column for each filter."""
    per_filter = math.prod(weight.shape[1:])
    return weight.reshape(groups, len(weight) // groups, per_filter).transpose(0, 2, 1)


def _rows(grad_y, groups):
    """grad_y -> (groups, N*prod(OUT), O/groups)."""
    n, o, *out = grad_y.shape
    by_group = grad_y.reshape(n, groups, o // groups, math.prod(out)).transpose(1, 0, 3, 2)
    return by_group.reshape(groups, n * math.prod(out), o // groups)
