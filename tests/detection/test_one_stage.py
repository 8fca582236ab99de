"""What one-stage detectors share: the table of anchors, and what each answers for."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import IGNORED, FeaturePyramid
from minicnn.detection._one_stage import (
    anchor_table,
    answers,
    flattened,
    shapes_of,
    step_loss,
    sure_boxes,
)
from minicnn.errors import ConfigError
from tests.detection.one_stage_definitions import answer_of, smooth_l1, steps_between

SHAPES = (shapes_of((10, 14), (1.0,)), ((20.0, 12.0),))


def table():
    return anchor_table(((6, 8), (3, 4)), (8, 16), SHAPES)


def test_anchors_lie_around_their_cells_map_by_map():
    anchors, row = table(), 0
    for (height, width), stride, shapes in zip(((6, 8), (3, 4)), (8, 16), SHAPES, strict=True):
        for i in range(height):
            for j in range(width):
                for h, w in shapes:
                    y, x = (i + 0.5) * stride, (j + 0.5) * stride
                    np.testing.assert_allclose(
                        anchors[row], [y - h / 2, x - w / 2, y + h / 2, x + w / 2], atol=1e-5
                    )
                    row += 1
    assert row == len(anchors)
    with pytest.raises(ValueError, match="read-only"):
        anchors[0] = 0


def test_shapes_keep_the_area_at_each_ratio():
    assert shapes_of((8,), (1, 4)) == ((8.0, 8.0), (16.0, 4.0))


def test_maps_are_flattened_in_the_order_of_the_anchors():
    maps = [np.zeros((1, 2 * 3, 6, 8), np.float32), np.zeros((1, 3, 3, 4), np.float32)]
    maps[0][0, 3 + 2, 4, 5] = 1  # anchor 1, number 2, of the cell (4, 5)
    maps[1][0, 1, 2, 3] = 2
    rows = flattened([Tensor(m) for m in maps], 3).numpy()
    assert rows.shape == (1, len(table()), 3)
    assert rows[0, (4 * 8 + 5) * 2 + 1].tolist() == [0, 0, 1]
    assert rows[0, -1].tolist() == [0, 2, 0]


def test_answers_are_those_of_the_definition():
    anchors = table()
    rng = np.random.default_rng(0)
    boxes = np.zeros((3, 4, 4), np.float32)
    boxes[:, :, :2] = rng.uniform(0, 30, (3, 4, 2))
    boxes[:, :, 2:] = boxes[:, :, :2] + rng.uniform(4, 30, (3, 4, 2))
    boxes = np.minimum(boxes, np.array([48, 64, 48, 64], np.float32))
    classes = rng.integers(0, 5, (3, 4))
    classes[2] = -1
    found = answers(anchors, {"boxes": boxes, "classes": classes}, 3, (48, 64), 0.5, 0.4)
    held = {(i, a): box for i, a, box in zip(found.images, found.anchors, found.boxes, strict=True)}
    for image in range(3):
        there = boxes[image][classes[image] >= 0].astype(np.float64)
        kinds = classes[image][classes[image] >= 0]
        for anchor, said in enumerate(answer_of(anchors.astype(np.float64), there, 0.5, 0.4)):
            assert found.classes[image, anchor] == (kinds[said] if said >= 0 else said)
            assert ((image, anchor) in held) == (said >= 0)
            if said >= 0:
                np.testing.assert_array_equal(held[image, anchor], there[said].astype(np.float32))
    assert (found.classes[2] == -1).all()
    assert len(held) >= 8


def test_what_is_ignored_is_no_background():
    """A crowd hides the anchors in it, a tiny object those like it, and neither hides objects."""
    crowd, tiny, real = (0, 0, 24, 64), (40, 40, 48, 48), (0, 0, 9, 9)
    truths = {"boxes": np.array([[crowd, tiny, real]], np.float32)}
    truths["classes"] = np.array([[IGNORED, IGNORED, 3]])
    classes = answers(table(), truths, 1, (48, 64), 0.5, 0.4).classes[0]
    cells = classes[:96].reshape(6, 8, 2)
    assert (cells[1, 1:, 0] == -2).all(), "inside the crowd"
    assert cells[0, 0, 0] == 3, "an object inside the crowd"
    assert (cells[5, 5] == -2).all(), "on the tiny object"
    assert (cells[4:, :4] == -1).all(), "far from both"


def test_the_box_loss_by_hand():
    anchors = table()
    truths = {"boxes": np.array([[[3, 2, 15, 17]]], np.float32), "classes": np.array([[1]])}
    found = answers(anchors, truths, 1, (48, 64), 0.5, 0.4)
    told = np.random.default_rng(1).standard_normal((1, len(anchors), 4)).astype(np.float32)
    steps = Tensor(told, requires_grad=True)
    loss = step_loss(steps, found, anchors)
    expected = sum(
        smooth_l1(t - wanted)
        for a in found.anchors
        for t, wanted in zip(
            told[0, a].astype(np.float64), steps_between(anchors[a], (3, 2, 15, 17)), strict=True
        )
    )
    np.testing.assert_allclose(float(loss.numpy()), expected, rtol=1e-5)
    loss.backward()
    touched = np.flatnonzero(np.abs(steps.grad.numpy()[0]).sum(axis=1))
    np.testing.assert_array_equal(touched, np.sort(found.anchors))


def test_steps_lead_back_to_the_box():
    anchors, box = table(), (7, 9, 26, 21)
    steps = np.array([steps_between(a, box) for a in anchors.astype(np.float64)], np.float32)
    scores = np.zeros((len(anchors), 2), np.float32)
    scores[100, 1] = 0.9
    found = sure_boxes(scores, steps, anchors, (48, 64), 0.05, 0.5, 10)
    np.testing.assert_allclose(found.boxes, [box], atol=1e-4)
    assert found.classes.tolist() == [1]
    assert found.scores.tolist() == [np.float32(0.9)]


@pytest.mark.parametrize("size", [(9, 12), (8, 8)])
def test_the_pyramid_carries_what_is_coarse_to_every_finer_place(size):
    coarse = tuple(-(-n // 2) for n in size)
    with nn.seed(0):
        net = FeaturePyramid((3, 5), channels=4, more=2)
    rng = np.random.default_rng(0)
    maps = [rng.standard_normal((2, c, *s)).astype(np.float32) for c, s in ((3, size), (5, coarse))]
    before = [m.numpy() for m in net([Tensor(m) for m in maps])]
    assert [m.shape for m in before[:2]] == [(2, 4, *size), (2, 4, *coarse)]
    assert [m.shape[2:] for m in before[2:]] == [tuple(-(-n // s) for n in size) for s in (4, 8)]
    net.eval()
    before = net([Tensor(m) for m in maps])[0].numpy()
    maps[1][0, :, 1, 2] += 100
    moved = np.argwhere((net([Tensor(m) for m in maps])[0].numpy() != before).any(axis=(0, 1)))
    assert moved.min(axis=0).tolist() == [2 - 1, 4 - 1], "a pixel of two by two, and one around"
    assert moved.max(axis=0).tolist() == [3 + 1, 5 + 1]


@pytest.mark.parametrize("wrong", [{"widths": ()}, {"channels": 0}, {"more": -1}])
def test_a_pyramid_needs_maps(wrong):
    with pytest.raises(ConfigError, match=r"FeaturePyramid: .* give one map or more"):
        FeaturePyramid(**{"widths": (4, 8), **wrong})
