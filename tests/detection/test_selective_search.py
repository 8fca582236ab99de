"""Selective search: colours, textures, ranks and recall by their definitions, and what it finds."""

from __future__ import annotations

import colorsys
import math
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.data.scenes import make_scenes
from minicnn.detection import Hierarchy, SelectiveSearch, propose, recall
from minicnn.detection._colour_spaces import COLOUR_SPACES
from minicnn.detection._gradients import smoothed, texture_bins
from minicnn.errors import ConfigError, ShapeError


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    pixels = Stream(seed, "noise").integers(0, 256, (height, width, 3))
    return np.asarray(pixels).astype(np.uint8)


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(6, (128, 176), seed=3).scenes


def of_pixel(space: str, *pixel: float) -> np.ndarray:
    return COLOUR_SPACES[space](np.array([[pixel]], np.float32))[0, 0]


def test_hue_saturation_and_value_are_colorsys():
    pixels = np.concatenate([noise(5, 7), np.full((5, 1, 3), 80, np.uint8)], axis=1)
    found = COLOUR_SPACES["hsv"](pixels.astype(np.float32))
    for place in np.ndindex(pixels.shape[:2]):
        right = colorsys.rgb_to_hsv(*(pixels[place] / 255))
        np.testing.assert_allclose(found[place], np.multiply(right, 255), atol=2e-3)


@pytest.mark.parametrize(
    ("pixel", "lab"),  # CIE L*, a*, b* of the sRGB primaries, as published
    [
        ((255, 255, 255), (100, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((0, 0, 0), (0, 0, 0)),
        ((3, 3, 3), (0.823, 0, 0)),  # below the bends of both curves
    ],
)
def test_lab_of_known_colours(pixel, lab):
    scaled = np.add(np.multiply(lab, (2.55, 1, 1)), (0, 128, 128))
    np.testing.assert_allclose(of_pixel("lab", *pixel), scaled, atol=0.06)


def test_shares_of_red_and_green_do_not_see_shadows():
    np.testing.assert_allclose(of_pixel("rgi", 100, 60, 40), (127.5, 76.5, 200 / 3), rtol=1e-6)
    np.testing.assert_allclose(of_pixel("rgi", 50, 30, 20)[:2], (127.5, 76.5), rtol=1e-6)
    np.testing.assert_allclose(of_pixel("rgi", 0, 0, 0), 0)
    np.testing.assert_allclose(of_pixel("intensity", 10, 20, 60), 30)


def test_the_blur_is_a_gaussian():
    image = np.zeros((9, 11, 1), np.float32)
    image[4, 5] = 1
    y, x = np.mgrid[-4:5, -5:6]
    right = np.exp(-(y**2 + x**2) / (2 * 0.8**2)) * (abs(y) <= 3) * (abs(x) <= 3)
    np.testing.assert_allclose(smoothed(image, 0.8)[..., 0], right / right.sum(), atol=1e-7)
    np.testing.assert_allclose(smoothed(np.full((2, 3, 3), 7, np.float32), 5.0), 7, rtol=1e-5)


@pytest.mark.parametrize("direction", range(8))
def test_texture_is_how_steep_it_is_in_each_direction(direction):
    """A slope of 21 grey levels a pixel: 3.5 tenths of 60 along it, a root of 2 less beside it."""
    angle = direction * math.pi / 4
    y, x = np.mgrid[:15, :15].astype(np.float32)
    slope = 21 * (math.cos(angle) * x + math.sin(angle) * y)
    colours = np.stack([slope, 0 * slope], axis=2).astype(np.float32)
    middle = texture_bins(colours)[7, 7].reshape(8, 2)
    right = [int(max(3.5 * math.cos(angle - k * math.pi / 4), 0)) for k in range(8)]
    assert middle[:, 0].tolist() == right
    assert middle[:, 1].tolist() == [0] * 8
    assert texture_bins(100 * colours).max() == 9  # whatever is steeper


def test_what_is_plainly_one_thing_is_found():
    image = np.full((48, 64, 3), (90, 110, 90), np.uint8)
    image[8:20, 30:44] = (200, 20, 20)
    image[30:38, 6:14] = (20, 20, 220)
    found = propose(image).tolist()
    for box in ([8, 30, 20, 44], [30, 6, 38, 14], [0, 0, 48, 64]):
        assert box in found


def test_an_object_of_two_colours_is_found_whole():
    """Neither half is it; the two are merged before either is merged with what is around."""
    image = np.full((60, 60, 3), (120, 120, 120), np.uint8)
    image[20:32, 20:40] = (220, 30, 30)
    image[32:40, 20:40] = (240, 240, 240)
    found = SelectiveSearch(smoothing=0).propose(image)
    assert recall([found], [np.array([[20, 20, 40, 40]])], (2000,), 0.85) == 1


def test_signs_of_scenes_are_found(scenes):
    found = [propose(s.image) for s in scenes]
    signs = [
        s.boxes[~s.difficult & ((s.boxes[:, 2:] - s.boxes[:, :2]).min(axis=1) >= 8)] for s in scenes
    ]
    at = recall(found, signs, (100, 500, 2000))
    assert sum(map(len, signs)) > 12
    assert at[0] < at[2]
    assert at[1] >= 0.85
    assert at[2] >= 0.95


def test_the_rank_is_chance_times_the_place_in_the_hierarchy(scenes):
    search = SelectiveSearch(spaces=["lab"], scales=[60], smallest=0, seed=5)
    image = scenes[0].image[:60, :80]
    best: dict[tuple, float] = {}
    for number, tree in enumerate(search.hierarchies(image)):
        chance = Stream(5, "selective search", number).uniform(len(tree.boxes))
        for place, (box, share) in enumerate(zip(tree.boxes[::-1], chance[::-1], strict=True)):
            key = tuple(box.tolist())
            best[key] = min(best.get(key, math.inf), (place + 1) * share)
    right = sorted(best, key=best.__getitem__)
    found = search.propose(image, None)
    assert found.tolist() == [list(map(float, box)) for box in right]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(search.propose(image, 7), found[:7])
    assert search.propose(image, 0).shape == (0, 4)
    other = SelectiveSearch(spaces=["lab"], scales=[60], smallest=0, seed=6).propose(image, None)
    assert set(map(tuple, other.tolist())) == set(map(tuple, found.tolist()))
    assert other.tolist() != found.tolist()


def test_proposals_are_boxes_of_the_image_no_two_the_same(scenes):
    found = propose(scenes[1].image, None)
    assert len(np.unique(found, axis=0)) == len(found) > 500
    height, width = scenes[1].image.shape[:2]
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] <= (height, width)).all()
    assert (found[:, 2:] - found[:, :2]).min() >= 6
    assert len(propose(scenes[1].image, 100)) == 100


def test_a_hierarchy_holds_together(scenes):
    image = scenes[2].image[:70, :90]
    trees = list(SelectiveSearch().hierarchies(image))
    assert len(trees) == 2 * 2 * 2
    for tree in trees:
        first = tree.labels.max() + 1
        assert len(tree.boxes) == 2 * first - 1
        assert tree.boxes[-1].tolist() == [0, 0, *tree.labels.shape]
        members = [[r] for r in range(first)]
        for a, b in tree.merged.tolist():
            members.append(members[a] + members[b])
        assert sorted(members[-1]) == list(range(first))
        for r in (0, first, first + 3, len(tree.boxes) - 2):
            y, x = np.nonzero(np.isin(tree.labels, members[r]))
            assert tree.boxes[r].tolist() == [y.min(), x.min(), y.max() + 1, x.max() + 1]


def test_a_cut_has_as_many_regions_as_asked():
    tree = Hierarchy(
        np.array([[0, 1, 2, 3]], np.int32),
        np.zeros((7, 4), np.int32),
        np.array([[1, 2], [3, 4], [0, 5]], np.int32),
    )
    cuts = {4: [0, 1, 2, 3], 3: [0, 4, 4, 3], 2: [0, 5, 5, 5], 1: [6] * 4, 9: [0, 1, 2, 3]}
    assert {count: tree.cut(count)[0].tolist() for count in cuts} == cuts


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2), (33, 47)])
def test_any_size_of_image(size):
    found = SelectiveSearch(smallest=0).propose(noise(*size))
    assert [0.0, 0.0, *map(float, size)] in found.tolist()
    plain = SelectiveSearch(smallest=0).propose(np.full((*size, 3), 9, np.uint8))
    assert plain.tolist() == [[0.0, 0.0, *map(float, size)]]


def test_an_image_too_small_for_any_box_has_none():
    assert propose(noise(5, 40)).shape == (0, 4)


def test_the_same_bits_compiled_or_not_in_any_layout_and_side_by_side(monkeypatch):
    image = noise(24, 30)
    image[4:14, 5:20] //= 8
    right = propose(image, None)
    np.testing.assert_array_equal(propose(np.asfortranarray(image), None), right)
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(propose(image, None))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in found:
        np.testing.assert_array_equal(other, right)
    monkeypatch.setenv("MINICNN_JIT", "0")
    np.testing.assert_array_equal(propose(image, None), right)
    assert len(found) == 4


def test_the_colours_do_not_depend_on_which_blas_there_is():
    """OpenBLAS's kernels for old processors round otherwise than those for new ones."""
    image = noise(48, 64).astype(np.float32)
    program = (
        "import sys, numpy as np; from minicnn.detection._colour_spaces import COLOUR_SPACES;"
        "image = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(48, 64, 3);"
        "sys.stdout.buffer.write(COLOUR_SPACES['lab'](image).tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=image.tobytes(),
        env=os.environ | {"OPENBLAS_CORETYPE": "Nehalem"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == COLOUR_SPACES["lab"](image).tobytes()


def test_recall_by_hand():
    boxes = np.array([[0, 0, 4, 4], [0, 0, 10, 10], [0, 0, 10, 8], [50, 50, 60, 60]], np.float32)
    objects = np.array([[0, 0, 10, 10], [50, 50, 60, 70], [200, 200, 210, 210]], np.float32)
    none = np.empty((0, 4), np.float32)
    given = [boxes, none, boxes], [objects, objects[:1], none]
    # Of four objects: the first at rank 2, the second, which is just half covered, at rank 4.
    np.testing.assert_array_equal(
        recall(*given, (0, 1, 2, 3, 4, 99)), [0, 0, 1 / 4, 1 / 4, 0.5, 0.5]
    )
    np.testing.assert_array_equal(recall(*given, (4,), 0.51), [1 / 4])
    assert np.isnan(recall([boxes], [none])).all()
    assert np.isnan(recall([], [])).all()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"spaces": ["hsv", "luv"]}, r"SelectiveSearch: spaces=\['hsv', 'luv'\]; choose from rgb"),
        ({"spaces": []}, "spaces=.*; choose from"),
        ({"spaces": "hsv"}, "spaces='hsv'; choose from"),
        ({"similarities": [["colour", "shape"]]}, "similarities=.*; choose from colour, texture"),
        ({"similarities": [["size"], []]}, "similarities=.*; choose from"),
        ({"similarities": ["colour"]}, "similarities=.*; choose from"),
        ({"scales": [-1.0]}, r"scales=\[-1.0\]; give numbers from 0 up"),
        ({"scales": [math.nan]}, "scales=.*; give numbers"),
        ({"scales": []}, "scales=.*; give numbers"),
        ({"least": 0}, "least=0, .*; give 1 pixel or more"),
        ({"smoothing": math.inf}, "smoothing=inf.*"),
        ({"smallest": -1}, "smallest=-1; give"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        SelectiveSearch(**settings)


def test_what_is_no_image_is_refused():
    says = r"propose: needs a uint8 image \(H, W, 3\), got "
    with pytest.raises(ShapeError, match=says + r"float64 \(4, 5, 3\)"):
        propose(np.zeros((4, 5, 3)))
    with pytest.raises(ShapeError, match=says + r"uint8 \(1, 4, 5, 3\)"):
        propose(np.zeros((1, 4, 5, 3), np.uint8))
    with pytest.raises(ShapeError, match=says):
        propose(np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(ConfigError, match="propose: limit is -1; give 0 or more"):
        propose(noise(8, 8), -1)
    with pytest.raises(ShapeError, match="recall: proposals of 1 images for objects of 2; give"):
        recall([np.empty((0, 4))], [np.empty((0, 4))] * 2)
