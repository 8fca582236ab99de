"""Dense layers on pixels: what convolutions are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ShapeError
from minicnn.nn import Dense, Dropout, Flatten, Module, Sequential, arg_scope

__all__ = ["MLP"]


class MLP(Module):
    """The image as one vector, and dense layers on it, each followed by ReLU and dropout.

    It knows nothing of images: each neuron of the first layer has a weight of its own for each
    pixel, and shuffling the pixels of all images alike would change nothing.

    Parameters
    ----------
    classes : int, default 43
        Number K of classes.
    hidden : sequence of int, default (256, 128)
        Neurons of each hidden layer.
    dropout : float, default 0.25
        The probability to drop a neuron of a hidden layer in training.
    in_channels : int, default 3
        Channels of the images.
    size : int, default 32
        Their height and width, in pixels: dense layers take no other.

    Attributes
    ----------
    hidden : Sequential
        The hidden layers, each with its dropout.
    logits : Dense
        The layer of K neurons.

    Notes
    -----
    On 32 x 32 colours it has 825,131 parameters, of which 786,688 are in the first layer; the nine
    convolutions of `SeedNet` and its dense layers together have 38,147.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature
    323 (1986). ReLU, dropout and He initialisation are younger: there neurons are sigmoids.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models
    >>> net = models.MLP(hidden=(64,))
    >>> net(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 43)
    """

    def __init__(
        self,
        classes: int = 43,
        hidden: Sequence[int] = (256, 128),
        dropout: float = 0.25,
        in_channels: int = 3,
        size: int = 32,
    ) -> None:
        self._image = (in_channels, size, size)
        widths = (in_channels * size * size, *hidden)
        self.flatten = Flatten()
        with arg_scope(Dense, activation=ops.relu):
            self.hidden = Sequential(
                *(
                    Sequential(dense=Dense(i, o), dropout=Dropout(dropout))
                    for i, o in itertools.pairwise(widths)
                )
            )
        self.logits = Dense(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores of the classes.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images of the size that the net was made for.

        Returns
        -------
        Tensor, shape (N, K)
            Scores before the softmax.

        Raises
        ------
        ShapeError
            If they are of another size.
        """
        if x.shape[1:] != self._image:
            raise ShapeError(
                f"MLP: it was made for images {self._image} (C, H, W) and takes no others, got x "
                f"{x.shape}; resize them, or set in_channels and size"
            )
        return self.logits(self.hidden(self.flatten(x)))
