"""CUDA rows at places: sums in order, of few places and of many that are sorted first."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import shifted, spaced, there

TYPES = (np.float16, np.float32, np.float64)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("known", [0, 1, 128, 129, 1500])  # 129: sorted; 1500: in two tiles
@pytest.mark.parametrize(("rows", "length"), [(1, 8), (7, 3), (300, 1), (70_000, 1)])
def test_the_same_bits_as_one_after_the_other(rows, length, known, dtype, cuda):
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (known, length)).astype(dtype)
    places = random.integers(-rows, rows, known)  # negative ones count from the end
    right = plain.add_rows(x, places, rows)
    for order in (there, shifted, spaced):
        got = cuda.add_rows(order(x), there(places), rows)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got.get(), right)


def test_half_precision_is_summed_in_single(cuda):
    ones, places = np.ones((4096, 1), np.float16), np.zeros(4096, np.int32)
    assert cuda.add_rows(there(ones), there(places), 3).get().tolist() == [[4096], [0], [0]]


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8, np.bool_])
def test_whole_numbers_are_added_exactly(dtype, cuda):
    x = (2**62 - np.arange(6).reshape(3, 2)).astype(dtype)
    places = np.array([1, 0, 1])
    got = cuda.add_rows(there(x), there(places), 2)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.get(), plain.add_rows(x, places, 2))
