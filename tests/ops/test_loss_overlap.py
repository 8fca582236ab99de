"""Dice and IoU losses against their formulas, one mask or one pair of boxes at a time."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, concatenate, exp, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import dice_loss, iou_loss
from tests.ops.box_loops import area, iou, scattered_boxes, shared
from tests.ops.driver import proof_of
from tests.ops.loss_loops import (
    NAN,
    REDUCTIONS,
    element_errors,
    mean_for_sum,
    pull_without,
    reduced,
    some_weights,
    spread,
    sum_for_mean,
    swapped,
    without,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, positive, seeds


def dice(
    p, targets, squared=False, over_batch=False, epsilon=1.0, class_weights=None, reduction="mean"
):
    n, k, *space = p.shape
    power = 2 if squared else 1
    groups = [range(n)] if over_batch else [[i] for i in range(n)]
    losses, weights = np.zeros((len(groups), k)), np.zeros((len(groups), k))
    for (g, group), c in itertools.product(enumerate(groups), range(k)):
        both, mine, true = [], [], []
        for i, at in itertools.product(group, np.ndindex(*space)):
            a, b = float(p[(i, c, *at)]), float(targets[(i, c, *at)])
            both.append(a * b)
            mine.append(a**power)
            true.append(b**power)
        size = math.fsum(mine) + math.fsum(true)
        losses[g, c] = 1 - (2 * math.fsum(both) + epsilon) / (size + epsilon)
        weights[g, c] = 1.0 if class_weights is None else class_weights[c]
    if over_batch:
        losses, weights = losses[0], weights[0]
    return reduced(losses, weights, reduction)


def box_loss(a, b, kind):
    (t, le, bo, r), (t2, le2, bo2, r2) = a, b
    overlap = iou(a, b)
    top, left, bottom, right = min(t, t2), min(le, le2), max(bo, bo2), max(r, r2)
    if kind == "giou":
        around = (bottom - top) * (right - left)
        union = area(a) + area(b) - shared(a, b)
        return 1 - overlap + (around - union) / around
    if kind == "iou":
        return 1 - overlap
    down, across = (t + bo) / 2 - (t2 + bo2) / 2, (le + r) / 2 - (le2 + r2) / 2
    away = (down**2 + across**2) / ((bottom - top) ** 2 + (right - left) ** 2)
    if kind == "diou":
        return 1 - overlap + away
    turn = [math.atan2(max(x[3] - x[1], 0), max(x[2] - x[0], 0)) for x in (a, b)]
    v = 4 / math.pi**2 * (turn[0] - turn[1]) ** 2
    return 1 - overlap + away + v * v / (1 - overlap + v)


def boxes(a, boxes_b, kind="iou", weights=None, reduction="mean"):
    counts = spread(weights, a.shape[:1])
    losses = np.array(
        [box_loss(x, y, kind) for x, y in zip(a.tolist(), boxes_b.tolist(), strict=True)]
    )
    return reduced(losses.reshape(len(a)), counts, reduction)


@st.composite
def masks(draw: st.DrawFn) -> Case:
    space = draw(st.sampled_from([(), (2,), (2, 2), (1, 2, 2)]))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *space)
    p, t = (0.5 + 0.5 * np.tanh(normal(draw(seeds), *shape)) for _ in range(2))
    options = {
        "reduction": draw(REDUCTIONS),
        "squared": draw(st.booleans()),
        "over_batch": draw(st.booleans()),
        "epsilon": draw(st.sampled_from([0.1, 1.0, 3.0])),
    }
    if draw(st.booleans()):
        options["class_weights"] = np.linspace(0, 2, shape[1])
    if draw(st.booleans()):
        return Case((p,), {**options, "targets": (t > 0.5).astype(np.uint8)})
    return Case((p, t), options)


@st.composite
def pairs_of_boxes(draw: st.DrawFn) -> Case:
    count = draw(st.integers(1, 3))
    both = scattered_boxes(draw(seeds), 2 * count)
    weights = draw(some_weights((count,)))
    options = {
        "kind": draw(st.sampled_from(["iou", "giou", "diou", "ciou"])),
        "reduction": draw(REDUCTIONS),
        **({} if weights is None else {"weights": weights}),
    }
    return Case((both[:count], both[count:]), options)


def unweighted(oracle, name):
    def mutant(y, *arrays, **options):
        if options.get(name) is None or options["reduction"] != "mean":
            return y
        return np.asarray(oracle(*arrays, **{**options, "reduction": "none"}).mean())

    return mutant


MUTANTS = {
    "the mean's divisor forgotten": sum_for_mean,
    "the sum divided": mean_for_sum,
    "of the other argument": swapped,
}
X = Tensor(np.ones((3, 4)))
ZERO = np.zeros((2, 3, 2, 2))

DICE = OpSpec(
    name="dice_loss",
    op=dice_loss,
    cases=masks(),
    oracle=dice,
    integers="dice_loss: needs float probabilities, got int64",
    edges={
        "images": Case((positive(0, 2, 3, 4, 4), positive(1, 2, 3, 4, 4))),
        "empty": Case((np.zeros((0, 3, 2, 2)), np.zeros((0, 3, 2, 2)))),
        "empty, over the batch": Case(
            (np.zeros((0, 3, 2, 2)), np.zeros((0, 3, 2, 2))), {"over_batch": True}
        ),
        "no pixels": Case((np.zeros((2, 3, 0, 2)), np.zeros((2, 3, 0, 2)))),
        "no classes count": Case(
            (positive(0, 2, 3), positive(1, 2, 3)), {"class_weights": [0] * 3}
        ),
        "empty masks": Case((positive(0, 2, 3, 2, 2),), {"targets": ZERO}),
    },
    special={
        "nothing there and nothing seen": Special(Case((ZERO,), {"targets": ZERO}), 0),
        "all there and all seen": Special(Case((ZERO + 1,), {"targets": ZERO + 1}), 0),
        "nothing there": Special(Case((ZERO + 1,), {"targets": ZERO}), 0.8),
        "nothing seen": Special(Case((ZERO,), {"targets": ZERO + 1}), 0.8),
        "a class that counts for nothing may be NaN": Special(
            Case(
                (np.array([[NAN, 1.0], [NAN, 0]]),),
                {"targets": np.array([[1, 0], [1, 0]]), "class_weights": np.array([0, 1])},
            ),
            0.25,
        ),
        "NaN shows": Special(Case((ZERO + NAN,), {"targets": ZERO}), NAN),
    },
    errors=(
        *element_errors(dice_loss, "dice_loss", "probabilities"),
        ErrorCase(
            lambda: dice_loss(Tensor(np.ones((2, 3, 4, 4))), np.ones((2, 4, 4), int)),
            ShapeError,
            r"probabilities and targets must have the same shape, got \(2, 3, 4, 4\) and "
            r"\(2, 4, 4\); make masks of labels with one_hot",
        ),
        ErrorCase(
            lambda: dice_loss(Tensor(np.ones(3)), np.ones(3)),
            ShapeError,
            r"dice_loss: probabilities need classes on axis 1, \(N, K, ...\), got \(3,\)",
        ),
        ErrorCase(
            lambda: dice_loss(X, X, epsilon=0),
            ConfigError,
            "dice_loss: epsilon must be greater than 0 and finite, got 0",
        ),
        ErrorCase(
            lambda: dice_loss(X, X, class_weights=np.ones(3)),
            ShapeError,
            r"dice_loss: class_weights has shape \(3,\), probabilities \(3, 4\) need \(4,\)",
        ),
    ),
    forward_mutants={
        **{
            f"{o} ignored": without(dice, o)
            for o in ("squared", "over_batch", "epsilon", "class_weights")
        },
        "overlap counted once": lambda y, *_, **__: y / 2,
    },
    backward_mutants={
        **MUTANTS,
        "squares forgotten": pull_without("squared"),
        "class weights ignored": pull_without("class_weights"),
        "epsilon ignored": pull_without("epsilon"),
    },
    summands=lambda case: 4 * max(case.arrays[0].size, 1),
)

BOXES = scattered_boxes(0, 10)
DEGENERATE = np.array([[1, 1, 1, 1], [1, 1, 1, 4], [3, 3, 2, 2], [0, 0, 2, 2.0]])
IOU = OpSpec(
    name="iou_loss",
    op=iou_loss,
    cases=pairs_of_boxes(),
    oracle=boxes,
    integers="iou_loss: needs float boxes_a, got int64",
    edges={
        "boxes": Case((BOXES[:5], BOXES[5:])),
        "empty": Case((np.zeros((0, 4)), np.zeros((0, 4)))),
        "empty, giou": Case((np.zeros((0, 4)), np.zeros((0, 4))), {"kind": "giou"}),
        "empty, ciou, none": Case(
            (np.zeros((0, 4)), np.zeros((0, 4))), {"kind": "ciou", "reduction": "none"}
        ),
        "nothing counts": Case((BOXES[:2], BOXES[2:4]), {"weights": np.zeros(2)}),
    },
    special={
        kind: Special(Case((DEGENERATE, DEGENERATE), {"kind": kind, "reduction": "none"}), value)
        for kind, value in {
            "iou": [1, 1, 1, 0],
            "giou": [1, 1, 1, 0],
            "diou": [1, 1, 1, 0],
            "ciou": [1, 1, 1, 0],
        }.items()
    }
    | {
        "a pair that counts for nothing may be NaN": Special(
            Case(
                (np.array([[NAN] * 4, [0, 0, 1, 2]]), np.array([[0, 0, 1, 1], [0, 0, 1, 1.0]])),
                {"weights": np.array([0, 1])},
            ),
            0.5,
        ),
        "NaN shows": Special(Case((np.array([[0, 0, NAN, 1]]), np.array([[0, 0, 1.0, 1]]))), NAN),
        "centres far apart": Special(
            Case(
                (np.array([[0, 0, 2.0, 2]]), np.array([[2, 2, 4.0, 4]])),
                {"kind": "diou", "reduction": "none"},
            ),
            [1.25],
        ),
    },
    errors=(
        ErrorCase(
            lambda: iou_loss(X, np.ones((2, 4))),
            ShapeError,
            r"iou_loss: boxes_a and boxes_b must have the same shape, got \(3, 4\) and \(2, 4\); "
            "each box has its own target",
        ),
        ErrorCase(
            lambda: iou_loss(Tensor(np.ones(4)), np.ones(4)),
            ShapeError,
            r"iou_loss: boxes_a must be \(R, 4\) as \(y0, x0, y1, x1\), got shape \(4,\); no boxes",
        ),
        ErrorCase(
            lambda: iou_loss(X, X, kind="siou"),
            ConfigError,
            "iou_loss: kind must be 'iou', 'giou', 'diou' or 'ciou', got 'siou'",
        ),
        ErrorCase(
            lambda: iou_loss(X, X, weights=np.ones(4)),
            ShapeError,
            r"iou_loss: weights of shape \(4,\) does not broadcast to \(3,\)",
        ),
        ErrorCase(
            lambda: iou_loss(X, X, weights=-np.ones(3)), ConfigError, "weights must not be negative"
        ),
        ErrorCase(
            lambda: iou_loss(X, X, reduction="avg"),
            ConfigError,
            "iou_loss: reduction must be 'mean', 'sum' or 'none', got 'avg'",
        ),
    ),
    forward_mutants={
        "always the plain loss": without(boxes, "kind"),
        "weights ignored": without(boxes, "weights"),
        "divided by the number": unweighted(boxes, "weights"),
        "boxes that include their last pixel": lambda y, a, b, **o: boxes(
            a + np.array([0, 0, 1, 1]), b + np.array([0, 0, 1, 1]), **o
        ),
    },
    backward_mutants={
        **MUTANTS,
        "of the plain loss": pull_without("kind"),
        "weights ignored": pull_without("weights"),
        "of x for y": lambda pull, g, *both, **o: [d[:, [1, 0, 3, 2]] for d in pull(g, *both, **o)],
    },
    summands=lambda case: 64 * max(len(case.arrays[0]), 1),
)

SPECS = (DICE, IOU)
TestLosses = proof_of(*SPECS)

KINDS = ["iou", "giou", "diou", "ciou"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-18, 0.0])
def test_boxes_of_no_area_give_finite_losses_and_gradients(kind, dtype, scale):
    """Points, lines, boxes turned inside out, all against all, of any smallness."""
    if dtype == np.float16 and 0 < scale < 1:
        scale = 1e-2  # a slope of 1e6 is no float16
    shapes = [[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 3], [0, 2, 2, 2], [2, 2, 1, 1], [0, 0, 2, 2]]
    shapes += [[1, 1, 3, 3], [2, 2, 3, 3]]
    pairs = np.array(list(itertools.product(shapes, repeat=2))) * scale
    a, b = (Tensor(pairs[:, i].astype(dtype), requires_grad=True) for i in (0, 1))
    with np.errstate(under="ignore"):
        loss = iou_loss(a, b, kind, reduction="sum")
        gradients = grad(loss, [a, b])
    assert np.isfinite(loss.data)
    for g in gradients:
        assert np.isfinite(g.data).all()


def test_apart_only_the_plain_loss_is_flat():
    a, b = np.array([[0, 0, 1.0, 1]]), np.array([[3, 4, 5.0, 5]])
    for kind in KINDS:
        leaf = Tensor(a, requires_grad=True)
        slopes = grad(iou_loss(leaf, b, kind), leaf).data[0]
        if kind == "iou":
            assert not slopes.any()
        else:
            assert (slopes[2:] < 0).all()  # to grow towards the target makes it better


def test_values_that_are_known():
    a, b = np.array([[0, 0, 2.0, 2]]), np.array([[1, 1, 3.0, 3]])
    assert iou_loss(Tensor(a), b).item() == pytest.approx(1 - 1 / 7)
    assert iou_loss(Tensor(a), b, "giou").item() == pytest.approx(1 - 1 / 7 + 2 / 9)
    assert iou_loss(Tensor(a), b, "diou").item() == pytest.approx(1 - 1 / 7 + 2 / 18)
    assert iou_loss(Tensor(a), b, "ciou").item() == pytest.approx(1 - 1 / 7 + 2 / 18)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_an_iou_loss_pulls_a_box_onto_its_target(kind):
    """From afar. Its size is learned as a logarithm, so that it never turns inside out."""
    target = Tensor(np.array([[2.0, 3, 8, 9]]))
    place = np.array([[0.5, 0.5, 0, 0]])  # centre and logarithms of the sides
    for _ in range(250):
        leaf = Tensor(place, requires_grad=True)
        half = 0.5 * exp(leaf[:, 2:])
        box = concatenate([leaf[:, :2] - half, leaf[:, :2] + half], axis=1)
        slopes = grad(iou_loss(box, target, kind), leaf).data
        place = place - slopes * [[1, 1, 0.1, 0.1]]
    assert iou_loss(box, target).item() < 0.2
