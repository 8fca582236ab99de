"""GoogLeNet: windows of several sizes side by side, and one dense layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.models._images import check_size
from minicnn.nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    Sequential,
    arg_scope,
)

__all__ = ["GoogLeNet", "Inception", "Scores"]

# Channels of each inception block, of a net whose first convolution has 64: the paper's table 1
TABLE = {
    3: {"a": (64, 96, 128, 16, 32, 32), "b": (128, 128, 192, 32, 96, 64)},
    4: {
        "a": (192, 96, 208, 16, 48, 64),
        "b": (160, 112, 224, 24, 64, 64),
        "c": (128, 128, 256, 24, 64, 64),
        "d": (112, 144, 288, 32, 64, 64),
        "e": (256, 160, 320, 32, 128, 128),
    },
    5: {"a": (256, 160, 320, 32, 128, 128), "b": (384, 192, 384, 48, 128, 128)},
}


class Inception(Module):
    """Look at an image through four windows, and put what they show side by side.

    A 1x1 convolution; a 3x3 and a 5x5 one, each behind a 1x1 convolution that makes the channels
    fewer, without which they would cost far more; and a 3x3 max pooling with a 1x1 convolution
    behind it. Each convolution is followed by ReLU; arg_scope says which normaliser comes between.

    Parameters
    ----------
    in_channels : int
        Channels C of the input.
    conv1 : int
        Channels of the 1x1 convolution.
    reduce3, conv3 : int
        Channels before the 3x3 convolution, and its own.
    reduce5, conv5 : int
        Channels before the 5x5 convolution, and its own.
    project : int
        Channels behind the pooling.
    large : int, default 5
        Size of the largest window, in pixels.

    Examples
    --------
    >>> from minicnn import models
    >>> models.Inception(192, 64, 96, 128, 16, 32, 32).count_parameters()
    163696
    """

    def __init__(
        self,
        in_channels: int,
        conv1: int,
        reduce3: int,
        conv3: int,
        reduce5: int,
        conv5: int,
        project: int,
        *,
        large: int = 5,
    ) -> None:
        with arg_scope(Conv2d, activation=ops.relu):
            self.conv1 = Conv2d(in_channels, conv1, size=1)
            self.reduce3 = Conv2d(in_channels, reduce3, size=1)
            self.conv3 = Conv2d(reduce3, conv3, size=3)
            self.reduce5 = Conv2d(in_channels, reduce5, size=1)
            self.conv5 = Conv2d(reduce5, conv5, size=large)
            self.pool = MaxPool2d(3, stride=1, padding=1)
            self.project = Conv2d(in_channels, project, size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Look through all four.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch.

        Returns
        -------
        Tensor, shape (N, O, H, W)
            The four outputs, one after the other: O is conv1 + conv3 + conv5 + project.
        """
        branches = (
            self.conv1(x),
            self.conv3(self.reduce3(x)),
            self.conv5(self.reduce5(x)),
            self.project(self.pool(x)),
        )
        return ops.concatenate(branches, axis=1)


class Scores(NamedTuple):
    """What `GoogLeNet` returns in training if it has auxiliary heads.

    The paper adds their losses to that of the net itself, times 0.3 each.

    Attributes
    ----------
    logits : Tensor, shape (N, K)
        The scores.
    aux1, aux2 : Tensor, shape (N, K)
        Those of the heads on inception 4a and 4d.
    """

    logits: Tensor
    aux1: Tensor
    aux2: Tensor


class GoogLeNet(Module):
    """Nine inception blocks between max poolings, global average pooling, and one dense layer.

    Parameters
    ----------
    classes : int, default 1000
        Number K of classes.
    in_channels : int, default 3
        Channels of the images.
    channels : int, default 64
        Channels of the first convolution; all others change with it.
    aux : bool, default False
        Whether two auxiliary heads, in the middle of the net, help to train it. In training it
        then returns `Scores`.
    dropout : float, default 0.4
        The probability to drop one of the numbers that the dense layer sees, in training.
    original : bool, default False
        Whether it is built as the paper has it, see Notes.
    small : bool, default False
        Whether the first convolution is 3x3 with stride 1, without the pooling behind it: for
        images of about 32 x 32, which the others' strides would leave 1x1.

    Attributes
    ----------
    stem : Sequential
        The convolutions before the inception blocks.
    inception3, inception4, inception5 : Sequential
        The blocks a and b, a to e, a and b.
    aux1, aux2 : Module or None
        The auxiliary heads.
    logits : Dense
        The dense layer.

    Notes
    -----
    ==========  ==========================  ==================================
    of          2014, `original`            torchvision, the default
    ==========  ==========================  ==================================
    5x5         5x5                         3x3 (an old mistake that stayed)
    after each  a bias                      batch normalisation, epsilon 0.001
    stem        local response norm, twice  none
    parameters  6,998,552                   6,624,904
    with heads  13,378,280                  13,004,888
    ==========  ==========================  ==================================

    Counted is all that is trained: weights, biases, scales and shifts, of 1,000 classes; moving
    averages are not. The one dense layer has 1,025,000; "1 million" is not the net. The paper's
    table 1 counts weights alone, in units of 1,024, and they add up to 6,798 K, here to 6,826 K.
    They agree for the second and third convolution, inception 3a and 3b, and the dense layer;
    inception 4a to 5b differ from what the table's own channels come to by -5 to 8 %, and the
    first convolution has 7 * 7 * 3 * 64 = 9,408 weights, not 2.7 K.

    Departures from the paper in both: He's initialisation; auxiliary heads that average over 4 x 4
    bins of whatever map, where the paper has 5x5 windows with stride 3, which makes 4 x 4 of 14 x
    14. Dropout is the paper's, 0.4, which torchvision has at 0.2.

    References
    ----------
    Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1 and section 5. Ioffe and
    Szegedy, "Batch Normalization", ICML 2015, for the net with it.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.GoogLeNet(classes=43, channels=8, small=True)
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    aux1: _Auxiliary | None
    aux2: _Auxiliary | None

    def __init__(
        self,
        classes: int = 1000,
        in_channels: int = 3,
        channels: int = 64,
        aux: bool = False,
        dropout: float = 0.4,
        original: bool = False,
        small: bool = False,
    ) -> None:
        self.original, self.small, self._channels = original, small, channels
        normalizer = None if original else partial(BatchNorm2d, epsilon=0.001)
        self.aux1 = self.aux2 = None
        with arg_scope(Conv2d, activation=ops.relu, normalizer=normalizer):
            self.stem = self._stem(in_channels)
            self.inception3, wide = self._blocks(3, self._scaled(192))
            self.pool3 = _pooling()
            self.inception4, wide = self._blocks(4, wide)
            self.pool4 = _pooling(3 if original else 2)
            self.inception5, wide = self._blocks(5, wide)
            if aux:
                hidden = self._scaled(128), self._scaled(1024)
                after = {name: _width(TABLE[4][name], self._scaled) for name in "ad"}
                self.aux1 = _Auxiliary(after["a"], *hidden, classes)
                self.aux2 = _Auxiliary(after["d"], *hidden, classes)
        self.pool5 = GlobalAvgPool2d()
        self.dropout = Dropout(dropout)
        self.logits = Dense(wide, classes)

    def _scaled(self, channels: int) -> int:
        """Return how many channels this net has where one of 64 has so many."""
        return max(round(channels * self._channels / 64), 1)

    def _stem(self, in_channels: int) -> Sequential:
        c, wide = self._channels, self._scaled(192)
        layers: list[Module] = (
            [Conv2d(in_channels, c, size=3)]
            if self.small
            else [Conv2d(in_channels, c, size=7, stride=2, padding=3), _pooling()]
        )
        convolutions = [Conv2d(c, c, size=1), Conv2d(c, wide, size=3)]
        if self.original:
            return Sequential(*layers, _norm(), *convolutions, _norm(), _pooling())
        return Sequential(*layers, *convolutions, _pooling())

    def _blocks(self, number: int, in_channels: int) -> tuple[Sequential, int]:
        """Return the blocks of one size of images, and how many channels the last one makes."""
        blocks = Sequential()
        for name, widths in TABLE[number].items():
            scaled = [self._scaled(width) for width in widths]
            large = 5 if self.original else 3
            blocks.append(Inception(in_channels, *scaled, large=large), name)
            in_channels = _width(widths, self._scaled)
        return blocks, in_channels

    def forward(self, x: Tensor) -> Tensor | Scores:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of at least 15 x 15 pixels, of 4 x 4 for the `small` net; twice that
            for the `original`, whose fourth pooling is larger.

        Returns
        -------
        Tensor, shape (N, K)
            Scores before the softmax; in training with auxiliary heads `Scores`.

        Raises
        ------
        ShapeError
            If the images are smaller.
        """
        if self.small:
            check_size(self, x, 8 if self.original else 4)
        else:
            hint = ", or make it for small images: GoogLeNet(small=True)"
            check_size(self, x, 31 if self.original else 15, hint)
        a, b, c, d, e = self.inception4
        heads = (self.aux1, self.aux2) if self.training else (None, None)
        after_a = a(self.pool3(self.inception3(self.stem(x))))
        after_d = d(c(b(after_a)))
        x = self.pool5(self.inception5(self.pool4(e(after_d))))
        logits = self.logits(self.dropout(x))
        if heads[0] is None or heads[1] is None:
            return logits
        return Scores(logits, heads[0](after_a), heads[1](after_d))


def _width(widths: Sequence[int], scaled: Callable[[int], int]) -> int:
    """Return how many channels an inception block makes."""
    conv1, _, conv3, _, conv5, project = map(scaled, widths)
    return conv1 + conv3 + conv5 + project


def _pooling(size: int = 3) -> MaxPool2d:
    """Halve the image, and see its last pixel also where the steps do not come out."""
    return MaxPool2d(size, stride=2, ceil_mode=True)


def _norm() -> LocalResponseNorm:
    """Normalise as AlexNet does: its alpha is for the sum over 5 channels, ours for their mean."""
    return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


class _Auxiliary(Module):
    """A classifier in the middle of the net, so that gradients reach its beginning."""

    def __init__(self, in_channels: int, channels: int, hidden: int, classes: int) -> None:
        self.pool = AdaptiveAvgPool2d(4)
        self.conv = Conv2d(in_channels, channels, size=1)
        self.flatten = Flatten()
        self.hidden = Dense(channels * 16, hidden, activation=ops.relu)
        self.dropout = Dropout(0.7)
        self.logits = Dense(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes."""
        x = self.hidden(self.flatten(self.conv(self.pool(x))))
        return self.logits(self.dropout(x))
