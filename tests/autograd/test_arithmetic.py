"""Elementwise arithmetic against Python's own, with broadcasting."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import (
    Tensor,
    absolute,
    add,
    check_gradients,
    clip,
    divide,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sqrt,
    subtract,
    tanh,
    where,
)
from minicnn.errors import ConfigError, ShapeError
from tests.ops.driver import proof_of
from tests.ops.loops import elementwise
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import away_from_zero, broadcastable, normal, positive, seeds, shapes

INF, NAN = math.inf, math.nan
Values = Callable[..., np.ndarray]


def either_sign(seed: int, *shape: int) -> np.ndarray:
    """Numbers of either sign, from 0.5 to 2.5: one can divide by them."""
    return np.asarray(positive(seed, *shape) * np.sign(normal(seed + 1, *shape)))


def near_quarters(seed: int, *shape: int) -> np.ndarray:
    """Numbers within 0.05 of a multiple of 1/4."""
    return np.asarray(
        np.rint(4 * normal(seed, *shape)) / 4 + 0.05 * np.tanh(normal(seed + 1, *shape))
    )


def near_eighths(seed: int, *shape: int) -> np.ndarray:
    """Numbers halfway between those of `near_quarters`, at least 0.025 from each."""
    return np.asarray(near_quarters(seed + 2, *shape) + 0.125)


@st.composite
def one(draw: st.DrawFn, values: Values = normal) -> Case:
    return Case((values(draw(seeds), *draw(shapes())),))


@st.composite
def two(draw: st.DrawFn, first: Values = normal, second: Values = normal) -> Case:
    seed = draw(seeds)
    a, b = broadcastable(draw, 2)
    return Case((first(seed, *a), second(seed + 10, *b)))


def edges_of(values: Values = normal, **options: Any) -> dict[str, Case]:
    return {
        "empty": Case((values(0, 0, 3),), options),
        "one number": Case((values(0),), options),
        "image": Case((values(0, 2, 3, 4, 5),), options),
    }


def pair_edges(first: Values = normal, second: Values = normal, **options: Any) -> dict[str, Case]:
    return {
        name: Case((first(0, *a), second(10, *b)), options)
        for name, (a, b) in {
            "empty": ((0, 3), (3,)),
            "an empty batch and one image": ((0, 3), (1, 3)),
            "numbers": ((), ()),
            "one number for each channel": ((2, 3, 4, 5), (3, 1, 1)),
            "both are repeated": ((3, 1, 2), (4, 1)),
            "the smaller one first": ((1,), (2, 3)),
        }.items()
    }


def whole(*shape: int) -> np.ndarray:
    """Whole numbers from 1 on."""
    return np.arange(1, 1 + math.prod(shape)).reshape(shape)


def special(x: list[float], y: list[float]) -> Special:
    return Special(Case((np.array(x),)), y)


def specials(a: list[float], b: list[float], y: list[float]) -> Special:
    return Special(Case((np.array(a), np.array(b))), y)


def summed_to(d: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo broadcasting, one element at a time."""
    result = np.zeros(shape)
    for at in np.ndindex(d.shape):
        tail = at[len(at) - len(shape) :]
        result[tuple(0 if n == 1 else i for i, n in zip(tail, shape, strict=True))] += d[at]
    return result


def assigned_to(d: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`=` for `+=`: what broadcasting repeated gets the gradient of its last use."""
    result = np.zeros(shape)
    for at in np.ndindex(d.shape):
        tail = at[len(at) - len(shape) :]
        result[tuple(0 if n == 1 else i for i, n in zip(tail, shape, strict=True))] = d[at]
    return result


def last_use(pull, g, a, b, **options):
    wide = pull(g, *(np.array(v) for v in np.broadcast_arrays(a, b)), **options)
    return [
        assigned_to(np.broadcast_to(d, g.shape), v.shape) for d, v in zip(wide, (a, b), strict=True)
    ]


def averaged(pull, g, *arrays, **options):
    """Broadcasting's sum taken for a mean."""
    return [d * d.size / max(g.size, 1) for d in pull(g, *arrays, **options)]


def slopes(*wrong: Callable[..., np.ndarray]) -> Callable[..., list[np.ndarray]]:
    """Return the mutant whose gradients are g times these (wrong) slopes."""

    def mutant(pull, g, *arrays):
        wide = np.broadcast_arrays(*arrays)
        return [summed_to(g * f(*wide), a.shape) for f, a in zip(wrong, arrays, strict=True)]

    return mutant


def mismatch(op: Any, name: str) -> ErrorCase:
    return ErrorCase(
        lambda: op(Tensor(np.ones((2, 3))), Tensor(np.ones((2, 4)))),
        ShapeError,
        rf"{name}: shapes \(2, 3\) and \(2, 4\) do not broadcast; axes must be equal or 1",
    )


def binary(
    name: str,
    op: Any,
    f: Callable[[float, float], float],
    first: Values = normal,
    second: Values = normal,
    *,
    forward_mutants: dict[str, Any],
    backward_mutants: dict[str, Any],
    special: dict[str, Special],
) -> OpSpec:
    """Return the spec of an op on two operands that broadcast."""
    return OpSpec(
        name=name,
        op=op,
        cases=two(first, second),
        oracle=elementwise(f),
        integers=Case((whole(2, 3), whole(3))),
        edges=pair_edges(first, second),
        special=special,
        errors=(mismatch(op, name),),
        forward_mutants=forward_mutants,
        backward_mutants={
            "= for += where an axis is repeated": last_use,
            "mean where an axis is repeated": averaged,
            **backward_mutants,
        },
        summands=lambda case: max(16, *(a.size for a in case.arrays)),
    )


def unary(
    name: str,
    op: Any,
    f: Callable[[float], float],
    values: Values = normal,
    *,
    forward_mutants: dict[str, Any],
    backward_mutants: dict[str, Any],
    special: dict[str, Special],
) -> OpSpec:
    """Return the spec of an op on one operand."""
    return OpSpec(
        name=name,
        op=op,
        cases=one(values),
        oracle=elementwise(f),
        integers=Case((whole(2, 3),)),
        edges=edges_of(values),
        special=special,
        forward_mutants=forward_mutants,
        backward_mutants=backward_mutants,
    )


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

SPECS = (
    *(ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, MAXIMUM, MINIMUM, NEGATIVE, EXP, LOG, SQRT),
    *(ABSOLUTE, TANH, CLIP, WHERE),
)
TestArithmetic = proof_of(*SPECS)


def gradients(f: Callable[..., Tensor], *values: Any) -> list[list[float]]:
    leaves = [Tensor(np.array(v, float), requires_grad=True) for v in values]
    f(*leaves).sum().backward()
    return [leaf.grad.data.tolist() for leaf in leaves]


@pytest.mark.parametrize("op", [maximum, minimum])
@pytest.mark.parametrize("value", [0.0, 3.0, INF, -INF])
def test_each_of_two_equals_gets_half(op, value):
    assert gradients(op, [value], [value]) == [[0.5], [0.5]]


@pytest.mark.parametrize("op", [maximum, minimum])
def test_nan_wins_the_gradient_too(op):
    assert gradients(op, [NAN, 1.0], [1.0, NAN]) == [[1, 0], [0, 1]]


def test_absolute_has_no_slope_at_zero():
    assert gradients(absolute, [0.0, -0.0, 2.0, -2.0]) == [[0, 0, 1, -1]]


def test_clip_passes_at_its_bounds():
    assert gradients(lambda x: clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0]) == [[0, 1, 1, 1, 0]]
    assert gradients(lambda x: clip(x, -1, 1), [NAN]) == [[0]]


def test_slope_of_the_root_at_zero_is_infinite():
    with np.errstate(divide="ignore"):
        assert gradients(sqrt, [0.0]) == [[INF]]


def test_power_of_a_negative_base_and_a_whole_exponent():
    x = np.array([-2.0, -0.5, 3.0])
    for exponent in (1, 2, 3, -1, -2):
        check_gradients(lambda a, e=exponent: a**e, x, order=2)


def test_power_at_zero():
    """0**2, 0**1 and 0**0 have slopes 0, 1 and 0; 0 * 0**-1 would say NaN for the last."""
    assert gradients(lambda x: x ** np.array([2.0, 1.0, 0.0]), [0.0, 0.0, 0.0]) == [[0, 1, 0]]


def test_gradient_of_the_exponent_where_the_base_is_not_positive_is_zero():
    assert gradients(power, [0.0, 2.0], [2.0, 3.0])[1] == [0, 8 * math.log(2)]


def test_what_where_does_not_choose_gets_zero_not_nan():
    got = gradients(lambda x: where(x.data > 0, log(where(x.data > 0, x, 1.0)), 0.0), [-1.0, 2.0])
    assert got == [[0, 0.5]]


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
