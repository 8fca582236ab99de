"""Steps from anchors to boxes and back, against plain arithmetic, one box at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DeviceError, ShapeError
from minicnn.ops import (
    clip_boxes,
    decode_boxes,
    decode_distances,
    encode_boxes,
    encode_distances,
)
from tests.ops.driver import proof_of
from tests.ops.loss_loops import NAN
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import distinct, seeds, shapes

SCALE = (0.1, 0.2, 0.3, 0.4)


def each(f):
    """Return the oracle that computes f of each pair of rows of four numbers."""

    def oracle(a, b, **options):
        a, b = np.broadcast_arrays(a, b)
        y = np.zeros(a.shape)
        for at in np.ndindex(y.shape[:-1]):
            y[at] = f(a[at].tolist(), b[at].tolist(), **options)
        return y

    return oracle


def encoded(box, anchor, scale=(1, 1, 1, 1)):
    h, w = anchor[2] - anchor[0], anchor[3] - anchor[1]
    ty = ((box[0] + box[2]) / 2 - (anchor[0] + anchor[2]) / 2) / h
    tx = ((box[1] + box[3]) / 2 - (anchor[1] + anchor[3]) / 2) / w
    growths = math.log((box[2] - box[0]) / h), math.log((box[3] - box[1]) / w)
    return [t / s for t, s in zip((ty, tx, *growths), scale, strict=True)]


def decoded(step, anchor, scale=(1, 1, 1, 1)):
    ty, tx, th, tw = (t * s for t, s in zip(step, scale, strict=True))
    h, w = anchor[2] - anchor[0], anchor[3] - anchor[1]
    cy, cx = anchor[0] + (0.5 + ty) * h, anchor[1] + (0.5 + tx) * w
    h, w = h * math.exp(min(th, math.log(62.5))), w * math.exp(min(tw, math.log(62.5)))
    return [cy - h / 2, cx - w / 2, cy + h / 2, cx + w / 2]


def from_points(f):
    """Return the oracle that computes f of each pair of four numbers and a point."""

    def oracle(four, points):
        shape = np.broadcast_shapes(four.shape[:-1], points.shape[:-1])
        four = np.broadcast_to(four, (*shape, 4))
        points = np.broadcast_to(points, (*shape, 2))
        y = np.zeros(four.shape)
        for at in np.ndindex(shape):
            y[at] = f(four[at].tolist(), points[at].tolist())
        return y

    return oracle


def measured(box, point):
    (top, left, bottom, right), (down, across) = box, point
    return [down - top, across - left, bottom - down, right - across]


def laid_out(distances, point):
    (up, left, down, right), (row, column) = distances, point
    return [row - up, column - left, row + down, column + right]


def clipped(boxes, height, width):
    y = np.zeros(boxes.shape)
    for at in np.ndindex(y.shape):
        y[at] = min(max(boxes[at], 0.0), (height, width, height, width)[at[-1]])
    return y


def sound_boxes(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Boxes (..., 4) of sides from 1 to 4."""
    rng = np.random.default_rng(seed)
    begin = rng.uniform(-3, 5, (*shape, 2))
    return np.concatenate([begin, begin + rng.uniform(1, 4, begin.shape)], axis=-1)


@st.composite
def pairs(draw: st.DrawFn, steps: bool) -> Case:
    shape, seed = draw(shapes(0, 3)), draw(seeds)
    other = shape[1:] if shape and draw(st.booleans()) else shape
    anchors = sound_boxes(seed + 1, other)
    first = sound_boxes(seed, shape)
    if steps:
        first = np.random.default_rng(seed).normal(0, 1, (*shape, 4))
    options = {"scale": SCALE} if draw(st.booleans()) else {}
    return Case((first, anchors), options)


@st.composite
def boxes_and_points(draw: st.DrawFn) -> Case:
    shape, seed = draw(shapes(0, 3)), draw(seeds)
    other = shape[1:] if shape and draw(st.booleans()) else shape
    points = np.random.default_rng(seed + 1).uniform(-3, 5, (*other, 2))
    return Case((sound_boxes(seed, shape), points))


@st.composite
def cut(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3))
    boxes = distinct(draw(seeds), *shape, 4) + 0.3  # off the border 0, and off whole numbers
    size = st.integers(0, 5)
    return Case((boxes,), {"height": draw(size) + 0.1, "width": draw(size) + 0.1})


POINTS = np.random.default_rng(2).uniform(0, 5, (5, 2))
BOXES, ANCHORS = sound_boxes(0, (5,)), sound_boxes(1, (5,))
PIXELS = np.array([[0, 0, 4, 6], [2, 3, 5, 9]])
OF_X_FOR_Y = {
    "of x for y": lambda pull, g, *arrays, **o: [
        d[..., [1, 0, 3, 2]] for d in pull(g, *arrays, **o)
    ]
}


def coding_errors(op, name, first):
    return (
        ErrorCase(
            lambda: op(np.ones((3, 5)), BOXES),
            ShapeError,
            rf"{name}: {first} must be \(\.\.\., 4\), got shape \(3, 5\)",
        ),
        ErrorCase(
            lambda: op(BOXES[:3], BOXES[:2]),
            ShapeError,
            rf"{name}: {first} \(3, 4\) and anchors \(2, 4\) do not fit; give one for each",
        ),
        ErrorCase(
            lambda: op(BOXES, on_gpu(5, 4)),
            DeviceError,
            rf"{name}: {first} \(5, 4\) are on cpu, anchors \(5, 4\) on cuda:0; move one with",
        ),
        ErrorCase(
            lambda: op(BOXES, BOXES, (1, 1, 0, 1)),
            ConfigError,
            rf"{name}: scale must be four numbers above 0, got \(1, 1, 0, 1\)",
        ),
    )


def distances_spec(op, name, first, oracle, **special):
    return OpSpec(
        name=name,
        op=op,
        cases=boxes_and_points(),
        oracle=oracle,
        integers=Case((PIXELS, PIXELS[:, :2])),
        edges={
            "boxes": Case((BOXES, POINTS)),
            "empty": Case((BOXES[:0], POINTS[:0])),
            "one": Case((BOXES[0], POINTS[0])),
            "one box, many points": Case((BOXES[0], POINTS)),
        },
        special={
            "NaN shows": Special(
                Case((np.array([1, NAN, 1, 1]), np.array([1.0, 1]))), special["nan"]
            ),
            "by hand": Special(
                Case((np.array([1.0, 2, 7, 9]), np.array([3.0, 5]))), special["by_hand"]
            ),
        },
        errors=(
            ErrorCase(
                lambda: op(np.ones((3, 5)), POINTS[:3]),
                ShapeError,
                rf"{name}: {first} must be \(\.\.\., 4\), got shape \(3, 5\)",
            ),
            ErrorCase(
                lambda: op(BOXES, BOXES),
                ShapeError,
                rf"{name}: points must be \(\.\.\., 2\), got shape \(5, 4\)",
            ),
            ErrorCase(
                lambda: op(BOXES[:3], POINTS[:2]),
                ShapeError,
                rf"{name}: {first} \(3, 4\) and points \(2, 2\) do not fit; give one for each",
            ),
            ErrorCase(
                lambda: op(BOXES, on_gpu(5, 2)),
                DeviceError,
                rf"{name}: {first} \(5, 4\) are on cpu, points \(5, 2\) on cuda:0; move one with",
            ),
        ),
        forward_mutants={
            "y for x": lambda y, four, points: oracle(four, points[..., ::-1]),
            "up and down exchanged": lambda y, four, points: y[..., [2, 1, 0, 3]],
            "from the corner of the pixel": lambda y, four, points: oracle(four, points - 0.5),
        },
        backward_mutants={
            "of x for y": lambda pull, g, *arrays: [
                d[..., [1, 0, 3, 2] if d.shape[-1] == 4 else [1, 0]] for d in pull(g, *arrays)
            ],
        },
        summands=lambda case: 64 * case.arrays[0].size,
    )


SPECS = (
    distances_spec(
        encode_distances,
        "encode_distances",
        "boxes",
        from_points(measured),
        nan=[0, NAN, 0, 0],
        by_hand=[2, 3, 4, 4],
    ),
    distances_spec(
        decode_distances,
        "decode_distances",
        "distances",
        from_points(laid_out),
        nan=[0, NAN, 2, 2],
        by_hand=[2, 3, 10, 14],
    ),
    OpSpec(
        name="encode_boxes",
        op=encode_boxes,
        cases=pairs(steps=False),
        oracle=each(encoded),
        integers=Case((PIXELS, PIXELS[::-1].copy())),
        edges={
            "boxes": Case((BOXES, ANCHORS)),
            "empty": Case((BOXES[:0], ANCHORS[:0])),
            "one": Case((BOXES[0], ANCHORS[0])),
            "many boxes, one anchor": Case((BOXES, ANCHORS[0])),
        },
        special={"nothing to do": Special(Case((BOXES, BOXES)), np.zeros((5, 4)))},
        errors=(
            *coding_errors(encode_boxes, "encode_boxes", "boxes"),
            ErrorCase(
                lambda: encode_boxes(np.array([[0, 0, 1, 1], [3, 3, 3, 9.0]]), BOXES[0]),
                ConfigError,
                r"boxes \(2, 4\): number 1, \[3\.0, 3\.0, 3\.0, 9\.0\], has no area.*leave such",
            ),
            ErrorCase(
                lambda: encode_boxes(BOXES[0], np.array([0, 5, 1, 2.0])), ConfigError, "anchors"
            ),
        ),
        forward_mutants={
            "in pixels, not in anchor sizes": lambda y, b, a, scale=None: np.concatenate(
                [y[..., :2] * (a[..., 2:] - a[..., :2]), y[..., 2:]], axis=-1
            ),
            "boxes for anchors": lambda y, b, a, **o: each(encoded)(a, b, **o),
            "the scale forgotten": lambda y, b, a, scale=None: each(encoded)(b, a),
            "growth without logarithm": lambda y, b, a, scale=(1, 1, 1, 1): np.concatenate(
                [y[..., :2], np.exp(y[..., 2:])], axis=-1
            ),
        },
        backward_mutants=OF_X_FOR_Y,
        summands=lambda case: 64 * case.arrays[0].size,
    ),
    OpSpec(
        name="decode_boxes",
        op=decode_boxes,
        cases=pairs(steps=True),
        oracle=each(decoded),
        integers=Case((np.array([[0, 1, -1, 2], [0, 0, 1, 0]]), PIXELS)),
        edges={
            "boxes": Case((BOXES / 4, ANCHORS)),
            "empty": Case((BOXES[:0], ANCHORS[:0])),
            "one": Case((BOXES[0] / 4, ANCHORS[0])),
        },
        special={
            "no step": Special(Case((np.zeros((2, 4)), 1.0 * PIXELS)), PIXELS),
            "growth ends": Special(
                Case((np.array([0, 0, 1e9, 1e9]), np.array([0, 0, 2.0, 2.0]))),
                [-61.5, -61.5, 63.5, 63.5],
            ),
            "NaN shows": Special(
                Case((np.array([0, 0, NAN, 0]), np.array([0, 0, 2.0, 2.0]))), [NAN, 0, NAN, 2]
            ),
        },
        errors=coding_errors(decode_boxes, "decode_boxes", "steps"),
        forward_mutants={
            "from the corner, not from the centre": lambda y, t, a, **o: (
                y - np.tile((a[..., 2:] - a[..., :2]) / 2, 2)
            ),
            "the scale forgotten": lambda y, t, a, scale=None: each(decoded)(t, a),
        },
        backward_mutants=OF_X_FOR_Y,
        summands=lambda case: 64 * case.arrays[0].size,
    ),
    OpSpec(
        name="clip_boxes",
        op=clip_boxes,
        cases=cut(),
        oracle=clipped,
        integers=Case((PIXELS,), {"height": 3, "width": 4}),
        edges={
            "boxes": Case((BOXES,), {"height": 3.1, "width": 2.1}),
            "empty": Case((BOXES[:0],), {"height": 3.1, "width": 2.1}),
            "no image": Case((BOXES,), {"height": 0, "width": 0}),
        },
        special={
            "NaN shows": Special(
                Case((np.array([NAN, -1, 9, 9]),), {"height": 3, "width": 4}), [NAN, 0, 3, 4]
            )
        },
        errors=(
            ErrorCase(
                lambda: clip_boxes(np.ones((3, 5)), 4, 4), ShapeError, r"must be \(\.\.\., 4\)"
            ),
            ErrorCase(
                lambda: clip_boxes(BOXES, -1, 4), ConfigError, r"an image of -1 x 4 pixels has no"
            ),
        ),
        forward_mutants={
            "height and width exchanged": lambda y, b, height, width: clipped(b, width, height),
            "to the last pixel": lambda y, b, height, width: clipped(b, height - 1, width - 1),
        },
        backward_mutants={
            **OF_X_FOR_Y,
            "outside too": lambda pull, g, b, **o: [g],
        },
    ),
)
TestBoxCoding = proof_of(*SPECS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back(dtype):
    boxes, anchors = (a.astype(dtype) for a in (sound_boxes(3, (200,)), sound_boxes(4, (200,))))
    steps = encode_boxes(boxes, anchors, SCALE)
    assert steps.dtype == dtype
    back = decode_boxes(steps, anchors, SCALE)
    np.testing.assert_allclose(back.data, boxes, atol=40 * np.finfo(dtype).eps)


def test_by_hand():
    """Twice as high, moved by half a width: log(2), and 0.5."""
    y = encode_boxes(np.array([0.0, 5, 20, 15]), np.array([5.0, 0, 15, 10])).data
    np.testing.assert_allclose(y, [0, 0.5, math.log(2), 0], atol=1e-15)


def test_boxes_outside_their_image_keep_no_area():
    y = clip_boxes(Tensor(np.array([[-5, -5, -1, -1], [9, 9, 12, 12], [-2, 3, 4, 20]])), 8, 8)
    assert y.data.tolist() == [[0, 0, 0, 0], [8, 8, 8, 8], [0, 3, 4, 8]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_there_and_back(dtype):
    boxes = sound_boxes(3, (200,)).astype(dtype)
    points = np.random.default_rng(4).uniform(-3, 9, (200, 2)).astype(dtype)
    distances = encode_distances(boxes, points)
    assert distances.dtype == dtype
    inside = ((points > boxes[:, :2]) & (points < boxes[:, 2:])).all(axis=1)
    np.testing.assert_array_equal((distances.data > 0).all(axis=1), inside)
    back = decode_distances(distances, points)
    np.testing.assert_allclose(back.data, boxes, atol=20 * np.finfo(dtype).eps)
