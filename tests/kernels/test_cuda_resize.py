"""CUDA maps along one axis beside their definition: any axis, any rank, weights of 0."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import ORDERS, close, there

TYPES = (np.float16, np.float32, np.float64)
SHAPES = [(2, 3, 7, 9), (2, 8, 5), (1, 4, 3, 4, 5), (6, 5), (7,), (0, 3, 4, 4)]


def table(length, out, seed=0):
    """Three inputs for each output; some weigh nothing, and the first output has none."""
    random = np.random.default_rng(seed)
    index, weight = random.integers(0, length, (out, 3)), random.normal(0, 1, (out, 3))
    weight[random.random((out, 3)) < 0.3] = 0
    weight[0] = 0
    return index, weight


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_and_their_transpose(shape, dtype, cuda):
    x = np.random.default_rng(1).normal(0, 1, shape).astype(dtype)
    x.reshape(-1)[:1] = np.nan
    for axis, length in enumerate(shape):
        for out in (1, 2 * length + 1) if length else ():
            index, weight = table(length, out)
            right = plain.sample_axis(x.astype(np.float64), axis, index, weight)
            g = np.moveaxis(np.zeros((out, *shape[:axis], *shape[axis + 1 :])), 0, axis)
            g = np.random.default_rng(2).normal(g, 1).astype(dtype)
            back = plain.spread_axis(g.astype(np.float64), axis, index, weight, length)
            for order in ORDERS:
                close(cuda.sample_axis(order(x), axis, index, weight), right, dtype, 8)
                got = cuda.spread_axis(order(g), axis, index, weight, length)
                close(got, back, dtype, 40)


def test_half_precision_is_summed_in_single(cuda):
    index, weight = np.zeros((4096, 1), np.int64), np.ones((4096, 1))
    ones = there(np.ones((4096, 8), np.float16))  # in float16, 2048 + 1 is 2048
    assert (cuda.spread_axis(ones, 0, index, weight, 1).get() == 4096).all()


def test_whole_numbers_are_copied(cuda):
    x, (index, weight) = np.arange(24).reshape(2, 3, 4), table(4, 5)
    got = cuda.sample_axis(there(x), 2, index[:, :1], weight[:, :1])
    np.testing.assert_array_equal(got.get(), x[:, :, index[:, 0]])
