"""The sliding window: a classifier looks at every place, in every size.

The rung all others are measured against. Images of a pyramid, each smaller than the one before by
a constant factor, are covered with windows of one size that overlap, and a network that has learned
to tell objects from background classifies each window by itself: some thirty thousand for a small
image. A window cannot be anything but square, and cannot move: a found box is as exact as the grid.

Where this departs from the papers below: their classifiers were not deep, and mined their
background in rounds; here every batch draws it anew, half of it close to the objects, where a
classifier errs most.

References
----------
Viola and Jones, "Rapid object detection using a boosted cascade of simple features", CVPR 2001.
Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
Sermanet et al., "OverFeat: Integrated recognition, localization and detection using convolutional
networks", ICLR 2014: how convolutions share what windows have in common, which is not done here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.backend.device import as_numpy
from minicnn.backend.random import Stream
from minicnn.detection._sampling import BACKGROUND, check_counts, draw, label_boxes
from minicnn.detection.crops import CropClassifier, in_parts, warp_boxes
from minicnn.detection.detector import (
    IGNORED,
    Detections,
    Detector,
    Objects,
    best_boxes,
    objects_in,
)
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone

__all__ = ["SlidingWindow"]

_POSITIVE, _NEGATIVE = 0.6, 0.5  # overlaps: from the first on an object, below the second none
_NEAR = 24  # windows drawn around each object
_ANYWHERE = 64  # windows drawn all over the image
_FARTHEST = 0.5  # of an object's size: how far windows around it are moved
_GROWTH = 0.5  # of the logarithm of its size: how much larger or smaller they are


class SlidingWindow(Detector):
    """Classify windows of all sizes at all places, and keep the best.

    Parameters
    ----------
    classes : int
        K, the background not among them.
    backbone : Backbone, optional
        By default one of 16 channels and three stages.
    window : int, default 64
        Height and width of a window as the network sees it, in pixels.
    context : int, default 8
        How many of these, at each side, show what is around the box.
    smallest : float, default 10
        Side of the smallest boxes, in pixels of the image.
    growth : float, default 1.2
        From one side to the next larger one, until the image's shorter side.
    step : float, default 0.2
        From one window to the next, as a share of the box's side.
    samples : int, default 32
        Windows of an image that are learned from, a quarter of them with an object if there is one.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Notes
    -----
    With the label u of each of n windows, an object's class from an overlap of 0.6 on and K
    (background) below 0.5, and the network's K+1 scores p,
    ``L = -1/n sum_i log softmax(p_i)[u_i]``.
    """

    def __init__(
        self,
        classes: int,
        backbone: Backbone | None = None,
        window: int = 64,
        context: int = 8,
        smallest: float = 10.0,
        growth: float = 1.2,
        step: float = 0.2,
        samples: int = 32,
    ) -> None:
        super().__init__(classes)
        if not (smallest > 0 and growth > 1 and 0 < step <= 1 and 0 <= 2 * context < window):
            raise ConfigError(
                f"SlidingWindow: windows of {window} with a context of {context}, from {smallest} "
                f"up by {growth}, a step of {step}; give a context below half the window, a size "
                "above 0, a growth above 1 and a step up to 1"
            )
        check_counts("SlidingWindow", samples=samples)
        self.window, self.context, self.smallest = window, context, float(smallest)
        self.growth, self.step, self.samples = float(growth), float(step), samples
        self.net = CropClassifier(classes, window, backbone=backbone)
        self._streams = nn.CallStreams("windows")

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Classify windows drawn at random; see `Detector.losses`.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            A batch from `scaled`.
        truths : dict
            "boxes" and "classes".

        Returns
        -------
        dict of str to Tensor, shape ()
            "class".
        """
        stream, size = self._streams.next(self), (images.shape[2], images.shape[3])
        drawn = []
        for image in range(len(images)):
            objects = objects_in(truths, image, size)
            own = self._draw(objects, size, stream.child(image))
            drawn.append((*own, np.full(len(own[0]), image)))
        boxes, labels, numbers = (np.concatenate(part) for part in zip(*drawn, strict=True))
        return self.net.losses(
            warp_boxes(images, boxes, numbers, self.window, self.context), labels
        )

    def _draw(
        self, objects: Objects, size: tuple[int, int], stream: Stream
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return windows of an image (R, 4) to learn from, and their labels (R,)."""
        near = _windows_near(objects.boxes, stream.child("near"))
        windows = np.concatenate([near, self._windows_anywhere(size, stream.child("anywhere"))])
        labels = label_boxes(windows, objects, _POSITIVE, _NEGATIVE, best_too=False)
        chosen = draw(labels, self.samples, 0.25, stream.child("draw"))
        if not len(chosen):  # all is covered by what is ignored
            return windows[:1], np.array([IGNORED])
        boxes, labels = windows[chosen], labels[chosen]
        there = labels != BACKGROUND
        labels[there] = objects.classes[labels[there]]
        labels[~there] = self.classes
        return boxes, labels

    def _windows_anywhere(self, size: tuple[int, int], stream: Stream) -> np.ndarray:
        """Return windows (R, 4) as the pyramid has them, small ones more often."""
        sides = np.array(list(self.sides(size)))
        many = 1 / sides  # in the pyramid it is 1 / sides**2, and large ones would hardly be seen
        levels = np.searchsorted(
            np.cumsum(many / many.sum())[:-1], stream.uniform(_ANYWHERE), side="right"
        )
        side = sides[levels]
        y0 = stream.uniform(_ANYWHERE) * (size[0] - side)
        x0 = stream.uniform(_ANYWHERE) * (size[1] - side)
        return np.stack([y0, x0, y0 + side, x0 + side], axis=1).astype(np.float32)

    def sides(self, size: tuple[int, int]) -> Iterator[float]:
        """Yield the sides of the boxes that are looked for.

        Parameters
        ----------
        size : (int, int)
            Height and width of the image, in pixels.

        Yields
        ------
        float
            In pixels of the image, the smallest first; at least one.
        """
        side, longest = min(self.smallest, *size), min(size)
        while side <= longest:
            yield side
            side *= self.growth

    def levels(self, size: tuple[int, int]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """Yield the pyramid's levels: how large the image is made, and where windows begin.

        Parameters
        ----------
        size : (int, int)
            Height and width of the image, in pixels.

        Yields
        ------
        size : (int, int)
            Height and width of the level.
        corners : ndarray of int64, shape (R, 2)
            First row and column of each box in the level.
        """
        box = self.window - 2 * self.context
        for side in self.sides(size):
            height, width = (max(round(pixels * box / side), box) for pixels in size)
            step = max(round(box * self.step), 1)
            rows, columns = (
                np.unique(np.append(np.arange(0, pixels - box, step), pixels - box))
                for pixels in (height, width)
            )
            grid = np.meshgrid(rows, columns, indexing="ij")
            yield (height, width), np.stack(grid, axis=-1).reshape(-1, 2)

    def detect(
        self, images: Tensor, score: float = 0.05, overlap: float = 0.3, limit: int = 100
    ) -> list[Detections]:
        """Classify every window of every image.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.
        score, overlap, limit
            As for `Detector.detect`; windows of neighbouring sizes overlap less than boxes that
            were fitted, hence 0.3.

        Returns
        -------
        list of Detections
            One for each image.
        """
        found = []
        for image in range(len(images)):
            boxes, sure = [], []
            for size, corners in self.levels((images.shape[2], images.shape[3])):
                boxes.append(self._boxes(corners, size, (images.shape[2], images.shape[3])))
                sure.append(self._classified(images[image : image + 1], size, corners))
            found.append(
                best_boxes(np.concatenate(boxes), np.concatenate(sure), score, overlap, limit)
            )
        return found

    def find(
        self, images: np.ndarray, score: float = 0.05, overlap: float = 0.3, limit: int = 100
    ) -> list[Detections]:
        """Find objects in pictures, from pixels to boxes.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            RGB.
        score, overlap, limit
            As for `detect`.

        Returns
        -------
        list of Detections
            One for each image.
        """
        return super().find(images, score, overlap, limit)

    def _boxes(
        self, corners: np.ndarray, level: tuple[int, int], size: tuple[int, int]
    ) -> np.ndarray:
        """Return the boxes (R, 4) of a level's windows in pixels of the image."""
        box = self.window - 2 * self.context
        scale = np.array(size, np.float64) / level
        return np.concatenate([corners * scale, (corners + box) * scale], axis=1)

    def _classified(self, image: Tensor, size: tuple[int, int], corners: np.ndarray) -> np.ndarray:
        """Return how sure each window of a level shows each class (R, K)."""
        level = ops.resize(image, size, mode="linear", antialias=True, axes=(2, 3))
        around = ((0, 0), (0, 0), (self.context,) * 2, (self.context,) * 2)
        pixels = ops.pad(level, around).data[0].transpose(1, 2, 0)  # (H, W, 3)
        xp, side, sure = array_module(pixels), self.window, []
        pixels = xp.ascontiguousarray(pixels)
        for part in in_parts(len(corners)):
            windows = xp.stack([pixels[y : y + side, x : x + side] for y, x in corners[part]])
            logits = self.net(Tensor(windows.transpose(0, 3, 1, 2)))
            sure.append(as_numpy(ops.softmax(logits).data)[:, :-1])
        return np.concatenate(sure)


def _windows_near(boxes: np.ndarray, stream: Stream) -> np.ndarray:
    """Return squares (R, 4) about as large as objects (T, 4), moved and grown at random."""
    shape = len(boxes), _NEAR
    centre = 0.5 * (boxes[:, None, :2] + boxes[:, None, 2:])
    size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))[:, None]
    # Two draws are multiplied: most windows stay close, where the classifier must be exact.
    draws = stream.uniform((3, *shape), -1.0, 1.0) * stream.uniform((1, *shape))
    half = 0.5 * size * np.exp(_GROWTH * draws[0])
    centre = centre + _FARTHEST * size[..., None] * np.moveaxis(draws[1:], 0, -1)
    corners = np.concatenate([centre - half[..., None], centre + half[..., None]], axis=-1)
    return corners.reshape(-1, 4).astype(np.float32)
