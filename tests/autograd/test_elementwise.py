"""Functions of one number, limits and choices, against Python's own."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import (
    Tensor,
    absolute,
    clip,
    exp,
    log,
    negative,
    sqrt,
    tanh,
    where,
)
from minicnn.errors import ConfigError, ShapeError
from tests.autograd.elementwise import (
    averaged,
    edges_of,
    gradients,
    mismatch,
    near_quarters,
    one,
    slopes,
    special,
    summed_to,
    unary,
    whole,
)
from tests.ops.driver import proof_of
from tests.ops.loops import elementwise
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import away_from_zero, broadcastable, normal, positive, seeds

INF, NAN = math.inf, math.nan


NEGATIVE = unary(
    "negative",
    negative,
    lambda v: -v,
    special={"infinities": special([INF, -INF, NAN], [-INF, INF, NAN])},
    forward_mutants={"itself": lambda y, x: x},
    backward_mutants={"of the absolute value": slopes(np.sign)},
)
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
ABSOLUTE = unary(
    "absolute",
    absolute,
    abs,
    away_from_zero,
    special={"infinities": special([INF, -INF, NAN, -0.0], [INF, INF, NAN, 0])},
    forward_mutants={"relu": lambda y, x: x.clip(0), "square": lambda y, x: x * x},
    backward_mutants={"sign missing": slopes(lambda x: 0 * x + 1), "x": slopes(lambda x: x)},
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


@st.composite
def clippings(draw: st.DrawFn) -> Case:
    bounds = draw(st.sampled_from([(-0.6, 0.4), (0.4, None), (None, -0.1), (-1.1, 0.9)]))
    case = draw(one(near_quarters))
    return Case(case.arrays, {"low": bounds[0], "high": bounds[1]})


def clip_definition(v: float, low: float | None = None, high: float | None = None) -> float:
    v = low if low is not None and v < low else v
    return high if high is not None and v > high else v


CLIP = OpSpec(
    name="clip",
    op=clip,
    cases=clippings(),
    oracle=elementwise(clip_definition),
    integers=Case((whole(2, 4),), {"low": 3, "high": 6}),
    edges=edges_of(near_quarters, low=-0.6, high=0.4),
    special={
        "NaN stays": Special(
            Case((np.array([NAN, -INF, INF]),), {"low": -1, "high": 2}), [NAN, -1, 2]
        ),
        "one point": Special(Case((np.array([0.0, 2.0]),), {"low": 1, "high": 1}), [1, 1]),
    },
    errors=(
        ErrorCase(
            lambda: clip(Tensor([1.0])), ConfigError, "clip: needs low, high or both, got neither"
        ),
        ErrorCase(
            lambda: clip(Tensor([1.0]), 2, 1), ConfigError, "clip: low 2 is above high 1; swap them"
        ),
    ),
    forward_mutants={
        "low ignored": lambda y, x, low, high: np.clip(x, None, INF if high is None else high),
        "high ignored": lambda y, x, low, high: np.clip(x, -INF if low is None else low, None),
    },
    backward_mutants={
        "passes everything": lambda pull, g, x, low, high: [g],
        "passes outside": lambda pull, g, x, low, high: [g - pull(g, x, low=low, high=high)[0]],
        "passes above": lambda pull, g, x, low, high: pull(
            g, x, low=low, high=None if low else high
        ),
    },
)


@st.composite
def choices(draw: st.DrawFn) -> Case:
    seed = draw(seeds)
    a, b, condition = broadcastable(draw, 3)
    chosen = np.asarray(normal(seed + 2, *condition) > 0)
    return Case((normal(seed, *a), normal(seed + 1, *b)), {"condition": chosen})


def where_definition(a, b, condition):
    a, b, condition = np.broadcast_arrays(a, b, condition)
    y = np.empty(a.shape)
    for at in np.ndindex(a.shape):
        y[at] = a[at] if condition[at] else b[at]
    return y


def _chosen(a_shape, b_shape, condition) -> Case:
    return Case((normal(0, *a_shape), normal(1, *b_shape)), {"condition": np.array(condition)})


WHERE = OpSpec(
    name="where",
    op=lambda a, b, condition: where(condition, a, b),
    cases=choices(),
    oracle=where_definition,
    integers=Case((whole(2, 3), -whole(3)), {"condition": np.array([True, False, True])}),
    edges={
        "empty": _chosen((0, 3), (3,), [True, False, True]),
        "numbers": _chosen((), (), True),
        "condition of more axes": _chosen((3,), (), [[True, False, True], [False, True, True]]),
        "condition repeated": _chosen((2, 3), (2, 3), [[True], [False]]),
    },
    special={
        "what is not chosen does no harm": Special(
            Case(
                (np.array([NAN, 1.0]), np.array([1.0, NAN])), {"condition": np.array([False, True])}
            ),
            [1, 1],
        )
    },
    errors=(
        ErrorCase(
            lambda: where(np.ones(3, bool), Tensor([1.0, 2.0]), Tensor([1.0])),
            ShapeError,
            r"where: condition \(3,\), a \(2,\) and b \(1,\) do not broadcast",
        ),
        mismatch(lambda a, b: where(np.array(True), a, b), "where"),
    ),
    forward_mutants={
        "the other": lambda y, a, b, condition: np.where(condition, b, a),
        "always the first": lambda y, a, b, condition: a + 0 * y,
    },
    backward_mutants={
        "to the other": lambda pull, g, a, b, condition: pull(g, a, b, condition=~condition),
        "to both": lambda pull, g, a, b, condition: [summed_to(g, a.shape), summed_to(g, b.shape)],
        "mean where an axis is repeated": averaged,
    },
    summands=lambda case: 27,
)

SPECS = (NEGATIVE, EXP, LOG, SQRT, ABSOLUTE, TANH, CLIP, WHERE)
TestElementwise = proof_of(*SPECS)


def test_absolute_has_no_slope_at_zero():
    assert gradients(absolute, [0.0, -0.0, 2.0, -2.0]) == [[0, 0, 1, -1]]


def test_clip_passes_at_its_bounds():
    assert gradients(lambda x: clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0]) == [[0, 1, 1, 1, 0]]
    assert gradients(lambda x: clip(x, -1, 1), [NAN]) == [[0]]


def test_slope_of_the_root_at_zero_is_infinite():
    with np.errstate(divide="ignore"):
        assert gradients(sqrt, [0.0]) == [[INF]]


def test_what_where_does_not_choose_gets_zero_not_nan():
    got = gradients(lambda x: where(x.data > 0, log(where(x.data > 0, x, 1.0)), 0.0), [-1.0, 2.0])
    assert got == [[0, 0.5]]
