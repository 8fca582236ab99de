"""How much of the image one output pixel depends on (pure integers)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from minicnn.ops._windows import Window


class Axis(NamedTuple):
    """The receptive fields of a row of pixels, along one axis of the image."""

    size: int  # length of each field, in image pixels
    jump: int  # image pixels from one pixel's field to the next one's; 0: all see the same
    start: int  # where the first field begins; negative: in the padding
    pixels: int  # number of pixels in the row

    @property
    def end(self) -> int:
        """Where the last field ends."""
        return self.start + (self.pixels - 1) * self.jump + self.size


@dataclass(frozen=True)
class Field:
    """The receptive fields of all pixels of a feature map, with respect to the image.

    Theoretical ones: what the geometry allows, counted on beyond the border where there is
    padding. Without axes it is unknown, or the input is not an image.

    Attributes
    ----------
    axes : tuple of Axis
        One for each spatial axis.
    """

    axes: tuple[Axis, ...] = ()

    @classmethod
    def of_image(cls, lengths: Iterable[int]) -> Field:
        """Return the fields of the image itself: each pixel sees itself."""
        return cls(tuple(Axis(1, 1, 0, n) for n in lengths))

    @property
    def size(self) -> tuple[int, ...]:
        """The lengths of one field, in image pixels."""
        return tuple(axis.size for axis in self.axes)

    @property
    def jump(self) -> tuple[int, ...]:
        """The distances between the fields of neighbouring pixels, in image pixels."""
        return tuple(axis.jump for axis in self.axes)

    def through(self, window: Window, lengths: Iterable[int]) -> Field:
        """Return the fields of what a window computes that slides over the map.

        Parameters
        ----------
        window : Window
            Its geometry.
        lengths : iterable of int
            How many places it takes along each axis.

        Returns
        -------
        Field
            Each field spans those of the pixels under the window.
        """
        measures = zip(self.axes, window.extent, window.stride, window.padding, lengths)  # noqa: B905
        return Field(
            tuple(
                Axis(a.size + (extent - 1) * a.jump, a.jump * stride, a.start - pad[0] * a.jump, n)
                for a, extent, stride, pad, n in measures
            )
        )

    def whole(self) -> Field:
        """Return the one field of a value computed from all pixels of the map."""
        return Field(tuple(Axis(a.end - a.start, 0, a.start, 1) for a in self.axes))

    def joined(self, other: Field) -> Field:
        """Return the fields of pixels that depend on both, as after an addition.

        One value for the whole map (a gate on its channels) makes every pixel see what it saw.
        Maps whose fields lie at different distances give an unknown field.
        """
        if self == other:
            return self
        axes = []
        for a, b in zip(self.axes, other.axes, strict=False):
            start = min(a.start, b.start)
            if (a.jump, a.pixels) == (b.jump, b.pixels):
                end = max(a.start + a.size, b.start + b.size)
                axes.append(Axis(end - start, a.jump, start, a.pixels))
            elif 1 in (a.pixels, b.pixels):
                axes.append(Axis(max(a.end, b.end) - start, 0, start, max(a.pixels, b.pixels)))
        complete = len(axes) == max(len(self.axes), len(other.axes))
        return Field(tuple(axes)) if complete else Field()
