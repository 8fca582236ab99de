"""CUDA sums and extremes are NumPy's, however arrays lie, however long they are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import ORDERS, close, last, there

TYPES = (np.float16, np.float32, np.float64)
SHAPES = ((5,), (1, 1), (3, 7), (2, 3, 5, 4), (2, 1, 9, 1))
LONG = {  # shape, axes: rows of many parts, columns of few and of many, in parts; many pixels
    "all": ((2, 3, 70, 100), (0, 1, 2, 3)),
    "trailing": ((2, 40000), (1,)),
    "long rows": ((3, 1500), (1,)),
    "leading": ((700, 100), (0,)),
    "bias": ((3, 65, 20, 21), (0, 2, 3)),
    "few channels": ((2, 3, 80, 90), (0, 2, 3)),
    "pixels": ((1, 40, 100, 90), (1,)),
    "spatial": ((3, 5, 40, 50), (2, 3)),
    "two runs": ((40, 7, 50, 6), (0, 2)),
}


def numbers(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(0.1, 1, shape).astype(dtype)


def choices(rank):
    return [axes for n in range(rank + 1) for axes in combinations(range(rank), n)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_choices_of_axes(shape, dtype, cuda):
    x = numbers(shape, dtype)
    wide = x.astype(np.float64)
    for order in ORDERS if dtype == np.float32 else (last,):
        given = order(x)
        for axes in choices(x.ndim):
            close(cuda.sum_over(given, axes), plain.sum_over(wide, axes), dtype, 8)
            for largest in (True, False):
                best = plain.extreme_over(x, axes, largest)
                got = cuda.extreme_over(given, axes, largest)
                np.testing.assert_array_equal(got.get(), best)
                g = numbers(best.shape, dtype, 1)
                right = plain.extreme_over_grad(g.astype(np.float64), wide, best.astype(float))
                close(cuda.extreme_over_grad(there(g), given, there(best)), right, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", LONG)
def test_many_numbers(case, dtype, cuda):
    shape, axes = LONG[case]
    x = numbers(shape, dtype)
    wide, given = x.astype(np.float64), last(x)
    right = plain.sum_over(wide, axes)
    allowed = 40 * max(np.finfo(dtype).eps, 1e-9) * np.sqrt(x.size / right.size)
    if dtype == np.float16:
        allowed = np.abs(right).max() * 1e-3
    np.testing.assert_allclose(cuda.sum_over(given, axes).get(), right, rtol=0, atol=allowed)
    best = plain.extreme_over(x, axes, True)
    np.testing.assert_array_equal(cuda.extreme_over(given, axes, True).get(), best)
    grad = cuda.extreme_over_grad(there(np.ones_like(best)), given, there(best))
    ties = (x == best).sum(axis=axes, keepdims=True)
    close(grad, (x == best) / ties, dtype)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("largest", [True, False])
def test_nan_wins_and_shares(axes, largest, cuda):
    x = numbers((40, 50))
    x[3, 4] = x[3, 7] = x[21, 4] = np.nan
    x[5, 6], x[7, 8] = np.inf, -np.inf
    best = cuda.extreme_over(there(x), axes, largest)
    np.testing.assert_array_equal(best.get(), plain.extreme_over(x, axes, largest))
    g = numbers(best.shape, seed=1)
    grad = cuda.extreme_over_grad(there(g), there(x), best)
    np.testing.assert_allclose(grad.get(), plain.extreme_over_grad(g, x, best.get()), rtol=1e-6)


def test_ties_share_equally(cuda):
    x = np.array([[2.0, 1.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    best = x.max(axis=1, keepdims=True)
    grad = cuda.extreme_over_grad(there(np.full_like(best, 6)), there(x), there(best))
    np.testing.assert_array_equal(grad.get(), [[3, 0, 3], [2, 2, 2]])


def test_half_precision_is_summed_in_float32(cuda):
    """In float16 2048 + 1 is 2048; and parts of the sum may be more than float16 can hold."""
    x = np.ones((2, 30000), np.float16)
    np.testing.assert_array_equal(cuda.sum_over(there(x), (1,)).get(), [[30000], [30000]])
    x = np.concatenate([np.full((40, 9000), 3), np.full((40, 9000), -3)]).astype(np.float16)
    for order in (lambda a: there(a), lambda a: there(a.T).T):
        assert cuda.sum_over(order(x), (0, 1)).get() == 0


def test_a_sum_is_the_same_bits_alone_and_among_others(cuda):
    """The cut into parts follows from the shape."""
    x = numbers((2, 40000))
    once, again = (cuda.sum_over(there(x), (1,)).get() for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_nothing(cuda):
    x = numbers((0, 3))
    np.testing.assert_array_equal(cuda.sum_over(there(x), (0,)).get(), np.zeros((1, 3)))
    assert cuda.sum_over(there(x), (1,)).shape == (0, 1)
    assert cuda.extreme_over(there(x), (1,), True).shape == (0, 1)


def test_whole_numbers_are_left_to_cupy(cuda):
    x = np.arange(12).reshape(3, 4)
    assert cuda.sum_over(there(x), (0, 1)).get() == 66
    assert cuda.extreme_over(there(x), (0, 1), False).get() == 0
