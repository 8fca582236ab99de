"""The three matrices of Winograd's convolution, from the points they interpolate at."""

import functools
import itertools
import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

TAPS = 3  # of the kernel, along each axis

# Points for m outputs along an axis; the last of the m + 2 points is infinity.  Pairs p and -p
# share half of their work.  Small integers (0, 1, -1, 2, -2) are what the papers use; these lie
# closer to one another in size, so the powers in the matrices do, and the error halves.
_POINTS = {
    2: ("0", "1", "-1"),
    4: ("0", "5/8", "-5/8", "3/2", "-3/2"),
}


class Matrices(NamedTuple):
    """What makes m outputs of 3 taps and m + 2 inputs: ``out @ ((taps @ g) * (inside @ d))``."""

    inside: np.ndarray  # (m + 2, m + 2), B^T: of the inputs
    taps: np.ndarray  # (m + 2, 3), G: of the kernel
    out: np.ndarray  # (m, m + 2), A^T: of the products


@functools.cache
def matrices(m):
    """Return the matrices for m outputs along an axis, in float64.

    A polynomial of degree m + 1 is known from its values at m + 1 points and its highest
    coefficient, the "value at infinity".  With N(x) the product of all (x - p), Lagrange's
    polynomial of point p is ``N(x) / (x - p) / N'(p)``; the divisor goes into the kernel's
    matrix, which is applied once, in float64.
    """
    points = [Fraction(p) for p in _POINTS[m]]
    size = m + TAPS - 1
    inside, taps, out = (
        [[Fraction(0)] * n for _ in range(size)] for n in (size, TAPS, m)
    )  # a row for each point
    for row, p in enumerate(points):
        others = [q for q in points if q != p]
        inside[row][: len(points)] = _from_roots(others)
        slope = math.prod((p - q for q in others), start=Fraction(1))
        taps[row] = [p**k / slope for k in range(TAPS)]
        out[row] = [p**k for k in range(m)]
    inside[-1] = _from_roots(points)
    taps[-1][-1] = out[-1][-1] = Fraction(1)
    return Matrices(np.array(inside, float), np.array(taps, float), np.array(out, float).T.copy())


def _from_roots(roots):
    """Return the coefficients of the product of all (x - root), lowest first."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*(-root * c for c in found), Fraction(0)]
        found = [a + b for a, b in zip(shifted, scaled, strict=True)]
    return found


def mirrored(rows):
    """Return the i for which row i + 1 is row i with every other sign turned: points p and -p."""
    signs = (-1.0) ** np.arange(rows.shape[1])
    return [
        i for i, (a, b) in enumerate(itertools.pairwise(rows))
        if np.array_equal(a * signs, b) and np.any(a[1::2])
    ]  # fmt: skip
