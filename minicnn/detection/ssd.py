"""SSD: boxes straight from several maps, small objects from the fine ones, large from the coarse.

What this rung adds: no proposals at all. Default boxes (anchors) of every size lie over maps of
every scale, and each map's own 3x3 convolution says in one go what is in each box, and where
exactly. What makes it trainable is hard negative mining: of the background only the boxes that
look most like an object count, three for each that holds one.

Liu, Anguelov, Erhan, Szegedy, Reed, Fu and Berg, "SSD: Single Shot MultiBox Detector", ECCV 2016.

Departures, for small pictures and objects of 8 pixels: the maps begin at a stride of 4; the sizes
of the default boxes go with the strides, not linearly from 0.2 to 0.9 of the image; they are
square unless told otherwise; the backbone's maps pass one more convolution, for they are
shallower than VGG's; a box that overlaps an object by 0.4 to 0.5 is neither object nor background;
and an image without objects still teaches by a few of its boxes.
"""

from __future__ import annotations

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
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.nn import BatchNorm2d, Conv2d, Module, Sequential, init

__all__ = ["SSD"]

_FEWEST = 4  # negatives of an image in which there is nothing


class SSD(Detector):
    """Find objects with default boxes over several maps and hard negative mining.

    Parameters
    ----------
    classes : int
        Number K of classes.
    sizes : sequence of float, default (2.5, 3.5)
        Square roots of the default boxes' areas, in strides of their map: with strides of 4 to 32
        they are of 10 to 112 pixels.
    ratios : sequence of float, default (1,)
        Heights of the default boxes by their widths.
    channels : int, default 64
        Of the maps that the boxes are told from.
    more : int, default 1
        Maps beyond those of the backbone, each half as large as the one before.
    hard : float, default 3
        How many negatives count for each default box with an object.
    backbone : Module, optional
        By default ``Backbone()``.

    Raises
    ------
    ConfigError
        If a number is out of range.

    Notes
    -----
    Every default box has K + 1 scores, the last of them that of background, and four steps t. One
    that overlaps an object by at least 0.5, or is its best, answers for it; one below 0.4 is
    background. With the softmax p and the P boxes that answer for an object:

    - "classes": ``(sum over the P of -log p[object's class] + sum over the hard negatives of
      -log p[background]) / P``. The negatives of an image are those with the largest loss, three
      for each of its positives;
    - "boxes": ``sum over the P of smooth_l1(t - t*) / P`` with t* the steps to the object.

    In training a map must have more than one place in the batch: images of 33 pixels or more, or
    two of them.

    References
    ----------
    Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, section 2.
    """

    def __init__(
        self,
        classes: int,
        sizes: Sequence[float] = (2.5, 3.5),
        ratios: Sequence[float] = (1.0,),
        channels: int = 64,
        more: int = 1,
        hard: float = 3.0,
        backbone: Backbone | None = None,
    ) -> None:
        super().__init__(classes)
        check_numbers("SSD", "sizes", sizes)
        check_numbers("SSD", "ratios", ratios)
        check_numbers("SSD", "hard", [hard])
        if more < 0 or channels < 1:
            raise ConfigError(
                f"SSD: {channels} channels, {more} more maps; give 1 or more channels, and no "
                "fewer than 0 maps"
            )
        self.hard = float(hard)
        self.backbone = Backbone() if backbone is None else backbone
        strides = self.backbone.strides
        self.strides = (*strides, *(strides[-1] * 2 ** (i + 1) for i in range(more)))
        self.shapes = tuple(
            shapes_of([s * stride for s in sizes], ratios) for stride in self.strides
        )
        self.necks = Sequential(*(_block(width, channels) for width in self.backbone.widths))
        self.more = Sequential(*(_block(channels, channels, 2) for _ in range(more)))
        out = len(self.shapes[0]) * (classes + 1 + 4)
        self.heads = Sequential(*(_head(channels, out) for _ in self.strides))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, np.ndarray]:
        """Compute scores and steps of all default boxes.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.

        Returns
        -------
        scores : Tensor, shape (N, R, K + 1)
            Before the softmax, background last.
        steps : Tensor, shape (N, R, 4)
            From the default boxes to the objects.
        anchors : ndarray of float32, shape (R, 4)
            The default boxes (y0, x0, y1, x1) in pixels.
        """
        maps = [neck(m) for neck, m in zip(self.necks, self.backbone(images), strict=True)]
        for coarser in self.more:
            maps.append(coarser(maps[-1]))
        told = [head(m) for head, m in zip(self.heads, maps, strict=True)]
        table = flattened(told, self.classes + 1 + 4)
        anchors = anchor_table(map_sizes(maps), self.strides, self.shapes)
        return table[:, :, 4:], table[:, :, :4], anchors

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the losses of the default boxes with an object and of the hard negatives.

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
        judged = hard_examples(as_numpy(scores.data), found.classes, self.hard)
        labels = found.classes.reshape(-1)[judged]
        labels = np.where(labels == ops.anchors.BACKGROUND, self.classes, labels)
        told = scores.reshape(-1, self.classes + 1)[to_device(judged, scores.device)]
        entropy = ops.sparse_softmax_cross_entropy(
            told, to_device(labels, scores.device), reduction="sum"
        )
        return {"classes": entropy * share, "boxes": step_loss(steps, found, anchors) * share}

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
        chances = as_numpy(ops.softmax(scores, axis=-1).data)[:, :, : self.classes]
        return [
            sure_boxes(p, t, anchors, size, score, overlap, limit)
            for p, t in zip(chances, as_numpy(steps.data), strict=True)
        ]


def hard_examples(scores: np.ndarray, classes: np.ndarray, hard: float) -> np.ndarray:
    """Choose the boxes that count: all with an object, and the hardest of the background.

    Parameters
    ----------
    scores : ndarray, shape (N, R, K + 1)
        Background last.
    classes : ndarray of int64, shape (N, R)
        Of the objects; `ops.anchors.BACKGROUND` or `IGNORED` where there is none.
    hard : float
        How many negatives to choose for each positive of an image.

    Returns
    -------
    ndarray of int64, shape (chosen,)
        Places in the N * R boxes, in order.
    """
    top = scores.max(axis=2)
    total = np.exp(scores - top[:, :, None]).sum(axis=2)
    loss = np.log(total) + top - scores[:, :, -1]  # of background: -log p
    loss[classes != ops.anchors.BACKGROUND] = -np.inf
    chosen = classes >= 0
    for image, counts in enumerate(chosen):
        wanted = max(_FEWEST, int(hard * counts.sum()))
        hardest = np.argsort(-loss[image], kind="stable")[:wanted]
        counts[hardest[np.isfinite(loss[image, hardest])]] = True
    return np.flatnonzero(chosen)


def _block(channels: int, out: int, stride: int = 1) -> Conv2d:
    return Conv2d(channels, out, 3, stride, 1, normalizer=BatchNorm2d, activation=ops.relu)


def _head(channels: int, out: int) -> Module:
    return Conv2d(channels, out, 3, 1, 1, initializer=init.variance_scaling(scale=0.01))
