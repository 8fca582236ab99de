"""Crops: boxes warped to one size with what is around them, and their classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import Backbone, CropClassifier, warp_boxes
from minicnn.errors import ConfigError


def at(image, y, x):
    """The value between pixel centres; 0 more than a pixel outside."""
    height, width = image.shape
    y, x = y - 0.5, x - 0.5
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    i, j = min(int(y), height - 2), min(int(x), width - 2)
    v, u = y - i, x - j
    upper = (1 - u) * image[i, j] + u * image[i, j + 1]
    lower = (1 - u) * image[i + 1, j] + u * image[i + 1, j + 1]
    return (1 - v) * upper + v * lower


def warped(image, box, size, context):
    """Each pixel of a crop, by the definition; for boxes smaller than the crop."""
    y0, x0, y1, x1 = box
    inner = size - 2 * context
    crop = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            y = y0 + (i + 0.5 - context) * (y1 - y0) / inner
            x = x0 + (j + 0.5 - context) * (x1 - x0) / inner
            crop[i, j] = at(image, y, x)
    return crop


@pytest.mark.parametrize("context", [0, 3])
def test_a_warped_box_is_read_between_the_pixels(context):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, 3, 20, 30)).astype(np.float32)
    boxes = np.array([[2, 3, 9, 12], [5.5, 1.25, 8, 11], [0, 20, 6, 30], [14, 0, 20, 7]])
    numbers = np.array([1, 0, 1, 0])
    crops = warp_boxes(Tensor(images), boxes, numbers, 20, context).numpy()
    assert crops.shape == (4, 3, 20, 20)
    for crop, box, number in zip(crops, boxes, numbers, strict=True):
        for c in range(3):
            image = images[number, c].astype(np.float64)
            np.testing.assert_allclose(crop[c], warped(image, box, 20, context), atol=1e-4)


def test_large_boxes_are_averaged_and_the_outside_reads_0():
    image = np.ones((1, 3, 64, 64), np.float32)
    image[..., ::2] = -1  # stripes of one pixel, of which a crop of every fourth would see one half
    crop = warp_boxes(Tensor(image), np.array([[0, 0, 64, 64]]), np.array([0]), 24, 4).numpy()[0]
    np.testing.assert_allclose(crop[:, 5:-5, 5:-5], 0, atol=0.2)
    image[:] = 1
    crop = warp_boxes(Tensor(image), np.array([[0, 0, 64, 64]]), np.array([0]), 24, 4).numpy()[0]
    np.testing.assert_allclose(crop[:, 4:-4, 4:-4], 1)
    np.testing.assert_array_equal(crop[:, :3], 0)
    np.testing.assert_array_equal(crop[:, :, -3:], 0)


def test_no_box_is_no_crop():
    image = Tensor(np.ones((1, 3, 8, 8), np.float32))
    assert warp_boxes(image, np.zeros((0, 4)), np.zeros(0, int), 12).shape == (0, 3, 12, 12)


def test_context_leaves_room():
    with pytest.raises(ConfigError, match=r"a context of 6 pixels.*crop of 12; give less"):
        warp_boxes(Tensor(np.ones((1, 3, 8, 8), np.float32)), np.zeros((0, 4)), [], 12, 6)


@pytest.mark.parametrize("size", [17, 32, 48])
def test_the_classifier_scores_crops_of_any_size(size):
    with nn.seed(0):
        net = CropClassifier(3, size, features=8, backbone=Backbone(2))
    crops = Tensor(np.random.default_rng(0).normal(size=(5, 3, size, size)).astype(np.float32))
    assert net.pool(crops).shape == (5, net.pooled)
    assert net(crops).shape == (5, 4)


def test_the_loss_is_that_of_the_crops_that_count():
    with nn.seed(0):
        net = CropClassifier(2, 16, features=4, backbone=Backbone(2))
    crops = Tensor(np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32))
    labels = np.array([0, 2, -2, -1])
    logits = net(crops).numpy().astype(np.float64)
    wanted = 0.0
    for row, label in ((0, 0), (1, 2)):
        wanted += math.log(sum(math.exp(v) for v in logits[row])) - logits[row][label]
    loss = net.losses(crops, labels)["class"]
    np.testing.assert_allclose(float(loss.numpy()), wanted / 2, rtol=1e-5)
    assert float(net.losses(crops, np.array([-1, -2, -2, -2]))["class"].numpy()) == 0
