"""A whole set brought to one size, in memory and kept on disk: what training runs on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn.data.image_cache import CacheSetting
from minicnn.data.objects.fitting import fit
from minicnn.data.objects.object_set import Annotation, ObjectSet
from minicnn.data.objects.storing import stored
from minicnn.data.picture_sources import StoredPictures
from minicnn.data.reading_all import check_request, read_all, room

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
    check_request("fit_all", size, workers)
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
    """Decode every image; faults come out in their order."""
    images = room("fit_all", (len(objects), *size, 3), np.uint8)

    def read(index: int) -> np.ndarray:
        example = objects[index]
        images[index], boxes, _ = fit(example.image, example.boxes, size)
        return boxes

    found = read_all(objects, read, skip_bad, workers)
    notes = [
        Annotation(objects.annotations[row].file, boxes, *objects.annotations[row][2:])
        for row, boxes in zip(found.rows.tolist(), found.results, strict=True)
    ]
    return ObjectSet(
        StoredPictures(images if len(found.rows) == len(objects) else images[found.rows]),
        np.arange(len(notes)),
        tuple(notes),
        objects.names,
        objects.source,
        (*objects.faults, *found.faults),
    )
