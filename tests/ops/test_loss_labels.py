"""Losses of labels (NLL, focal, hinge) against their formulas, one label at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError
from minicnn.ops import (
    hinge_loss,
    log_softmax,
    nll_loss,
    softmax_focal_loss,
    sparse_softmax_cross_entropy,
)
from tests.ops.driver import proof_of
from tests.ops.loss_loops import (
    INF,
    NAN,
    label_errors,
    mean_for_sum,
    pull_without,
    reduced,
    sum_for_mean,
    without,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.test_loss import batches
from tests.ops.values import normal


def each_label(loss):
    """Return the oracle that computes `loss` of the scores and the label of every example."""

    def oracle(
        x, labels, ignore_label=None, class_weights=None, reduction="mean", label_smoothing=0, **o
    ):
        losses, weights = np.zeros(labels.shape), np.zeros(labels.shape)
        for at in np.ndindex(labels.shape):
            label = int(labels[at])
            if ignore_label is None or label != ignore_label:
                scores = [float(x[(at[0], k, *at[1:])]) for k in range(x.shape[1])]
                losses[at] = loss(scores, label, **o)
                weights[at] = 1.0 if class_weights is None else class_weights[label]
        return reduced(losses, weights, reduction)

    return oracle


@each_label
def nll(scores, label):
    return -scores[label]


@each_label
def focal(scores, label, gamma=2.0):
    total = math.fsum(map(math.exp, scores))
    others = math.fsum(math.exp(s) for k, s in enumerate(scores) if k != label)
    return (others / total) ** gamma * (math.log(total) - scores[label])


@each_label
def hinge(scores, label, kind="crammer_singer", margin=1.0, squared=False):
    rivals = [s for k, s in enumerate(scores) if k != label]
    if kind == "one_vs_rest":
        missing = [margin - scores[label], *(margin + s for s in rivals)]
    elif kind == "weston_watkins":
        missing = [margin + s - scores[label] for s in rivals]
    else:
        missing = [margin + max(rivals) - scores[label]] if rivals else []
    return math.fsum(max(0, m) ** (2 if squared else 1) for m in missing)


@st.composite
def labelled(draw: st.DrawFn, rounded: bool = False, **choices: list[Any]) -> Case:
    case = draw(batches())
    options = {k: v for k, v in case.options.items() if k != "label_smoothing"}
    for name, values in choices.items():
        options[name] = draw(st.sampled_from(values))
    (x,) = case.arrays
    if rounded:  # scores that differ by a multiple of 0.01, and no class leads by a round number
        x = np.round(x, 2) + 0.0011 * np.arange(1, x.shape[1] + 1).reshape(
            1, -1, *(1,) * (x.ndim - 2)
        )
    return Case((x,), options)


def of_next_label(pull, g, x, labels, **options):
    classes = x.shape[1]
    inside = (labels >= 0) & (labels < classes) & (labels != options.get("ignore_label"))
    return pull(g, x, labels=np.where(inside, (labels + 1) % classes, labels), **options)


def plain_mean(oracle):
    def mutant(y, x, labels, **options):
        if options["reduction"] != "mean":
            return y
        return oracle(x, labels, **{**options, "reduction": "sum"}) / labels.size

    return mutant


EDGES = {
    "images": Case((normal(0, 2, 3, 2, 2),), {"labels": np.arange(8).reshape(2, 2, 2) % 3}),
    "empty": Case((np.zeros((0, 3)),), {"labels": np.zeros(0, int), "reduction": "mean"}),
    "empty, sum": Case((np.zeros((0, 3)),), {"labels": np.zeros(0, int), "reduction": "sum"}),
    "empty, none": Case((np.zeros((0, 3)),), {"labels": np.zeros(0, int), "reduction": "none"}),
    "1x1 maps": Case((normal(0, 2, 3, 1, 1),), {"labels": np.array([[[0]], [[2]]])}),
    "one class": Case((normal(0, 3, 1),), {"labels": np.zeros(3, int)}),
    "all ignored": Case((normal(0, 3, 4),), {"labels": np.full(3, 9), "ignore_label": 9}),
    "weights of 0": Case(
        (normal(0, 2, 3),), {"labels": np.array([0, 2]), "class_weights": np.array([0, 1, 0])}
    ),
}


def spec(op, name, oracle, scores, cases, special, options=(), errors=()):
    row = np.array([[NAN, INF, -INF], [3.0, -1.0, 0.0]])
    return OpSpec(
        name=name,
        op=op,
        cases=cases,
        oracle=oracle,
        integers=f"{name}: needs float {scores} and whole-number labels, got int64, int64",
        edges=EDGES,
        special={
            **special,
            "NaN does not show where it is ignored": Special(
                Case((row,), {"labels": np.array([7, 0]), "ignore_label": 7}),
                oracle(row[1:], np.array([0])),
            ),
            "NaN shows": Special(Case((row[:1],), {"labels": np.array([0])}), NAN),
        },
        errors=(*label_errors(op, name, scores), *errors),
        forward_mutants={
            "mean over all labels": plain_mean(oracle),
            "classes one off": lambda y, x, **o: oracle(np.roll(x, 1, 1), **o),
            **{f"{o} ignored": without(oracle, o) for o in ("class_weights", *options)},
        },
        backward_mutants={
            "of the next label": of_next_label,
            "the mean's divisor forgotten": sum_for_mean,
            "the sum divided": mean_for_sum,
            **{f"{o} ignored": pull_without(o) for o in ("class_weights", *options)},
        },
        summands=lambda case: 4 * max(case.arrays[0].size, 1),
    )


X, LABELS = Tensor(np.zeros((3, 4))), np.array([0, 1, 2])
NONE = {"reduction": "none"}
SPECS = (
    spec(
        nll_loss,
        "nll_loss",
        nll,
        "log_probabilities",
        labelled(),
        {
            "an impossible class that is not asked for": Special(
                Case((np.array([[-1.0, -INF]]),), {"labels": np.array([0])}), 1
            ),
            "the right class impossible": Special(
                Case((np.array([[-1.0, -INF]]),), {"labels": np.array([1])}), INF
            ),
            "impossible, but of no weight": Special(
                Case(
                    (np.array([[-1.0, -INF], [-2.0, 0]]),),
                    {"labels": np.array([1, 0]), "class_weights": np.array([1, 0])},
                ),
                2,
            ),
        },
    ),
    spec(
        softmax_focal_loss,
        "softmax_focal_loss",
        focal,
        "logits",
        labelled(gamma=[0.0, 0.5, 1.0, 2.0, 3.3]),
        {
            "scores of any size": Special(
                Case(
                    (np.array([[1000.0, 0, -INF], [1000.0, 0, -INF], [-1000.0, 0, -1000]]),),
                    {"labels": np.array([0, 1, 0]), **NONE},
                ),
                [0, 1000, 1000],
            ),
            "the right class impossible": Special(
                Case((np.array([[0.0, -INF]]),), {"labels": np.array([1])}), INF
            ),
            "all others impossible": Special(
                Case((np.array([[0.0, -INF]]),), {"labels": np.array([0]), "gamma": 0.0}), 0
            ),
        },
        ("gamma",),
        [
            ErrorCase(
                lambda: softmax_focal_loss(X, LABELS, gamma=-0.5),
                ConfigError,
                "softmax_focal_loss: gamma must be at least 0 and finite, got -0.5",
            )
        ],
    ),
    spec(
        hinge_loss,
        "hinge_loss",
        hinge,
        "scores",
        labelled(
            True,
            kind=["crammer_singer", "weston_watkins", "one_vs_rest"],
            margin=[0.5, 1.0, 2.0],
            squared=[False, True],
        ),
        {
            "an impossible rival": Special(
                Case((np.array([[0.0, 0.5, -INF]]),), {"labels": np.array([0])}), 1.5
            ),
            "the margin just met": Special(
                Case((np.array([[1.0, 0.0]]),), {"labels": np.array([0])}), 0
            ),
        },
        ("kind", "margin", "squared"),
        [
            ErrorCase(
                lambda: hinge_loss(X, LABELS, "svm"),
                ConfigError,
                "hinge_loss: kind must be 'crammer_singer', 'weston_watkins' or 'one_vs_rest', got "
                "'svm'",
            ),
            ErrorCase(
                lambda: hinge_loss(X, LABELS, margin=-1),
                ConfigError,
                "hinge_loss: margin must be greater than 0 and finite, got -1",
            ),
        ],
    ),
)
TestLosses = proof_of(*SPECS)


def value_and_gradient(op, x, labels, **options):
    leaf = Tensor(x, requires_grad=True)
    loss = op(leaf, labels, **options)
    return loss.data, grad(loss, leaf).data


def test_nll_of_log_softmax_is_the_cross_entropy():
    x, labels = 2 * normal(0, 4, 5, 3), np.arange(12).reshape(4, 3) % 5
    options = {"ignore_label": 3, "class_weights": np.linspace(0, 2, 5)}
    both = [
        value_and_gradient(op, x, labels, **options)
        for op in (
            lambda t, *a, **o: nll_loss(log_softmax(t), *a, **o),
            sparse_softmax_cross_entropy,
        )
    ]
    np.testing.assert_allclose(both[0][0], both[1][0], rtol=1e-14)
    np.testing.assert_allclose(both[0][1], both[1][1], atol=1e-16)


def test_focal_of_power_0_is_the_cross_entropy():
    x, labels = 3 * normal(0, 6, 5), np.arange(6) % 5
    both = [
        value_and_gradient(softmax_focal_loss, x, labels, gamma=0),
        value_and_gradient(sparse_softmax_cross_entropy, x, labels),
    ]
    np.testing.assert_allclose(both[0][0], both[1][0], rtol=1e-14)
    np.testing.assert_allclose(both[0][1], both[1][1], atol=1e-16)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_focal_slopes_are_right_where_p_is_0_or_1(kind, gamma):
    x = np.array([[1000, 0, 0], [-1000, 0, 0], [0, -INF, -INF], [0, 1000, -INF]], kind)
    _, slopes = value_and_gradient(softmax_focal_loss, x, np.zeros(4, int), gamma=gamma)
    expected = np.array([[0, 0, 0], [-1, 0.5, 0.5], [0, 0, 0], [-1, 1, 0]]) / 4
    np.testing.assert_allclose(slopes, expected, atol=1e-7)


def test_focal_slope_of_what_is_nearly_right_is_not_lost():
    x = np.float32([[20, 0], [40, 0]])
    _, slopes = value_and_gradient(
        softmax_focal_loss, x, np.zeros(2, int), gamma=1, reduction="sum"
    )
    np.testing.assert_allclose(slopes[:, 0], [-2 * math.exp(-40), -2 * math.exp(-80)], rtol=1e-5)


def test_rivals_that_tie_share_the_slope():
    _, slopes = value_and_gradient(hinge_loss, np.array([[0.0, 0.5, 0.5]]), np.array([0]))
    np.testing.assert_array_equal(slopes, [[-1, 0.5, 0.5]])
