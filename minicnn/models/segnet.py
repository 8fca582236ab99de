"""SegNet: the way up puts values back to where the poolings found them."""

from __future__ import annotations

from collections.abc import Sequence

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.models._images import check_images, padded_to_multiple
from minicnn.nn import (
    BatchNorm2d,
    Conv2d,
    MaxPool2d,
    MaxUnpool2d,
    Module,
    Sequential,
    arg_scope,
)

__all__ = ["SegNet"]


class SegNet(Module):
    """Convolutions and max pooling down, max unpooling and convolutions up, mirrored.

    A pooling notes which of its pixels won; the unpooling of the same size puts each value back to
    that place, zeros around it, and convolutions fill the gaps. So edges come back to where they
    were, and what is kept for that are places, not maps as in `UNet`.

    Parameters
    ----------
    classes : int, default 8
        Number K of classes of a pixel.
    widths : sequence of int, default (64, 128, 256)
        Channels at each size; there is a pooling after each.
    in_channels : int, default 3
        Channels of the images.
    convolutions : int, default 2
        How many at each size.

    Attributes
    ----------
    down, up : Sequential
        The convolutions of each size: the finest first, and the coarsest first.
    scores : Conv2d
        The last convolution.

    Raises
    ------
    ConfigError
        If there are no widths or no convolutions.

    Notes
    -----
    The paper's has 13 convolutions down, those of VGG-16, with 64 to 512 channels and five
    poolings: that is nearly ``widths=(64, 128, 256, 512, 512)``; its small one, SegNet-Basic, has
    four of 7x7 with 64 channels each.

    References
    ----------
    Badrinarayanan, Kendall and Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture
    for Image Segmentation", TPAMI 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.SegNet(classes=8, widths=(8, 16))
    >>> net(Tensor(np.zeros((2, 3, 37, 50), np.float32))).shape
    (2, 8, 37, 50)
    """

    def __init__(
        self,
        classes: int = 8,
        widths: Sequence[int] = (64, 128, 256),
        in_channels: int = 3,
        convolutions: int = 2,
    ) -> None:
        if not len(widths) or convolutions < 1:
            raise ConfigError(
                f"SegNet: widths {tuple(widths)} and {convolutions} convolutions leave nothing; "
                "give one or more of both"
            )
        self.multiple = 2 ** len(widths)
        self.pool = MaxPool2d(2, return_indices=True)
        self.unpool = MaxUnpool2d(2)
        self.down, self.up = Sequential(), Sequential()
        more = convolutions - 1
        with arg_scope(Conv2d, normalizer=BatchNorm2d, activation=ops.relu):
            for before, width in zip([in_channels, *widths], widths, strict=False):
                rest = (Conv2d(width, width) for _ in range(more))
                self.down.append(Sequential(Conv2d(before, width), *rest))
            for width, after in zip(widths[::-1], [*widths[-2::-1], widths[0]], strict=True):
                rest = (Conv2d(width, width) for _ in range(more))
                self.up.append(Sequential(*rest, Conv2d(width, after)))
        self.scores = Conv2d(widths[0], classes)

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

        Raises
        ------
        ShapeError
            If it is no batch of images.
        """
        check_images(self, x)
        height, width = x.shape[2:]
        x = padded_to_multiple(x, self.multiple)
        places = []
        for block in self.down:
            x, winners = self.pool(block(x))
            places.append(winners)
        for block, winners in zip(self.up, reversed(places), strict=True):
            x = block(self.unpool(x, winners))
        return self.scores(x)[:, :, :height, :width]
