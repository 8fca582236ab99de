"""Non-linearities against their formulas, one number at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import leaky_relu, log_softmax, prelu, relu, sigmoid, softmax
from tests.ops.driver import proof_of
from tests.ops.loops import elementwise, lines
from tests.ops.pointwise import any_shape, needs_floats
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import away_from_zero, normal, seeds, shapes

INF, NAN = math.inf, math.nan
IMAGES = (2, 3, 4, 5)


@st.composite
def channels_and_slopes(draw: st.DrawFn) -> Case:
    seed, shape = draw(seeds), draw(shapes(2, 4))
    slopes = draw(st.sampled_from([1, shape[1]]))
    return Case((away_from_zero(seed, *shape), normal(seed + 1, slopes)))


@st.composite
def any_shape_and_axis(draw: st.DrawFn) -> Case:
    seed, shape = draw(seeds), draw(shapes(1, 4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return Case((3 * normal(seed, *shape),), {"axis": axis})


def softmax_definition(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """y_k = e**x_k / sum_j e**x_j."""
    y = np.empty(x.shape)
    for at, line in lines(x, axis):
        total = math.fsum(math.exp(v) for v in line)
        y[at] = [math.exp(v) / total for v in line]
    return y


def log_softmax_definition(x: np.ndarray, axis: int = 1) -> np.ndarray:
    """y_k = x_k - log sum_j e**x_j."""
    y = np.empty(x.shape)
    for at, line in lines(x, axis):
        total = math.fsum(math.exp(v) for v in line)
        y[at] = [v - math.log(total) for v in line]
    return y


def prelu_definition(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        y[at] = x[at] if x[at] > 0 else x[at] * slope[at[1] if len(slope) > 1 else 0]
    return y


def _edges(**options: Any) -> dict[str, Case]:
    return {
        "empty": Case((np.zeros((0, 3, 4, 4)),), options),
        "one number an example": Case((away_from_zero(0, 2, 1),), options),
        "1x1 maps": Case((away_from_zero(1, 2, 3, 1, 1),), options),
        "images": Case((away_from_zero(2, *IMAGES),), options),
    }


RELU = OpSpec(
    name="relu",
    op=relu,
    cases=any_shape(),
    oracle=elementwise(lambda v: v if v > 0 else 0.0),
    integers=Case((np.arange(-3, 5).reshape(2, 4),)),
    edges={
        **_edges(),
        "one number": Case((np.array(2.0),)),
        "more than one piece of work": Case((away_from_zero(3, 70_000),)),
    },
    special={
        "NaN stays": Special(Case((np.array([NAN, -1.0, 1.0]),)), [NAN, 0, 1]),
        "infinities": Special(Case((np.array([INF, -INF, 0.0, -0.0]),)), [INF, 0, 0, 0]),
    },
    forward_mutants={
        "absolute value": lambda y, x: np.abs(x),
        "leaks": lambda y, x: np.where(x > 0, x, 1e-6 * x),
        "clipped at 1": lambda y, x: np.clip(x, 0, 1),
    },
    backward_mutants={
        "passes everything": lambda pull, g, x: [g],
        "passes where x < 0": lambda pull, g, x: [g * (x < 0)],
        "times x": lambda pull, g, x: [g * np.maximum(x, 0)],
    },
)

LEAKY_RELU = OpSpec(
    name="leaky_relu",
    op=leaky_relu,
    cases=any_shape(options=[{"slope": v} for v in (0.01, 0.0, 0.3, -0.5, 2.0)]),
    oracle=elementwise(lambda v, slope=0.01: v if v > 0 else slope * v),
    integers="leaky_relu: needs floats, got int64",
    edges={
        **_edges(slope=0.2),
        "more than one block": Case((away_from_zero(3, 40_000),), {"slope": 0.1}),
    },
    special={
        "NaN stays": Special(Case((np.array([NAN, -1.0, 1.0]),)), [NAN, -0.01, 1]),
        "infinities": Special(Case((np.array([INF, -INF, 0.0]),)), [INF, -INF, 0]),
    },
    errors=(needs_floats(leaky_relu, "leaky_relu"),),
    forward_mutants={"slope ignored": lambda y, x, slope: np.where(x > 0, x, 0.01 * x)},
    backward_mutants={
        "slope ignored": lambda pull, g, x, slope: [g * (x > 0)],
        "slope on the other side": lambda pull, g, x, slope: [g * np.where(x > 0, slope, 1)],
    },
)

PRELU = OpSpec(
    name="prelu",
    op=prelu,
    cases=channels_and_slopes(),
    oracle=prelu_definition,
    integers="prelu: needs floats, got int64",
    edges={
        "empty": Case((np.zeros((0, 3, 4, 4)), normal(0, 3))),
        "1x1 maps": Case((away_from_zero(1, 2, 3, 1, 1), normal(0, 3))),
        "one slope": Case((away_from_zero(1, 2, 3, 4, 4), normal(0, 1))),
        "one channel": Case((away_from_zero(1, 2, 1, 4, 4), normal(0, 1))),
        "vectors": Case((away_from_zero(1, 2, 3), normal(0, 3))),
    },
    special={
        "NaN stays": Special(
            Case((np.array([[NAN, -1.0, 1.0]]), np.array([0.5]))), [[NAN, -0.5, 1]]
        )
    },
    errors=(
        needs_floats(lambda x: prelu(x, Tensor(np.ones(2))), "prelu"),
        ErrorCase(
            lambda: prelu(Tensor(np.ones((2, 3, 4))), Tensor(np.ones(4))),
            ShapeError,
            r"prelu: slope \(4,\) must hold one value, or one a channel of x \(2, 3, 4\)",
        ),
        ErrorCase(
            lambda: prelu(Tensor(np.ones(3)), Tensor(np.ones(3))), ShapeError, "one a channel of x"
        ),
    ),
    forward_mutants={
        "slopes of the other channels": lambda y, x, slope: prelu_definition(x, slope[::-1])
    },
    backward_mutants={
        "slope's gradient of one example": lambda pull, g, x, slope: [
            pull(g, x, slope)[0],
            pull(g[-1:], x[-1:], slope)[1],
        ],
        "slope's gradient where x > 0": lambda pull, g, x, slope: [
            pull(g, x, slope)[0],
            pull(g, -x, slope)[1],
        ],
        "slope's gradient is a mean": lambda pull, g, x, slope: [
            pull(g, x, slope)[0],
            pull(g, x, slope)[1] * slope.size / max(x.size, 1),
        ],
    },
    summands=lambda case: case.arrays[0].size,
)

SIGMOID = OpSpec(
    name="sigmoid",
    op=sigmoid,
    cases=any_shape(),
    oracle=elementwise(lambda v: 1 / (1 + math.exp(-v))),
    integers="sigmoid: needs floats, got int64",
    edges={**_edges(), "more than one block": Case((normal(3, 40_000),))},
    special={
        "saturates without overflow": Special(
            Case((np.array([-1e4, 1e4, 0.0, INF, -INF, NAN]),)), [0, 1, 0.5, 1, 0, NAN]
        )
    },
    errors=(needs_floats(sigmoid, "sigmoid"),),
    forward_mutants={"tanh": lambda y, x: np.tanh(x), "of -x": lambda y, x: 1 - y},
    backward_mutants={
        "y (1 + y)": lambda pull, g, x: [g * (1 / (1 + np.exp(-x))) * (1 + 1 / (1 + np.exp(-x)))],
        "y squared": lambda pull, g, x: [g / (1 + np.exp(-x)) ** 2],
    },
)


def _softmax_diagonal(pull, g, x, axis=1):
    """Only dy_k/dx_k, the sum over the other classes forgotten."""
    y = softmax(Tensor(x), axis).data
    return [g * y * (1 - y)]


SOFTMAX = OpSpec(
    name="softmax",
    op=softmax,
    cases=any_shape_and_axis(),
    oracle=softmax_definition,
    integers="softmax: needs floats, got int64",
    edges={**_edges(axis=1), "first axis": Case((normal(0, 3, 2),), {"axis": 0})},
    special={
        "huge scores": Special(Case((np.array([[1e4, 0.0], [-1e4, -1e4]]),)), [[1, 0], [0.5, 0.5]]),
        "-inf is probability 0": Special(Case((np.array([[-INF, 0.0, 0.0]]),)), [[0, 0.5, 0.5]]),
        "NaN shows": Special(Case((np.array([[NAN, 0.0], [0.0, 0.0]]),)), [[NAN, NAN], [0.5, 0.5]]),
        "no classes": Special(Case((np.zeros((2, 0)),)), np.zeros((2, 0))),
    },
    errors=(
        needs_floats(softmax, "softmax"),
        ErrorCase(
            lambda: softmax(Tensor(np.ones(3))),
            ShapeError,
            r"softmax: axis 1 does not fit shape \(3,\); its axes are -1 ... 0",
        ),
        ErrorCase(
            lambda: softmax(Tensor(np.ones((2, 3))), 1.0),
            ConfigError,
            "softmax: axis must be a whole number, got 1.0",
        ),
    ),
    forward_mutants={
        "along the last axis": lambda y, x, axis: softmax_definition(x, -1),
        "over everything": lambda y, x, axis: np.exp(x) / np.exp(x).sum(),
    },
    backward_mutants={
        "diagonal only": _softmax_diagonal,
        "sum not subtracted": lambda pull, g, x, axis: [g * softmax(Tensor(x), axis).data],
        "along the last axis": lambda pull, g, x, axis: pull(g, x, axis=-1),
    },
    summands=lambda case: case.arrays[0].size,
)

LOG_SOFTMAX = OpSpec(
    name="log_softmax",
    op=log_softmax,
    cases=any_shape_and_axis(),
    oracle=log_softmax_definition,
    integers="log_softmax: needs floats, got int64",
    edges={**_edges(axis=1), "first axis": Case((normal(0, 3, 2),), {"axis": 0})},
    special={
        "huge scores": Special(Case((np.array([[1e4, 0.0]]),)), [[0, -1e4]]),
        "-inf stays": Special(
            Case((np.array([[-INF, 0.0, 0.0]]),)), [[-INF, -math.log(2), -math.log(2)]]
        ),
        "NaN shows": Special(Case((np.array([[NAN, 0.0]]),)), [[NAN, NAN]]),
    },
    errors=(
        needs_floats(log_softmax, "log_softmax"),
        ErrorCase(
            lambda: log_softmax(Tensor(np.ones((2, 3))), axis=-3),
            ShapeError,
            r"log_softmax: axis -3 does not fit shape \(2, 3\)",
        ),
    ),
    forward_mutants={
        "along the last axis": lambda y, x, axis: log_softmax_definition(x, -1),
        "logarithm to base 2": lambda y, x, axis: y / math.log(2),
    },
    backward_mutants={
        "softmax forgotten": lambda pull, g, x, axis: [g],
        "sum over everything": lambda pull, g, x, axis: [
            g - np.exp(log_softmax_definition(x, axis)) * g.sum()
        ],
        "along the last axis": lambda pull, g, x, axis: pull(g, x, axis=-1),
    },
    summands=lambda case: case.arrays[0].size,
)

SPECS = (RELU, LEAKY_RELU, PRELU, SIGMOID, SOFTMAX, LOG_SOFTMAX)
TestActivation = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
def test_relu_has_no_slope_at_zero_and_below(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.array([-1.0, -0.0, 0.0, 1.0]), requires_grad=True)
    relu(x).backward(np.full(4, 5.0))
    assert x.grad.data.tolist() == [0, 0, 0, 5]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (6, 5)])
def test_relu_keeps_the_memory_order(shape):
    """A convolution's channels-last result stays so: the next one need not copy."""
    x = np.moveaxis(normal(0, shape[0], *shape[2:], shape[1]), -1, 1)
    y = relu(Tensor(x)).data
    assert y.strides == x.strides or len(shape) == 2


def test_softmax_sums_to_one_whatever_the_scores():
    x = normal(0, 50, 10) * 300
    np.testing.assert_allclose(softmax(Tensor(x)).data.sum(axis=1), 1, rtol=1e-14)


def test_log_softmax_is_finite_where_a_probability_rounds_to_zero():
    y = log_softmax(Tensor(np.array([[0.0, -2000.0]])))
    assert y.data.tolist() == [[0, -2000]]
    assert softmax(Tensor(np.array([[0.0, -2000.0]]))).data.tolist() == [[1, 0]]


@pytest.mark.parametrize("op", [softmax, log_softmax])
def test_an_axis_may_be_a_numpy_integer(op):
    x = Tensor(normal(0, 2, 3))
    np.testing.assert_array_equal(op(x, np.int64(1)).data, op(x, 1).data)


def test_the_denominator_of_many_classes_in_float16_does_not_overflow():
    """The largest float16 is 65504: the sum of 70 000 ones is more."""
    classes = 70_000
    x = np.zeros((2, classes), np.float16)
    x[1, 0] = 12
    right = np.exp(x.astype(np.float64))
    right /= right.sum(axis=1, keepdims=True)
    y = softmax(Tensor(x))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.data, right, rtol=2e-3, atol=6e-8)
    log_y = log_softmax(Tensor(x))
    assert log_y.dtype == np.float16
    np.testing.assert_allclose(log_y.data, np.log(right), rtol=1e-3)


def test_gradients_of_many_classes_in_float16_do_not_overflow():
    """sum_k dL/dy_k is 70 000 here."""
    x = Tensor(np.zeros((1, 70_000), np.float16), requires_grad=True)
    log_softmax(x).backward(np.ones(x.shape, np.float16))
    assert x.grad.dtype == np.float16
    assert np.abs(x.grad.data).max() < 1e-3
    x.grad = None
    softmax(x).backward(np.full(x.shape, 60_000, np.float16))
    assert np.abs(x.grad.data).max() < 2e-3  # 60 000 / 70 000 times what y was rounded by
