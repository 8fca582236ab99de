"""The drawn signs: shapes as geometry says, 43 pictures that differ, colours where they belong."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data.classes import CLASS_NAMES, NUM_CLASSES
from minicnn.data.signs import draw_sign
from minicnn.data.signs.catalogue import CATALOGUE
from minicnn.data.signs.glyphs import text
from minicnn.data.signs.shapes import (
    PALETTE,
    arc,
    arrow,
    bezier,
    disc,
    mirrored,
    placed,
    polygon,
    rounded,
    stroke,
)
from minicnn.errors import ConfigError

COORDINATE = st.floats(-2, 2)
POINT = st.tuples(COORDINATE, COORDINATE)


def area(points):
    x, y = np.array(points).T
    return 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def pixel(image, x, y):
    """The colour at a place of the unit square, and whether the sign is there."""
    *colour, cover = image.getpixel((round((x + 1) / 2 * 255), round((y + 1) / 2 * 255)))
    if cover == 0:
        return "nothing"
    return min(PALETTE, key=lambda name: math.dist(PALETTE[name], colour))


@given(COORDINATE, COORDINATE, st.floats(0.05, 2))
def test_disc_is_round(x, y, radius):
    (shape,) = disc(x, y, radius)
    distances = [math.dist((x, y), point) for point in shape.points]
    np.testing.assert_allclose(distances, radius)
    assert 0.99 < area(shape.points) / (math.pi * radius**2) <= 1


@given(st.floats(-360, 360), st.floats(-360, 360))
def test_arc_starts_and_ends_where_told(start, end):
    path = arc(0.5, -0.25, 2, 1, start, end)
    for point, angle in ((path[0], start), (path[-1], end)):
        a = math.radians(angle)
        np.testing.assert_allclose(point, (0.5 + 2 * math.cos(a), -0.25 + math.sin(a)), atol=1e-9)


def test_bezier_of_degree_two():
    """(1-t)^2 a + 2 t (1-t) b + t^2 c, by its formula."""
    a, b, c = (np.array(p, float) for p in ((0, 0), (1, 2), (3, -1)))
    for i, point in enumerate(bezier(tuple(a), tuple(b), tuple(c), steps=8)):
        t = i / 8
        np.testing.assert_allclose(point, (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c)


@given(POINT, POINT, st.floats(0.01, 0.5))
def test_stroke_is_as_wide_and_long_as_told(a, b, width):
    length = math.dist(a, b)
    flat = stroke([a, b], width, ends="flat")
    assert area(flat[0].points) == pytest.approx(length * width, abs=1e-9)
    assert len(flat) == 1
    assert len(stroke([a, b], width)) == 3


@given(st.floats(0, 360), st.floats(0.1, 2), POINT)
def test_placing_keeps_shapes(turn, scale, move):
    shape = polygon(((0, 0), (1, 0), (1, 2), (0, 1)))
    (moved,) = placed(shape, *move, scale, turn)
    assert area(moved.points) == pytest.approx(area(shape[0].points) * scale**2)
    assert moved.points[0] == pytest.approx(move)


def test_placing_turns_clockwise_and_repaints_black_only():
    shape = polygon(((1, 0),)) + polygon(((1, 0),), "white")
    black, white = placed(shape, turn=90, black="red")
    assert black.points[0] == pytest.approx((0, 1))  # y points down
    assert (black.colour, white.colour) == ("red", "white")
    assert mirrored(shape)[0].points[0] == pytest.approx((-1, 0))


@pytest.mark.parametrize("style", ["solid", "barbed"])
def test_arrow_ends_at_its_tip(style):
    points = np.array([p for s in arrow([(-1, 0), (0.9, 0)], 0.2, 0.6, style) for p in s.points])
    assert points[:, 0].max() == pytest.approx(0.9)
    assert points[:, 0].min() == pytest.approx(-1)
    np.testing.assert_allclose([points[:, 1].min(), points[:, 1].max()], [-0.3, 0.3])


def test_rounding_cuts_the_corners():
    """A square loses (4 - pi) r^2."""
    square = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    assert area(rounded(square, 0.3)) == pytest.approx(4 - (4 - math.pi) * 0.09, rel=1e-3)
    assert np.abs(rounded(square, 0.3)).max() == pytest.approx(1)


@pytest.mark.parametrize("word", ["0", "1", "2", "3", "5", "6", "7", "8", "120", "STOP"])
def test_text_fills_its_height_and_is_centred(word):
    points = np.array([p for s in text(word, 0.8) for p in s.points])
    np.testing.assert_allclose([points[:, 1].min(), points[:, 1].max()], [-0.4, 0.4], atol=0.02)
    assert abs(points[:, 0].min() + points[:, 0].max()) < 0.12


def test_catalogue_is_complete_and_within_bounds():
    assert len(CATALOGUE) == NUM_CLASSES == len(CLASS_NAMES) == 43
    for editions in CATALOGUE:
        for shapes in editions:
            points = np.array([p for s in shapes for p in s.points])
            assert np.abs(points).max() <= 1.0 + 1e-9
            assert {s.colour for s in shapes} <= set(PALETTE)


def test_signs_are_all_different():
    small = [np.asarray(draw_sign(c).resize((32, 32)), float) for c in range(NUM_CLASSES)]
    for i, one in enumerate(small):
        for other in small[:i]:
            assert np.abs(one - other).mean() > 1.0


def test_pictures_stay_inside_their_boards():
    """The first shape is the outline: nothing may be painted beyond it."""
    from PIL import Image, ImageDraw

    for editions in CATALOGUE:
        for outline, *shapes in editions:
            masks = []
            for group in ([outline], shapes):
                mask = Image.new("1", (256, 256))
                for shape in group:
                    points = [(127.5 + 127 * x, 127.5 + 127 * y) for x, y in shape.points]
                    ImageDraw.Draw(mask).polygon(points, fill=1)
                masks.append(np.asarray(mask))
            assert (masks[1] & ~masks[0]).sum() < 20


@pytest.mark.parametrize(
    ("label", "places"),
    [
        (1, {(0.85, 0): "red", (0, 0.5): "white", (0.99, 0.99): "nothing"}),
        (12, {(0, 0): "yellow", (0.7, 0): "white", (0.9, 0.9): "nothing"}),
        (13, {(0, 0): "white", (0, 0.7): "red", (0.9, 0.5): "nothing"}),
        (14, {(0, 0.6): "red", (0.9, 0): "red", (0.98, 0.98): "nothing"}),
        (15, {(0, 0): "white", (0, 0.85): "red"}),
        (17, {(0, 0): "white", (0, 0.6): "red"}),
        (18, {(0, 0): "black", (0, 0.76): "red", (0.8, -0.5): "nothing"}),
        (26, {(0, -0.09): "red", (0, 0.22): "yellow", (0, 0.53): "green"}),
        (32, {(0.5, 0.5): "white", (0.98, -0.98): "nothing"}),
        (35, {(0, 0): "white", (0.6, 0.4): "blue"}),
        (38, {(0, 0): "white", (0.5, -0.5): "blue", (0.4, 0.4): "white"}),
    ],
)
def test_colours_are_where_a_driver_expects_them(label, places):
    image = draw_sign(label)
    assert {place: pixel(image, *place) for place in places} == places


@pytest.mark.parametrize(("left", "right"), [(19, 20), (34, 33), (37, 36), (39, 38)])
def test_left_is_the_mirror_of_right(left, right):
    one = np.asarray(draw_sign(left), float)
    other = np.asarray(draw_sign(right), float)[:, ::-1]
    assert np.abs(one - other).mean() < 1.0
    assert np.abs(one - other[:, ::-1]).mean() > 5.0


def test_drawn_once():
    assert draw_sign(5) is draw_sign(5)
    assert draw_sign(35, 0) is not draw_sign(35, 1)


@pytest.mark.parametrize("label", [-1, 43])
def test_no_such_class(label):
    with pytest.raises(ConfigError, match=f"class {label} does not exist"):
        draw_sign(label)
