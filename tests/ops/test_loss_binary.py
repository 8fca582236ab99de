"""Losses of yes or no against their formulas, one score at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import binary_hinge_loss, sigmoid_cross_entropy, sigmoid_focal_loss
from tests.ops.driver import proof_of
from tests.ops.loss_loops import (
    INF,
    NAN,
    REDUCTIONS,
    each,
    element_errors,
    mean_for_sum,
    pull_without,
    reduced,
    some_weights,
    spread,
    sum_for_mean,
    weight_errors,
    without,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds, shapes


def log_sigmoid(x: float) -> float:
    """Return log(1 / (1 + e**-x)), for any x."""
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def cross_entropy(x, targets, weights=None, pos_weight=None, reduction="mean"):
    counts, factor = spread(weights, x.shape), spread(pos_weight, x.shape)
    losses = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        t = float(targets[at])
        yes, no = log_sigmoid(x[at].item()), log_sigmoid(-x[at].item())
        losses[at] = -(t * factor[at] * yes + (1 - t) * no)
    return reduced(losses, counts, reduction)


@each
def focal(x, t, at, gamma=2.0, alpha=0.25):
    p = 1 / (1 + math.exp(-x))
    yes = -((1 - p) ** gamma) * log_sigmoid(x)
    no = -(p**gamma) * log_sigmoid(-x)
    return t * yes + (1 - t) * no if alpha is None else alpha * t * yes + (1 - alpha) * (1 - t) * no


@each
def hinge(x, t, at, margin=1.0, squared=False):
    missing = max(0.0, margin - (x if t > 0 else -x))
    return missing * missing if squared else missing


@st.composite
def answers(draw: st.DrawFn, soft: bool = True) -> Case:
    """Scores and targets: 0, 1, or between (and then with a gradient); weights, a reduction."""
    shape = draw(shapes(0, 3, 3))
    x, t = 2 * normal(draw(seeds), *shape), normal(draw(seeds), *shape)
    weights = draw(some_weights(shape))
    options = {"reduction": draw(REDUCTIONS), **({} if weights is None else {"weights": weights})}
    if soft and draw(st.booleans()):
        return Case((np.asarray(x), np.asarray(0.5 + 0.45 * np.tanh(t))), options)
    kind = draw(st.sampled_from([np.float64, np.float32, np.int64, np.uint8, bool]))
    return Case((np.asarray(x),), {"targets": np.asarray(t > 0).astype(kind), **options})


@st.composite
def cross_entropies(draw: st.DrawFn) -> Case:
    case = draw(answers())
    width = case.arrays[0].shape[-1:]
    factors = [None, 2.5, np.linspace(0.5, 3, math.prod(width)).reshape(width)]
    factor = draw(st.sampled_from(factors))
    return Case(case.arrays, {**case.options, **({} if factor is None else {"pos_weight": factor})})


@st.composite
def focals(draw: st.DrawFn) -> Case:
    case = draw(answers())
    chosen = {
        "gamma": draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.3])),
        "alpha": draw(st.sampled_from([None, 0.0, 0.25, 0.9])),
    }
    return Case(case.arrays, {**case.options, **chosen})


@st.composite
def hinges(draw: st.DrawFn) -> Case:
    """Scores of three decimals and a half, so that no margin is met exactly."""
    case = draw(answers(soft=False))
    targets = case.options["targets"].astype(float)
    chosen = {
        "margin": draw(st.sampled_from([0.5, 1.0, 2.0])),
        "squared": draw(st.booleans()),
        "targets": draw(st.sampled_from([targets, 2 * targets - 1])),
    }
    return Case((np.asarray(np.round(case.arrays[0], 3) + 0.0003),), {**case.options, **chosen})


def edges(targets: np.ndarray) -> dict[str, Case]:
    nothing = {"targets": np.zeros((0, 3))}
    return {
        "images": Case((normal(0, 2, 3, 2, 2),), {"targets": targets}),
        "empty": Case((np.zeros((0, 3)),), nothing),
        "empty, sum": Case((np.zeros((0, 3)),), {**nothing, "reduction": "sum"}),
        "empty, none": Case((np.zeros((0, 3)),), {**nothing, "reduction": "none"}),
        "nothing counts": Case(
            (normal(0, 2, 3),), {"targets": np.ones((2, 3)), "weights": np.zeros(3)}
        ),
        "weighted": Case(
            (normal(0, 2, 3),), {"targets": np.ones((2, 3)), "weights": np.array([0.5, 2, 3])}
        ),
    }


TARGETS = (normal(1, 2, 3, 2, 2) > 0).astype(int)
FAR = np.array([1000.0, 1000, -1000, -1000, INF, INF, -INF, -INF, NAN])
YES_NO = np.array([1, 0, 1, 0, 1, 0, 1, 0, 1])
HIDDEN = Special(
    Case(
        (np.array([NAN, 0.0, INF]),),
        {"targets": np.array([1, 1, 0]), "weights": np.array([0, 3, 0])},
    ),
    math.log(2),
)


def unweighted(oracle):
    def mutant(y, *arrays, **options):
        weights = options.pop("weights", None)
        if weights is None or options.get("reduction", "mean") != "mean":
            return y
        kept = oracle(*arrays, **{**options, "reduction": "none"}) * weights
        return np.asarray(kept.mean())

    return mutant


def of_the_other_answer(pull, g, x, *soft, targets=None, **options):
    if soft:
        return pull(g, x, 1 - soft[0], **options)
    return pull(g, x, targets=(1 - targets if targets.min(initial=0) >= 0 else -targets), **options)


X = Tensor(np.ones((3, 4)))


def out_of_range(op, name):
    return (
        ErrorCase(
            lambda: op(X, np.full((3, 4), 2.0)),
            ConfigError,
            rf"{name}: targets must be from 0 to 1, got 2.0 at \(0, 0\) \(shape \(3, 4\)\)",
        ),
        ErrorCase(lambda: op(X, np.full((3, 4), -1)), ConfigError, "got -1.0 at"),
        ErrorCase(lambda: op(X, np.full((3, 4), NAN)), ConfigError, "got nan at"),
    )


def spec(op, name, oracle, x_name, cases, special, errors, options):
    return OpSpec(
        name=name,
        op=op,
        cases=cases,
        oracle=oracle,
        integers=f"{name}: needs float {x_name}, got int64",
        edges=edges(TARGETS),
        special=special,
        errors=(*element_errors(op, name, x_name), *weight_errors(op, name), *errors),
        forward_mutants={
            "yes for no": lambda y, x, *soft, **o: (
                oracle(x, 1 - soft[0], **o)
                if soft
                else oracle(x, **{**o, "targets": np.asarray(o["targets"]) <= 0})
            ),
            "divided by the number": unweighted(oracle),
            **{f"{o} ignored": without(oracle, o) for o in ("weights", *options)},
        },
        backward_mutants={
            "of the other answer": of_the_other_answer,
            "the mean's divisor forgotten": sum_for_mean,
            "the sum divided": mean_for_sum,
            **{f"{o} ignored": pull_without(o) for o in ("weights", *options)},
        },
        summands=lambda case: 4 * max(case.arrays[0].size, 1),
    )


FOCAL_FAR = [0, 750, 250, 0, 0, INF, INF, 0, NAN]
SPECS = (
    spec(
        sigmoid_cross_entropy,
        "sigmoid_cross_entropy",
        cross_entropy,
        "logits",
        cross_entropies(),
        {
            "scores of any size": Special(
                Case((FAR,), {"targets": YES_NO, "reduction": "none"}),
                [0, 1000, 1000, 0, 0, INF, INF, 0, NAN],
            ),
            "a yes counts five times": Special(
                Case(
                    (np.array([-INF, 0.0, 0.0]),),
                    {"targets": np.array([0, 0, 1]), "pos_weight": 5, "reduction": "sum"},
                ),
                6 * math.log(2),
            ),
            "what counts for nothing may be NaN": HIDDEN,
        },
        (
            *out_of_range(sigmoid_cross_entropy, "sigmoid_cross_entropy"),
            ErrorCase(
                lambda: sigmoid_cross_entropy(X, X, pos_weight=np.ones(3)),
                ShapeError,
                r"pos_weight of shape \(3,\) does not broadcast to \(3, 4\)",
            ),
            ErrorCase(
                lambda: sigmoid_cross_entropy(X, X, pos_weight=NAN),
                ConfigError,
                "pos_weight must not be negative or NaN, the least is nan",
            ),
        ),
        ("pos_weight",),
    ),
    spec(
        sigmoid_focal_loss,
        "sigmoid_focal_loss",
        focal,
        "logits",
        focals(),
        {
            "scores of any size": Special(
                Case((FAR,), {"targets": YES_NO, "reduction": "none"}), FOCAL_FAR
            ),
            "a power below 1": Special(
                Case((FAR,), {"targets": YES_NO, "reduction": "none", "gamma": 0.5}), FOCAL_FAR
            ),
            "no power": Special(
                Case((FAR,), {"targets": YES_NO, "reduction": "none", "gamma": 0, "alpha": None}),
                [0, 1000, 1000, 0, 0, INF, INF, 0, NAN],
            ),
            "what counts for nothing may be NaN": Special(HIDDEN.case, math.log(2) / 16),
        },
        (
            *out_of_range(sigmoid_focal_loss, "sigmoid_focal_loss"),
            *(
                ErrorCase(
                    lambda g=gamma: sigmoid_focal_loss(X, X, gamma=g),
                    ConfigError,
                    f"sigmoid_focal_loss: gamma must be at least 0 and finite, got {gamma}",
                )
                for gamma in (-1, NAN, INF)
            ),
            ErrorCase(
                lambda: sigmoid_focal_loss(X, X, alpha=1.5),
                ConfigError,
                "sigmoid_focal_loss: alpha must be from 0 to 1, or None, got 1.5",
            ),
        ),
        ("gamma", "alpha"),
    ),
    spec(
        binary_hinge_loss,
        "binary_hinge_loss",
        hinge,
        "scores",
        hinges(),
        {
            "scores of any size": Special(
                Case((FAR,), {"targets": YES_NO, "reduction": "none"}),
                [0, 1001, 1001, 0, 0, INF, INF, 0, NAN],
            ),
            "what counts for nothing may be NaN": Special(HIDDEN.case, 1),
        },
        (
            ErrorCase(
                lambda: binary_hinge_loss(X, np.full((3, 4), 2.0)),
                ConfigError,
                r"binary_hinge_loss: targets must be 1 for yes, and for no all -1 or all 0, got "
                r"\[2.0\]; use weights=0",
            ),
            ErrorCase(
                lambda: binary_hinge_loss(X, np.arange(12).reshape(3, 4) % 3 - 1),
                ConfigError,
                r"got \[-1.0, 0.0, 1.0\]",
            ),
            ErrorCase(
                lambda: binary_hinge_loss(X, X, margin=0),
                ConfigError,
                "binary_hinge_loss: margin must be greater than 0 and finite, got 0",
            ),
        ),
        ("margin", "squared"),
    ),
)
TestLosses = proof_of(*SPECS)


def gradient(op, x, targets, **options):
    leaf = Tensor(np.array(x), requires_grad=True)
    return grad(op(leaf, np.array(targets), reduction="sum", **options), leaf).data


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_slopes_of_scores_of_any_size_are_right(kind):
    x = FAR[:-1].astype(kind)
    p = np.array([1, 1, 0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(gradient(sigmoid_cross_entropy, x, YES_NO[:-1]), p - YES_NO[:-1])
    # (1-p)**2 log p: where p is wrong altogether, the factor is 1 and its slope 0
    expected = (p - YES_NO[:-1]) * np.where(YES_NO[:-1], 0.25, 0.75)
    np.testing.assert_array_equal(gradient(sigmoid_focal_loss, x, YES_NO[:-1]), expected)
    for gamma in (0.0, 0.5, 1.0):
        slopes = gradient(sigmoid_focal_loss, x, YES_NO[:-1], gamma=gamma)
        np.testing.assert_array_equal(slopes, expected)


def test_focal_slope_of_what_is_nearly_right_is_not_lost():
    """1 - p would be rounded to 0 from x = 37 on, and to 6e-8 or 0 in float32 from 16 on."""
    slope = gradient(sigmoid_focal_loss, np.float32([20, 40]), [1, 1], gamma=1, alpha=None)
    # (1-p) log p -> -e**-2x for large x, so its slope is that of e**-2x
    np.testing.assert_allclose(slope, [-2 * math.exp(-40), -2 * math.exp(-80)], rtol=1e-5)


@pytest.mark.parametrize("soft", [True, False])
def test_focal_without_its_options_is_the_cross_entropy(soft):
    x, t = 3 * normal(0, 5, 4), 0.5 + 0.5 * np.tanh(normal(1, 5, 4))
    t = t if soft else np.round(t)
    for focal_part, part in zip(
        [
            sigmoid_focal_loss(Tensor(x), t, 0, None).data,
            gradient(sigmoid_focal_loss, x, t, gamma=0, alpha=None),
        ],
        [sigmoid_cross_entropy(Tensor(x), t).data, gradient(sigmoid_cross_entropy, x, t)],
        strict=True,
    ):
        np.testing.assert_allclose(focal_part, part, rtol=1e-14)


def test_hinge_targets_may_be_0_and_1_or_signs():
    x = Tensor(normal(0, 4, 3))
    yes = normal(1, 4, 3) > 0
    losses = {binary_hinge_loss(x, t).item() for t in (yes, yes * 1.0, yes * 2 - 1)}
    assert len(losses) == 1
    assert gradient(binary_hinge_loss, [1.0, -1.0], [1, 0]).tolist() == [0, 0]  # just met
