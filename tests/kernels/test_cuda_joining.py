"""CUDA concatenation: any type, runs of any length."""

from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.device_arrays import there

TYPES = (np.bool_, np.uint8, np.int16, np.float16, np.int32, np.float32, np.float64, np.complex128)
SHAPES = [  # rank, axis, lengths along it
    ((5,), 0, (1, 4)), ((3, 4), 0, (3, 1, 2)), ((3, 4), 1, (4, 4)), ((3, 1), 1, (1, 2, 7)),
    ((2, 3, 4, 5), 1, (3, 6)), ((2, 3, 4, 5), 3, (5, 0, 3)), ((2, 0), 1, (0, 8)),
    ((4, 16), 1, (16,)),
]  # fmt: skip


def pieces(shape, axis, lengths, dtype):
    random = np.random.default_rng(0)
    shapes = [(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]
    return [random.integers(0, 100, s).astype(dtype) for s in shapes]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "axis", "lengths"), SHAPES)
def test_is_numpys(shape, axis, lengths, dtype, cuda):
    arrays = pieces(shape, axis, lengths, dtype)
    right = np.concatenate(arrays, axis)
    got = cuda.concatenate([there(a) for a in arrays], axis)
    assert got.dtype == right.dtype
    np.testing.assert_array_equal(got.get(), right)


def test_arrays_with_gaps_and_odd_beginnings(cuda):
    a, b = pieces((6, 8), 1, (8, 8), np.float32)
    got = cuda.concatenate([there(a)[:, 1:6], there(b)[1:, :].T[:6, :5]], 1)
    np.testing.assert_array_equal(got.get(), np.concatenate([a[:, 1:6], b[1:].T[:6, :5]], 1))
    got = cuda.concatenate([there(a).reshape(-1)[1:], there(b).reshape(-1)], 0)
    np.testing.assert_array_equal(got.get(), np.concatenate([a.reshape(-1)[1:], b.reshape(-1)]))


def test_nothing_and_mixed_types_are_left_to_cupy(cuda):
    empty = np.zeros((0, 3), np.float32)
    assert cuda.concatenate([there(empty), there(empty)], 0).shape == (0, 3)
    got = cuda.concatenate([there(np.ones(2, np.float32)), there(np.zeros(2))], 0)
    assert got.dtype == np.float64
