"""Numbers for each channel beside channels-last images: NumPy's values, whatever the loop."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, ops
from minicnn.autograd import _operands, check_gradients


@pytest.fixture(autouse=True)
def no_array_is_small(monkeypatch):
    monkeypatch.setattr(_operands, "_WORTH", 0)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    """Return images, or volumes, that lie channels-last."""
    n, c, *space = shape
    rng = np.random.default_rng(seed)
    return np.moveaxis(rng.standard_normal((n, *space, c)) + 3.0, -1, 1)


SMALL = [(5, 1, 1), (1, 5, 1, 1), (3, 5, 1, 1), (1,), (7,), (1, 1, 6, 7), (5, 6, 7), ()]


@pytest.mark.parametrize("small", SMALL)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_each_order_of_operands(name, small):
    x = draw(3, 5, 6, 7)
    b = np.asarray(np.random.default_rng(1).standard_normal(small) + 3.0)
    op, reference = getattr(ops, name), getattr(np, name)
    np.testing.assert_array_equal(op(Tensor(x), Tensor(b)).data, reference(x, b))
    np.testing.assert_array_equal(op(Tensor(b), Tensor(x)).data, reference(b, x))
    check_gradients(op, x, b)
    check_gradients(op, b, x)


@pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 4, 5, 6), (2, 1100, 3, 3), (0, 3, 4, 4)])
def test_other_ranks_and_sizes(shape):
    x, b = draw(*shape), draw(*shape[:2], *(1,) * (len(shape) - 2), seed=1)
    y = ops.multiply(Tensor(x), Tensor(b)).data
    np.testing.assert_array_equal(y, x * b)
    assert np.moveaxis(y, 1, -1).flags.c_contiguous


def test_what_numpy_is_not_to_warn_of_holds_in_all_threads():
    x, zeros = draw(64, 8, 32, 32).astype(np.float32), Tensor(np.zeros((8, 1, 1), np.float32))
    with np.errstate(divide="ignore"):
        assert np.isinf(ops.divide(Tensor(x), zeros).data).all()
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        ops.divide(Tensor(x), zeros)


def test_joined_images_stay_channels_last():
    a, b = draw(2, 3, 4, 5), draw(2, 6, 4, 5, seed=1)
    y = ops.concatenate([a, b], axis=1).data
    np.testing.assert_array_equal(y, np.concatenate([a, b], axis=1))
    assert np.moveaxis(y, 1, -1).flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("channels", [(3, 6), (16, 1, 8), (200, 5)])
def test_joined_images_large_enough_for_the_loop(channels, axis, dtype):
    others = [(9, c if axis == 1 else 7, 33, 40) for c in channels]
    arrays = [(draw(*shape, seed=i) * 9).astype(dtype) for i, shape in enumerate(others)]
    y = ops.concatenate([Tensor(a) for a in arrays], axis=axis).data
    np.testing.assert_array_equal(y, np.concatenate(arrays, axis=axis))
