"""CUDA softmax and cross-entropy: rows of any length, in any memory, with infinities in them."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import ORDERS, close, last, there

TYPES = (np.float16, np.float32, np.float64)
CASES = [  # shape, axis: one number; lanes of a warp; a warp; a block; pixels; few and long columns
    ((3, 1), 1), ((9, 2), 1), ((70, 3), 1), ((5, 19), 1), ((5, 43), 1), ((3, 130), 1),
    ((2, 1100), 1), ((4,), 0), ((2, 5, 3, 4), 1), ((2, 5, 3, 4), 3), ((60, 3), 0), ((1100, 2), 0),
    ((1, 3, 91, 91), 1), ((3, 0, 2), 0), ((0, 4), 1),
]  # fmt: skip
FORWARD = ("softmax", "log_softmax")


def numbers(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(0, 3, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("name", FORWARD)
def test_along_an_axis(name, shape, axis, dtype, cuda):
    x, g = numbers(shape, dtype), numbers(shape, dtype, 1)
    right = getattr(plain, name)(x.astype(np.float64), axis)
    y = right.astype(dtype)
    args = g.astype(np.float64), y.astype(np.float64), axis
    grad = getattr(plain, f"{name}_grad")(*args)
    for order in ORDERS:
        close(getattr(cuda, name)(order(x), axis), right, dtype, 4)
        close(getattr(cuda, f"{name}_grad")(there(g), order(y), axis), grad, dtype, 40)


@pytest.mark.parametrize("name", FORWARD)
def test_infinities(name, cuda):
    x = numbers((7, 45))
    x[0, 3] = x[0, 40] = -np.inf  # forbidden classes
    x[1, :44] = -np.inf  # one is left
    x[2] = -np.inf
    x[3, 5], x[4, 6], x[5] = np.inf, np.nan, x[5] * 1e4
    with np.errstate(invalid="ignore", divide="ignore"):
        right = getattr(plain, name)(x, 1)
    for given, axis, back in ((there(x), 1, lambda y: y), (there(x.T), 0, lambda y: y.T)):
        got = back(getattr(cuda, name)(given, axis)).get()
        np.testing.assert_allclose(got, right, rtol=2e-6, atol=2e-6)
    assert np.isnan(right[2:5]).all()
    assert np.isfinite(np.exp(right[0]) if name == "log_softmax" else right[0]).all()


def test_sums_of_half_precision_are_taken_in_float32(cuda):
    y = cuda.softmax(there(np.zeros((2, 4000), np.float16)), 1)
    np.testing.assert_array_equal(y.get(), np.full((2, 4000), np.float16(1 / 4000)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(6, 5), (1, 1), (9, 43), (2, 1100), (2, 5, 3, 4), (2, 40, 95)])
def test_cross_entropy(shape, smoothing, dtype, cuda):
    n, classes, *space = shape
    x = numbers(shape, dtype)
    labels = np.random.default_rng(1).integers(0, classes, (n, *space))
    weights = np.abs(numbers((n, *space), dtype, 2))
    weights.reshape(-1)[-1:] = 0
    losses, log_p = plain.softmax_cross_entropy(
        x.astype(np.float64), labels, weights.astype(np.float64), smoothing
    )
    known = log_p.astype(dtype)
    grad = plain.cross_entropy_grad(
        weights.astype(np.float64), known.astype(np.float64), labels, smoothing
    )
    for order in ORDERS:
        found, found_log_p = cuda.softmax_cross_entropy(
            order(x), there(labels), there(weights), smoothing
        )
        close(found, losses, dtype, 10)
        close(found_log_p, log_p, dtype, 4)
        got = cuda.cross_entropy_grad(there(weights), order(known), there(labels), smoothing)
        close(got, grad, dtype, 4)


def test_labels_of_other_whole_numbers(cuda):
    x, labels = numbers((6, 5)), np.array([0, 4, 2, 2, 1, 3], np.int32)
    weights = np.ones(6, np.float32)
    losses, _ = cuda.softmax_cross_entropy(there(x), there(labels), there(weights), 0.0)
    close(losses, plain.softmax_cross_entropy(x, labels, weights, 0.0)[0], np.float32)


def test_what_does_not_count_may_be_anything(cuda):
    """A class that is not the label may be impossible; an example of weight 0 may be NaN."""
    x = numbers((3, 5))
    x[0, 1], x[1] = -np.inf, np.nan
    labels, weights = np.array([2, 0, 4]), np.array([1, 0, 2], np.float32)
    losses, log_p = cuda.softmax_cross_entropy(there(x), there(labels), there(weights), 0.0)
    grad = cuda.cross_entropy_grad(there(weights), log_p, there(labels), 0.0).get()
    assert np.isfinite(losses.get()).all()
    assert losses.get()[1] == 0
    assert np.isfinite(grad).all()
    assert not grad[1].any()
    losses, _ = cuda.softmax_cross_entropy(there(x), there(labels), there(weights), 0.1)
    assert losses.get()[0] == np.inf  # smoothing wants the impossible


def test_channels_last_scores_stay_so(cuda):
    x = numbers((2, 5, 3, 4))
    for y in (cuda.softmax(last(x), 1), cuda.log_softmax(last(x), 1)):
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
