"""The pictures of a search: regions in the colours they have, and recall in numbers that are so."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.detection import Hierarchy, SelectiveSearch
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import proposal_recall, region_hierarchy


@pytest.fixture
def image():
    pixels = np.full((30, 40, 3), (10, 200, 10), np.uint8)
    pixels[8:20, 5:17] = (200, 0, 0)
    pixels[8:20, 17:29] = (0, 0, 200)
    return pixels


@pytest.fixture
def tree(image):
    search = SelectiveSearch(["rgb"], [20.0], [["size"]], smoothing=0)
    (found,) = search.hierarchies(image)
    assert len(found.boxes) == 5
    return found


def test_regions_have_the_mean_of_their_colours_and_white_borders(image, tree):
    figure = region_hierarchy(image, tree, counts=(9, 2), title="growing")
    panels = figure.axes
    titles = [panel.get_title() for panel in panels]
    assert titles == ["the image", "3 first regions", "2 left"]
    pictures = [np.asarray(panel.images[0].get_array()) for panel in panels]
    np.testing.assert_array_equal(pictures[0], image)
    first, left = pictures[1:]
    assert first[12, 10].tolist() == [200, 0, 0]
    assert first[12, 17].tolist() == [255, 255, 255]
    assert first[12, 25].tolist() == [0, 0, 200]
    assert left[12, 10].tolist() == left[12, 25].tolist() == [100, 0, 100]
    assert left[0, 0].tolist() == [10, 200, 10]
    assert left[12, 17].tolist() == [100, 0, 100], "no border inside of a region"


def test_objects_are_drawn_with_the_regions_that_fit_best(image, tree):
    figure = region_hierarchy(image, tree, (2,), boxes=[[8, 5, 20, 17], [8, 5, 20, 23]])
    drawn = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in figure.axes[0].patches]
    assert drawn[0] == drawn[1] == (4.5, 7.5, 12, 12)
    assert drawn[2:] == [(4.5, 7.5, 24, 12), (4.5, 7.5, 18, 12)]
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "0.75"]
    region_hierarchy(image, tree, (2,), boxes=np.empty((0, 4)))


def test_lines_are_the_recalls():
    figure = proposal_recall({"fast": [0.2, 0.9], "fine": [0.4, 1.0]}, [50, 2000], 0.7, "recall")
    panel = figure.axes[0]
    assert [line.get_ydata().tolist() for line in panel.lines] == [[0.2, 0.9], [0.4, 1.0]]
    assert [line.get_xdata().tolist() for line in panel.lines] == [[50, 2000]] * 2
    assert [text.get_text() for text in panel.get_legend().get_texts()] == ["fast", "fine"]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["50", "2000"]
    assert "0.7" in panel.get_ylabel()
    figure.canvas.draw()


def test_what_does_not_fit_is_refused(image, tree):
    with pytest.raises(ShapeError, match=r"region_hierarchy: image \(29, 40, 3\) for regions of"):
        region_hierarchy(image[1:], tree)
    with pytest.raises(ShapeError, match=r"region_hierarchy: boxes \(4,\); give \(T, 4\)"):
        region_hierarchy(image, tree, boxes=[1, 2, 3, 4])
    with pytest.raises(ConfigError, match=r"proposal_recall: \{'a': \(1,\)\} recalls for 2 counts"):
        proposal_recall({"a": [0.5]}, [10, 20])
    with pytest.raises(ConfigError, match="proposal_recall: no recalls for 1 counts"):
        proposal_recall({}, [10])


def test_one_region_is_shown_as_well():
    one = Hierarchy(
        np.zeros((4, 5), np.int32), np.array([[0, 0, 4, 5]]), np.empty((0, 2), np.int32)
    )
    assert len(region_hierarchy(np.zeros((4, 5, 3), np.uint8), one).axes) == 2
