"""The 43 signs as shapes: a board and what stands on it.

A sign is a tuple of polygons, painted in order; the first one is its outline. Some signs
hang on German roads in two editions, with the old solid and the new barbed arrowheads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from minicnn.data.signs import pictograms as pictures
from minicnn.data.signs.glyphs import text
from minicnn.data.signs.shapes import (
    Path,
    Shapes,
    arc,
    arrow,
    bar,
    disc,
    mirrored,
    placed,
    polygon,
    rounded,
)

__all__ = ["CATALOGUE"]


def _triangle(scale: float, radius: float) -> Path:
    """Draw an equilateral triangle, point up, two units wide at scale 1, about its centre."""
    low, high, half = 0.866, -0.866, 1.0
    middle = low / 3
    corners = [(0.0, high), (half, low), (-half, low)]
    return rounded([(x * scale, middle + (y - middle) * scale) for x, y in corners], radius)


def _octagon(scale: float) -> Path:
    corner = math.tan(math.radians(22.5))
    flat = [(corner, -1.0), (1.0, -corner), (1.0, corner), (corner, 1.0)]
    points = flat + [(-x, -y) for x, y in flat]
    return [(x * scale, y * scale) for x, y in points]


def _diamond(scale: float, radius: float) -> Path:
    return rounded([(0, -scale), (scale, 0), (0, scale), (-scale, 0)], radius)


def _prohibition(*shapes: Shapes) -> Shapes:
    return (
        disc(0, 0, 1, "white") + disc(0, 0, 0.97, "red") + disc(0, 0, 0.73, "white") + _all(shapes)
    )


def _warning(*shapes: Shapes) -> Shapes:
    board = polygon(_triangle(1.0, 0.1), "white") + polygon(_triangle(0.95, 0.08), "red")
    return board + polygon(_triangle(0.655, 0.03), "white") + _all(shapes)


def _mandatory(*shapes: Shapes) -> Shapes:
    return disc(0, 0, 1, "white") + disc(0, 0, 0.95, "blue") + _all(shapes)


def _ended(*shapes: Shapes) -> Shapes:
    """Cross out what stands on a white disc by a band of five thin lines."""
    band: Shapes = ()
    for i in range(-2, 3):
        offset = i * 0.105
        reach = math.sqrt(0.94**2 - offset**2)
        band += bar(-reach, offset - 0.028, reach, offset + 0.028)
    board = disc(0, 0, 1, "grey") + disc(0, 0, 0.96, "white")
    return board + _all(shapes) + placed(band, turn=-45)


def _all(groups: tuple[Shapes, ...]) -> Shapes:
    return tuple(polygon for shapes in groups for polygon in shapes)


def _limit(number: str) -> tuple[Shapes, ...]:
    height, squeeze = (0.84, 1.0) if len(number) == 2 else (0.78, 0.86)
    return tuple(_prohibition(text(number, height, squeeze, pen=pen)) for pen in (0.165, 0.125))


def _on_triangle(picture: Shapes, size: float, x: float = 0.0, y: float = 0.26) -> Shapes:
    return _warning(placed(picture, x, y, size))


def _ahead(style: str) -> Shapes:
    return _mandatory(arrow([(0, 0.78), (0, -0.78)], 0.2, 0.74, style))


def _turn_right(style: str) -> Shapes:
    path = [(-0.28, 0.7), (-0.28, 0.1), *arc(0.02, 0.1, 0.3, 0.36, 180, 270), (0.3, -0.26)]
    return _mandatory(arrow([*path, (0.76, -0.26)], 0.22, 0.74, style))


def _straight_or_right(style: str) -> Shapes:
    up = arrow([(-0.18, 0.8), (-0.18, -0.78)], 0.19, 0.6, style)
    aside = [*arc(0.14, 0.54, 0.32, 0.34, 180, 270), (0.36, 0.2)]
    return _mandatory(up, arrow([*aside, (0.78, 0.2)], 0.19, 0.6, style))


def _keep_right(style: str) -> Shapes:
    pointing = arrow([(-0.74, 0), (0.72, 0)], 0.25, 0.78, style)
    return _mandatory(placed(pointing, turn=45))


def _roundabout() -> Shapes:
    shapes: Shapes = ()
    for turn in (0, 120, 240):
        path = [*arc(0, 0, 0.58, 0.58, 42, -22), (0.30, -0.58)]
        shapes += placed(arrow(path, 0.14, 0.38, "barbed"), turn=turn)
    return _mandatory(shapes)


def _editions(draw: Callable[[str], Shapes], flip: bool = False) -> tuple[Shapes, ...]:
    signs = tuple(draw(style) for style in ("barbed", "solid"))
    return tuple(map(mirrored, signs)) if flip else signs


def _overtaking(behind: Shapes, size: float, behind_colour: str, car_colour: str) -> Shapes:
    """Something on the left overtakes a car on the right; both stand on one line."""
    reach = max(y for p in behind for _, y in p.points) * size
    return placed(behind, -0.34, 0.22 - reach, size, black=behind_colour) + placed(
        pictures.CAR, 0.36, 0.22 - 0.68 * 0.31, 0.31, black=car_colour
    )


def _passing_cars(left: str, right: str) -> Shapes:
    return _overtaking(pictures.CAR, 0.31, left, right)


def _passing_truck(left: str, right: str) -> Shapes:
    return _overtaking(pictures.TRUCK_BEHIND, 0.34, left, right)


_STOP = (
    polygon(_octagon(1.0), "white")
    + polygon(_octagon(0.94), "red")
    + text("STOP", 0.64, 0.86, "white")
)
_YIELD = placed(
    polygon(_triangle(1.0, 0.1), "white")
    + polygon(_triangle(0.95, 0.08), "red")
    + polygon(_triangle(0.62, 0.03), "white"),
    turn=180,
)
_PRIORITY = (
    polygon(_diamond(1.0, 0.08), "black")
    + polygon(_diamond(0.96, 0.07), "white")
    + polygon(_diamond(0.62, 0.04), "black")
    + polygon(_diamond(0.59, 0.04), "yellow")
)
_NO_ENTRY = disc(0, 0, 1, "white") + disc(0, 0, 0.96, "red") + bar(-0.74, -0.2, 0.74, 0.2, "white")

CATALOGUE: tuple[tuple[Shapes, ...], ...] = (
    *(_limit(number) for number in ("20", "30", "50", "60", "70", "80")),
    (_ended(text("80", 0.84, 1.0, "dark", 0.14)),),
    *(_limit(number) for number in ("100", "120")),
    (_prohibition(_passing_cars("red", "black")),),
    (_prohibition(_passing_truck("red", "black")),),
    (_on_triangle(pictures.CROSSROAD, 0.42, y=0.22),),
    (_PRIORITY,),
    (_YIELD,),
    (_STOP,),
    (_prohibition(),),
    (_prohibition(placed(pictures.TRUCK_SIDE, 0, 0.02, 0.56)),),
    (_NO_ENTRY,),
    (_on_triangle(pictures.EXCLAMATION, 0.46, y=0.2),),
    (_on_triangle(pictures.BEND, 0.36, x=0.02, y=0.27),),
    (_on_triangle(mirrored(pictures.BEND), 0.36, x=-0.02, y=0.27),),
    (_on_triangle(pictures.DOUBLE_BEND, 0.36, y=0.22),),
    (_on_triangle(pictures.BUMPS, 0.45, y=0.42),),
    (_on_triangle(pictures.SKIDDING, 0.43),),
    (_on_triangle(pictures.NARROWING, 0.37, x=-0.03, y=0.24),),
    (_on_triangle(pictures.WORKER, 0.44, x=-0.02, y=0.22),),
    (_on_triangle(pictures.TRAFFIC_LIGHT, 0.45, y=0.22),),
    (_on_triangle(pictures.PEDESTRIAN, 0.46, y=0.19),),
    (_on_triangle(pictures.CHILDREN, 0.44, y=0.27),),
    (_on_triangle(pictures.BICYCLE, 0.46, y=0.32),),
    (_on_triangle(pictures.SNOWFLAKE, 0.38, y=0.25),),
    (_on_triangle(pictures.DEER, 0.41, x=0.02, y=0.26),),
    (_ended(),),
    _editions(_turn_right),
    _editions(_turn_right, flip=True),
    _editions(_ahead),
    _editions(_straight_or_right),
    _editions(_straight_or_right, flip=True),
    _editions(_keep_right),
    _editions(_keep_right, flip=True),
    (_roundabout(),),
    (_ended(_passing_cars("dark", "dark")),),
    (_ended(_passing_truck("dark", "dark")),),
)
"""The editions of each class's sign, in the order of the labels."""
