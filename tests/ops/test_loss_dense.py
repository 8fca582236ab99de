"""Losses of whole distributions (soft cross-entropy, KL) against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import (
    kl_divergence,
    log_softmax,
    softmax,
    softmax_cross_entropy,
    sparse_softmax_cross_entropy,
)
from tests.ops.driver import proof_of
from tests.ops.loss_loops import (
    INF,
    NAN,
    REDUCTIONS,
    element_errors,
    mean_for_sum,
    pull_without,
    reduced,
    sum_for_mean,
    swapped,
    without,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, positive, seeds


def rows(*arrays):
    """Yield the place (n, ...) of every example or pixel, and its K numbers of each array."""
    n, k, *space = arrays[0].shape
    for at in np.ndindex(n, *space):
        yield at, *([float(a[(at[0], c, *at[1:])]) for c in range(k)] for a in arrays)


def cross_entropy(x, targets, class_weights=None, label_smoothing=0.0, reduction="mean"):
    """Weigh the shares of the classes, smooth them, and compare with the logarithms of softmax."""
    n, k, *space = x.shape
    losses, totals = np.zeros((n, *space)), np.zeros((n, *space))
    for at, scores, shares in rows(x, targets):
        log_sum = math.log(math.fsum(map(math.exp, scores)))
        for c in range(k):
            shares[c] *= 1.0 if class_weights is None else class_weights[c]
        totals[at] = math.fsum(shares)
        for c in range(k):
            part = (1 - label_smoothing) * shares[c] + label_smoothing * totals[at] / k
            losses[at] += part * (log_sum - scores[c])
    if reduction == "none":
        return losses
    total, counted = math.fsum(losses.ravel()), math.fsum(totals.ravel())
    if reduction == "mean":
        total = total / counted if counted else 0.0
    return np.array(total)


def divergence(log_p, q, log_target=False, reduction="mean"):
    n, _, *space = log_p.shape
    losses = np.zeros((n, *space))
    for at, mine, target in rows(log_p, q):
        for a, b in zip(mine, target, strict=True):
            if log_target:
                losses[at] += math.exp(b) * (b - a) if b > -INF else 0.0
            else:
                losses[at] += b * (math.log(b) - a) if b > 0 else 0.0
    return reduced(losses, np.ones(losses.shape), reduction)


SHAPES = st.tuples(
    st.integers(1, 4), st.integers(1, 6), st.sampled_from([(), (), (2,), (2, 2)])
).map(lambda s: (s[0], s[1], *s[2]))


@st.composite
def cross_entropies(draw: st.DrawFn) -> Case:
    shape = draw(SHAPES)
    x, t = 2 * normal(draw(seeds), *shape), positive(draw(seeds), *shape)
    options = {"reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        options["class_weights"] = np.linspace(0.2, 2, shape[1])
    if draw(st.booleans()):
        options["label_smoothing"] = draw(st.sampled_from([0.1, 0.5, 0.9]))
    kind = draw(st.sampled_from(["shares", "distribution", "one class", "one class, bool"]))
    if kind == "shares":
        return Case((x, t), options)
    if kind == "distribution":
        return Case((x, t / t.sum(axis=1, keepdims=True)), options)
    one_hot = t == t.max(axis=1, keepdims=True)
    if draw(st.booleans()):
        one_hot[0] = False  # counts for nothing
    return Case((x,), {**options, "targets": one_hot if kind.endswith("bool") else one_hot * 1.0})


@st.composite
def divergences(draw: st.DrawFn) -> Case:
    shape = draw(SHAPES)
    x, q = normal(draw(seeds), *shape), positive(draw(seeds), *shape)
    x = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    q = q / q.sum(axis=1, keepdims=True)
    options = {"reduction": draw(REDUCTIONS)}
    if draw(st.booleans()):
        return Case((x, np.log(q)), {**options, "log_target": True})
    if draw(st.booleans()):
        return Case((x,), {**options, "q": np.where(q < 0.3, 0.0, q)})
    return Case((x, q), options)


def averaged_over_all(oracle):
    def mutant(y, x, *soft, **options):
        if options["reduction"] != "mean":
            return y
        return oracle(x, *soft, **{**options, "reduction": "sum"}) / x.size

    return mutant


X = Tensor(np.ones((3, 4)))
NONE = {"reduction": "none"}
MUTANTS = {
    "the mean's divisor forgotten": sum_for_mean,
    "the sum divided": mean_for_sum,
}

CROSS_ENTROPY = OpSpec(
    name="softmax_cross_entropy",
    op=softmax_cross_entropy,
    cases=cross_entropies(),
    oracle=cross_entropy,
    integers="softmax_cross_entropy: needs float logits, got int64",
    edges={
        "images": Case((normal(0, 2, 3, 2, 2), positive(1, 2, 3, 2, 2))),
        "empty": Case((np.zeros((0, 3)), np.zeros((0, 3)))),
        "empty, none": Case((np.zeros((0, 3)), np.zeros((0, 3))), NONE),
        "one class": Case((normal(0, 3, 1), positive(1, 3, 1))),
        "nothing counts": Case((normal(0, 3, 2),), {"targets": np.zeros((3, 2))}),
    },
    special={
        "scores of any size": Special(
            Case(
                (np.array([[1e4, 0.0], [1e4, 0.0], [1e4, 0]]),),
                {"targets": np.array([[1, 0], [0, 1], [0.5, 0.5]]), **NONE},
            ),
            [0, 1e4, 5e3],
        ),
        "impossible classes do no harm": Special(
            Case((np.array([[0.0, 0.0, -INF]]),), {"targets": np.array([[0, 1, 0]])}), math.log(2)
        ),
        "a class that is asked for and impossible": Special(
            Case((np.array([[0.0, -INF]]),), {"targets": np.array([[0.9, 0.1]])}), INF
        ),
        "NaN shows": Special(Case((np.array([[NAN, 0.0]]),), {"targets": np.eye(2)[:1]}), NAN),
    },
    errors=(
        *element_errors(softmax_cross_entropy, "softmax_cross_entropy", "logits"),
        ErrorCase(
            lambda: softmax_cross_entropy(X, np.array([0, 1, 2])),
            ShapeError,
            r"logits and targets must have the same shape, got \(3, 4\) and \(3,\); for class "
            "numbers there is sparse_softmax_cross_entropy",
        ),
        ErrorCase(
            lambda: softmax_cross_entropy(Tensor(np.ones(3)), np.ones(3)),
            ShapeError,
            r"softmax_cross_entropy: logits need classes on axis 1, \(N, K, ...\), got \(3,\)",
        ),
        ErrorCase(
            lambda: softmax_cross_entropy(X, -X),
            ConfigError,
            r"softmax_cross_entropy: targets must be at least 0, got -1.0 at \(0, 0\) \(shape",
        ),
        ErrorCase(
            lambda: softmax_cross_entropy(X, X, label_smoothing=-0.1),
            ConfigError,
            r"softmax_cross_entropy: label_smoothing must be in \[0, 1\), got -0.1",
        ),
        ErrorCase(
            lambda: softmax_cross_entropy(X, X, class_weights=np.ones(3)),
            ShapeError,
            r"softmax_cross_entropy: class_weights has shape \(3,\), logits \(3, 4\) need \(4,\)",
        ),
    ),
    forward_mutants={
        "mean over classes too": averaged_over_all(cross_entropy),
        "class weights ignored": without(cross_entropy, "class_weights"),
        "smoothing ignored": without(cross_entropy, "label_smoothing"),
    },
    backward_mutants={
        **MUTANTS,
        "class weights ignored": pull_without("class_weights"),
        "smoothing ignored": pull_without("label_smoothing"),
        "of the other argument": swapped,
    },
    summands=lambda case: 4 * max(case.arrays[0].size, 1),
)

KL = OpSpec(
    name="kl_divergence",
    op=kl_divergence,
    cases=divergences(),
    oracle=divergence,
    integers="kl_divergence: needs float log_p, got int64",
    edges={
        "images": Case((-positive(0, 2, 3, 2, 2), positive(1, 2, 3, 2, 2))),
        "empty": Case((np.zeros((0, 3)), np.zeros((0, 3)))),
        "empty, none": Case((np.zeros((0, 3)), np.zeros((0, 3))), NONE),
        "empty, logarithms": Case((np.zeros((0, 3)), np.zeros((0, 3))), {"log_target": True}),
        "one class": Case((-positive(0, 3, 1), positive(1, 3, 1))),
    },
    special={
        "what never happens adds nothing": Special(
            Case(
                (np.array([[0.0, -INF], [-1, NAN]]), np.array([[1.0, 0.0], [1, 0]])),
                NONE,
            ),
            [0, 1],
        ),
        "what never happens, as logarithms": Special(
            Case(
                (np.array([[0.0, -INF], [-1, NAN]]), np.array([[0.0, -INF], [0, -INF]])),
                {"log_target": True, **NONE},
            ),
            [0, 1],
        ),
        "what must happen is impossible": Special(
            Case((np.array([[0.0, -INF]]), np.array([[0.5, 0.5]]))), INF
        ),
        "NaN shows": Special(Case((np.array([[NAN, 0.0]]), np.array([[0.5, 0.5]]))), NAN),
    },
    errors=(
        *element_errors(kl_divergence, "kl_divergence", "log_p", "q"),
        ErrorCase(
            lambda: kl_divergence(Tensor(np.ones(3)), np.ones(3)),
            ShapeError,
            r"kl_divergence: log_p needs classes on axis 1, \(N, K, ...\), got \(3,\)",
        ),
        ErrorCase(
            lambda: kl_divergence(X, -X),
            ConfigError,
            "kl_divergence: q must be at least 0, got -1.0 at",
        ),
    ),
    forward_mutants={
        "mean over classes too": averaged_over_all(divergence),
        "the target's entropy forgotten": lambda y, log_p, q, **o: (
            -(q * log_p).sum() if o["reduction"] == "sum" and not o.get("log_target") else y
        ),
    },
    backward_mutants={
        **MUTANTS,
        "of the other argument": swapped,
        "of the reversed divergence": lambda pull, g, log_p, q, **o: (
            pull(g, q, log_p, **o) if o.get("log_target") else pull(g, log_p, q, **o)
        ),
    },
    summands=lambda case: 4 * max(case.arrays[0].size, 1),
)

SPECS = (CROSS_ENTROPY, KL)
TestLosses = proof_of(*SPECS)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_of_one_hot_targets_it_is_the_sparse_loss(smoothing, reduction):
    x, labels = Tensor(normal(0, 6, 4, 2)), np.arange(12).reshape(6, 2) % 4
    options = {
        "class_weights": np.array([0, 1, 2, 0.5]),
        "label_smoothing": smoothing,
        "reduction": reduction,
    }
    one_hot = np.moveaxis(np.eye(4)[labels], -1, 1)
    np.testing.assert_allclose(
        softmax_cross_entropy(x, one_hot, **options).data,
        sparse_softmax_cross_entropy(x, labels, **options).data,
        rtol=1e-14,
    )


def test_slope_is_softmax_minus_target():
    x, t = normal(0, 4, 3), positive(1, 4, 3)
    t /= t.sum(axis=1, keepdims=True)
    leaf = Tensor(x, requires_grad=True)
    g = grad(softmax_cross_entropy(leaf, t, reduction="sum"), leaf)
    np.testing.assert_allclose(g.data, softmax(Tensor(x)).data - t, atol=1e-15)


def test_slopes_are_finite_where_a_class_is_impossible_or_never_asked_for():
    leaf = Tensor(np.array([[0.0, -INF, 1.0]]), requires_grad=True)
    target = Tensor(np.array([[0.5, 0.0, 0.5]]), requires_grad=True)
    for loss in (
        softmax_cross_entropy(leaf, target, reduction="sum"),
        kl_divergence(log_softmax(leaf), target),
    ):
        for g in grad(loss, [leaf, target]):
            assert np.isfinite(g.data).all()
            assert g.data[0, 1] == 0


def test_divergence_is_least_and_0_between_equals():
    q = positive(0, 3, 4)
    q /= q.sum(axis=1, keepdims=True)
    other = positive(1, 3, 4)
    other /= other.sum(axis=1, keepdims=True)
    assert kl_divergence(Tensor(np.log(q)), q).item() == pytest.approx(0, abs=1e-15)
    assert (kl_divergence(Tensor(np.log(other)), q, reduction="none").data > 0).all()
    leaf = Tensor(np.log(q), requires_grad=True)
    slopes = grad(kl_divergence(log_softmax(leaf), q), leaf).data
    np.testing.assert_allclose(slopes, 0, atol=1e-15)
    same = kl_divergence(Tensor(np.log(other)), np.log(q), log_target=True)
    assert same.item() == pytest.approx(kl_divergence(Tensor(np.log(other)), q).item())
