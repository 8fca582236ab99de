"""Rounding, the sign and whole quotients: the value, and gradients that are 0.

A gradient of 0 proves nothing by itself (all of its wrong versions are 0 as well), so what
is proven here is ``x + op(x)``: its gradient is dL/dy, and nothing else.
"""

from __future__ import annotations

import builtins
import math

import numpy as np
import pytest

from minicnn.autograd import Tensor, ceil, floor, floor_divide, round, sign
from tests.autograd.elementwise import (
    binary,
    dividends,
    divisors,
    gradients,
    near_eighths,
    needs_numbers,
    slopes,
    special,
    specials,
    unary,
)
from tests.ops.driver import proof_of

INF, NAN = math.inf, math.nan


def step(name, op, f, **mutants):
    return unary(
        name,
        lambda x: x + op(x),
        lambda v: v + f(v),
        near_eighths,
        special={"stays": special([INF, -INF, NAN, 0], [INF, -INF, NAN, 0])},
        forward_mutants={"nothing": lambda y, x: x, **mutants},
        backward_mutants={
            "as of x": lambda pull, g, x: [2 * g],
            "times the step": lambda pull, g, x: [g * (1 + np.floor(x))],
        },
        errors=(needs_numbers(sign, "sign"),) if op is sign else (),
    )


FLOOR = step(
    "floor", floor, math.floor, truncates=lambda y, x: x + np.trunc(x), rounds=lambda y, x: 2 * x
)
CEIL = step("ceil", ceil, math.ceil, truncates=lambda y, x: x + np.trunc(x))
ROUND = step("round", round, builtins.round, down=lambda y, x: x + np.floor(x))
SIGN = step(
    "sign",
    sign,
    lambda v: math.copysign(1, v) if v else 0,
    positive=lambda y, x: x + 1,
    other=lambda y, x: x - np.sign(x),
)
FLOOR_DIVIDE = binary(
    "floor_divide",
    lambda a, b: floor_divide(a, b) + a + b,
    lambda a, b: a // b + a + b,
    dividends,
    divisors,
    special={"infinities": specials([5, -5, NAN, INF], [2, 2, 1, 2], [9, -6, NAN, NAN])},
    forward_mutants={
        "truncates": lambda y, a, b: a + b + np.trunc(a / b),
        "divides": lambda y, a, b: a + b + a / b,
    },
    backward_mutants={
        "of the quotient": slopes(lambda a, b: 1 + 1 / b, lambda a, b: 1 - a / b**2),
        "minus the quotient": slopes(lambda a, b: 1 + 0 * a, lambda a, b: 1 - a // b),
    },
)

SPECS = (FLOOR, CEIL, ROUND, SIGN, FLOOR_DIVIDE)
TestRounding = proof_of(*SPECS)


def test_halves_go_to_the_even_neighbour():
    x = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999999999999994]
    assert round(Tensor(np.array(x))).data.tolist() == [-2, -2, 0, 0, 2, 2, 0]
    assert Tensor(np.array(x)).round().data.tolist() == [-2, -2, 0, 0, 2, 2, 0]


@pytest.mark.parametrize("op", [floor, ceil, round, sign])
def test_gradients_are_zero_not_missing_even_at_the_jumps(op):
    assert gradients(op, [0.0, 0.5, 1.0, -1.0, INF, NAN]) == [[0] * 6]
    assert gradients(lambda a: floor_divide(a, 2.0), [4.0, 5.0]) == [[0, 0]]


@pytest.mark.parametrize("op", [floor, ceil, round, sign])
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint8, np.float16, np.float32])
def test_the_type_stays(op, dtype):
    y = op(Tensor(np.array([0, 3], dtype)))
    assert y.dtype == dtype
    assert y.data.tolist() == ([0, 1] if op is sign else [0, 3])


def test_rounding_truths_is_them():
    assert floor(Tensor([True, False])).data.tolist() == [True, False]
