"""Drawn street scenes as a set to find signs in: the data set for those who have none."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from minicnn.data.classes import CLASS_NAMES, GROUP_NAMES, NUM_CLASSES, group_of
from minicnn.data.image_cache import CacheSetting
from minicnn.data.objects.object_set import Annotation, ObjectSet
from minicnn.data.objects.storing import stored
from minicnn.data.picture_sources import StoredPictures
from minicnn.data.scenes import making
from minicnn.data.signs import drawing

__all__ = ["drawing_source", "in_groups", "load_scenes"]


def load_scenes(
    count: int = 600,
    size: tuple[int, int] = (192, 256),
    part: str = "train",
    seed: int = 0,
    groups: bool = True,
    signs: tuple[int, int] = (1, 6),
    cache: CacheSetting = True,
    workers: int | None = None,
) -> ObjectSet:
    """Draw streets with traffic signs, or read them where they were kept the first time.

    Parameters
    ----------
    count : int, default 600
        How many scenes.
    size : (int, int), default (192, 256)
        Height and width, in pixels; at least 16.
    part : {"train", "test"}, default "train"
        The test part shows other streets.
    seed : int, default 0
        Which streets; see `minicnn.data.scenes.make_scenes`.
    groups : bool, default True
        Whether the classes are the four groups of `minicnn.data.classes.SIGN_GROUPS`, or all 43.
    signs : (int, int), default (1, 6)
        The fewest and the most signs of a scene.
    cache : bool, str, Path or None, default True
        Keep the result on disk: True in `minicnn.data.image_cache.cache_folder`, a path there,
        False or None not at all.
    workers : int, optional
        Threads that draw; by default one per CPU. The result is the same with any number.

    Returns
    -------
    ObjectSet
        The scenes, in memory.

    Raises
    ------
    ConfigError
        If a number is out of range or the part does not exist.

    Examples
    --------
    >>> scenes = load_scenes(count=2, size=(48, 64), cache=None)
    >>> scenes.images.shape, scenes.names
    ((2, 48, 64, 3), ('prohibitory', 'danger', 'mandatory', 'other'))
    """
    import PIL

    def draw() -> ObjectSet:
        return _as_objects(making.make_scenes(count, size, signs, seed, part, workers), part)

    look = (drawing_source(), np.__version__, PIL.__version__)
    key = ("scenes", count, size, part, seed, signs, look)
    height, width = size
    scenes = stored(cache, f"scenes-{part}-{count}-{height}x{width}", key, draw)
    return in_groups(scenes) if groups else scenes


def in_groups(objects: ObjectSet) -> ObjectSet:
    """Return a set of signs with the four groups as classes.

    Parameters
    ----------
    objects : ObjectSet
        With the 43 classes of `minicnn.data.classes`.

    Returns
    -------
    ObjectSet
        The pixels are shared.

    Raises
    ------
    ConfigError
        If it has other classes.
    """
    return objects.regrouped([group_of(label) for label in range(NUM_CLASSES)], GROUP_NAMES)


def _as_objects(scenes: making.SceneSet, part: str) -> ObjectSet:
    notes = [
        Annotation(
            f"{part}/{number:05d}",
            scene.boxes,
            scene.labels,
            scene.difficult,
            np.zeros(len(scene.labels), bool),
        )
        for number, scene in enumerate(scenes.scenes)
    ]
    pictures = StoredPictures(scenes.images)
    return ObjectSet(pictures, np.arange(len(notes)), tuple(notes), CLASS_NAMES, scenes.source)


@lru_cache(maxsize=1)
def drawing_source() -> tuple[bytes, ...]:
    """Read the drawing code itself: whoever changes it never sees the old scenes again."""
    folders = [Path(str(module.__file__)).parent for module in (making, drawing)]
    return tuple(file.read_bytes() for folder in folders for file in sorted(folder.glob("*.py")))
