"""YOLO, version 2-like: one anchor of one cell an object, direct location, and that it learns."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import IGNORED, YOLO, Backbone, scaled
from minicnn.detection.yolo import _responsible
from minicnn.errors import ConfigError
from tests.detection.one_stage_definitions import (
    check_device,
    check_finite,
    check_repeatable,
    iou,
    overfit,
    tiny_scenes,
)

SHAPES = ((8.0, 10.0), (14.0, 14.0), (30.0, 24.0))


def small(**options):
    return YOLO(2, SHAPES, channels=16, backbone=Backbone(channels=8), **options)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def box_of(told, i, j, shape):
    """The box that (ty, tx, th, tw) of the cell (i, j) tell."""
    y, x = (i + logistic(told[0])) * 8, (j + logistic(told[1])) * 8
    h, w = shape[0] * np.exp(told[2]), shape[1] * np.exp(told[3])
    return [y - h / 2, x - w / 2, y + h / 2, x + w / 2]


def losses_of_image(told, objects, kinds, shapes=SHAPES):
    """The three losses of one image's table (8, 12, A, 5 + K), not yet divided; and P."""
    owners = {}
    for number, box in enumerate(objects):
        i, j = int((box[0] + box[2]) / 16), int((box[1] + box[3]) / 16)
        sides = box[2] - box[0], box[3] - box[1]
        alike = [shape_iou(sides, s) for s in shapes]
        owners.setdefault((i, j, int(np.argmax(alike))), number)
    boxes = sure = classes = 0.0
    for i, j, a in np.ndindex(told.shape[:3]):
        t = told[i, j, a]
        guess = box_of(t, i, j, shapes[a])
        number = owners.get((i, j, a))
        if number is None:
            if max((iou(guess, box) for box in objects), default=0) <= 0.6:
                sure -= np.log(1 - logistic(t[4]))
            continue
        box = objects[number]
        overlap = iou(guess, box)
        sure -= overlap * np.log(logistic(t[4])) + (1 - overlap) * np.log(1 - logistic(t[4]))
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        place = np.array([(box[0] + box[2]) / 16 - i, (box[1] + box[3]) / 16 - j])
        growth = np.log(sides / np.array(shapes[a]))
        error = ((logistic(t[:2]) - place) ** 2).sum() + ((t[2:4] - growth) ** 2).sum()
        boxes += (2 - sides.prod() / (64 * 96)) * error
        classes -= t[5 + kinds[number]] - np.log(np.exp(t[5:]).sum())
    return boxes, sure, classes, len(owners)


def shape_iou(a, b):
    shared = min(a[0], b[0]) * min(a[1], b[1])
    return shared / (a[0] * a[1] + b[0] * b[1] - shared)


def test_the_losses_are_those_of_the_definition():
    images, truths = tiny_scenes(3)
    truths["classes"][2] = -1
    with nn.seed(0):
        net = small()
    net.head.weight.data *= 10  # so that the boxes differ
    view = Tensor(scaled(images))
    losses = net.losses(view, truths)
    told = net(view)[0].numpy().astype(np.float64).reshape(3, 8, 12, 3, 7)
    sums = np.zeros(4)
    for image in range(3):
        there = truths["classes"][image] >= 0
        objects = truths["boxes"][image][there].astype(np.float64)
        sums += losses_of_image(told[image], objects, truths["classes"][image][there])
    for name, total in zip(("boxes", "sure", "classes"), sums, strict=False):
        np.testing.assert_allclose(float(losses[name].numpy()), total / sums[3], rtol=1e-4)


def test_what_overlaps_an_object_well_is_no_background():
    """Two anchors fit; one answers for the object, the other counts for nothing."""
    shapes = ((13.0, 13.0), (15.0, 15.0))
    with nn.seed(0):
        net = YOLO(1, shapes, channels=16, backbone=Backbone(channels=8))
    truths = {"boxes": np.array([[[13, 21, 27, 36]]], np.float32), "classes": np.array([[0]])}
    view = Tensor(scaled(tiny_scenes(1)[0]))
    sure = float(net.losses(view, truths)["sure"].numpy())
    told = net(view)[0].numpy().astype(np.float64).reshape(8, 12, 2, 6)
    guesses = [box_of(told[2, 3, a], 2, 3, shapes[a]) for a in (0, 1)]
    assert min(iou(guess, (13, 21, 27, 36)) for guess in guesses) > 0.6
    expected = losses_of_image(told, truths["boxes"][0].astype(float), [0], shapes)[1]
    np.testing.assert_allclose(sure, expected, rtol=1e-4)


def test_an_object_belongs_to_the_cell_of_its_centre_and_the_most_similar_anchor():
    boxes = np.array([[8, 16, 16, 26], [9, 17, 16, 25], [30, 30, 62, 60], [50, 80, 64, 96]])
    rows, numbers = _responsible(boxes, np.array(SHAPES), (8, 12), 8)
    owners = {(row // 36, row // 3 % 12, row % 3): n for row, n in zip(rows, numbers, strict=True)}
    # The second object has the first one's cell and anchor: there is no place for it.
    assert owners == {(1, 2, 0): 0, (5, 5, 2): 2, (7, 11, 1): 3}
    border = np.array([[56, 88, 64 + 8, 96 + 8]])  # its centre is on the border itself
    assert _responsible(border, np.array(SHAPES), (8, 12), 8)[0][0] // 3 == 95
    assert [len(part) for part in _responsible(boxes[:0], np.array(SHAPES), (8, 12), 8)] == [0, 0]


def test_steps_lead_back_to_the_box():
    net = small()
    box, (i, j, a) = np.array([9.0, 13.0, 25.0, 30.0]), (2, 2, 1)
    place = np.array([17 / 8 - i, 21.5 / 8 - j])
    steps = [*np.log(place / (1 - place)), np.log(16 / 14), np.log(17 / 14)]
    row = np.array([(i * 12 + j) * 3 + a])
    found = net._boxes(np.array([steps], np.float32), row, (8, 12))
    np.testing.assert_allclose(found, [box], rtol=1e-5)


def test_what_is_ignored_is_no_background():
    """A box of a size that no anchor starts from: what overlaps it counts for nothing."""
    with nn.seed(0):
        net = small()
    view = Tensor(scaled(tiny_scenes(2)[0]))
    truths = {"boxes": np.zeros((2, 1, 4), np.float32), "classes": np.full((2, 1), IGNORED)}
    truths["boxes"][:, 0] = 0, 0, 64, 96
    hidden = {k: float(v.numpy()) for k, v in net.losses(view, truths).items()}
    assert hidden["sure"] < 0.2 * float(
        net.losses(view, {**truths, "classes": np.full((2, 1), -1)})["sure"].numpy()
    )


def test_losses_are_finite_whatever_there_is():
    with nn.seed(0):
        check_finite(small())


def test_the_anchors_are_saved_with_the_weights():
    net, other = small(), YOLO(2, np.ones((3, 2)), channels=16, backbone=Backbone(channels=8))
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.shapes.data, np.array(SHAPES, np.float32))


def test_a_gpu_gives_the_same(device):
    check_device(small, device)


def test_it_learns_and_repeats():
    with nn.seed(0):
        assert overfit(small(), 60) >= 0.9
    check_repeatable(small)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shapes": ()}, r"YOLO: shapes \(0,\) must be \(A, 2\)"),
        ({"shapes": (3.0, 4.0)}, r"YOLO: shapes \(2,\) must be"),
        ({"shapes": ((3.0, 0.0),)}, r"YOLO: shapes \[\[3.0, 0.0\]\], 128 channels; give"),
        ({"channels": 0}, r"YOLO: .* 0 channels; give"),
        ({"backbone": Backbone(stages=2)}, r"YOLO: the backbone has 2 maps; give one with 3"),
    ],
)
def test_a_wrong_number_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        YOLO(2, **wrong)
