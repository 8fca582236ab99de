"""What each element of a tensor sees of one axis of the image: intervals of pixels, exactly.

A `Sight` holds an interval for every element of a value in the graph, and goes with it through
the ops: a sum sees what its terms see, a window what the pixels under it see. So it is right for
every graph, however its branches differ. Where the intervals follow one another at regular
distances, a `Line` says so, and counts on beyond the border of the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

FAR = float(2**40)  # further than any image is long; whole numbers up to there are exact
Shape = tuple[int, ...]


class Line(NamedTuple):
    """Intervals along one axis that repeat themselves, as if the image had no border."""

    axis: int  # of the value
    start: np.ndarray  # (length of the axis,), int
    end: np.ndarray  # likewise; not after `start` where nothing is seen
    period: int  # so many elements further ...
    advance: int  # ... everything is seen so many pixels further
    joined: int | None = None  # an axis whose elements differ, and see this only all together

    def read(self, index: np.ndarray, exists: np.ndarray, step: tuple[int, int]) -> Line | None:
        """Return the line of elements that read those at `index` (length, taps), any integers."""
        if self.period > len(self.start):
            return None  # too few to know what comes next
        times, place = np.divmod(index, self.period)
        start = np.where(exists, self.start[place] + self.advance * times, int(FAR))
        end = np.where(exists, self.end[place] + self.advance * times, -int(FAR))
        start, end = start.min(axis=1), end.max(axis=1)
        many = self.period // math.gcd(self.period, step[0])
        advance = self.advance * step[0] * many // self.period
        return Line(self.axis, start, end, step[1] * many, advance, self.joined)

    def union(self, other: Line) -> Line | None:
        """Return the line of elements that see both; None if the two do not go in step."""
        apart = self.advance * other.period != other.advance * self.period
        if self.axis != other.axis or len(self.start) != len(other.start) or apart:
            return None
        joined = other.joined if self.joined is None else self.joined
        if other.joined not in (None, joined):
            return None
        period = math.lcm(self.period, other.period)
        advance = self.advance * period // self.period
        start, end = np.minimum(self.start, other.start), np.maximum(self.end, other.end)
        return Line(self.axis, start, end, period, advance, joined)

    def moved(self, where: Callable[[int], int | None]) -> Line | None:
        """Return the line in a value whose axes are elsewhere; None for those that are gone."""
        axis, joined = where(self.axis), None if self.joined is None else where(self.joined)
        lost = axis is None or (joined is None and self.joined is not None)
        return None if lost or axis is None else self._replace(axis=axis, joined=joined)


class Sight(NamedTuple):
    """What each element sees of one axis of the image.

    The codes, of shape (2, ...) with axes of length 1 where elements do not differ, are ``FAR``
    minus the first pixel and ``FAR`` plus the end; 0 is nothing at all. So the larger code sees
    more, a union is a maximum, and zeros that an op puts in see nothing.
    """

    codes: np.ndarray
    line: Line | None = None

    @classmethod
    def of_image(cls, shape: Shape, axis: int) -> Sight:
        """Return what the pixels of the image see: themselves."""
        pixels = np.arange(shape[axis])
        lengths = [n if i == axis else 1 for i, n in enumerate(shape)]
        codes = np.stack([FAR - pixels, FAR + pixels + 1.0]).reshape(2, *lengths)
        return cls(codes, Line(axis, pixels, pixels + 1, 1, 1))

    @property
    def start(self) -> np.ndarray:
        """The first pixel that is seen, int; 0 where none is."""
        return np.where(self.codes[0] > 0, FAR - self.codes[0], 0).astype(np.int64)

    @property
    def end(self) -> np.ndarray:
        """The pixel after the last one that is seen, int; 0 where none is."""
        return np.where(self.codes[1] > 0, self.codes[1] - FAR, 0).astype(np.int64)

    def read(
        self,
        axis: int,
        length: int,
        index: np.ndarray,
        step: tuple[int, int] | None = None,
        exists: np.ndarray | None = None,
        virtual: np.ndarray | None = None,
    ) -> Sight:
        """Return what elements see that read several others along an axis.

        Parameters
        ----------
        axis, length : int
            Along which axis, and how long it is.
        index : ndarray of int, shape (new length, taps)
            Which elements each new one reads; those outside of the axis show nothing.
        step : (int, int), optional
            That so many elements further (second) everything is read so many elements further
            (first), were there no border; without it, no line continues.
        exists : ndarray of bool, shape (new length, taps), optional
            Which of the taps there are; by default all.
        virtual : ndarray of int, shape (new length, taps), optional
            What would be read were there no border; by default `index`.
        """
        exists = np.ones(index.shape, bool) if exists is None else exists
        inside = (index >= 0) & (index < length) & exists
        there = np.where(inside & (self.codes.shape[axis + 1] > 1), index, 0)
        lead, rest = self.codes.shape[: axis + 1], self.codes.shape[axis + 2 :]
        codes = np.zeros((*lead, *index.shape, *rest))
        if length and index.size:
            taken = self.codes.take(there.ravel(), axis=axis + 1).reshape(codes.shape)
            codes = np.where(inside.reshape(*index.shape, *(1 for _ in rest)), taken, codes)
        codes = codes.max(axis=axis + 2, initial=0.0)
        line = self.line
        if line is not None and line.axis == axis:
            virtual = index if virtual is None else virtual
            line = line.read(virtual, exists, step) if step and index.size else None
        elif line is not None and line.joined == axis:
            together = bool((inside.sum(axis=1) == length).all())  # so many are all of them
            all_used = len(np.unique(index[inside])) == length
            line = line._replace(joined=None if together else axis) if all_used else None
        return Sight(_shortened(codes, axis), line)

    def over(self, axes: Sequence[int], keepdims: bool = True) -> Sight:
        """Return what elements see that are computed from all those along some axes."""
        codes = self.codes.max(axis=tuple(a + 1 for a in axes), keepdims=keepdims, initial=0.0)
        line = self.line
        if line is not None and line.joined in axes:
            line = line._replace(joined=None)
        if line is not None and line.axis in axes:
            line = None
        elif line is not None and not keepdims:
            line = line.moved(lambda axis: axis - sum(a < axis for a in axes))
        return Sight(codes, line)

    def transposed(self, order: Sequence[int]) -> Sight:
        """Return the sight of a value whose axis i is this one's axis ``order[i]``."""
        line = self.line and self.line.moved(list(order).index)
        return Sight(self.codes.transpose(0, *(a + 1 for a in order)), line)

    def of_rank(self, rank: int) -> Sight:
        """Return the sight of a value with leading axes of length 1, as broadcasting adds them."""
        more = rank + 1 - self.codes.ndim
        line = self.line and self.line.moved(lambda axis: axis + more)
        return Sight(self.codes.reshape(2, *(1,) * more, *self.codes.shape[1:]), line)

    def reshaped(self, old: Shape, new: Shape) -> Sight:
        """Return the sight of the same elements in another shape."""
        if 0 in old:
            return Sight(np.zeros((2, *(1 for _ in new))))
        before, after = list(self.codes.shape[1:]), [1] * len(new)
        same: dict[int, int] = {}
        for these, those in _groups(old, new):
            if len(these) == len(those) == 1:
                after[those[0]] = before[these[0]]
                same[these[0]] = those[0]
            elif any(before[i] > 1 for i in these):
                for i in these:
                    before[i] = old[i]
                for i in those:
                    after[i] = new[i]
        line = self.line and self.line.moved(same.get)
        return Sight(np.broadcast_to(self.codes, (2, *before)).reshape(2, *after), line)

    def full(self, shape: Shape) -> np.ndarray:
        """Return the codes with every axis at its length."""
        return np.broadcast_to(self.codes, (2, *shape))


def union(sights: Sequence[Sight | None], shape: Shape) -> Sight | None:
    """Return what elements see that are computed from several values, broadcast to a shape."""
    seen = [s.of_rank(len(shape)) for s in sights if s is not None and s.codes.any()]
    if not seen:
        return None
    first, *others = seen
    codes, line = first.codes, first.line
    for other in others:
        codes = np.maximum(codes, other.codes)
        line = line.union(other.line) if line is not None and other.line is not None else None
    if line is not None and len(line.start) != shape[line.axis]:
        line = None  # its only element is repeated
    return Sight(codes, line)


def along(sights: Sequence[Sight | None], shapes: Sequence[Shape], axis: int) -> Sight | None:
    """Return the sight of several values, joined along an axis."""
    seen = [s for s in sights if s is not None]
    if not seen:
        return None
    lengths = np.broadcast_shapes(
        *((*s.codes.shape[: axis + 1], 1, *s.codes.shape[axis + 2 :]) for s in seen)
    )
    parts = [
        np.broadcast_to(
            0.0 if s is None else s.codes, (*lengths[: axis + 1], shape[axis], *lengths[axis + 2 :])
        )
        for s, shape in zip(sights, shapes, strict=True)
    ]
    codes = _shortened(np.concatenate(parts, axis=axis + 1), axis)
    line = seen[0].line
    for s in seen[1:]:
        line = line.union(s.line) if line is not None and s.line is not None else None
    if line is None or line.axis == axis or line.joined not in (None, axis):
        return Sight(codes)
    return Sight(codes, line._replace(joined=axis) if codes.shape[axis + 1] > 1 else line)


def from_codes(codes: np.ndarray) -> Sight:
    """Return the sight with these codes (2, *shape); what is regular in it is not looked for."""
    for axis in range(codes.ndim - 1):
        codes = _shortened(codes, axis)
    return Sight(codes)


def _shortened(codes: np.ndarray, axis: int) -> np.ndarray:
    """Return codes with length 1 along an axis whose elements see the same."""
    first = codes[(slice(None),) * (axis + 1) + (slice(0, 1),)]
    return first if codes.shape[axis + 1] > 1 and (codes == first).all() else codes


def _groups(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Return which axes of one shape become which of another: the smallest runs that fit."""
    groups, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        these, those = [], []
        if i < len(old) and (old[i] == 1 or j == len(new)):
            these, i = [i], i + 1
        elif j < len(new) and (new[j] == 1 or i == len(old)):
            those, j = [j], j + 1
        else:
            these, those, many, needed = [i], [j], old[i], new[j]
            i, j = i + 1, j + 1
            while many != needed:
                if many < needed:
                    these, many, i = [*these, i], many * old[i], i + 1
                else:
                    those, needed, j = [*those, j], needed * new[j], j + 1
        groups.append((these, those))
    return groups
