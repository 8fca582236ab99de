"""The error function of a block: rational functions in a compiled loop, which becomes vectors.

The exponential is NumPy's, which is one of vectors too; the C library's erf is
many times slower than both together.
"""

import math

import numpy as np

from .. import plain
from ..plain.activation import ERF_COEFFICIENTS
from ._jit import njit

_COEFFICIENTS = {
    np.dtype(t): tuple(tuple(map(t, powers)) for powers in ERF_COEFFICIENTS)
    for t in (np.float32, np.float64)
}


def erf(x):
    """y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt, as `kernels.plain.erf`."""
    if x.dtype not in _COEFFICIENTS:
        return plain.erf(x)
    flat = x.ravel()
    a = np.minimum(abs(flat), x.dtype.type(6))  # from where on y is 1, to the last bit
    y = np.empty_like(flat)
    _rational(flat, a, np.exp(-a * a), *_COEFFICIENTS[x.dtype], y)
    return y.reshape(x.shape)


@njit
def _rational(x, a, exponential, p, q, r, s, y):
    one, near = x.dtype.type(1), x.dtype.type(0.46875)
    for i in range(len(x)):
        inner = a[i] * (_polynomial(p, a[i] * a[i]) / _polynomial(q, a[i] * a[i]))
        outer = one - exponential[i] * (_polynomial(r, a[i]) / _polynomial(s, a[i]))
        y[i] = math.copysign(inner if a[i] < near else outer, x[i])


@njit
def _polynomial(coefficients, x):
    y = coefficients[0]
    for k in range(1, len(coefficients)):
        y = y * x + coefficients[k]
    return y
