"""VGG: as deep as it goes with 3x3 convolutions alone."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models._images import check_depth, check_size
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Module,
    Sequential,
    arg_scope,
)

__all__ = ["VGG"]

# Convolutions of each block: the paper's nets A, B, D and E; with the three dense layers it has
# so many layers of weights
BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(Module):
    """Five blocks of 3x3 convolutions, each ending in max pooling, and three dense layers.

    A stack of 3x3 convolutions sees as far as one large window (two see 5x5, three 7x7), with fewer
    weights and a ReLU after each.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        How many layers have weights.
    classes : int, default 1000
        Number K of classes.
    in_channels : int, default 3
        Channels of the images.
    channels : int, default 64
        Channels c of the first block; the others have 2c, 4c, 8c and 8c.
    hidden : int, default 4096
        Neurons of the two hidden layers.
    dropout : float, default 0.5
        The probability to drop one of them in training.
    batch_norm : bool, default False
        Whether batch normalisation follows each convolution. The paper is older than it; without
        it the 16 and 19 layers hardly begin to learn (the paper starts them from trained ones).
    bias : bool, default True
        Whether convolutions add a bias. Before batch normalisation it does nothing, and slows
        training down; torchvision's weights have it all the same.
    small : bool, default False
        Whether the dense layers see 1x1 pixels instead of 7x7: what five poolings leave of images
        of 32 x 32.

    Attributes
    ----------
    blocks : Sequential
        The five blocks, each a Sequential that ends in its pooling.
    pool : AdaptiveAvgPool2d
        What gives the dense layers 7x7 pixels, whatever the image's size; of 224 x 224 it changes
        nothing.
    hidden1, hidden2, logits : Dense
        The dense layers.

    Raises
    ------
    ConfigError
        If there is no such depth.

    Notes
    -----
    Parameters, all as in torchvision; the paper's table 2 says 133, 133, 138 and 144 million:

    =====  ===========  ===============  ====================
    depth  parameters   with batch norm  in the dense layers
    =====  ===========  ===============  ====================
    11     132,863,336  132,868,840      123,642,856
    13     133,047,848  133,053,736      123,642,856
    16     138,357,544  138,365,992      123,642,856
    19     143,667,240  143,678,248      123,642,856
    =====  ===========  ===============  ====================

    Departures from the paper: He's initialisation (which is what trains such nets from scratch),
    batch normalisation if asked for, and images of other sizes, by `pool`.

    References
    ----------
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    ICLR 2015, table 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.VGG(11, classes=43, channels=8, hidden=64, small=True)
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    def __init__(
        self,
        depth: int = 16,
        classes: int = 1000,
        in_channels: int = 3,
        channels: int = 64,
        hidden: int = 4096,
        dropout: float = 0.5,
        batch_norm: bool = False,
        bias: bool = True,
        small: bool = False,
    ) -> None:
        check_depth(self, depth, BLOCKS, f"one of {', '.join(map(str, BLOCKS))}")
        normalizer = BatchNorm2d if batch_norm else None
        widths = [min(2**i, 8) * channels for i in range(5)]
        self.blocks = Sequential()
        before = in_channels
        with arg_scope(Conv2d, size=3, normalizer=normalizer, bias=bias, activation=ops.relu):
            for width, convolutions in zip(widths, BLOCKS[depth], strict=True):
                ins = (before, *(width,) * (convolutions - 1))
                self.blocks.append(Sequential(*(Conv2d(i, width) for i in ins), MaxPool2d(2)))
                before = width
        grid = 1 if small else 7
        self.pool = AdaptiveAvgPool2d(grid)
        self.flatten = Flatten()
        self.hidden1 = Dense(before * grid * grid, hidden, activation=ops.relu)
        self.dropout1 = Dropout(dropout)
        self.hidden2 = Dense(hidden, hidden, activation=ops.relu)
        self.dropout2 = Dropout(dropout)
        self.logits = Dense(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of at least 32 x 32 pixels.

        Returns
        -------
        Tensor, shape (N, K)
            Scores before the softmax.

        Raises
        ------
        ShapeError
            If the images are smaller.
        """
        check_size(self, x, 32)
        x = self.hidden1(self.flatten(self.pool(self.blocks(x))))
        x = self.hidden2(self.dropout1(x))
        return self.logits(self.dropout2(x))
