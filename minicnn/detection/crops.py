"""Pieces of images, all warped to one size, and the network that classifies one by one.

What the sliding window and R-CNN have in common: each box is cut out and goes through the whole
network by itself. Nothing is shared between boxes that overlap, which is why both are slow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.device import to_device
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.nn.init import variance_scaling

__all__ = ["CropClassifier", "warp_boxes"]

_AT_ONCE = 128  # crops that are classified in one call: some megabytes of maps at a time


def warp_boxes(
    images: Tensor, boxes: np.ndarray, numbers: np.ndarray, size: int, context: int = 0
) -> Tensor:
    """Cut boxes out of images and stretch each to one size, whatever its height and width.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
        A batch of images.
    boxes : ndarray, shape (R, 4)
        (y0, x0, y1, x1) in pixels, each with an area.
    numbers : ndarray of int64, shape (R,)
        Of which image each box is.
    size : int
        Height and width S of the crops, in pixels.
    context : int, default 0
        How many of these pixels, at each side, show what is around the box.

    Returns
    -------
    Tensor, shape (R, C, S, S)
        The box itself fills the middle ``S - 2 * context`` pixels. What is outside the image reads
        0, the mean of pixels that are `scaled`.

    Raises
    ------
    ConfigError
        If the context leaves no room for the box.

    References
    ----------
    Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
    segmentation", CVPR 2014, appendix A: there S is 227 and the context 16.
    """
    if not 0 <= 2 * context < size:
        raise ConfigError(
            f"warp_boxes: a context of {context} pixels at each side leaves no room in a crop of "
            f"{size}; give less than half"
        )
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    margin = (boxes[:, 2:] - boxes[:, :2]) * np.float32(context / (size - 2 * context))
    around = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    device = images.device
    return ops.roi_align(images, to_device(around, device), to_device(numbers, device), size)


class CropClassifier(nn.Module):
    """The backbone, pooling, a dense layer and K+1 scores, the background's the last.

    Parameters
    ----------
    classes : int
        K, the background not among them.
    size : int
        Height and width S of the crops, in pixels.
    features : int, default 128
        Outputs F of the dense layer.
    backbone : Backbone, optional
        By default one of 16 channels and three stages.

    Attributes
    ----------
    pooled : int
        Numbers P that the dense layer gets.
    """

    def __init__(
        self, classes: int, size: int, features: int = 128, backbone: Backbone | None = None
    ) -> None:
        self.backbone = backbone or Backbone()
        side = -(-size // self.backbone.strides[-1])
        self.pooled = self.backbone.widths[-1] * (-(-side // 2)) ** 2
        self.hidden = nn.Dense(self.pooled, features, activation=ops.relu)
        self.scores = nn.Dense(features, classes + 1, initializer=variance_scaling(0.1))

    def pool(self, crops: Tensor) -> Tensor:
        """Return the coarsest map, its maxima of 3x3 cells at a stride of 2.

        Parameters
        ----------
        crops : Tensor, shape (R, 3, S, S)
            From `warp_boxes`.

        Returns
        -------
        Tensor, shape (R, P)
            One line for each crop.
        """
        coarsest = self.backbone(crops)[-1]
        return ops.max_pool2d(coarsest, 3, 2, "same").reshape(len(crops), -1)

    def forward(self, crops: Tensor) -> Tensor:
        """Classify.

        Parameters
        ----------
        crops : Tensor, shape (R, 3, S, S)
            From `warp_boxes`.

        Returns
        -------
        Tensor, shape (R, K+1)
            Logits.
        """
        return self.scores(self.hidden(self.pool(crops)))

    def losses(self, crops: Tensor, labels: np.ndarray) -> dict[str, Tensor]:
        """Compare with what the crops show: ``-log softmax(scores)[label]``, the mean.

        Parameters
        ----------
        crops : Tensor, shape (R, 3, S, S)
            From `warp_boxes`.
        labels : ndarray of int64, shape (R,)
            0 ... K-1, K for background, negative for what counts for nothing.

        Returns
        -------
        dict of str to Tensor, shape ()
            "class".
        """
        wanted = to_device(np.where(labels >= 0, labels, -1), crops.device)
        return {"class": ops.sparse_softmax_cross_entropy(self(crops), wanted, ignore_label=-1)}


def in_parts(count: int) -> Iterator[slice]:
    """Yield slices of so many crops as are classified in one call."""
    for start in range(0, count, _AT_ONCE):
        yield slice(start, min(start + _AT_ONCE, count))
