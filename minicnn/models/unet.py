"""U-Net: down to few pixels of many channels, up again, and at each size a way across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.models._images import check_images, padded_to_multiple
from minicnn.nn import (
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    MaxPool2d,
    Module,
    Sequential,
    Upsample,
    arg_scope,
)

__all__ = ["UNet"]


class UNet(Module):
    """Two convolutions and a pooling, again and again, and the mirrored way up, with skips.

    On the way down the net learns what there is, and forgets where; each skip hands the map of that
    size, from before the pooling, over to the way up, which so knows both. Whatever the depth, an
    image of any size is taken: its border is repeated until the poolings divide it, and what that
    adds is cut off the scores.

    Parameters
    ----------
    classes : int, default 8
        Number K of classes of a pixel.
    widths : sequence of int, default (64, 128, 256)
        Channels at each size, the finest first: there is a pooling between any two. The default is
        the course's net for images of 32 x 32.
    in_channels : int, default 3
        Channels of the images.
    up : {"transposed", "bilinear"}, default "transposed"
        What doubles the size on the way up: a 2x2 transposed convolution with stride 2, or
        interpolation and a 1x1 convolution.
    batch_norm : bool, default True
        Whether each 3x3 convolution is followed by batch normalisation.
    skips : bool, default True
        Whether the way up sees the maps of the way down; without, it is an encoder and a decoder.

    Attributes
    ----------
    down, up : Sequential
        The pairs of convolutions, by size: the finest first, and the coarsest first.
    enlarge : Sequential
        What doubles the size, the coarsest first.
    scores : Conv2d
        The last convolution, 1x1.

    Raises
    ------
    ConfigError
        If there are no widths, or `up` is unknown.

    Notes
    -----
    Departures from the paper: convolutions are padded, so that the scores are as large as the image
    (the paper's are smaller, and its images are mirrored at the border); batch normalisation.

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", MICCAI 2015. Odena, Dumoulin and Olah, "Deconvolution and Checkerboard
    Artifacts", Distill 2016, for the two ways up.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.UNet(classes=8, widths=(8, 16, 32))
    >>> net(Tensor(np.zeros((2, 3, 37, 50), np.float32))).shape
    (2, 8, 37, 50)
    """

    def __init__(
        self,
        classes: int = 8,
        widths: Sequence[int] = (64, 128, 256),
        in_channels: int = 3,
        up: Literal["transposed", "bilinear"] = "transposed",
        batch_norm: bool = True,
        skips: bool = True,
    ) -> None:
        if not len(widths):
            raise ConfigError("UNet: there are no widths; give the channels at each size")
        if up not in ("transposed", "bilinear"):
            raise ConfigError(f"UNet: up {up!r} is unknown; give 'transposed' or 'bilinear'")
        self.skips = skips
        self.multiple = 2 ** (len(widths) - 1)
        self.pool = MaxPool2d(2)
        self.down, self.up, self.enlarge = Sequential(), Sequential(), Sequential()
        norm = BatchNorm2d if batch_norm else None
        with arg_scope(Conv2d, normalizer=norm, activation=ops.relu):
            for before, width in zip([in_channels, *widths], widths, strict=False):
                self.down.append(Sequential(Conv2d(before, width), Conv2d(width, width)))
            for below, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
                self.up.append(
                    Sequential(Conv2d(2 * width if skips else width, width), Conv2d(width, width))
                )
                self.enlarge.append(_doubling(below, width, up))
        self.scores = Conv2d(widths[0], classes, 1)

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
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            seen.append(x)
        for enlarge, block, across in zip(self.enlarge, self.up, seen[-2::-1], strict=True):
            x = enlarge(x)
            x = block(ops.concatenate([across, x], axis=1) if self.skips else x)
        return self.scores(x)[:, :, :height, :width]


def _doubling(before: int, after: int, kind: str) -> Module:
    if kind == "transposed":
        return ConvTranspose2d(before, after, 2, 2)
    # A 1x1 convolution and an interpolation commute: before it costs a quarter
    plain = Conv2d(before, after, 1, normalizer=None, activation=None)
    return Sequential(plain, Upsample(2, "bilinear"))
