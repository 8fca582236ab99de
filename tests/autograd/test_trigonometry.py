"""Angles and their hyperbolic relatives, against Python's own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.autograd import (
    Tensor,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    check_gradients,
    cos,
    cosh,
    sin,
    sinh,
    tan,
    tanh,
)
from tests.autograd.elementwise import gradients, inside, slopes, special, unary
from tests.ops.driver import proof_of
from tests.ops.values import normal, positive

INF, NAN = math.inf, math.nan
PI = math.pi


def within_a_quarter_turn(seed: int, *shape: int) -> np.ndarray:
    return np.asarray(1.5 * inside(seed, *shape))


def above_one(seed: int, *shape: int) -> np.ndarray:
    return np.asarray(positive(seed, *shape) + 0.75)


SIN = unary(
    "sin",
    sin,
    math.sin,
    special={"no angle": special([INF, -INF, NAN, 0], [NAN, NAN, NAN, 0])},
    forward_mutants={"cosine": lambda y, x: np.cos(x), "in degrees": lambda y, x: np.sin(x / 57.3)},
    backward_mutants={
        "sine": slopes(np.sin),
        "sign": slopes(lambda x: -np.cos(x)),
    },
)
COS = unary(
    "cos",
    cos,
    math.cos,
    special={"no angle": special([INF, -INF, NAN, 0], [NAN, NAN, NAN, 1])},
    forward_mutants={"sine": lambda y, x: np.sin(x)},
    backward_mutants={"cosine": slopes(np.cos), "minus missing": slopes(np.sin)},
)
TAN = unary(
    "tan",
    tan,
    math.tan,
    within_a_quarter_turn,
    special={"no angle": special([INF, -INF, NAN, 0], [NAN, NAN, NAN, 0])},
    forward_mutants={"cotangent": lambda y, x: 1 / y, "hyperbolic": lambda y, x: np.tanh(x)},
    backward_mutants={
        "1 - y**2": slopes(lambda x: 1 - np.tan(x) ** 2),
        "1 / cos x": slopes(lambda x: 1 / np.cos(x)),
    },
)
ARCSIN = unary(
    "arcsin",
    arcsin,
    math.asin,
    inside,
    integers=np.array([[-1, 0, 1]]),
    special={"ends": special([1, -1, 2, -INF, NAN], [PI / 2, -PI / 2, NAN, NAN, NAN])},
    forward_mutants={"arc cosine": lambda y, x: np.arccos(x), "sine": lambda y, x: np.sin(x)},
    backward_mutants={
        "1 + x**2": slopes(lambda x: (1 + x * x) ** -0.5),
        "root missing": slopes(lambda x: 1 / (1 - x * x)),
        "sign": slopes(lambda x: -((1 - x * x) ** -0.5)),
    },
)
ARCCOS = unary(
    "arccos",
    arccos,
    math.acos,
    inside,
    integers=np.array([[-1, 0, 1]]),
    special={"ends": special([1, -1, 2, -INF, NAN], [0, PI, NAN, NAN, NAN])},
    forward_mutants={"arc sine": lambda y, x: np.arcsin(x)},
    backward_mutants={
        "minus missing": slopes(lambda x: (1 - x * x) ** -0.5),
        "root missing": slopes(lambda x: -1 / (1 - x * x)),
    },
)
ARCTAN = unary(
    "arctan",
    arctan,
    math.atan,
    special={"ends": special([INF, -INF, NAN, 0], [PI / 2, -PI / 2, NAN, 0])},
    forward_mutants={"hyperbolic": lambda y, x: np.tanh(x), "sine": lambda y, x: np.arcsinh(x)},
    backward_mutants={
        "a root": slopes(lambda x: (1 + x * x) ** -0.5),
        "1 + y**2": slopes(lambda x: 1 / (1 + np.arctan(x) ** 2)),
    },
)
SINH = unary(
    "sinh",
    sinh,
    math.sinh,
    special={"overflows": special([INF, -INF, NAN, 1e4, 0], [INF, -INF, NAN, INF, 0])},
    forward_mutants={"cosine": lambda y, x: np.cosh(x), "of angles": lambda y, x: np.sin(x)},
    backward_mutants={"sine": slopes(np.sinh), "sign": slopes(lambda x: -np.cosh(x))},
)
COSH = unary(
    "cosh",
    cosh,
    math.cosh,
    special={"overflows": special([INF, -INF, NAN, 1e4, 0], [INF, INF, NAN, INF, 1])},
    forward_mutants={"sine": lambda y, x: np.sinh(x)},
    backward_mutants={"cosine": slopes(np.cosh), "as of angles": slopes(lambda x: -np.sinh(x))},
)
TANH = unary(
    "tanh",
    tanh,
    math.tanh,
    special={"saturates": special([1e4, -1e4, INF, -INF, NAN, 0], [1, -1, 1, -1, NAN, 0])},
    forward_mutants={
        "sigmoid": lambda y, x: 1 / (1 + np.exp(-x)),
        "arctan": lambda y, x: np.arctan(x),
    },
    backward_mutants={
        "1 - y": slopes(lambda x: 1 - np.tanh(x)),
        "1 + y**2": slopes(lambda x: 1 + np.tanh(x) ** 2),
        "y (1 - y)": slopes(lambda x: np.tanh(x) * (1 - np.tanh(x))),
    },
)
ARCSINH = unary(
    "arcsinh",
    arcsinh,
    math.asinh,
    special={"ends": special([INF, -INF, NAN, 0], [INF, -INF, NAN, 0])},
    forward_mutants={"of angles": lambda y, x: np.arctan(x)},
    backward_mutants={
        "root missing": slopes(lambda x: 1 / (1 + x * x)),
        "1 / cosh x": slopes(lambda x: 1 / np.cosh(x)),
    },
)
ARCCOSH = unary(
    "arccosh",
    arccosh,
    math.acosh,
    above_one,
    special={"ends": special([INF, 1, 0, -INF, NAN], [INF, 0, NAN, NAN, NAN])},
    forward_mutants={"sine": lambda y, x: np.arcsinh(x), "negative branch": lambda y, x: -y},
    backward_mutants={
        "1 + x**2": slopes(lambda x: (1 + x * x) ** -0.5),
        "root missing": slopes(lambda x: 1 / (x * x - 1)),
    },
)
ARCTANH = unary(
    "arctanh",
    arctanh,
    math.atanh,
    inside,
    integers=np.array([[0, 0]]),
    special={"ends": special([1, -1, 2, NAN, 0], [INF, -INF, NAN, NAN, 0])},
    forward_mutants={"sine": lambda y, x: np.arcsin(x), "tangent": lambda y, x: np.tanh(x)},
    backward_mutants={
        "1 + x**2": slopes(lambda x: 1 / (1 + x * x)),
        "a root": slopes(lambda x: (1 - x * x) ** -0.5),
    },
)

SPECS = (
    SIN, COS, TAN, ARCSIN, ARCCOS, ARCTAN, SINH, COSH, TANH, ARCSINH, ARCCOSH, ARCTANH,
)  # fmt: skip
TestTrigonometry = proof_of(*SPECS)


def test_slopes_do_not_overflow_where_the_square_of_x_does():
    x = np.array([1e200, -1e200])
    assert gradients(arcsinh, x) == [[pytest.approx(1e-200), pytest.approx(1e-200)]]
    assert gradients(arccosh, x[:1]) == [[pytest.approx(1e-200)]]
    half = Tensor(np.array([300.0], np.float16), requires_grad=True)
    arcsinh(half).backward()
    assert half.grad.item() == pytest.approx(1 / 300, rel=5e-3)


def test_slopes_near_the_ends_keep_their_digits():
    """1 - x**2 would have lost half of them."""
    x = 1 - 2.0**-40
    exact = 1 / math.sqrt(2.0**-40 * (2 - 2.0**-40))
    assert gradients(arcsin, [x])[0] == pytest.approx([exact], rel=1e-14)
    assert gradients(arctanh, [x])[0] == pytest.approx([exact**2], rel=1e-14)


@pytest.mark.parametrize("op", [sin, tan, arctan, tanh, arcsinh])
def test_third_derivatives(op):
    check_gradients(op, 0.4 * normal(0, 5), order=3)
