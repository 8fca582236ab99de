"""The course's network for traffic signs: nine convolutions, one hidden layer."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn import (
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    GlobalAvgPool2d,
    MaxPool2d,
    Module,
    Sequential,
    arg_scope,
)

__all__ = ["SeedNet"]


class SeedNet(Module):
    """Three blocks of three 3x3 convolutions, pooling between, two dense layers on top.

    Each convolution is followed by batch normalisation and ReLU; the blocks have c, 2c and 4c
    channels; after the first and the second, max pooling halves the image; the third ends in
    global average pooling.

    Parameters
    ----------
    classes : int, default 43
        Number K of classes.
    channels : int, default 8
        Channels c of the first block.
    dropout : float, default 0.25
        The probability to drop a neuron of the hidden layer in training.
    in_channels : int, default 3
        Channels of the images.

    Attributes
    ----------
    block1, block2, block3 : Sequential
        The convolutions.
    hidden, logits : Dense
        The layer of 100 neurons, and the one of K.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.SeedNet(channels=8)
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    def __init__(
        self, classes: int = 43, channels: int = 8, dropout: float = 0.25, in_channels: int = 3
    ) -> None:
        c = channels
        with arg_scope(Conv2d, size=3, normalizer=BatchNorm2d, activation=ops.relu):
            self.block1 = Sequential(Conv2d(in_channels, c), Conv2d(c, c), Conv2d(c, c))
            self.pool1 = MaxPool2d(2)
            self.block2 = Sequential(*(Conv2d(i, 2 * c) for i in (c, 2 * c, 2 * c)))
            self.pool2 = MaxPool2d(2)
            self.block3 = Sequential(*(Conv2d(i, 4 * c) for i in (2 * c, 4 * c, 4 * c)))
        self.pool3 = GlobalAvgPool2d()
        self.hidden = Dense(4 * c, 100, activation=ops.relu)
        self.dropout = Dropout(dropout)
        self.logits = Dense(100, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of at least 4 x 4 pixels.

        Returns
        -------
        Tensor, shape (N, K)
            Scores before the softmax.
        """
        x = self.pool1(self.block1(x))
        x = self.pool2(self.block2(x))
        x = self.pool3(self.block3(x))
        return self.logits(self.dropout(self.hidden(x)))
