"""PSPNet: each pixel is told what the whole scene, its halves and its thirds look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone
from minicnn.models.fcn import enlarged
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Module,
    Sequential,
    arg_scope,
)

__all__ = ["PSPNet", "PixelScores"]


class PixelScores(NamedTuple):
    """What `PSPNet` returns in training if it has an auxiliary head.

    The paper adds the head's loss, times 0.4, to that of the net.

    Attributes
    ----------
    logits : Tensor, shape (N, K, H, W)
        The scores.
    aux : Tensor, shape (N, K, H, W)
        Those of the head on the last but one stage.
    """

    logits: Tensor
    aux: Tensor


class PyramidPooling(Module):
    """Average a map over grids of several sizes, and set each beside the map, enlarged."""

    def __init__(self, channels: int, bins: Sequence[int]) -> None:
        width = max(channels // len(bins), 1)
        self.out_channels = channels + width * len(bins)
        with arg_scope(Conv2d, size=1, normalizer=BatchNorm2d, activation=ops.relu):
            self.levels = Sequential(
                *(Sequential(AdaptiveAvgPool2d(n), Conv2d(channels, width)) for n in bins)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C + levels, H, W)."""
        size = x.shape[2:]
        return ops.concatenate([x, *(enlarged(level(x), size) for level in self.levels)], axis=1)


class PSPNet(Module):
    """A dilated `Backbone`, pyramid pooling, and a convolution: context decides what a pixel is.

    A grey patch is road below a car and roof above a house. The map, at 1/8 of the image, is
    averaged as a whole and over grids of 2 x 2, 3 x 3 and 6 x 6 cells; each average, through a 1x1
    convolution and enlarged, is set beside the map before its pixels are classified.

    Parameters
    ----------
    classes : int, default 8
        Number K of classes of a pixel.
    channels : int, default 16
        Channels c of the backbone's first convolution.
    stages : int, default 3
        Of the backbone; those beyond a stride of 8 are dilated.
    blocks : int, default 1
        Residual blocks of each stage.
    bins : sequence of int, default (1, 2, 3, 6)
        Cells of each grid along an axis.
    aux : bool, default False
        Whether an auxiliary head on the last but one stage helps to train; in training the net then
        returns `PixelScores`.
    dropout : float, default 0.1
        The probability to drop a number before the last convolution, in training.
    in_channels : int, default 3
        Channels of the images.

    Raises
    ------
    ConfigError
        If there are no bins, or an auxiliary head has no stage to sit on.

    Notes
    -----
    Departures from the paper: a small residual backbone; its map at 1/4 is not used.

    References
    ----------
    Zhao, Shi, Qi, Wang and Jia, "Pyramid Scene Parsing Network", CVPR 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.PSPNet(classes=8, channels=8)
    >>> net(Tensor(np.zeros((2, 3, 37, 50), np.float32))).shape
    (2, 8, 37, 50)
    """

    def __init__(
        self,
        classes: int = 8,
        channels: int = 16,
        stages: int = 3,
        blocks: int = 1,
        bins: Sequence[int] = (1, 2, 3, 6),
        aux: bool = False,
        dropout: float = 0.1,
        in_channels: int = 3,
    ) -> None:
        if not len(bins):
            raise ConfigError("PSPNet: there are no bins; give the cells of one or more grids")
        if aux and stages < 2:
            raise ConfigError(
                f"PSPNet: the auxiliary head sits on the last but one of {stages} stages; give "
                "2 or more, or aux=False"
            )
        self.backbone = Backbone(channels, stages, blocks, in_channels, min(8, 2 * 2**stages))
        widths = self.backbone.widths
        self.pyramid = PyramidPooling(widths[-1], bins)
        self.head = head(self.pyramid.out_channels, widths[-1] // 2, classes, dropout)
        self.aux = head(widths[-2], widths[-2] // 2, classes, dropout) if aux else None

    def forward(self, x: Tensor) -> Tensor | PixelScores:
        """Compute the scores of the classes of each pixel.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of any size.

        Returns
        -------
        Tensor, shape (N, K, H, W), or PixelScores
            Scores before the softmax.
        """
        maps, size = self.backbone(x), x.shape[2:]
        logits = enlarged(self.head(self.pyramid(maps[-1])), size)
        if self.aux is None or not self.training:
            return logits
        return PixelScores(logits, enlarged(self.aux(maps[-2]), size))


def head(before: int, width: int, classes: int, dropout: float) -> Sequential:
    """Return a 3x3 convolution, dropout, and a 1x1 convolution to scores."""
    return Sequential(
        Conv2d(before, width, normalizer=BatchNorm2d, activation=ops.relu),
        Dropout(dropout),
        Conv2d(width, classes, 1),
    )
