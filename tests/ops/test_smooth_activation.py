"""Smooth non-linearities against their formulas, one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError
from minicnn.ops import (
    celu,
    elu,
    gelu,
    log_sigmoid,
    mish,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    tanh,
)
from tests.autograd.elementwise import near_eighths
from tests.ops.driver import proof_of
from tests.ops.pointwise import pointwise, slope, special
from tests.ops.spec import ErrorCase
from tests.ops.values import normal

INF, NAN = math.inf, math.nan
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


def logistic(x):
    return 1 / (1 + np.exp(-x))


def normal_below(x):
    """How likely a normal number is below x."""
    return np.vectorize(lambda v: (1 + math.erf(v / 2**0.5)) / 2, otypes=[float])(x)


def density(x):
    return np.exp(-x * x / 2) / (2 * math.pi) ** 0.5


def gelu_definition(v: float, approximate: str = "none") -> float:
    if approximate == "none":
        return v * (1 + math.erf(v / math.sqrt(2))) / 2
    return v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) / 2


def silu_definition(v: float, beta: float = 1) -> float:
    return v / (1 + math.exp(-beta * v))


def softplus_definition(v: float, beta: float = 1) -> float:
    return math.log(1 + math.exp(beta * v)) / beta


def mish_definition(v: float) -> float:
    return v * math.tanh(math.log(1 + math.exp(v)))


SILU = pointwise(
    "silu",
    silu,
    silu_definition,
    options=({"beta": 1}, {"beta": 1.702}, {}, {"beta": 0.5}, {"beta": 0}, {"beta": -1.0}),
    special={
        "far out": special([1e4, -1e4, INF, -INF, NAN, 0], [1e4, 0, INF, 0, NAN, 0]),
        "beta": special([INF, -INF, 100], [INF, 0, 100], beta=2.0),
    },
    forward_mutants={
        "the gate alone": lambda y, x, beta=1: logistic(beta * x),
        "beta ignored": lambda y, x, beta=1: x * logistic(x),
    },
    backward_mutants={
        "the gate is constant": slope(lambda x, beta=1: logistic(beta * x)),
        "beta ignored": lambda pull, g, x, beta=1: pull(g, x),
        "x not multiplied": slope(
            lambda x, beta=1: logistic(beta * x) * (1 + beta * (1 - logistic(beta * x)))
        ),
    },
)
GELU = pointwise(
    "gelu",
    gelu,
    gelu_definition,
    options=({"approximate": "none"}, {"approximate": "tanh"}),
    special={
        "far out": special([1e4, -1e4, INF, -INF, NAN, 0], [1e4, 0, INF, 0, NAN, 0]),
        "far out, by tanh": special(
            [1e4, -1e4, INF, -INF, NAN, 0], [1e4, 0, INF, 0, NAN, 0], approximate="tanh"
        ),
    },
    errors=(
        ErrorCase(
            lambda: gelu(Tensor([1.0]), "sigmoid"),
            ConfigError,
            "gelu: approximate must be 'none' or 'tanh', got 'sigmoid'",
        ),
    ),
    forward_mutants={
        "sqrt 2 missing": lambda y, x, approximate: x * normal_below(x * 2**0.5),
        "the other formula": lambda y, x, approximate: (
            gelu(Tensor(x), "tanh" if approximate == "none" else "none").data
        ),
    },
    backward_mutants={
        "the weight is constant": slope(lambda x, approximate: normal_below(x)),
        "the other formula": lambda pull, g, x, approximate: pull(
            g, x, approximate="tanh" if approximate == "none" else "none"
        ),
        "density alone": slope(lambda x, approximate: normal_below(x) + density(x)),
    },
)
ELU = pointwise(
    "elu",
    elu,
    lambda v, alpha=1: v if v > 0 else alpha * (math.exp(v) - 1),
    near_eighths,
    options=({"alpha": 1.0}, {"alpha": 0.3}, {"alpha": 2}, {}, {"alpha": -0.5}, {"alpha": 0}),
    special={
        "far out": special([1e4, -1e4, INF, -INF, NAN, 0], [1e4, -1, INF, -1, NAN, 0]),
        "alpha": special([INF, -INF, NAN], [INF, -2.5, NAN], alpha=2.5),
    },
    forward_mutants={
        "alpha ignored": lambda y, x, alpha=1: np.where(x > 0, x, np.expm1(x)),
        "e**x, not less 1": lambda y, x, alpha=1: np.where(x > 0, x, alpha * np.exp(x)),
        "everywhere": lambda y, x, alpha=1: alpha * np.expm1(x),
    },
    backward_mutants={
        "alpha ignored": lambda pull, g, x, alpha=1: pull(g, x),
        "y itself below": slope(lambda x, alpha=1: np.where(x > 0, 1, alpha * np.expm1(x))),
        "nothing below": slope(lambda x, alpha=1: x > 0),
    },
)
CELU = pointwise(
    "celu",
    celu,
    lambda v, alpha=1: v if v > 0 else alpha * (math.exp(v / alpha) - 1),
    near_eighths,
    options=({"alpha": 2}, {"alpha": 0.3}, {"alpha": 1.0}, {}),
    special={
        "far out": special([1e4, -1e4, INF, -INF, NAN, 0], [1e4, -1, INF, -1, NAN, 0]),
        "alpha": special([INF, -INF, NAN], [INF, -2.5, NAN], alpha=2.5),
    },
    errors=(
        ErrorCase(
            lambda: celu(Tensor([1.0]), 0.0), ConfigError, "celu: alpha must be positive, got 0.0"
        ),
        ErrorCase(lambda: celu(Tensor([1.0]), NAN), ConfigError, "must be positive, got nan"),
    ),
    forward_mutants={"elu": lambda y, x, alpha=1: np.where(x > 0, x, alpha * np.expm1(x))},
    backward_mutants={
        "elu": slope(lambda x, alpha=1: np.where(x > 0, 1, alpha * np.exp(x))),
        "divided by alpha": slope(lambda x, alpha=1: np.where(x > 0, 1, np.exp(x / alpha) / alpha)),
    },
)
SELU = pointwise(
    "selu",
    selu,
    lambda v, alpha=ALPHA, scale=SCALE: scale * (v if v > 0 else alpha * (math.exp(v) - 1)),
    near_eighths,
    options=({}, {"alpha": 2.0, "scale": 1.5}, {"scale": 0.5}),
    special={
        "far out": special(
            [1e4, -1e4, INF, -INF, NAN, 0],
            [1e4 * SCALE, -SCALE * ALPHA, INF, -SCALE * ALPHA, NAN, 0],
        ),
    },
    forward_mutants={
        "scale above only": lambda y, x, alpha=ALPHA, scale=SCALE: np.where(x > 0, y, y / scale),
        "elu": lambda y, x, alpha=ALPHA, scale=SCALE: np.where(x > 0, x, np.expm1(x)),
    },
    backward_mutants={
        "scale above only": lambda pull, g, x, **o: [
            np.where(x > 0, 1, 1 / o.get("scale", SCALE)) * pull(g, x, **o)[0]
        ],
        "alpha missing": lambda pull, g, x, **o: pull(g, x, **{**o, "alpha": 1.0}),
    },
)
SOFTPLUS = pointwise(
    "softplus",
    softplus,
    softplus_definition,
    options=({"beta": 1}, {"beta": 2.0}, {"beta": 0.3}, {}),
    special={
        "far out": special(
            [1e4, -1e4, 1e3, -1e3, INF, -INF, NAN, 0],
            [1e4, 0, 1e3, 0, INF, 0, NAN, math.log(2)],
        ),
        "beta": special([1e4, -INF, 0], [1e4, 0, math.log(2) / 4], beta=4),
    },
    errors=(
        ErrorCase(
            lambda: softplus(Tensor([1.0]), 0),
            ConfigError,
            "softplus: beta must be positive, got 0",
        ),
    ),
    forward_mutants={
        "beta ignored": lambda y, x, beta=1: np.log1p(np.exp(x)),
        "not divided by beta": lambda y, x, beta=1: np.log1p(np.exp(beta * x)),
    },
    backward_mutants={
        "times beta": slope(lambda x, beta=1: beta * logistic(beta * x)),
        "beta ignored": lambda pull, g, x, beta=1: pull(g, x),
        "of -x": slope(lambda x, beta=1: logistic(-beta * x)),
    },
)
LOG_SIGMOID = pointwise(
    "log_sigmoid",
    log_sigmoid,
    lambda v: math.log(1 / (1 + math.exp(-v))),
    special={
        "far out": special([1e4, -1e4, INF, -INF, NAN, 0], [0, -1e4, 0, -INF, NAN, -math.log(2)]),
    },
    forward_mutants={"softplus": lambda y, x: np.log1p(np.exp(x)), "of -x": lambda y, x: y - x},
    backward_mutants={
        "the sigmoid itself": slope(logistic),
        "sign of the slope": slope(lambda x: -logistic(-x)),
    },
)
SOFTSIGN = pointwise(
    "softsign",
    softsign,
    lambda v: v / (1 + abs(v)),
    near_eighths,
    special={
        "far out": special([1e4, INF, -INF, NAN, 0], [1e4 / 10001, 1, -1, NAN, 0]),
    },
    forward_mutants={
        "tanh": lambda y, x: np.tanh(x),
        "1 missing": lambda y, x: x / abs(x),
        "sign missing": lambda y, x: abs(y),
    },
    backward_mutants={
        "not squared": slope(lambda x: 1 / (1 + abs(x))),
        "1 + x**2": slope(lambda x: 1 / (1 + x * x)),
    },
)
MISH = pointwise(
    "mish",
    mish,
    mish_definition,
    special={
        "far out": special([1e4, -1e4, INF, -INF, NAN, 0], [1e4, 0, INF, 0, NAN, 0]),
    },
    forward_mutants={
        "silu": lambda y, x: x * logistic(x),
        "tanh missing": lambda y, x: x * np.log1p(np.exp(x)),
    },
    backward_mutants={
        "the gate is constant": slope(lambda x: np.tanh(np.log1p(np.exp(x)))),
        "sigmoid missing": slope(lambda x: (t := np.tanh(np.log1p(np.exp(x)))) + x * (1 - t**2)),
    },
)

SPECS = (SILU, GELU, ELU, CELU, SELU, SOFTPLUS, LOG_SIGMOID, SOFTSIGN, MISH)
TestSmoothActivation = proof_of(*SPECS)

SMOOTH = {
    "silu": silu,
    "silu, beta 2": lambda x: silu(x, 2.0),
    "gelu": gelu,
    "gelu by tanh": lambda x: gelu(x, "tanh"),
    "elu": elu,
    "elu, alpha 2": lambda x: elu(x, 2.0),
    "celu": lambda x: celu(x, 0.5),
    "selu": selu,
    "softplus": softplus,
    "softplus, beta 3": lambda x: softplus(x, 3.0),
    "log_sigmoid": log_sigmoid,
    "softsign": softsign,
    "mish": mish,
    "sigmoid": sigmoid,
    "tanh": tanh,
}


@pytest.mark.parametrize("op", SMOOTH.values(), ids=SMOOTH)
def test_third_derivatives(op):
    check_gradients(op, near_eighths(0, 6), order=3)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", SMOOTH)
def test_far_out_slopes_are_their_limits_and_nothing_overflows(name, dtype, jit, monkeypatch):
    """Without a warning, first and second derivatives; the slope at infinity too."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    op = SMOOTH[name]
    x = Tensor(np.array([1e4, -1e4, 50, -50], dtype), requires_grad=True)
    first = grad(op(x).sum(), x, create_graph=True)
    wide = Tensor(x.data.astype(np.float64), requires_grad=True)
    with np.errstate(all="ignore"):
        near = [(op(wide.detach() + d)).data for d in (1.0, -1.0)]
    np.testing.assert_allclose(first.data, (near[0] - near[1]) / 2, atol=5e-4)
    second = grad(first.sum(), x).data if first.requires_grad else np.zeros(4)
    np.testing.assert_allclose(second, 0, atol=1e-4)
    ends = Tensor(np.array([INF, -INF], dtype), requires_grad=True)
    op(ends).backward(np.ones(2, dtype))
    np.testing.assert_allclose(ends.grad.data, first.data[:2], atol=5e-4)


@pytest.mark.parametrize("op", SMOOTH.values(), ids=SMOOTH)
def test_nan_has_a_nan_slope(op):
    x = Tensor(np.array([NAN, 1.0]), requires_grad=True)
    op(x).sum().backward()
    assert np.isnan(x.grad.data).tolist() == [True, False]


def test_known_relations():
    x = normal(0, 50)
    t = Tensor(x)
    np.testing.assert_allclose(silu(t).data, x * sigmoid(t).data, rtol=1e-13)
    np.testing.assert_allclose(softplus(t).data - softplus(-t).data, x, rtol=1e-12)
    np.testing.assert_allclose(celu(t).data, elu(t).data, rtol=1e-14)
    np.testing.assert_allclose(selu(t).data, SCALE * elu(t, ALPHA).data, rtol=1e-14)
    assert np.abs(gelu(t).data - gelu(t, "tanh").data).max() < 5e-4
    np.testing.assert_allclose(silu(t, 1.702).data, gelu(t).data, atol=0.021)


def test_selu_keeps_mean_and_variance():
    """The fixed point that its two numbers were made for (mean 0, variance 1)."""
    y = selu(Tensor(normal(0, 400_000))).data
    assert abs(y.mean()) < 5e-3
    assert abs(y.var() - 1) < 1e-2


def test_log_sigmoid_is_finite_where_the_sigmoid_rounds_to_zero():
    assert log_sigmoid(Tensor(np.array([-800.0]))).data.tolist() == [-800]
    assert sigmoid(Tensor(np.array([-800.0]))).data.tolist() == [0]


def test_channels_last_memory_stays():
    x = np.moveaxis(normal(0, 2, 4, 5, 3), -1, 1)
    leaf = Tensor(x, requires_grad=True)
    y = silu(leaf)
    y.backward(np.ones(y.shape))
    assert y.data.strides == x.strides
    assert leaf.grad.data.strides == x.strides
