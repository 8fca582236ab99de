"""L1, L2, Huber and smooth L1 against their formulas, one pair of numbers at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError
from minicnn.ops import huber_loss, l1_loss, l2_loss, smooth_l1_loss
from tests.ops.driver import proof_of
from tests.ops.loss_loops import (
    INF,
    NAN,
    each,
    element_errors,
    mean_for_sum,
    pairs,
    pull_without,
    sum_for_mean,
    swapped,
    weight_errors,
    without,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal


@each
def l1(x, t, at):
    return abs(x - t)


@each
def l2(x, t, at):
    return (x - t) ** 2


@each
def huber(x, t, at, delta=1.0):
    size = abs(x - t)
    return size * size / 2 if size < delta else delta * (size - delta / 2)


@each
def smooth_l1(x, t, at, beta=1.0):
    size = abs(x - t)
    return size * size / (2 * beta) if size < beta else size - beta / 2


def with_option(name: str, values: list[float]) -> st.SearchStrategy[Case]:
    return st.builds(
        lambda case, value: Case(case.arrays, {**case.options, name: value}),
        pairs(),
        st.sampled_from(values),
    )


EDGES = {
    "images": Case((normal(0, 2, 3, 4, 4), normal(1, 2, 3, 4, 4))),
    "empty": Case((np.zeros((0, 4)), np.zeros((0, 4)))),
    "empty, sum": Case((np.zeros((0, 4)), np.zeros((0, 4))), {"reduction": "sum"}),
    "empty, none": Case((np.zeros((0, 4)), np.zeros((0, 4))), {"reduction": "none"}),
    "nothing counts": Case((normal(0, 3, 4), normal(1, 3, 4)), {"weights": np.zeros((3, 1))}),
    "a number": Case((normal(0), normal(1))),
}


def special(value_at_3: float) -> dict[str, Special]:
    zero = np.zeros(4)
    return {
        "none of it is hidden": Special(
            Case((np.array([0, 3, NAN, -INF]), zero), {"reduction": "none"}),
            [0, value_at_3, NAN, INF],
        ),
        "what counts for nothing may be NaN": Special(
            Case((np.array([NAN, 3, INF, 3]), zero), {"weights": np.array([0, 1, 0, 2.0])}),
            value_at_3,
        ),
    }


def unweighted_mean(y, x, targets, weights=None, reduction="mean", **options):
    if reduction != "mean" or weights is None:
        return y
    return y * np.broadcast_to(weights, x.shape).mean()


def backward_mutants(option: str | None = None):
    mutants = {
        "the mean's divisor forgotten": sum_for_mean,
        "the sum divided": mean_for_sum,
        "weights ignored": pull_without("weights"),
        "of the other argument": swapped,
        "slope of the square": lambda pull, g, x, t, **o: [
            d * np.abs(x - t) for d in pull(g, x, t, **o)
        ],
    }
    if option:
        mutants[f"{option} ignored"] = pull_without(option)
    return mutants


def spec(op, name, oracle, at_3, cases=None, option=None, errors=()):
    return OpSpec(
        name=name,
        op=op,
        cases=pairs() if cases is None else cases,
        oracle=oracle,
        integers=f"{name}: needs float predictions, got int64",
        edges=EDGES,
        special=special(at_3),
        errors=(*element_errors(op, name, "predictions"), *weight_errors(op, name), *errors),
        forward_mutants={
            "half of it": lambda y, *_, **__: y / 2,
            "weights ignored": without(oracle, "weights"),
            "divided by the number": unweighted_mean,
            **({f"{option} ignored": without(oracle, option)} if option else {}),
        },
        backward_mutants=backward_mutants(option),
        summands=lambda case: max(case.arrays[0].size, 1) * 4,
    )


X = Tensor(np.ones((3, 4)))
SPECS = (
    spec(l1_loss, "l1_loss", l1, 3),
    spec(l2_loss, "l2_loss", l2, 9),
    spec(
        huber_loss,
        "huber_loss",
        huber,
        2.5,
        with_option("delta", [0.3, 1.0, 2.5]),
        "delta",
        [
            ErrorCase(
                lambda d=delta: huber_loss(X, X, delta=d),
                ConfigError,
                f"huber_loss: delta must be greater than 0 and finite, got {delta}",
            )
            for delta in (0, -1, INF, NAN)
        ],
    ),
    spec(
        smooth_l1_loss,
        "smooth_l1_loss",
        smooth_l1,
        2.5,
        with_option("beta", [0.0, 0.3, 1.0, 2.5]),
        "beta",
        [
            ErrorCase(
                lambda b=beta: smooth_l1_loss(X, X, beta=b),
                ConfigError,
                f"smooth_l1_loss: beta must be at least 0 and finite, got {beta}",
            )
            for beta in (-1, INF, NAN)
        ],
    ),
)
TestLosses = proof_of(*SPECS)


def gradient(op, x, **options):
    leaf = Tensor(np.array(x), requires_grad=True)
    loss = op(leaf, np.zeros(len(x)), reduction="sum", **options)
    return grad(loss, leaf).data


def test_slopes_at_the_corner_and_far_away():
    far = [-INF, -1e300, -0.5, 0.0, 0.5, 1e300, INF]
    np.testing.assert_array_equal(gradient(l1_loss, far), [-1, -1, -1, 0, 1, 1, 1])
    np.testing.assert_array_equal(gradient(smooth_l1_loss, far), [-1, -1, -0.5, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(gradient(smooth_l1_loss, far, beta=0), [-1, -1, -1, 0, 1, 1, 1])
    np.testing.assert_array_equal(gradient(huber_loss, far, delta=2), [-2, -2, -0.5, 0, 0.5, 2, 2])


@pytest.mark.parametrize("beta", [1e-30, 1e-3, 1.0, 1e30])
def test_smooth_l1_is_between_0_and_l1(beta):
    x = Tensor(np.array([-3, -1e-3, 0, 1e-20, 2], np.float32))
    smooth = smooth_l1_loss(x, np.zeros(5), beta=beta, reduction="none").data
    assert (smooth >= 0).all()
    assert (smooth <= np.abs(x.data)).all()


@pytest.mark.parametrize("op", [l1_loss, l2_loss, huber_loss, smooth_l1_loss])
def test_targets_take_the_predictions_type(op):
    x = Tensor(normal(0, 3).astype(np.float32))
    for targets in (normal(1, 3), Tensor(normal(1, 3)), [1, 2, 3], np.array([1, 2, 3])):
        assert op(x, targets).dtype == np.float32
    wide = Tensor(normal(1, 3), requires_grad=True)
    assert grad(op(x, wide), wide).dtype == np.float64


@pytest.mark.parametrize("op", [l1_loss, l2_loss])
def test_a_float16_sum_is_computed_in_float32(op):
    x = Tensor(np.ones(100_000, np.float16))
    assert op(x, np.zeros(100_000)).item() == 1
    assert op(Tensor(np.full(4, 200, np.float16)), np.zeros(4), reduction="none").dtype == "float16"
