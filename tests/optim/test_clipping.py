import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, GradientError
from minicnn.optim import clip_gradient_values, clip_gradients


def params(*gradients, dtype=np.float64):
    found = []
    for g in gradients:
        p = Tensor(np.zeros(np.shape(g)), True)
        p.grad = None if g is None else Tensor(np.array(g, dtype))
        found.append(p)
    return found


def test_norm_is_taken_over_all_together():
    a, b, c = params([3.0, 0.0], [[4.0]], None)
    assert clip_gradients([a, ("b", b), c], 2.5) == 5.0
    np.testing.assert_allclose(a.grad.data, [1.5, 0])
    np.testing.assert_allclose(b.grad.data, [[2.0]])
    assert c.grad is None


def test_a_small_gradient_is_left_alone():
    (a,) = params([3.0, 4.0])
    before = a.grad
    assert clip_gradients([a], 5.0) == 5.0
    assert a.grad is before


def test_a_shared_gradient_is_scaled_once_for_each():
    a, b = params([1.0], None)
    b.grad = shared = a.grad
    clip_gradients([a, b], 1.0)
    np.testing.assert_allclose([a.grad.data[0], b.grad.data[0]], 2**-0.5)
    assert shared.data[0] == 1.0


def test_the_norm_of_float16_does_not_overflow():
    (a,) = params(np.full(1000, 1000.0), dtype=np.float16)
    assert clip_gradients([a], 1.0) == pytest.approx(1000 * 1000**0.5, rel=1e-12)
    assert a.grad.dtype == np.float16


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_norm_names_the_parameters(value):
    good, bad, bad2 = params([1.0], [1.0, value], [value])
    with pytest.raises(GradientError, match=r"norm is (nan|inf), because of w, parameter 2;"):
        clip_gradients([good, ("w", bad), bad2], 1.0)
    assert good.grad.data[0] == 1.0


def test_by_value():
    a, b = params([-3.0, 0.5, np.inf, np.nan], None)
    before = a.grad
    clip_gradient_values([a, b], 1.0)
    np.testing.assert_array_equal(a.grad.data, [-1, 0.5, 1, np.nan])
    assert before.data[0] == -3.0


def test_no_gradients_at_all():
    assert clip_gradients(params(None), 1.0) == 0.0


@pytest.mark.parametrize("limit", [0, -1.0, float("nan")])
def test_limits_must_be_above_zero(limit):
    with pytest.raises(ConfigError, match="give a number above 0"):
        clip_gradients([], limit)
    with pytest.raises(ConfigError, match="give a number above 0"):
        clip_gradient_values([], limit)
