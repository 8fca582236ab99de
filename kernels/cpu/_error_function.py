"""The error function of a block: rational functions in a compiled loop, which becomes vectors.

The exponential is NumPy's, which is one of vectors too; the C library's erf is
many times slower than both together.
"""

import math

import numpy as np

from .. import plain
from ..plain.activation import ERF_COEFFICIENTS
from ._exponential import exp
from ._jit import njit

_COEFFICIENTS = {
    np.dtype(t): tuple(tuple(map(t, powers)) for powers in ERF_COEFFICIENTS)
    for t in (np.float32, np.float64)
}
_P, _Q, _R, _S = _COEFFICIENTS[np.dtype(np.float32)]


def erf(x):
    """y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt, as `kernels.plain.erf`."""
    if x.dtype not in _COEFFICIENTS:
        return plain.erf(x)
    flat = x.ravel()
    a = np.minimum(abs(flat), x.dtype.type(6))  # from where on y is 1, to the last bit
    y = np.empty_like(flat)
    _rational(flat, a, np.exp(-a * a), *_COEFFICIENTS[x.dtype], y)
    return y.reshape(x.shape)


# For loops over one number at a time. (A function that returns two numbers is not made vectors.)
@njit
def gauss_of_one(x):
    """Return e**-x**2 of a float32, or e**-36 where that is less."""
    a = x if x > np.float32(0) else -x
    a = a if a < np.float32(6) else np.float32(6)
    return exp(-a * a)


@njit
def erf_of_one(x, gauss):
    """Return erf x of a float32, given its `gauss_of_one`."""
    a = x if x > np.float32(0) else -x
    a = a if a < np.float32(6) else np.float32(6)
    inner = a * (_of_degree_4(_P, a * a) / _of_degree_4(_Q, a * a))
    outer = np.float32(1) - gauss * (_of_degree_8(_R, a) / _of_degree_8(_S, a))
    y = inner if a < np.float32(0.46875) else outer
    return y if x > np.float32(0) else -y


# Written out: a loop inside a loop would keep that from becoming vectors.
@njit
def _of_degree_4(c, x):
    return (((c[0] * x + c[1]) * x + c[2]) * x + c[3]) * x + c[4]


@njit
def _of_degree_8(c, x):
    return _of_degree_4((_of_degree_4(c, x), c[5], c[6], c[7], c[8]), x)


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
