"""Fast R-CNN: the image goes through the network once, and proposals are cut out of its features.

What the rung adds to R-CNN: convolutions are shared by all proposals, and one network ends in
classes and boxes and is trained as one, without support vector machines and ridge regression. The
proposals still come from selective search, which now takes most of the time.

Where it departs from the paper, and why:

- The map has a stride of 4, made from maps of strides 4, 8 and 16 from the top down, not the
  last map's 16: of a traffic sign 10 pixels high a cell would show little.
- RoI align, which came later, reads between the cells; the paper's RoI pooling, which rounds, is
  there by choice. After equal training it had 3 points of mAP less, 8 where boxes count exactly.
- One dense layer of 128, not two of 4096, and training from scratch.
- Background is all that overlaps no object by half, not only what overlaps one by 0.1 to 0.5:
  a network that was not trained on something else before has to see the easy ones, too.
- Eight images with 64 proposals each make a batch, not two: batch normalisation wants several.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import as_numpy, to_device
from minicnn.detection._merging import MergedMaps
from minicnn.detection._one_stage import SCALE
from minicnn.detection._sampling import Regions, check_counts, sample_regions
from minicnn.detection.detector import Detections, Detector, best_boxes, objects_in, scaled
from minicnn.detection.selective_search import propose
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.nn.init import variance_scaling

__all__ = ["FastRCNN", "RegionHead"]


class RegionHead(nn.Module):
    """Say of each proposal what it shows and where that is: the second stage.

    The proposal is cut out of the map as a grid of fixed size; a dense layer follows, and from
    its outputs K+1 scores, the background's the last, and for each class four steps from the
    proposal to the object.

    Parameters
    ----------
    in_channels : int
        Of the map.
    stride : int
        Of the map, in pixels of the image.
    classes : int
        K, the background not among them.
    grid : int, default 5
        Rows and columns of a proposal's cells.
    width : int, default 128
        Outputs of the dense layer.
    pooling : {"align", "pool"}, default "align"
        RoI align (the cells' means, interpolated) or RoI pooling (their maxima, rounded).

    Raises
    ------
    ConfigError
        If there is no such pooling.

    Notes
    -----
    A proposal i is to be of class u_i (K: background) and its steps to be v_i. Taken as
    independent, the negative logarithm of the class's probability is the cross-entropy of the
    scores p_i. Of the steps t_i[k] of all classes only those of its own are asked for, and none
    of the background; their errors d cost ``d**2 / 2`` up to 1 and ``|d| - 1/2`` from there on,
    so that the slope of a proposal that is far off stays 1. Over n proposals

    ``L = 1/n sum_i [-log softmax(p_i)[u_i] + (u_i < K) sum_j smooth_l1(t_i[u_i]_j - v_ij)]``.

    Both terms are divided by n: were the second divided by the few that show an object, it would
    outweigh the first.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015, sections 2.1 to 2.3.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int,
        classes: int,
        grid: int = 5,
        width: int = 128,
        pooling: Literal["align", "pool"] = "align",
    ) -> None:
        if pooling not in ("align", "pool"):
            raise ConfigError(f"RegionHead: pooling {pooling!r} is unknown; say 'align' or 'pool'")
        cut = nn.RoIAlign if pooling == "align" else nn.RoIPool
        self.classes = classes
        self.cut = cut(grid, 1 / stride)
        small = variance_scaling(0.1)
        self.hidden = nn.Dense(in_channels * grid * grid, width, activation=ops.relu)
        self.scores = nn.Dense(width, classes + 1, initializer=small)
        self.steps = nn.Dense(width, 4 * classes, initializer=small)

    def forward(self, features: Tensor, proposals: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Judge proposals.

        Parameters
        ----------
        features : Tensor, shape (N, C, H, W)
            The map.
        proposals : sequence of ndarray, shape (P, 4)
            Of each image; R in all.

        Returns
        -------
        scores : Tensor, shape (R, K+1)
            Logits.
        steps : Tensor, shape (R, K, 4)
            From the proposals.
        """
        boxes = np.concatenate(proposals)
        images = np.repeat(np.arange(len(proposals)), [len(own) for own in proposals])
        device = features.device
        x = self.cut(features, to_device(boxes, device), to_device(images, device))
        x = self.hidden(x.reshape(len(boxes), math.prod(x.shape[1:])))
        return self.scores(x), self.steps(x).reshape(len(boxes), self.classes, 4)

    def losses(self, features: Tensor, regions: Sequence[Regions]) -> tuple[Tensor, Tensor]:
        """Compare what is said of proposals with what they show.

        Parameters
        ----------
        features : Tensor, shape (N, C, H, W)
            The map.
        regions : sequence of Regions
            Of each image.

        Returns
        -------
        classification, box : Tensor, shape ()
            The two terms of the loss.
        """
        scores, steps = self(features, [of_image.boxes for of_image in regions])
        boxes, classes, targets = (np.concatenate(part) for part in zip(*regions, strict=True))
        device, count = features.device, max(len(boxes), 1)
        labels = np.where(classes >= 0, classes, self.classes)
        there = np.flatnonzero(classes >= 0)
        wanted = ops.encode_boxes(targets[there], boxes[there], SCALE).numpy()
        own = steps[to_device(there, device), to_device(classes[there], device)]
        classification = ops.sparse_softmax_cross_entropy(
            scores, to_device(labels, device), reduction="sum"
        )
        box = ops.smooth_l1_loss(own, to_device(wanted.astype(np.float32), device), reduction="sum")
        return classification / count, box / count

    def detect(
        self,
        features: Tensor,
        proposals: Sequence[np.ndarray],
        size: tuple[int, int],
        score: float,
        overlap: float,
        limit: int,
    ) -> list[Detections]:
        """Return what the proposals show.

        Parameters
        ----------
        features : Tensor, shape (N, C, H, W)
            The map.
        proposals : sequence of ndarray, shape (P, 4)
            Of each image.
        size : (int, int)
            Height and width of the images in pixels, where boxes are cut off.
        score, overlap, limit
            As for `Detector.detect`.

        Returns
        -------
        list of Detections
            One for each image.
        """
        logits, moves = self(features, proposals)
        sure = as_numpy(ops.softmax(logits).data)[:, :-1]
        steps, start, found = as_numpy(moves.data), 0, []
        for own in proposals:
            rows = slice(start, start + len(own))
            anywhere = ops.decode_boxes(steps[rows], own[:, None], SCALE)
            boxes = ops.clip_boxes(anywhere, *size).numpy()
            found.append(best_boxes(boxes, sure[rows], score, overlap, limit))
            start += len(own)
        return found


class FastRCNN(Detector):
    """Say of each box that selective search proposes what it shows, from one map of features.

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
    pooling : {"align", "pool"}, default "align"
        RoI align, or RoI pooling.
    proposals : int, default 1000
        Of an image, in detection.
    samples : int, default 64
        Proposals of an image that are learned from, at most a quarter of them with an object.
    search : callable, optional
        ``search(image, limit)`` proposes boxes, float32 (P, 4), in a uint8 image (H, W, 3); by
        default `minicnn.detection.propose`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    Notes
    -----
    The loss is that of `RegionHead`. Proposals are costly and do not change: compute those of the
    training images once, and give them as ``truths["proposals"]``, float32 (N, P, 4), in which
    boxes without area only fill up.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.detection import FastRCNN
    >>> net = FastRCNN(classes=4)
    >>> len(net.find(np.zeros((1, 96, 128, 3), np.uint8)))
    1
    """

    def __init__(
        self,
        classes: int,
        backbone: Backbone | None = None,
        channels: int = 64,
        stride: int = 4,
        pooling: Literal["align", "pool"] = "align",
        proposals: int = 1000,
        samples: int = 64,
        search: Callable[[np.ndarray, int], np.ndarray] | None = None,
    ) -> None:
        super().__init__(classes)
        check_counts("FastRCNN", proposals=proposals, samples=samples)
        self.proposals, self.samples = proposals, samples
        self.search = search or propose
        self.maps = MergedMaps(backbone or Backbone(), channels, stride)
        self.head = RegionHead(channels, stride, classes, pooling=pooling)
        self._streams = nn.CallStreams("sampling")

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute the losses of a sample of the proposals.

        Parameters
        ----------
        images, truths
            As for `Detector.losses`; and "proposals", float32 (N, P, 4).

        Returns
        -------
        dict of str to Tensor, shape ()
            "classes" and "boxes".

        Raises
        ------
        ConfigError
            If there are no proposals.
        """
        if "proposals" not in truths:
            raise ConfigError(
                f'FastRCNN: truths have {", ".join(truths)}; give "proposals" (N, P, 4), too, '
                "from minicnn.detection.propose, say"
            )
        size, stream = (images.shape[2], images.shape[3]), self._streams.next(self)
        given = as_numpy(truths["proposals"])
        regions = []
        for image in range(len(images)):
            boxes = ops.clip_boxes(given[image], *size).numpy()
            objects = objects_in(truths, image, size)
            regions.append(sample_regions(boxes, objects, self.samples, 0.25, stream))
        classification, box = self.head.losses(self.maps(images), regions)
        return {"classes": classification, "boxes": box}

    def find(
        self, images: np.ndarray, score: float = 0.05, overlap: float = 0.5, limit: int = 100
    ) -> list[Detections]:
        """Find objects in pictures, from pixels to boxes, the proposals included.

        Parameters
        ----------
        images, score, overlap, limit
            As for `Detector.find`.

        Returns
        -------
        list of Detections
            One for each image.
        """
        batch = scaled(images)  # checks them
        proposals = [self.search(image, self.proposals) for image in images]
        device, size = next(self.parameters()).device, batch.shape[2:]
        with no_grad(), nn.evaluating():
            features = self.maps(Tensor(to_device(batch, device)))
            return self.head.detect(features, proposals, size, score, overlap, limit)
