"""R-CNN: regions with features of a convolutional network.

What the rung adds to the sliding window: some two thousand proposals instead of all windows, of any
shape; features of a network that is trained on them; a support vector machine for each class, which
sees its hardest background; and a regression that moves a box to where the object is. It costs
minutes of training in three stages, and each proposal its own run through the network.

Departures: the network begins at random weights, not at those for a million photographs, so it is
trained on boxes from the start; the hinge is squared, for which the exact solution is fast; all
stages see the images that the program has, of which the second looks at some of the proposals.

References
----------
Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies for accurate object detection and
semantic segmentation", CVPR 2014.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import as_numpy, to_device
from minicnn.backend.random import Stream
from minicnn.detection._rcnn_fitting import Fitted, Fitting, some_proposals
from minicnn.detection._ridge import product
from minicnn.detection._sampling import sample_regions
from minicnn.detection.crops import CropClassifier, in_parts, warp_boxes
from minicnn.detection.detector import (
    IGNORED,
    Detections,
    Detector,
    Objects,
    best_boxes,
    objects_in,
    scaled,
)
from minicnn.detection.selective_search import propose
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone

__all__ = ["RCNN"]

_STEEPNESS = 2.0  # of scores: margins of -1, 0 and 1 become 0.12, 0.5 and 0.88


class RCNN(Detector):
    """Warp each proposal, compute its features, judge them by linear machines, move the box.

    It is trained in stages: first `losses`, step by step, as any detector; then `finish`, once.
    Without the second stage the network's own scores and the proposals as they are are used.

    Parameters
    ----------
    classes : int
        K, the background not among them.
    backbone : Backbone, optional
        By default one of 16 channels and three stages.
    window : int, default 80
        Height and width that proposals are warped to, in pixels.
    context : int, default 8
        How many of these, at each side, show what is around the proposal.
    features : int, default 256
        Numbers F that the machines see.
    proposals : int, default 2000
        How many of an image are looked at, at most.
    samples : int, default 16
        Proposals of an image that a step learns from, at most a quarter of them with an object.
    search : callable, optional
        ``search(image, limit)`` proposes boxes, float32 (P, 4), in a uint8 image (H, W, 3); by
        default `minicnn.detection.propose`.

    Attributes
    ----------
    machines : Buffer, shape (F, K)
        The weights of the support vector machines, and `thresholds`, shape (K,), what is added.
    regressions : Buffer, shape (P, K, 4)
        From pooled features to steps of the box, and `offsets`, shape (K, 4), what is added.
    scales : Buffer, shape (2,)
        What features and pooled features are multiplied with.
    finished : Buffer, shape ()
        1 once `finish` was called, else 0.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Notes
    -----
    With the label u of each of n warped proposals, the class of the object it overlaps by 0.5 or
    more or else K (background), and the scores p, the first stage's loss is
    ``L = -1/n sum_i log softmax(p_i)[u_i]``.

    Then the network stays as it is. A class's machine learns from the objects' own boxes against
    proposals that overlap each object of the class by less than 0.3; what is in between is left
    out. A box is moved by the steps of `ops.encode_boxes`, each a ridge regression on pooled
    features, learned from proposals that overlap an object by 0.6 or more.
    """

    def __init__(
        self,
        classes: int,
        backbone: Backbone | None = None,
        window: int = 80,
        context: int = 8,
        features: int = 256,
        proposals: int = 2000,
        samples: int = 16,
        search: Callable[[np.ndarray, int], np.ndarray] | None = None,
    ) -> None:
        super().__init__(classes)
        if not 0 <= 2 * context < window or min(features, proposals, samples) < 1:
            raise ConfigError(
                f"RCNN: windows of {window} with a context of {context}, {features} features, "
                f"{proposals} proposals, {samples} samples; give a context below half the window, "
                "and 1 or more of the others"
            )
        self.window, self.context = window, context
        self.proposals, self.samples = proposals, samples
        self.net = CropClassifier(classes, window, features, backbone)
        pooled = self.net.pooled
        self.machines = nn.Buffer(np.zeros((features, classes), np.float32))
        self.thresholds = nn.Buffer(np.zeros(classes, np.float32))
        self.regressions = nn.Buffer(np.zeros((pooled, classes, 4), np.float32))
        self.offsets = nn.Buffer(np.zeros((classes, 4), np.float32))
        self.scales = nn.Buffer(np.ones(2, np.float32))
        self.finished = nn.Buffer(np.zeros((), np.int64))
        self.search = search or propose
        self._streams = nn.CallStreams("proposals")

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Classify proposals drawn at random; see `Detector.losses`.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            A batch from `scaled`.
        truths : dict
            "boxes", "classes" and "proposals", float32 (N, P, 4); rows without area only fill up.

        Returns
        -------
        dict of str to Tensor, shape ()
            "class".
        """
        stream, size = self._streams.next(self), (images.shape[2], images.shape[3])
        proposals = _proposals_of(truths)
        drawn = []
        for image, own in enumerate(proposals):
            objects = objects_in(truths, image, size)
            drawn.append(sample_regions(own, objects, self.samples, 0.25, stream.child(image)))
        boxes = np.concatenate([regions.boxes for regions in drawn])
        numbers = np.repeat(np.arange(len(drawn)), [len(regions.boxes) for regions in drawn])
        labels = np.concatenate([regions.classes for regions in drawn])
        labels = np.where(labels >= 0, labels, self.classes)
        if not len(boxes):  # nothing was proposed: the image, which counts for nothing
            boxes, labels = np.array([[0, 0, *size]]), np.array([IGNORED])
            numbers = np.zeros(1, np.int64)
        crops = warp_boxes(images, boxes, numbers, self.window, self.context)
        return self.net.losses(crops, labels)

    def finish(
        self,
        batches: Iterable[tuple[np.ndarray, Mapping[str, Any]]],
        limit: int = 200,
        penalty: float = 1000.0,
        seed: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Fit the machines and the regressions, the network as it is.

        Parameters
        ----------
        batches : iterable of (ndarray, dict)
            Images, uint8 (N, H, W, 3), and truths as for `losses`; each image once, say. They are
            not all kept in memory.
        limit : int, default 200
            Proposals of an image that are looked at, drawn at random; those that overlap an
            object first, but no more than half.
        penalty : float, default 1000
            Lambda of the ridge regression (the paper's, appendix C).
        seed : int, default 0
            Of what is drawn.
        progress : callable, optional
            Called after each batch with the number of images so far.
        """
        fitting = Fitting(self.classes, self.machines.shape[0], self.net.pooled)
        count = 0
        with no_grad(), nn.evaluating():
            for images, truths in batches:
                pixels = Tensor(to_device(scaled(images), self.machines.device))
                for image, own in enumerate(_proposals_of(truths)):
                    objects = objects_in(truths, image, images.shape[1:3])
                    self._study(
                        pixels[image : image + 1], objects, own, limit, Stream(seed, count), fitting
                    )
                    count += 1
                if progress is not None:
                    progress(count)
        self._take(fitting.result(penalty))

    def _study(
        self,
        image: Tensor,
        objects: Objects,
        proposals: np.ndarray,
        limit: int,
        stream: Stream,
        fitting: Fitting,
    ) -> None:
        """Compute features of an image's objects and of some proposals, and learn from them."""
        boxes = some_proposals(_sound(proposals), objects, limit, stream)
        boxes = np.concatenate([objects.boxes, boxes])
        if not len(boxes):
            return
        features, pooled = self._features(image, boxes)
        fitting.see(features, pooled, boxes, objects)

    def _features(self, image: Tensor, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the features (R, F) and pooled features (R, P) of an image's boxes."""
        both: list[tuple[np.ndarray, np.ndarray]] = []
        for part in in_parts(len(boxes)):
            own = boxes[part]
            crops = warp_boxes(image, own, np.zeros(len(own), np.int64), self.window, self.context)
            pooled = self.net.pool(crops)
            both.append((as_numpy(self.net.hidden(pooled).data), as_numpy(pooled.data)))
        features, pooled_features = zip(*both, strict=True)
        return np.concatenate(features), np.concatenate(pooled_features)

    def _take(self, fitted: Fitted) -> None:
        """Set the buffers to what was fitted."""
        device = self.machines.device
        for name, value in fitted._asdict().items():
            getattr(self, name).data = to_device(value.astype(np.float32), device)
        self.finished.data = to_device(np.ones((), np.int64), device)

    def find(
        self,
        images: np.ndarray,
        score: float = 0.05,
        overlap: float = 0.3,
        limit: int = 100,
        proposals: Sequence[np.ndarray] | None = None,
    ) -> list[Detections]:
        """Find objects in pictures, from pixels to boxes.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            RGB.
        score, overlap, limit
            As for `Detector.detect`; a machine's margin m counts as ``sigmoid(2 m)``, which is
            1/2 where it turns from no to yes, and no probability.
        proposals : sequence of ndarray, shape (P, 4), optional
            Of each image; by default they are searched for.

        Returns
        -------
        list of Detections
            One for each image.
        """
        found = []
        with no_grad(), nn.evaluating():
            pixels = Tensor(to_device(scaled(images), self.machines.device))
            for image, picture in enumerate(images):
                own = (
                    self.search(picture, self.proposals) if proposals is None else proposals[image]
                )
                own = _sound(own)[: self.proposals]
                boxes, sure = self._judge(pixels[image : image + 1], own)
                found.append(best_boxes(boxes, sure, score, overlap, limit))
        return found

    def _judge(self, image: Tensor, proposals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return of each proposal its box for each class (R, K, 4), and how sure each is (R, K)."""
        if not len(proposals):
            return np.empty((0, 4), np.float32), np.empty((0, self.classes), np.float32)
        features, pooled = self._features(image, proposals)
        if not int(as_numpy(self.finished.data)):
            logits = self.net.scores(Tensor(to_device(features, image.device)))
            return proposals, as_numpy(ops.softmax(logits).data)[:, :-1]
        scales = as_numpy(self.scales.data)
        margins = product(features * scales[0], as_numpy(self.machines.data))
        margins += as_numpy(self.thresholds.data)
        flat = as_numpy(self.regressions.data).reshape(self.net.pooled, -1)
        steps = product(pooled * scales[1], flat).reshape(-1, self.classes, 4)
        steps += as_numpy(self.offsets.data)
        boxes = ops.decode_boxes(steps, proposals[:, None])
        sure = ops.sigmoid(Tensor(_STEEPNESS * margins)).numpy()
        return ops.clip_boxes(boxes, *image.shape[2:]).numpy(), sure


def _proposals_of(truths: Mapping[str, Any]) -> np.ndarray:
    """Return the proposals (N, P, 4) of a batch, or say that there are none."""
    if "proposals" not in truths:
        raise ConfigError(
            f"RCNN: the truths have {', '.join(truths)}; it learns from proposals: add "
            "'proposals', (N, P, 4), from selective search, say"
        )
    return as_numpy(truths["proposals"])


def _sound(boxes: np.ndarray) -> np.ndarray:
    """Return the boxes (P, 4) that have an area."""
    return boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)].astype(np.float32)  # False for NaN
