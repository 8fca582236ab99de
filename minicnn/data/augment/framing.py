"""Which part of a picture is shown, and at what size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.augment.geometry import check_range
from minicnn.data.augment.motion import Motion
from minicnn.data.augment.view import Transform, View
from minicnn.data.objects.fitting import size_within
from minicnn.errors import ConfigError

__all__ = ["Crop", "Letterbox", "Resize", "Window"]


@dataclass(frozen=True)
class Crop(Transform):
    """Cut out a part that shows enough of at least one object, and enlarge it to the whole size.

    Parameters
    ----------
    area : (float, float), default (0.3, 1.0)
        The least and the greatest share of the picture that is cut out.
    aspect : (float, float), default (0.75, 1.33)
        The range of its width to its height, where the picture's own are 1: how far it is
        stretched.
    overlaps : sequence of float, default (0.1, 0.3, 0.5, 0.7, 0.9)
        For each picture one is drawn: how much the part and an object must overlap at least.
    measure : {"share", "iou"}, default "share"
        The overlap: the share of the object that is in the part, or, as in the paper, their
        intersection over union, which small objects reach in no part worth looking at.
    tries : int, default 50
        How many parts are drawn; if none shows enough, the picture stays whole. In one without
        objects the first is taken.

    Raises
    ------
    ConfigError
        If a measure is out of range.

    References
    ----------
    Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2.2, "Data augmentation".
    """

    area: tuple[float, float] = (0.3, 1.0)
    aspect: tuple[float, float] = (0.75, 1.33)
    overlaps: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    measure: Literal["share", "iou"] = "share"
    tries: int = 50

    def __post_init__(self) -> None:
        check_range("Crop", "area", self.area, 1.0)
        check_range("Crop", "aspect", self.aspect)
        if not self.overlaps or not all(0 <= overlap <= 1 for overlap in self.overlaps):
            raise ConfigError(f"Crop: overlaps {self.overlaps}; give some, from 0 to 1")
        if self.measure not in ("share", "iou") or self.tries < 1:
            raise ConfigError(
                f"Crop: measure {self.measure!r}, {self.tries} tries; say 'share' or 'iou', and 1 "
                "try or more"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw parts until one shows enough, and say which."""
        parts = self._parts(view.size, stream.uniform((4, self.tries)))
        wanted = self.overlaps[stream.integers(0, len(self.overlaps))]
        objects = view.objects()
        if len(objects):
            shared = np.clip(
                np.minimum(parts[:, None, 2:], objects[:, 2:])
                - np.maximum(parts[:, None, :2], objects[:, :2]),
                0,
                None,
            ).prod(axis=2)
            whole = (objects[:, 2:] - objects[:, :2]).prod(axis=1)
            if self.measure == "iou":
                whole = whole + (parts[:, 2:] - parts[:, :2]).prod(axis=1)[:, None] - shared
            parts = parts[(shared >= wanted * whole).any(axis=1)]
        if not len(parts):
            return view
        return view.moved(_enlarged(parts[0], view.size))

    def _parts(self, size: tuple[int, int], draws: np.ndarray) -> np.ndarray:
        """Return parts (tries, 4) of a picture."""
        height, width = size
        share = self.area[0] + (self.area[1] - self.area[0]) * draws[0]
        low, high = np.log(self.aspect)
        aspect = np.exp(low + (high - low) * draws[1])
        tall = height * np.minimum(np.sqrt(share / aspect), 1)
        wide = width * np.minimum(np.sqrt(share * aspect), 1)
        y0, x0 = draws[2] * (height - tall), draws[3] * (width - wide)
        return np.stack([y0, x0, y0 + tall, x0 + wide], axis=1)


@dataclass(frozen=True)
class Window(Transform):
    """Cut out a part of some size, its pixels as they are; what is smaller is surrounded by fill.

    Parameters
    ----------
    size : (int, int)
        Height and width, in pixels.

    Raises
    ------
    ConfigError
        If it is no size.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_size("Window", self.size)

    def apply(self, view: View, stream: Stream) -> View:
        """Draw where, and say so."""
        draws = stream.uniform(2)
        matrix = np.eye(3)
        for axis in range(2):  # the corner: in the picture, or before it by what is missing
            spare = view.size[axis] - self.size[axis]
            matrix[axis, 2] = math.floor(draws[axis] * (abs(spare) + 1)) * np.sign(spare)
        return view.moved(Motion(self.size, matrix))


@dataclass(frozen=True)
class Resize(Transform):
    """Stretch to a size, whatever the shape.

    Parameters
    ----------
    size : (int, int)
        Height and width, in pixels.

    Raises
    ------
    ConfigError
        If it is no size.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_size("Resize", self.size)

    def apply(self, view: View, stream: Stream) -> View:
        """Say how far."""
        if view.size == self.size:
            return view
        return view.moved(_enlarged(np.array([0, 0, *view.size]), self.size))


@dataclass(frozen=True)
class Letterbox(Transform):
    """Scale until it just fits into a size, and fill what is left, on the right or below.

    As `minicnn.data.objects.fit` does, so that places mean the same to whoever learns and detects.

    Parameters
    ----------
    size : (int, int)
        Height and width, in pixels.

    Raises
    ------
    ConfigError
        If it is no size.
    """

    size: tuple[int, int]

    def __post_init__(self) -> None:
        _check_size("Letterbox", self.size)

    def apply(self, view: View, stream: Stream) -> View:
        """Say how far."""
        if view.size == self.size:
            return view
        (height, width), (tall, wide) = view.size, size_within(view.size, self.size)
        return view.moved(Motion(self.size, np.diag([height / tall, width / wide, 1.0])))


def _enlarged(part: np.ndarray, size: tuple[int, int]) -> Motion:
    """Return the motion after which a part (4,) of the picture fills a size."""
    y0, x0, y1, x1 = part
    matrix = np.diag([(y1 - y0) / size[0], (x1 - x0) / size[1], 1.0])
    matrix[:2, 2] = y0, x0
    return Motion(size, matrix)


def _check_size(who: str, size: tuple[int, int]) -> None:
    if len(size) != 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in size):
        raise ConfigError(f"{who}: {size} is no size; give (height, width) in whole pixels")
