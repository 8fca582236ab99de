"""The sliding window: what it covers, what it learns from, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.random import Stream
from minicnn.detection import IGNORED, Backbone, Objects, SlidingWindow, scaled, warp_boxes
from minicnn.errors import ConfigError
from tests.detection.one_stage_definitions import (
    check_finite,
    check_repeatable,
    iou,
    overfit,
)


def small(**options):
    """Return a quick one for two classes."""
    options = {"backbone": Backbone(4), "window": 24, "context": 4, "samples": 24} | options
    return SlidingWindow(2, **options)


def grid(net, size):
    """All its boxes for an image of a size."""
    return np.concatenate([net._boxes(corners, at, size) for at, corners in net.levels(size)])


def test_the_first_level_by_hand():
    # boxes of 16 pixels for 10 in the image: 32 x 48 becomes 51 x 77, in steps of 16 / 4 = 4
    (height, width), corners = next(small(step=0.25).levels((32, 48)))
    assert (height, width) == (51, 77)
    rows, columns = [0, 4, 8, 12, 16, 20, 24, 28, 32, 35], [*range(0, 61, 4), 61]
    assert corners.tolist() == [[y, x] for y in rows for x in columns]


@pytest.mark.parametrize("size", [(64, 96), (32, 32), (77, 50), (8, 40)])
def test_windows_cover_the_image_in_all_sizes(size):
    net = small()
    boxes = grid(net, size)
    assert boxes.min() >= 0
    assert (boxes[:, 2:] <= np.array(size) + 1e-9).all()
    assert list(net.sides(size)) == pytest.approx(
        [min(10, *size) * 1.2**i for i in range(25) if min(10, *size) * 1.2**i <= min(size)]
    )
    assert {tuple(b) for b in boxes[:, :2].tolist()} >= {(0.0, 0.0)}
    np.testing.assert_allclose(boxes[:, 2:].max(axis=0), size)


def test_every_square_meets_a_window():
    net, rng = SlidingWindow(1), np.random.default_rng(0)
    boxes = grid(net, (96, 128))
    for _ in range(50):
        side = rng.uniform(11, 70)
        y, x = rng.uniform(0, 96 - side), rng.uniform(0, 128 - side)
        square = (y, x, y + side, x + side)
        assert max(iou(square, box) for box in boxes.tolist()) >= 0.6


def test_a_window_of_the_pyramid_is_a_warped_box():
    with nn.seed(0):
        net = small()
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 48)).astype(np.float32)
    seen = []
    net.net.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].numpy()))
    size, corners = next(net.levels((32, 48)))
    boxes = net._boxes(corners, size, (32, 48))
    with no_grad(), nn.evaluating(), pytest.warns(UserWarning, match="never updated"):
        sure = net._classified(Tensor(image), size, corners)
    windows = np.concatenate(seen)
    assert len(windows) == len(corners) == len(sure)
    warped = warp_boxes(Tensor(image), boxes, np.zeros(len(boxes), int), 24, 4).numpy()
    inside = (boxes.min(axis=1) > 3) & (boxes[:, 2] < 29) & (boxes[:, 3] < 45)
    assert inside.sum() > 20  # away from the border, which the pyramid repeats before the zeros
    np.testing.assert_allclose(windows[inside], warped[inside], atol=1e-4)


def test_what_is_drawn_to_learn_from():
    net = small(samples=40)
    objects = Objects(
        np.array([[10, 10, 30, 30], [20, 60, 50, 90]], np.float32),
        np.array([1, 0]),
        np.array([[0, 40, 60, 58]], np.float32),
    )
    labels = []
    for step in range(10):
        boxes, own = net._draw(objects, (64, 96), Stream(0, step))
        assert len(boxes) == 40
        labels += own.tolist()
        for box, label in zip(boxes.tolist(), own, strict=True):
            overlaps = [iou(box, b) for b in objects.boxes.tolist()]
            height, width = box[2] - box[0], box[3] - box[1]
            assert height == pytest.approx(width, rel=1e-4)
            if label == 2:
                assert max(overlaps) < 0.5 + 1e-6
                inside = max(0, min(box[2], 60) - max(box[0], 0))
                inside *= max(0, min(box[3], 58) - max(box[1], 40))
                assert inside <= 0.5 * height * width + 1e-3
            else:
                assert max(overlaps) >= 0.6 - 1e-6
                assert label == objects.classes[int(np.argmax(overlaps))]
    assert sorted(set(labels)) == [0, 1, 2]
    assert labels.count(2) == 300


def test_an_image_of_nothing_but_what_is_ignored_counts_for_nothing():
    net = small()
    truths = {
        "boxes": np.array([[[0, 0, 32, 48]]], np.float32),
        "classes": np.array([[IGNORED]]),
    }
    image = np.zeros((1, 32, 48, 3), np.uint8)
    loss = net.losses(Tensor(scaled(image)), truths)["class"]
    assert float(loss.numpy()) == 0
    loss.backward()


def test_it_learns_tiny_scenes():
    with nn.seed(0):
        net = small()
    assert overfit(net, 60) >= 0.9


@pytest.mark.filterwarnings("ignore:BatchNorm2d")
def test_losses_are_finite_whatever_there_is():
    with nn.seed(0):
        check_finite(small())


def test_the_same_seed_gives_the_same_bits():
    check_repeatable(small)


@pytest.mark.parametrize(
    "wrong", [{"context": 12}, {"smallest": 0}, {"growth": 1.0}, {"step": 0}, {"step": 1.5}]
)
def test_an_impossible_grid_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"SlidingWindow: windows of 24.*give a context below"):
        small(**wrong)


def test_no_samples_are_refused():
    with pytest.raises(ConfigError, match="SlidingWindow: 0 samples of an image; give 1 or more"):
        small(samples=0)
