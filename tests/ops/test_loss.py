"""Losses against their formulas, one label at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import softmax, sparse_softmax_cross_entropy
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds

INF, NAN = math.inf, math.nan


def definition(
    logits,
    labels,
    ignore_label=None,
    class_weights=None,
    label_smoothing=0.0,
    reduction="mean",
):
    """-log softmax(logits)[label] for each label; smoothed, weighed, summed."""
    classes = logits.shape[1]
    losses, weights = np.zeros(labels.shape), np.zeros(labels.shape)
    for at in np.ndindex(labels.shape):
        if labels[at] == ignore_label and ignore_label is not None:
            continue
        scores = [float(logits[(at[0], k, *at[1:])]) for k in range(classes)]
        log_sum = math.log(math.fsum(map(math.exp, scores)))
        weights[at] = 1.0 if class_weights is None else class_weights[labels[at]]
        for k in range(classes):
            share = label_smoothing / classes + (1 - label_smoothing) * (k == labels[at])
            losses[at] += weights[at] * share * (log_sum - scores[k])
    if reduction == "none":
        return losses
    total = math.fsum(losses.ravel())
    if reduction == "sum":
        return np.array(total)
    counted = math.fsum(weights.ravel())
    return np.array(total / counted if counted else 0.0)


@st.composite
def batches(draw: st.DrawFn) -> Case:
    seed, n, classes = draw(seeds), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    space = draw(st.sampled_from([(), (), (3,), (2, 3)]))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from([np.int64, np.int32, np.uint8]))
    labels = rng.integers(0, classes, (n, *space)).astype(kind)
    options: dict[str, Any] = {"labels": labels}
    options["reduction"] = draw(st.sampled_from(["mean", "sum", "none"]))
    ignored = draw(st.sampled_from([None, 0, 255, -100]))
    if ignored is not None:
        options["ignore_label"] = ignored
        if not (kind == np.uint8 and ignored < 0):
            labels[rng.random(labels.shape) < 0.3] = ignored
    if draw(st.booleans()):
        options["class_weights"] = rng.random(classes) * 2
    if draw(st.booleans()):
        options["label_smoothing"] = draw(st.sampled_from([0.1, 0.5, 0.9]))
    return Case((2 * normal(seed, n, classes, *space),), options)


def _without(name):
    def mutant(y, logits, **options):
        return definition(logits, **{k: v for k, v in options.items() if k != name})

    return mutant


def _pull_without(name):
    def mutant(pull, g, logits, **options):
        return pull(g, logits, **{k: v for k, v in options.items() if k != name})

    return mutant


def _softmax_only(pull, g, logits, **options):
    """The one-hot part forgotten."""
    right = pull(g, logits, **options)[0]
    return [np.where(right < 0, right + 1, right)]


def _of_next_label(pull, g, logits, labels, **options):
    classes = logits.shape[1]
    inside = (labels >= 0) & (labels < classes) & (labels != options.get("ignore_label"))
    return pull(g, logits, labels=np.where(inside, (labels + 1) % classes, labels), **options)


def _divided_by_the_batch(pull, g, logits, labels, **options):
    if options["reduction"] != "mean":
        return pull(g, logits, labels=labels, **options)
    (d,) = pull(g, logits, labels=labels, **{**options, "reduction": "sum"})
    return [d / max(labels.size, 1)]


def _plain_mean(y, logits, labels, **options):
    if options["reduction"] != "mean":
        return y
    return definition(logits, labels, **{**options, "reduction": "sum"}) / labels.size


def loss(*args: Any, **kwargs: Any) -> Any:
    return lambda: sparse_softmax_cross_entropy(*args, **kwargs)


X, LABELS = Tensor(np.zeros((3, 4))), np.array([0, 1, 2])
NAME = "sparse_softmax_cross_entropy"
LOG2 = math.log(2)

LOSS = OpSpec(
    name=NAME,
    op=sparse_softmax_cross_entropy,
    cases=batches(),
    oracle=definition,
    integers=f"{NAME}: needs float logits and whole-number labels, got int64, int64",
    edges={
        "images": Case((normal(0, 2, 3, 4, 4),), {"labels": np.arange(32).reshape(2, 4, 4) % 3}),
        "empty": Case((np.zeros((0, 3)),), {"labels": np.zeros(0, int), "reduction": "mean"}),
        "empty, sum": Case((np.zeros((0, 3)),), {"labels": np.zeros(0, int), "reduction": "sum"}),
        "empty, none": Case((np.zeros((0, 3)),), {"labels": np.zeros(0, int), "reduction": "none"}),
        "1x1 maps": Case((normal(0, 2, 3, 1, 1),), {"labels": np.array([[[0]], [[2]]])}),
        "one class": Case((normal(0, 3, 1),), {"labels": np.zeros(3, int)}),
        "all ignored": Case((normal(0, 3, 4),), {"labels": np.full(3, 9), "ignore_label": 9}),
    },
    special={
        "huge scores": Special(
            Case(
                (np.array([[1e4, 0.0], [0.0, 1e4]]),),
                {"labels": np.array([0, 0]), "reduction": "none"},
            ),
            [0, 1e4],
        ),
        "impossible classes (-inf) do no harm": Special(
            Case((np.array([[0.0, 0.0, -INF]]),), {"labels": np.array([0])}), LOG2
        ),
        "the right class impossible": Special(
            Case((np.array([[0.0, -INF]]),), {"labels": np.array([1])}), INF
        ),
        "NaN shows": Special(Case((np.array([[NAN, 0.0]]),), {"labels": np.array([0])}), NAN),
        "NaN does not show where it is ignored": Special(
            Case(
                (np.array([[NAN, 0.0], [0.0, 0.0]]),),
                {"labels": np.array([7, 0]), "ignore_label": 7},
            ),
            LOG2,
        ),
        "nothing counts": Special(
            Case((np.zeros((2, 2)),), {"labels": np.array([7, 7]), "ignore_label": 7}), 0
        ),
    },
    errors=(
        ErrorCase(
            loss(X, np.array([0, 4, 1])),
            ConfigError,
            rf"{NAME}: label 4 at \(1,\) is outside 0 ... 3 \(logits \(3, 4\)\); mend the labels, "
            "or pass ignore_label=4",
        ),
        ErrorCase(
            loss(X, np.array([0, 1, -1])),
            ConfigError,
            r"label -1 at \(2,\) is outside 0 ... 3 .* or pass ignore_label=-1",
        ),
        ErrorCase(loss(X, np.array([0, 1, 99]), ignore_label=-1), ConfigError, "label 99 at"),
        ErrorCase(
            loss(X, np.zeros((3, 1), int)),
            ShapeError,
            rf"{NAME}: logits \(3, 4\) \(N, K, ...\) need labels \(N, ...\), got \(3, 1\)",
        ),
        ErrorCase(loss(Tensor(np.zeros(3)), np.zeros(3, int)), ShapeError, "need labels"),
        ErrorCase(
            loss(X, np.zeros(3)),
            DTypeError,
            f"{NAME}: needs float logits and whole-number labels, got float64, float64",
        ),
        ErrorCase(
            loss(X, LABELS, label_smoothing=1.0),
            ConfigError,
            rf"{NAME}: label_smoothing must be in \[0, 1\), got 1.0",
        ),
        ErrorCase(
            loss(X, LABELS, reduction="avg"),
            ConfigError,
            f"{NAME}: reduction must be 'mean', 'sum' or 'none', got 'avg'",
        ),
        ErrorCase(
            loss(X, LABELS, class_weights=np.ones(3)),
            ShapeError,
            rf"{NAME}: class_weights has shape \(3,\), logits \(3, 4\) need \(4,\)",
        ),
        ErrorCase(
            loss(X, LABELS, class_weights=np.array([1, 1, -1, 1])),
            ConfigError,
            f"{NAME}: class_weights must not be negative or NaN, got",
        ),
    ),
    forward_mutants={
        "smoothing ignored": _without("label_smoothing"),
        "class weights ignored": _without("class_weights"),
        "mean over all labels": _plain_mean,
        "classes one off": lambda y, logits, **o: definition(np.roll(logits, 1, 1), **o),
    },
    backward_mutants={
        "smoothing ignored": _pull_without("label_smoothing"),
        "class weights ignored": _pull_without("class_weights"),
        "one-hot forgotten": _softmax_only,
        "of the next label": _of_next_label,
        "mean over all labels": _divided_by_the_batch,
    },
    summands=lambda case: max(case.arrays[0].size, 1),
)

SPECS = (LOSS,)
TestLoss = proof_of(*SPECS)


def test_gradient_is_softmax_minus_onehot():
    x = normal(0, 5, 4)
    labels = np.array([0, 3, 1, 1, 2])
    leaf = Tensor(x, requires_grad=True)
    g = grad(sparse_softmax_cross_entropy(leaf, labels, reduction="sum"), leaf)
    np.testing.assert_allclose(g.data, softmax(Tensor(x)).data - np.eye(4)[labels], atol=1e-15)


def test_gradient_stays_finite_at_impossible_classes():
    leaf = Tensor(np.array([[0.0, -INF, 1.0]]), requires_grad=True)
    sparse_softmax_cross_entropy(leaf, np.array([0])).backward()
    assert np.isfinite(leaf.grad.data).all()
    assert leaf.grad.data[0, 1] == 0


def test_ignored_labels_get_no_gradient_and_do_not_count():
    x = normal(0, 4, 3)
    labels = np.array([0, 255, 2, 255])
    leaf = Tensor(x, requires_grad=True)
    loss = sparse_softmax_cross_entropy(leaf, labels, ignore_label=255)
    kept = sparse_softmax_cross_entropy(Tensor(x[[0, 2]]), labels[[0, 2]])
    assert loss.item() == pytest.approx(kept.item(), rel=1e-14)
    loss.backward()
    assert not leaf.grad.data[[1, 3]].any()


def test_labels_and_weights_may_be_tensors_or_lists():
    x = Tensor(normal(0, 3, 4))
    given = [LABELS, Tensor(LABELS), LABELS.tolist(), LABELS.astype(np.uint8)]
    losses = {sparse_softmax_cross_entropy(x, labels).item() for labels in given}
    assert len(losses) == 1
    weights = np.array([1.0, 2, 3, 4])
    assert (
        sparse_softmax_cross_entropy(x, LABELS, class_weights=Tensor(weights)).item()
        == sparse_softmax_cross_entropy(x, LABELS, class_weights=weights).item()
    )


def test_float32_stays_float32_with_float64_weights():
    x = Tensor(normal(0, 3, 4).astype(np.float32))
    assert sparse_softmax_cross_entropy(x, LABELS, class_weights=np.ones(4)).dtype == np.float32


def test_a_sum_of_ones_would_not_see_a_zero_gradient_of_softmax():
    """Why cotangents are random: with ones the gradient of a softmax is zero, right or wrong."""
    x = normal(0, 3, 4)
    leaf = Tensor(x, requires_grad=True)
    softmax(leaf).sum().backward()
    np.testing.assert_allclose(leaf.grad.data, 0, atol=1e-15)
    check_gradients(softmax, x)
