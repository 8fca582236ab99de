"""AlexNet: the network that made image recognition a matter of learning."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models._images import check_size
from minicnn.nn import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    Sequential,
    arg_scope,
)

__all__ = ["AlexNet"]


class AlexNet(Module):
    """Five convolutions with overlapping max pooling between, and three dense layers.

    Parameters
    ----------
    classes : int, default 1000
        Number K of classes.
    in_channels : int, default 3
        Channels of the images.
    channels : int, optional
        Channels c of the first convolution: by default 96 in the original, else 64.
    hidden : int, default 4096
        Neurons of the two hidden layers.
    dropout : float, default 0.5
        The probability to drop one of them in training.
    original : bool, default False
        Whether it is that of 2012, see Notes.
    small : bool, default False
        Whether the first convolution is 3x3 with stride 1, and the dense layers see 3x3 pixels:
        for images of about 32 x 32, of which a stride of 4 would leave nothing.

    Attributes
    ----------
    block1, block2, block3 : Sequential
        One, one and three convolutions, each block with its pooling.
    pool : AdaptiveAvgPool2d
        What gives the dense layers 6x6 pixels, whatever the image's size; of 224 x 224 it changes
        nothing.
    hidden1, hidden2, logits : Dense
        The dense layers.

    Notes
    -----
    ========  ==================================================  ==========================
    of        2012                                                2014, the default
    ========  ==================================================  ==========================
    channels  96, 256, 384, 384, 256                              64, 192, 384, 256, 256
    columns   2 (one for each GPU), which meet only in the third  1
              convolution and the dense layers: 2 groups
    norm      local response normalisation after 1 and 2          none
    counts    60,965,224 parameters                               61,100,840, as torchvision
    ========  ==================================================  ==========================

    The paper says "60 million parameters". Its images are 224 x 224, of which a window of 11 x 11
    with stride 4 would have 54 places; it says 55, which takes 2 pixels of padding, as here.
    Departures from it in both: He's initialisation for a standard deviation of 0.01 and biases of
    1, and images of other sizes, by `pool`.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012. Krizhevsky, "One weird trick for parallelizing convolutional neural
    networks", arXiv:1404.5997 (2014), for the one column.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.AlexNet(classes=43, channels=8, hidden=64, small=True)
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    def __init__(
        self,
        classes: int = 1000,
        in_channels: int = 3,
        channels: int | None = None,
        hidden: int = 4096,
        dropout: float = 0.5,
        original: bool = False,
        small: bool = False,
    ) -> None:
        self.original, self.small = original, small
        c = channels if channels is not None else 96 if original else 64
        # 8/3 c, and even, for it is cut in two
        c1, c2, c3, c4, c5 = (
            (c, 2 * round(c * 4 / 3), 4 * c, 4 * c, 2 * round(c * 4 / 3))
            if original
            else (c, 3 * c, 6 * c, 4 * c, 4 * c)
        )
        groups = 2 if original else 1
        size, stride, padding = (3, 1, 1) if small else (11, 4, 2)
        with arg_scope(Conv2d, activation=ops.relu), arg_scope(MaxPool2d, size=3, stride=2):
            self.block1 = Sequential(Conv2d(in_channels, c1, size, stride, padding), *self._end())
            self.block2 = Sequential(Conv2d(c1, c2, size=5, groups=groups), *self._end())
            self.block3 = Sequential(
                Conv2d(c2, c3),
                Conv2d(c3, c4, groups=groups),
                Conv2d(c4, c5, groups=groups),
                MaxPool2d(),
            )
        grid = 3 if small else 6
        self.pool = AdaptiveAvgPool2d(grid)
        self.flatten = Flatten()
        self.hidden1 = Dense(c5 * grid * grid, hidden, activation=ops.relu)
        self.dropout1 = Dropout(dropout)
        self.hidden2 = Dense(hidden, hidden, activation=ops.relu)
        self.dropout2 = Dropout(dropout)
        self.logits = Dense(hidden, classes)

    def _end(self) -> list[Module]:
        """Return what follows the first two convolutions."""
        # The paper's alpha of 1e-4 is for the sum over 5 channels, ours for their mean
        norm = [LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)] if self.original else []
        return [*norm, MaxPool2d()]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of at least 63 x 63 pixels, 15 x 15 for the `small` net.

        Returns
        -------
        Tensor, shape (N, K)
            Scores before the softmax.

        Raises
        ------
        ShapeError
            If the images are smaller.
        """
        if self.small:
            check_size(self, x, 15)
        else:
            check_size(self, x, 63, ", or make it for small images: AlexNet(small=True)")
        x = self.block3(self.block2(self.block1(x)))
        x = self.hidden1(self.flatten(self.pool(x)))
        x = self.hidden2(self.dropout1(x))
        return self.logits(self.dropout2(x))
