"""Normalisation on the GPU: sums and affine maps of channels, and of rows.

Statistics and coefficients are small arrays of float64, and stay on the device.
"""

import cupy
import numpy as np

from .. import plain
from . import _channels, _launch
from ._layout import channels_last, logical

_FILE = "row_normalization"
_KEPT, _GRAD_KEPT = (1, 4), (2, 2)  # packs of a row that a thread keeps, as in the .cu
_MOST = 512  # threads of a row
_RUN = 32  # numbers that are added up in single precision
_BLOCKS = 512  # about as many add up dL/dgamma and dL/dbeta


def moments(x, per_image):
    """x (N, C, *spatial) -> mean and variance of each channel, float64 (I, C).

    I is N if each image has its own (`per_image`), and 1 if all of them share one.
    """
    if not (x.size and _launch.covers(x)):
        return plain.moments(x, per_image)
    return _channels.moments(x, len(x) if per_image else 1)


def normalize(x, mean, scale, beta):
    """y = (x - mean) * scale + beta, for each channel; mean, scale, beta are float64 (I, C)."""
    if not (x.size and _launch.covers(x)):
        return plain.normalize(x, mean, scale, beta)
    return _channels.affine(x, mean, scale, beta, False)


def normalize_sums(grad_y, x, mean):
    """Return sum(grad_y) and sum(grad_y * (x - mean)) of each channel, float64 (I, C)."""
    if not (x.size and _launch.covers(grad_y, x)):
        return plain.normalize_sums(grad_y, x, mean)
    return _channels.sums(grad_y, x, mean, mean, mean, False)


def normalize_grad_x(grad_y, x, mean, a, b, c):
    """grad_x = a * grad_y + b * (x - mean) + c, for each channel; a, b, c, mean float64 (I, C)."""
    if not (x.size and _launch.covers(grad_y, x)):
        return plain.normalize_grad_x(grad_y, x, mean, a, b, c)
    return _channels.slope(grad_y, x, (mean, mean, mean), (a, b, c), False)


def normalize_rows(x, gamma, beta, epsilon, centred):
    """y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, for each row of x (R, M).

    gamma, beta (M,).  Returns y, and mean and 1 / sqrt(...) of each row, float64 (R,).  Without
    `centred`, the mean counts as 0, and the variance is the mean square.
    """
    if not (x.size and _launch.covers(x, gamma, beta)):
        return plain.normalize_rows(x, gamma, beta, epsilon, centred)
    x, gamma, beta = (cupy.ascontiguousarray(a) for a in (x, gamma, beta))
    y = cupy.empty(x.shape, x.dtype)
    mean, rstd = (cupy.empty(len(x), np.float64) for _ in range(2))
    whole, block, _ = _rows(x, _KEPT, gamma, beta, y)
    _launch.launch(
        _FILE,
        f"normalize_rows<{_launch.NAMES[x.dtype]}>",
        (-(-len(x) // block[1]),),
        block,
        *(x, gamma, beta, y, mean, rstd, *x.shape),
        *(float(epsilon), np.bool_(whole), np.bool_(centred)),
    )
    return y, mean, rstd


def normalize_rows_grad(grad_y, x, gamma, mean, rstd, centred):
    """grad_y, x (R, M), gamma (M,), mean, rstd (R,) -> grad_x, grad_gamma, grad_beta (float64)."""
    if not (x.size and _launch.covers(grad_y, x, gamma)):
        return plain.normalize_rows_grad(grad_y, x, gamma, mean, rstd, centred)
    grad_y, x, gamma = (cupy.ascontiguousarray(a) for a in (grad_y, x, gamma))
    mean, rstd = (cupy.ascontiguousarray(a, np.float64) for a in (mean, rstd))
    grad_x = cupy.empty(x.shape, x.dtype)
    whole, block, stays = _rows(x, _GRAD_KEPT, grad_y, gamma, grad_x)
    each = min(_RUN, -(-len(x) // (block[1] * _BLOCKS)))
    chunk = block[1] * each
    chunks = -(-len(x) // chunk)
    parts = cupy.empty((1, chunks, 2, x.shape[1]), np.float64) if stays else None
    _launch.launch(
        _FILE,
        f"slope_rows<{_launch.NAMES[x.dtype]}>",
        (chunks,),
        block,
        *(grad_y, x, gamma, mean, rstd, grad_x, parts),
        *(*x.shape, chunk, np.bool_(whole), np.bool_(centred)),
    )
    if parts is None:
        parts = _feature_parts(grad_y, x, mean, rstd)
    grad_gamma, grad_beta = _channels.add_parts(parts, x.shape[1])
    return grad_x, grad_gamma[0], grad_beta[0]


def _feature_parts(grad_y, x, mean, rstd):
    """Return parts of dL/dgamma and dL/dbeta, (1, chunks, 2, M), for rows that are too long."""
    across, down = 32, min(len(x), _channels.THREADS // 32)
    chunk = down * _RUN
    chunks = -(-len(x) // chunk)
    parts = cupy.empty((1, chunks, 2, x.shape[1]), np.float64)
    _launch.launch(
        _FILE,
        f"feature_parts<{_launch.NAMES[x.dtype]}>",
        (-(-x.shape[1] // across), chunks),
        (across, down),
        *(grad_y, x, mean, rstd, parts, *x.shape, chunk),
    )
    return parts


def _rows(x, kept, *others):
    """Return whether rows are whole packs, the block for x (R, M), and if rows stay in it.

    `kept` are the packs of a row that a thread keeps if rows are no whole packs, and if they are.
    """
    pack = _channels.pack_of(x.itemsize)
    packs = -(-x.shape[1] // pack)
    aligned = not any(a.data.ptr % _channels.ALIGNED for a in (x, *others))
    whole = aligned and x.shape[1] % pack == 0
    across = 32
    while across < _MOST and across * kept[whole] < packs:
        across *= 2
    down = max(1, min(_channels.THREADS // across, len(x)))
    return whole, (across, down), packs <= across * kept[whole]


def sum_channels(x, before, after):
    """x (N, C, *spatial) -> the sum over the channels from c - before to c + after, for each c."""
    if not (x.size and _launch.covers(x)):
        return plain.sum_channels(x, before, after)
    pixels = channels_last(x)
    y = cupy.empty(pixels.shape, x.dtype)
    name = f"channel_window<{_launch.NAMES[x.dtype]}>"
    sizes = x.size, x.shape[1], before, after
    _launch.flat("normalization", name, x.size, pixels, y, *sizes)
    return logical(y)
