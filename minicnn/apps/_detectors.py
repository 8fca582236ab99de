"""The detectors by their names: how each is built, and how it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicnn import detection
from minicnn.detection import Backbone, Detector

__all__ = ["DETECTORS", "Recipe"]

PROPOSALS = 1000  # by selective search, of an image, that a detector is trained with
Boxes = np.ndarray | None


def _sliding(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.SlidingWindow(classes, Backbone(channels))


def _rcnn(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.RCNN(classes, Backbone(channels))


def _faster(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.FasterRCNN(classes, Backbone(channels))


def _fast(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.FastRCNN(classes, Backbone(channels), proposals=PROPOSALS)


def _dense(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.DenseDetector(classes, channels)


def _ssd(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.SSD(classes, backbone=Backbone(channels))


def _yolo(classes: int, channels: int, boxes: Boxes) -> Detector:
    sizes = None if boxes is None else detection.kmeans_anchors(boxes)
    return detection.YOLO(classes, sizes, backbone=Backbone(channels))


def _retina(classes: int, channels: int, _: Boxes) -> Detector:
    return detection.RetinaNet(classes, backbone=Backbone(channels))


@dataclass(frozen=True)
class Recipe:
    """How a detector is built and trained.

    Parameters
    ----------
    title : str
        Its name among people.
    build : callable
        ``(classes, channels, boxes) -> Detector``; boxes (T, 4) of objects, for shapes of anchors.
    steps : int
        Of training, on drawn scenes of 192x256.
    peak : float
        The learning rate at the peak of the one-cycle schedule.
    batch : int, default 8
        Images a step.
    decay : float, default 1e-4
        Of weights, by AdamW.
    proposals : int, default 0
        How many boxes of selective search each training image comes with.
    """

    title: str
    build: Callable[[int, int, Boxes], Detector]
    steps: int
    peak: float
    batch: int = 8
    decay: float = 1e-4
    proposals: int = 0


DETECTORS: dict[str, Recipe] = {
    "sliding": Recipe("sliding window", _sliding, 800, 3e-3),
    "rcnn": Recipe("R-CNN", _rcnn, 800, 3e-3, proposals=PROPOSALS),
    "fast": Recipe("Fast R-CNN", _fast, 1500, 2e-3, proposals=PROPOSALS),
    "faster": Recipe("Faster R-CNN", _faster, 1800, 2e-3),
    "dense": Recipe("dense one-stage", _dense, 2600, 4e-3),
    "ssd": Recipe("SSD", _ssd, 2500, 2e-3),
    "yolo": Recipe("YOLO", _yolo, 2500, 2e-3),
    "retina": Recipe("RetinaNet", _retina, 1800, 2e-3),
}
