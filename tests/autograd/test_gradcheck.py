"""The checker must accept what is right, and object to whatever is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.autograd import Tensor, check_gradients, differentiable, exp, sum_to
from minicnn.ops import softmax
from tests.ops.spec import ErrorCase

X = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]])


def square_with(gradient):
    """x**2 with a gradient of choice: gradient(g, x)."""
    return differentiable(lambda x: (x.data**2, (lambda g: gradient(g, x),)))


def test_accepts_what_is_right():
    check_gradients(square_with(lambda g, x: g * 2.0 * x), X, order=2)
    check_gradients(lambda a, b: (a * b).sum(axis=0), X, X + 1.0, order=2)
    check_gradients(lambda x: x.sum(), np.zeros((0, 3)))
    check_gradients(lambda x: exp(x), np.array(0.5), order=3)
    check_gradients(lambda x: x * 3.0, X, order=2)  # second derivatives that are zero


WRONG = {
    "zero": lambda g, x: g * 0.0,
    "sign": lambda g, x: g * -2.0 * x,
    "factor 2 missing": lambda g, x: g * x,
    "a thousandth off": lambda g, x: g * 2.002 * x,
    "a hundred-thousandth off": lambda g, x: g * 2.00002 * x,
    "one element": lambda g, x: g * Tensor(2 * x.data + np.eye(2, 3)),
    "of the neighbour": lambda g, x: g * Tensor(np.roll(2 * x.data, 1, axis=1)),
    "cotangent ignored": lambda g, x: 2.0 * x,
    "cotangent averaged": lambda g, x: g.mean() * 2.0 * x,
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("directions", [1, 2])
def test_objects_to_a_wrong_gradient(name, directions):
    with pytest.raises(AssertionError, match=r"argument 0: <J\^T u, v> by backward"):
        check_gradients(square_with(WRONG[name]), X, directions=directions)


@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_objects_to_a_gradient_that_is_not_finite(factor):
    with pytest.raises(AssertionError, match="argument 0: gradient is NaN or infinite"):
        check_gradients(square_with(lambda g, x: g * factor), X)

    @differentiable
    def all_nan(x: Tensor):  # NaN agrees with NaN, and proves nothing
        return x.data * factor, (lambda g: g * factor,)

    with pytest.raises(AssertionError, match="argument 0"):
        check_gradients(all_nan, X)


def test_objects_where_a_cotangent_of_ones_would_not():
    """The sum of a softmax is constant: with a cotangent of ones zero is right."""

    @differentiable
    def wrong_softmax(x: Tensor):
        return softmax(x).data, (lambda g: g * 0.0,)

    leaf = Tensor(X, requires_grad=True)
    softmax(leaf).sum().backward()
    assert np.abs(leaf.grad.data).max() < 1e-15
    with pytest.raises(AssertionError, match="argument 0"):
        check_gradients(wrong_softmax, X)


def test_objects_to_a_gradient_that_sums_to_the_right_value():
    """Spread evenly, <g, 1> is right; only a random direction tells."""

    def spread(g, x):
        right = (g * 2.0 * x).data
        return Tensor(np.full_like(right, right.mean()))

    with pytest.raises(AssertionError, match="argument 0"):
        check_gradients(square_with(spread), X)


def test_names_the_argument():
    @differentiable
    def product(a: Tensor, b: Tensor):
        return a.data * b.data, (lambda g: g * b, lambda g: g * b)

    with pytest.raises(AssertionError, match="argument 1"):
        check_gradients(product, X, X + 1.0)


def test_objects_to_a_missing_gradient():
    def forgets(a: Tensor, b: Tensor) -> Tensor:
        return a * b.detach()

    with pytest.raises(AssertionError, match="argument 1 received no gradient"):
        check_gradients(forgets, X, X)


@pytest.mark.parametrize("shape", [(6,), (1, 2, 3), (3, 2), (2, 1)])
def test_objects_to_a_misshapen_gradient(shape):
    def reshaped(g, x):
        right = (g * 2.0 * x).data
        return Tensor(np.resize(right, shape))

    with pytest.raises(AssertionError, match=r"argument 0: gradient has shape"):
        check_gradients(square_with(reshaped), X)


def test_objects_to_a_gradient_in_single_precision():
    def narrow(g, x):
        return Tensor((g * 2.0 * x).data.astype(np.float32))

    check_gradients(square_with(narrow), X, rtol=1e-5)
    with pytest.raises(AssertionError, match="argument 0"):
        check_gradients(square_with(narrow), X * 1e3 + 1 / 3, rtol=1e-9, atol=0)


def test_objects_when_the_input_is_modified():
    @differentiable
    def overwrites(x: Tensor):
        before = x.data.copy()
        x.data *= 1.0 + 1e-9
        return before**2, (lambda g: g * Tensor(2 * before),)

    with pytest.raises(AssertionError, match="f changed its input, argument 0"):
        check_gradients(overwrites, X.copy())


def test_objects_when_the_walk_modifies_the_input():
    @differentiable
    def overwrites(x: Tensor):
        right = 2 * x.data

        def grad_x(g: Tensor) -> Tensor:
            x.data[0, 0] += 1e-3
            return g * Tensor(right)

        return x.data**2, (grad_x,)

    with pytest.raises(AssertionError, match=r"argument 0|changed its input"):
        check_gradients(overwrites, X.copy())


def test_objects_to_a_wrong_second_gradient():
    @differentiable
    def cube(x: Tensor):
        # The first gradient is right in value, but its history says 3 x**2 is linear in x.
        return x.data**3, (lambda g: g * (Tensor(3 * x.data) * x),)

    check_gradients(cube, X)
    with pytest.raises(AssertionError, match="argument"):
        check_gradients(cube, X, order=2)


def test_objects_to_a_second_gradient_that_is_lost():
    @differentiable
    def square(x: Tensor):
        return x.data**2, (lambda g: g * Tensor(2 * x.data),)

    check_gradients(square, X)
    with pytest.raises(AssertionError, match="argument"):
        check_gradients(square, X, order=2)


def test_objects_where_a_batch_sum_is_missing():
    @differentiable
    def shifted(x: Tensor, bias: Tensor):
        return x.data + bias.data, (lambda g: g, lambda g: g[0])

    with pytest.raises(AssertionError, match="argument 1"):
        check_gradients(shifted, X, np.zeros(3))

    @differentiable
    def right(x: Tensor, bias: Tensor):
        return x.data + bias.data, (lambda g: g, lambda g: sum_to(g, (3,)))

    check_gradients(right, X, np.zeros(3))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (np.ones(2, np.float32), "float32"),
        (np.ones(2, int), "int64"),
        ([1.0, 2.0], "list"),
        (Tensor(np.ones(2)), "float64"),
    ],
)
def test_takes_float64_arrays_only(given, kind):
    with pytest.raises(TypeError, match=f"argument 1 must be a float64 array, got {kind}"):
        check_gradients(lambda a, b: a * b, np.ones(2), given)


def test_the_arrays_given_are_not_marked_or_changed():
    x = X.copy()
    x.flags.writeable = False
    check_gradients(lambda t: t * t, x)
    np.testing.assert_array_equal(x, X)


def test_directions_depend_on_the_seed():
    """A fault along one direction alone escapes that one, and not others."""
    seen = []

    def watch(x: Tensor) -> Tensor:
        seen.append(x.data.copy())
        return x * x

    check_gradients(watch, X, seed=1)
    check_gradients(watch, X, seed=2)
    half = len(seen) // 2
    assert not np.array_equal(seen[1], seen[half + 1])


def test_a_wrong_op_of_the_example_is_refused():
    @differentiable
    def wrong(x: Tensor):
        return x.data * x.data, (lambda g: g * x,)

    with pytest.raises(AssertionError, match="argument 0"):
        check_gradients(wrong, np.array([1.0, 2.0]))


ERRORS = (
    ErrorCase(
        lambda: check_gradients(lambda a: a, np.ones(2, np.float32)),
        TypeError,
        "check_gradients: argument 0 must be a float64 array, got float32",
    ),
)
