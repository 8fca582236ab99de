"""Choices: maximum and minimum, limits, where, and comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, clip, log, maximum, minimum, where
from minicnn.errors import DTypeError, ShapeError
from tests.autograd.elementwise import (
    averaged,
    binary,
    edges_of,
    gradients,
    mismatch,
    near_eighths,
    near_quarters,
    one,
    slopes,
    specials,
    summed_to,
    whole,
)
from tests.ops.driver import proof_of
from tests.ops.loops import elementwise
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import broadcastable, normal, seeds

INF, NAN = math.inf, math.nan


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


@st.composite
def clippings(draw: st.DrawFn) -> Case:
    """Bounds are numbers, or Tensors that want a gradient; the lower one may be above the other."""
    if draw(st.booleans()):
        seed = draw(seeds)
        x, low, high = broadcastable(draw, 3)
        above = np.asarray(near_eighths(seed + 20, *high) + 0.5)
        return Case((near_quarters(seed, *x), near_eighths(seed + 10, *low), above))
    bounds = draw(st.sampled_from([(-0.6, 0.4), (0.4, None), (None, -0.1), (-1.1, 0.9), (0.4, 0)]))
    case = draw(one(near_quarters))
    return Case(case.arrays, {"low": bounds[0], "high": bounds[1]})


def clip_definition(v: float, low: float | None = None, high: float | None = None) -> float:
    v = low if low is not None and v < low else v
    return high if high is not None and v > high else v


def without(which: str):
    """The value as if there were no such bound."""

    def mutant(y, *arrays, **options):
        named = dict(zip(("low", "high"), arrays[1:], strict=False), **options)
        bounds = {**named, which: None}
        return clip(Tensor(arrays[0]), **bounds).data + 0 * y

    return mutant


def first_only(f):
    """Replace the gradient of x, keep the bounds'."""
    return lambda pull, g, *a, **o: [f(pull, g, *a, **o), *pull(g, *a, **o)[1:]]


CLIP = OpSpec(
    name="clip",
    op=clip,
    cases=clippings(),
    oracle=elementwise(clip_definition),
    integers=Case((whole(2, 4),), {"low": 3, "high": 6}),
    edges={
        **edges_of(near_quarters, low=-0.6, high=0.4),
        "no bounds": Case((normal(0, 2, 3),)),
        "None": Case((normal(0, 2, 3),), {"low": None, "high": None}),
        "bounds for each row": Case(
            (near_quarters(0, 2, 3), np.array([[-0.4], [0.1]])), {"high": 0.6}
        ),
        "bounds of more axes": Case((near_quarters(0, 3), np.full((2, 3), -0.4), np.array(0.4))),
    },
    special={
        "NaN stays": Special(
            Case((np.array([NAN, -INF, INF]),), {"low": -1, "high": 2}), [NAN, -1, 2]
        ),
        "one point": Special(Case((np.array([0.0, 2.0]),), {"low": 1, "high": 1}), [1, 1]),
        "low above high": Special(Case((np.array([0.0, 2.0]),), {"low": 3, "high": 1}), [1, 1]),
        "infinite bounds": Special(
            Case((np.array([-INF, 2.0, INF]),), {"low": -INF, "high": INF}), [-INF, 2, INF]
        ),
    },
    errors=(
        mismatch(lambda a, b: clip(a, low=b), "clip"),
        mismatch(lambda a, b: clip(a, high=b), "clip"),
    ),
    forward_mutants={
        "low ignored": without("low"),
        "high ignored": without("high"),
    },
    backward_mutants={
        "passes everything": first_only(lambda pull, g, x, *a, **o: summed_to(g, x.shape)),
        "passes outside": first_only(
            lambda pull, g, x, *a, **o: summed_to(g, x.shape) - pull(g, x, *a, **o)[0]
        ),
        "nothing to the bounds": lambda pull, g, *a, **o: [
            pull(g, *a, **o)[0],
            *(np.zeros(b.shape) for b in a[1:]),
        ],
        "everything to the bounds": lambda pull, g, *a, **o: [
            pull(g, *a, **o)[0],
            *(summed_to(g, b.shape) for b in a[1:]),
        ],
    },
    summands=lambda case: 27,
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

SPECS = (MAXIMUM, MINIMUM, CLIP, WHERE)
TestChoosing = proof_of(*SPECS)


@pytest.mark.parametrize("op", [maximum, minimum])
@pytest.mark.parametrize("value", [0.0, 3.0, INF, -INF])
def test_each_of_two_equals_gets_half(op, value):
    assert gradients(op, [value], [value]) == [[0.5], [0.5]]


@pytest.mark.parametrize("op", [maximum, minimum])
def test_nan_wins_the_gradient_too(op):
    assert gradients(op, [NAN, 1.0], [1.0, NAN]) == [[1, 0], [0, 1]]


def test_clip_passes_at_its_bounds():
    assert gradients(lambda x: clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0]) == [[0, 1, 1, 1, 0]]
    assert gradients(lambda x: clip(x, -1, 1), [NAN]) == [[0]]


def test_the_bound_that_is_reached_gets_the_gradient():
    x, low, high = [-2.0, 0.0, 2.0, 0.0], [-1.0, -1.0, -1.0, 5.0], [1.0, 1.0, 1.0, 1.0]
    assert gradients(clip, x, low, high) == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]]
    assert gradients(lambda a, b: clip(a, low=b), x, low) == [[0, 1, 1, 0], [1, 0, 0, 1]]


def test_clip_without_bounds_copies():
    x = Tensor(np.array([1.0, 2.0]))
    assert clip(x).data is not x.data
    assert clip(x).data.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8])
def test_bounds_that_are_numbers_do_not_widen(dtype):
    assert clip(Tensor(np.array([1, 2], dtype)), 0, 1).dtype == dtype


def test_what_where_does_not_choose_gets_zero_not_nan():
    got = gradients(lambda x: where(x.data > 0, log(where(x.data > 0, x, 1.0)), 0.0), [-1.0, 2.0])
    assert got == [[0, 0.5]]


@pytest.mark.parametrize("op", [maximum, minimum])
def test_third_derivatives_of_choices(op):
    a, b = near_quarters(0, 3), near_eighths(1, 3)
    check_gradients(lambda a, b: op(a**3, b**3), a, b, order=3)


def test_masks_combine():
    a, b = Tensor([True, True, False, False]), Tensor([True, False, True, False])
    assert (a & b).data.tolist() == [True, False, False, False]
    assert (a | b).data.tolist() == [True, True, True, False]
    assert (a ^ b).data.tolist() == [False, True, True, False]
    assert (~a).data.tolist() == [False, False, True, True]
    assert (np.array([True, True, True, False]) & b).data.tolist() == [True, False, True, False]
    x = Tensor([0.5, 1.5, 2.5])
    assert ((x > 1) & (x < 2)).data.tolist() == [False, True, False]
    assert (Tensor([6, 5]) & 3).data.tolist() == [2, 1]
    assert (True & a).data.tolist() == a.data.tolist()
    assert (False | a).data.tolist() == a.data.tolist()
    assert (True ^ a).data.tolist() == (~a).data.tolist()


PAIR = Tensor(np.ones((2, 3), np.float32))
ERRORS = (
    ErrorCase(
        lambda: PAIR & (PAIR > 0),
        DTypeError,
        r"bitwise_and: needs bool or whole numbers, got float32 \(2, 3\) and bool \(2, 3\); "
        "compare first",
    ),
    ErrorCase(
        lambda: ~PAIR,
        DTypeError,
        r"invert: needs bool or whole numbers, got float32 \(2, 3\); compare first",
    ),
    *(mismatch(call, name) for name, call in (
        ("less", lambda a, b: a < b),
        ("less_equal", lambda a, b: a <= b),
        ("greater", lambda a, b: a > b),
        ("greater_equal", lambda a, b: a >= b),
        ("equal", lambda a, b: a == b),
        ("not_equal", lambda a, b: a != b),
        ("equal", lambda a, b: b in [a]),
    )),
)  # fmt: skip


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
