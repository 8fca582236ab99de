"""RoI pooling and RoI align against their definitions, one cell and one point at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import max_pool2d, max_pool_windows, roi_align, roi_pool
from tests.ops.driver import proof_of
from tests.ops.loops import pair
from tests.ops.loss_loops import INF, NAN
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import distinct, normal, seeds


def whole(number: float) -> int:
    """Round to the nearest whole number, halves away from 0."""
    return int(math.copysign(math.floor(abs(number) + 0.5), number))


def window_maxima(x, windows, images, size):
    """The largest pixel of each cell: rows floor(i h / OH) up to ceil((i+1) h / OH)."""
    rows, columns = pair(size)
    y = np.zeros((len(windows), x.shape[1], rows, columns))
    for r, (top, left, bottom, right) in enumerate(np.asarray(windows).tolist()):
        height, width = max(bottom - top, 1), max(right - left, 1)
        for c, i, j in np.ndindex(y.shape[1:]):
            seen = [
                float(x[images[r], c, h, w])
                for h in range(max(top, 0), min(top + height, x.shape[2]))
                for w in range(max(left, 0), min(left + width, x.shape[3]))
                if i * height < (h - top + 1) * rows and (h - top) * rows < (i + 1) * height
                if j * width < (w - left + 1) * columns and (w - left) * columns < (j + 1) * width
            ]
            y[r, c, i, j] = max(seen) if seen else 0
    return y


def maxima(x, boxes, images, size, scale=1.0):
    windows = [[whole(v * scale) for v in box] for box in np.asarray(boxes, float).tolist()]
    return window_maxima(x, np.array(windows).reshape(-1, 4), images, size)


def points_of(begin, end, count, sampling):
    """The points of each cell along an axis, in pixels."""
    cell = (end - begin) / count
    number = sampling or math.ceil(cell)
    return [[begin + (i + (s + 0.5) / number) * cell for s in range(number)] for i in range(count)]


def taps(place, pixels):
    """The two pixels around a point and their weights; none if it is outside."""
    if place < -1 or place > pixels:
        return []
    place = min(max(place, 0), pixels - 1)
    low = min(int(place), pixels - 1)
    return [(low, 1 - (place - low)), (min(low + 1, pixels - 1), place - low)]


def aligned_values(x, boxes, images, size, scale=1.0, sampling=0, aligned=True, mode="avg"):
    """He et al.: the mean (or the largest) of bilinear values at points laid evenly."""
    y = np.zeros((len(boxes), x.shape[1], *pair(size)))
    for r, box in enumerate(np.asarray(boxes, float).tolist()):
        top, left, bottom, right = (v * scale - (0.5 if aligned else 0) for v in box)
        if not aligned:
            bottom, right = max(bottom, top + 1), max(right, left + 1)
        rows = points_of(top, bottom, pair(size)[0], sampling)
        columns = points_of(left, right, pair(size)[1], sampling)
        for i, j in np.ndindex(*pair(size)):
            for c in range(x.shape[1]):
                image = x[images[r], c].tolist()
                values = []
                for v in rows[i]:
                    for w in columns[j]:
                        parts = [
                            a * b * image[p][q]
                            for p, a in taps(v, x.shape[2])
                            for q, b in taps(w, x.shape[3])
                        ]
                        values.append(sum(parts) if mode != "max_taps" else max(parts, default=0))
                if values:
                    y[r, c, i, j] = sum(values) / len(values) if mode == "avg" else max(values)
    return y


@st.composite
def images_and_regions(draw: st.DrawFn) -> tuple[np.ndarray, dict[str, Any], Any]:
    n, c = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    count = draw(st.integers(1, 2))
    seed = draw(seeds)
    options = {
        "images": np.random.default_rng(seed).integers(0, n, count),
        "size": draw(st.sampled_from([1, 2, 3, (1, 2), (3, 2)])),
    }
    return distinct(seed, n, c, height, width), options, np.random.default_rng(seed + 1)


@st.composite
def windows(draw: st.DrawFn) -> Case:
    x, options, rng = draw(images_and_regions())
    begin = rng.integers(-2, 5, (len(options["images"]), 2))
    end = begin + rng.integers(-1, 8, begin.shape)
    kind = draw(st.sampled_from([np.int64, np.int32]))
    options["windows"] = np.concatenate([begin, end], axis=1).astype(kind)
    return Case((x,), options)


def some_boxes(rng, count, x, scale):
    """Inside, over the border, far away, tiny, inside out, much too large."""
    begin = rng.uniform(-2, 5, (count, 2))
    length = rng.choice([0.3, 2.0, 4.0, 7.0, -1.0, 30.0], (count, 2)) * rng.uniform(0.5, 1.5)
    return np.concatenate([begin, begin + length], axis=1) / scale


@st.composite
def pooled(draw: st.DrawFn) -> Case:
    x, options, rng = draw(images_and_regions())
    options["scale"] = draw(st.sampled_from([1.0, 0.5, 3.0]))
    options["boxes"] = some_boxes(rng, len(options["images"]), x, options["scale"])
    if draw(st.booleans()):  # halves, which are rounded away from 0
        options["boxes"] = np.round(options["boxes"]) + 0.5 * (options["scale"] == 1)
    return Case((x,), options)


@st.composite
def aligned_cases(draw: st.DrawFn) -> Case:
    case = draw(pooled())
    chosen = {
        "sampling": draw(st.sampled_from([0, 0, 1, 2, 3])),
        "aligned": draw(st.booleans()),
        "mode": draw(st.sampled_from(["avg", "avg", "max", "max_taps"])),
    }
    options = {**case.options, **chosen}
    options["boxes"] = options["boxes"] + 0.0123  # no point lies just at -1 or at the image's end
    x = 1 + 0.1 * case.arrays[0] if chosen["mode"] != "avg" else case.arrays[0]
    if chosen["mode"] != "avg":
        x = x * np.where(np.arange(x.size).reshape(x.shape) % 3 == 0, -1, 1)
    return Case((x,), options)


def turned(pull, g, x, **options):
    """A backward mutant: rows for columns in the grid."""
    return pull(np.ascontiguousarray(g[..., ::-1]), x, **options)


def of_the_first_image(pull, g, x, images, **options):
    return pull(g, x, images=np.zeros_like(images), **options)


def pull_moved(name):
    def mutant(pull, g, x, **options):
        return pull(g, x, **{**options, name: options[name] + 1})

    return mutant


def forward_mutants(oracle, name):
    return {
        "of the first image": lambda y, x, images, **o: oracle(x, images=0 * images, **o),
        "one pixel off": lambda y, x, **o: oracle(x, **{**o, name: o[name] + 1}),
        "x for y": lambda y, x, **o: oracle(x, **{**o, name: o[name][:, [1, 0, 3, 2]]}),
        "boxes that include their last pixel": lambda y, x, **o: oracle(
            x, **{**o, name: o[name] + np.array([0, 0, 1, 1])}
        ),
    }


def backward_mutants(name):
    return {
        "of the first image": of_the_first_image,
        "one pixel off": pull_moved(name),
        "the grid turned": turned,
    }


IMAGES = distinct(0, 2, 3, 6, 5)
BOXES = np.array([[0.2, 0.3, 5.5, 4.4], [1.6, -0.7, 3.1, 7.2], [2, 2, 2, 2], [4.5, 3, 1, 1]])
OF = np.array([0, 1, 1, 0])
WINDOWS = np.array([[0, 0, 6, 5], [2, -1, 3, 7], [2, 2, 2, 2], [5, 3, 1, 1]])
NO_BOXES, OF_NONE = np.zeros((0, 4)), np.zeros(0, int)
ROOM = np.arange(16.0).reshape(1, 1, 4, 4)
HOLE = ROOM.copy()
HOLE[0, 0, 1, 2] = NAN
ALL = {"images": [0], "size": 2}


def edges(name: str, some: np.ndarray, none: np.ndarray) -> dict[str, Case]:
    return {
        "images": Case((IMAGES,), {name: some, "images": OF, "size": 2}),
        "empty": Case((IMAGES,), {name: none, "images": OF_NONE, "size": 2}),
        "empty batch": Case((IMAGES[:0],), {name: none, "images": OF_NONE, "size": 2}),
        "no channels": Case((IMAGES[:, :0],), {name: some, "images": OF, "size": 2}),
        "1x1 maps": Case((IMAGES[:, :, :1, :1],), {name: some, "images": OF, "size": 2}),
        "one region twice": Case((IMAGES,), {name: some[[0, 0]], "images": OF[[0, 0]], "size": 3}),
    }


def errors(op, name, what, valid):
    x = Tensor(IMAGES)
    return (
        ErrorCase(
            lambda: op(Tensor(np.ones((3, 6, 5))), valid, OF, 2),
            ShapeError,
            rf"{name}: needs images \(N, C, H, W\) with pixels, got shape \(3, 6, 5\)",
        ),
        ErrorCase(lambda: op(Tensor(np.ones((1, 2, 0, 5))), valid, OF, 2), ShapeError, "with pix"),
        ErrorCase(
            lambda: op(x, valid[0], OF, 2),
            ShapeError,
            rf"{name}: {what} must be \(R, 4\) as \(y0, x0, y1, x1\) and images \(R,\), got \(4,\) "
            rf"and \(4,\); no {what} are of shape \(0, 4\)",
        ),
        ErrorCase(lambda: op(x, valid, OF[:2], 2), ShapeError, r"got \(4, 4\) and \(2,\)"),
        ErrorCase(
            lambda: op(x, valid, OF * 1.0, 2),
            DTypeError,
            rf"{name}: images must be whole numbers, got float64 of shape \(4,\); they say which",
        ),
        ErrorCase(
            lambda: op(x, valid, np.array([0, 2, 1, 5]), 2),
            ConfigError,
            rf"{name}: images\[1\] is 2, but x \(2, 3, 6, 5\) has the images 0 ... 1; number them",
        ),
        ErrorCase(
            lambda: op(x, on_gpu(4, 4), OF, 2),
            DeviceError,
            rf"{name}: got {what} \(4, 4\) on cuda:0 beside arrays on cpu; move one with .to",
        ),
        ErrorCase(lambda: op(x, valid, np.array([0, -1, 0, 0]), 2), ConfigError, r"\[1\] is -1"),
        ErrorCase(
            lambda: op(x, valid, OF, (2, 0)),
            ConfigError,
            rf"{name}: size must be an int or 2 ints, each >= 1, got \(2, 0\)",
        ),
    )


def box_errors(op, name):
    wrong = BOXES.copy()
    wrong[1, 2] = NAN
    return (
        ErrorCase(
            lambda: op(Tensor(IMAGES), wrong, OF, 2),
            ConfigError,
            rf"{name}: box 1 of \(4, 4\) is \[1.6, -0.7, nan, 7.2\]; boxes must be finite",
        ),
        ErrorCase(
            lambda: op(Tensor(IMAGES), BOXES, OF, 2, scale=0),
            ConfigError,
            f"{name}: scale must be greater than 0 and finite, got 0",
        ),
    )


MAX_POOL_WINDOWS = OpSpec(
    name="max_pool_windows",
    op=max_pool_windows,
    cases=windows(),
    oracle=window_maxima,
    integers=Case(
        (np.arange(30).reshape(1, 1, 6, 5),),
        {"windows": WINDOWS, "images": np.zeros(4, int), "size": 2},
    ),
    edges=edges("windows", WINDOWS, np.zeros((0, 4), int)),
    special={
        "NaN shows in its own cell": Special(
            Case((HOLE,), {"windows": np.array([[0, 0, 4, 4]]), **ALL}), [[[[5, NAN], [13, 15]]]]
        ),
        "cells outside": Special(
            Case((-1 - ROOM,), {"windows": np.array([[-2, 2, 2, 6]]), **ALL}), [[[[0, 0], [-3, 0]]]]
        ),
        "nothing but -inf": Special(
            Case((ROOM - INF,), {"windows": np.array([[0, 0, 4, 4]]), **ALL}),
            np.full((1, 1, 2, 2), -INF),
        ),
    },
    errors=(
        *errors(max_pool_windows, "max_pool_windows", "windows", WINDOWS),
        ErrorCase(
            lambda: max_pool_windows(Tensor(IMAGES), BOXES, OF, 2),
            DTypeError,
            r"max_pool_windows: windows must be whole numbers, got float64 of shape \(4, 4\); "
            "roi_pool rounds boxes",
        ),
    ),
    forward_mutants=forward_mutants(window_maxima, "windows"),
    backward_mutants=backward_mutants("windows"),
    summands=lambda case: 16,
)

ROI_POOL = OpSpec(
    name="roi_pool",
    op=roi_pool,
    cases=pooled(),
    oracle=maxima,
    integers=Case(
        (np.arange(30).reshape(1, 1, 6, 5),),
        {"boxes": BOXES, "images": np.zeros(4, int), "size": 2},
    ),
    edges=edges("boxes", BOXES, NO_BOXES),
    special={
        "NaN shows in its own cell": Special(
            Case((HOLE,), {"boxes": np.array([[0, 0, 4, 4]]), **ALL}), [[[[5, NAN], [13, 15]]]]
        ),
        "halves are rounded away from 0": Special(
            Case((ROOM,), {"boxes": np.array([[-0.5, 0.5, 2.5, 2.5]]), **ALL}),
            [[[[1, 2], [9, 10]]]],
        ),
        "just below a half": Special(
            Case((ROOM,), {"boxes": np.full((1, 4), 0.5 - 2**-54), **ALL}), np.zeros((1, 1, 2, 2))
        ),
        "boxes as large as can be": Special(
            Case((ROOM,), {"boxes": np.array([[-1e300, -1e300, 1e300, 1e300]]), **ALL}),
            [[[[0, 0], [0, 15]]]],
        ),
    },
    errors=(*errors(roi_pool, "roi_pool", "boxes", BOXES), *box_errors(roi_pool, "roi_pool")),
    forward_mutants=forward_mutants(maxima, "boxes"),
    backward_mutants={
        **backward_mutants("boxes"),
        "scale ignored": lambda pull, g, x, scale=1.0, **o: pull(g, x, **o),
    },
    summands=lambda case: 16,
)

ROI_ALIGN = OpSpec(
    name="roi_align",
    op=roi_align,
    cases=aligned_cases(),
    oracle=aligned_values,
    integers="roi_align: needs float x, got int64",
    edges={
        **edges("boxes", BOXES, NO_BOXES),
        "max": Case((IMAGES,), {"boxes": BOXES, "images": OF, "size": 2, "mode": "max"}),
        "empty, max": Case(
            (IMAGES,), {"boxes": NO_BOXES, "images": OF_NONE, "size": 2, "mode": "max"}
        ),
        "empty, max_taps": Case(
            (IMAGES,), {"boxes": NO_BOXES, "images": OF_NONE, "size": 2, "mode": "max_taps"}
        ),
        "far larger than the image": Case(
            (IMAGES,),
            {"boxes": np.array([[-700.0, -3, 900, 8]]), "images": [1], "size": (3, 2)},
        ),
        "far larger than the image, max": Case(
            (IMAGES,),
            {"boxes": np.array([[-90.0, -3, 70, 4]]), "images": [1], "size": (3, 2), "mode": "max"},
        ),
    },
    special={
        "pixels themselves": Special(
            Case((ROOM,), {"boxes": np.array([[0, 0, 4, 4]]), "images": [0], "size": 4}), ROOM
        ),
        "what has no weight may be NaN": Special(
            Case((HOLE,), {"boxes": np.array([[0, 0, 2, 2]]), **ALL}), [[[[0, 1], [4, 5]]]]
        ),
        "NaN shows": Special(
            Case((HOLE,), {"boxes": np.array([[0, 0, 4, 4]]), **ALL}),
            [[[[2.5, NAN], [10.5, 12.5]]]],
        ),
        "boxes as large as can be": Special(
            Case((ROOM,), {"boxes": np.array([[-1e300, -1e300, 1e300, 1e300]]), **ALL}),
            np.zeros((1, 1, 2, 2)),
        ),
    },
    errors=(
        *errors(roi_align, "roi_align", "boxes", BOXES),
        *box_errors(roi_align, "roi_align"),
        ErrorCase(
            lambda: roi_align(Tensor(IMAGES), BOXES, OF, 2, sampling=-1),
            ConfigError,
            "roi_align: sampling must be an int >= 0, got -1",
        ),
        ErrorCase(
            lambda: roi_align(Tensor(IMAGES), BOXES, OF, 2, mode="min"),
            ConfigError,
            "roi_align: mode must be 'avg', 'max' or 'max_taps', got 'min'",
        ),
    ),
    forward_mutants={
        **forward_mutants(aligned_values, "boxes"),
        **{
            f"{o} ignored": lambda y, x, o=o, **options: aligned_values(
                x, **{k: v for k, v in options.items() if k != o}
            )
            for o in ("sampling", "aligned", "mode", "scale")
        },
    },
    backward_mutants={
        **backward_mutants("boxes"),
        **{
            f"{o} ignored": lambda pull, g, x, o=o, **options: pull(
                g, x, **{k: v for k, v in options.items() if k != o}
            )
            for o in ("sampling", "aligned", "mode", "scale")
        },
    },
    summands=lambda case: 64,
)

SPECS = (MAX_POOL_WINDOWS, ROI_POOL, ROI_ALIGN)
TestRegions = proof_of(*SPECS)


def test_pooling_a_whole_image_cell_by_cell_is_max_pooling():
    x = Tensor(normal(0, 2, 3, 8, 6))
    y = roi_pool(x, np.array([[0, 0, 8, 6]] * 2), np.arange(2), (4, 3))
    np.testing.assert_array_equal(y.data, max_pool2d(x, 2).data)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 16])
def test_windows_express_regions_that_include_their_last_pixel(scale):
    """As Caffe defined RoI pooling, and ONNX's MaxRoiPool after it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 2, 9, 11))
    regions = np.sort(rng.uniform(0, 10 / scale, (6, 2, 2)), axis=1).reshape(6, 4)
    corners = np.array([[whole(v * scale) for v in box] for box in regions.tolist()])
    one_more = np.array([0, 0, 1, 1])
    y = max_pool_windows(Tensor(x), corners + one_more, np.zeros(6, int), (2, 3)).data
    for r, (top, left, bottom, right) in enumerate(corners.tolist()):
        height, width = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for i, j in np.ndindex(2, 3):
            rows = slice(
                min(max(math.floor(i * height / 2) + top, 0), 9),
                min(max(math.ceil((i + 1) * height / 2) + top, 0), 9),
            )
            columns = slice(
                min(max(math.floor(j * width / 3) + left, 0), 11),
                min(max(math.ceil((j + 1) * width / 3) + left, 0), 11),
            )
            cell = x[0, :, rows, columns].reshape(2, -1)
            expected = cell.max(axis=1) if cell.size else np.zeros(2)
            np.testing.assert_array_equal(y[r, :, i, j], expected)


def test_align_is_exact_on_a_slope():
    """Bilinear interpolation of a plane is the plane; a cell's mean is its value at the centre."""
    h, w = np.indices((20, 30))
    x = Tensor((2.0 * h - 3.0 * w + 1)[None, None])
    boxes = np.random.default_rng(0).uniform([2, 3, 10, 14], [8, 12, 17, 27], (10, 4))
    y = roi_align(x, boxes, np.zeros(10, int), (3, 2)).data
    for r, (top, left, bottom, right) in enumerate(boxes):
        for i, j in np.ndindex(3, 2):
            v = top + (i + 0.5) / 3 * (bottom - top) - 0.5
            u = left + (j + 0.5) / 2 * (right - left) - 0.5
            assert y[r, 0, i, j] == pytest.approx(2 * v - 3 * u + 1)


def test_align_of_points_that_are_all_inside_passes_all_of_the_gradient():
    x = Tensor(np.zeros((1, 1, 20, 20)), requires_grad=True)
    y = roi_align(x, np.array([[2.3, 3.1, 15.8, 12.2]]), [0], 3)
    assert grad(y, x, np.ones(y.shape)).data.sum() == pytest.approx(9)


def test_boxes_get_no_gradient_and_images_may_be_lists():
    x = Tensor(IMAGES, requires_grad=True)
    boxes = Tensor(BOXES, requires_grad=True)
    for op in (roi_pool, roi_align):
        y = op(x, boxes, [0, 1, 1, 0], 2)
        gradients = grad(y, [x, boxes], np.ones(y.shape))
        assert gradients[0].data.any()
        assert not gradients[1].data.any()
        assert op(x, np.zeros((0, 4)), [], 2).shape == (0, 3, 2, 2)


def test_no_regions_give_a_gradient_of_zeros():
    for op in (roi_pool, roi_align):
        x = Tensor(IMAGES, requires_grad=True)
        op(x, np.zeros((0, 4)), [], 2).sum().backward()
        assert x.grad.shape == IMAGES.shape
        assert not x.grad.data.any()


def test_ties_go_to_the_first_pixel_of_a_window_and_to_all_points_of_a_cell():
    x = Tensor(np.ones((1, 1, 4, 4)), requires_grad=True)
    y = roi_pool(x, np.array([[1, 1, 4, 4]]), [0], 1)
    np.testing.assert_array_equal(np.argwhere(grad(y.sum(), x).data), [[0, 0, 1, 1]])
    y = roi_align(x, np.array([[0, 0, 4, 4]]), [0], 1, mode="max")
    np.testing.assert_array_equal(grad(y.sum(), x).data, np.full((1, 1, 4, 4), 1 / 16))
