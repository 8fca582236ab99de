"""Measures of segmentation, against definitions that go pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics import BoundaryF1, MeanIoU, Segmentation

VOID = 9
masks = hnp.arrays(np.int64, (2, 5, 7), elements=st.sampled_from([0, 1, 2]))
truths = hnp.arrays(np.int64, (2, 5, 7), elements=st.sampled_from([0, 1, 2, VOID]))


def areas(guess, truth):
    """Return IoU of each class, and pixel accuracy, counted with sets of pixels."""
    counted = {i for i in np.ndindex(truth.shape) if truth[i] != VOID}
    ious = []
    for label in range(3):
        found = {i for i in counted if guess[i] == label}
        there = {i for i in counted if truth[i] == label}
        ious.append(len(found & there) / len(found | there) if found | there else math.nan)
    right = sum(guess[i] == truth[i] for i in counted)
    return ious, right / len(counted) if counted else math.nan


def outline(mask, truth, label):
    """Return the boundary pixels of a class as a list of places."""
    height, width = mask.shape
    places = []
    for i in range(height):
        for j in range(width):
            if mask[i, j] != label or truth[i, j] == VOID:
                continue
            around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            if any(
                0 <= a < height and 0 <= b < width and truth[a, b] != VOID and mask[a, b] != label
                for a, b in around
            ):
                places.append((i, j))
    return places


def share_near(places, others, reach):
    near = [any(math.dist(p, o) <= reach for o in others) for p in places]
    return sum(near) / len(near)


def boundary_f1(guess, truth, label, tolerance):
    """Return F1 of a class, averaged over the images that show it."""
    scores = []
    for found_in, there_in in zip(guess, truth, strict=True):
        reach = max(1.0, tolerance * math.hypot(*there_in.shape))
        found = outline(found_in, there_in, label)
        there = outline(there_in, there_in, label)
        if not found and not there:
            continue
        p = share_near(found, there, reach) if found and there else 0.0
        r = share_near(there, found, reach) if found and there else 0.0
        scores.append(2 * p * r / (p + r) if p + r else 0.0)
    return sum(scores) / len(scores) if scores else math.nan


@settings(max_examples=60, deadline=None)
@given(masks, truths)
def test_areas_equal_those_of_sets_of_pixels(guess, truth):
    metric = Segmentation(3, VOID).update(guess, truth)
    ious, accuracy = areas(guess, truth)
    np.testing.assert_allclose(metric.iou(), ious)
    result = metric.result()
    np.testing.assert_allclose(result["pixel_accuracy"], accuracy)
    known = [iou for iou in ious if not math.isnan(iou)]
    np.testing.assert_allclose(result["mean_iou"], np.mean(known) if known else math.nan)
    pixels = [(truth == label).sum() for label in range(3)]
    weighted = [n * iou for n, iou in zip(pixels, ious, strict=True) if n]
    expected = sum(weighted) / sum(pixels) if sum(pixels) else math.nan
    np.testing.assert_allclose(result["frequency_weighted_iou"], expected)
    assert [row["pixels"] for row in result["per_class"].values()] == pixels


@settings(max_examples=60, deadline=None)
@given(masks, truths, st.sampled_from([0.0, 0.0075, 0.25, 0.4]))
def test_outlines_equal_those_found_pixel_by_pixel(guess, truth, tolerance):
    metric = BoundaryF1(3, tolerance, VOID).update(guess, truth)
    expected = [boundary_f1(guess, truth, label, tolerance) for label in range(3)]
    np.testing.assert_allclose(metric.per_class(), expected)
    known = [f1 for f1 in expected if not math.isnan(f1)]
    np.testing.assert_allclose(metric.result(), np.mean(known) if known else math.nan)


def test_a_case_by_hand():
    guess = np.array([[[0, 0, 1], [0, 1, 1]]])
    truth = np.array([[[0, 0, 0], [VOID, 1, 1]]])
    result = Segmentation(["road", "car"], VOID).update(guess, truth).result()
    # road: 2 right of 3 there, 2 found; car: 2 right of 2 there, 3 found
    assert result["per_class"]["road"] == {
        "iou": pytest.approx(2 / 3),
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "pixels": 3,
    }
    assert result["per_class"]["car"]["iou"] == pytest.approx(2 / 3)
    assert result["pixel_accuracy"] == pytest.approx(4 / 5)
    assert result["mean_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert result["frequency_weighted_iou"] == pytest.approx(2 / 3)


def test_a_thin_thing_that_is_missed_costs_its_outline_not_the_area():
    truth = np.zeros((1, 40, 40), int)
    truth[0, :, 20] = 1
    missed = np.zeros_like(truth)
    assert Segmentation(2).update(missed, truth).result()["pixel_accuracy"] == 0.975
    assert BoundaryF1(2).update(missed, truth).result() == 0.0
    moved = np.roll(truth, 1, axis=2)
    assert BoundaryF1(2).update(moved, truth).result() == 1.0, "one pixel is within tolerance"
    assert BoundaryF1(2).update(np.roll(truth, 4, axis=2), truth).result() == 0.0


def test_scores_are_turned_into_classes():
    rng = np.random.default_rng(0)
    scores, truth = rng.standard_normal((2, 3, 5, 7)), rng.integers(0, 3, (2, 5, 7))
    for metric in (Segmentation(3), BoundaryF1(3)):
        one = metric.update(scores, truth).result()
        assert one == metric.reset().update(scores.argmax(axis=1), truth).result()


@pytest.mark.parametrize(
    "metric", [Segmentation(3, VOID), BoundaryF1(3, 0.01, VOID)], ids=["areas", "outlines"]
)
def test_parts_add_up_to_the_whole(metric):
    rng = np.random.default_rng(1)
    guess, truth = rng.integers(0, 3, (4, 6, 5)), rng.integers(0, 3, (4, 6, 5))
    whole = metric.reset().update(guess, truth).result()
    first, second = (type(metric)(*metric._settings()) for _ in range(2))
    first.update(guess[:1], truth[:1]).merge(second.update(guess[1:], truth[1:]))
    assert first.result() == whole


def test_mean_iou_alone_is_that_of_all_measures():
    rng = np.random.default_rng(2)
    guess, truth = rng.integers(0, 3, (4, 6, 5)), rng.choice([0, 1, 2, VOID], (4, 6, 5))
    parts = [MeanIoU(3, VOID).update(guess[i::2], truth[i::2]) for i in range(2)]
    expected = Segmentation(3, VOID).update(guess, truth).result()["mean_iou"]
    assert parts[0].merge(parts[1]).result() == expected
    assert math.isnan(MeanIoU(3).result())


def test_what_is_predicted_of_ignored_pixels_may_be_anything():
    truth = np.array([[[VOID, 0, 1]]])
    assert BoundaryF1(2, ignore_label=VOID).update(np.array([[[7, 0, 1]]]), truth).result() == 1


def test_nothing_seen_is_nan():
    assert math.isnan(BoundaryF1(2).result())
    assert math.isnan(Segmentation(2).result()["mean_iou"])
    assert math.isnan(Segmentation(2).result()["frequency_weighted_iou"])
    empty = np.zeros((1, 4, 4), int)
    assert math.isnan(BoundaryF1(2).update(empty, empty).result()), "one class has no outline"


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: BoundaryF1(0), ConfigError, "BoundaryF1: 0 classes"),
        (lambda: BoundaryF1(2, -0.1), ConfigError, "tolerance -0.1"),
        (lambda: Segmentation([]), ConfigError, "classes"),
        (
            lambda: BoundaryF1(2).update(np.zeros((1, 3, 4, 4)), np.zeros((1, 4, 4), int)),
            ShapeError,
            r"\(1, 3, 4, 4\) and labels \(1, 4, 4\)",
        ),
        (
            lambda: BoundaryF1(2).update(np.zeros((1, 4, 4)), np.zeros((1, 4, 4), int)),
            DTypeError,
            "whole numbers, got float64",
        ),
        (
            lambda: BoundaryF1(1).update(np.full((1, 1, 4, 4), np.nan), np.zeros((1, 4, 4), int)),
            ConfigError,
            "a score is NaN",
        ),
        (
            lambda: BoundaryF1(2).update(np.zeros((1, 1, 2), int), np.array([[[0, VOID]]])),
            ConfigError,
            "label 9 is outside 0 ... 1; mend it, or say by ignore_label",
        ),
        (
            lambda: BoundaryF1(2).update(np.array([[[-1, 0]]]), np.zeros((1, 1, 2), int)),
            ConfigError,
            "predicted class -1 is outside",
        ),
        (lambda: BoundaryF1(2).merge(BoundaryF1(3)), ConfigError, "does not add"),
        (lambda: Segmentation(2).merge(Segmentation(["a", "b"])), ConfigError, "does not add"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, error, says):
    with pytest.raises(error, match=says):
        wrong()
