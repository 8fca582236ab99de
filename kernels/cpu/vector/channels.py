"""The generator's other half: what batch normalisation does to the pixels of an image.

Four functions, each one sweep over channels-last memory, with ``v = scale * (y - centre) + offset``
for the normalised value and ``act`` for the activation, ReLU or none:

- `statistics`: mean, and sum of squared deviations, of the values of a channel;
- `normalize`: ``z = act(v)``;
- `gradient_sums`: the sums of ``g`` and of ``g * (y - centre)``, where ``g = dz * act'(v)``;
- `gradient`: ``dy = a * g + b * (y - centre) + c``.

Rows of pixels are cut into *tiles* of whole vectors: with 8 channels and 16 lanes, two pixels make
a vector, and each lane meets the same channel in every tile.  So a coefficient is a vector loaded
once, and a sum is a vector that is folded to channels at the very end, by NumPy, in float64.

Sums are float32 and short: a *record* of at most `LONGEST` tiles each. For the variance a record
is read twice, the second time from the cache, and deviations are from each lane's own mean in that
record: no digits are lost where the mean is 1000 and the spread 1.
"""

import functools
import math
from typing import NamedTuple

from . import objects
from .emit import Function

LONGEST = 1024  # tiles of a record
_IN_REGISTERS = 8  # vectors of a tile that are summed side by side


class Tile(NamedTuple):
    """So many vectors of so many lanes: whole pixels, and a whole number of tiles an image."""

    lanes: int
    vectors: int
    rectified: bool

    @property
    def floats(self):
        """How many numbers a tile has."""
        return self.lanes * self.vectors

    @property
    def side_by_side(self):
        """How many vectors of a tile are worked on at once."""
        return next(n for n in range(_IN_REGISTERS, 0, -1) if self.vectors % n == 0)


@functools.lru_cache(maxsize=1024)
def choose(machine, channels, pixels, rectified):
    """Return the tile for images of so many pixels, or None if none fits."""
    lanes = machine.lanes
    while lanes >= 4:
        least = math.lcm(channels, lanes) // channels  # pixels that make whole vectors
        if pixels and pixels % least == 0:
            vectors = least * channels // lanes
            more = max(1, _IN_REGISTERS // vectors)
            times = next(n for n in range(more, 0, -1) if pixels % (least * n) == 0)
            return Tile(lanes, vectors * times, rectified)
        lanes //= 2
    return None


def statistics(name, tile):
    """Write ``name(y, records, tiles, longest, count)``: shift, sum and sum of squares of each.

    A record is three tiles: the mean of each lane, the sum of the deviations from it (rounding
    left it), and the sum of their squares.
    """
    f = Function(name, 2, 3)
    y, records, tiles, longest, count = f.args
    zeros = [f.zeros(tile.lanes)] * tile.side_by_side
    with (
        f.pieces(f.times(tiles, count), longest) as (record, first, size),
        _blocks(f, tile) as at,
    ):
        start = f.at(y, f.times(first, tile.floats), at)
        to = f.at(records, f.times(record, 3 * tile.floats), at)

        def add(pointers, sums):
            values = _loaded(f, tile, pointers[0])
            return [f.code.fadd(s, v) for s, v in zip(sums, values, strict=True)]

        sums = f.sums([(size, (tile.floats,), 1)], [start], zeros, add)
        share = f.reciprocal(size, tile.lanes)
        means = [f.code.fmul(s, share) for s in sums]

        def deviate(pointers, sums):
            values = _loaded(f, tile, pointers[0])
            off = [f.code.fsub(v, m) for v, m in zip(values, means, strict=True)]
            totals, squares = sums[: len(off)], sums[len(off) :]
            return [f.code.fadd(s, d) for s, d in zip(totals, off, strict=True)] + [
                f.fma(d, d, q) for d, q in zip(off, squares, strict=True)
            ]

        found = f.sums([(size, (tile.floats,), 1)], [start], zeros + zeros, deviate)
        for k, vectors in enumerate((means, found[: len(means)], found[len(means) :])):
            _keep(f, tile, vectors, f.at(to, k * tile.floats))
    f.code.ret_void()
    return f.module


def normalize(name, tile):
    """Write ``name(y, z, coefficients, tiles, count)``; the coefficients are three tiles."""
    f = Function(name, 3, 2)
    y, z, coefficients, tiles, count = f.args
    with _blocks(f, tile) as at:
        centre, scale, offset = _coefficients(f, tile, coefficients, at, 3)
        with f.loop(f.times(tiles, count)) as k:
            here = f.plus(f.times(k, tile.floats), at)
            values = _loaded(f, tile, f.at(y, here))
            found = [
                f.fma(s, f.code.fsub(v, m), o)
                for v, m, s, o in zip(values, centre, scale, offset, strict=True)
            ]
            if tile.rectified:
                found = [f.rectify(v) for v in found]
            _keep(f, tile, found, f.at(z, here))
    f.code.ret_void()
    return f.module


def gradient_sums(name, tile):
    """Write ``name(dz, y, coefficients, records, tiles, longest, count)``.

    A record is two tiles: the sums of g and of g * (y - centre).
    """
    f = Function(name, 4, 3)
    dz, y, coefficients, records, tiles, longest, count = f.args
    zeros = [f.zeros(tile.lanes)] * (2 * tile.side_by_side)
    with _blocks(f, tile) as at:
        known = _coefficients(f, tile, coefficients, at, 3)
        with f.pieces(f.times(tiles, count), longest) as (record, first, size):
            start = f.plus(f.times(first, tile.floats), at)

            def add(pointers, sums):
                g, off = _slopes(f, tile, pointers, known)
                totals, products = sums[: len(g)], sums[len(g) :]
                return [f.code.fadd(s, v) for s, v in zip(totals, g, strict=True)] + [
                    f.fma(v, d, p) for v, d, p in zip(g, off, products, strict=True)
                ]

            steps = (tile.floats, tile.floats)
            found = f.sums([(size, steps, 1)], [f.at(dz, start), f.at(y, start)], zeros, add)
            to = f.at(records, f.times(record, 2 * tile.floats), at)
            _keep(f, tile, found[: len(found) // 2], to)
            _keep(f, tile, found[len(found) // 2 :], f.at(to, tile.floats))
    f.code.ret_void()
    return f.module


def gradient(name, tile):
    """Write ``name(dz, y, coefficients, dy, tiles, count)``; the coefficients are six tiles."""
    f = Function(name, 4, 2)
    dz, y, coefficients, dy, tiles, count = f.args
    with _blocks(f, tile) as at:
        *known, a, b, c = _coefficients(f, tile, coefficients, at, 6)
        with f.loop(f.times(tiles, count)) as k:
            here = f.plus(f.times(k, tile.floats), at)
            g, off = _slopes(f, tile, (f.at(dz, here), f.at(y, here)), known)
            found = [
                f.fma(p, v, f.fma(q, d, r)) for v, d, p, q, r in zip(g, off, a, b, c, strict=True)
            ]
            _keep(f, tile, found, f.at(dy, here))
    f.code.ret_void()
    return f.module


def function(write, tile):
    """Return the address of one of these, compiled."""
    return objects.function(write.__name__, tile, write)


def _blocks(f, tile):
    """Write a loop over the vectors of a tile, some at once; yield where they begin in it."""
    return f.strides(tile.vectors // tile.side_by_side, tile.side_by_side * tile.lanes)


def _loaded(f, tile, pointer):
    return [f.load(f.at(pointer, v * tile.lanes), tile.lanes) for v in range(tile.side_by_side)]


def _keep(f, tile, vectors, pointer):
    for v, vector in enumerate(vectors):
        f.store(vector, f.at(pointer, v * tile.lanes))


def _coefficients(f, tile, pointer, at, count):
    return [_loaded(f, tile, f.at(pointer, k * tile.floats, at)) for k in range(count)]


def _slopes(f, tile, pointers, known):
    """Return g and y - centre of the vectors at dz, y."""
    given, values = (_loaded(f, tile, pointer) for pointer in pointers)
    centre, scale, offset = known
    off = [f.code.fsub(v, m) for v, m in zip(values, centre, strict=True)]
    if tile.rectified:
        normal = [f.fma(s, d, o) for s, d, o in zip(scale, off, offset, strict=True)]
        given = [f.where_positive(v, g) for v, g in zip(normal, given, strict=True)]
    return given, off
