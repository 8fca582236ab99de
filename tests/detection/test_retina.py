"""RetinaNet-like: the focal loss of all anchors, the shared heads, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import Backbone, RetinaNet, scaled
from minicnn.errors import ConfigError
from tests.detection.one_stage_definitions import (
    answer_of,
    awkward_truths,
    check_device,
    check_finite,
    check_repeatable,
    overfit,
    smooth_l1,
    steps_between,
    tiny_scenes,
)


def small(**options):
    return RetinaNet(2, channels=16, backbone=Backbone(channels=8), **options)


def test_the_losses_are_those_of_the_definition():
    images, truths = tiny_scenes(2)
    with nn.seed(0):
        net = small()
    net.class_head.last.bias.data[:] = -1  # so that every anchor counts
    view = Tensor(scaled(images))
    losses = net.losses(view, truths)
    net_scores, net_steps, anchors = net(view)  # the same batch: the same statistics
    scores, steps = (t.numpy().astype(np.float64) for t in (net_scores, net_steps))
    focal = boxes = answering = 0.0
    for image in range(2):
        objects = truths["boxes"][image, :2].astype(np.float64)
        said = answer_of(anchors.astype(np.float64), objects, 0.5, 0.4)
        for anchor, number in enumerate(said):
            if number == -2:
                continue
            kind = truths["classes"][image, number] if number >= 0 else -1
            for k in range(2):
                p = 1 / (1 + np.exp(-scores[image, anchor, k]))
                if k == kind:
                    focal -= 0.25 * (1 - p) ** 2 * np.log(p)
                else:
                    focal -= 0.75 * p**2 * np.log(1 - p)
            if number >= 0:
                answering += 1
                wanted = steps_between(anchors[anchor].astype(np.float64), objects[number])
                told = steps[image, anchor]
                boxes += sum(smooth_l1(t - w) for t, w in zip(told, wanted, strict=True))
    np.testing.assert_allclose(float(losses["classes"].numpy()), focal / answering, rtol=1e-4)
    np.testing.assert_allclose(float(losses["boxes"].numpy()), boxes / answering / 4, rtol=1e-4)


def test_at_first_nothing_is_likely():
    with nn.seed(0):
        net = RetinaNet(3)
    chances = 1 / (1 + np.exp(-net(Tensor(scaled(tiny_scenes(2)[0])))[0].numpy()))
    assert 0.003 < np.median(chances) < 0.03


def test_all_maps_share_the_weights_of_the_heads_but_not_their_normalisation():
    net = RetinaNet(4, more=2, depth=2)
    assert net.strides == (4, 8, 16, 32, 64)
    heads = net.class_head, net.box_head
    assert not {id(p) for p in heads[0].parameters()} & {id(p) for p in heads[1].parameters()}
    for head in heads:
        convolutions = [p for p in head.parameters() if p.ndim == 4]
        assert len(convolutions) == 2 + 1
        assert len(list(head.parameters())) == 3 + 1 + 5 * 2 * 2, "a bias; a gain and a shift each"
    counts = [sum(p.size for p in RetinaNet(4, more=m).parameters()) for m in (0, 1)]
    assert counts[1] - counts[0] == 40 * 40 * 9 + 2 * 40 + 2 * 2 * 40


def test_losses_are_finite_whatever_there_is():
    with nn.seed(0):
        check_finite(small())


def test_empty_images_still_teach():
    net = small()
    view = Tensor(scaled(tiny_scenes(2)[0]))
    nothing = {**awkward_truths(), "classes": np.full((2, 5), -1)}
    losses = {k: float(v.numpy()) for k, v in net.losses(view, nothing).items()}
    assert losses["classes"] > 0
    assert losses["boxes"] == 0


def test_a_gpu_gives_the_same(device):
    check_device(small, device)


def test_it_learns_and_repeats():
    with nn.seed(0):
        assert overfit(small(), 60) >= 0.9
    check_repeatable(small)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": ()}, r"RetinaNet: sizes \(\); give one or more numbers above 0"),
        ({"sizes": (0.0,)}, r"sizes \(0.0,\); give"),
        ({"ratios": (-1.0,)}, r"ratios \(-1.0,\); give"),
        ({"depth": -1}, r"depth -1, gamma 2.0, alpha 0.25; give"),
        ({"gamma": -1.0}, r"gamma -1.0"),
        ({"alpha": 2.0}, r"alpha 2.0"),
        ({"channels": 0}, r"FeaturePyramid: .* to 0; give"),
    ],
)
def test_a_wrong_number_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        RetinaNet(2, **wrong)
