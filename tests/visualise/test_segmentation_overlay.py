"""Images tinted by the classes of their pixels."""

import doctest

import numpy as np
import pytest

from minicnn import visualise
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.visualise import (
    compute_segmentation_overlay,
    segmentation_colors,
    segmentation_overlay,
)

GREY = np.full((12, 16, 3), 100, np.uint8)


def test_example():
    done = doctest.testmod(visualise.segmenting)
    assert done.attempted
    assert not done.failed


def test_every_class_has_its_own_colour():
    colors = segmentation_colors(60)
    assert colors.shape == (60, 3)
    assert colors.dtype == np.uint8
    assert len(np.unique(colors, axis=0)) == 60
    np.testing.assert_array_equal(segmentation_colors(5), colors[:5])
    with pytest.raises(ConfigError, match="0 classes; give 1 or more"):
        segmentation_colors(0)


def test_pixels_are_mixed_with_the_colour_of_their_class():
    mask = np.zeros((12, 16), np.uint8)
    mask[6:], mask[9:] = 1, 255
    colors = np.array([[200, 0, 50], [0, 250, 0]], np.uint8)
    tinted = compute_segmentation_overlay(GREY, mask, colors, 0.5)
    np.testing.assert_array_equal(tinted[:5], np.broadcast_to([150, 50, 75], (5, 16, 3)))
    np.testing.assert_array_equal(tinted[5], np.broadcast_to(colors[0], (16, 3)))  # a border
    np.testing.assert_array_equal(tinted[6:8], np.broadcast_to([50, 175, 50], (2, 16, 3)))
    np.testing.assert_array_equal(tinted[9:], GREY[9:])  # no class
    np.testing.assert_array_equal(compute_segmentation_overlay(GREY, mask, colors, 0)[:5], GREY[:5])


def test_a_figure_shows_both_masks_and_names_what_they_show(tmp_path):
    found, truth = np.zeros((2, 12, 16), np.uint8)
    found[:6], truth[3:] = 2, 255
    figure = segmentation_overlay(GREY, found, ["sky", "car", "road"], truth, title="a street")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sky", "road"]
    assert len(figure.axes) == 2
    figure.savefig(tmp_path / "a.png")
    alone = segmentation_overlay(GREY, found)
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["0", "2"]
    shown = alone.axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(
        shown, compute_segmentation_overlay(GREY, found, segmentation_colors(3))
    )


def test_wrong_calls():
    mask = np.zeros((12, 16), np.uint8)
    with pytest.raises(ShapeError, match=r"image \(12, 16, 3\) and mask \(11, 16\) do not fit"):
        segmentation_overlay(GREY, mask[1:])
    with pytest.raises(DTypeError, match="image uint8, mask float64; give uint8 and whole numbers"):
        segmentation_overlay(GREY, mask / 2)
    with pytest.raises(ConfigError, match="strength 2; give a share of 0 to 1"):
        segmentation_overlay(GREY, mask, strength=2)
