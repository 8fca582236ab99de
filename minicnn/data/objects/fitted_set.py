"""A whole set brought to one size, in memory and kept on disk: what training runs on."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from minicnn.data.image_cache import CacheSetting
from minicnn.data.objects.fitting import fit
from minicnn.data.objects.object_set import Annotation, ObjectSet
from minicnn.data.objects.pictures import StoredPictures
from minicnn.data.objects.storing import stored
from minicnn.errors import ConfigError, DataError

__all__ = ["fit_all"]


def fit_all(
    objects: ObjectSet,
    size: tuple[int, int],
    cache: CacheSetting = True,
    skip_bad: bool = False,
    workers: int | None = None,
) -> ObjectSet:
    """Read all images of a set and bring them to one size, their boxes with them; see `fit`.

    Parameters
    ----------
    objects : ObjectSet
        The set.
    size : (int, int)
        Height and width in pixels.
    cache : bool, str, Path or None, default True
        Keep the result on disk: True in `minicnn.data.image_cache.cache_folder`, a path there,
        False or None not at all.
    skip_bad : bool, default False
        Leave out images whose files are broken and list them in `faults`, instead of ending the
        run.
    workers : int, optional
        Threads that decode; by default one per CPU. The result is the same with any number.

    Returns
    -------
    ObjectSet
        The set in memory; its `images` are one array.

    Raises
    ------
    ConfigError
        If an argument makes no sense, or there is too little memory.
    DataError
        If an image is broken; the message names its file.
    """
    if not 1 <= min(size) <= max(size) <= 8192:
        raise ConfigError(f"fit_all: size {size}; give a height and width of 1 to 8192 pixels")
    if workers is not None and workers < 1:
        raise ConfigError(f"fit_all: {workers} workers cannot decode; say 1 or more")
    import PIL

    height, width = size
    key = ("fitted", objects.fingerprint(), objects.files, objects.faults, size, skip_bad)
    found = stored(
        cache,
        f"objects-{len(objects)}-{height}x{width}",
        (*key, PIL.__version__),
        lambda: _read_all(objects, size, skip_bad, workers),
    )
    return replace(found, source=objects.source)


def _read_all(
    objects: ObjectSet, size: tuple[int, int], skip_bad: bool, workers: int | None
) -> ObjectSet:
    """Decode every image on several threads; faults come out in their order."""
    images = _empty(len(objects), size)

    def read(index: int) -> tuple[np.ndarray, str]:
        try:
            example = objects[index]
        except DataError as error:
            if not skip_bad:
                raise
            return np.empty((0, 4), np.float32), str(error)
        images[index], boxes, _ = fit(example.image, example.boxes, size)
        return boxes, ""

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            done = list(pool.map(read, range(len(objects))))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    good = np.array([not reason for _, reason in done], bool)
    if not good.any():
        raise DataError(
            f"{objects.source}: no usable image; {done[0][1] if done else 'none at all'}"
        )
    faults = [
        (file, reason) for file, (_, reason) in zip(objects.files, done, strict=True) if reason
    ]
    notes = [
        Annotation(note.file, boxes, *note[2:])
        for note, (boxes, reason) in zip(objects.annotations, done, strict=True)
        if not reason
    ]
    return ObjectSet(
        StoredPictures(images if good.all() else images[good]),
        np.arange(len(notes)),
        tuple(notes),
        objects.names,
        objects.source,
        (*objects.faults, *faults),
    )


def _empty(count: int, size: tuple[int, int]) -> np.ndarray:
    """Return room for the images, if there is."""
    try:
        return np.empty((count, *size, 3), np.uint8)
    except MemoryError:
        needed = count * size[0] * size[1] * 3 / 2**30
        raise ConfigError(
            f"fit_all: {count:,} images of {size[0]} x {size[1]} pixels need {needed:,.0f} GiB of "
            "memory; make the size smaller"
        ) from None
