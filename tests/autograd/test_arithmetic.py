"""Arithmetic on two operands against Python's own, with broadcasting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.autograd import (
    Tensor,
    add,
    check_gradients,
    divide,
    maximum,
    minimum,
    multiply,
    power,
    subtract,
)
from tests.autograd.elementwise import (
    binary,
    either_sign,
    gradients,
    near_eighths,
    near_quarters,
    slopes,
    specials,
)
from tests.ops.driver import proof_of
from tests.ops.values import positive

INF, NAN = math.inf, math.nan


ADD = binary(
    "add",
    add,
    lambda a, b: a + b,
    special={"infinities": specials([INF, INF, NAN], [-INF, 1, 1], [NAN, INF, NAN])},
    forward_mutants={"subtracts": lambda y, a, b: a - b},
    backward_mutants={"of a product": slopes(lambda a, b: b, lambda a, b: a)},
)
SUBTRACT = binary(
    "subtract",
    subtract,
    lambda a, b: a - b,
    special={"infinities": specials([INF, INF, NAN], [INF, 1, 1], [NAN, INF, NAN])},
    forward_mutants={"adds": lambda y, a, b: a + b, "the other way round": lambda y, a, b: b - a},
    backward_mutants={"of a sum": slopes(lambda a, b: 0 * a + 1, lambda a, b: 0 * b + 1)},
)
MULTIPLY = binary(
    "multiply",
    multiply,
    lambda a, b: a * b,
    special={"infinities": specials([INF, INF, NAN], [0, -1, 0], [NAN, -INF, NAN])},
    forward_mutants={"divides": lambda y, a, b: a / b},
    backward_mutants={
        "times itself": slopes(lambda a, b: a, lambda a, b: b),
        "of a sum": slopes(lambda a, b: 0 * a + 1, lambda a, b: 0 * b + 1),
    },
)
DIVIDE = binary(
    "divide",
    divide,
    lambda a, b: a / b,
    second=either_sign,
    special={"by zero": specials([1, -1, 0, INF], [0, 0, 0, INF], [INF, -INF, NAN, NAN])},
    forward_mutants={
        "the other way round": lambda y, a, b: b / a,
        "multiplies": lambda y, a, b: a * b,
    },
    backward_mutants={
        "divided once for b": slopes(lambda a, b: 1 / b, lambda a, b: -a / b),
        "sign for b": slopes(lambda a, b: 1 / b, lambda a, b: a / b**2),
        "times b": slopes(lambda a, b: b, lambda a, b: -a / b**2),
    },
)
POWER = binary(
    "power",
    power,
    lambda a, b: a**b,
    first=positive,
    special={
        "zero and one": specials([0, 0, 1, 2, -2], [0, 2, 99, 0, 3], [1, 0, 1, 1, -8]),
        "out of range": specials([0, -8, INF, NAN], [-1, 1 / 3, 2, 0], [INF, NAN, INF, 1]),
    },
    forward_mutants={
        "the other way round": lambda y, a, b: abs(b) ** a,
        "times": lambda y, a, b: a * b,
    },
    backward_mutants={
        "exponent not lowered": slopes(lambda a, b: b * a**b, lambda a, b: a**b * np.log(a)),
        "factor b missing": slopes(lambda a, b: a ** (b - 1), lambda a, b: a**b * np.log(a)),
        "logarithm missing": slopes(lambda a, b: b * a ** (b - 1), lambda a, b: a**b),
        "logarithm to base 10": slopes(
            lambda a, b: b * a ** (b - 1), lambda a, b: a**b * np.log10(a)
        ),
    },
)
MAXIMUM = binary(
    "maximum",
    maximum,
    max,
    near_quarters,
    near_eighths,
    special={
        "NaN wins": specials([NAN, 1, NAN], [1, NAN, NAN], [NAN, NAN, NAN]),
        "infinities": specials([-INF, INF, -INF, INF], [1, 1, -INF, INF], [1, INF, -INF, INF]),
    },
    forward_mutants={
        "minimum": lambda y, a, b: np.minimum(a, b),
        "not below 0": lambda y, a, b: y.clip(0),
    },
    backward_mutants={
        "to the loser": slopes(lambda a, b: a < b, lambda a, b: a > b),
        "to both": slopes(lambda a, b: 0 * a + 1, lambda a, b: 0 * b + 1),
        "half to each": slopes(lambda a, b: 0 * a + 0.5, lambda a, b: 0 * b + 0.5),
    },
)
MINIMUM = binary(
    "minimum",
    minimum,
    min,
    near_quarters,
    near_eighths,
    special={
        "NaN wins": specials([NAN, 1, NAN], [1, NAN, NAN], [NAN, NAN, NAN]),
        "infinities": specials([-INF, INF, -INF, INF], [1, 1, -INF, INF], [-INF, 1, -INF, INF]),
    },
    forward_mutants={
        "maximum": lambda y, a, b: np.maximum(a, b),
        "not above 0": lambda y, a, b: -(-y).clip(0),
    },
    backward_mutants={
        "to the loser": slopes(lambda a, b: a > b, lambda a, b: a < b),
        "to both": slopes(lambda a, b: 0 * a + 1, lambda a, b: 0 * b + 1),
    },
)

SPECS = (ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, MAXIMUM, MINIMUM)
TestArithmetic = proof_of(*SPECS)


@pytest.mark.parametrize("op", [maximum, minimum])
@pytest.mark.parametrize("value", [0.0, 3.0, INF, -INF])
def test_each_of_two_equals_gets_half(op, value):
    assert gradients(op, [value], [value]) == [[0.5], [0.5]]


@pytest.mark.parametrize("op", [maximum, minimum])
def test_nan_wins_the_gradient_too(op):
    assert gradients(op, [NAN, 1.0], [1.0, NAN]) == [[1, 0], [0, 1]]


def test_power_of_a_negative_base_and_a_whole_exponent():
    x = np.array([-2.0, -0.5, 3.0])
    for exponent in (1, 2, 3, -1, -2):
        check_gradients(lambda a, e=exponent: a**e, x, order=2)


def test_power_at_zero():
    """0**2, 0**1 and 0**0 have slopes 0, 1 and 0; 0 * 0**-1 would say NaN for the last."""
    assert gradients(lambda x: x ** np.array([2.0, 1.0, 0.0]), [0.0, 0.0, 0.0]) == [[0, 1, 0]]


def test_gradient_of_the_exponent_where_the_base_is_not_positive_is_zero():
    assert gradients(power, [0.0, 2.0], [2.0, 3.0])[1] == [0, 8 * math.log(2)]


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
    ],
)
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("other", [2, 2.5, True, [2.0, 3.0], np.array([2.0, 3.0]), np.float64(2)])
def test_operators_take_numbers_lists_and_arrays_on_either_side(call, other, swap):
    x = np.array([0.5, 1.5])
    leaf = Tensor(x, requires_grad=True)
    y = call(other, leaf) if swap else call(leaf, other)
    right = call(np.asarray(other), x) if swap else call(x, np.asarray(other))
    np.testing.assert_array_equal(y.data, right)
    check_gradients(lambda t: call(other, t) if swap else call(t, other), x)


@pytest.mark.parametrize("op", [add, subtract, multiply, divide, power, maximum, minimum])
def test_two_plain_arrays_or_numbers_make_a_tensor(op):
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for given in ((a, b), (a, 2.0), (2.0, a), (1.0, 2.0)):
        right = op(*(Tensor(np.asarray(v)) for v in given))
        np.testing.assert_allclose(op(*given).data, right.data)
    assert not op(a, b).requires_grad
