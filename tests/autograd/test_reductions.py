"""Summaries of axes, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad, logsumexp, max, mean, norm, std, sum, var
from minicnn.errors import ConfigError
from tests.autograd.reducing import (
    count,
    edges,
    errors,
    other_axis,
    reduced,
    reductions,
    rows,
    size_of,
    whole,
    x_of,
)
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import distinct, normal

INF, NAN = math.inf, math.nan


def variance(group: list[float]) -> float:
    centre = math.fsum(group) / len(group)
    return math.fsum((v - centre) ** 2 for v in group) / len(group)


SUM = OpSpec(
    name="sum",
    op=sum,
    cases=reductions(),
    oracle=reduced(math.fsum),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 0),
    special={"NaN and infinity": rows([[NAN, 1], [INF, 1], [INF, -INF]], [NAN, INF, NAN])},
    errors=errors(sum, "sum"),
    forward_mutants={
        "mean": lambda y, x, **o: y / (2 * count(x, y)),
        "of the absolute values": lambda y, x, **o: reduced(math.fsum)(abs(x), **o),
    },
    backward_mutants={
        "divided": lambda pull, g, x, **o: [pull(g, x, **o)[0] / (2 * count(x, g))],
        "one place off": other_axis,
    },
    summands=size_of,
)

MEAN = OpSpec(
    name="mean",
    op=mean,
    cases=reductions(),
    oracle=reduced(lambda group: math.fsum(group) / len(group)),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 1),
    special={
        "NaN and infinity": rows([[NAN, 1], [INF, 1], [INF, -INF]], [NAN, INF, NAN]),
        "of nothing": Special(Case((np.zeros((2, 0)),), {"axis": 1}), [NAN, NAN]),
    },
    errors=errors(mean, "mean"),
    forward_mutants={
        "n - 1": lambda y, x, **o: y * count(x, y) / (count(x, y) - 0.5),
        "median": lambda y, x, axis, **o: np.median(x, axis, **o) if axis != () else y,
    },
    backward_mutants={
        "not divided": lambda pull, g, x, **o: [2 * count(x, g) * pull(g, x, **o)[0]],
        "one place off": other_axis,
    },
    summands=size_of,
)

VAR = OpSpec(
    name="var",
    op=var,
    cases=reductions(),
    oracle=reduced(variance),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 1),
    special={"NaN": rows([[NAN, 1], [2, 2]], [NAN, 0])},
    errors=errors(var, "var"),
    forward_mutants={
        "n - 1": lambda y, x, **o: y * count(x, y) / (count(x, y) - 0.5),
        "mean of the squares": lambda y, x, axis, **o: (x * x).mean(axis, **o),
        "standard deviation": lambda y, x, **o: np.sqrt(y),
    },
    backward_mutants={
        "2 missing": lambda pull, g, x, **o: [pull(g, x, **o)[0] / 2],
        "mean not subtracted": lambda pull, g, x, axis, keepdims=False: [
            pull(g, x, axis=axis, keepdims=keepdims)[0] + 1e-3 * x
        ],
        "one place off": other_axis,
    },
    summands=lambda case: 4 * case.arrays[0].size,
)

STD = OpSpec(
    name="std",
    op=std,
    cases=reductions(distinct),
    oracle=reduced(lambda group: math.sqrt(variance(group))),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 1),
    special={
        "NaN": rows([[NAN, 1], [2, 2]], [NAN, 0]),
        "of nothing": Special(Case((np.zeros((2, 0)),), {"axis": 1}), [NAN, NAN]),
    },
    errors=errors(std, "std"),
    forward_mutants={
        "n - 1": lambda y, x, **o: y * count(x, y) / (count(x, y) - 0.5),
        "variance": lambda y, x, **o: y * y,
        "mean deviation": lambda y, x, axis, **o: abs(x - x.mean(axis, keepdims=True)).mean(
            axis, **o
        ),
    },
    backward_mutants={
        "of the variance": lambda pull, g, x, **o: [2 * d for d in pull(g, x, **o)],
        "mean not subtracted": lambda pull, g, x, **o: [pull(g, x, **o)[0] + 1e-3 * x],
        "one place off": other_axis,
    },
    summands=lambda case: 9 * case.arrays[0].size,
)


@st.composite
def lengths(draw: st.DrawFn) -> Case:
    case = draw(reductions(distinct))
    return Case(
        case.arrays, {**case.options, "order": draw(st.sampled_from([1, 2, 2, 3, 1.5, INF]))}
    )


def norm_definition(x, order=2, axis=None, keepdims=False):
    def length(group):
        if order == INF:
            return sorted([0.0, *(abs(v) for v in group)])[-1]
        return math.fsum(abs(v) ** order for v in group) ** (1 / order)

    return reduced(length)(x, axis, keepdims)


def of_another_order(change):
    def mutant(y, x, order=2, **o):
        return norm_definition(x, change.get(order, order), **o)

    return mutant


def norm_rows(x: list[list[float]], y: list[float], order: float = 2) -> Special:
    return Special(Case((np.array(x),), {"axis": 1, "order": order}), y)


NORM = OpSpec(
    name="norm",
    op=norm,
    cases=lengths(),
    oracle=norm_definition,
    integers=Case((whole(2, 3) - 2,), {"axis": 1}),
    edges={
        **edges((0, 3), 1),
        "of nothing": Case((np.zeros((2, 0)),), {"axis": 1}),
        "largest of nothing": Case((np.zeros((2, 0)),), {"axis": 1, "order": INF}),
        "sum": Case((distinct(0, 2, 3),), {"axis": 0, "order": 1, "keepdims": True}),
    },
    special={
        "NaN and infinity": norm_rows([[NAN, 1], [-INF, 1], [0, 0]], [NAN, INF, 0]),
        "NaN and infinity, 1": norm_rows([[NAN, 1], [-INF, 1], [0, 0]], [NAN, INF, 0], 1),
        "NaN and infinity, 3": norm_rows([[NAN, 1], [-INF, 1], [0, 0]], [NAN, INF, 0], 3),
        "NaN and infinity, largest": norm_rows([[NAN, 1], [-INF, 1], [0, 0]], [NAN, INF, 0], INF),
        "squares out of range": norm_rows([[3e30, 4e30], [3e-30, -4e-30]], [5e30, 5e-30]),
    },
    errors=(
        *errors(lambda x, axis: norm(x, 2, axis), "norm"),
        ErrorCase(
            lambda: norm(x_of(2, 3), 0.5),
            ConfigError,
            "norm: order must be a number from 1 to math.inf, got 0.5",
        ),
        ErrorCase(lambda: norm(x_of(2, 3), NAN), ConfigError, "got nan"),
    ),
    forward_mutants={
        "sum for length": of_another_order({2: 1, 3: 1}),
        "length for largest": of_another_order({INF: 2}),
        "root missing": lambda y, x, order=2, **o: y if order in (1, INF) else y**order,
        "signs kept": lambda y, x, **o: norm_definition(np.maximum(x, 0), **o),
    },
    backward_mutants={
        "not divided by the length": lambda pull, g, x, **o: [2 * pull(g, x, **o)[0]],
        "of the absolute value": lambda pull, g, x, **o: [abs(d) for d in pull(g, x, **o)],
        "of the sum": lambda pull, g, x, **o: pull(g, x, **{**o, "order": 1}),
        "one place off": other_axis,
    },
    summands=lambda case: 4 * case.arrays[0].size,
)


def softly(group):
    top = sorted(group)[-1]
    return top + math.log(math.fsum(math.exp(v - top) for v in group))


LOGSUMEXP = OpSpec(
    name="logsumexp",
    op=logsumexp,
    cases=reductions(),
    oracle=reduced(softly),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 1),
    special={
        "large": rows([[1e4, 1e4], [-1e4, -1e4]], [1e4 + math.log(2), -1e4 + math.log(2)]),
        "infinities": rows([[INF, 1e4], [-INF, 2], [-INF, -INF]], [INF, 2, -INF]),
        "NaN": rows([[NAN, 1], [NAN, INF], [NAN, -INF]], [NAN, NAN, NAN]),
        "of nothing": Special(Case((np.zeros((2, 0)),), {"axis": 1}), [-INF, -INF]),
    },
    errors=errors(logsumexp, "logsumexp"),
    forward_mutants={
        "maximum": lambda y, x, axis, keepdims=False: max(Tensor(x), axis, keepdims).data,
        "mean for sum": lambda y, x, **o: y - math.log(count(x, y) + 1e-3),
        "base 2": lambda y, x, **o: y / math.log(2),
    },
    backward_mutants={
        "all alike": lambda pull, g, x, **o: [pull(g, 0 * x, **o)[0] + 1e-3 * x],
        "not normalised": lambda pull, g, x, **o: [np.exp(x) * pull(g, x, **o)[0]],
        "one place off": other_axis,
    },
    summands=size_of,
)

SPECS = (SUM, MEAN, VAR, STD, NORM, LOGSUMEXP)
TestReductions = proof_of(*SPECS)


@pytest.mark.parametrize("op", [norm, std, lambda x: norm(x, 3), lambda x: norm(x, INF)])
def test_the_gradient_where_there_is_no_slope_is_zero(op):
    x = Tensor(np.zeros(3), requires_grad=True)
    assert grad(op(x), x).data.tolist() == [0, 0, 0]


def test_logsumexp_of_nothing_likely_has_no_gradient():
    x = Tensor(np.array([[-INF, -INF], [-INF, 3.0]]), requires_grad=True)
    assert grad(logsumexp(x, 1), x, np.ones(2)).data.tolist() == [[0, 0], [0, 1]]


def test_half_precision_is_added_up_in_single_precision():
    """2048 + 1 is 2048 in half precision, so ones stop adding up along a first axis."""
    x = Tensor(np.ones((5000, 2), np.float16))
    assert sum(x, 0).data.tolist() == [5000, 5000]
    assert sum(x, 0).dtype == np.float16
    assert norm(x, 1, 0).data.tolist() == [5000, 5000]
    assert x.broadcast_to((3000, 5000, 2))[:, 0].sum(0).data.tolist() == [3000, 3000]


def test_half_precision_squares_do_not_overflow():
    x = Tensor(np.array([[400.0, 0.0], [0.0, 300.0]], np.float16))
    assert norm(x).item() == 500
    assert std(x, 0).data.tolist() == [200, 150]


def test_variance_survives_a_large_mean():
    x = normal(0, 1000)
    np.testing.assert_allclose(var(Tensor(x + 1e6)).data, np.var(x), rtol=1e-8)
    narrow = Tensor((x + 1000).astype(np.float32))
    np.testing.assert_allclose(var(narrow).data, np.var(narrow.data.astype(float)), rtol=1e-4)


def test_the_mean_of_many_half_precision_numbers_does_not_overflow():
    x = Tensor(np.full((300, 300), 3.0, np.float16), requires_grad=True)
    y = mean(x)
    assert y.dtype == np.float16
    assert y.item() == 3
    assert var(x).item() == 0
    assert grad(mean(x, 0), x, np.ones(300)).dtype == np.float16


def test_axes_may_be_numpy_numbers_and_lists():
    x = normal(0, 2, 3)
    for axis in (np.int64(1), [1], np.array([1])):
        np.testing.assert_allclose(sum(Tensor(x), axis).data, x.sum(1))


def test_a_mean_of_whole_numbers_is_a_float():
    y = mean(Tensor([1, 2]))
    assert y.dtype == np.float64
    assert y.item() == 1.5


def test_the_gradient_of_a_sum_is_not_written_through():
    """dL/dx of a sum is one number seen many times: adding to it in place would spoil it."""
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    sum(x).backward()
    first = x.grad
    sum(x).backward()
    assert first.data.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert x.grad.data.tolist() == [[2, 2, 2], [2, 2, 2]]
    assert grad(sum(x), x).data.sum() == 6
