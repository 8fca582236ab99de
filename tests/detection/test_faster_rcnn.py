"""Faster R-CNN and Fast R-CNN as a whole: they learn, repeat themselves, and bear any truths."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import FasterRCNN, FastRCNN, scaled
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from tests.detection.one_stage_definitions import (
    check_finite,
    check_repeatable,
    overfit,
    tiny_scenes,
)


def grid_of_boxes(image, limit):
    """Propose squares all over the image: what selective search is for, only quicker."""
    found = [
        (y, x, y + side, x + side)
        for side in (14, 20, 28)
        for y in range(0, image.shape[0] - side + 1, side // 3)
        for x in range(0, image.shape[1] - side + 1, side // 3)
    ]
    return np.array(found, np.float32)[:limit]


class GivenBoxes(FastRCNN):
    """Fast R-CNN whose truths come with the squares."""

    def losses(self, images, truths):
        image = np.moveaxis(images.numpy()[0], 0, -1)
        squares = np.stack([grid_of_boxes(image, 2000)] * len(images))
        return super().losses(images, {"proposals": squares, **truths})


def faster():
    return FasterRCNN(2, Backbone(channels=8), channels=16, proposals=40, samples=32)


def fast():
    return GivenBoxes(2, Backbone(channels=8), 16, samples=32, search=grid_of_boxes)


@pytest.mark.parametrize("make", [faster, fast])
def test_overfits_tiny_scenes(make):
    with nn.seed(0):
        net = make()
    assert overfit(net, steps=60) >= 0.9


@pytest.mark.parametrize("make", [faster, fast])
def test_any_truths_give_finite_losses(make):
    with nn.seed(0):
        net = make()
    check_finite(net)


@pytest.mark.parametrize("make", [faster, fast])
def test_same_seed_same_bits(make):
    check_repeatable(make)


@pytest.mark.parametrize("make", [faster, fast])
def test_samples_are_named_by_the_step(make):
    """A resumed run draws what the one that was never stopped drew."""
    images, truths = tiny_scenes()
    with nn.seed(0):
        net = make()

    def losses(step):
        with nn.random_key(0, step):
            parts = net.losses(Tensor(scaled(images)), truths)
        return [part.item() for part in parts.values()]

    first = losses(3)
    assert losses(4) != first
    assert losses(3) == first


def test_smallest_image():
    with nn.seed(0):
        net = faster()
    images = np.zeros((2, 32, 33, 3), np.uint8)
    truths = {"boxes": np.array([[[2, 3, 20, 21]]] * 2, np.float32), "classes": np.zeros((2, 1))}
    parts = net.losses(Tensor(scaled(images)), truths)
    assert all(np.isfinite(part.item()) for part in parts.values())
    assert len(net.find(images)) == 2


def test_proposals_are_limited_and_inside():
    images, truths = tiny_scenes()
    with nn.seed(0):
        net = faster()
    net.losses(Tensor(scaled(images)), truths)  # the averages of batch normalisation
    proposals = net.propose(images)
    assert [len(own) for own in proposals] == [40] * 4
    assert all((own >= 0).all() and (own <= [64, 96, 64, 96]).all() for own in proposals)
    assert [len(own) for own in net.propose(images[:1], limit=7)] == [7]
    assert net.propose(images[:1], limit=0)[0].shape == (0, 4)


def test_fast_uses_selective_search_and_needs_proposals_to_learn():
    images, truths = tiny_scenes()
    with nn.seed(0):
        net = FastRCNN(2, Backbone(channels=8), 16, proposals=30)
    with pytest.raises(ConfigError, match='truths have boxes, classes; give "proposals"'):
        net.losses(Tensor(scaled(images)), truths)
    proposals = np.stack([net.search(image, 30) for image in images[:1]])
    net.losses(Tensor(scaled(images[:1])), {**truths, "proposals": proposals})
    assert len(net.find(images[:1], score=0.0, limit=3)[0].boxes) == 3
