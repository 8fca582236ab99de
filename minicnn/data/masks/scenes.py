"""Drawn street scenes as a set to segment: the data set for those who have none."""

from __future__ import annotations

import numpy as np

from minicnn.data.image_cache import CacheSetting
from minicnn.data.masks.mask_set import MaskSet
from minicnn.data.masks.sources import StoredMasks
from minicnn.data.masks.storing import stored
from minicnn.data.objects.scenes import drawing_source
from minicnn.data.picture_sources import StoredPictures
from minicnn.data.scenes import SCENE_CLASSES, make_scenes

__all__ = ["load_street_scenes"]


def load_street_scenes(
    count: int = 400,
    size: tuple[int, int] = (128, 176),
    part: str = "train",
    seed: int = 0,
    signs: tuple[int, int] = (1, 6),
    cache: CacheSetting = True,
    workers: int | None = None,
) -> MaskSet:
    """Draw streets with the class of each pixel, or read them where they were kept the first time.

    Parameters
    ----------
    count : int, default 400
        How many scenes.
    size : (int, int), default (128, 176)
        Height and width, in pixels; at least 16.
    part : {"train", "test"}, default "train"
        The test part shows other streets.
    seed : int, default 0
        Which streets; see `minicnn.data.scenes.make_scenes`.
    signs : (int, int), default (1, 6)
        The fewest and the most signs of a scene.
    cache : bool, str, Path or None, default True
        Keep the result on disk: True in `minicnn.data.image_cache.cache_folder`, a path there,
        False or None not at all.
    workers : int, optional
        Threads that draw; by default one per CPU. The result is the same with any number.

    Returns
    -------
    MaskSet
        The scenes, in memory, with the classes of `minicnn.data.scenes.SCENE_CLASSES`.

    Raises
    ------
    ConfigError
        If a number is out of range or the part does not exist.

    Examples
    --------
    >>> scenes = load_street_scenes(count=2, size=(48, 64), cache=None)
    >>> scenes.images.shape, scenes.masks.shape, scenes.names[:3]
    ((2, 48, 64, 3), (2, 48, 64), ('sky', 'building', 'pole'))
    """
    import PIL

    def draw() -> MaskSet:
        scenes = make_scenes(count, size, signs, seed, part, workers)
        return MaskSet(
            StoredPictures(scenes.images),
            StoredMasks(scenes.masks),
            np.arange(count),
            tuple(f"{part}/{number:05d}" for number in range(count)),
            SCENE_CLASSES,
            None,
            scenes.source,
        )

    look = (drawing_source(), np.__version__, PIL.__version__)
    key = ("street masks", count, size, part, seed, signs, look)
    height, width = size
    return stored(cache, f"streets-{part}-{count}-{height}x{width}", key, draw)
