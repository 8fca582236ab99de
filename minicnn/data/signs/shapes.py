"""What signs are drawn from: filled polygons in unit coordinates, and ways to make them.

The centre of a sign is (0, 0); x points right, y points down; a sign reaches from -1 to 1.
Everything becomes polygons, so that one call of Pillow draws it, alike on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = [
    "PALETTE",
    "Path",
    "Point",
    "Polygon",
    "Shapes",
    "arc",
    "arrow",
    "bar",
    "bezier",
    "disc",
    "mirrored",
    "placed",
    "polygon",
    "rounded",
    "stroke",
]

Point = tuple[float, float]
Path = Sequence[Point]

PALETTE: dict[str, tuple[int, int, int]] = {
    "white": (238, 238, 236),
    "black": (26, 26, 28),
    "grey": (112, 114, 116),
    "dark": (74, 76, 78),
    "red": (186, 24, 32),
    "blue": (14, 74, 158),
    "yellow": (246, 186, 20),
    "green": (20, 134, 76),
}


class Polygon(NamedTuple):
    """A filled polygon and the name of its colour."""

    points: tuple[Point, ...]
    colour: str


Shapes = tuple[Polygon, ...]


def polygon(points: Iterable[Point], colour: str = "black") -> Shapes:
    """Fill the area within `points`."""
    return (Polygon(tuple(points), colour),)


def bar(left: float, top: float, right: float, bottom: float, colour: str = "black") -> Shapes:
    """Fill an upright rectangle."""
    return polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour)


def disc(x: float, y: float, radius: float, colour: str = "black") -> Shapes:
    """Fill a circle."""
    return polygon(arc(x, y, radius, radius, 0, 360)[:-1], colour)


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> list[Point]:
    """Follow an ellipse from one angle to another, in degrees clockwise from the right."""
    steps = max(2, math.ceil(abs(end - start) / 6))
    angles = [math.radians(start + (end - start) * i / steps) for i in range(steps + 1)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def bezier(*control: Point, steps: int = 16) -> list[Point]:
    """Follow a Bezier curve of any degree, by de Casteljau's construction."""
    path = []
    for i in range(steps + 1):
        t = i / steps
        points = list(control)
        while len(points) > 1:
            points = [
                (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t) for a, b in pairwise(points)
            ]
        path.append(points[0])
    return path


def stroke(path: Path, width: float, colour: str = "black", ends: str = "round") -> Shapes:
    """Draw along `path` with a pen: one quadrilateral per step, a disc at every joint.

    Parameters
    ----------
    path : sequence of (x, y)
        The middle of the line.
    width : float
        The pen's width.
    colour : str
        A name from `PALETTE`.
    ends : {"round", "flat"}
        Whether the first and the last point get a disc, too.
    """
    shapes: Shapes = ()
    for (ax, ay), (bx, by) in pairwise(path):
        length = math.hypot(bx - ax, by - ay) or 1.0
        nx, ny = (ay - by) / length * width / 2, (bx - ax) / length * width / 2
        quad = ((ax + nx, ay + ny), (bx + nx, by + ny), (bx - nx, by - ny), (ax - nx, ay - ny))
        shapes += polygon(quad, colour)
    joints = path if ends == "round" else path[1:-1]
    for x, y in joints:
        shapes += disc(x, y, width / 2, colour)
    return shapes


def arrow(
    path: Path, width: float, head: float, style: str = "solid", colour: str = "white"
) -> Shapes:
    """Draw a line with an arrowhead at its end.

    Parameters
    ----------
    path : sequence of (x, y)
        The middle of the line; its last point is the tip.
    width, head : float
        Width of the line and of the head.
    style : {"solid", "barbed"}
        A filled triangle, or two barbs at right angles to each other.
    colour : str
        A name from `PALETTE`.
    """
    (ax, ay), (tx, ty) = path[-2], path[-1]
    length = math.hypot(tx - ax, ty - ay)
    dx, dy = (tx - ax) / length, (ty - ay) / length

    def at(back: float, aside: float) -> Point:
        return (tx - dx * back - dy * aside, ty - dy * back + dx * aside)

    half = head / 2
    if style == "solid":
        neck, outline = 0.85 * head, [(0.0, 0.0), (0.85 * head, half), (0.85 * head, -half)]
    else:
        thick = 1.3 * width
        neck = thick
        outline = [(0.0, 0.0), (half, half), (half + thick, half), (thick, 0.0)]
        outline += [(half + thick, -half), (half, -half)]
    line = stroke([*path[:-1], at(neck * 0.95, 0.0)], width, colour, "flat")
    return line + polygon([at(*point) for point in outline], colour)


def rounded(corners: Path, radius: float) -> list[Point]:
    """Round the corners of a convex polygon given clockwise (as seen on the screen)."""
    path = []
    count = len(corners)
    for i, (x, y) in enumerate(corners):
        ax, ay = _towards(corners[i], corners[i - 1])
        bx, by = _towards(corners[i], corners[(i + 1) % count])
        half = math.acos(max(-1.0, min(1.0, ax * bx + ay * by))) / 2
        mx, my = ax + bx, ay + by
        norm = math.hypot(mx, my)
        far = radius / math.sin(half)
        centre = (x + mx / norm * far, y + my / norm * far)
        turn = math.degrees(math.pi / 2 - half)
        middle = math.degrees(math.atan2(-my, -mx))
        path += arc(*centre, radius, radius, middle - turn, middle + turn)
    return path


def _towards(a: Point, b: Point) -> Point:
    length = math.hypot(b[0] - a[0], b[1] - a[1])
    return ((b[0] - a[0]) / length, (b[1] - a[1]) / length)


def placed(
    shapes: Shapes,
    x: float = 0.0,
    y: float = 0.0,
    scale: float | tuple[float, float] = 1.0,
    turn: float = 0.0,
    black: str = "black",
) -> Shapes:
    """Scale shapes, turn them clockwise by so many degrees, move them; repaint what is black."""
    sx, sy = scale if isinstance(scale, tuple) else (scale, scale)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))

    def move(point: Point) -> Point:
        px, py = point[0] * sx, point[1] * sy
        return (x + c * px - s * py, y + s * px + c * py)

    return tuple(
        Polygon(tuple(map(move, p.points)), black if p.colour == "black" else p.colour)
        for p in shapes
    )


def mirrored(shapes: Shapes) -> Shapes:
    """Swap left and right."""
    return placed(shapes, scale=(-1.0, 1.0))
