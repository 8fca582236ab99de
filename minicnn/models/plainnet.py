"""The residual nets' twins without shortcuts, which show what shortcuts are for."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models.cifar_resnet import check_cifar_depth, stages
from minicnn.models.residual import basic_branch
from minicnn.nn import BatchNorm2d, Conv2d, Dense, GlobalAvgPool2d, Module, Sequential

__all__ = ["PlainNet"]


class PlainNet(Module):
    """`CifarResNet` without its shortcuts: the same layers, names, weights and parameter count.

    Deeper is not better here: the paper's plain net of 56 layers has a larger error than that of
    20, on the training images too, and the one of 110 does not train at all. Batch normalisation
    keeps the signal's size from layer to layer, but on the way back each layer makes the gradient
    larger: at the start that of the first convolution is about 20 times that of the last layer at a
    depth of 20, 5,000 times at 56 and 10 million times at 110; with shortcuts 1 to 3 times.

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

    Attributes
    ----------
    stem : Conv2d
        The first convolution.
    stages : Sequential
        The three stages, each a Sequential of blocks.
    logits : Dense
        The dense layer.

    Raises
    ------
    ConfigError
        If the depth is not 6n + 2.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2
    and figure 6. Yang et al., "A Mean Field Theory of Batch Normalization", ICLR 2019, for why the
    gradients explode.

    Examples
    --------
    >>> from minicnn import models
    >>> plain, residual = models.PlainNet(56), models.CifarResNet(56)
    >>> plain.count_parameters() == residual.count_parameters()
    True
    """

    def __init__(
        self, depth: int = 20, classes: int = 43, channels: int = 16, in_channels: int = 3
    ) -> None:
        check_cifar_depth(self, depth)

        def block(before: int, after: int, stride: int) -> Sequential:
            return Sequential(branch=basic_branch(before, after, stride), relu=ops.relu)

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
