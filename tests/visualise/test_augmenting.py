"""A gallery of augmentation shows every transform, as often as asked, with its boxes."""

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.data.augment import IGNORED, Flip, Picture, Window
from minicnn.errors import ConfigError
from minicnn.visualise import augmentations, compute_augmentations, segmentation_colors


@pytest.fixture
def picture():
    image = Stream(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    boxes = np.array([[2, 3, 15, 20], [10, 10, 18, 28]], np.float32)
    return Picture(image, boxes, np.array([1, IGNORED]))


def test_numbers_are_those_of_the_transforms(picture):
    found = compute_augmentations(picture, {"mirrored": Flip(1.0)}, count=2)
    assert list(found) == ["mirrored"]
    for seen in found["mirrored"]:
        np.testing.assert_array_equal(seen.image, picture.image[:, ::-1])
    kinds = compute_augmentations(picture, others=[picture], count=1)
    assert {"mix-up", "mosaic", "elastic"} <= set(kinds)
    assert "mosaic" not in compute_augmentations(picture, count=1)


def test_every_picture_is_drawn_with_its_boxes(picture):
    shown = picture._replace(mask=np.ones((20, 30), np.uint8))
    figure = augmentations(shown, {"a": Flip(0.0), "b": Flip(1.0)}, count=3, title="two ways")
    assert len(figure.axes) == 2 * 4
    assert [panel.get_ylabel() for panel in figure.axes[::4]] == ["a", "b"]
    for panel in figure.axes:
        assert [patch.get_linestyle() for patch in panel.patches] == ["solid", "dashed"]
        assert len(panel.images) == 1
    assert figure.axes[5].patches[0].get_bbox().bounds == (10, 2, 17, 13)
    figure.canvas.draw()


def test_a_class_has_one_colour_in_all_panels_and_void_has_none(picture):
    """Whichever classes a panel shows: here 0 and 3, or 3 alone."""
    mask = np.full((20, 30), 3, np.uint8)
    mask[:, :10] = 0
    mask[:, 28:] = 255
    image = np.full_like(picture.image, 100)
    shown = {"left": Window((20, 12)), "as it is": Flip(0.0)}
    figure = augmentations(Picture(image, mask=mask), shown, count=6)
    (three,) = np.rint(segmentation_colors(4)[3:] * 0.55 + 100 * 0.45).tolist()
    for panel in figure.axes:
        drawn = np.asarray(panel.images[0].get_array())
        assert (drawn == three).all(axis=-1).any()
    whole = np.asarray(figure.axes[0].images[0].get_array())
    assert (whole[:, 28:] == 100).all()


def test_nothing_to_show_is_refused(picture):
    with pytest.raises(ConfigError, match="0 transforms, 4 times"):
        augmentations(picture, {})
    with pytest.raises(ConfigError, match="0 times"):
        augmentations(picture, count=0)
