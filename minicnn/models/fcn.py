"""FCN: a classifier whose last layers are convolutions, and scores added over three sizes."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models.backbone import Backbone
from minicnn.nn import Conv2d, Module, Sequential

__all__ = ["FCN"]


class FCN(Module):
    """Score each map of a `Backbone` by a 1x1 convolution; add, from the coarsest to the finest.

    What a classifier knows at the end, it knows at each place of a coarse map: a 1x1 convolution
    makes scores of it. They are enlarged to the size of the map before and added to that one's
    own scores, which know better where; and so on, and at last enlarged to the image.

    Parameters
    ----------
    classes : int, default 8
        Number K of classes of a pixel.
    channels : int, default 16
        Channels c of the backbone's first convolution.
    stages : int, default 3
        Of the backbone: maps at 1/4, 1/8, 1/16.
    blocks : int, default 1
        Residual blocks of each stage.
    skips : int, optional
        How many of the finer maps are scored, too; by default all. 0 enlarges the coarsest alone.
    in_channels : int, default 3
        Channels of the images.

    Attributes
    ----------
    backbone : Backbone
        What makes the maps.
    scores : Sequential
        The 1x1 convolutions, the coarsest map's first.

    Notes
    -----
    Departures from the paper: a small residual backbone, not VGG-16; the finest map is that at 1/4
    where the paper's FCN-8s has 1/8; enlarged by linear interpolation, with which the paper begins.

    References
    ----------
    Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR
    2015.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.FCN(classes=8, channels=8)
    >>> net(Tensor(np.zeros((2, 3, 37, 50), np.float32))).shape
    (2, 8, 37, 50)
    """

    def __init__(
        self,
        classes: int = 8,
        channels: int = 16,
        stages: int = 3,
        blocks: int = 1,
        skips: int | None = None,
        in_channels: int = 3,
    ) -> None:
        self.backbone = Backbone(channels, stages, blocks, in_channels)
        scored = stages if skips is None else min(max(skips, 0) + 1, stages)
        widths = self.backbone.widths[::-1][:scored]
        self.scores = Sequential(*(Conv2d(width, classes, 1) for width in widths))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes of each pixel.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of any size.

        Returns
        -------
        Tensor, shape (N, K, H, W)
            Scores before the softmax.
        """
        maps = self.backbone(x)[::-1]
        total = None
        for score, features in zip(self.scores, maps, strict=False):
            own = score(features)
            total = own if total is None else own + enlarged(total, own.shape[2:])
        assert total is not None  # there is a stage
        return enlarged(total, x.shape[2:])


def enlarged(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate a map linearly to a height and width."""
    return x if x.shape[2:] == size else ops.resize(x, size, mode="bilinear")
