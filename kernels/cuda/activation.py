"""Non-linearities: one pass over memory, in whatever order it lies (activation.cu)."""

import cupy

from .. import plain
from . import _launch, _reduce
from ._layout import channels_last, flat_like, logical


def relu(x):
    """y = x where x > 0, else 0; NaN stays."""
    return _map("relu", plain.relu, x)


def relu_grad(grad_y, y):
    """grad_x = grad_y where y > 0, else 0."""
    return _map_grad("relu_grad", plain.relu_grad, grad_y, y)


def leaky_relu(x, slope):
    """y = x where x > 0, else slope * x."""
    return _map("leaky_relu", plain.leaky_relu, x, slope)


def leaky_relu_grad(grad_y, x, slope):
    """grad_x = grad_y where x > 0, else slope * grad_y."""
    return _map_grad("leaky_relu_grad", plain.leaky_relu_grad, grad_y, x, slope)


def sigmoid(x):
    """y = 1 / (1 + e**-x)."""
    return _map("sigmoid", plain.sigmoid, x)


def sigmoid_grad(grad_y, y):
    """grad_x = grad_y * y * (1 - y)."""
    return _map_grad("sigmoid_grad", plain.sigmoid_grad, grad_y, y)


def prelu(x, slope):
    """y = x where x > 0, else slope * x; x (N, C, *spatial), slope (C,) or (1,)."""
    if not _launch.covers(x, slope):
        return plain.prelu(x, slope)
    rows = channels_last(x)
    y = cupy.empty(rows.shape, x.dtype)
    slopes = cupy.ascontiguousarray(slope)
    _flat("prelu", x, rows, slopes, y, x.size, slope.size)
    return logical(y)


def prelu_grad(grad_y, x, slope):
    """Return grad_x and grad_slope."""
    if not _launch.covers(grad_y, x, slope) or not x.size:
        return plain.prelu_grad(grad_y, x, slope)
    rows, g_rows = channels_last(x), channels_last(grad_y)
    grad_x = cupy.empty(rows.shape, x.dtype)
    channels, count = slope.size, x.size // slope.size  # one slope: all are of one channel
    parts = _reduce.column_parts(1, count, channels)
    sums = cupy.empty((parts, channels), _reduce.WIDE[x.dtype])
    name = f"prelu_grad<{_launch.NAMES[x.dtype]}>"
    blocks = _reduce.column_blocks(1, channels, parts)
    arrays = rows, g_rows, cupy.ascontiguousarray(slope), grad_x, sums
    _launch.launch(
        "activation", name, (blocks,), (_launch.THREADS,), *arrays, count, channels, parts
    )
    grad_slope = _reduce.columns("Sum", sums, sums, (1, parts, channels), x.dtype)
    return logical(grad_x), grad_slope


def silu(x, beta):
    """y = x * sigmoid(beta x)."""
    return _map("silu", plain.silu, x, beta)


def silu_grad(grad_y, x, beta):
    """grad_x = grad_y * (s + z s (1 - s)), where z = beta x and s = sigmoid z."""
    return _map_grad("silu_grad", plain.silu_grad, grad_y, x, beta)


def elu(x, alpha, rate, scale):
    """y = scale * (x where x > 0, else alpha (e**(rate x) - 1))."""
    return _map("elu", plain.elu, x, alpha, rate, scale)


def elu_grad(grad_y, x, alpha, rate, scale):
    """grad_x = grad_y * scale * (1 where x > 0, else alpha rate e**(rate x))."""
    return _map_grad("elu_grad", plain.elu_grad, grad_y, x, alpha, rate, scale)


def softplus(x, beta):
    """y = log(1 + e**(beta x)) / beta."""
    return _map("softplus", plain.softplus, x, beta)


def softplus_grad(grad_y, x, beta):
    """grad_x = grad_y * sigmoid(beta x)."""
    return _map_grad("softplus_grad", plain.softplus_grad, grad_y, x, beta)


def softsign(x):
    """y = x / (1 + |x|)."""
    return _map("softsign", plain.softsign, x)


def mish(x):
    """y = x * tanh(log(1 + e**x))."""
    return _map("mish", plain.mish, x)


def mish_grad(grad_y, x):
    """grad_x = grad_y * (t + x (1 - t**2) sigmoid x), where t = tanh(log(1 + e**x))."""
    return _map_grad("mish_grad", plain.mish_grad, grad_y, x)


def hard_swish(x):
    """y = x * (x/6 + 1/2, within 0 and 1)."""
    return _map("hard_swish", plain.hard_swish, x)


def hard_swish_grad(grad_y, x):
    """grad_x = grad_y * (x/3 + 1/2 where |x| < 3, else 1 above and 0 below)."""
    return _map_grad("hard_swish_grad", plain.hard_swish_grad, grad_y, x)


def hard_tanh(x, low, high):
    """y = x within low and high."""
    return _map("hard_tanh", plain.hard_tanh, x, low, high)


def hard_tanh_grad(grad_y, x, low, high):
    """grad_x = grad_y where low < x < high, else 0."""
    return _map_grad("hard_tanh_grad", plain.hard_tanh_grad, grad_y, x, low, high)


def gelu(x):
    """y = x (1 + erf(x / sqrt 2)) / 2."""
    return _map("gelu", plain.gelu, x)


def gelu_grad(grad_y, x):
    """grad_x = grad_y * ((1 + erf(x / sqrt 2)) / 2 + x e**(-x**2 / 2) / sqrt(2 pi))."""
    return _map_grad("gelu_grad", plain.gelu_grad, grad_y, x)


def gelu_tanh(x):
    """y = x (1 + tanh u) / 2, where u = sqrt(2/pi) (x + 0.044715 x**3)."""
    return _map("gelu_tanh", plain.gelu_tanh, x)


def gelu_tanh_grad(grad_y, x):
    """grad_x = grad_y * (1 + t + x (1 - t**2) du/dx) / 2, where t = tanh u."""
    return _map_grad("gelu_tanh_grad", plain.gelu_tanh_grad, grad_y, x)


def erf(x):
    """y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt, by CUDA's own function."""
    return _map("error_function", plain.erf, x)


def _map(name, otherwise, x, *options):
    """Run a kernel (x, y, count, *options), or the array expression on what it does not take."""
    if not _launch.covers(x):
        return otherwise(x, *options)
    (flat,), restore = flat_like(x)
    y = cupy.empty(flat.shape, x.dtype)
    _flat(name, x, flat, y, x.size, *map(float, options))
    return restore(y)


def _map_grad(name, otherwise, grad_y, x, *options):
    """Run a kernel (x, grad_y, grad_x, count, *options), in the memory order of x."""
    if not _launch.covers(grad_y, x):
        return otherwise(grad_y, x, *options)
    flats, restore = flat_like(x, grad_y)
    grad_x = cupy.empty(flats[0].shape, x.dtype)
    _flat(name, x, *flats, grad_x, x.size, *map(float, options))
    return restore(grad_x)


def _flat(name, x, *args):
    """Run a kernel whose threads take 16 bytes each."""
    packs = -(-x.nbytes // 16)
    _launch.flat("activation", f"{name}<{_launch.NAMES[x.dtype]}>", packs, *args)
