"""Non-maximum suppression against its definition, one box at a time."""

from __future__ import annotations

import os
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import batched_nms, iou_matrix, nms
from tests.ops.box_loops import iou
from tests.ops.driver import for_all
from tests.ops.loss_loops import INF, NAN
from tests.ops.spec import ErrorCase
from tests.ops.stand_in import on_gpu
from tests.ops.values import seeds


def definition(boxes, scores, threshold=0.5, score_threshold=None, limit=None, classes=None):
    """Take the best box that is left (the first of equals), drop what it overlaps; again."""
    left = [i for i, s in enumerate(scores) if score_threshold is None or s > score_threshold]
    kept: list[int] = []
    while left:
        best = left[0]
        for i in left:
            if scores[i] > scores[best]:
                best = i
        kept.append(best)
        left = [
            i
            for i in left
            if i != best
            and (
                (classes is not None and classes[i] != classes[best])
                or not iou(boxes[best], boxes[i]) > threshold
            )
        ]
    return kept if limit is None else kept[:limit]


@st.composite
def calls(draw: st.DrawFn):
    """Boxes on a grid, so that many are equal, touch, have no area; scores with ties."""
    rng = np.random.default_rng(draw(seeds))
    count, classes = draw(st.integers(0, 12)), draw(st.integers(1, 3))
    boxes = rng.integers(0, 5, (count, 4)).astype(draw(st.sampled_from([int, float, np.float32])))
    more = draw(st.sampled_from([None, 0, 2]))  # larger ones overlap more
    if more is not None:
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] + more], axis=1)
    if draw(st.booleans()) and boxes.dtype.kind == "f":
        boxes = boxes + rng.random(boxes.shape).astype(boxes.dtype)
    scores = rng.integers(-2, 5, count) / 4
    scores[rng.random(count) < 0.1] = draw(st.sampled_from([INF, -INF, 0.0, -0.0]))
    options = {
        "threshold": draw(st.sampled_from([0.0, 0.2, 0.5, 0.75, 1.0])),
        "score_threshold": draw(st.sampled_from([None, None, -10.0, 0.0, 0.25, INF])),
        "limit": draw(st.sampled_from([None, None, 0, 1, 3, 100])),
    }
    return boxes, scores, rng.integers(-1, classes, count), options


def check(call, right=definition) -> None:
    boxes, scores, classes, options = call
    for given_boxes, given_scores in ((boxes, scores), (Tensor(boxes), Tensor(scores))):
        y = nms(given_boxes, given_scores, **options)
        assert y.dtype == np.int64
        assert not y.requires_grad
        assert y.data.tolist() == right(boxes.tolist(), scores.tolist(), **options), options
        y = batched_nms(given_boxes, given_scores, classes, **options)
        expected = right(boxes.tolist(), scores.tolist(), classes=classes.tolist(), **options)
        assert y.data.tolist() == expected, options


@pytest.mark.parametrize("jit", ["1", "0"])
def test_keeps_what_the_definition_keeps(jit):
    with mock.patch.dict(os.environ, MINICNN_JIT=jit):
        for_all(calls(), check, 200)


def last_of_ties(boxes, scores, **options):
    n = len(boxes)
    options["classes"] = options["classes"][::-1] if options.get("classes") else None
    return [n - 1 - i for i in definition(boxes[::-1], scores[::-1], **options)]


WRONG = {
    "the last of equals": last_of_ties,
    "suppresses from the threshold on": lambda b, s, threshold=0.5, **o: definition(
        b, s, threshold - 1e-9, **o
    ),
    "includes scores at the threshold": lambda b, s, score_threshold=None, **o: definition(
        b, s, score_threshold=None if score_threshold is None else score_threshold - 1e-9, **o
    ),
    "includes the last pixel": lambda b, s, **o: definition(
        [[y0, x0, y1 + 1, x1 + 1] for y0, x0, y1, x1 in b], s, **o
    ),
    "by index": lambda b, s, **o: sorted(definition(b, s, **o)),
    "classes ignored": lambda b, s, classes=None, **o: definition(b, s, **o),
    "the limit before the suppression": lambda b, s, limit=None, **o: [
        i for i in definition(b, s, **o) if limit is None or sum(t > s[i] for t in s) < limit
    ],
    "a suppressed box suppresses too": lambda b, s, threshold=0.5, score_threshold=None, **o: [
        i
        for i in definition(b, s, 1.0, score_threshold, **o)
        if not any(
            (s[j] > s[i] or (s[j] == s[i] and j < i))
            and (o.get("classes") is None or o["classes"][i] == o["classes"][j])
            and (score_threshold is None or s[j] > score_threshold)
            and iou(b[i], b[j]) > threshold
            for j in range(len(b))
        )
    ],
}


@pytest.fixture(scope="module")
def drawn() -> list:
    found: list = []
    for_all(calls(), found.append, 200)
    return found


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_version_would_be_noticed(name, drawn):
    def caught(call) -> bool:
        try:
            check(call, WRONG[name])
        except AssertionError:
            return True
        return False

    assert any(map(caught, drawn))


def test_what_stays_never_overlaps_and_what_goes_overlaps_something_better():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (400, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (400, 2))], axis=1)
    scores = rng.random(400)
    kept = nms(boxes, scores, 0.4).data
    assert (np.diff(scores[kept]) < 0).all()
    overlaps = iou_matrix(boxes, boxes).data
    among = overlaps[np.ix_(kept, kept)] - np.eye(len(kept))
    assert among.max() <= 0.4
    gone = np.setdiff1d(np.arange(400), kept)
    better = (overlaps[np.ix_(gone, kept)] > 0.4) & (scores[kept] > scores[gone][:, None])
    assert better.any(axis=1).all()
    assert 20 < len(kept) < 380


def test_an_exact_overlap_is_tolerated():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1], [0, 0, 2, 2]])  # overlap 1/2, and 1
    assert nms(boxes, [3, 2, 1], 0.5).data.tolist() == [0, 1]
    assert nms(boxes, [3, 2, 1], 0.49).data.tolist() == [0]
    assert nms(boxes, [3, 2, 1], 1.0).data.tolist() == [0, 1, 2]


def test_what_is_suppressed_suppresses_nothing():
    boxes = np.array([[0, 0, 4, 4], [0, 2, 4, 6], [0, 4, 4, 8]])  # each overlaps the next by 1/3
    assert nms(boxes, [3, 2, 1], 0.3).data.tolist() == [0, 2]
    assert nms(boxes, [2, 3, 1], 0.3).data.tolist() == [1]


def test_boxes_of_no_area_stay():
    boxes = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 2, 2], [3, 3, 1, 1]])
    assert nms(boxes, np.arange(4), 0.0).data.tolist() == [3, 2, 1, 0]


def test_coordinates_of_any_size():
    """Overlaps are those of float64: a class is no offset that would drown small boxes."""
    box = np.array([[0, 0, 1e-3, 1e-3], [0, 0, 1e-3, 0.8e-3]], np.float32)
    boxes = np.concatenate([box, box + 1e-3, [[0, 0, 1e6, 1e6]]]).astype(np.float32)
    classes = [900, 900, 901, 901, 900]
    assert batched_nms(boxes, [5, 4, 3, 2, 1], classes).data.tolist() == [0, 2, 4]


BOXES, SCORES = np.tile([0.0, 0, 1, 1], (3, 1)), np.array([0.1, 0.2, 0.3])


def errors(op, name, *classes):
    more = r", classes \(3,\)" if classes else ""
    return [
        ErrorCase(
            lambda: op(BOXES[:, :3], SCORES, *classes),
            ShapeError,
            rf"{name}: boxes must be \(R, 4\) as \(y0, x0, y1, x1\), got shape \(3, 3\); no boxes",
        ),
        ErrorCase(
            lambda: op(BOXES, SCORES[:2], *classes),
            ShapeError,
            rf"{name}: boxes \(3, 4\) need one score each, got scores \(2,\){more}",
        ),
        ErrorCase(
            lambda: op(BOXES, np.array([0, NAN, 1]), *classes),
            ConfigError,
            rf"{name}: score 1 of \(3,\) is NaN; it has no place in the order",
        ),
        ErrorCase(
            lambda: op(np.add(BOXES, [[0], [INF], [0]]), SCORES, *classes),
            ConfigError,
            rf"{name}: box 1 of \(3, 4\) is \[inf, inf, inf, inf\]; boxes must be finite",
        ),
        ErrorCase(
            lambda: op(BOXES, on_gpu(3), *classes),
            DeviceError,
            rf"{name}: got scores \(3,\) on cuda:0 beside arrays on cpu; move one with .to",
        ),
        *(
            ErrorCase(
                lambda t=t: op(BOXES, SCORES, *classes, threshold=t),
                ConfigError,
                f"{name}: threshold is an overlap from 0 to 1, got {t}",
            )
            for t in (1.5, -0.1, NAN)
        ),
        *(
            ErrorCase(
                lambda n=n: op(BOXES, SCORES, *classes, limit=n),
                ConfigError,
                f"{name}: limit must be a whole number >= 0, or None, got {n}",
            )
            for n in (-1, 1.5)
        ),
    ]


ERRORS = [
    *errors(nms, "nms"),
    *errors(batched_nms, "batched_nms", np.zeros(3, int)),
    ErrorCase(
        lambda: batched_nms(BOXES, SCORES, SCORES),
        DTypeError,
        r"batched_nms: classes must be whole numbers, got float64 \(3,\)",
    ),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


def test_many_boxes_take_no_time():
    """Five thousand that hardly overlap, the worst case: every one is compared with all others."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 3000, (5000, 2))
    boxes = np.concatenate([corner, corner + 20], axis=1)
    scores = rng.random(5000)
    nms(boxes[:2], scores[:2])  # compiles
    start = time.perf_counter()
    kept = nms(boxes, scores)
    assert time.perf_counter() - start < 1  # some 20 ms, if nothing else runs
    assert len(kept) > 4000
