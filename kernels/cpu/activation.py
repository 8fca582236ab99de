"""Non-linearities: one pass over memory, in whatever order it lies.

Rectification is a loop of its own.  The others are their array expressions,
taken block by block: NumPy's exponentials use the vector unit, which a loop
here would not, and a block's intermediate values stay in the cache.
"""

from .. import plain
from ..plain.activation import _gelu, _gelu_grad
from . import _buffers, _error_function, _parallel
from ._jit import njit
from ._layout import FAST, flat_like

_GRAIN = 1 << 15  # elements that are worth a thread
_BLOCK = 1 << 17  # bytes of one array that share the cache with their intermediate values


def relu(x):
    """y = x where x > 0, else 0; NaN stays."""
    if x.dtype not in FAST:
        return plain.relu(x)
    (flat,), restore = flat_like(x)
    y = _buffers.empty(flat.shape, x.dtype)

    def work(_, start, stop):
        _relu(flat[start:stop], y[start:stop])

    _parallel.run(work, _pieces(flat.size))
    return restore(y)


def relu_grad(grad_y, y):
    """grad_x = grad_y where y > 0, else 0."""
    if y.dtype != grad_y.dtype or y.dtype not in FAST:
        return plain.relu_grad(grad_y, y)
    (flat_y, flat_g), restore = flat_like(y, grad_y)
    grad_x = _buffers.empty(flat_y.shape, y.dtype)

    def work(_, start, stop):
        part = slice(start, stop)
        _relu_grad(flat_g[part], flat_y[part], grad_x[part])

    _parallel.run(work, _pieces(flat_y.size))
    return restore(grad_x)


def _pieces(size):
    return _parallel.chunks(size, min(16, max(1, size // _GRAIN)))


@njit
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= 0 else x[i]  # a NaN is not <= 0


@njit
def _relu_grad(grad_y, y, grad_x):
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
    return _in_blocks(plain.sigmoid, [x])


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
    return _in_blocks(_gelu, [x], _error_function.erf)


def gelu_grad(grad_y, x):
    """grad_x = grad_y * ((1 + erf(x / sqrt 2)) / 2 + x e**(-x**2 / 2) / sqrt(2 pi))."""
    return _in_blocks(_gelu_grad, [grad_y, x], _error_function.erf)


def gelu_tanh(x):
    """y = x (1 + tanh u) / 2, where u = sqrt(2/pi) (x + 0.044715 x**3)."""
    return _in_blocks(plain.gelu_tanh, [x])


def gelu_tanh_grad(grad_y, x):
    """grad_x = grad_y * (1 + t + x (1 - t**2) du/dx) / 2, where t = tanh u."""
    return _in_blocks(plain.gelu_tanh_grad, [grad_y, x])


def erf(x):
    """y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt."""
    return _in_blocks(_error_function.erf, [x])


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
