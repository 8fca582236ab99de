"""Anchors against their definition, cell by cell, and who answers for what, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import anchor_boxes, match_boxes
from tests.ops.box_loops import iou
from tests.ops.spec import ErrorCase


def laid(rows, columns, down, across, sizes, ratios):
    found = []
    for i in range(rows):
        for j in range(columns):
            for size in sizes:
                for ratio in ratios:
                    height, width = size * math.sqrt(ratio), size / math.sqrt(ratio)
                    y, x = (i + 0.5) * down, (j + 0.5) * across
                    found.append([y - height / 2, x - width / 2, y + height / 2, x + width / 2])
    return np.array(found).reshape(rows, columns, len(sizes) * len(ratios), 4)


@pytest.mark.parametrize(
    ("map_size", "stride", "sizes", "ratios"),
    [
        ((3, 5), (8, 4), (16, 32.5), (0.5, 1, 2)),
        ((1, 2), (16, 16), (10,), (1,)),
        ((0, 4), (8, 8), (10,), (2, 3)),
    ],
)
def test_anchors_lie_where_the_definition_says(map_size, stride, sizes, ratios):
    y = anchor_boxes(map_size, stride, sizes, ratios)
    assert y.dtype == np.float32
    expected = laid(*map_size, *stride, sizes, ratios)
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.data, expected, atol=1e-5)


def test_an_anchor_is_higher_than_wide_by_its_ratio():
    (y0, x0, y1, x1) = anchor_boxes(1, 8, [6.0], [4.0]).data.reshape(4).tolist()
    assert (y1 - y0, x1 - x0) == (12, 3)  # 36 square pixels
    assert ((y0 + y1) / 2, (x0 + x1) / 2) == (4, 4)


def matched(anchors, boxes, positive=0.7, negative=0.3, best_too=True):
    found = []
    best_of = [max((iou(a, b) for a in anchors), default=0) for b in boxes]
    for a in anchors:
        shares = [iou(a, b) for b in boxes]
        most = max(shares, default=0.0)
        y = -2
        if most < negative or most == 0:
            y = -1
        elif most >= positive:
            y = shares.index(most)
        own = [s if s > 0 and s == best else -1 for s, best in zip(shares, best_of, strict=True)]
        if best_too and max(own, default=-1) > 0:
            y = own.index(max(own))
        found.append(y)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_anchors_answer_as_the_definition_says(seed):
    """On a grid, so that overlaps are often equal; some boxes have no area."""
    rng = np.random.default_rng(seed)

    def boxes(count):
        begin = rng.integers(0, 5, (count, 2))
        return np.concatenate([begin, begin + rng.integers(0, 5, (count, 2))], axis=1) * 1.0

    anchors, objects = boxes(rng.integers(0, 30)), boxes(rng.integers(0, 5))
    for options in ({}, {"best_too": False}, {"positive": 0.0, "negative": 0.0}):
        y = match_boxes(anchors, objects, **options)
        assert y.dtype == np.int64
        assert y.data.tolist() == matched(anchors.tolist(), objects.tolist(), **options)


def test_no_object_goes_without_an_anchor():
    anchors = np.array([[0, 0, 8, 8], [0, 8, 8, 16.0]])
    small = np.array([[0, 0, 2, 2], [0, 6, 8, 10.0]])
    assert match_boxes(anchors, small[:1]).data.tolist() == [0, -1]
    assert match_boxes(anchors, small[:1], best_too=False).data.tolist() == [-1, -1]
    assert match_boxes(anchors, small[1:]).data.tolist() == [0, 0]  # equally good ones all do


def test_an_image_without_objects_is_background():
    anchors = anchor_boxes(2, 8, [8.0]).data.reshape(-1, 4)
    assert match_boxes(anchors, np.zeros((0, 4))).data.tolist() == [-1] * 4
    assert match_boxes(anchors, np.array([[3.0, 3, 3, 9]])).data.tolist() == [-1] * 4
    assert match_boxes(anchors[:0], anchors).shape == (0,)


ERRORS = [
    ErrorCase(
        lambda: anchor_boxes(2, 8, [8, 0]),
        ConfigError,
        r"anchor_boxes: sizes \[8, 0\]; give one or more numbers above 0",
    ),
    ErrorCase(lambda: anchor_boxes(2, 8, [8], []), ConfigError, r"ratios \[\]; give one or more"),
    ErrorCase(
        lambda: anchor_boxes(2, (0, 8), [8]),
        ConfigError,
        r"stride must be an int or 2 ints, each >= 1, got \(0, 8\)",
    ),
    ErrorCase(
        lambda: match_boxes(np.zeros((2, 4)), np.zeros(4)),
        ShapeError,
        r"match_boxes: boxes must be \(R, 4\)",
    ),
    ErrorCase(
        lambda: match_boxes(np.zeros((2, 4)), np.zeros((2, 4)), positive=0.3, negative=0.7),
        ConfigError,
        r"negative 0\.7 and positive 0\.3 are overlaps; give",
    ),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
