"""Non-linearities of straight lines against their definitions, one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import (
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    hardmax,
    relu6,
    shrink,
    thresholded_relu,
)
from tests.autograd.elementwise import gradients, near_eighths
from tests.ops.driver import proof_of
from tests.ops.loops import lines
from tests.ops.pointwise import edges, needs_floats, pointwise, slope, special, wide_steps
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import distinct, seeds, shapes

INF, NAN = math.inf, math.nan


def limited(v: float, low: float, high: float) -> float:
    return low if v < low else high if v > high else v


def shrink_definition(v: float, lambd: float = 0.5, bias: float = 0.0) -> float:
    if v < -lambd:
        return v + bias
    return v - bias if v > lambd else 0.0


def hardmax_definition(x: np.ndarray, axis: int = 1) -> np.ndarray:
    y = np.zeros(x.shape)
    for at, line in lines(x, axis):
        y[at] = [float(k == line.index(max(line))) for k in range(len(line))]
    return y


HARD_TANH = pointwise(
    "hard_tanh",
    hard_tanh,
    lambda v, low=-1, high=1: limited(v, low, high),
    near_eighths,
    options=({"low": -0.5, "high": 0.75}, {}, {"low": 0}, {"high": -0.25}, {"low": -INF}),
    special={
        "ends": special([INF, -INF, NAN, 1, -1], [1, -1, NAN, 1, -1]),
        "one point": special([2, -2, 0.5], [0.5, 0.5, 0.5], low=0.5, high=0.5),
    },
    errors=(
        ErrorCase(
            lambda: hard_tanh(Tensor([1.0]), 2, 1),
            ConfigError,
            "hard_tanh: low 2 is above high 1; swap them",
        ),
    ),
    forward_mutants={
        "low ignored": lambda y, x, low=-1, high=1: np.minimum(x, high),
        "from -1 to 1": lambda y, x, low=-1, high=1: np.clip(x, -1, 1),
    },
    backward_mutants={
        "passes everything": slope(lambda x, low=-1, high=1: 1.0),
        "passes below": slope(lambda x, low=-1, high=1: x < high),
        "passes outside": slope(lambda x, low=-1, high=1: (x < low) | (x > high)),
    },
)
RELU6 = pointwise(
    "relu6",
    relu6,
    lambda v: limited(v, 0, 6),
    wide_steps,
    special={"ends": special([INF, -INF, NAN, 6, 0], [6, 0, NAN, 6, 0])},
    forward_mutants={
        "relu": lambda y, x: np.maximum(x, 0),
        "from -6": lambda y, x: np.clip(x, -6, 6),
    },
    backward_mutants={
        "relu": slope(lambda x: x > 0),
        "y": slope(lambda x: np.clip(x, 0, 6)),
    },
)
HARD_SIGMOID = pointwise(
    "hard_sigmoid",
    hard_sigmoid,
    lambda v, alpha=1 / 6, beta=0.5: limited(alpha * v + beta, 0, 1),
    wide_steps,
    options=({}, {"alpha": 1 / 3}, {"alpha": 2 / 3, "beta": 0.0}, {"alpha": -1 / 6}),
    special={
        "ends": special([INF, -INF, NAN, 3, -3, 0], [1, 0, NAN, 1, 0, 0.5]),
        "as ONNX has it": special([1, -1, 2.5], [0.7, 0.3, 1], alpha=0.2),
    },
    forward_mutants={
        "alpha ignored": lambda y, x, alpha=1 / 6, beta=0.5: np.clip(x / 6 + beta, 0, 1),
        "beta ignored": lambda y, x, alpha=1 / 6, beta=0.5: np.clip(alpha * x, 0, 1),
        "not below 1": lambda y, x, alpha=1 / 6, beta=0.5: np.maximum(alpha * x + beta, 0),
    },
    backward_mutants={
        "passes everything": slope(lambda x, alpha=1 / 6, beta=0.5: alpha),
        "alpha missing": lambda pull, g, x, alpha=1 / 6, beta=0.5: [
            pull(g, x, alpha=alpha, beta=beta)[0] / alpha
        ],
    },
)
HARD_SWISH = pointwise(
    "hard_swish",
    hard_swish,
    lambda v: v * limited(v / 6 + 0.5, 0, 1),
    wide_steps,
    special={
        "ends": special([INF, -INF, NAN, 3, -3, 1e4, -1e4, 0], [INF, 0, NAN, 3, 0, 1e4, 0, 0])
    },
    forward_mutants={
        "the gate alone": lambda y, x: np.clip(x / 6 + 0.5, 0, 1),
        "relu": lambda y, x: np.maximum(x, 0),
    },
    backward_mutants={
        "the gate is constant": slope(lambda x: np.clip(x / 6 + 0.5, 0, 1)),
        "the gate's slope alone": slope(lambda x: (abs(x) < 3) / 6),
        "nothing above 3": slope(lambda x: (abs(x) < 3) * (x / 3 + 0.5)),
        "x/6": slope(lambda x: np.where(abs(x) < 3, x / 6 + 0.5, x > 0)),
    },
)
THRESHOLDED_RELU = pointwise(
    "thresholded_relu",
    thresholded_relu,
    lambda v, alpha=1: v if v > alpha else 0.0,
    near_eighths,
    options=({"alpha": 0.5}, {}, {"alpha": 0}, {"alpha": -0.25}),
    special={"ends": special([INF, -INF, NAN, 1, 1.5], [INF, 0, NAN, 0, 1.5])},
    forward_mutants={
        "alpha ignored": lambda y, x, alpha=1: np.maximum(x, 0),
        "less alpha": lambda y, x, alpha=1: np.maximum(x - alpha, 0),
    },
    backward_mutants={
        "alpha ignored": slope(lambda x, alpha=1: x > 0),
        "passes below": slope(lambda x, alpha=1: x < alpha),
    },
)
SHRINK = pointwise(
    "shrink",
    shrink,
    shrink_definition,
    near_eighths,
    options=({}, {"lambd": 0.25, "bias": 0.25}, {"lambd": 1, "bias": -0.3}, {"lambd": 0.0}),
    special={
        "ends": special([INF, -INF, NAN, 0.5, -0.5, 0], [INF, -INF, NAN, 0, 0, 0]),
        "soft": special([2, -2, 0.5, INF], [1, -1, 0, INF], lambd=1.0, bias=1.0),
    },
    errors=(
        ErrorCase(
            lambda: shrink(Tensor([1.0]), -0.5),
            ConfigError,
            "shrink: lambd must not be negative, got -0.5",
        ),
    ),
    forward_mutants={
        "bias ignored": lambda y, x, lambd=0.5, bias=0.0: np.where(abs(x) > lambd, x, 0),
        "away from 0": lambda y, x, lambd=0.5, bias=0.0: shrink_all(x, lambd, -bias),
        "one side": lambda y, x, lambd=0.5, bias=0.0: np.where(x > lambd, y, 0),
    },
    backward_mutants={
        "passes everything": slope(lambda x, lambd=0.5, bias=0.0: 1.0),
        "passes the small": slope(lambda x, lambd=0.5, bias=0.0: abs(x) < lambd),
        "one side": slope(lambda x, lambd=0.5, bias=0.0: x > lambd),
    },
)


def shrink_all(x, lambd, bias):
    return np.vectorize(shrink_definition, otypes=[float])(x, lambd, bias)


@st.composite
def scores_and_axis(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 4))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return Case((distinct(draw(seeds), *shape),), {"axis": axis})


# Its gradient is 0, of which all wrong versions are 0 as well: x + hardmax(x) is proven.
HARDMAX = OpSpec(
    name="hardmax",
    op=lambda x, axis=1: hardmax(x, axis) + x,
    cases=scores_and_axis(),
    oracle=lambda x, axis=1: hardmax_definition(x, axis) + x,
    integers="hardmax: needs floats, got int64",
    edges={
        **{k: case for k, case in edges(distinct, axis=1).items() if k != "one number"},
        "first axis": Case((distinct(0, 3, 2),), {"axis": 0}),
        "no classes": Case((np.zeros((2, 0)),)),
    },
    special={
        "infinities": Special(
            Case((np.array([[-INF, 0.0], [INF, 0.0], [-INF, -INF]]),)),
            [[-INF, 1], [INF, 0], [-INF, -INF]],
        )
    },
    errors=(
        needs_floats(hardmax, "hardmax"),
        ErrorCase(
            lambda: hardmax(Tensor(np.ones(3))),
            ShapeError,
            r"hardmax: axis 1 does not fit shape \(3,\)",
        ),
    ),
    forward_mutants={
        "the smallest": lambda y, x, axis=1: hardmax_definition(-x, axis) + x,
        "along the last axis": lambda y, x, axis=1: hardmax_definition(x, -1) + x,
    },
    backward_mutants={
        "to the winner": lambda pull, g, x, axis=1: [g * (1 + hardmax_definition(x, axis))],
        "nothing to the winner": lambda pull, g, x, axis=1: [g * (1 - hardmax_definition(x, axis))],
    },
)

SPECS = (HARD_TANH, RELU6, HARD_SIGMOID, HARD_SWISH, THRESHOLDED_RELU, SHRINK, HARDMAX)
TestHardActivation = proof_of(*SPECS)


def test_slopes_at_the_kinks_are_zero():
    """As that of relu at 0: where it is not clear, nothing passes."""
    assert gradients(relu6, [0.0, 6.0, -0.0, 3.0]) == [[0, 0, 0, 1]]
    assert gradients(hard_tanh, [-1.0, 1.0, 0.0]) == [[0, 0, 1]]
    assert gradients(hard_sigmoid, [-3.0, 3.0]) == [[0, 0]]
    assert gradients(thresholded_relu, [1.0]) == [[0]]
    assert gradients(shrink, [0.5, -0.5]) == [[0, 0]]


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("op", "slopes"),
    [
        (hard_tanh, [0, 0]),
        (relu6, [0, 0]),
        (hard_sigmoid, [0, 0]),
        (hard_swish, [1, 0]),
        (thresholded_relu, [1, 0]),
        (shrink, [1, 1]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_slopes_far_out(op, slopes, dtype, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    for far in (1e4, INF):
        x = Tensor(np.array([far, -far], dtype), requires_grad=True)
        op(x).backward(np.ones(2, dtype))
        assert x.grad.data.tolist() == slopes


def test_hardmax_marks_one_of_equals_and_nan_first_of_all():
    x = Tensor(np.array([[1.0, 1.0, 0.0], [0.0, NAN, INF], [-INF, -INF, -INF]]))
    assert hardmax(x).data.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert gradients(hardmax, [[1.0, 2.0]]) == [[[0, 0]]]
    assert hardmax(x, axis=np.int64(-1)).data.sum() == 3
    assert hardmax(x.astype("float16")).dtype == np.float16
