"""SSD: softmax over default boxes, hard negative mining, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import SSD, Backbone, scaled
from minicnn.detection.ssd import hard_examples
from minicnn.errors import ConfigError
from tests.detection.one_stage_definitions import (
    answer_of,
    check_device,
    check_finite,
    check_repeatable,
    overfit,
    smooth_l1,
    steps_between,
    tiny_scenes,
)


def small(**options):
    return SSD(2, channels=16, backbone=Backbone(channels=8), **options)


def negative_logs(scores):
    """-log of the softmax of one box."""
    shares = np.exp(scores - scores.max())
    return -np.log(shares / shares.sum())


def test_hard_examples_by_hand():
    """Background's loss grows as its score, the last, falls: 3 and 4 are the hardest."""
    scores = np.zeros((2, 9, 2), np.float32)
    scores[:, :, 1] = [5, 4, 0, -3, -2, 1, -9, 2, 3]
    classes = np.full((2, 9), -1)
    classes[0, 0] = 0  # an object, for which 2 negatives count
    classes[:, 6] = -2  # ignored, though it would be the hardest
    chosen = hard_examples(scores, classes, hard=2)
    assert chosen.tolist() == [0, 2, 3, 4, 5, *(9 + i for i in (2, 3, 4, 5))], "4 are the fewest"
    classes[0, [0, 1, 2]] = 0
    assert hard_examples(scores, classes, 1.5)[:7].tolist() == [0, 1, 2, 3, 4, 5, 7]
    classes[:] = -2
    assert hard_examples(scores, classes, 3).tolist() == []


def test_the_losses_are_those_of_the_definition():
    images, truths = tiny_scenes(2)
    with nn.seed(0):
        net = small()
    for head in net.heads:  # so that scores differ
        head.weight.data *= 20
    view = Tensor(scaled(images))
    losses = net.losses(view, truths)
    scores, steps, anchors = net(view)
    scores, steps = (t.numpy().astype(np.float64) for t in (scores, steps))
    classes = boxes = answering = 0.0
    for image in range(2):
        objects = truths["boxes"][image, :2].astype(np.float64)
        said = answer_of(anchors.astype(np.float64), objects, 0.5, 0.4)
        background = []
        for anchor, number in enumerate(said):
            loss = negative_logs(scores[image, anchor])
            if number == -1:
                background.append(loss[-1])
            if number >= 0:
                answering += 1
                classes += loss[truths["classes"][image, number]]
                wanted = steps_between(anchors[anchor].astype(np.float64), objects[number])
                told = steps[image, anchor]
                boxes += sum(smooth_l1(t - w) for t, w in zip(told, wanted, strict=True))
        positives = sum(number >= 0 for number in said)
        classes += sum(sorted(background)[-max(4, 3 * positives) :])
    np.testing.assert_allclose(float(losses["classes"].numpy()), classes / answering, rtol=1e-4)
    np.testing.assert_allclose(float(losses["boxes"].numpy()), boxes / answering, rtol=1e-4)


def test_losses_are_finite_whatever_there_is():
    with nn.seed(0):
        check_finite(small())


def test_a_gpu_gives_the_same(device):
    check_device(small, device)


def test_it_learns_and_repeats():
    with nn.seed(0):
        assert overfit(small(), 60) >= 0.9
    check_repeatable(small)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ()}, r"SSD: sizes \(\); give one or more numbers above 0"),
        ({"ratios": (0.0,)}, r"SSD: ratios"),
        ({"hard": 0.0}, r"SSD: hard \[0.0\]"),
        ({"more": -1}, r"SSD: 64 channels, -1 more maps; give"),
        ({"channels": 0}, r"SSD: 0 channels"),
    ],
)
def test_a_wrong_number_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        SSD(2, **wrong)
