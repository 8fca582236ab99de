"""R-CNN's second stage: what machines and regressions learn from, gathered image by image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn import ops
from minicnn.backend.random import Stream
from minicnn.detection._linear_svm import HardNegatives
from minicnn.detection._one_stage import blurred
from minicnn.detection._ridge import fit_ridge
from minicnn.detection.detector import Objects

__all__ = ["Fitted", "Fitting", "some_proposals"]

_NORM = 20.0  # mean length of features that the machines and the regression see, as in the paper's
_COST = 1e-3  # of a missing margin, for features of that length
_NOT_OF_CLASS = 0.3  # overlap below which a proposal is background to a class's machine
_NEAR = 0.6  # overlap from which on a proposal teaches the regression


class Fitted(NamedTuple):
    """The second stage, by the names of the buffers of `RCNN`."""

    machines: np.ndarray
    thresholds: np.ndarray
    regressions: np.ndarray
    offsets: np.ndarray
    scales: np.ndarray


class _Regressed(NamedTuple):
    """Pooled features (R, P) of proposals near objects, and the steps (R, 4) to these."""

    pooled: list[np.ndarray]
    steps: list[np.ndarray]


class Fitting:
    """What the second stage has seen so far."""

    def __init__(self, classes: int, features: int, pooled: int) -> None:
        self._scales: np.ndarray | None = None
        self._pooled = pooled
        self._svms = [HardNegatives(features, _COST) for _ in range(classes)]
        self._near = [_Regressed([], []) for _ in range(classes)]

    def see(
        self, features: np.ndarray, pooled: np.ndarray, boxes: np.ndarray, objects: Objects
    ) -> None:
        """Learn from boxes (R, 4) of an image, of which the first T are its objects' own."""
        if self._scales is None:  # the first image's lengths stand for all
            lengths = [np.linalg.norm(x, axis=1).mean() for x in (features, pooled)]
            self._scales = np.array([_NORM / max(length, 1e-6) for length in lengths])
        scales = self._scales.astype(np.float32)
        features, pooled = features * scales[0], pooled * scales[1]
        count = len(objects.boxes)
        overlaps = (
            ops.iou_matrix(boxes, objects.boxes).numpy() if count else np.zeros((len(boxes), 0))
        )
        unclear = blurred(boxes, objects)
        for label, (svm, near) in enumerate(zip(self._svms, self._near, strict=True)):
            of_class = np.flatnonzero(objects.classes == label)
            own = overlaps[:, of_class]
            best = own.max(axis=1, initial=0.0)
            svm.add(features[of_class], features[(best < _NOT_OF_CLASS) & ~unclear])
            rows = np.flatnonzero(best >= _NEAR)
            if len(rows):
                targets = objects.boxes[of_class[own[rows].argmax(axis=1)]]
                near.pooled.append(pooled[rows])
                near.steps.append(ops.encode_boxes(targets, boxes[rows]).numpy())

    def result(self, penalty: float) -> Fitted:
        """Return what the buffers are to be."""
        for svm in self._svms:
            svm.train()
        machines = np.stack([svm.machine for svm in self._svms], axis=1)
        fitted = []
        for near in self._near:
            x = np.concatenate([np.empty((0, self._pooled)), *near.pooled])
            fitted.append(fit_ridge(x, np.concatenate([np.empty((0, 4)), *near.steps]), penalty))
        weights, offsets = (np.stack(part, axis=-2) for part in zip(*fitted, strict=True))
        scales = np.ones(2) if self._scales is None else self._scales
        return Fitted(machines[:-1], machines[-1], weights, offsets, scales)


def some_proposals(
    proposals: np.ndarray, objects: Objects, limit: int, stream: Stream
) -> np.ndarray:
    """Draw at most so many proposals, up to half of them from those that overlap an object."""
    proposals = proposals[stream.permutation(len(proposals))]
    if not len(objects.boxes) or not len(proposals):
        return proposals[:limit]
    near = ops.iou_matrix(proposals, objects.boxes).numpy().max(axis=1) > 0.1
    first = np.flatnonzero(near)[: limit // 2]
    rest = np.setdiff1d(np.arange(len(proposals)), first)[: limit - len(first)]
    return proposals[np.concatenate([first, rest])]
