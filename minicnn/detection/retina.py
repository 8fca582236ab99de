"""RetinaNet-like: a one-stage detector on a feature pyramid, trained with the focal loss.

What this rung adds: a one-stage detector judges thousands of anchors an image, nearly all of them
background and easy. Two-stage detectors sample; this one trains with all of them, by a loss that
turns the easy ones down. And its maps are those of a feature pyramid, so that what finds small
objects knows what is around them.

Lin, Goyal, Girshick, He and Dollar, "Focal Loss for Dense Object Detection", ICCV 2017.

Departures, all for small pictures and for training from scratch in minutes: the maps begin at a
stride of 4 and not 8, for objects of 8 pixels; anchors are of one ratio and two sizes a map rather
than three times three; the towers of the heads have one convolution of 40 channels before the
last, not four of 256, with batch normalisation, of which each map has its own; an object's best
anchor answers for it even if it overlaps by less than one half; the steps are told in units of a
tenth and a fifth, as in Faster R-CNN, and their loss counts a quarter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend.device import as_numpy, to_device
from minicnn.detection._one_stage import (
    anchor_table,
    answers,
    check_numbers,
    flattened,
    map_sizes,
    shapes_of,
    step_loss,
    sure_boxes,
)
from minicnn.detection.detector import Detections, Detector
from minicnn.detection.fpn import FeaturePyramid
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.nn import BatchNorm2d, Conv2d, Module, init

__all__ = ["RetinaNet"]

_PRIOR = 0.01  # how probable each class is at each anchor before anything is learned
# Of the box loss in the sum: a focal loss is small, and what is shared would learn boxes alone.
_BOXES = 0.25


class RetinaNet(Detector):
    """Find objects with a feature pyramid, two heads shared by its maps, and the focal loss.

    Parameters
    ----------
    classes : int
        Number K of classes.
    sizes : sequence of float, default (2.5, 3.5)
        Square roots of the anchors' areas, in strides of their map: with strides of 4 to 32 they
        are of 10 to 112 pixels.
    ratios : sequence of float, default (1,)
        Heights of the anchors by their widths.
    channels : int, default 40
        Of the pyramid and of the heads.
    depth : int, default 1
        Convolutions of each head before its last.
    more : int, default 1
        Maps of the pyramid beyond those of the backbone.
    gamma : float, default 2
        How much the focal loss turns the easy ones down; 0 makes it a cross-entropy.
    alpha : float, default 0.25
        Its weight of an object; that of background is ``1 - alpha``.
    backbone : Module, optional
        By default ``Backbone()``.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Notes
    -----
    Every anchor a has K scores x, each a yes or no of its own, and four steps t. An anchor that
    overlaps an object by at least 0.5, or is its best, answers for it; one below 0.4 is
    background. With p = sigmoid(x), P the number of anchors that answer for an object, and t* the
    steps to it:

    - "classes": ``sum over anchors, classes of FL(p, y) / P``, where
      ``FL = -alpha (1-p)**gamma log p`` for the anchor's class and
      ``-(1-alpha) p**gamma log(1-p)`` for others and for background. With gamma 2, an easy
      negative of p = 0.01 counts 10,000 times less than by the cross-entropy;
    - "boxes": ``0.25 * sum over the P anchors of smooth_l1(t - t*) / P``.

    At first all scores are ``-log((1 - 0.01) / 0.01)``: p is 0.01 everywhere, or else the
    background of the first steps would make training diverge. In training a map must have more
    than one place in the batch: images of 33 pixels or more, or two of them.

    References
    ----------
    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, sections 3 and 4.
    """

    def __init__(
        self,
        classes: int,
        sizes: Sequence[float] = (2.5, 3.5),
        ratios: Sequence[float] = (1.0,),
        channels: int = 40,
        depth: int = 1,
        more: int = 1,
        gamma: float = 2.0,
        alpha: float = 0.25,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__(classes)
        check_numbers("RetinaNet", "sizes", sizes)
        check_numbers("RetinaNet", "ratios", ratios)
        if depth < 0 or not 0 <= gamma < math.inf or not 0 <= alpha <= 1:
            raise ConfigError(
                f"RetinaNet: depth {depth}, gamma {gamma}, alpha {alpha}; give depth and gamma "
                "from 0 up, and alpha from 0 to 1"
            )
        self.gamma, self.alpha = gamma, alpha
        self.backbone = Backbone() if backbone is None else backbone
        self.pyramid = FeaturePyramid(self.backbone.widths, channels, more)
        strides = self.backbone.strides
        self.strides = (*strides, *(strides[-1] * 2 ** (i + 1) for i in range(more)))
        self.shapes = tuple(
            shapes_of([s * stride for s in sizes], ratios) for stride in self.strides
        )
        anchors = len(self.shapes[0])
        unsure = math.log(_PRIOR / (1 - _PRIOR))
        maps = len(self.strides)
        self.class_head = _Head(maps, channels, depth, anchors * classes, unsure)
        self.box_head = _Head(maps, channels, depth, anchors * 4, 0.0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
        """Compute scores and steps of all anchors.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.

        Returns
        -------
        scores : Tensor, shape (N, R, K)
            Before the sigmoid.
        steps : Tensor, shape (N, R, 4)
            From the anchors to the objects.
        anchors : ndarray of float32, shape (R, 4)
            (y0, x0, y1, x1) in pixels.
        """
        maps = self.pyramid(self.backbone(images))
        scores = flattened(self.class_head(maps), self.classes)
        steps = flattened(self.box_head(maps), 4)
        return scores, steps, anchor_table(map_sizes(maps), self.strides, self.shapes)

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the focal loss of all anchors and the box loss of those with an object.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.
        truths : dict
            See `Detector.losses`.

        Returns
        -------
        dict of str to Tensor, shape ()
            "classes" and "boxes".
        """
        scores, steps, anchors = self(images)
        height, width = images.shape[2:]
        found = answers(anchors, truths, len(scores), (height, width), positive=0.5, negative=0.4)
        share = 1.0 / max(1, len(found.boxes))
        labels = found.classes.reshape(-1)
        counts = np.flatnonzero(labels != ops.anchors.IGNORED)
        yes = (labels[counts, None] == np.arange(self.classes)).astype(np.float32)
        judged = scores.reshape(-1, self.classes)[to_device(counts, scores.device)]
        focal = ops.sigmoid_focal_loss(
            judged, to_device(yes, scores.device), self.gamma, self.alpha, reduction="sum"
        )
        return {
            "classes": focal * share,
            "boxes": step_loss(steps, found, anchors) * (share * _BOXES),
        }

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
        scores, steps, anchors = self(images)
        size = images.shape[2:]
        chances = ops.sigmoid(scores)
        return [
            sure_boxes(p, t, anchors, size, score, overlap, limit)
            for p, t in zip(as_numpy(chances.data), as_numpy(steps.data), strict=True)
        ]


class _Head(Module):
    """A tower of convolutions for each map, which share weights but not normalisation."""

    def __init__(self, maps: int, channels: int, depth: int, out: int, bias: float) -> None:
        self.towers = [[_convolution(channels) for _ in range(depth)] for _ in range(maps)]
        for tower in self.towers[1:]:
            for layer, first in zip(tower, self.towers[0], strict=True):
                layer.weight = first.weight
        self.last = Conv2d(
            channels,
            out,
            3,
            1,
            1,
            initializer=init.variance_scaling(scale=0.01),
            bias_initializer=init.constant(bias),
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return what the head tells at each place of the maps (N, channels, OH, OW)."""
        told = []
        for tower, x in zip(self.towers, maps, strict=True):
            for layer in tower:
                x = layer(x)
            told.append(self.last(x))
        return told


def _convolution(channels: int) -> Conv2d:
    return Conv2d(channels, channels, 3, 1, 1, normalizer=BatchNorm2d, activation=ops.relu)
