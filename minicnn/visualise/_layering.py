"""Where to put the boxes of a graph: layers from top to bottom, few crossings, straight lines.

The method of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures", IEEE Transactions on Systems, Man, and Cybernetics, 1981: ranks by the longest path,
invisible places for lines that pass a rank, order by barycentres, then coordinates.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]

SWEEPS = 24  # over all ranks, each time the order may change
SETTLING = 40  # passes in which boxes move towards their neighbours
STRAIGHTENING = 40  # passes in which those in one column move to the same place
LANE = 18.0  # width of the place for a line that passes a rank


@dataclass(frozen=True)
class Arrangement:
    """Centres of the boxes, and for each edge the points its line goes through, from the top."""

    centres: list[Point]
    lines: dict[tuple[int, int], list[Point]]
    width: float
    height: float


@dataclass
class _Place:
    """A box, or what a line passes through."""

    width: float
    height: float
    rank: int
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0
    real: bool = True


def arrange(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    gap: tuple[float, float] = (28.0, 34.0),
) -> Arrangement:
    """Place boxes so that every edge points down.

    Parameters
    ----------
    sizes : sequence of (float, float)
        Width and height of each box; no box comes before one that it depends on.
    edges : sequence of (int, int)
        From which box to which later one.
    gap : (float, float)
        Least distance between neighbours, and between ranks.

    Returns
    -------
    Arrangement
        The leftmost and topmost box touch 0.
    """
    if not sizes:
        return Arrangement([], {}, 0.0, 0.0)
    ranks = _ranks(len(sizes), edges)
    places = [_Place(w, h, r) for (w, h), r in zip(sizes, ranks, strict=True)]
    routes = _add_lanes(places, edges)
    rows = _ordered(places)
    _settle(places, rows, gap[0])
    tops, total = [], 0.0
    for row in rows:
        tall = max(places[i].height for i in row)
        tops.append((total, total + tall))
        total += tall + gap[1]
    left = min(p.x - p.width / 2 for p in places)
    right = max(p.x + p.width / 2 for p in places)

    def middle(i: int) -> Point:
        return places[i].x - left, sum(tops[places[i].rank]) / 2

    def through(route: list[int]) -> list[Point]:
        first, *lanes, last = route
        points = [(middle(first)[0], middle(first)[1] + places[first].height / 2)]
        for i in lanes:
            points += [(middle(i)[0], y) for y in tops[places[i].rank]]
        return [*points, (middle(last)[0], middle(last)[1] - places[last].height / 2)]

    lines = {edge: through(route) for edge, route in routes.items()}
    return Arrangement([middle(i) for i in range(len(sizes))], lines, right - left, total - gap[1])


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Return each box's rank: below all it depends on; sources just above what needs them."""
    ranks, has_source = [0] * count, [False] * count
    for a, b in sorted(edges, key=lambda edge: edge[1]):
        ranks[b] = max(ranks[b], ranks[a] + 1)
        has_source[b] = True
    for i in range(count):
        needed = [ranks[b] for a, b in edges if a == i]
        if not has_source[i] and needed:
            ranks[i] = min(needed) - 1
    return ranks


def _add_lanes(
    places: list[_Place], edges: Sequence[tuple[int, int]]
) -> dict[tuple[int, int], list[int]]:
    """Add places for lines that pass ranks, one for all lines of a box; connect neighbours."""
    lanes: dict[tuple[int, int], int] = {}
    routes: dict[tuple[int, int], list[int]] = {}
    for a, b in dict.fromkeys(edges):
        route = [a]
        for rank in range(places[a].rank + 1, places[b].rank):
            if (a, rank) not in lanes:
                lanes[a, rank] = len(places)
                places.append(_Place(LANE, 0.0, rank, real=False))
            route.append(lanes[a, rank])
        routes[a, b] = [*route, b]
    for route in routes.values():
        for i, j in itertools.pairwise(route):
            if j not in places[i].below:
                places[i].below.append(j)
                places[j].above.append(i)
    return routes


def _ordered(places: list[_Place]) -> list[list[int]]:
    """Return the places of each rank from left to right, with few crossings of lines."""
    rows: list[list[int]] = [[] for _ in range(max(p.rank for p in places) + 1)]
    for i, p in enumerate(places):
        rows[p.rank].append(i)
    best, fewest = [list(row) for row in rows], _crossings(places, rows)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for rank in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            beside = {i: k for k, i in enumerate(rows[rank - 1 if down else rank + 1])}
            row = rows[rank]
            middles = {}
            for k, i in enumerate(row):
                near = [beside[j] for j in (places[i].above if down else places[i].below)]
                middles[i] = sum(near) / len(near) if near else float(k)
            row.sort(key=middles.__getitem__)
        count = _crossings(places, rows)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def _crossings(places: list[_Place], rows: list[list[int]]) -> int:
    total = 0
    for upper, lower in itertools.pairwise(rows):
        beside = {i: k for k, i in enumerate(lower)}
        ends: list[int] = []
        for i in upper:
            here = sorted(beside[j] for j in places[i].below)
            total += sum(len(ends) - bisect.bisect_right(ends, k) for k in here)
            for k in here:
                bisect.insort(ends, k)
    return total


def _settle(places: list[_Place], rows: list[list[int]], gap: float) -> None:
    """Move boxes to the mean of their neighbours, as far as the others in the row allow."""
    for row in rows:
        x = 0.0
        for i in row:
            places[i].x = x + places[i].width / 2
            x += places[i].width + gap
    for turn in range(SETTLING):
        both = turn >= SETTLING // 2  # above and below
        for row in rows if turn % 2 == 0 else rows[::-1]:
            wanted, weights = [], []
            for i in row:
                sides = [places[i].above, places[i].below]
                near = sides if both else sides[turn % 2 : turn % 2 + 1]
                pulls = [pull for side in near for pull in _pulls(places, i, side)]
                pulls = pulls or [pull for side in sides for pull in _pulls(places, i, side)]
                total = sum(weight for _, weight in pulls)
                wanted.append(sum(x * w for x, w in pulls) / total if pulls else places[i].x)
                weights.append(total or 1.0)
            for i, x in zip(row, _spread(places, row, wanted, weights, gap), strict=True):
                places[i].x = x
    columns = _columns(places)
    for _ in range(STRAIGHTENING):
        means = {i: sum(places[j].x for j in c) / len(c) for i, c in columns.items()}
        weights_of = {i: len(c) * (100.0 if places[i].real else 1.0) for i, c in columns.items()}
        for row in rows:
            wanted, weights = [means[i] for i in row], [weights_of[i] for i in row]
            for i, x in zip(row, _spread(places, row, wanted, weights, gap), strict=True):
                places[i].x = x


def _columns(places: list[_Place]) -> dict[int, list[int]]:
    """Return for each place those that should stand straight above and below it, and itself.

    Boxes of which one follows the other, and lines that run on without a choice.
    """
    columns: dict[int, list[int]] = {}

    def only(near: list[int]) -> int | None:
        """Return the one box among several places, or if there is none, the one line."""
        boxes = [j for j in near if places[j].real] or near
        return boxes[0] if len(boxes) == 1 else None

    for i, p in enumerate(places):
        columns.setdefault(i, [i])
        j = only(p.below)
        if j is not None and only(places[j].above) == i:
            columns[i].append(j)
            columns[j] = columns[i]
    return columns


def _pulls(places: list[_Place], i: int, near: list[int]) -> list[tuple[float, float]]:
    """Return where neighbours on one side want a place to be, and how much.

    A box follows the one box before it, and lets lines to others bend; several pull alike.
    """
    boxes = sum(places[j].real for j in near)
    lines = 1.0 if places[i].real and boxes == 1 else 4.0
    return [(places[j].x, 4.0 if places[j].real and places[i].real else lines) for j in near]


def _spread(
    places: list[_Place], row: list[int], wanted: list[float], weights: list[float], gap: float
) -> list[float]:
    """Return positions nearest to those wanted (least squares) that keep the distances.

    Without the distances, the rest is isotonic regression: neighbours that would pass one another
    are pooled at their mean.
    """
    offsets, offset = [0.0], 0.0
    for i, j in itertools.pairwise(row):
        a, b = places[i], places[j]
        offset += (a.width + b.width) / 2 + (gap if a.real and b.real else gap / 2)
        offsets.append(offset)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, how many
    for x, w, offset in zip(wanted, weights, offsets, strict=True):
        mean, weight, count = x - offset, w, 1
        while blocks and blocks[-1][0] > mean:
            m, v, c = blocks.pop()
            mean, weight, count = (m * v + mean * weight) / (v + weight), v + weight, c + count
        blocks.append((mean, weight, count))
    means = [mean for mean, _, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
