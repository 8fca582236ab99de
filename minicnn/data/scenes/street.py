"""A street with houses, trees, cars and signs, laid out in metres and seen by a pinhole camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicnn.backend.random import Stream
from minicnn.data.classes import NUM_CLASSES
from minicnn.data.scenes.painting import FINER, Canvas
from minicnn.data.signs.backdrops import smooth_noise
from minicnn.data.signs.catalogue import CATALOGUE
from minicnn.data.signs.scene import clean_board, projection, seen, worn

__all__ = ["SCENE_CLASSES", "Sign", "View", "paint_street"]

SCENE_CLASSES = ("sky", "building", "pole", "road", "pavement", "vegetation", "sign", "car")
SKY, BUILDING, POLE, ROAD, PAVEMENT, VEGETATION, SIGN, CAR = range(len(SCENE_CLASSES))

_WALLS = ((0.72, 0.66, 0.56), (0.62, 0.38, 0.30), (0.80, 0.78, 0.74), (0.55, 0.56, 0.60))
_PAINTS = (
    (0.6, 0.1, 0.1),
    (0.1, 0.15, 0.35),
    (0.75, 0.75, 0.76),
    (0.12, 0.12, 0.13),
    (0.5, 0.5, 0.2),
)
_GREENS = ((0.16, 0.30, 0.10), (0.25, 0.36, 0.14), (0.34, 0.30, 0.12), (0.10, 0.22, 0.10))
_FARTHEST = 90.0  # metres


class Sign(NamedTuple):
    """A sign that was put into a scene."""

    label: int  # of the 43 classes
    pixels: float  # of the picture, if nothing hid it or cut it off


@dataclass(frozen=True)
class View:
    """The camera and its place: from metres to pixels of the canvas."""

    canvas: Canvas
    horizon: float  # pixels from the top
    middle: float  # pixels from the left: where the road vanishes
    focal: float  # pixels
    rough: np.ndarray  # (height, width) float32 around 1: the texture of walls and roads
    leafy: np.ndarray  # and of leaves
    eye: float = 1.5  # metres above the road

    def at(self, right: float, up: float, ahead: float) -> tuple[float, float]:
        """Return where (x, y) a point in metres is seen."""
        scale = self.focal / ahead
        return self.middle + right * scale, self.horizon + (self.eye - up) * scale


def paint_street(
    stream: Stream, size: tuple[int, int], signs: tuple[int, int]
) -> tuple[Canvas, list[Sign]]:
    """Paint a scene from far to near.

    Parameters
    ----------
    stream : Stream
        Where the numbers come from.
    size : (int, int)
        Height and width of the picture, in pixels.
    signs : (int, int)
        The fewest and the most signs that are put up.

    Returns
    -------
    canvas : Canvas
        Colours under ordinary light, classes, and numbers of signs from 1 on.
    signs : list of Sign
        The signs by their number, beginning with number 1.
    """
    canvas = Canvas(*size)
    h, w = canvas.height, canvas.width
    view = View(
        canvas,
        horizon=_even(stream, 0.36, 0.56) * h,
        middle=_even(stream, 0.28, 0.72) * w,
        focal=_even(stream, 0.7, 1.1) * max(h, w),
        rough=0.8 + 0.4 * _texture(stream.child("rough"), canvas, (8, 40, 90)),
        leafy=0.3 + 1.4 * _texture(stream.child("leafy"), canvas, (16, 48, 110)),
    )
    _paint_sky(view, stream.child("sky"))
    half = _even(stream, 2.6, 4.5)  # of the road, in metres
    edge = half + _even(stream, 1.2, 3.0)  # where the pavements end
    _paint_ground(view, stream.child("ground"), half, edge)
    for side in (-1, 1):
        _paint_row(view, stream.child("row", side), side, edge + _even(stream, 0.3, 3.5))
    things = _street_things(view, stream.child("things"), half, edge)
    put_up = [
        _sign_thing(view, stream.child("sign", i), i + 1)
        for i in range(stream.integers(signs[0], signs[1] + 1))
    ]
    things += [(thing.ahead, thing.paint) for thing in put_up]
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    return canvas, [Sign(thing.label, thing.pixels[0] / FINER**2) for thing in put_up]


def _paint_sky(view: View, s: Stream) -> None:
    canvas = view.canvas
    clouds = _texture(s, canvas, (2, 4, 9))
    down = np.linspace(0, 1, canvas.height, dtype=np.float32)[:, None]
    share = np.clip(0.5 * down + _even(s, 0.2, 1.2) * clouds, 0, 1)
    grey = _even(s, 0.0, 0.8)
    blue = np.array((0.42, 0.60, 0.88)) * (1 - grey) + np.array((0.66, 0.69, 0.74)) * grey
    everywhere = np.ones(canvas.classes.shape, bool)
    canvas.lay(everywhere, _mixed(share, blue, (0.96, 0.97, 1.0)), SKY)
    hills = view.horizon - (0.02 + 0.10 * _even(s, 0, 1)) * canvas.height * _ridge(s, canvas.width)
    rows = np.arange(canvas.height)[:, None]
    tint = np.array(_GREENS[s.integers(0, len(_GREENS))]) * 0.8 + 0.12
    canvas.lay(rows > hills[None], _shaded(view.leafy, tint), VEGETATION)


def _paint_ground(view: View, s: Stream, half: float, edge: float) -> None:
    canvas = view.canvas
    below = np.zeros(canvas.classes.shape, bool)
    below[max(0, round(view.horizon)) :] = True
    green = _GREENS[s.integers(0, len(_GREENS))]
    canvas.lay(below, _shaded(view.leafy, green), VEGETATION)
    near = view.eye * view.focal / (2.0 * canvas.height)  # below the lower border

    def strip(left: float, right: float, colour: tuple[float, ...], label: int) -> None:
        corners = [(left, near), (right, near), (right, _FARTHEST), (left, _FARTHEST)]
        canvas.fill([view.at(x, 0.0, z) for x, z in corners], colour, label, view.rough)

    stone = _even(s, 0.46, 0.62)
    tar = _even(s, 0.24, 0.40)
    strip(-edge, edge, (stone, stone * 0.97, stone * 0.92), PAVEMENT)
    strip(-half, half, (tar, tar, tar * 1.03), ROAD)
    for number in range(12):  # the line in the middle
        start = 3.0 + 6.0 * number
        points = [
            view.at(x, 0, z)
            for x, z in ((-0.1, start), (0.1, start), (0.1, start + 2.5), (-0.1, start + 2.5))
        ]
        canvas.fill(points, (0.82, 0.82, 0.80), ROAD)


def _paint_row(view: View, s: Stream, side: int, away: float) -> None:
    """Put houses, hedges and gaps along one side of the street, the farthest first."""
    ahead, lots = _even(s, 3.0, 6.0), []
    while ahead < _FARTHEST:
        depth = _even(s, 7, 16)
        lots.append((ahead, ahead + depth))
        ahead += depth + _even(s, 0.0, 4.0)
    town = _even(s, 0.25, 0.95)
    for number, (near, far) in reversed(list(enumerate(lots))):
        own = s.child("lot", number)
        kind = _even(own, 0, 1)
        if kind < town:
            _paint_house(view, own, side * away, near, far)
        elif kind < town + 0.5 * (1 - town):
            _paint_hedge(view, own, side * away, near, far)


def _paint_house(view: View, s: Stream, right: float, near: float, far: float) -> None:
    canvas, tall = view.canvas, _even(s, 4.5, 13.0)
    wall = np.array(_WALLS[s.integers(0, len(_WALLS))]) * _even(s, 0.75, 1.15)
    deep = right + math.copysign(9.0, right)
    facade = [(right, 0, near), (right, 0, far), (right, tall, far), (right, tall, near)]
    front = [(right, 0, near), (deep, 0, near), (deep, tall, near), (right, tall, near)]
    canvas.fill([view.at(*p) for p in front], wall * 0.8, BUILDING, view.rough)
    canvas.fill([view.at(*p) for p in facade], wall, BUILDING, view.rough)
    glass = np.array((0.20, 0.24, 0.30)) * _even(s, 0.6, 2.2)
    step, floor = _even(s, 1.8, 3.2), _even(s, 2.4, 3.2)
    for low in np.arange(0.9, tall - 1.2, floor):
        for z in np.arange(near + 0.7, far - 1.0, step):
            pane = [(low, z), (low, z + 0.45 * step), (low + 1.3, z + 0.45 * step), (low + 1.3, z)]
            canvas.fill([view.at(right, up, ahead) for up, ahead in pane], glass, BUILDING)
        for x in np.arange(1.0, 8.0, step):
            pane = [(low, x), (low, x + 0.45 * step), (low + 1.3, x + 0.45 * step), (low + 1.3, x)]
            points = [view.at(right + math.copysign(at, right), up, near) for up, at in pane]
            canvas.fill(points, 0.8 * glass, BUILDING)


def _paint_hedge(view: View, s: Stream, right: float, near: float, far: float) -> None:
    tall = _even(s, 1.0, 2.5)
    green = np.array(_GREENS[s.integers(0, len(_GREENS))]) * _even(s, 0.7, 1.2)
    points = [(right, 0, near), (right, 0, far), (right, tall, far), (right, tall, near)]
    view.canvas.fill([view.at(*p) for p in points], green, VEGETATION, view.leafy)


Thing = tuple[float, Callable[[], None]]


def _street_things(view: View, s: Stream, half: float, edge: float) -> list[Thing]:
    """Return trees, lamps and cars: how far ahead each is, and what paints it."""
    things: list[Thing] = []

    def add(name: str, most: int, nearest: float, paint: Callable[..., None]) -> None:
        for number in range(s.integers(0, most + 1)):
            own = s.child(name, number)
            ahead = math.exp(_even(own, math.log(nearest), math.log(60)))
            side = 1 if own.bernoulli(0.5) else -1
            things.append((ahead, partial(paint, view, own, side, ahead)))

    def tree(view: View, own: Stream, side: int, ahead: float) -> None:
        _paint_tree(view, own, side * (edge + _even(own, -0.5, 3.0)), ahead)

    def lamp(view: View, own: Stream, side: int, ahead: float) -> None:
        _paint_lamp(view, own, side * (half + _even(own, 0.3, 1.0)), ahead)

    def car(view: View, own: Stream, side: int, ahead: float) -> None:
        _paint_car(view, own, side * (half - 1.0) * _even(own, 0.5, 1.0), ahead)

    add("tree", 5, 7.0, tree)
    add("lamp", 3, 6.0, lamp)
    add("car", 3, 7.0, car)
    return things


def _paint_tree(view: View, s: Stream, right: float, ahead: float) -> None:
    tall, wide = _even(s, 3.5, 8.0), _even(s, 1.2, 2.6)
    bark = np.array((0.22, 0.17, 0.12)) * _even(s, 0.6, 1.3)
    trunk = [
        (right - 0.15, 0),
        (right + 0.15, 0),
        (right + 0.1, 0.6 * tall),
        (right - 0.1, 0.6 * tall),
    ]
    view.canvas.fill([view.at(x, y, ahead) for x, y in trunk], bark, VEGETATION)
    angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    bumps = 1 + 0.22 * s.uniform(24, -1, 1)
    crown = [
        (right + wide * b * math.cos(a), 0.65 * tall + 0.38 * tall * b * math.sin(a))
        for a, b in zip(angles.tolist(), bumps.tolist(), strict=True)
    ]
    green = np.array(_GREENS[s.integers(0, len(_GREENS))])
    points = [view.at(x, y, ahead) for x, y in crown]
    view.canvas.fill(points, green, VEGETATION, view.leafy)


def _paint_lamp(view: View, s: Stream, right: float, ahead: float) -> None:
    tall, half = _even(s, 4.0, 7.0), _even(s, 0.05, 0.11)
    grey = np.array((0.40, 0.41, 0.42)) * _even(s, 0.5, 1.4)
    post = [(right - half, 0), (right + half, 0), (right + half, tall), (right - half, tall)]
    view.canvas.fill([view.at(x, y, ahead) for x, y in post], grey, POLE)
    arm = right - math.copysign(1.2, right)
    bar = [(right, tall), (arm, tall + 0.1), (arm, tall - 0.05), (right, tall - 0.15)]
    view.canvas.fill([view.at(x, y, ahead) for x, y in bar], grey, POLE)


def _paint_car(view: View, s: Stream, right: float, ahead: float) -> None:
    """From behind, or from the front: a body, a roof with a window, wheels, lights."""
    wide, tall = _even(s, 0.8, 0.95), _even(s, 1.35, 1.7)
    paint = np.array(_PAINTS[s.integers(0, len(_PAINTS))]) * _even(s, 0.8, 1.2)
    lights = np.array((0.75, 0.1, 0.08) if right > 0 else (0.95, 0.95, 0.85))

    def block(
        x0: float, x1: float, y0: float, y1: float, colour: npt.ArrayLike, taper: float = 0.0
    ) -> None:
        corners = [(x0, y0), (x1, y0), (x1 - taper, y1), (x0 + taper, y1)]
        view.canvas.fill([view.at(right + x, y, ahead) for x, y in corners], colour, CAR)

    block(-wide, wide, 0.0, 0.45, (0.05, 0.05, 0.06))
    block(-wide, wide, 0.25, 0.6 * tall, paint, taper=0.04)
    block(-0.9 * wide, 0.9 * wide, 0.6 * tall, tall, paint * 0.9, taper=0.18)
    block(-0.78 * wide, 0.78 * wide, 0.63 * tall, 0.93 * tall, (0.16, 0.19, 0.23), taper=0.14)
    for x in (-0.9 * wide, 0.62 * wide):
        block(x, x + 0.28 * wide, 0.42 * tall, 0.52 * tall, lights)


class _SignThing(NamedTuple):
    """A sign to put up: how far ahead, and what paints it and fills in how large it is."""

    ahead: float
    paint: Callable[[], None]
    label: int
    pixels: list[int]


def _sign_thing(view: View, s: Stream, number: int) -> _SignThing:
    """Choose a sign, its size in the picture and its place; the distance follows."""
    canvas = view.canvas
    least = min(canvas.height, canvas.width)
    across = math.exp(_even(s, math.log(max(0.055 * least, 7 * FINER)), math.log(0.36 * least)))
    label = s.integers(0, NUM_CLASSES)
    x, y = _even(s, 0.06, 0.94) * canvas.width, _even(s, 0.10, 0.66) * canvas.height
    metres = _even(s, 0.6, 1.0)
    ahead = view.focal * metres / across
    pixels = [0]

    def paint() -> None:
        light, cover, corner = _board(s, label, across, x, y)
        ground = view.horizon + view.eye * view.focal / ahead
        thick = max(0.045 * across, 0.6 * FINER)
        grey = np.array((0.45, 0.46, 0.47)) * _even(s, 0.5, 1.3)
        if ground > y:
            post = [(x - thick, y), (x + thick, y), (x + thick, ground), (x - thick, ground)]
            canvas.fill(post, grey, POLE)
        pixels[0] = canvas.paste(light, cover, corner, SIGN, number)

    return _SignThing(ahead, paint, label, pixels)


def _board(
    s: Stream, label: int, across: float, x: float, y: float
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Return a worn sign as it is seen: colours, cover, and where its corner lies."""
    edition = s.integers(0, len(CATALOGUE[label]))
    outline = np.array(CATALOGUE[label][edition][0].points)
    old = worn(clean_board(label, edition), s.child("wear"))
    forward = projection(_bell(s, 4.0), _bell(s, 14.0), _bell(s, 6.0))
    edge = np.column_stack([outline, np.ones(len(outline))]) @ forward.T
    edge = edge[:, :2] / edge[:, 2:] * (across / 2)
    left, top = math.floor(edge[:, 0].min()) - 1, math.floor(edge[:, 1].min()) - 1
    width, height = math.ceil(edge[:, 0].max()) + 2 - left, math.ceil(edge[:, 1].max()) + 2 - top
    to_pixels = np.array([[across / 2, 0, -left], [0, across / 2, -top], [0, 0, 1]])
    light, cover = seen(old, np.linalg.inv(to_pixels @ forward), across, width, height)
    light = light * math.exp(_bell(s, 0.18))
    return light, cover, (round(y) + top, round(x) + left)


def _texture(s: Stream, canvas: Canvas, cells: tuple[int, ...]) -> np.ndarray:
    """Return smooth noise (height, width) from 0 to 1."""
    noise = smooth_noise(s, max(canvas.height, canvas.width), cells)
    return noise[: canvas.height, : canvas.width]


def _ridge(s: Stream, width: int) -> np.ndarray:
    """Return a line of hills (width,) from 0 to 1."""
    knots = s.uniform(9)
    return np.interp(np.linspace(0, 8, width), np.arange(9), knots)


def _shaded(texture: np.ndarray, colour: npt.ArrayLike) -> np.ndarray:
    """Return a picture (height, width, 3) of one colour."""
    return texture[..., None] * np.asarray(colour, np.float32)


def _mixed(share: np.ndarray, low: npt.ArrayLike, high: npt.ArrayLike) -> np.ndarray:
    """Blend from one colour to another; share (H, W) -> (H, W, 3)."""
    first, last = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return first + share[..., None] * (last - first)


def _even(s: Stream, low: float, high: float) -> float:
    return float(s.uniform(low=low, high=high))


def _bell(s: Stream, std: float) -> float:
    return float(s.normal(mean=0.0, std=std))
