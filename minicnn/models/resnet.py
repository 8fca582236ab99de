"""ResNet for photographs: residual blocks in four stages."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models._images import check_depth
from minicnn.models.residual import Residual, basic_branch, bottleneck_branch
from minicnn.nn import BatchNorm2d, Conv2d, Dense, GlobalAvgPool2d, MaxPool2d, Module, Sequential

__all__ = ["ResNet"]

# Blocks of each stage, and whether they are bottlenecks of three convolutions or have two
STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class ResNet(Module):
    """A 7x7 convolution, four stages of residual blocks, global average pooling, a dense layer.

    The first block of each stage but the first halves the image and doubles the channels; where
    the shape changes, a 1x1 convolution is the shortcut (the paper's option B).

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        How many layers have weights, shortcuts not counted. From 50 on, blocks are bottlenecks.
    classes : int, default 1000
        Number K of classes.
    in_channels : int, default 3
        Channels of the images.
    channels : int, default 64
        Channels c of the first convolution and stage; the others have 2c, 4c and 8c, and
        bottlenecks return four times that.
    zero_gamma : bool, default False
        Whether the last scale of each branch starts at 0, so that each block starts as the
        identity. Recommended for large batches; the paper is older.
    small : bool, default False
        Whether the first convolution is 3x3 with stride 1, without the pooling behind it: for
        images of about 32 x 32, of which the others leave 1x1.

    Attributes
    ----------
    stem : Sequential
        The first convolution and the pooling.
    stages : Sequential
        The four stages, each a Sequential of `Residual`.
    logits : Dense
        The dense layer.

    Raises
    ------
    ConfigError
        If there is no such depth.

    Notes
    -----
    Parameters, as in torchvision: 11,689,512 (18), 21,797,672 (34), 25,557,032 (50), 44,549,160
    (101), 60,192,808 (152). The paper counts only multiplications, 3.8 billion for depth 50.

    Departures from the paper: in bottlenecks the 3x3 convolution has the stride, not the 1x1
    convolution before it, which would not even look at three quarters of the pixels (as in
    torchvision; the parameters are the same); `zero_gamma`.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", arXiv:1706.02677
    (2017), section 5.1, for `zero_gamma`.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.ResNet(18, classes=43, channels=8, small=True)
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    def __init__(
        self,
        depth: int = 50,
        classes: int = 1000,
        in_channels: int = 3,
        channels: int = 64,
        zero_gamma: bool = False,
        small: bool = False,
    ) -> None:
        check_depth(self, depth, STAGES, f"one of {', '.join(map(str, STAGES))}")
        size, stride, padding = (3, 1, 1) if small else (7, 2, 3)
        first = Conv2d(
            in_channels, channels, size, stride, padding,
            normalizer=BatchNorm2d, activation=ops.relu,
        )  # fmt: skip
        self.stem = Sequential(first)
        if not small:
            self.stem.append(MaxPool2d(3, stride=2, padding=1))
        blocks, bottlenecks = STAGES[depth]
        self.stages = Sequential()
        before = channels
        for i, n in enumerate(blocks):
            stage = Sequential()
            for j in range(n):
                stride = 2 if i > 0 and j == 0 else 1
                block, after = _block(before, channels * 2**i, stride, bottlenecks, zero_gamma)
                stage.append(block)
                before = after
            self.stages.append(stage)
        self.pool = GlobalAvgPool2d()
        self.logits = Dense(before, classes)

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


def _block(
    in_channels: int, channels: int, stride: int, bottleneck: bool, zero_gamma: bool
) -> tuple[Residual, int]:
    """Return a block, and how many channels it makes."""
    make, after = (bottleneck_branch, 4 * channels) if bottleneck else (basic_branch, channels)
    branch = make(in_channels, channels, stride, zero_gamma)
    if stride == 1 and in_channels == after:
        return Residual(branch), after
    shortcut = Conv2d(in_channels, after, 1, stride, padding=0, normalizer=BatchNorm2d)
    return Residual(branch, shortcut), after
