"""Non-linearities in array expressions.

Choices are products with 0 and 1 and not `where`, which is many times slower
where its condition is hard to predict.  What would be an infinity times 0 has
its factor limited first: far out, each slope is constant anyway.
"""

import math

import numpy as np

from ._windows import array_module

_FAR = 1e3  # no exponential of minus this is more than 0, in any type


def relu(x):
    """y = x where x > 0, else 0; NaN stays."""
    return array_module(x).maximum(x, x.dtype.type(0))


def relu_grad(grad_y, y):
    """grad_x = grad_y where y > 0, else 0."""
    return grad_y * (y > 0)


def leaky_relu(x, slope):
    """y = x where x > 0, else slope * x."""
    xp = array_module(x)
    return xp.maximum(x, 0.0) + slope * xp.minimum(x, 0.0)


def leaky_relu_grad(grad_y, x, slope):
    """grad_x = grad_y where x > 0, else slope * grad_y."""
    above = (x > 0).astype(x.dtype)
    return grad_y * (above + slope * (1.0 - above))


def sigmoid(x):
    """y = 1 / (1 + e**-x), by way of tanh, so that nothing overflows."""
    return 0.5 * (array_module(x).tanh(0.5 * x) + 1.0)


def sigmoid_grad(grad_y, y):
    """grad_x = grad_y * y * (1 - y)."""
    return grad_y * (y * (1.0 - y))


def prelu(x, slope):
    """y = x where x > 0, else slope * x; x (N, C, *spatial), slope (C,) or (1,)."""
    return array_module(x).where(x > 0, x, x * _row(slope, x))


def prelu_grad(grad_y, x, slope):
    """Return grad_x and grad_slope."""
    xp = array_module(x)
    grad_x = xp.where(x > 0, grad_y, grad_y * _row(slope, x))
    wide = np.promote_types(x.dtype, np.float32)
    below = xp.where(x > 0, wide.type(0), grad_y.astype(wide) * x)
    sums = below.sum(axis=(0, *range(2, x.ndim)))
    return grad_x, (sums if slope.size == x.shape[1] else sums.sum(keepdims=True)).astype(x.dtype)


def _row(slope, x):
    return slope.reshape(1, -1, *(1,) * (x.ndim - 2))


def silu(x, beta):
    """y = x * sigmoid(beta x)."""
    return _finite_below(x) * sigmoid(beta * x)


def silu_grad(grad_y, x, beta):
    """grad_x = grad_y * (s + z s (1 - s)), where z = beta x and s = sigmoid z."""
    z = _near(beta * x, _FAR)
    s = sigmoid(z)
    return grad_y * (s + z * s * (1.0 - s))


def elu(x, alpha, rate, scale):
    """y = scale * (x where x > 0, else alpha (e**(rate x) - 1))."""
    xp = array_module(x)
    return scale * (xp.maximum(x, 0.0) + alpha * xp.expm1(rate * xp.minimum(x, 0.0)))


def elu_grad(grad_y, x, alpha, rate, scale):
    """grad_x = grad_y * scale * (1 where x > 0, else alpha rate e**(rate x))."""
    xp = array_module(x)
    above = (x > 0).astype(x.dtype)
    below = alpha * rate * xp.exp(rate * xp.minimum(x, 0.0))
    return grad_y * (scale * (above + (1.0 - above) * below))


def softplus(x, beta):
    """y = log(1 + e**(beta x)) / beta."""
    xp = array_module(x)
    z = beta * x
    return (xp.maximum(z, 0.0) + xp.log1p(xp.exp(-abs(z)))) / beta


def softplus_grad(grad_y, x, beta):
    """grad_x = grad_y * sigmoid(beta x)."""
    return grad_y * sigmoid(beta * x)


def softsign(x):
    """y = x / (1 + |x|)."""
    x = _near(x, float(np.finfo(x.dtype).max))
    return x / (1.0 + abs(x))


def mish(x):
    """y = x * tanh(log(1 + e**x))."""
    return _finite_below(x) * array_module(x).tanh(softplus(x, 1.0))


def mish_grad(grad_y, x):
    """grad_x = grad_y * (t + x (1 - t**2) sigmoid x), where t = tanh(log(1 + e**x))."""
    x = _near(x, _FAR)
    t = array_module(x).tanh(softplus(x, 1.0))
    return grad_y * (t + x * (1.0 - t * t) * sigmoid(x))


def hard_swish(x):
    """y = x * (x/6 + 1/2, within 0 and 1)."""
    xp = array_module(x)
    x = xp.maximum(x, -3.0)
    return x * xp.clip(x * (1 / 6) + 0.5, 0.0, 1.0)


def hard_swish_grad(grad_y, x):
    """grad_x = grad_y * (x/3 + 1/2 where |x| < 3, else 1 above and 0 below)."""
    x = _near(x, 4.0)
    return grad_y * ((abs(x) < 3) * (x * (1 / 3) + 0.5) + (x >= 3))


def hard_tanh(x, low, high):
    """y = x within low and high."""
    return array_module(x).clip(x, low, high)


def hard_tanh_grad(grad_y, x, low, high):
    """grad_x = grad_y where low < x < high, else 0."""
    return grad_y * ((x > low) & (x < high))


def gelu(x):
    """y = x (1 + erf(x / sqrt 2)) / 2."""
    return _gelu(x, erf)


def gelu_grad(grad_y, x):
    """grad_x = grad_y * ((1 + erf(x / sqrt 2)) / 2 + x e**(-x**2 / 2) / sqrt(2 pi))."""
    return _gelu_grad(grad_y, x, erf)


def _gelu(x, erf):
    return 0.5 * _finite_below(x) * (1.0 + erf(math.sqrt(0.5) * x))


def _gelu_grad(grad_y, x, erf):
    x = _near(x, 40.0)
    density = math.sqrt(0.5 / math.pi) * array_module(x).exp(-0.5 * x * x)
    return grad_y * (0.5 * (1.0 + erf(math.sqrt(0.5) * x)) + x * density)


def gelu_tanh(x):
    """y = x (1 + tanh u) / 2, where u = sqrt(2/pi) (x + 0.044715 x**3)."""
    near = _near(x, 10.0)  # further out, tanh u is -1 or 1
    u = math.sqrt(2 / math.pi) * near * (1.0 + 0.044715 * near * near)
    return 0.5 * _finite_below(x) * (1.0 + array_module(x).tanh(u))


def gelu_tanh_grad(grad_y, x):
    """grad_x = grad_y * (1 + t + x (1 - t**2) du/dx) / 2, where t = tanh u."""
    x = _near(x, 10.0)
    c, squares = math.sqrt(2 / math.pi), 0.044715 * x * x
    t = array_module(x).tanh(c * x * (1.0 + squares))
    return grad_y * (0.5 * (1.0 + t + c * x * (1.0 - t * t) * (1.0 + 3.0 * squares)))


def erf(x):
    """y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt, by Cody's rational approximations."""
    xp = array_module(x)
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    if dtype.itemsize < 4 or x.dtype != dtype:
        return erf(x.astype(np.promote_types(dtype, np.float32))).astype(dtype)
    a = xp.minimum(abs(x), 6.0)  # from where on y is 1, to the last bit
    squares = a * a
    p, q, r, s = ERF_COEFFICIENTS
    inner = a * (_polynomial(p, squares) / _polynomial(q, squares))
    outer = 1.0 - xp.exp(-squares) * (_polynomial(r, a) / _polynomial(s, a))
    is_inner = (a < 0.46875).astype(dtype)
    return xp.copysign(inner * is_inner + outer * (1.0 - is_inner), x)


# Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23
# (1969), the highest power first: P/Q for |x| < 0.46875 (n = 4), R/S above (n = 8).
ERF_COEFFICIENTS = (
    (
        1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2,
        3.77485237685302021e2, 3.20937758913846947e3,
    ),
    (
        1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
        2.84423683343917062e3,
    ),
    (
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0,
        6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
        1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
    ),
    (
        1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2,
        1.62138957456669019e3, 3.29079923573345963e3, 4.36261909014324716e3,
        3.43936767414372164e3, 1.23033935480374942e3,
    ),
)  # fmt: skip


def _polynomial(coefficients, x):
    """Evaluate by Horner's rule, the highest power first."""
    highest, *others, last = coefficients
    y = highest * x
    for c in others:
        y += c
        y *= x
    y += last
    return y


def _near(x, limit):
    """Return x within -limit and limit."""
    return array_module(x).clip(x, -limit, limit)


def _finite_below(x):
    """Return x, -inf replaced by the lowest number: times 0 it is 0."""
    return array_module(x).maximum(x, float(np.finfo(x.dtype).min))
