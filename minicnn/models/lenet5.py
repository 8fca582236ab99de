"""LeNet-5: the convolutional network that read cheques."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend.device import get_device, to_device
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError
from minicnn.models._images import check_size
from minicnn.nn import (
    AvgPool2d,
    Buffer,
    Conv2d,
    Dense,
    GlobalAvgPool2d,
    MaxPool2d,
    Module,
    Sequential,
    arg_scope,
    init,
    init_stream,
)

__all__ = ["LeNet5"]

# Which of the 6 maps of S2 each of the 16 maps of C3 sees: table I of the paper
C3_INPUTS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


class LeNet5(Module):
    """Two 5x5 convolutions, each followed by pooling, a third that sees the rest, two dense layers.

    The layers have the paper's names: C1, S2, C3, S4, C5, F6 and the output.

    Parameters
    ----------
    classes : int, default 43
        Number K of classes; the paper's 10 are digits.
    channels : int, default 6
        Channels c of C1; the others have 8/3 c, 20 c and 14 c.
    in_channels : int, default 3
        Channels of the images; the paper's are grey, 1.
    original : bool, default False
        Whether it is built as in 1998, see Notes.

    Attributes
    ----------
    c1, c3, c5 : Module
        The convolutions.
    s2, s4 : Module
        What halves the image.
    f6 : Dense
        The hidden layer.
    logits : Module
        The output.

    Raises
    ------
    ConfigError
        If `original` is asked for with other than 6 channels.

    Notes
    -----
    The paper counts 60,000 trainable parameters, and that is what ``LeNet5(10, in_channels=1,
    original=True)`` has: 156 in C1, 12 in S2, 1,516 in C3, 32 in S4, 48,120 in C5, 10,164 in F6;
    the 840 numbers of the output are fixed and not counted. As people build it today, it has 61,706
    on the same digits: no weights in the poolings, 2,416 in C3, 850 in the output.

    ======  ================================================  ===========================
    layer   1998                                              today
    ======  ================================================  ===========================
    all     1.7159 tanh(2/3 a), uniform in 2.4 / fan-in       ReLU, He initialisation
    S2, S4  mean, times a learned weight, plus a bias, tanh   largest value
    C3      each map sees 3, 4 or 6 of the 6 maps             sees all
    output  squared distance from a fixed code for each       dense layer
            class, of 84 numbers that are -1 or 1
    ======  ================================================  ===========================

    Even the original departs from the paper in this: the codes are drawn at random (one of the
    paper's alternatives), not pictures of the characters; the scores are the negated distances,
    for a softmax cross-entropy, which is the paper's equation 9 without its constant class. C5 is
    a convolution, as in the paper; where images are larger than 32 x 32, so that more than one
    pixel remains, its outputs are averaged.

    References
    ----------
    LeCun, Bottou, Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition",
    Proceedings of the IEEE 86 (1998), section II.B and appendix A.

    Examples
    --------
    >>> from minicnn import models
    >>> models.LeNet5(10, in_channels=1, original=True).count_parameters()
    60000
    """

    def __init__(
        self, classes: int = 43, channels: int = 6, in_channels: int = 3, original: bool = False
    ) -> None:
        c1, c3, c5, f6 = channels, max(channels * 8 // 3, 1), channels * 20, channels * 14
        if original and channels != 6:
            raise ConfigError(f"LeNet5: the original has 6 channels in C1, got {channels!r}")
        scope = {"activation": squash, "initializer": uniform} if original else {}
        with (
            arg_scope(Conv2d, Dense, **({"activation": ops.relu} | scope)),
            arg_scope(Conv2d, size=5, padding="valid"),
        ):
            self.c1 = Conv2d(in_channels, c1)
            self.s2 = _subsampling(c1) if original else MaxPool2d(2)
            self.c3 = _Table(C3_INPUTS) if original else Conv2d(c1, c3)
            self.s4 = _subsampling(c3) if original else MaxPool2d(2)
            self.c5 = Conv2d(c3, c5)
            self.pool = GlobalAvgPool2d()
            self.f6 = Dense(c5, f6)
        self.logits = _Distances(f6, classes) if original else Dense(f6, classes)

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
        check_size(self, x, 32, ", with a border of two pixels if they are 28 x 28")
        x = self.s2(self.c1(x))
        x = self.s4(self.c3(x))
        return self.logits(self.f6(self.pool(self.c5(x))))


def squash(a: Tensor) -> Tensor:
    """Squash to -1.7159 ... 1.7159, so that 1 becomes 1 and -1 becomes -1."""
    return 1.7159 * ops.tanh(a * (2 / 3))


def uniform(
    shape: tuple[int, ...], stream: Stream, dtype: npt.DTypeLike = np.float32
) -> np.ndarray:
    """Draw evenly from +-2.4 / fan-in."""
    limit = 2.4 / init.fans(shape)[0]
    return stream.uniform(shape, -limit, limit).astype(dtype)


def _subsampling(channels: int) -> Sequential:
    """Mean of 2x2 pixels, then one learned weight and bias for each map."""
    return Sequential(AvgPool2d(2), Conv2d(channels, channels, size=1, groups=channels))


class _Table(Module):
    """Convolutions, each of which sees its own choice of the channels."""

    def __init__(self, inputs: tuple[tuple[int, ...], ...]) -> None:
        self._inputs = [np.array(seen) for seen in inputs]
        self.maps = [Conv2d(len(seen), 1) for seen in inputs]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        pairs = zip(self.maps, self._inputs, strict=True)
        return ops.concatenate([conv(ops.gather(x, seen, axis=1)) for conv, seen in pairs], axis=1)


class _Distances(Module):
    """Scores that say how near a vector is to the code of each class."""

    codes: Buffer

    def __init__(self, features: int, classes: int) -> None:
        coins = init_stream().child("codes").uniform((classes, features)) < 0.5
        self.codes = Buffer(to_device(np.where(coins, -1, 1).astype(np.float32), get_device()))

    def forward(self, x: Tensor) -> Tensor:
        """Compute -|x - code|**2 of each code."""
        apart = ops.expand_dims(x, 1) - self.codes  # (N, K, I)
        return -ops.square(apart).sum(axis=2)
