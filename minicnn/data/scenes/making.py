"""A whole set of street scenes: pictures, masks, and the boxes of their signs."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.classes import NUM_CLASSES
from minicnn.data.scenes.street import Sign, paint_street
from minicnn.data.signs.drawing import draw_sign
from minicnn.errors import ConfigError

__all__ = ["Scene", "SceneSet", "make_scenes"]

_SMALLEST = 12  # visible pixels; less of a sign nobody could find
_HIDDEN = 0.4  # of a sign: less is visible of a difficult one


class Scene(NamedTuple):
    """One picture and what is in it.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of uint8, shape (H, W)
        The class of each pixel, an index into `SCENE_CLASSES`.
    objects : ndarray of uint8, shape (H, W)
        Which sign each pixel shows: 1 for the first, 0 for none.
    boxes : ndarray of float32, shape (T, 4)
        What is visible of each sign, (y0, x0, y1, x1) in pixels, half-open.
    labels : ndarray of int64, shape (T,)
        The class of each sign, an index into `minicnn.data.classes.CLASS_NAMES`.
    difficult : ndarray of bool, shape (T,)
        The signs that are mostly hidden, or tiny.
    """

    image: np.ndarray
    mask: np.ndarray
    objects: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray


@dataclass(frozen=True, eq=False)
class SceneSet:
    """Street scenes of one size.

    Parameters
    ----------
    scenes : tuple of Scene
        In their order.
    source : str
        What they are, e.g. ``"procedural scenes (seed 0)"``.
    """

    scenes: tuple[Scene, ...]
    source: str

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Scene:
        return self.scenes[index]

    @property
    def images(self) -> np.ndarray:
        """All pictures, uint8 (N, H, W, 3)."""
        return np.stack([scene.image for scene in self.scenes])

    @property
    def masks(self) -> np.ndarray:
        """The classes of all pixels, uint8 (N, H, W)."""
        return np.stack([scene.mask for scene in self.scenes])


def make_scenes(
    count: int = 100,
    size: tuple[int, int] = (128, 176),
    signs: tuple[int, int] = (1, 6),
    seed: int = 0,
    part: str = "train",
    workers: int | None = None,
) -> SceneSet:
    """Draw streets with traffic signs: the data set for those who have none.

    Houses, trees, lamps, cars and signs of all 43 classes stand along a road that vanishes at the
    horizon. Signs are of many sizes, worn, turned, and hidden in part by what stands before them.

    Parameters
    ----------
    count : int, default 100
        How many scenes.
    size : (int, int), default (128, 176)
        Height and width, in pixels; at least 16.
    signs : (int, int), default (1, 6)
        The fewest and the most signs that are put up in a scene; one that is wholly hidden is not
        counted among its objects.
    seed : int, default 0
        Every scene depends on the seed, its part, its number, the size and `signs`, and on nothing
        else: asking for more leaves those there are as they are.
    part : {"train", "test"}, default "train"
        The test part shows other streets.
    workers : int, optional
        Threads that draw; by default one per CPU. The result is the same with any number.

    Returns
    -------
    SceneSet
        The scenes.

    Raises
    ------
    ConfigError
        If a number is out of range or the part does not exist.

    Examples
    --------
    >>> scenes = make_scenes(count=2, size=(48, 64))
    >>> scenes.images.shape, scenes.masks.shape
    ((2, 48, 64, 3), (2, 48, 64))
    """
    if count < 1 or min(size) < 16:
        raise ConfigError(f"make_scenes: {count} scenes of size {size}; give 1 or more, from 16 up")
    if not 0 <= signs[0] <= signs[1] <= 200:
        raise ConfigError(f"make_scenes: signs {signs} is no range; give (fewest, most), up to 200")
    if part not in ("train", "test"):
        raise ConfigError(f"make_scenes: part {part!r} does not exist; say 'train' or 'test'")
    if workers is not None and workers < 1:
        raise ConfigError(f"make_scenes: {workers} workers cannot draw; say 1 or more")
    for label in range(NUM_CLASSES):  # its cache may draw twice what two threads ask for at once
        draw_sign(label)

    def draw(number: int) -> Scene:
        return _scene(Stream(seed, "scenes", part, number), size, signs)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return SceneSet(tuple(pool.map(draw, range(count))), f"procedural scenes (seed {seed})")


def _scene(stream: Stream, size: tuple[int, int], signs: tuple[int, int]) -> Scene:
    canvas, put_up = paint_street(stream.child("street"), size, signs)
    image = _photographed(canvas.picture(), stream.child("camera"))
    mask, shown = canvas.maps()
    found = [_visible(shown, number, sign) for number, sign in enumerate(put_up, start=1)]
    kept = [number for number, sight in enumerate(found, start=1) if sight is not None]
    renumbered = np.zeros(len(put_up) + 1, np.uint8)
    renumbered[kept] = np.arange(1, len(kept) + 1)
    sights = [sight for sight in found if sight is not None]
    return Scene(
        image,
        mask,
        renumbered[shown],
        np.array([box for box, _ in sights], np.float32).reshape(-1, 4),
        np.array([put_up[number - 1].label for number in kept], np.int64),
        np.array([difficult for _, difficult in sights], bool),
    )


def _visible(
    shown: np.ndarray, number: int, sign: Sign
) -> tuple[tuple[int, int, int, int], bool] | None:
    """Return the box of what is visible of a sign and whether it is difficult; None if hidden."""
    own = shown == number
    pixels = int(own.sum())
    if not pixels:
        return None
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    box = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    return box, pixels < _SMALLEST or pixels < _HIDDEN * sign.pixels


def _photographed(picture: np.ndarray, s: Stream) -> np.ndarray:
    """Take the picture: light and its colour, haze, blur and grain."""
    from PIL import Image, ImageFilter

    light = math.exp(float(s.normal(mean=-0.1, std=0.28)))
    warmth, tint = (float(s.normal(mean=0.0, std=std)) for std in (0.06, 0.03))
    cast = np.array([1 + warmth, 1 + tint, 1 - warmth], np.float32)
    haze = max(0.0, float(s.normal(mean=-0.02, std=0.08)))
    lit = np.clip((picture * (light * cast)) * (1 - haze) + 0.85 * haze, 0, 1)
    blurred = Image.fromarray((lit * 255 + 0.5).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(abs(float(s.normal(mean=0.0, std=0.35))))
    )
    grain = float(s.uniform(low=0.5, high=4.0)) * s.normal(picture.shape, dtype=np.float32)
    return (np.clip(np.asarray(blurred, np.float32) + grain, 0, 255) + 0.5).astype(np.uint8)
