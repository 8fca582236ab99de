"""What every detector needs: to be judged on a set of images, and to be shown a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from minicnn.data.objects import ObjectSet, fit, unfit
from minicnn.detection import Detections, Detector
from minicnn.metrics import MeanAveragePrecision

__all__ = ["Outcome", "find_in", "judge"]

USED: tuple[Literal["voc", "voc2007", "coco"], ...] = ("voc", "voc2007", "coco")
LEAST_SCORE = 0.05  # of detections that are judged: the curve of precision ends there
BATCH = 8  # images at once
SURE = 0.3  # from where on detections are drawn and counted: about the best of both errors


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a detector did on a set of images.

    Parameters
    ----------
    objects : ObjectSet
        The images, fitted to the detector's size.
    detections : tuple of Detections
        What was found in each.
    least : int
        Objects whose smaller side has fewer pixels do not count.
    """

    objects: ObjectSet
    detections: tuple[Detections, ...]
    least: int

    @cached_property
    def truths(self) -> list[dict[str, np.ndarray]]:
        """What there is to be found, as metrics take it."""
        return [self.objects.expected(i, self.least) for i in range(len(self.objects))]

    @cached_property
    def metrics(self) -> dict[str, MeanAveragePrecision]:
        """Mean average precision by protocol, all images seen."""
        found = [d._asdict() for d in self.detections]
        names = self.objects.names
        return {p: MeanAveragePrecision(names, p).update(found, self.truths) for p in USED}

    @cached_property
    def results(self) -> dict[str, dict[str, Any]]:
        """By protocol, what it reports."""
        return {name: metric.result() for name, metric in self.metrics.items()}

    @property
    def precision(self) -> dict[str, float]:
        """Mean average precision by protocol; NaN where there are no objects."""
        return {name: float(result["map"]) for name, result in self.results.items()}

    @property
    def counted(self) -> int:
        """How many objects were to be found."""
        return sum(int((~t["difficult"] & ~t["crowd"]).sum()) for t in self.truths)


def judge(
    net: Detector,
    objects: ObjectSet,
    least: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Outcome:
    """Let a detector find the objects in all images of a set.

    Parameters
    ----------
    net : Detector
        Trained.
    objects : ObjectSet
        Fitted to its size.
    least : int
        Objects whose smaller side has fewer pixels do not count.
    progress : callable, optional
        Told how many images are done.

    Returns
    -------
    Outcome
        What it found in each.
    """
    found: list[Detections] = []
    for start in range(0, len(objects), BATCH):
        images = np.stack([objects[i].image for i in range(len(objects))[start : start + BATCH]])
        found += net.find(images, score=LEAST_SCORE)
        progress(len(found))
    return Outcome(objects, tuple(found), least)


def find_in(net: Detector, picture: np.ndarray, size: tuple[int, int], score: float) -> Detections:
    """Find objects in a picture of any size, as `judge` does: boxes may overlap as much.

    Parameters
    ----------
    net : Detector
        Trained.
    picture : ndarray of uint8, shape (H, W, 3)
        RGB.
    size : (int, int)
        Height and width that it is fitted into, in pixels: those of training.
    score : float
        What is less sure is left out.

    Returns
    -------
    Detections
        In pixels of the picture.
    """
    image, _, scale = fit(picture, np.empty((0, 4)), size)
    found = net.find(image[None], score=score)[0]
    boxes = unfit(found.boxes, scale, picture.shape[:2])
    inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # not only in the margin
    return Detections(boxes[inside], found.scores[inside], found.classes[inside])
