"""Soft suppression against its definition, one box at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import nms, soft_nms
from tests.ops.box_loops import iou
from tests.ops.spec import ErrorCase


def definition(boxes, scores, classes, method, sigma=0.5, threshold=0.3, score_threshold=0.001):
    scores, kept = list(scores), []
    left = [i for i, s in enumerate(scores) if s > score_threshold]
    while left:
        best = max(left, key=lambda i: (scores[i], -i))
        kept.append(best)
        left.remove(best)
        for i in list(left):
            if classes is None or classes[i] == classes[best]:
                u = iou(boxes[best], boxes[i])
                if method == "gaussian":
                    scores[i] *= math.exp(-u * u / sigma)
                elif u > threshold:
                    scores[i] *= 1 - u
            if scores[i] <= score_threshold:
                left.remove(i)
    kept.sort(key=lambda i: (-scores[i], i))
    return kept, [scores[i] for i in kept]


@pytest.mark.parametrize("method", ["gaussian", "linear"])
@pytest.mark.parametrize("seed", range(30))
def test_lowers_what_the_definition_lowers(seed, method):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 15))
    begin = rng.random((count, 2)) * 3
    boxes = np.concatenate([begin, begin + rng.random((count, 2)) * 4], axis=1)
    scores, classes = rng.integers(0, 9, count) / 8, rng.integers(0, 2, count)
    for groups in (None, classes):
        for options in ({}, {"sigma": 0.2, "threshold": 0.6, "score_threshold": 0.2}):
            kept, new = soft_nms(boxes, scores, groups, method, **options)
            labels = None if groups is None else groups.tolist()
            right = definition(boxes.tolist(), scores.tolist(), labels, method, **options)
            assert kept.data.tolist() == right[0]
            np.testing.assert_allclose(new.data, right[1], rtol=1e-12)


def test_two_objects_side_by_side_are_both_found():
    boxes = np.array([[0, 0, 10, 10], [0, 3, 10, 13], [0, 0, 10, 10]])
    scores = np.array([0.9, 0.8, 0.7])
    assert nms(boxes, scores).data.tolist() == [0]
    kept, new = soft_nms(boxes, scores)
    assert kept.data.tolist() == [0, 1, 2]
    share = 7 / 13
    assert new.data[:2].tolist() == pytest.approx([0.9, 0.8 * math.exp(-(share**2) / 0.5)])
    assert new.data[2] < 0.1  # the same box again
    assert scores.tolist() == [0.9, 0.8, 0.7]


BOXES, SCORES = np.zeros((2, 4)), np.ones(2)
ERRORS = [
    ErrorCase(
        lambda: soft_nms(BOXES, np.ones(3)), ShapeError, r"soft_nms: boxes .* need one score each"
    ),
    ErrorCase(lambda: soft_nms(BOXES, SCORES, SCORES), DTypeError, "classes must be whole numbers"),
    ErrorCase(
        lambda: soft_nms(BOXES, -SCORES), ConfigError, r"scores \(2,\) .*; give finite ones from 0"
    ),
    ErrorCase(lambda: soft_nms(BOXES, SCORES * np.nan), ConfigError, r"score 0 of .* is NaN"),
    ErrorCase(
        lambda: soft_nms(BOXES, SCORES, method="hard"),
        ConfigError,
        "method 'hard' is unknown; give 'gaussian' or 'linear'",
    ),
    ErrorCase(
        lambda: soft_nms(BOXES, SCORES, sigma=0),
        ConfigError,
        r"sigma 0, threshold 0\.3; give one above 0, and one from 0 to 1",
    ),
]


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
