"""The layers that detectors and segmenters share: from an image to maps, ever coarser."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.models.residual import Residual, basic_branch
from minicnn.nn import BatchNorm2d, Conv2d, Module, Sequential

__all__ = ["Backbone"]


class Backbone(Module):
    """A small residual network without a head: maps at 1/4, 1/8, 1/16 ... of the image.

    A 3x3 convolution with stride 2 to c channels; then stages, each of which halves the map by a
    convolution with stride 2, doubles the channels, and adds residual blocks of two convolutions.

    Parameters
    ----------
    channels : int, default 16
        Channels c of the first convolution; stage i, from 1 on, has 2**i * c.
    stages : int, default 3
        How many stages.
    blocks : int, default 1
        Residual blocks of each stage.
    in_channels : int, default 3
        Channels of the images.
    output_stride : int, optional
        Where to stop halving: stages beyond that stride keep the size of the map and look at every
        second, every fourth ... pixel instead (dilated convolutions). By default none does.

    Attributes
    ----------
    strides : tuple of int
        Of the maps: (4, 8, 16).
    widths : tuple of int
        Their channels: (2c, 4c, 8c).

    Raises
    ------
    ConfigError
        If there is no stage, or no channel, or the stride is not 4, 8, 16 ...

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016; narrower and
    shallower here, and without its pooling. Yu and Koltun, "Multi-Scale Context Aggregation by
    Dilated Convolutions", ICLR 2016, for dilation.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.Backbone(channels=8)
    >>> [m.shape for m in net(Tensor(np.zeros((1, 3, 48, 64), np.float32)))]
    [(1, 16, 12, 16), (1, 32, 6, 8), (1, 64, 3, 4)]
    """

    def __init__(
        self,
        channels: int = 16,
        stages: int = 3,
        blocks: int = 1,
        in_channels: int = 3,
        output_stride: int | None = None,
    ) -> None:
        if stages < 1 or blocks < 0 or channels < 1:
            raise ConfigError(
                f"Backbone: {stages} stages of {blocks} blocks, {channels} channels; give 1 or "
                "more stages and channels, and no fewer than 0 blocks"
            )
        full = tuple(4 * 2**i for i in range(stages))
        most = full[-1] if output_stride is None else output_stride
        if most not in full:
            raise ConfigError(
                f"Backbone: output_stride {output_stride}; give one of {', '.join(map(str, full))}"
            )
        self.strides = tuple(min(stride, most) for stride in full)
        self.widths = tuple(2 * channels * 2**i for i in range(stages))
        self.stem = Conv2d(
            in_channels, channels, 3, 2, 1, normalizer=BatchNorm2d, activation=ops.relu
        )
        self.stages = Sequential()
        before = channels
        for width, stride in zip(self.widths, full, strict=True):
            dilation = max(stride // most, 1)
            self.stages.append(_stage(before, width, blocks, dilation))
            before = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the maps.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of any size; H and W are rounded up at each stride.

        Returns
        -------
        list of Tensor, shapes (N, 2c, H/4, W/4), (N, 4c, H/8, W/8), ...
            The finest first.
        """
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def _stage(before: int, width: int, blocks: int, dilation: int) -> Sequential:
    # The convolution that would have halved the map looks at what the stage before looked at
    own, stride = (1, 2) if dilation == 1 else (dilation // 2, 1)
    return Sequential(
        Conv2d(before, width, 3, stride, own, own, normalizer=BatchNorm2d, activation=ops.relu),
        *(Residual(basic_branch(width, width, dilation=dilation)) for _ in range(blocks)),
    )
