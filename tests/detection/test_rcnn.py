"""R-CNN: what its stages learn from, that the second one helps, and that it is kept."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn, optim
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.detection import IGNORED, NOTHING, RCNN, Backbone, Objects, scaled
from minicnn.detection._rcnn_fitting import Fitting, some_proposals
from minicnn.errors import ConfigError
from minicnn.metrics import MeanAveragePrecision
from tests.detection.one_stage_definitions import awkward_truths, iou, tiny_scenes


def small(**options):
    """Return a quick one for two classes."""
    options = {"backbone": Backbone(4), "window": 32, "context": 4, "features": 32} | options
    return RCNN(2, **options)


def proposals_for(boxes, size, count=60):
    """Objects' boxes moved about, as selective search might find them, and boxes anywhere."""
    rng = np.random.default_rng(7)
    near = np.repeat(boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)], 12, axis=0)
    sides = np.tile(near[:, 2:] - near[:, :2], 2)
    near = near + rng.uniform(-0.17, 0.17, near.shape) * sides
    corner = rng.uniform(0, np.array(size) - 12, (count, 2))
    anywhere = np.concatenate([corner, corner + rng.uniform(6, 40, (count, 2))], axis=1)
    limits = np.array([*size, *size])
    return np.clip(np.concatenate([near, anywhere]), 0, limits).astype(np.float32)


def scenes():
    images, truths = tiny_scenes()
    size = images.shape[1:3]
    proposals = np.stack([proposals_for(boxes, size) for boxes in truths["boxes"]])
    return images, {**truths, "proposals": proposals}


@pytest.fixture(scope="module")
def trained():
    """One that went through both stages, and what it found between them."""
    images, truths = scenes()
    with nn.seed(0):
        net = small(samples=24)
    optimizer = optim.AdamW(list(net.parameters()), optim.OneCycle(5e-3, 40, rise=0.2))
    for step in range(40):
        with nn.random_key(0, step):
            loss = net.losses(Tensor(scaled(images)), truths)["class"]
        net.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    before = net.find(images, proposals=truths["proposals"])
    seen = []
    net.finish(
        ((images[i : i + 2], {k: v[i : i + 2] for k, v in truths.items()}) for i in (0, 2)),
        penalty=1.0,
        progress=seen.append,
    )
    assert seen == [2, 4]
    return net, before


def mean_average_precision(found, truths):
    metric = MeanAveragePrecision(2, "voc")
    for i, own in enumerate(found):
        there = truths["classes"][i] >= 0
        objects = {"boxes": truths["boxes"][i][there], "classes": truths["classes"][i][there]}
        metric.update([own._asdict()], [objects])
    return metric.result()["map"]


def closeness(found, truths):
    """The mean, over the objects, of the overlap with the surest box of their class."""
    overlaps = []
    for own, boxes, classes in zip(found, truths["boxes"], truths["classes"], strict=True):
        for box, label in zip(boxes.tolist(), classes, strict=True):
            if label >= 0:
                overlaps.append(iou(box, own.boxes[own.classes == label][0].tolist()))
    return np.mean(overlaps)


def test_both_stages_find_tiny_scenes_and_the_second_moves_boxes_to_the_objects(trained):
    net, before = trained
    images, truths = scenes()
    after = net.find(images, proposals=truths["proposals"])
    assert mean_average_precision(before, truths) >= 0.8
    assert mean_average_precision(after, truths) >= 0.9
    assert closeness(after, truths) > closeness(before, truths) + 0.03


def test_a_state_holds_both_stages(trained):
    net, _ = trained
    images, truths = scenes()
    other = small()
    other.load_state_dict(net.state_dict())
    for a, b in zip(
        *(n.find(images, proposals=truths["proposals"]) for n in (net, other)), strict=True
    ):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_it_asks_for_proposals_of_its_own(trained):
    net, _ = trained
    images, truths = scenes()
    asked = []

    def propose(image, limit):
        asked.append((image.shape, limit))
        return truths["proposals"][0]

    other = small(search=propose, proposals=50)
    other.load_state_dict(net.state_dict())
    (found,) = other.find(images[:1], limit=3)
    assert asked == [((64, 96, 3), 50)]
    (same,) = net.find(images[:1], limit=3, proposals=[truths["proposals"][0][:50]])
    np.testing.assert_array_equal(found.boxes, same.boxes)


def test_no_proposal_is_no_object(trained):
    (found,) = trained[0].find(scenes()[0][:1], proposals=[np.zeros((3, 4), np.float32)])
    assert len(found.boxes) == 0


def test_it_finds_with_selective_search_at_any_size(trained):
    image = np.random.default_rng(0).integers(0, 255, (1, 37, 45, 3)).astype(np.uint8)
    (found,) = trained[0].find(image, score=0.0)
    assert len(found.boxes)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [37, 45, 37, 45]).all()


def test_each_machine_sees_its_own_background_and_each_regression_its_own_boxes():
    objects = Objects(
        np.array([[0, 0, 20, 20], [0, 40, 20, 60], [60, 60, 80, 80]], np.float32),
        np.array([0, 1, 0]),
        np.array([[40, 0, 60, 20]], np.float32),
    )
    boxes = np.array(
        [
            *objects.boxes,
            [0, 0, 20, 14],  # overlaps object 0 by 0.7: no background of it, and regressed
            [0, 0, 20, 8],  # by 0.4: no background of class 0
            [0, 0, 20, 5],  # by 0.25: background of both
            [42, 0, 60, 20],  # on what is ignored
            [90, 70, 99, 80],
        ],
        np.float32,
    )
    features = np.eye(len(boxes))
    fitting = Fitting(2, 8, 8)
    fitting.see(features, features, boxes, objects)
    no = [np.concatenate(svm._no).argmax(axis=1).tolist() for svm in fitting._svms]
    yes = [np.concatenate(svm._yes).argmax(axis=1).tolist() for svm in fitting._svms]
    assert yes == [[0, 2], [1]]
    assert no == [[1, 5, 7], [0, 2, 3, 4, 5, 7]]
    near = [np.concatenate(of_class.pooled) for of_class in fitting._near]
    assert [rows.argmax(axis=1).tolist() for rows in near] == [[0, 2, 3], [1]]
    assert near[0].max() == 20  # the mean length that all features are brought to
    steps = np.concatenate(fitting._near[0].steps)
    moved = [0, 3 / 14, 0, np.log(20 / 14)]
    np.testing.assert_allclose(steps, [[0] * 4, [0] * 4, moved], atol=1e-6)


def test_proposals_near_objects_are_studied_first_but_no_more_than_half():
    objects = Objects(np.array([[0, 0, 20, 20]], np.float32), np.array([0]), np.zeros((0, 4)))
    near = np.tile([[0, 0, 20, 18.0]], (30, 1))
    far = np.tile([[40, 40, 60, 60.0]], (70, 1))
    chosen = some_proposals(np.concatenate([near, far]), objects, 40, Stream(0))
    assert len(chosen) == 40
    assert (chosen[:20, 0] == 0).all()
    assert (chosen[20:, 0] == 40).sum() > 5
    assert len(some_proposals(far, objects, 40, Stream(0))) == 40
    assert len(some_proposals(near[:0], objects, 40, Stream(0))) == 0


@pytest.mark.filterwarnings("ignore:BatchNorm2d")
def test_losses_are_finite_whatever_there_is():
    truths = awkward_truths()
    proposals = np.stack([proposals_for(truths["boxes"][1][:2], (64, 96))] * 2)
    broken = proposals.copy()
    broken[:, ::2] = 0
    broken[:, 1] = np.nan
    images = np.random.default_rng(1).integers(0, 255, (2, 64, 96, 3)).astype(np.uint8)
    with nn.seed(0):
        net = small()
    for classes in (truths["classes"], *(np.full((2, 5), c) for c in (NOTHING, IGNORED))):
        for own in (proposals, broken, proposals[:, :0], np.zeros_like(proposals)):
            batch = {"boxes": truths["boxes"], "classes": classes, "proposals": own}
            net.zero_grad()
            loss = net.losses(Tensor(scaled(images)), batch)["class"]
            assert np.isfinite(float(loss.numpy()))
            loss.backward()
            for name, parameter in net.named_parameters():
                assert np.isfinite(parameter.grad.numpy()).all(), name
            net.finish([(images, batch)])
            for found in net.find(images, score=0.0, proposals=own):
                assert np.isfinite(found.boxes).all()
                assert np.isfinite(found.scores).all()


@pytest.mark.filterwarnings("ignore:BatchNorm2d")
def test_without_objects_the_machines_say_no():
    images, truths = scenes()
    net = small()
    net.finish([(images, {**truths, "classes": np.full_like(truths["classes"], NOTHING)})])
    assert all(len(found.boxes) == 0 for found in net.find(images, proposals=truths["proposals"]))


def test_the_same_seed_gives_the_same_bits():
    images, truths = scenes()
    nets = []
    for _ in range(2):
        with nn.seed(5):
            nets.append(small())
        with nn.random_key(5, 3):
            nets[-1].losses(Tensor(scaled(images)), truths)["class"].backward()
        nets[-1].finish([(images, truths)])
    for (name, a), (_, b) in zip(*(n.named_parameters() for n in nets), strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy(), err_msg=name)
    a, b = (net.state_dict() for net in nets)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_what_it_cannot_do_without():
    images, truths = tiny_scenes()
    with pytest.raises(ConfigError, match="RCNN: the truths have boxes, classes; it learns from"):
        small().losses(Tensor(scaled(images)), truths)
    with pytest.raises(ConfigError, match="windows of 32 with a context of 16"):
        small(context=16)
    with pytest.raises(ConfigError, match=r"0 proposals.*1 or more of the others"):
        small(proposals=0)
