"""ResNet for pictures of 32 x 32 pixels: as deep as one likes, and narrow."""

from __future__ import annotations

from collections.abc import Callable

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models._images import check_depth
from minicnn.models.residual import Residual, basic_branch
from minicnn.nn import BatchNorm2d, Conv2d, Dense, GlobalAvgPool2d, Module, Sequential

__all__ = ["CifarResNet", "check_cifar_depth", "stages"]


class CifarResNet(Module):
    """A 3x3 convolution, three stages of residual blocks, global average pooling, a dense layer.

    Each block has two 3x3 convolutions. The first block of the second and of the third stage halves
    the image and doubles the channels; its shortcut takes every other pixel, and zeros for the new
    channels (the paper's option A), so that no shortcut has parameters.

    Parameters
    ----------
    depth : int, default 20
        How many layers have weights: 6n + 2, for stages of n blocks.
    classes : int, default 43
        Number K of classes.
    channels : int, default 16
        Channels c of the first stage; the others have 2c and 4c.
    in_channels : int, default 3
        Channels of the images.
    zero_gamma : bool, default False
        Whether the last scale of each branch starts at 0, so that each block starts as the
        identity; the paper is older.

    Attributes
    ----------
    stem : Conv2d
        The first convolution.
    stages : Sequential
        The three stages, each a Sequential of `Residual`.
    logits : Dense
        The dense layer.

    Raises
    ------
    ConfigError
        If the depth is not 6n + 2.

    Notes
    -----
    Parameters for 10 classes: 269,722 (depth 20), 464,154 (32), 853,018 (56), 1,727,962 (110); the
    paper's table 6 says 0.27, 0.46, 0.85 and 1.7 million. The plain net of the same depth,
    `PlainNet`, has as many.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    No departures, but for what the paper leaves open: the zeros come after the channels that are
    there.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.CifarResNet(20)
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    def __init__(
        self,
        depth: int = 20,
        classes: int = 43,
        channels: int = 16,
        in_channels: int = 3,
        zero_gamma: bool = False,
    ) -> None:
        check_cifar_depth(self, depth)

        def block(before: int, after: int, stride: int) -> Residual:
            branch = basic_branch(before, after, stride, zero_gamma)
            return Residual(branch, None if stride == 1 else _Subsampled(stride, after - before))

        self.stem = Conv2d(in_channels, channels, normalizer=BatchNorm2d, activation=ops.relu)
        self.stages = stages(depth, channels, block)
        self.pool = GlobalAvgPool2d()
        self.logits = Dense(4 * channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of any size.

        Returns
        -------
        Tensor, shape (N, K)
            Scores before the softmax.
        """
        return self.logits(self.pool(self.stages(self.stem(x))))


def check_cifar_depth(net: Module, depth: int) -> None:
    """Refuse a depth that does not make three equal stages."""
    check_depth(net, depth, range(8, 6 * 10_000, 6), "6n + 2, as 20, 32, 44, 56 or 110")


def stages(depth: int, channels: int, block: Callable[[int, int, int], Module]) -> Sequential:
    """Return three stages of ``block(in_channels, channels, stride)``."""
    made, before = Sequential(), channels
    for i in range(3):
        stage, after = Sequential(), channels * 2**i
        for j in range((depth - 2) // 6):
            stage.append(block(before, after, 2 if i > 0 and j == 0 else 1))
            before = after
        made.append(stage)
    return made


class _Subsampled(Module):
    """Every other pixel, and channels of zeros: a shortcut that has nothing to learn."""

    def __init__(self, stride: int, more: int) -> None:
        self._stride, self._more = stride, more

    def forward(self, x: Tensor) -> Tensor:
        """Take pixels, add channels."""
        taken = x[:, :, :: self._stride, :: self._stride]
        return ops.pad(taken, [(0, 0), (0, self._more), (0, 0), (0, 0)])
