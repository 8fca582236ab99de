"""Faster R-CNN's first stage: a small network that says where something is, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.device import as_numpy, to_device
from minicnn.backend.random import Stream
from minicnn.detection._one_stage import anchor_table, check_numbers, shapes_of
from minicnn.detection._sampling import check_counts, draw, label_boxes
from minicnn.detection.detector import Objects
from minicnn.nn.init import variance_scaling

__all__ = ["RegionProposals"]

_SMOOTH = 1 / 9  # from which error on the loss of a step is linear
_SMALLEST = 2.0  # pixels, of a proposal's sides


class RegionProposals(nn.Module):
    """A 3x3 convolution over a map of features, then for each anchor: an object, and where.

    Parameters
    ----------
    in_channels : int
        Of the map.
    stride : int
        Of the map, in pixels of the image.
    sizes : sequence of float, default (11, 16, 24, 36, 52, 80)
        Of the anchors: square roots of areas, in pixels.
    ratios : sequence of float, default (1,)
        Of the anchors: height by width.
    positive, negative : float, default 0.6 and 0.3
        From which overlap with an object on an anchor stands for it, and below which for none.
    samples : int, default 128
        Anchors of an image that are learned from.

    Raises
    ------
    ConfigError
        If a size or ratio is not above 0, or there is none; or there are no samples.

    Notes
    -----
    An anchor's score s is the logit of there being an object, its four steps t lead to the
    object's box (`ops.encode_boxes`). Anchors are drawn, at most half of them ones that stand for
    an object (p = 1, steps t*), for of all that there are hardly one in a hundred does. Over n of
    them the loss is the negative log-likelihood of there being an object or none, and, where
    there is one, the errors of the steps, squared only up to 1/9: steps are not scaled here, and
    small ones still matter.

    ``L = 1/n sum_i [-p_i log sigmoid(s_i) - (1 - p_i) log(1 - sigmoid(s_i))
    + p_i sum_j smooth_l1(t_ij - t*_ij)]``.

    References
    ----------
    Ren, He, Girshick and Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region
    Proposal Networks", NeurIPS 2015, section 3.1.
    """

    def __init__(
        self,
        in_channels: int,
        stride: int,
        sizes: Sequence[float] = (11, 16, 24, 36, 52, 80),
        ratios: Sequence[float] = (1.0,),
        positive: float = 0.6,
        negative: float = 0.3,
        samples: int = 128,
    ) -> None:
        for what, values in (("sizes", sizes), ("ratios", ratios)):
            check_numbers("RegionProposals", what, values)
        check_counts("RegionProposals", samples=samples)
        self.stride, self._shapes = stride, shapes_of(sizes, ratios)
        self.positive, self.negative, self.samples = positive, negative, samples
        shapes = len(self._shapes)
        small = variance_scaling(0.1)
        self.hidden = nn.Conv2d(in_channels, in_channels, 3, activation=ops.relu)
        self.scores = nn.Conv2d(in_channels, shapes, 1, initializer=small)
        self.steps = nn.Conv2d(in_channels, 4 * shapes, 1, initializer=small)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Judge all anchors.

        Parameters
        ----------
        features : Tensor, shape (N, C, H, W)
            The map.

        Returns
        -------
        scores : Tensor, shape (N, H*W*A)
            Logits, in the order of `anchors`.
        steps : Tensor, shape (N, H*W*A, 4)
            From the anchors.
        """
        x, n = self.hidden(features), features.shape[0]
        scores = self.scores(x).transpose(0, 2, 3, 1).reshape(n, -1)
        return scores, self.steps(x).transpose(0, 2, 3, 1).reshape(n, -1, 4)

    def anchors(self, features: Tensor) -> np.ndarray:
        """Return the anchors of a map, float32 (H*W*A, 4), in pixels of the image."""
        size = features.shape[2], features.shape[3]
        return anchor_table((size,), (self.stride,), (self._shapes,))

    def propose(
        self,
        scores: Tensor,
        steps: Tensor,
        anchors: np.ndarray,
        size: tuple[int, int],
        limit: int,
        overlap: float = 0.7,
    ) -> list[np.ndarray]:
        """Return the best boxes of each image, those that overlap a better one left out.

        Parameters
        ----------
        scores, steps : Tensor
            From `forward`.
        anchors : ndarray, shape (A, 4)
            Of the map.
        size : (int, int)
            Height and width of the images in pixels, where boxes are cut off.
        limit : int
            How many to return of an image at most; six times as many compete.
        overlap : float, default 0.7
            Which two boxes may have.

        Returns
        -------
        list of ndarray of float32, shape (P, 4)
            The best first. They are constants: no gradient flows through them.
        """
        logits, moves = as_numpy(scores.data), as_numpy(steps.data)
        found = []
        for image in range(len(logits)):
            best = _largest(logits[image], 6 * limit)
            anywhere = ops.decode_boxes(moves[image, best], anchors[best])
            boxes = ops.clip_boxes(anywhere, *size).numpy()
            large = ((boxes[:, 2:] - boxes[:, :2]) >= _SMALLEST).all(axis=1)  # False for NaN
            boxes, best = boxes[large], best[large]
            kept = ops.nms(boxes, logits[image, best], overlap, limit=limit).numpy()
            found.append(boxes[kept].astype(np.float32))
        return found

    def losses(
        self,
        scores: Tensor,
        steps: Tensor,
        anchors: np.ndarray,
        objects: Sequence[Objects],
        stream: Stream,
    ) -> tuple[Tensor, Tensor]:
        """Compare anchors drawn at random with what is there.

        Parameters
        ----------
        scores, steps : Tensor
            From `forward`.
        anchors : ndarray, shape (A, 4)
            Of the map.
        objects : sequence of Objects
            Of each image.
        stream : Stream
            For the draw.

        Returns
        -------
        objectness, box : Tensor, shape ()
            The two terms of the loss.
        """
        rows, there, images, wanted = [], [], [], []
        for image, of_image in enumerate(objects):
            labels = label_boxes(anchors, of_image, self.positive, self.negative, best_too=True)
            drawn = draw(labels, self.samples, 0.5, stream)
            stand = drawn[labels[drawn] >= 0]
            rows.append(drawn)
            images.append(np.full(len(drawn), image))
            there.append(labels[drawn] >= 0)
            wanted.append(ops.encode_boxes(of_image.boxes[labels[stand]], anchors[stand]).numpy())
        row, of, yes = (np.concatenate(parts) for parts in (rows, images, there))
        device, count = scores.device, max(len(row), 1)
        at = to_device(of, device), to_device(row, device)
        positive = to_device(of[yes], device), to_device(row[yes], device)
        is_object = to_device(yes.astype(np.float32), device)
        target = to_device(np.concatenate(wanted).astype(np.float32), device)
        objectness = ops.sigmoid_cross_entropy(scores[at], is_object, reduction="sum")
        box = ops.smooth_l1_loss(steps[positive], target, _SMOOTH, reduction="sum")
        return objectness / count, box / count


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the largest scores, of equal ones the first."""
    if 0 < count < len(scores):
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        some = np.flatnonzero(scores >= least)
    else:
        some = np.arange(len(scores))
    return some[np.argsort(-scores[some], kind="stable")][:count]
