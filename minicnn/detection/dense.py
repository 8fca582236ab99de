"""The dense one-stage detector: what is here, and how far to its sides, asked at every place.

What this rung adds: no proposals and no second stage. An encoder and a decoder make a map at a
quarter of the image's size, and each of its places answers for itself: of which class is the object
that I am in, if any, and how far is it from here to its upper, left, lower and right side? Many
places see the same object, and non-maximum suppression merges their answers. The image passes one
network once, whatever is in it, which is why this is the fastest rung; what it pays is that
thousands of places are judged and hardly any shows an object, so that the loss must see to it that
the easy background does not drown the rest (`minicnn.visualise.background_share` shows it do so).

References
----------
Huang, Yang, Deng and Yu, "DenseBox: Unifying landmark localization with end to end object
detection", 2015: a mask and four distances at a quarter of the size.
Yu et al., "UnitBox: An advanced object detection network", ACM Multimedia 2016: the loss of the
distances is that of their box.
Tian, Shen, Chen and He, "FCOS: Fully convolutional one-stage object detection", ICCV 2019: several
classes, the smaller of two objects wins a place; and Zhou et al., "EAST: An efficient and accurate
scene text detector", CVPR 2017: only the middle of an object speaks for it.

Where this departs from them: one map for objects of all sizes where FCOS has five, since small
signs need the fine one and a decoder brings the coarse features to it; the middle of an object
instead of FCOS's score for centredness; the focal loss where DenseBox samples its background; 1 -
IoU where UnitBox has its logarithm; the places of a large object count less each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend.device import as_numpy, to_device
from minicnn.detection.detector import Detections, Detector, Objects, best_boxes, objects_in
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.nn import BatchNorm2d, CallStreams, Conv2d, Module, Sequential, init

__all__ = ["DenseDetector", "DenseTargets", "dense_targets"]

_BACKGROUND, _NEITHER = -1, -2
_LOSSES = "focal", "cross_entropy", "sampled"
_SAMPLED = 3  # places of the background for each that shows an object
_PRIOR = 0.01  # probability of an object before anything is learned (RetinaNet, section 4.1)
_TYPICAL = 16.0  # pixels to a side before anything is learned
_FURTHEST = 4.0  # of the logarithm of a distance by that: 0.3 to 870 pixels


class DenseTargets(NamedTuple):
    """What the places of a map are to answer.

    Parameters
    ----------
    classes : ndarray of int64, shape (OH, OW)
        Of the object that the place speaks for; -1 is background, -2 neither.
    boxes : ndarray of float32, shape (OH, OW, 4)
        The box of that object, (y0, x0, y1, x1) in pixels; zeros where there is none.
    weights : ndarray of float32, shape (OH, OW)
        How much the answer counts: 1 for background, 0 for neither, and ``1 / sqrt(n)`` where n
        places speak for an object.
    """

    classes: np.ndarray
    boxes: np.ndarray
    weights: np.ndarray


class Decoder(Module):
    """The way back up: coarse maps are enlarged twofold and added to finer ones, step by step.

    Parameters
    ----------
    widths : tuple of int
        Channels of the encoder's maps, the finest first.
    channels : int
        Of what comes out, and of all between.
    """

    def __init__(self, widths: tuple[int, ...], channels: int) -> None:
        self.across = Sequential(
            *(Conv2d(width, channels, 1, normalizer=BatchNorm2d) for width in widths)
        )
        self.smooth = Sequential(*(_conv(channels) for _ in widths[1:]))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Join the maps.

        Parameters
        ----------
        maps : list of Tensor
            Of the encoder, the finest first, each half as large as the one before, rounded up.

        Returns
        -------
        Tensor, shape (N, channels, OH, OW)
            Of the finest map's size.
        """
        y = ops.relu(self.across[-1](maps[-1]))
        for finer, across, smooth in reversed(
            list(zip(maps[:-1], self.across[:-1], self.smooth, strict=True))
        ):
            height, width = finer.shape[2:]  # odd ones were rounded up on the way down
            enlarged = ops.resize(y, scale=2)[:, :, :height, :width]
            y = smooth(ops.relu(enlarged + across(finer)))
        return y


class DenseDetector(Detector):
    """Find objects by a mask of classes and four distances at each place of one map.

    Parameters
    ----------
    classes : int
        Number K of classes, the background not among them.
    channels : int, default 16
        Of the encoder's first convolution; see `Backbone`.
    stages : int, default 3
        Of the encoder: more of them see more of a large object at once.
    width : int, default 32
        Channels of the decoder.
    core : float, default 0.5
        The share of an object's height and width, about its middle, whose places speak for it.
    mask_loss : {"focal", "cross_entropy", "sampled"}, default "focal"
        How the mask is judged. "cross_entropy" turns down no place for being easy, and "sampled"
        counts those that show an object and three times as many of the others, drawn at random, as
        two-stage detectors do; both are there to see what the background does to them.

    Attributes
    ----------
    stride : int
        4: pixels of the image from one place of the map to the next.

    Raises
    ------
    ConfigError
        If the core is not a share above 0, a loss is unknown, or there are no classes or channels.

    Notes
    -----
    The place (i, j) of the map sees the image from the point ``p = (4i + 2, 4j + 2)``. Its K
    scores x are logits, each class for itself, and its four numbers t are distances in a
    logarithm, ``d = 16 exp(t)``, so that they are above 0 and a mistake of t is one in per cent of
    the object's size. They span the box ``(p_y - d_0, p_x - d_1, p_y + d_2, p_x + d_3)``.

    With C the set of places in the core of an object (its middle's place belongs to it, unless a
    smaller object has that place), B all others but those in an ignored box, and FL the focal
    loss, of yes for the object's class in C, of no for all else::

        mask  = 1/W sum_{p in C and B} w_p sum_k FL(x_pk, [k is the class at p])
        boxes = 1/W sum_{p in C} w_p (1 - IoU(box at p, box of the object at p)),

    where W is the sum of w over C, ``w_p = 1 / sqrt(n)`` in the core of an object for which n
    places speak, and 1 in B. A sign of 80 pixels has a hundred places and one of 10 has one; so it
    counts ten times as much, not a hundred times. (With all places alike a trial found a third of
    the signs below 13 pixels, and its mAP was 0.73 instead of 0.81.)

    B holds the rim of an object, too: what is near its border sees less of it and tells its box
    less well, so it is taught to keep silent. (Left out of the loss, as in DenseBox, the rims
    speak up anyway: in a trial ten times as many boxes were badly placed.) The sum over B is
    divided by W as well, not by |B|: all but the hard ones of B have a factor ``p**2`` near 0,
    and how many are hard does not grow with the image. IoU as a loss binds the four distances
    together and does not depend on how large an object is: one pixel is much for a sign of 8 and
    little for one of 80. A place in a core lies in its object (but for those smaller than a step
    of the map), and so does a part of its box, so that 1 - IoU has a slope from the beginning.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor
    >>> net = DenseDetector(classes=3, channels=4, stages=2, width=8)
    >>> [m.shape for m in net(Tensor(np.zeros((1, 3, 33, 50), np.float32)))]
    [(1, 9, 13, 3), (1, 9, 13, 4)]
    """

    stride = 4

    def __init__(
        self,
        classes: int,
        channels: int = 16,
        stages: int = 3,
        width: int = 32,
        core: float = 0.5,
        mask_loss: Literal["focal", "cross_entropy", "sampled"] = "focal",
    ) -> None:
        super().__init__(classes)
        if not 0 < core <= 1:
            raise ConfigError(f"DenseDetector: core {core} is no share; give one above 0, up to 1")
        if mask_loss not in _LOSSES:
            raise ConfigError(
                f"DenseDetector: mask_loss {mask_loss!r} is unknown; choose from "
                f"{', '.join(_LOSSES)}"
            )
        self.core, self.mask_loss = core, mask_loss
        self._streams = CallStreams("sampling")
        self.encoder = Backbone(channels, stages)
        self.decoder = Decoder(self.encoder.widths, width)
        self.head = _conv(width)
        rare = init.constant(-math.log((1 - _PRIOR) / _PRIOR))
        self.mask = Conv2d(width, classes, 3, initializer=init.zeros, bias_initializer=rare)
        self.sides = Conv2d(width, 4, 3, initializer=init.zeros)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the two maps.

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            From `scaled`.

        Returns
        -------
        scores : Tensor, shape (N, OH, OW, K)
            Logits of the classes; OH is H / 4, rounded up.
        steps : Tensor, shape (N, OH, OW, 4)
            Logarithms of the distances up, left, down and right.
        """
        y = self.head(self.decoder(self.encoder(images)))
        return ops.moveaxis(self.mask(y), 1, -1), ops.moveaxis(self.sides(y), 1, -1)

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the losses of the mask and of the boxes; see the class, and `Detector.losses`."""
        scores, steps = self(images)
        targets = self.targets(images, truths)
        points = _grid(steps.shape[1], steps.shape[2], self.stride)
        spoken_for = np.nonzero(targets.classes >= 0)
        weights = targets.weights[spoken_for]
        scale = 1 / max(float(weights.sum()), 1.0)
        told = steps[tuple(to_device(index, images.device) for index in spoken_for)]
        boxes = _decoded(told, points[spoken_for[1:]])
        wanted = to_device(targets.boxes[spoken_for], images.device)
        weights = to_device(weights, images.device)
        apart = ops.iou_loss(boxes, wanted, weights=weights, reduction="sum")
        return {"mask": self._mask_loss(scores, targets) * scale, "boxes": apart * scale}

    def targets(self, images: Tensor, truths: Mapping[str, Any]) -> DenseTargets:
        """Say what each place of each image is to answer.

        Parameters
        ----------
        images, truths
            As for `losses`.

        Returns
        -------
        DenseTargets
            Of a batch: classes and weights (N, OH, OW) and boxes (N, OH, OW, 4).
        """
        height, width = images.shape[2:]
        points = _grid(-(-height // self.stride), -(-width // self.stride), self.stride)
        each = [
            dense_targets(points, objects_in(truths, i, (height, width)), self.core)
            for i in range(len(images))
        ]
        return DenseTargets(*(np.stack(parts) for parts in zip(*each, strict=True)))

    def _mask_loss(self, scores: Tensor, targets: DenseTargets) -> Tensor:
        labels, weights = targets.classes, targets.weights
        if self.mask_loss == "sampled":
            weights = np.where(self._sampled(labels), weights, 0)
        gamma, alpha = (2.0, 0.25) if self.mask_loss == "focal" else (0.0, None)
        yes = (labels[..., None] == np.arange(self.classes)).astype(np.float32)
        yes, counts = to_device(yes, scores.device), to_device(weights[..., None], scores.device)
        return ops.sigmoid_focal_loss(scores, yes, gamma, alpha, counts, reduction="sum")

    def _sampled(self, labels: np.ndarray) -> np.ndarray:
        """Return which places of a batch count: those with objects, and a few of the others."""
        counted = labels >= 0
        others = np.flatnonzero(labels == _BACKGROUND)
        order = self._streams.next(self).permutation(len(others))
        counted.reshape(-1)[others[order[: _SAMPLED * max(int(counted.sum()), 1)]]] = True
        return counted

    def detect(
        self, images: Tensor, score: float = 0.05, overlap: float = 0.5, limit: int = 100
    ) -> list[Detections]:
        """Find objects in a batch; see `Detector.detect`."""
        scores, steps = self(images)
        height, width = images.shape[2:]
        points = _grid(scores.shape[1], scores.shape[2], self.stride)
        found = []
        for sure, far in zip(as_numpy(ops.sigmoid(scores)), as_numpy(steps), strict=True):
            at = np.nonzero((sure >= score).any(axis=-1))
            boxes = ops.clip_boxes(_decoded(Tensor(far[at]), points[at]), height, width)
            found.append(best_boxes(boxes.numpy(), sure[at], score, overlap, limit))
        return found


def dense_targets(points: np.ndarray, objects: Objects, core: float) -> DenseTargets:
    """Say what each place of a map is to answer.

    A place in the core of an object speaks for it, for the smallest if it is in several. One in no
    core, but in an ignored box, is neither. All others are background.

    Parameters
    ----------
    points : ndarray of float32, shape (OH, OW, 2)
        The points (y, x) from which the places see the image, in pixels, on a regular grid.
    objects : Objects
        Of one image.
    core : float
        The share of a box's height and width that is its core. The place nearest to the middle
        of a box belongs to its core however small that is.

    Returns
    -------
    DenseTargets
        Classes, boxes and weights.
    """
    classes = np.where(_contains(objects.ignored, points).any(axis=-1), _NEITHER, _BACKGROUND)
    boxes = np.zeros((*points.shape[:2], 4), np.float32)
    weights = (classes == _BACKGROUND).astype(np.float32)
    if not len(objects.boxes):
        return DenseTargets(classes, boxes, weights)
    begin, end = objects.boxes[:, :2], objects.boxes[:, 2:]
    middle, half = (begin + end) / 2, (end - begin) / 2 * core
    speaks = _contains(np.concatenate([middle - half, middle + half], axis=1), points)
    nearest = [
        np.abs(line[:, None] - middle[:, axis]).argmin(axis=0)
        for axis, line in enumerate((points[:, 0, 0], points[0, :, 1]))
    ]
    speaks[*nearest, np.arange(len(middle))] = True
    size = np.where(speaks, (end - begin).prod(axis=1), np.inf)  # (OH, OW, T)
    owned = speaks.any(axis=-1)
    owner = size.argmin(axis=-1)[owned]
    classes[owned], boxes[owned] = objects.classes[owner], objects.boxes[owner]
    weights[owned] = np.bincount(owner, minlength=1)[owner] ** -0.5
    return DenseTargets(classes, boxes, weights)


def _conv(channels: int) -> Conv2d:
    return Conv2d(channels, channels, 3, normalizer=BatchNorm2d, activation=ops.relu)


def _grid(rows: int, columns: int, stride: int) -> np.ndarray:
    """Return the middles (OH, OW, 2) of a map's places in pixels of the image."""
    lines = ((np.arange(n, dtype=np.float32) + 0.5) * stride for n in (rows, columns))
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)


def _contains(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return whether each point (OH, OW, 2) is in each box (T, 4): (OH, OW, T)."""
    at = points[:, :, None]
    inside: np.ndarray = np.all((at >= boxes[:, :2]) & (at < boxes[:, 2:]), axis=-1)
    return inside


def _decoded(steps: Tensor, points: np.ndarray) -> Tensor:
    """Return the boxes (R, 4) that steps (R, 4) from points (R, 2) tell."""
    distances = _TYPICAL * ops.exp(ops.clip(steps, -_FURTHEST, _FURTHEST))
    return ops.decode_distances(distances, to_device(points, steps.device))
