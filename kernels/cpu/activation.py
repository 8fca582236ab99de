"""Non-linearities: one pass over memory, in whatever order it lies.

The usual ones are loops, which the compiler turns into vector code (their exponential is
arithmetic, in single precision).  The others are their array expressions, taken block by block, so
that intermediate values stay in the cache.
"""

import math

import numpy as np

from .. import plain
from ..plain.activation import _gelu, _gelu_grad
from . import _buffers, _error_function, _parallel
from ._error_function import erf_of_one, gauss_of_one
from ._exponential import exp
from ._jit import njit
from ._layout import FAST, channels_last, flat_like, logical

_LANES, _ROWS = 256, 32  # numbers in a long row, about; how many are summed up in its own type
_ROOT_HALF, _DENSITY = (np.float32(math.sqrt(0.5 / d)) for d in (1.0, math.pi))
_BLOCK = 1 << 17  # bytes of one array that share the cache with their intermediate values


def relu(x):
    """y = x where x > 0, else 0; NaN stays."""
    if x.dtype not in FAST:
        return plain.relu(x)
    return _map(_relu, x)


def relu_grad(grad_y, y):
    """grad_x = grad_y where y > 0, else 0."""
    if y.dtype != grad_y.dtype or y.dtype not in FAST:
        return plain.relu_grad(grad_y, y)
    return _map(_relu_grad, y, grad_y)


@njit
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= 0 else x[i]  # a NaN is not <= 0


@njit
def _relu_grad(y, grad_y, grad_x):
    zero = y.dtype.type(0)
    for i in range(len(y)):
        grad_x[i] = grad_y[i] if y[i] > 0 else zero


def leaky_relu(x, slope):
    """y = x where x > 0, else slope * x."""
    return _in_blocks(plain.leaky_relu, [x], slope)


def leaky_relu_grad(grad_y, x, slope):
    """grad_x = grad_y where x > 0, else slope * grad_y."""
    return _in_blocks(plain.leaky_relu_grad, [grad_y, x], slope)


def sigmoid(x):
    """y = 1 / (1 + e**-x)."""
    return _map(_sigmoid, x) if x.dtype == np.float32 else _in_blocks(plain.sigmoid, [x])


def sigmoid_grad(grad_y, y):
    """grad_x = grad_y * y * (1 - y)."""
    if y.dtype != grad_y.dtype or y.dtype not in FAST:
        return plain.sigmoid_grad(grad_y, y)
    return _map(_sigmoid_grad, y, grad_y)


@njit
def _logistic(x):
    y = np.float32(1) / (np.float32(1) + exp(-x))
    return np.float32(0) if x < np.float32(-87) else y


@njit
def _sigmoid(x, y):
    for i in range(len(x)):
        y[i] = _logistic(x[i])


@njit
def _sigmoid_grad(y, grad_y, grad_x):
    one = y.dtype.type(1)
    for i in range(len(y)):
        grad_x[i] = grad_y[i] * (y[i] * (one - y[i]))


def prelu(x, slope):
    """y = x where x > 0, else slope * x; x (N, C, *spatial), slope (C,) or (1,)."""
    if x.dtype not in FAST or slope.dtype != x.dtype:
        return plain.prelu(x, slope)
    rows = channels_last(x)
    y, slopes = _buffers.empty(rows.shape, x.dtype), _repeated(slope, x.shape[1])
    flat, target = rows.reshape(-1), y.reshape(-1)

    def work(_, start, stop):
        _prelu(flat[start:stop], slopes, target[start:stop])

    _parallel.run(work, _row_pieces(rows))
    return logical(y)


def prelu_grad(grad_y, x, slope):
    """Return grad_x and grad_slope."""
    if x.dtype not in FAST or {grad_y.dtype, slope.dtype} != {x.dtype}:
        return plain.prelu_grad(grad_y, x, slope)
    rows, g_rows = channels_last(x), channels_last(grad_y)
    grad_x, slopes = _buffers.empty(rows.shape, x.dtype), _repeated(slope, x.shape[1])
    pieces = _row_pieces(rows)
    sums = np.zeros((len(pieces), x.shape[1]))
    flat, g_flat, target = rows.reshape(-1), g_rows.reshape(-1), grad_x.reshape(-1)

    def work(p, start, stop):
        part = slice(start, stop)
        _prelu_grad(flat[part], g_flat[part], slopes, target[part], sums[p])

    _parallel.run(work, pieces)
    grad_slope = sums.sum(axis=0)
    grad_slope = grad_slope if slope.size == x.shape[1] else grad_slope.sum(keepdims=True)
    return logical(grad_x), grad_slope.astype(x.dtype)


def _repeated(slope, channels):
    """Write the slopes of all channels again and again along a long row."""
    own = np.broadcast_to(slope, channels)
    return np.tile(own, max(1, _LANES // max(1, channels)))


def _row_pieces(rows):
    """Cut what is channels-last into pieces of whole pixels."""
    channels = max(1, rows.shape[-1])
    pixels = _parallel.grains(rows.size // channels, rows.nbytes)
    return [(start * channels, stop * channels) for start, stop in pixels]


@njit
def _prelu(x, slopes, y):
    wide, size, zero = np.uint64(len(slopes)), np.uint64(len(x)), x.dtype.type(0)
    for start in range(np.uint64(0), size, wide):
        for k in range(min(wide, size - start)):
            v = x[start + k]
            y[start + k] = v if v > zero else v * slopes[k]


@njit
def _prelu_grad(x, grad_y, slopes, grad_x, sums):
    wide, size, zero = np.uint64(len(slopes)), np.uint64(len(x)), x.dtype.type(0)
    lanes = np.zeros(len(slopes), x.dtype)
    full = wide * np.uint64(_ROWS)
    for first in range(np.uint64(0), size, full):
        lanes[:] = zero
        for start in range(first, min(first + full, size), wide):
            for k in range(min(wide, size - start)):
                v, g = x[start + k], grad_y[start + k]
                grad_x[start + k] = g if v > zero else g * slopes[k]
                lanes[k] += zero if v > zero else g * v
        for k in range(len(lanes)):
            sums[k % len(sums)] += lanes[k]


def silu(x, beta):
    """y = x * sigmoid(beta x)."""
    return _in_blocks(plain.silu, [x], beta)


def silu_grad(grad_y, x, beta):
    """grad_x = grad_y * (s + z s (1 - s)), where z = beta x and s = sigmoid z."""
    return _in_blocks(plain.silu_grad, [grad_y, x], beta)


def elu(x, alpha, rate, scale):
    """y = scale * (x where x > 0, else alpha (e**(rate x) - 1))."""
    return _in_blocks(plain.elu, [x], alpha, rate, scale)


def elu_grad(grad_y, x, alpha, rate, scale):
    """grad_x = grad_y * scale * (1 where x > 0, else alpha rate e**(rate x))."""
    return _in_blocks(plain.elu_grad, [grad_y, x], alpha, rate, scale)


def softplus(x, beta):
    """y = log(1 + e**(beta x)) / beta."""
    return _in_blocks(plain.softplus, [x], beta)


def softplus_grad(grad_y, x, beta):
    """grad_x = grad_y * sigmoid(beta x)."""
    return _in_blocks(plain.softplus_grad, [grad_y, x], beta)


def softsign(x):
    """y = x / (1 + |x|)."""
    return _in_blocks(plain.softsign, [x])


def mish(x):
    """y = x * tanh(log(1 + e**x))."""
    return _in_blocks(plain.mish, [x])


def mish_grad(grad_y, x):
    """grad_x = grad_y * (t + x (1 - t**2) sigmoid x), where t = tanh(log(1 + e**x))."""
    return _in_blocks(plain.mish_grad, [grad_y, x])


def hard_swish(x):
    """y = x * (x/6 + 1/2, within 0 and 1)."""
    return _in_blocks(plain.hard_swish, [x])


def hard_swish_grad(grad_y, x):
    """grad_x = grad_y * (x/3 + 1/2 where |x| < 3, else 1 above and 0 below)."""
    return _in_blocks(plain.hard_swish_grad, [grad_y, x])


def hard_tanh(x, low, high):
    """y = x within low and high."""
    return _in_blocks(plain.hard_tanh, [x], low, high)


def hard_tanh_grad(grad_y, x, low, high):
    """grad_x = grad_y where low < x < high, else 0."""
    return _in_blocks(plain.hard_tanh_grad, [grad_y, x], low, high)


def gelu(x):
    """y = x (1 + erf(x / sqrt 2)) / 2."""
    if x.dtype == np.float32:
        return _map(_gelu_loop, x)
    return _in_blocks(_gelu, [x], _error_function.erf)


def gelu_grad(grad_y, x):
    """grad_x = grad_y * ((1 + erf(x / sqrt 2)) / 2 + x e**(-x**2 / 2) / sqrt(2 pi))."""
    if x.dtype == grad_y.dtype == np.float32:
        return _map(_gelu_grad_loop, x, grad_y)
    return _in_blocks(_gelu_grad, [grad_y, x], _error_function.erf)


@njit
def _gelu_loop(x, y):
    half, one, lowest = np.float32(0.5), np.float32(1), np.float32(-3.4028235e38)
    for i in range(len(x)):
        z = x[i] * _ROOT_HALF
        e = erf_of_one(z, gauss_of_one(z))
        y[i] = half * (lowest if x[i] < lowest else x[i]) * (one + e)  # -inf times 0 is to be 0


@njit
def _gelu_grad_loop(x, grad_y, grad_x):
    half, one, far = np.float32(0.5), np.float32(1), np.float32(40)
    for i in range(len(x)):
        near = far if x[i] > far else x[i]
        near = -far if near < -far else near
        gauss = gauss_of_one(near * _ROOT_HALF)
        e = erf_of_one(near * _ROOT_HALF, gauss)
        grad_x[i] = grad_y[i] * (half * (one + e) + near * (_DENSITY * gauss))


def gelu_tanh(x):
    """y = x (1 + tanh u) / 2, where u = sqrt(2/pi) (x + 0.044715 x**3)."""
    return _in_blocks(plain.gelu_tanh, [x])


def gelu_tanh_grad(grad_y, x):
    """grad_x = grad_y * (1 + t + x (1 - t**2) du/dx) / 2, where t = tanh u."""
    return _in_blocks(plain.gelu_tanh_grad, [grad_y, x])


def erf(x):
    """y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt."""
    return _in_blocks(_error_function.erf, [x])


def _map(kernel, *arrays):
    """Run a loop over arrays of one type, in the memory order of the first; it writes the last."""
    flats, restore = flat_like(*arrays)
    y = _buffers.empty(flats[0].shape, arrays[0].dtype)

    def work(_, start, stop):
        kernel(*(a[start:stop] for a in flats), y[start:stop])

    _parallel.run(work, _parallel.grains(y.size, y.nbytes))
    return restore(y)


def _in_blocks(expression, arrays, *options):
    """Compute an array expression block by block, on all threads."""
    last = arrays[-1]
    if last.dtype not in FAST or any(a.dtype != last.dtype for a in arrays):
        return expression(*arrays, *options)
    flats, restore = flat_like(*arrays[::-1])  # in the memory order of x, not of grad_y
    y = _buffers.empty(flats[0].shape, last.dtype)

    def work(_, start, stop):
        y[start:stop] = expression(*(a[start:stop] for a in flats[::-1]), *options)

    _parallel.run(work, _parallel.chunks(y.size, -(-y.nbytes // _BLOCK)))
    return restore(y)
