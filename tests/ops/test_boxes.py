"""Areas and overlaps of boxes against plain arithmetic, one pair at a time."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import DeviceError, ShapeError
from minicnn.ops import box_area, giou_matrix, intersection_matrix, iou_loss, iou_matrix
from tests.ops.box_loops import area, giou, iou, scattered_boxes, shared
from tests.ops.driver import proof_of
from tests.ops.loss_loops import INF, NAN
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import seeds, shapes


def areas(boxes):
    y = np.zeros(boxes.shape[:-1])
    for at in np.ndindex(y.shape):
        y[at] = area(boxes[at].tolist())
    return y


def table(f):
    """Return the oracle that computes f of each box of a set with each of another."""

    def oracle(a, b):
        y = np.zeros((len(a), len(b)))
        for i, j in np.ndindex(y.shape):
            y[i, j] = f(a[i].tolist(), b[j].tolist())
        return y

    return oracle


@st.composite
def two_sets(draw: st.DrawFn) -> Case:
    counts = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    boxes = scattered_boxes(draw(seeds), sum(counts))
    return Case((boxes[: counts[0]], boxes[counts[0] :]))


@st.composite
def any_shape(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4))
    boxes = scattered_boxes(draw(seeds), int(np.prod(shape)))
    return Case((boxes.reshape(*shape, 4),))


def last_pixel(oracle):
    """A forward mutant: boxes that include their last pixel, as some have them."""
    return lambda y, *sets: oracle(*(boxes + np.array([0, 0, 1, 1]) for boxes in sets))


BOXES = scattered_boxes(0, 9)
PIXELS = np.array([[0, 0, 4, 6], [2, 3, 5, 9], [1, 1, 1, 4], [5, 5, 2, 9]])
NONE = np.zeros((0, 4))
# Apart, touching at an edge, at a corner, the same, inside, of no area, inside out
ODD = np.array([[0, 0, 2, 2], [2, 0, 4, 2], [2, 2, 4, 4], [0, 0, 1, 1], [1, 1, 1, 1], [2, 2, 0, 0]])
HOLES = np.tile([0.0, 0, 2, 2], (4, 1)) + np.where(np.eye(4), NAN, 0)  # one NaN each
OF_X_FOR_Y = {
    "of x for y": lambda pull, g, *sets: [d[..., [1, 0, 3, 2]] for d in pull(g, *sets)],
    "of the upper left corners": lambda pull, g, *sets: [d * [1, 1, 0, 0] for d in pull(g, *sets)],
}


def matrix_spec(op, name, f, odd, **more_forward_mutants):
    oracle = table(f)
    return OpSpec(
        name=name,
        op=op,
        cases=two_sets(),
        oracle=oracle,
        integers=Case((PIXELS, PIXELS[:2])),
        edges={
            "boxes": Case((BOXES[:5], BOXES[5:])),
            "empty": Case((NONE, BOXES[:2])),
            "empty, the other": Case((BOXES[:2], NONE)),
            "empty, both": Case((NONE, NONE)),
        },
        special={
            "odd boxes": Special(Case((ODD * 1.0, ODD[:1] * 1.0)), np.array(odd)[:, None]),
            "NaN shows": Special(Case((HOLES, ODD[:1] * 1.0)), np.full((4, 1), NAN)),
            "NaN shows, of the other": Special(Case((ODD[:1] * 1.0, HOLES)), np.full((1, 4), NAN)),
        },
        errors=(
            ErrorCase(
                lambda: op(Tensor(np.ones((3, 5))), BOXES),
                ShapeError,
                rf"{name}: boxes_a must be \(R, 4\) as \(y0, x0, y1, x1\), got shape \(3, 5\); no "
                r"boxes are of shape \(0, 4\)",
            ),
            ErrorCase(
                lambda: op(BOXES, on_gpu(2, 4)),
                DeviceError,
                rf"{name}: boxes_a \(9, 4\) are on cpu, boxes_b \(2, 4\) on cuda:0; move one with",
            ),
            ErrorCase(lambda: op(BOXES, BOXES[0]), ShapeError, r"boxes_b must be .* shape \(4,\)"),
        ),
        forward_mutants={
            "boxes that include their last pixel": last_pixel(oracle),
            "turned over": lambda y, a, b: oracle(b, a).reshape(y.shape),
            **more_forward_mutants,
        },
        backward_mutants={
            **OF_X_FOR_Y,
            "of the other set": lambda pull, g, a, b: pull(g.T, b, a),
        },
        summands=lambda case: 32 * max(map(len, case.arrays)),
    )


AREA = OpSpec(
    name="box_area",
    op=box_area,
    cases=any_shape(),
    oracle=areas,
    integers=Case((PIXELS,)),
    edges={"boxes": Case((BOXES,)), "empty": Case((NONE,)), "one": Case((BOXES[0],))},
    special={
        "odd boxes": Special(Case((ODD * 1.0,)), [4, 4, 4, 1, 0, 0]),
        "without end": Special(Case((np.array([0, 0, INF, 1]),)), INF),
        "NaN shows": Special(Case((np.array([0, NAN, 1, 1]),)), NAN),
    },
    errors=(
        ErrorCase(
            lambda: box_area(Tensor(np.ones((3, 5)))),
            ShapeError,
            r"box_area: needs boxes \(..., 4\) as \(y0, x0, y1, x1\), got shape \(3, 5\)",
        ),
        ErrorCase(lambda: box_area(Tensor(np.ones(()))), ShapeError, r"got shape \(\)"),
    ),
    forward_mutants={
        "boxes that include their last pixel": last_pixel(areas),
        "inside out has an area too": lambda y, boxes: areas(
            np.concatenate([boxes[..., :2], boxes[..., 2:]], axis=-1)
            if (boxes[..., :2] < boxes[..., 2:]).all()
            else np.sort(boxes.reshape(*boxes.shape[:-1], 2, 2), axis=-2).reshape(boxes.shape)
        ),
    },
    backward_mutants=OF_X_FOR_Y,
    summands=lambda case: 16,
)

SPECS = (
    AREA,
    matrix_spec(intersection_matrix, "intersection_matrix", shared, [4, 0, 0, 1, 0, 0]),
    matrix_spec(iou_matrix, "iou_matrix", iou, [1, 0, 0, 0.25, 0, 0]),
    matrix_spec(
        giou_matrix,
        "giou_matrix",
        giou,
        [1, 0, -0.5, 0.25, 0, 0],
        plain=lambda y, a, b: table(iou)(a, b),
        twice=lambda y, a, b: 2 * table(giou)(a, b) - table(iou)(a, b),
    ),
)
TestBoxes = proof_of(*SPECS)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-12, 1e-25, 0.0])
def test_no_boxes_of_any_smallness_give_nan(dtype, scale):
    shapes = list(itertools.product([0, 1, 2], repeat=4))  # among them points, lines, inside out
    boxes = (np.array(shapes) * scale).astype(dtype)
    a, b = (Tensor(boxes, requires_grad=True) for _ in range(2))
    with np.errstate(under="ignore"):
        y = iou_matrix(a, b)
        gradients = grad(y, [a, b], np.ones(y.shape) / len(boxes))
    assert ((y.data >= 0) & (y.data <= 1)).all()
    assert all(np.isfinite(g.data).all() for g in gradients)
    nothing = np.array([area(box) == 0 for box in boxes.tolist()])
    assert not y.data[nothing].any()
    assert not y.data[:, nothing].any()


def test_slopes_of_tiny_boxes_do_not_overflow():
    """1 / area may be more than a float32 holds where 1 / side is not."""
    a, b = (
        Tensor(np.array([box], np.float32) * 3e-19, True) for box in ([0, 0, 2, 2], [0, 1, 2, 3])
    )
    gradients = grad(iou_matrix(a, b), [a, b], np.full((1, 1), 1e6))
    assert all(np.isfinite(g.data).all() for g in gradients)


def test_both_ways_to_compute_an_overlap_agree():
    """Without gradients it is one kernel, else it is composed."""
    for kind in (np.float16, np.float32, np.float64):
        sets = [np.concatenate([BOXES, 3 * ODD]).astype(kind) for _ in range(2)]
        fast = iou_matrix(*map(Tensor, sets))
        composed = iou_matrix(Tensor(sets[0], requires_grad=True), sets[1])
        assert fast.dtype == composed.dtype == kind
        assert composed.requires_grad
        assert not fast.requires_grad
        np.testing.assert_allclose(fast.data, composed.data, rtol=2 * np.finfo(kind).eps)


def test_types():
    for kind in (np.float16, np.float32, np.float64):
        assert iou_matrix(BOXES.astype(kind), BOXES.astype(kind)).dtype == kind
        assert giou_matrix(BOXES.astype(kind), BOXES.astype(kind)).dtype == kind
    assert iou_matrix(PIXELS, PIXELS).dtype == np.float64
    assert box_area(PIXELS).dtype == np.int64
    large = np.array([[0, 0, 1000, 1000], [0, 0, 1000, 500]], np.float16)  # a million is no float16
    np.testing.assert_array_equal(iou_matrix(large, large).data, [[1, 0.5], [0.5, 1]])
    np.testing.assert_array_equal(giou_matrix(large, large).data, [[1, 0.5], [0.5, 1]])


def test_generalised_overlap_by_hand():
    """Ten pixels each, five apart: no overlap, and 5 of the 25 around them belong to neither."""
    a, b = np.array([[0.0, 0, 1, 10]]), np.array([[0.0, 15, 1, 25], [0, 0, 1, 10], [0, 0, 2, 10]])
    np.testing.assert_allclose(giou_matrix(a, b).data, [[-5 / 25, 1, 0.5]], rtol=1e-15)


def test_generalised_overlap_is_the_loss_of_pairs():
    a, b = (scattered_boxes(seed, 40).astype(np.float64) for seed in (1, 2))
    pairs = np.diagonal(giou_matrix(a, b).data)
    losses = iou_loss(Tensor(a), b, kind="giou", reduction="none")
    np.testing.assert_allclose(1 - pairs, losses.data, rtol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e-25, 0.0])
def test_generalised_overlap_of_boxes_of_any_smallness_is_no_nan(scale):
    boxes = (np.array(list(itertools.product([0, 1, 2], repeat=4))) * scale).astype(np.float32)
    a, b = (Tensor(boxes, requires_grad=True) for _ in range(2))
    with np.errstate(under="ignore"):
        y = giou_matrix(a, b)
        gradients = grad(y, [a, b], np.ones(y.shape) / len(boxes))
    assert ((y.data >= -1) & (y.data <= 1)).all()
    assert all(np.isfinite(g.data).all() for g in gradients)
