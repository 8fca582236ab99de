"""Drawn streets: the same bytes again, and masks, boxes and pictures that say the same."""

import numpy as np
import pytest

from minicnn.data.classes import NUM_CLASSES
from minicnn.data.scenes import SCENE_CLASSES, make_scenes
from minicnn.data.scenes.painting import Canvas
from minicnn.errors import ConfigError

SIGN = SCENE_CLASSES.index("sign")


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(30, (64, 80))


def test_what_a_set_holds(scenes):
    assert len(scenes) == 30
    assert scenes.images.shape == (30, 64, 80, 3)
    assert scenes.masks.shape == (30, 64, 80)
    assert scenes.images.dtype == scenes.masks.dtype == np.uint8
    assert scenes.source == "procedural scenes (seed 0)"
    for scene in scenes:
        count = len(scene.labels)
        assert scene.boxes.shape == (count, 4)
        assert scene.difficult.shape == (count,)
        assert scene.labels.dtype == np.int64
        assert ((scene.labels >= 0) & (scene.labels < NUM_CLASSES)).all()


def test_boxes_are_around_what_is_visible(scenes):
    for scene in scenes:
        assert scene.objects.max(initial=0) == len(scene.boxes)
        for number, box in enumerate(scene.boxes.astype(int).tolist(), start=1):
            y0, x0, y1, x1 = box
            own = scene.objects == number
            assert own[y0:y1, x0:x1].sum() == own.sum() > 0
            inside = own[y0:y1, x0:x1]
            assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def test_signs_are_signs_in_both_maps(scenes):
    for scene in scenes:
        assert ((scene.objects > 0) == (scene.mask == SIGN)).all()


def test_all_classes_and_sizes_occur(scenes):
    shares = np.bincount(scenes.masks.ravel(), minlength=len(SCENE_CLASSES)) / scenes.masks.size
    assert len(shares) == len(SCENE_CLASSES)
    assert (shares > 0.002).all(), dict(zip(SCENE_CLASSES, shares, strict=True))
    sides = np.concatenate([s.boxes[~s.difficult] for s in scenes])
    heights = sides[:, 2] - sides[:, 0]
    assert heights.min() < 8
    assert heights.max() > 20
    difficult = np.concatenate([s.difficult for s in scenes])
    assert 0.02 < difficult.mean() < 0.5


def test_what_is_in_front_hides_what_is_behind():
    canvas = Canvas(10, 12)
    canvas.fill([(0, 0), (24, 0), (24, 20), (0, 20)], (0.5, 0.5, 0.5), 1)
    cover = np.ones((8, 8, 1), np.float32)
    light = np.ones((8, 8, 3), np.float32)
    assert canvas.paste(light, cover, (4, 4), 6, 1) == 64
    assert canvas.paste(light, cover, (-4, -2), 6, 2) == 64  # though a part of it is outside
    canvas.fill([(8, 0), (23, 0), (23, 19), (8, 19)], (0, 0, 1), 2)
    classes, objects = canvas.maps()
    assert objects[3, 3] == 1
    assert objects[0, 0] == 2
    assert classes[3, 5] == 2
    assert objects[3, 5] == 0
    assert canvas.picture()[3, 5].tolist() == [0, 0, 1]
    assert canvas.picture()[9, 0].tolist() == [0.5, 0.5, 0.5]


def test_the_same_bytes_again_whatever_the_threads(scenes):
    for again in (make_scenes(30, (64, 80), workers=1), make_scenes(7, (64, 80), workers=3)):
        for one, other in zip(again, scenes, strict=False):
            for mine, theirs in zip(one, other, strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_seed_part_and_number_decide(scenes):
    others = [make_scenes(2, (64, 80), seed=1), make_scenes(2, (64, 80), part="test")]
    images = [set_.images[i] for set_ in (scenes, *others) for i in (0, 1)]
    assert len({image.tobytes() for image in images}) == 6


def test_a_street_without_signs():
    scene = make_scenes(1, (16, 40), signs=(0, 0))[0]
    assert scene.boxes.shape == (0, 4)
    assert not scene.objects.any()
    assert SIGN not in scene.mask


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"count": 0}, r"0 scenes of size"),
        ({"size": (8, 64)}, r"size \(8, 64\); give 1 or more, from 16 up"),
        ({"signs": (3, 2)}, r"signs \(3, 2\) is no range"),
        ({"part": "validation"}, "say 'train' or 'test'"),
        ({"workers": 0}, "0 workers cannot draw"),
    ],
)
def test_wrong_calls(options, says):
    with pytest.raises(ConfigError, match=says):
        make_scenes(**options)
