"""Reading at places of arrays that do not lie in C order: the same values, and no other order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minicnn import Tensor, ops
from minicnn.autograd import check_gradients

SHAPE = (3, 4, 2, 5)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::3])
@pytest.mark.parametrize("axis", range(4))
def test_every_order_of_memory(order, axis):
    rng = np.random.default_rng(0)
    memory = rng.standard_normal([SHAPE[a] for a in order])
    x = memory.transpose(np.argsort(order))
    for indices in (np.array(1), np.array([1, 0, 1]), np.array([[0, 1, -1], [1, 1, 0]])):
        y = ops.gather(Tensor(x), indices, axis=axis).data
        np.testing.assert_array_equal(y, np.take(x, indices, axis=axis))
        check_gradients(lambda t, at=indices: ops.gather(t, at, axis=axis), x)
    shape = [*SHAPE]
    shape[axis] = 3
    at = rng.integers(0, SHAPE[axis], shape)
    y = ops.take_along_axis(Tensor(x), at, axis=axis).data
    np.testing.assert_array_equal(y, np.take_along_axis(x, at, axis=axis))
    check_gradients(lambda t: ops.take_along_axis(t, at, axis=axis), x)


def test_images_stay_channels_last():
    x = np.moveaxis(np.random.default_rng(0).standard_normal((3, 4, 5, 6)), -1, 1)
    for y in (ops.gather(x, [2, 0]), ops.gather(x, [2, 0], axis=1)):
        assert np.moveaxis(y.data, 1, -1).flags.c_contiguous
