"""CUDA arithmetic is NumPy's, whatever is repeated, in the memory order of the larger array."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import ORDERS, close, last, spaced, there

FUNCTIONS = ("add", "subtract", "multiply", "divide")
TYPES = (np.float16, np.float32, np.float64)
PAIRS = [
    ((3, 5), (3, 5)), ((2, 3, 5, 7), (2, 3, 5, 7)), ((), ()), ((7,), ()), ((3, 5), (1, 1)),
    ((3, 5), (5,)), ((3, 5), (3, 1)), ((2, 3, 5, 7), (3, 1, 1)), ((2, 3, 5, 7), (1, 3, 1, 1)),
    ((2, 3, 5, 7), (2, 3, 1, 1)), ((2, 3, 5, 7), (2, 1, 5, 7)), ((2, 3, 5, 7), (7,)),
    ((2, 3, 5, 7), (1, 3, 1, 7)), ((2, 3, 5, 7), (3, 5, 1)), ((4, 1), (1, 3)), ((3,), (1, 3)),
    ((0, 3), (3,)), ((2, 1, 3), (2, 1, 1)), ((5, 6, 7), (5, 1, 1)),
]  # fmt: skip


def numbers(shape, dtype=np.float32, seed=0):
    x = np.random.default_rng(seed).normal(0, 2, shape)
    return np.asarray(np.copysign(abs(x) + 0.1, x)).astype(dtype)  # none is 0


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("big", "small"), PAIRS)
def test_broadcasting(big, small, dtype, cuda):
    a, b = numbers(big, dtype), numbers(small, dtype, 1)
    for name in FUNCTIONS:
        for u, v in ((a, b), (b, a)):
            right = getattr(np, name)(u.astype(np.float64), v.astype(np.float64))
            for order in ORDERS if u.ndim and v.ndim else (there,):
                close(cuda.combine(name, order(u), order(v)), right, dtype)
                close(cuda.combine(name, order(u), there(v)), right, dtype)


def test_an_array_with_itself(cuda):
    x = numbers((3, 5))
    there_x = there(x)
    np.testing.assert_array_equal(cuda.combine("subtract", there_x, there_x).get(), 0 * x)
    np.testing.assert_array_equal(cuda.combine("multiply", there_x, there_x).get(), x * x)


def test_infinities_and_division_by_0(cuda):
    a = np.array([np.inf, -np.inf, np.nan, 1, -1, 0], np.float32)
    b = np.array([np.inf, 2, 1, 0, 0, 0], np.float32)
    for name in FUNCTIONS:
        with np.errstate(all="ignore"):
            right = getattr(np, name)(a, b)
        np.testing.assert_array_equal(cuda.combine(name, there(a), there(b)).get(), right)


def test_mixed_types_and_whole_numbers_are_left_to_cupy(cuda):
    a, b = numbers((3, 5)), numbers((5,), np.float64)
    got = cuda.combine("add", there(a), there(b))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got.get(), a + b)
    whole = np.arange(5)
    np.testing.assert_array_equal(cuda.combine("divide", there(whole), there(whole + 1)).get(),
                                  whole / (whole + 1))  # fmt: skip


@pytest.mark.parametrize("beside", [(2, 3, 5, 7), (3, 1, 1), (2, 3, 1, 1), (1,)])
def test_channels_last_memory_stays_so(beside, cuda):
    x = numbers((2, 3, 5, 7))
    y = cuda.combine("add", last(x), there(numbers(beside)))
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3, 5, 7)])
def test_copies_keep_their_order(shape, cuda):
    x = numbers(shape)
    for order in ORDERS if shape else (there,):
        given = order(x)
        y = cuda.copied(given)
        np.testing.assert_array_equal(y.get(), plain.copied(x))
        assert y.data.ptr != given.data.ptr or not x.size
        if x.size and (given.flags.c_contiguous or order is last):
            assert y.strides == given.strides
    whole = there(np.arange(6).reshape(2, 3)).T
    assert cuda.copied(whole).strides == whole.strides
    assert cuda.copied(spaced(numbers((2, 3)))).flags.c_contiguous
