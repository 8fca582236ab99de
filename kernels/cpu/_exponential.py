"""The exponential of one float32, for loops that the compiler turns into vector code.

A call of the C library's would keep such a loop from becoming vectors, and NumPy's, which is fast,
goes over memory once for every step of a formula. This one is arithmetic alone:
``e**x = 2**n * e**r`` with n the nearest whole number to x / log 2 and ``|r| <= log(2) / 2``,
where a polynomial of degree 7 is right to 1e-7 (the coefficients are those of the Cephes library).
"""

import numpy as np

from ._jit import njit

_SCALE = np.float32(1.44269504088896341)  # 1 / log 2
_HIGH, _LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # log 2, the first part exact
_MOST, _LEAST = np.float32(88.0), np.float32(-87.0)  # beyond, n leaves the range of exponents
_P = tuple(
    map(
        np.float32,
        (
            1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
            5.0000001201e-1,
        ),
    )
)  # fmt: skip


@njit
def exp(x):
    """e**x of a float32 up to 88, right to 1e-7 of it; 0 below -87, NaN for NaN."""
    near = x if x > _LEAST else _LEAST
    near = near if near < _MOST else _MOST
    n = np.rint(near * _SCALE)
    r = (near - n * _HIGH) - n * _LOW
    p = ((((_P[0] * r + _P[1]) * r + _P[2]) * r + _P[3]) * r + _P[4]) * r + _P[5]
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2**n
    y = (p * (r * r) + r + np.float32(1)) * power
    y = np.float32(0) if x < _LEAST else y
    return x if x != x else y
