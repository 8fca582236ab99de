"""The stream of batches that a detector learns from, and the proposals that some need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from minicnn.apps._detect_settings import Settings
from minicnn.apps._detectors import DETECTORS
from minicnn.apps._images import changed, training_batches
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augment import (
    IGNORED,
    Compose,
    Flip,
    Picture,
    any_side_up,
    batched,
    street_view,
)
from minicnn.data.objects import ObjectSet
from minicnn.detection import scaled

__all__ = ["propose_all", "training_input", "whole_batches"]

BATCH = 8  # images at once where nothing is learned


def propose_all(
    settings: Settings,
    objects: ObjectSet,
    progress: Callable[[int], None] = lambda done: None,
) -> list[np.ndarray] | None:
    """Find by selective search where objects may be in each image, if the detector learns from it.

    Parameters
    ----------
    settings : Settings
        Which detector.
    objects : ObjectSet
        The images, fitted.
    progress : callable, optional
        Told how many images are done.

    Returns
    -------
    list of ndarray of float32, shape (P, 4), or None
        Boxes of each image, the likeliest first; None if there is no use for them.
    """
    limit = DETECTORS[settings.detector].proposals
    if not limit:
        return None
    from minicnn.detection import propose

    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for boxes in pool.map(lambda i: propose(objects[i].image, limit), range(len(objects))):
            found.append(np.asarray(boxes, np.float32))
            progress(len(found))
    return found


def training_input(
    settings: Settings,
    objects: ObjectSet,
    proposals: Sequence[np.ndarray] | None = None,
    workers: int = 2,
) -> Dataset:
    """Describe the endless stream of training batches.

    Parameters
    ----------
    settings : Settings
        The batch size, the seed, and how images are changed at random.
    objects : ObjectSet
        What to learn from, fitted.
    proposals : sequence of ndarray, optional
        Boxes of each image, from `propose_all`.
    workers : int, default 2
        Threads that prepare batches ahead; the batches are the same with any number.

    Returns
    -------
    Dataset
        Of (images (N, 3, H, W) float32, truths).
    """
    pictures = Pictures(objects, settings.least, proposals)
    change = _changes(settings, pictures)

    def prepare(rows: np.ndarray, stream: Stream) -> Any:
        seen = [pictures[row] for row in rows.tolist()]
        images, truths = batched(changed(seen, change, stream))
        return scaled(images), truths

    return training_batches(settings, len(objects), prepare, workers)


def whole_batches(
    settings: Settings, objects: ObjectSet, proposals: Sequence[np.ndarray] | None = None
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Yield each image once, as it is.

    Parameters
    ----------
    settings : Settings
        Which objects are too small to count.
    objects : ObjectSet
        The images, fitted.
    proposals : sequence of ndarray, optional
        Boxes of each image, from `propose_all`.

    Yields
    ------
    images : ndarray of uint8, shape (N, H, W, 3)
        A few images.
    truths : dict
        See `minicnn.detection.Detector.losses`.
    """
    pictures = Pictures(objects, settings.least, proposals)
    for start in range(0, len(pictures), BATCH):
        yield batched([pictures[i] for i in range(len(pictures))[start : start + BATCH]])


class Pictures:
    """A set of images as augmentation takes them.

    Parameters
    ----------
    objects : ObjectSet
        The images, fitted.
    least : float
        Objects whose smaller side has fewer pixels are ignored, as difficult ones and crowds.
    proposals : sequence of ndarray, optional
        Boxes of each image.
    """

    def __init__(
        self, objects: ObjectSet, least: float, proposals: Sequence[np.ndarray] | None = None
    ) -> None:
        self._objects, self._least, self._proposals = objects, least, proposals

    def __len__(self) -> int:
        return len(self._objects)

    def __getitem__(self, index: int) -> Picture:
        image, boxes, classes, *_ = self._objects[index]
        expected = self._objects.expected(index, self._least)
        ignored = expected["difficult"] | expected["crowd"]
        proposals = None if self._proposals is None else self._proposals[index]
        return Picture(image, boxes, np.where(ignored, IGNORED, classes), None, proposals)


def _changes(settings: Settings, pictures: Pictures) -> Compose | None:
    """Return how images are changed at random; None for not at all."""
    if not settings.augment:
        return None
    least = float(settings.least)
    if settings.flips == "none":
        return street_view(smallest=least)
    if settings.flips == "all":
        return any_side_up(smallest=least)
    return Compose([Flip(), *street_view().transforms], street_view(smallest=least).rules)
