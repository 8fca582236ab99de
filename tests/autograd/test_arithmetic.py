"""Arithmetic on two operands against Python's own, with broadcasting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.autograd import (
    Tensor,
    absolute,
    add,
    check_gradients,
    divide,
    floor_divide,
    fmod,
    maximum,
    minimum,
    mod,
    multiply,
    negative,
    power,
    reciprocal,
    square,
    subtract,
)
from minicnn.errors import DeviceError, DTypeError
from tests.autograd.elementwise import (
    binary,
    dividends,
    divisors,
    either_sign,
    gradients,
    needs_numbers,
    slopes,
    special,
    specials,
    unary,
)
from tests.ops.driver import proof_of
from tests.ops.spec import ErrorCase
from tests.ops.stand_in import on_gpu
from tests.ops.values import away_from_zero, positive

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
    errors=(
        ErrorCase(
            lambda: Tensor([True]) - Tensor([False]), DTypeError, r"subtract: needs numbers, got bo"
        ),
    ),
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
    errors=(
        ErrorCase(
            lambda: Tensor([1, 2]) ** -1,
            DTypeError,
            r"power: whole numbers \(2,\) to a negative power \(\) are fractions; use .astype",
        ),
    ),
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
MOD = binary(
    "mod",
    mod,
    lambda a, b: a % b,
    dividends,
    divisors,
    special={
        "the sign is b's": specials([5, -5, 5, -5, 0], [3, 3, -3, -3, 3], [2, 1, -1, -2, 0]),
        "out of range": specials([5, INF, NAN, 1], [0, 2, 2, NAN], [NAN] * 4),
        "by infinity": specials([5, -5], [INF, INF], [5, INF]),
    },
    forward_mutants={"the sign is a's": lambda y, a, b: np.fmod(a, b)},
    backward_mutants={
        "truncated": slopes(lambda a, b: 1 + 0 * a, lambda a, b: -np.trunc(a / b)),
        "the quotient": slopes(lambda a, b: 1 + 0 * a, lambda a, b: -a / b),
        "none for b": slopes(lambda a, b: 1 + 0 * a, lambda a, b: 0 * b),
    },
)
FMOD = binary(
    "fmod",
    fmod,
    math.fmod,
    dividends,
    divisors,
    special={
        "the sign is a's": specials([5, -5, 5, -5, 0], [3, 3, -3, -3, 3], [2, -2, 2, -2, 0]),
        "out of range": specials([5, INF, NAN, 1], [0, 2, 2, NAN], [NAN] * 4),
        "by infinity": specials([5, -5], [INF, INF], [5, -5]),
    },
    forward_mutants={"the sign is b's": lambda y, a, b: a % b},
    backward_mutants={
        "rounded down": slopes(lambda a, b: 1 + 0 * a, lambda a, b: -np.floor(a / b)),
        "the quotient": slopes(lambda a, b: 1 + 0 * a, lambda a, b: -a / b),
    },
)
NEGATIVE = unary(
    "negative",
    negative,
    lambda v: -v,
    errors=(needs_numbers(negative, "negative"),),
    special={"infinities": special([INF, -INF, NAN], [-INF, INF, NAN])},
    forward_mutants={"itself": lambda y, x: x},
    backward_mutants={"of the absolute value": slopes(np.sign)},
)
ABSOLUTE = unary(
    "absolute",
    absolute,
    abs,
    away_from_zero,
    special={"infinities": special([INF, -INF, NAN, -0.0], [INF, INF, NAN, 0])},
    forward_mutants={"relu": lambda y, x: x.clip(0), "square": lambda y, x: x * x},
    backward_mutants={"sign missing": slopes(lambda x: 0 * x + 1), "x": slopes(lambda x: x)},
)
RECIPROCAL = unary(
    "reciprocal",
    reciprocal,
    lambda v: 1 / v,
    either_sign,
    special={"infinities": special([INF, -INF, NAN, 0.0, -0.0], [0, 0, NAN, INF, -INF])},
    forward_mutants={"of the square": lambda y, x: y * y, "negative": lambda y, x: -y},
    backward_mutants={
        "minus missing": slopes(lambda x: x**-2),
        "not squared": slopes(lambda x: -1 / x),
    },
)
SQUARE = unary(
    "square",
    square,
    lambda v: v * v,
    special={"infinities": special([INF, -INF, NAN, -0.0], [INF, INF, NAN, 0])},
    forward_mutants={"cube": lambda y, x: x**3, "signed": lambda y, x: x * abs(x)},
    backward_mutants={"2 missing": slopes(lambda x: x), "2": slopes(lambda x: 2 + 0 * x)},
)

SPECS = (
    ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, MOD, FMOD, NEGATIVE, ABSOLUTE, RECIPROCAL, SQUARE,
)  # fmt: skip
TestArithmetic = proof_of(*SPECS)


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


@pytest.mark.parametrize(
    "op",
    [add, subtract, multiply, divide, floor_divide, mod, fmod, power, maximum, minimum],
)
def test_two_plain_arrays_or_numbers_make_a_tensor(op):
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for given in ((a, b), (a, 2.0), (2.0, a), (1.0, 2.0)):
        right = op(*(Tensor(np.asarray(v)) for v in given))
        np.testing.assert_allclose(op(*given).data, right.data)
    assert not op(a, b).requires_grad


def test_absolute_has_no_slope_at_zero():
    assert gradients(absolute, [0.0, -0.0, 2.0, -2.0]) == [[0, 0, 1, -1]]


def test_whole_quotients_and_remainders_by_operator():
    x = np.array([-7, 7, 5])
    t = Tensor(x)
    assert (t // 2).data.tolist() == [-4, 3, 2]
    assert (t % 3).data.tolist() == [2, 1, 2]
    assert (20 // t).data.tolist() == [-3, 2, 4]
    assert (20 % t).data.tolist() == [-1, 6, 0]
    assert (x // t).data.tolist() == [1, 1, 1]
    assert (x % (t + 1)).data.tolist() == (x % (x + 1)).tolist()
    assert fmod(t, 3).data.tolist() == [-1, 1, 2]
    assert mod(Tensor(x.astype(np.float32)), 3).dtype == np.float32


def test_quotient_and_remainder_make_the_whole():
    a, b = dividends(0, 50), divisors(1, 50)
    whole = Tensor(b) * (Tensor(a) // Tensor(b)) + Tensor(a) % Tensor(b)
    np.testing.assert_allclose(whole.data, a, rtol=1e-12)


def test_small_and_whole_numbers_of_reciprocal_and_square():
    assert reciprocal(Tensor([2, 4])).data.tolist() == [0.5, 0.25]
    assert reciprocal(Tensor(np.array([2], np.float32))).dtype == np.float32
    assert square(Tensor([3, -4])).data.tolist() == [9, 16]
    assert square(Tensor([3, -4])).dtype == np.int64


@pytest.mark.parametrize("op", [divide, power, multiply])
def test_third_derivatives(op):
    check_gradients(op, positive(0, 3), positive(1, 3), order=3)


ERRORS = (
    ErrorCase(
        lambda: Tensor([1.0]) + None,
        DTypeError,
        "add: an operand must be a Tensor, an array or a number, got None; ",
    ),
    ErrorCase(
        lambda: "half" * Tensor([1.0]),
        DTypeError,
        "multiply: an operand must be a Tensor, an array or a number, got 'half'",
    ),
    ErrorCase(
        lambda: on_gpu(2, 2) + Tensor(np.ones((2, 2))),
        DeviceError,
        r"add: one operand is on cuda:0 \(2, 2\), the other on cpu \(2, 2\); move one with .to",
    ),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
