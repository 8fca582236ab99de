"""Anchors by k-means: groups that are there are found, whatever else there is."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.detection import kmeans_anchors
from minicnn.detection.anchor_shapes import shape_overlaps
from minicnn.errors import ConfigError, ShapeError


def boxes_of(sides, seed=0):
    """Boxes of these heights and widths, anywhere."""
    corners = np.random.default_rng(seed).uniform(0, 50, np.shape(sides))
    return np.concatenate([corners, corners + sides], axis=1)


def test_groups_that_are_there_are_found():
    rng = np.random.default_rng(1)
    true = np.array([[10, 12], [40, 20], [60, 90]])
    sides = np.concatenate([t * rng.uniform(0.9, 1.1, (50, 2)) for t in true])
    found = kmeans_anchors(boxes_of(rng.permutation(sides)), 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, true, rtol=0.05)


def test_the_answer_cannot_be_bettered_by_moving_a_box():
    """Each box is with the shape it overlaps most, and each shape is the mean of its boxes."""
    sides = np.random.default_rng(2).uniform(5, 80, (200, 2))
    shapes = kmeans_anchors(boxes_of(sides), 4)
    nearest = np.array(
        [
            max(
                range(4),
                key=lambda a: (
                    (shared := min(h, shapes[a, 0]) * min(w, shapes[a, 1]))
                    / (h * w + shapes[a].prod() - shared)
                ),
            )
            for h, w in sides
        ]
    )
    for a in range(4):
        np.testing.assert_allclose(shapes[a], sides[nearest == a].mean(axis=0), rtol=1e-4)


def test_more_shapes_fit_better_and_order_does_not_matter():
    sides = np.random.default_rng(3).uniform(5, 80, (100, 2))
    fits = [
        shape_overlaps(sides, kmeans_anchors(boxes_of(sides), n)).max(axis=1).mean()
        for n in (1, 3, 9)
    ]
    assert fits == sorted(fits)
    turned = kmeans_anchors(boxes_of(sides[::-1]), 3)
    np.testing.assert_allclose(turned, kmeans_anchors(boxes_of(sides), 3), rtol=1e-5)


def test_what_has_no_area_counts_for_nothing():
    sides = np.array([[10, 10], [0, 5], [-3, 8], [np.nan, 4], [10, 10]])
    np.testing.assert_allclose(kmeans_anchors(boxes_of(sides), 2), [[10, 10], [10, 10]])


def test_a_box_alone_gives_all_shapes():
    alone = kmeans_anchors(boxes_of(np.array([[12, 8]])))
    np.testing.assert_allclose(alone, [[12, 8]] * 5)


def test_nothing_to_sort_is_refused():
    with pytest.raises(ConfigError, match="kmeans_anchors: 0 of 2 boxes have an area, for 5"):
        kmeans_anchors(np.zeros((2, 4)))
    with pytest.raises(ConfigError, match="1 of 1 boxes have an area, for 0 anchors"):
        kmeans_anchors(np.array([[0, 0, 2, 2]]), 0)
    with pytest.raises(ShapeError, match=r"needs boxes \(T, 4\), got shape \(4,\)"):
        kmeans_anchors(np.zeros(4))
