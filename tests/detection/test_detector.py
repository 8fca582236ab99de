"""What all detectors share: the view of a picture, the objects of a batch, the choice of boxes."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.detection import (
    IGNORED,
    NOTHING,
    Backbone,
    Detections,
    Detector,
    best_boxes,
    objects_in,
    scaled,
)
from minicnn.errors import ConfigError, ShapeError


class Corner(Detector):
    """Finds one object in every picture: its upper left quarter, as sure as it is bright."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.gain = nn.Parameter(np.ones(1, np.float32))

    def detect(self, images, score=0.05, overlap=0.5, limit=100):
        """Return the quarter."""
        assert not self.training
        height, width = images.shape[2:]
        box = np.array([[0, 0, height / 2, width / 2]], np.float32)
        sure = images.numpy().mean(axis=(1, 2, 3))
        return [Detections(box, np.array([s], np.float32), np.zeros(1, np.int64)) for s in sure]


def truths(*images):
    """Return padded truths of lists of (box, class)."""
    most = max(map(len, images))
    boxes = np.zeros((len(images), most, 4), np.float32)
    classes = np.full((len(images), most), NOTHING, np.int64)
    for i, rows in enumerate(images):
        for j, (box, label) in enumerate(rows):
            boxes[i, j], classes[i, j] = box, label
    return {"boxes": boxes, "classes": classes}


def test_pixels_are_scaled_by_a_fixed_rule():
    images = np.zeros((2, 3, 4, 3), np.uint8)
    images[1, 2, 3] = 0, 128, 255
    view = scaled(images)
    assert view.shape == (2, 3, 3, 4)
    assert view.dtype == np.float32
    np.testing.assert_allclose(view[0], -127.5 / 64)
    np.testing.assert_allclose(view[1, :, 2, 3], [-127.5 / 64, 0.5 / 64, 127.5 / 64])
    np.testing.assert_array_equal(scaled(images.astype(np.float32)), view)
    assert images[1, 2, 3, 2] == 255, "the pixels themselves are left alone"


@pytest.mark.parametrize(
    "images",
    [np.zeros((3, 4, 3), np.uint8), np.zeros((1, 3, 4, 4), np.uint8), np.zeros((1, 3, 4, 3))],
)
def test_what_is_no_picture_is_refused(images):
    with pytest.raises(ShapeError, match=r"scaled: needs .*\(N, H, W, 3\), got"):
        scaled(images)


def test_objects_are_cut_off_and_what_has_no_area_is_left_out():
    batch = truths(
        [
            ((2, 3, 8, 9), 1),
            ((-5, -5, 4, 4), 0),  # cut off at the border
            ((5, 5, 5, 9), 0),  # no height
            ((9, 2, 3, 8), 0),  # reversed
            ((40, 40, 50, 50), 0),  # outside
            ((np.nan, 0, 4, 4), 0),
            ((1, 1, 6, 40), IGNORED),
            ((1, 1, 6, 1), IGNORED),
        ],
        [],
    )
    found = objects_in(batch, 0, (16, 20))
    np.testing.assert_array_equal(found.boxes, [[2, 3, 8, 9], [0, 0, 4, 4]])
    np.testing.assert_array_equal(found.classes, [1, 0])
    np.testing.assert_array_equal(found.ignored, [[1, 1, 6, 20]])
    empty = objects_in(batch, 1, (16, 20))
    assert [part.shape for part in empty] == [(0, 4), (0,), (0, 4)]


def test_a_batch_without_a_row_has_no_objects():
    found = objects_in({"boxes": np.zeros((1, 0, 4)), "classes": np.zeros((1, 0))}, 0, (8, 8))
    assert [part.shape for part in found] == [(0, 4), (0,), (0, 4)]


def test_the_surest_box_of_each_class_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    scores = np.array([[0.6, 0.3], [0.9, 0.01], [0.2, 0.04]], np.float32)
    found = best_boxes(boxes, scores, score=0.05, overlap=0.5, limit=10)
    np.testing.assert_array_equal(found.boxes, boxes[[1, 0, 2]])
    np.testing.assert_array_equal(found.classes, [0, 1, 0])
    np.testing.assert_allclose(found.scores, [0.9, 0.3, 0.2])
    assert len(best_boxes(boxes, scores, 0.05, 0.5, limit=1).scores) == 1
    assert len(best_boxes(boxes, scores, 0.05, 0.95, 10).scores) == 4, "all but what is unsure"


def test_boxes_may_differ_by_class():
    boxes = np.zeros((1, 2, 4), np.float32)
    boxes[0, 0], boxes[0, 1] = (0, 0, 4, 4), (5, 5, 9, 9)
    found = best_boxes(boxes, np.array([[0.3, 0.8]], np.float32), 0.05, 0.5, 10)
    np.testing.assert_array_equal(found.boxes, [[5, 5, 9, 9], [0, 0, 4, 4]])
    np.testing.assert_array_equal(found.classes, [1, 0])


def test_nothing_found_has_the_form_of_something_found():
    found = best_boxes(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.float32), 0.05, 0.5, 10)
    for part, none in zip(found, Detections.none(), strict=True):
        assert part.shape == none.shape
        assert part.dtype == none.dtype


def test_of_too_many_candidates_the_surest_compete():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 1000, (5000, 2))
    boxes = np.concatenate([corner, corner + 1], axis=1).astype(np.float32)
    scores = rng.permutation(np.linspace(0.1, 1, 5000)).astype(np.float32)[:, None]
    found = best_boxes(boxes, scores, 0.05, 1.0, 10_000)
    np.testing.assert_array_equal(found.scores, np.sort(scores[:, 0])[::-1][:2000])


def test_find_goes_from_pixels_to_boxes():
    pictures = np.stack([np.full((8, 12, 3), v, np.uint8) for v in (0, 255)])
    found = Corner(2).train().find(pictures)
    assert [f.boxes.tolist() for f in found] == [[[0, 0, 4, 6]]] * 2
    np.testing.assert_allclose([f.scores[0] for f in found], [-127.5 / 64, 127.5 / 64], rtol=1e-6)


@pytest.mark.parametrize("classes", [0, -1, True, 2.0, "two"])
def test_a_detector_needs_classes(classes):
    with pytest.raises(ConfigError, match=r"Corner: .* classes; give 1 or more"):
        Corner(classes)


def test_a_detector_says_what_it_lacks():
    bare = Detector(1)
    with pytest.raises(NotImplementedError, match="Detector has no losses"):
        bare.losses(Tensor(np.zeros((1, 3, 8, 8), np.float32)), truths([]))
    with pytest.raises(NotImplementedError, match="no way to detect"):
        bare.detect(Tensor(np.zeros((1, 3, 8, 8), np.float32)))


@pytest.mark.parametrize("size", [(32, 32), (37, 51), (64, 33)])
def test_the_maps_are_ever_coarser(size):
    with nn.seed(0):
        net = Backbone(channels=4, stages=4, blocks=2)
    maps = net(Tensor(np.zeros((2, 3, *size), np.float32)))
    assert [m.shape[1] for m in maps] == list(net.widths) == [8, 16, 32, 64]
    for m, stride in zip(maps, net.strides, strict=True):
        assert m.shape[2:] == tuple(-(-n // stride) for n in size)


def test_a_map_sees_what_is_around_its_cell():
    """Stride and place: the cell (i, j) of a map looks at pixels around (i + 0.5) * stride."""
    with nn.seed(1):
        net = Backbone(channels=4, stages=2, blocks=0)
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3, 48, 48)).astype(np.float32), True)
    net(x)
    net.eval()
    for i, stride in enumerate(net.strides):
        x.grad = None
        (net(x)[i][0, :, 3, 2] ** 2).sum().backward()
        seen = np.argwhere(np.abs(x.grad.numpy()).sum(axis=(0, 1)) > 0)
        middle = (seen.min(axis=0) + seen.max(axis=0) + 1) / 2
        assert np.abs(middle - (np.array([3, 2]) + 0.5) * stride).max() <= stride / 2


@pytest.mark.parametrize("wrong", [{"stages": 0}, {"blocks": -1}, {"channels": 0}])
def test_a_backbone_needs_something(wrong):
    with pytest.raises(ConfigError, match=r"Backbone: .* give 1 or more"):
        Backbone(**wrong)
