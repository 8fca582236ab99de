"""A dilated residual net with an atrous pyramid, as in DeepLab: wide views of a fine map."""

from __future__ import annotations

from collections.abc import Sequence

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models.backbone import Backbone
from minicnn.models.fcn import enlarged
from minicnn.models.pspnet import head
from minicnn.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Module, Sequential, arg_scope

__all__ = ["DeepLab"]


class AtrousPyramid(Module):
    """Look at a map by convolutions of several dilations at once, and at its average."""

    def __init__(self, channels: int, width: int, rates: Sequence[int]) -> None:
        self.out_channels = width * (len(rates) + 2)
        with arg_scope(Conv2d, normalizer=BatchNorm2d, activation=ops.relu):
            self.near = Conv2d(channels, width, 1)
            self.far = Sequential(
                *(Conv2d(channels, width, padding=rate, dilation=rate) for rate in rates)
            )
        # No normaliser: of a single image the batch would be one number for each channel
        self.whole = Sequential(
            AdaptiveAvgPool2d(1), Conv2d(channels, width, 1, activation=ops.relu)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width * (rates + 2), H, W)."""
        views = [self.near(x), *(look(x) for look in self.far)]
        return ops.concatenate([*views, enlarged(self.whole(x), x.shape[2:])], axis=1)


class DeepLab(Module):
    """A `Backbone` that stops halving at 1/8, dilated from there on, and an atrous pyramid.

    Pooling makes a net see far and forget where; dilation makes it see as far on a map that stays
    fine: a 3x3 convolution with dilation r looks 2r + 1 pixels far with nine weights. Several of
    them, with several dilations, look at objects of several sizes.

    Parameters
    ----------
    classes : int, default 8
        Number K of classes of a pixel.
    channels : int, default 16
        Channels c of the backbone's first convolution.
    stages : int, default 3
        Of the backbone.
    blocks : int, default 1
        Residual blocks of each stage.
    rates : sequence of int, default (2, 4, 8)
        Dilations of the pyramid, in pixels of its map.
    output_stride : int, default 8
        Where the backbone stops halving.
    dropout : float, default 0.1
        The probability to drop a number before the last convolution, in training.
    in_channels : int, default 3
        Channels of the images.

    Notes
    -----
    Departures from the paper: a small residual backbone; smaller rates (6, 12 and 18 there) for
    smaller maps; the pooled branch has no batch normalisation.

    References
    ----------
    Chen, Papandreou, Schroff and Adam, "Rethinking Atrous Convolution for Semantic Image
    Segmentation", arXiv:1706.05587 (2017). Yu and Koltun, "Multi-Scale Context Aggregation by
    Dilated Convolutions", ICLR 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.DeepLab(classes=8, channels=8)
    >>> net(Tensor(np.zeros((2, 3, 37, 50), np.float32))).shape
    (2, 8, 37, 50)
    """

    def __init__(
        self,
        classes: int = 8,
        channels: int = 16,
        stages: int = 3,
        blocks: int = 1,
        rates: Sequence[int] = (2, 4, 8),
        output_stride: int = 8,
        dropout: float = 0.1,
        in_channels: int = 3,
    ) -> None:
        self.backbone = Backbone(channels, stages, blocks, in_channels, output_stride)
        before = self.backbone.widths[-1]
        self.pyramid = AtrousPyramid(before, max(before // 4, 1), rates)
        self.head = head(self.pyramid.out_channels, before // 2, classes, dropout)

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
        return enlarged(self.head(self.pyramid(self.backbone(x)[-1])), x.shape[2:])
