"""Pictures of detections, and the numbers that they show."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics import DetectionErrors, MeanAveragePrecision
from minicnn.visualise import (
    COLORS,
    background_share,
    compute_background_curve,
    compute_background_share,
    compute_precision_recall,
    detection_errors,
    detections,
    precision_recall,
)

GREY = np.full((48, 64, 3), 128, np.uint8)


def pixels(figure):
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def test_boxes_are_where_they_were_found():
    """64 pixels across are 900 on the picture; the border of a box has the colour of its class."""
    figure = detections(GREY, [[8, 16, 40, 48]], [2], [0.97], ["a", "b", "mandatory"])
    drawn = pixels(figure).astype(int)
    assert drawn.shape == (675, 900, 3)
    color = [int(COLORS[2][i : i + 2], 16) for i in (1, 3, 5)]
    near = np.argwhere(np.abs(drawn - color).max(axis=2) < 12)
    low, high = near.min(axis=0) / 14.0625, near.max(axis=0) / 14.0625
    np.testing.assert_allclose(high, [40, 48], atol=0.2)
    assert low[1] == pytest.approx(16, abs=0.2)
    assert low[0] < 8, "the label is above"
    assert (drawn[300, 450] == 128).all(), "inside, the image"
    assert [t.get_text() for t in figure.axes[0].texts] == ["mandatory 97 %"]


def test_the_surest_are_on_top_and_the_unsure_left_out():
    boxes = [[1, 1, 20, 20], [2, 2, 21, 21], [3, 3, 22, 22]]
    figure = detections(GREY, boxes, [0, 1, 0], [0.9, 0.2, 0.5], score=0.3)
    assert [t.get_text() for t in figure.axes[0].texts] == ["0 50 %", "0 90 %"]


def test_truths_title_and_no_scores():
    there = {"boxes": [[0, 0, 9, 9], [5, 5, 20, 20]], "classes": [0, 1]}
    figure = detections(GREY, [[0, 0, 48, 64]], [0], truths=there, title="a street")
    styles = [line.get_linestyle() for line in figure.axes[0].lines]
    assert styles.count("--") == 2
    assert [t.get_text() for t in figure.axes[0].texts] == ["0"]
    assert figure.get_suptitle() == "a street"
    pixels(figure)


def test_nothing_found_shows_the_image():
    for nothing in ([], np.zeros((0, 4))):
        figure = detections(GREY, nothing, [], [])
        assert (pixels(figure)[1:-1, 1:-1] == 128).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((GREY[..., 0], [], []), ShapeError, r"image \(48, 64\) is not \(H, W, 3\)"),
        ((GREY / 255, [], []), DTypeError, "the image is float64; give uint8"),
        ((GREY, [[0, 0, 1, 1]], []), ShapeError, r"boxes \(1, 4\), classes \(0,\) do not fit"),
        ((GREY, [[0, 0, 1, 1]], [0], [1, 2]), ShapeError, r" and scores \(2,\) do not fit"),
        ((GREY, [[0, 0, 1, 1]], [1], [1], ["a"]), ConfigError, r"class 1 is none of 0 \.\.\. 0"),
        ((GREY, [[0, 0, 1, 1]], [-1]), ConfigError, "class -1 is none"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        detections(*arguments)


def metric(protocol="voc"):
    """Three of class "a", of which two are found, with one mistake between; "b" is not found."""
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50], [60, 60, 70, 70.0]])
    found = {
        "boxes": [boxes[0], [80, 80, 90, 90], boxes[1]],
        "scores": [0.9, 0.8, 0.4],
        "classes": [0, 0, 0],
    }
    there = {"boxes": boxes, "classes": [0, 0, 0, 1]}
    return MeanAveragePrecision(["a", "b", "c"], protocol).update([found], [there])


def test_curves_of_precision_and_recall():
    curves = compute_precision_recall(metric())
    assert list(curves) == ["a", "b"], "there is none of c"
    np.testing.assert_allclose(curves["a"].recall, [1 / 3, 1 / 3, 2 / 3])
    np.testing.assert_allclose(curves["a"].precision, [1, 1 / 2, 2 / 3])
    figure = precision_recall(metric(), title="t")
    (panel,) = figure.axes
    steps = [line for line in panel.lines if line.get_linewidth() == 2]
    np.testing.assert_allclose(steps[0].get_xdata(), [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1])
    np.testing.assert_allclose(steps[0].get_ydata(), [1, 1, 2 / 3, 2 / 3, 0, 0])
    assert [line.get_label() for line in steps] == ["a: 0.56", "b: 0.00"]
    assert panel.get_title() == "t\nPASCAL VOC 2010-2012, IoU 0.5: mAP 0.278"
    (dot,) = [line for line in panel.lines if line.get_marker() == "o"]
    assert dot.get_xdata() == pytest.approx([1 / 3]), "two are surer than one half"
    pixels(figure)


def test_curves_at_another_threshold_and_of_many_classes():
    assert "IoU 0.75" in precision_recall(metric("coco"), 0.75).axes[0].get_title()
    many = MeanAveragePrecision(20)
    for label in range(20):
        box = [[0, 0, 9, 9]]
        found = {"boxes": box, "scores": [0.5], "classes": [label]}
        many.update([found], [{"boxes": box, "classes": [label]}])
    lines = precision_recall(many).axes[0].lines
    assert sum(line.get_linewidth() == 2 for line in lines) == 12
    with pytest.raises(ConfigError, match="no class has objects"):
        precision_recall(MeanAveragePrecision(3))
    with pytest.raises(ConfigError, match=r"IoU 0\.6 is not measured"):
        precision_recall(metric(), 0.6)


def test_bars_of_errors_have_their_numbers():
    box = [[0, 0, 10, 10]]
    found = {"boxes": box * 2, "scores": [0.9, 0.8], "classes": [0, 0]}
    there = {"boxes": [*box, [50, 50, 60, 60]], "classes": [0, 1]}
    counts = DetectionErrors(2).update([found], [there]).result()
    figure = detection_errors({"one": counts, "other": counts})
    (panel,) = figure.axes
    words = [label.get_text() for label in panel.get_yticklabels()]
    for bars in panel.containers:
        lengths = dict(zip(words, [bar.get_width() for bar in bars], strict=True))
        assert {word: n for word, n in lengths.items() if n} == {
            "right": 1,
            "duplicate": 1,
            "missed objects": 1,
        }
    assert [t.get_text() for t in panel.get_legend().get_texts()] == ["one", "other"]
    pixels(figure)
    assert detection_errors({"one": counts}).axes[0].get_legend() is None
    for wrong in ({}, {"one": {"right": 1}}):
        with pytest.raises(ConfigError, match=r"detection_errors: .*; give "):
            detection_errors(wrong)


def places():
    """A hundred places of easy background, one of hard, one object, one that does not count."""
    labels = np.array([-1] * 100 + [-1, 1, -2])
    scores = np.full((103, 2), -4.0)
    scores[100, 0], scores[101], scores[102] = 1.0, [-4.0, -1.0], [9.0, 9.0]
    return scores, labels


def cross_entropy(x, right):
    return math.log1p(math.exp(-x if right else x))


def test_shares_are_those_of_the_definition():
    scores, labels = places()
    got = compute_background_share(scores, labels)
    no = cross_entropy(-4, False)
    easy, hard, objects = 2 * no, no + cross_entropy(1, False), no + cross_entropy(-1, True)
    for name, counts in {"cross-entropy": 101, "a random sample, 1:3": 3}.items():
        sums = np.array([objects, hard * counts / 101, 100 * easy * counts / 101])
        np.testing.assert_allclose(got[name]["loss"], sums / sums.sum(), rtol=1e-12)
    sums = np.array([objects, hard, 2 * easy])
    np.testing.assert_allclose(got["the hardest, 1:3"]["loss"], sums / sums.sum(), rtol=1e-12)
    p = 1 / (1 + math.exp(4))
    slopes = np.array([p + 1 / (1 + math.exp(-1)), p + 1 / (1 + math.exp(-1)), 200 * p])
    np.testing.assert_allclose(got["cross-entropy"]["gradient"], slopes / slopes.sum(), rtol=1e-12)
    assert got["focal loss"]["loss"].easy < 0.02 < got["cross-entropy"]["loss"].easy
    assert all(sum(share) == pytest.approx(1) for by in got.values() for share in by.values())


def test_focal_losses_forget_the_easiest_first():
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(400).reshape(20, 20) % 40, -1, 0)
    curves = compute_background_curve(rng.normal(-3, 2, (20, 20, 3)), labels)
    assert list(curves) == [0, 0.5, 1, 2, 5]
    for lower, higher in zip(list(curves.values()), list(curves.values())[1:], strict=False):
        assert lower[0] == higher[0] == 0
        assert lower[-1] == pytest.approx(1)
        assert (np.diff(lower) >= 0).all()
        assert (higher <= lower + 1e-12).all()


def test_the_picture_of_the_background():
    figure = background_share(*places(), title="at the end")
    assert figure.get_suptitle() == "at the end: 1 places show an object, 101 background"
    loss, gradient, curves = figure.axes
    widths = np.array([[bar.get_width() for bar in bars] for bars in loss.containers])
    wanted = [by["loss"] for by in compute_background_share(*places()).values()]
    np.testing.assert_allclose(widths.T, wanted)
    assert len(gradient.containers) == 3
    assert len(curves.lines) == 5
    pixels(figure)


@pytest.mark.parametrize(
    ("scores", "labels", "error", "words"),
    [
        (np.zeros((3, 2)), np.zeros(4, int), ShapeError, r"scores \(3, 2\) and labels \(4,\)"),
        (np.zeros((2, 2)), np.array([0, 2]), ConfigError, "labels go from 0 to 2"),
        (np.zeros((2, 2)), np.array([-1, -2]), ConfigError, "0 places show an object, 1 backgr"),
        (np.zeros((2, 2)), np.array([0, 1]), ConfigError, "2 places show an object, 0 backgr"),
    ],
)
def test_places_that_do_not_fit_are_refused(scores, labels, error, words):
    with pytest.raises(error, match=words):
        background_share(scores, labels)


def test_easy_is_a_probability():
    with pytest.raises(ConfigError, match="easy 1 is no probability"):
        compute_background_share(*places(), easy=1)
