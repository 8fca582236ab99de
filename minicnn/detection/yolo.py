"""YOLO, version 2-like: one look at the image, one grid of cells, anchors that fit the data.

What this rung adds: an object belongs to one anchor of one cell, the cell in which its centre
lies and the anchor of the most similar shape. The anchors' shapes come from the data by k-means
(`kmeans_anchors`). The centre is told directly as a place inside the cell, so that it cannot leave
it, and the finer map is passed through beside the coarse one, its pixels stacked as channels.

Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, section 2.

Departures: the cells are 8 pixels wide, not 32, for objects of 8 pixels, so beside the finer map
the coarser one is joined as well, enlarged, as YOLO v3 does; how sure a box is, is learned by a
cross-entropy from a start near 0, not by a squared error; no training at several sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, concatenate, pad
from minicnn.backend.device import as_numpy, to_device
from minicnn.backend.random import Stream
from minicnn.detection._one_stage import blurred, flattened
from minicnn.detection.anchor_shapes import shape_overlaps
from minicnn.detection.detector import Detections, Detector, best_boxes, objects_in
from minicnn.detection.fpn import enlarged
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.nn import BatchNorm2d, Buffer, Conv2d, init
from minicnn.ops.box_coding import LARGEST_GROWTH

__all__ = ["YOLO"]

_PRIOR = 0.01  # how sure each box is before anything is learned
_PASSED = 16  # channels of the finer map, each of which becomes four
_GOOD = 0.6  # overlap from which on a box that answers for nothing is no background either
# Heights and widths in pixels that suit objects of 8 to 150 pixels; data have better ones.
_SHAPES = ((11.0, 11.0), (18.0, 18.0), (31.0, 31.0), (52.0, 52.0), (90.0, 90.0))


class _Cells(NamedTuple):
    """What the boxes of a batch should have said, at the places that answer for an object."""

    images: np.ndarray  # (P,)
    boxes: np.ndarray  # (P,), numbers of the R boxes
    steps: np.ndarray  # (P, 4): the place in the cell, 0 to 1, and the logarithm of the growth
    weights: np.ndarray  # (P, 1)
    classes: np.ndarray  # (P,)
    sure: np.ndarray  # (N, R): the overlap with the object, or 0
    counts: np.ndarray  # (N, R): whether how sure it is counts


class YOLO(Detector):
    """Find objects on one grid of cells, with anchors by k-means and direct location.

    Parameters
    ----------
    classes : int
        Number K of classes.
    shapes : sequence of (float, float), optional
        Heights and widths of the A anchors in pixels: `kmeans_anchors` of the training boxes. By
        default five squares of 11 to 90 pixels. They are saved with the weights.
    channels : int, default 128
        Of the last map.
    backbone : Module, optional
        With three maps at least; by default ``Backbone()``. The cells are those of the second.

    Raises
    ------
    ConfigError
        If a shape is no pair of numbers above 0, or the backbone has fewer than three maps.

    Notes
    -----
    The cell (i, j) of stride s tells for each anchor (h_a, w_a) numbers (ty, tx, th, tw, to) and K
    scores. The box has the centre ``((i + sigmoid(ty)) s, (j + sigmoid(tx)) s)``, the height
    ``h_a e**th`` and the width ``w_a e**tw``; of class k it is sure by
    ``sigmoid(to) softmax(scores)[k]``. With P objects in the batch, each with its cell and anchor:

    - "boxes": ``sum over P of w (|sigmoid(t_yx) - place|**2 + |t_hw - log(size / anchor)|**2) / P``
      with ``w = 2 - area / area of the image``, for small boxes suffer most from an error;
    - "sure": ``sum of the cross-entropy of sigmoid(to) with the overlap of box and object (0 for
      boxes without one) / P``. A box without an object that yet overlaps one by more than 0.6
      does not count;
    - "classes": ``sum over P of -log softmax(scores)[object's class] / P``.

    References
    ----------
    Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", CVPR 2017, section 2.
    """

    def __init__(
        self,
        classes: int,
        shapes: Sequence[Sequence[float]] | np.ndarray | None = None,
        channels: int = 128,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__(classes)
        sides = np.array(_SHAPES if shapes is None else shapes, np.float32)
        if sides.ndim != 2 or sides.shape[1:] != (2,) or not len(sides):
            raise ConfigError(f"YOLO: shapes {sides.shape} must be (A, 2), heights and widths")
        if not (sides > 0).all() or not np.isfinite(sides).all() or channels < 1:
            raise ConfigError(
                f"YOLO: shapes {sides.tolist()}, {channels} channels; give numbers above 0"
            )
        self.backbone = Backbone() if backbone is None else backbone
        if len(self.backbone.widths) < 3:
            raise ConfigError(
                f"YOLO: the backbone has {len(self.backbone.widths)} maps; give one with 3 or more"
            )
        self.shapes = Buffer(sides)
        fine, own, coarse = self.backbone.widths[:3]
        self.stride = self.backbone.strides[1]
        self.fine = Conv2d(fine, _PASSED, 1, normalizer=BatchNorm2d, activation=ops.relu)
        self.coarse = Conv2d(coarse, own, 1, normalizer=BatchNorm2d, activation=ops.relu)
        joined = 4 * _PASSED + 2 * own
        self.mix = Conv2d(joined, channels, 3, 1, 1, normalizer=BatchNorm2d, activation=ops.relu)
        self.head = Conv2d(
            channels,
            len(sides) * (5 + classes),
            1,
            initializer=init.variance_scaling(scale=0.01),
            bias_initializer=partial(_unsure, len(sides)),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Compute what each cell tells for each anchor.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.

        Returns
        -------
        told : Tensor, shape (N, R, 5 + K)
            (ty, tx, th, tw, to) and the scores, for R = OH * OW * A boxes.
        grid : (int, int)
            How many cells there are, down and across.
        """
        fine, own, coarse = self.backbone(images)[:3]
        height, width = own.shape[2:]
        passed = self.fine(fine)
        down, across = 2 * height - passed.shape[2], 2 * width - passed.shape[3]
        if down or across:
            passed = pad(passed, ((0, 0), (0, 0), (0, down), (0, across)))
        seen = [ops.space_to_depth(passed, 2), own, enlarged(self.coarse(coarse), (height, width))]
        told = self.head(self.mix(concatenate(seen, axis=1)))
        return flattened([told], 5 + self.classes), (height, width)

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the losses of the boxes, of how sure they are, and of the classes.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.
        truths : dict
            See `Detector.losses`.

        Returns
        -------
        dict of str to Tensor, shape ()
            "boxes", "sure" and "classes".
        """
        told, grid = self(images)
        height, width = images.shape[2:]
        cells = self._cells(as_numpy(told.data), truths, grid, (height, width))
        share = 1.0 / max(1, len(cells.boxes))

        def there(array: np.ndarray) -> Any:
            return to_device(array, told.device)

        sure = ops.sigmoid_cross_entropy(
            told[:, :, 4], there(cells.sure), weights=there(cells.counts), reduction="sum"
        )
        if not len(cells.boxes):
            nothing = told.sum() * 0.0
            return {"boxes": nothing, "sure": sure * share, "classes": nothing}
        ours = told[there(cells.images), there(cells.boxes)]
        steps = concatenate([ops.sigmoid(ours[:, :2]), ours[:, 2:4]], axis=1)
        places = ops.l2_loss(steps, there(cells.steps), there(cells.weights), reduction="sum")
        classes = ops.sparse_softmax_cross_entropy(
            ours[:, 5:], there(cells.classes), reduction="sum"
        )
        return {"boxes": places * share, "sure": sure * share, "classes": classes * share}

    def detect(
        self, images: Tensor, score: float = 0.05, overlap: float = 0.5, limit: int = 100
    ) -> list[Detections]:
        """Find objects in a batch as the network sees it; see `Detector.detect`.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.
        score, overlap, limit
            As for `Detector.detect`.

        Returns
        -------
        list of Detections
            One for each image.
        """
        told, grid = self(images)
        chances = ops.sigmoid(told[:, :, 4:5]) * ops.softmax(told[:, :, 5:], axis=-1)
        found = []
        for scores, steps in zip(as_numpy(chances.data), as_numpy(told.data), strict=True):
            rows = np.flatnonzero(scores.max(axis=1) >= score)
            boxes = self._boxes(steps[rows, :4], rows, grid)
            inside = ops.clip_boxes(boxes, *images.shape[2:]).numpy()
            found.append(best_boxes(inside, scores[rows], score, overlap, limit))
        return found

    def _boxes(self, steps: np.ndarray, rows: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Return the boxes (r, 4) that steps (r, 4) of the boxes with these numbers tell."""
        shapes = as_numpy(self.shapes.data)
        cells, anchors = np.divmod(rows, len(shapes))
        corners = np.stack(np.divmod(cells, grid[1]), axis=1)
        centres = (corners + ops.sigmoid(Tensor(steps[:, :2])).numpy()) * self.stride
        half = 0.5 * shapes[anchors] * np.exp(np.minimum(steps[:, 2:], LARGEST_GROWTH))
        return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)

    def _cells(
        self,
        told: np.ndarray,
        truths: Mapping[str, Any],
        grid: tuple[int, int],
        size: tuple[int, int],
    ) -> _Cells:
        """Say what the boxes of a batch should have told."""
        shapes = as_numpy(self.shapes.data)
        sure, counts = np.zeros(told.shape[:2], np.float32), np.ones(told.shape[:2], np.float32)
        owners = []
        for image, steps in enumerate(told):
            objects = objects_in(truths, image, size)
            rows, numbers = _responsible(objects.boxes, shapes, grid, self.stride)
            guesses = self._boxes(steps[:, :4], np.arange(len(steps)), grid)
            if len(objects.boxes):
                overlaps = ops.iou_matrix(guesses, objects.boxes).numpy()
                counts[image, overlaps.max(axis=1) > _GOOD] = 0
                sure[image, rows] = overlaps[rows, numbers]
            counts[image, blurred(guesses, objects)] = 0
            counts[image, rows] = 1
            images = np.full(len(rows), image)
            owners.append((images, rows, objects.boxes[numbers], objects.classes[numbers]))
        images, rows, boxes, kinds = (np.concatenate(part) for part in zip(*owners, strict=True))
        sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
        places = centres / self.stride % 1  # in their cells
        growth = np.log(sides / shapes[rows % len(shapes)])
        weights = 2 - sides.prod(axis=1, keepdims=True) / (size[0] * size[1])
        steps = np.concatenate([places, growth], axis=1)
        return _Cells(images, rows, steps, weights, kinds, sure, counts)


def _unsure(anchors: int, shape: tuple[int, ...], stream: Stream, dtype: Any) -> np.ndarray:
    """Return the bias of the last layer, with which no box is sure."""
    bias = np.zeros((anchors, shape[0] // anchors), dtype)
    bias[:, 4] = math.log(_PRIOR / (1 - _PRIOR))
    return bias.reshape(shape)


def _responsible(
    boxes: np.ndarray, shapes: np.ndarray, grid: tuple[int, int], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which boxes of the grid answer for objects (T, 4), and for which.

    Of objects with one centre cell and anchor, the first is answered for.
    """
    if not len(boxes):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    cells = np.minimum((centres / stride).astype(np.int64), np.array(grid) - 1)
    anchors = shape_overlaps(boxes[:, 2:] - boxes[:, :2], shapes).argmax(axis=1)
    rows = (cells[:, 0] * grid[1] + cells[:, 1]) * len(shapes) + anchors
    return np.unique(rows, return_index=True)
