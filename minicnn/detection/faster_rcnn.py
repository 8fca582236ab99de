"""Faster R-CNN: the proposals, too, come from the network, and so does nearly all of the speed.

What the rung adds to Fast R-CNN: selective search goes, and a region proposal network on the same
map of features takes its place, for next to no time.

Where it departs from the paper, and why:

- The map has a stride of 4, made from maps of strides 4, 8 and 16 from the top down, not the
  last map's 16: traffic signs 10 pixels high would be less than a cell. A stride of 8 takes less
  time and had 2 points of mAP less.
- Objectness is a logistic score, not a softmax of two: the same function with half the outputs.
- Anchors that reach over the border are learned from, too; of those small images have many.
- Proposals are cut out by RoI align, which came later; RoI pooling is there by choice.
- Both stages are trained together from the first step ("approximate joint training", section 3.2
  (ii) of the paper), not in four alternating steps: proposals are constants to the second stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from minicnn import nn
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import to_device
from minicnn.detection._merging import MergedMaps
from minicnn.detection._sampling import check_counts, sample_regions
from minicnn.detection.detector import Detections, Detector, objects_in, scaled
from minicnn.detection.fast_rcnn import RegionHead
from minicnn.detection.region_proposals import RegionProposals
from minicnn.models.backbone import Backbone

__all__ = ["FasterRCNN"]


class FasterRCNN(Detector):
    """Propose boxes from a map of features, then say of each what it shows.

    Parameters
    ----------
    classes : int
        Number K of classes, the background not among them.
    backbone : Backbone, optional
        By default one of 16 channels and three stages.
    channels : int, default 64
        Of the merged map.
    stride : int, default 4
        Of the merged map, one of the backbone's.
    sizes : sequence of float, default (11, 16, 24, 36, 52, 80)
        Of the anchors: square roots of areas, in pixels.
    ratios : sequence of float, default (1,)
        Of the anchors: height by width.
    pooling : {"align", "pool"}, default "align"
        How proposals are cut out of the map: RoI align, or RoI pooling.
    proposals : int, default 100
        Of an image, in detection; in training the samples are drawn from as many.
    samples : int, default 64
        Proposals of an image that are learned from, at most a quarter of them with an object.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    Notes
    -----
    The loss is the sum of the two stages' losses: see `RegionProposals` and `RegionHead`.

    References
    ----------
    Ren, He, Girshick and Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region
    Proposal Networks", NeurIPS 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.detection import FasterRCNN
    >>> net = FasterRCNN(classes=4)
    >>> images = np.zeros((1, 96, 128, 3), np.uint8)
    >>> len(net.find(images)), net.propose(images)[0].shape[1]
    (1, 4)
    """

    def __init__(
        self,
        classes: int,
        backbone: Backbone | None = None,
        channels: int = 64,
        stride: int = 4,
        sizes: Sequence[float] = (11, 16, 24, 36, 52, 80),
        ratios: Sequence[float] = (1.0,),
        pooling: Literal["align", "pool"] = "align",
        proposals: int = 100,
        samples: int = 64,
    ) -> None:
        super().__init__(classes)
        check_counts("FasterRCNN", proposals=proposals, samples=samples)
        self.proposals, self.samples = proposals, samples
        self.maps = MergedMaps(backbone or Backbone(), channels, stride)
        self.rpn = RegionProposals(channels, stride, sizes, ratios)
        self.head = RegionHead(channels, stride, classes, pooling=pooling)
        self._streams = nn.CallStreams("sampling")

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the losses of both stages.

        Parameters
        ----------
        images, truths
            As for `Detector.losses`.

        Returns
        -------
        dict of str to Tensor, shape ()
            "objectness" and "proposals" of the first stage, "classes" and "boxes" of the second.
        """
        size = images.shape[2], images.shape[3]
        objects = [objects_in(truths, image, size) for image in range(len(images))]
        stream = self._streams.next(self)
        features = self.maps(images)
        scores, steps = self.rpn(features)
        anchors = self.rpn.anchors(features)
        objectness, moves = self.rpn.losses(scores, steps, anchors, objects, stream)
        proposals = self.rpn.propose(scores, steps, anchors, size, self.proposals)
        regions = [
            sample_regions(own, of_image, self.samples, 0.25, stream)
            for own, of_image in zip(proposals, objects, strict=True)
        ]
        classes, boxes = self.head.losses(features, regions)
        return {"objectness": objectness, "proposals": moves, "classes": classes, "boxes": boxes}

    def detect(
        self, images: Tensor, score: float = 0.05, overlap: float = 0.5, limit: int = 100
    ) -> list[Detections]:
        """Find objects in a batch as the network sees it.

        Parameters
        ----------
        images, score, overlap, limit
            As for `Detector.detect`.

        Returns
        -------
        list of Detections
            One for each image.
        """
        features, proposals = self._stage_one(images, self.proposals)
        size = images.shape[2], images.shape[3]
        return self.head.detect(features, proposals, size, score, overlap, limit)

    def propose(self, images: np.ndarray, limit: int | None = None) -> list[np.ndarray]:
        """Return what the first stage proposes, as `minicnn.detection.propose` does.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            RGB.
        limit : int, optional
            How many boxes of an image to return at most; by default as many as in detection.

        Returns
        -------
        list of ndarray of float32, shape (P, 4)
            For each image (y0, x0, y1, x1) in pixels, half-open, the best first.
        """
        device = next(self.parameters()).device
        most = self.proposals if limit is None else limit
        with no_grad(), nn.evaluating():
            return self._stage_one(Tensor(to_device(scaled(images), device)), most)[1]

    def _stage_one(self, images: Tensor, limit: int) -> tuple[Tensor, list[np.ndarray]]:
        """Return the map of features and the proposals."""
        features = self.maps(images)
        scores, steps = self.rpn(features)
        size = images.shape[2], images.shape[3]
        return features, self.rpn.propose(scores, steps, self.rpn.anchors(features), size, limit)
