"""Exponentials, logarithms, roots and the error function, against Python's own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.autograd import Tensor, check_gradients, erf, exp, expm1, log, log1p, sqrt
from minicnn.kernels import cpu, plain
from tests.autograd.elementwise import gradients, slopes, special, unary
from tests.ops.driver import proof_of
from tests.ops.values import normal, positive

INF, NAN = math.inf, math.nan


def above_minus_one(seed: int, *shape: int) -> np.ndarray:
    return np.asarray(positive(seed, *shape) - 1)


EXP = unary(
    "exp",
    exp,
    math.exp,
    special={"out of range": special([1e4, -1e4, INF, -INF, NAN], [INF, 0, INF, 0, NAN])},
    forward_mutants={"2**x": lambda y, x: 2**x, "e**x - 1": lambda y, x: y - 1},
    backward_mutants={
        "e**x missing": lambda pull, g, x: [g],
        "x e**x": slopes(lambda x: x * np.exp(x)),
    },
)
EXPM1 = unary(
    "expm1",
    expm1,
    math.expm1,
    special={"out of range": special([1e4, -1e4, INF, -INF, NAN], [INF, -1, INF, -1, NAN])},
    forward_mutants={"e**x": lambda y, x: y + 1, "log(1 + x)": lambda y, x: np.log1p(abs(x))},
    backward_mutants={
        "itself": slopes(np.expm1),
        "1": lambda pull, g, x: [g],
    },
)
LOG = unary(
    "log",
    log,
    math.log,
    positive,
    special={"out of range": special([0, -1, INF, NAN], [-INF, NAN, INF, NAN])},
    forward_mutants={"base 2": lambda y, x: np.log2(x), "log(1 + x)": lambda y, x: np.log1p(x)},
    backward_mutants={
        "times x": slopes(lambda x: x),
        "divided twice": slopes(lambda x: x**-2),
        "base 10": slopes(lambda x: 1 / x / math.log(10)),
    },
)
LOG1P = unary(
    "log1p",
    log1p,
    math.log1p,
    above_minus_one,
    special={"out of range": special([0, -1, -2, INF, NAN], [0, -INF, NAN, INF, NAN])},
    forward_mutants={"log x": lambda y, x: np.log(abs(x)), "e**x - 1": lambda y, x: np.expm1(x)},
    backward_mutants={
        "1 / x": slopes(lambda x: 1 / x),
        "times 1 + x": slopes(lambda x: 1 + x),
    },
)
SQRT = unary(
    "sqrt",
    sqrt,
    math.sqrt,
    positive,
    special={"out of range": special([0, -1, INF, NAN], [0, NAN, INF, NAN])},
    forward_mutants={"cube root": lambda y, x: np.cbrt(x), "square": lambda y, x: x * x},
    backward_mutants={
        "2 missing": slopes(lambda x: x**-0.5),
        "times the root": slopes(lambda x: x**0.5 / 2),
        "divided by x": slopes(lambda x: 0.5 / x),
    },
)
ERF = unary(
    "erf",
    erf,
    math.erf,
    special={
        "saturates": special([10, -10, INF, -INF, NAN, 0], [1, -1, 1, -1, NAN, 0]),
        "between the two approximations": special(
            [0.46874, 0.46876, -0.46876], [math.erf(0.46874), math.erf(0.46876), -math.erf(0.46876)]
        ),
    },
    forward_mutants={
        "of x sqrt 2": lambda y, x: np.vectorize(math.erf, otypes=[float])(x * 2**0.5),
        "tanh": lambda y, x: np.tanh(x * 2 / math.pi**0.5),
        "complement": lambda y, x: 1 - y,
    },
    backward_mutants={
        "factor missing": slopes(lambda x: np.exp(-x * x)),
        "density of a normal number": slopes(lambda x: np.exp(-x * x / 2) / (2 * math.pi) ** 0.5),
        "2/pi": slopes(lambda x: 2 / math.pi * np.exp(-x * x)),
    },
)

SPECS = (EXP, EXPM1, LOG, LOG1P, SQRT, ERF)
TestExponential = proof_of(*SPECS)


def test_slope_of_the_root_at_zero_is_infinite():
    with np.errstate(divide="ignore"):
        assert gradients(sqrt, [0.0]) == [[INF]]


@pytest.mark.parametrize("op", [expm1, log1p, erf])
@pytest.mark.parametrize("x", [1e-20, -1e-12, 1e-300, 0.0])
def test_small_numbers_keep_all_their_digits(op, x):
    exact = {expm1: math.expm1, log1p: math.log1p, erf: math.erf}[op](x)
    assert op(Tensor(np.array(x))).item() == pytest.approx(exact, rel=1e-15, abs=0)


@pytest.mark.parametrize("kernels", [cpu, plain])
def test_erf_is_exact_to_the_last_bits(kernels):
    """Absolute and relative, in all regions; the reference is the C library's."""
    x = np.concatenate(
        [np.linspace(-7, 7, 4001), np.linspace(0.46, 0.48, 501), np.geomspace(1e-300, 7, 501)]
    )
    right = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(kernels.erf(x), right, rtol=1e-15, atol=0)
    narrow = x.astype(np.float32)
    right = np.array([math.erf(v) for v in narrow.tolist()])
    np.testing.assert_allclose(kernels.erf(narrow), right, rtol=5e-7, atol=1e-44)
    assert np.diff(kernels.erf(np.linspace(-6.5, 6.5, 2001))).min() >= 0


def test_erf_far_out_has_no_slope_and_no_warning():
    x = np.array([1e4, -1e4, 300.0, INF])
    for dtype in (np.float16, np.float32, np.float64):
        leaf = Tensor(x.astype(dtype), requires_grad=True)
        erf(leaf).backward(np.ones(4, dtype))
        assert leaf.grad.data.tolist() == [0, 0, 0, 0]


def test_erf_of_whole_numbers_of_any_kind():
    for dtype in (np.int8, np.int64, np.uint8, bool):
        np.testing.assert_allclose(erf(Tensor(np.array([0, 1], dtype))).data, [0, math.erf(1)])


@pytest.mark.parametrize("op", [exp, expm1, erf])
def test_third_derivatives(op):
    check_gradients(op, normal(0, 5), order=3)
