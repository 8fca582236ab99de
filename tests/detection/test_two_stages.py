"""What both stages learn from and how: samples and losses against definitions in loops."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.detection import FasterRCNN, FastRCNN, Objects
from minicnn.detection._merging import MergedMaps
from minicnn.detection._sampling import Regions, draw, label_boxes, sample_regions
from minicnn.detection.fast_rcnn import RegionHead
from minicnn.detection.region_proposals import RegionProposals
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from tests.detection.one_stage_definitions import answer_of, iou, steps_between

RNG = np.random.default_rng(7)
NONE = np.empty((0, 4), np.float32)
SIZE = (48, 64)


def random_boxes(count):
    corner = RNG.uniform(0, 30, (count, 2))
    return np.concatenate([corner, corner + RNG.uniform(4, 28, (count, 2))], 1).astype(np.float32)


def objects(count, classes=3, ignored=NONE):
    return Objects(random_boxes(count), RNG.integers(0, classes, count), ignored)


def shares(box, other):
    """Which part of a box another covers."""
    height = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    width = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    return height * width / ((box[2] - box[0]) * (box[3] - box[1]))


@pytest.mark.parametrize("best_too", [True, False])
def test_labels_are_those_of_the_definition(best_too):
    boxes, there = random_boxes(80), objects(3, ignored=random_boxes(2))
    said = answer_of(boxes, there.boxes, 0.6, 0.3)
    if not best_too:
        most = [max(iou(box, t) for t in there.boxes) for box in boxes]
        said = [
            -2 if 0.3 <= m < 0.6 else s if m >= 0.6 else -1 for s, m in zip(said, most, strict=True)
        ]
    for row, box in enumerate(boxes):
        if said[row] == -1 and any(
            iou(box, t) >= 0.3 or shares(box, t) >= 0.5 for t in there.ignored
        ):
            said[row] = -2
    assert {-2, -1} < set(said)
    assert label_boxes(boxes, there, 0.6, 0.3, best_too).tolist() == said


def test_draws_a_share_of_objects_and_fills_up_with_background():
    labels = np.array([-1] * 50 + [-2] * 20 + [0, 1, 2] * 10)
    chosen = draw(labels, 16, 0.25, Stream(0, "a"))
    assert len(set(chosen)) == 16
    assert (labels[chosen[:4]] >= 0).all()
    assert (labels[chosen[4:]] == -1).all()
    np.testing.assert_array_equal(chosen, draw(labels, 16, 0.25, Stream(0, "a")))
    assert set(chosen) != set(draw(labels, 16, 0.25, Stream(1, "a")))
    few = draw(labels[48:71], 16, 0.25, Stream(0, "a"))  # two of background, one object
    assert sorted(few) == [0, 1, 22]
    assert len(draw(np.full(9, -2), 16, 0.25, Stream(0, "a"))) == 0


def test_each_is_drawn_as_often_as_any_other():
    labels = np.array([-1] * 8 + [0] * 8)
    counts = np.zeros(16)
    for number in range(400):
        counts[draw(labels, 4, 0.5, Stream(number, "draws"))] += 1
    assert counts.min() > 60  # 100 are expected, 9 is the deviation
    assert counts.max() < 140


def test_regions_are_told_the_class_and_box_of_their_objects():
    there = objects(3)
    bad = np.array([[5, 5, 5, 9], [9, 9, 3, 3], [np.nan, 0, 9, 9]], np.float32)
    proposals = np.concatenate([there.boxes + np.float32(1), random_boxes(60), bad])
    regions = sample_regions(proposals, there, 200, 0.5, Stream(0, "a"))
    assert len(regions.boxes) == 66  # all sound ones, and the objects themselves
    for box, label, target in zip(*regions, strict=True):
        overlaps = [iou(box, t) for t in there.boxes]
        best = int(np.argmax(overlaps))
        if overlaps[best] >= 0.5:
            assert label == there.classes[best]
            np.testing.assert_array_equal(target, there.boxes[best])
        else:
            assert label == -1
            np.testing.assert_array_equal(target, box)
    assert (regions.classes >= 0).sum() >= 3
    assert sample_regions(NONE, objects(0), 8, 0.5, Stream(0, "a")).boxes.shape == (0, 4)


def first_stage(samples=10_000):
    with nn.seed(3):
        net = RegionProposals(6, 8, (9, 20), (0.5, 1.0), samples=samples)
    features = Tensor(RNG.normal(size=(2, 6, 6, 8)).astype(np.float32), requires_grad=True)
    return net, features, net.anchors(features)


def smooth(d, beta):
    return d * d / (2 * beta) if abs(d) <= beta else abs(d) - beta / 2


def test_first_loss_is_that_of_the_definition():
    net, features, anchors = first_stage()
    scores, steps = net(features)
    truths = [objects(2), objects(1)]
    got = net.losses(scores, steps, anchors, truths, Stream(0, "a"))
    sure, box, count = 0.0, 0.0, 0
    for image, there in enumerate(truths):
        for row, own in enumerate(answer_of(anchors, there.boxes, 0.6, 0.3)):
            if own == -2:
                continue
            s = float(scores.numpy()[image, row])
            count += 1
            sure += np.log1p(np.exp(-s if own >= 0 else s))
            if own >= 0:
                wanted = np.array(steps_between(anchors[row], there.boxes[own]))
                wanted *= [0.1, 0.1, 0.2, 0.2]  # these steps are not scaled
                errors = steps.numpy()[image, row] - wanted
                box += sum(smooth(d, 1 / 9) for d in errors.astype(float))
    assert got[0].item() == pytest.approx(sure / count, rel=1e-5)
    assert got[1].item() == pytest.approx(box / count, rel=1e-4)
    (got[0] + got[1]).backward()
    assert np.abs(features.grad.numpy()).sum() > 0


def test_scores_and_steps_are_in_the_order_of_the_anchors():
    net, features, anchors = first_stage()
    for layer, per_anchor in ((net.scores, 1), (net.steps, 4)):
        layer.weight.data[...] = 0
        layer.bias.data[...] = np.arange(4 * per_anchor)
    scores, steps = net(features)
    assert anchors.shape == (6 * 8 * 4, 4)
    assert scores.numpy()[1].tolist() == [0, 1, 2, 3] * 48
    assert steps.numpy()[0, 2].tolist() == [8, 9, 10, 11]
    np.testing.assert_allclose(anchors[4 * 9 + 3], [2, 2, 22, 22], atol=1e-5)  # the cell (1, 1)


def test_proposals_are_where_the_steps_lead_and_the_best_come_first():
    net, _, anchors = first_stage()
    scores = np.full((1, len(anchors)), -9, np.float32)
    steps = np.zeros((1, len(anchors), 4), np.float32)
    scores[0, [10, 50, 51, 90]] = [1, 3, 2, 2.5]
    box = np.array([20, 22, 30, 41], np.float32)
    for row in (50, 51):  # two ways to one place
        steps[0, row] = np.array(steps_between(anchors[row], box)) * [0.1, 0.1, 0.2, 0.2]
    (got,) = net.propose(Tensor(scores), Tensor(steps), anchors, SIZE, limit=3)
    np.testing.assert_allclose(got[0], box, atol=1e-4)
    limits = np.array([*SIZE, *SIZE])
    np.testing.assert_allclose(got[1:], np.clip(anchors[[90, 10]], 0, limits), atol=1e-4)


def test_what_is_proposed_has_an_area():
    net, _, anchors = first_stage()
    steps = np.full((1, len(anchors), 4), -9, np.float32)  # shrunk to nothing
    got = net.propose(Tensor(np.zeros((1, len(anchors)))), Tensor(steps), anchors, SIZE, 5)
    assert got[0].shape == (0, 4)


def second_stage(pooling="align"):
    with nn.seed(4):
        net = RegionHead(6, 4, classes=3, grid=3, width=8, pooling=pooling)
    features = Tensor(RNG.normal(size=(2, 6, 12, 16)).astype(np.float32), requires_grad=True)
    return net, features


def a_sample(count, background):
    boxes = random_boxes(count)
    classes = np.where(np.arange(count) < background, -1, np.arange(count) % 3)
    return Regions(boxes, classes, np.where(classes[:, None] < 0, boxes, boxes[::-1]))


@pytest.mark.parametrize("pooling", ["align", "pool"])
def test_second_loss_is_that_of_the_definition(pooling):
    net, features = second_stage(pooling)
    regions = [a_sample(7, 4), a_sample(5, 5)]
    got = net.losses(features, regions)
    scores, steps = net(features, [part.boxes for part in regions])
    right, box, row = 0.0, 0.0, 0
    for part in regions:
        for start, label, target in zip(*part, strict=True):
            s = scores.numpy()[row].astype(float)
            right += np.log(np.exp(s).sum()) - s[label if label >= 0 else 3]
            if label >= 0:
                errors = steps.numpy()[row, label] - np.array(steps_between(start, target))
                box += sum(smooth(d, 1) for d in errors)
            row += 1
    assert row == 12
    assert got[0].item() == pytest.approx(right / 12, rel=1e-5)
    assert got[1].item() == pytest.approx(box / 12, rel=1e-4)
    (got[0] + got[1]).backward()
    assert np.abs(features.grad.numpy()).sum() > 0


def test_no_region_at_all_is_no_error():
    net, features = second_stage()
    nothing = Regions(NONE, np.empty(0, np.int64), NONE)
    parts = net.losses(features, [nothing, nothing])
    (parts[0] + parts[1]).backward()
    assert parts[0].item() == parts[1].item() == 0
    assert not net.hidden.weight.grad.numpy().any()
    assert [len(f.boxes) for f in net.detect(features, [NONE, NONE], SIZE, 0.0, 0.5, 9)] == [0, 0]


def test_detections_are_where_the_steps_of_their_class_lead(monkeypatch):
    net, features = second_stage()
    proposals = [random_boxes(1), random_boxes(2)]
    objects = random_boxes(3)
    steps = RNG.normal(size=(3, 3, 4)).astype(np.float32)
    scores = np.zeros((3, 4), np.float32)
    for row, (start, label) in enumerate(zip(np.concatenate(proposals), (0, 2, 1), strict=True)):
        steps[row, label] = steps_between(start, objects[row])
        scores[row, label] = 6 + row
    monkeypatch.setattr(RegionHead, "forward", lambda *_: (Tensor(scores), Tensor(steps)))
    one, two = net.detect(features, proposals, SIZE, 0.5, 0.5, 9)
    assert one.classes.tolist() == [0]
    assert two.classes.tolist() == [1, 2]  # the surest first
    np.testing.assert_allclose(one.scores, np.exp(6) / (np.exp(6) + 3), rtol=1e-5)
    found, limits = np.concatenate([one.boxes, two.boxes[::-1]]), np.array([*SIZE, *SIZE])
    np.testing.assert_allclose(found, np.clip(objects, 0, limits), atol=1e-3)


def test_merged_map_is_the_sum_of_its_maps_enlarged():
    with nn.seed(2):
        net = MergedMaps(Backbone(channels=2), 3, stride=8)
    net.smooth = nn.Sequential()  # passes its input
    images = Tensor(RNG.normal(size=(1, 3, 41, 50)).astype(np.float32))
    got = net(images).numpy()
    fine, coarse = (
        np.einsum("oc,nchw->nohw", layer.weight.numpy()[:, :, 0, 0], of.numpy())
        for layer, of in zip(net.laterals, net.backbone(images)[1:], strict=True)
    )
    assert got.shape == (1, 3, 6, 7)
    for i in range(6):
        for j in range(7):
            wanted = fine[0, :, i, j] + coarse[0, :, i // 2, j // 2]
            np.testing.assert_allclose(got[0, :, i, j], wanted, atol=1e-4)


def test_errors_say_what_to_give():
    with pytest.raises(ConfigError, match=r"no map of stride 5; choose from \(4, 8, 16\)"):
        MergedMaps(Backbone(), 8, 5)
    with pytest.raises(ConfigError, match="pooling 'max' is unknown; say 'align' or 'pool'"):
        RegionHead(8, 4, 2, pooling="max")
    with pytest.raises(ConfigError, match="RegionProposals: sizes"):
        RegionProposals(8, 4, sizes=())
    with pytest.raises(ConfigError, match="RegionProposals: 0 samples of an image; give 1 or"):
        RegionProposals(8, 4, samples=0)
    for kind in (FastRCNN, FasterRCNN):
        with pytest.raises(ConfigError, match=f"{kind.__name__}: 0 proposals of an image"):
            kind(2, proposals=0)
        with pytest.raises(ConfigError, match=f"{kind.__name__}: -1 samples of an image"):
            kind(2, samples=-1)
