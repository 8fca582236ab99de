"""A whole set of procedural signs, as tracks of frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from minicnn.data.classes import NUM_CLASSES
from minicnn.data.image_cache import CacheSetting, cached
from minicnn.data.sign_table import TRACKS_PER_CLASS, SignTable
from minicnn.data.signs.drawing import draw_sign
from minicnn.data.signs.scene import picture, scene
from minicnn.errors import ConfigError

__all__ = ["make_signs"]


def make_signs(
    tracks_per_class: int = 10,
    frames: int = 10,
    size: int = 32,
    seed: int = 0,
    part: str = "train",
    cache: CacheSetting = True,
    workers: int | None = None,
) -> SignTable:
    """Draw traffic signs as a car's camera sees them: the data set for those who have none.

    All 43 classes of the GTSRB catalogue, each as several tracks: pictures of one
    physical sign that the car drives up to, under one light, before one background. It
    has what makes the real set hard (distance, blur, glare, shade, wear), but it is not the
    real set: report results on it as results on drawn signs.

    Parameters
    ----------
    tracks_per_class : int, default 10
        How many physical signs of each class.
    frames : int, default 10
        How many pictures of each. Ten make an approach; later ones fall between them.
    size : int, default 32
        Width and height of every image, in pixels.
    seed : int, default 0
        Every image depends on the seed, its part, class, track, frame and size, and on
        nothing else: asking for more leaves those there are as they are.
    part : {"train", "test"}, default "train"
        The test part shows other signs at other places.
    cache : bool, str, Path or None, default True
        Keep the result on disk; see `minicnn.data.gtsrb.load_gtsrb`.
    workers : int, optional
        Threads that draw; by default one per CPU. The result is the same with any number.

    Returns
    -------
    SignTable
        ``43 * tracks_per_class * frames`` images, ordered by class, track and frame.

    Raises
    ------
    ConfigError
        If a number is not positive or the part does not exist.
    """
    for name, value in (("tracks_per_class", tracks_per_class), ("frames", frames), ("size", size)):
        if value < 1:
            raise ConfigError(f"make_signs: {name} is {value}; give 1 or more")
    if tracks_per_class > TRACKS_PER_CLASS:
        raise ConfigError(f"make_signs: at most {TRACKS_PER_CLASS} tracks of a class have numbers")
    if part not in ("train", "test"):
        raise ConfigError(f"make_signs: part {part!r} does not exist; say 'train' or 'test'")
    if workers is not None and workers < 1:
        raise ConfigError(f"make_signs: {workers} workers cannot draw; say 1 or more")
    import PIL

    look = (_own_source(), np.__version__, PIL.__version__)
    key = ("signs", tracks_per_class, frames, size, seed, part, look)
    return cached(
        cache,
        f"signs-{part}-{size}",
        key,
        lambda: _drawn(tracks_per_class, frames, size, seed, part, workers),
    )


def _drawn(
    tracks_per_class: int, frames: int, size: int, seed: int, part: str, workers: int | None
) -> SignTable:
    shape = (NUM_CLASSES, tracks_per_class, frames)
    images = np.empty((*shape, size, size, 3), np.uint8)

    def draw(which: tuple[int, int]) -> None:
        place = scene(seed, part, *which)
        for frame in range(frames):
            images[(*which, frame)] = picture(place, frame, size)

    for label in range(NUM_CLASSES):  # lru_cache may draw twice what two threads ask for at once
        draw_sign(label)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for _ in pool.map(draw, np.ndindex(shape[:2])):
            pass
    label, track, _ = (axis.ravel() for axis in np.indices(shape))
    return SignTable(
        images.reshape(-1, size, size, 3),
        label.astype(np.int64),
        (label * TRACKS_PER_CLASS + track).astype(np.int64),
        tuple(_names(shape)),
        f"procedural signs (seed {seed})",
    )


def _names(shape: tuple[int, int, int]) -> Iterator[str]:
    for label, track, frame in np.ndindex(shape):
        yield f"{label:05d}/{track:05d}_{frame:05d}"


@lru_cache(maxsize=1)
def _own_source() -> tuple[bytes, ...]:
    """Read the drawing code itself: whoever changes it never sees the old signs again."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple(file.read_bytes() for file in files)
