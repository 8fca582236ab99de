"""Layers that drop at random in training, and do nothing in evaluation."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn._parts import check_input
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module
from minicnn.nn.randomness import CallStreams

__all__ = ["AlphaDropout", "Dropout", "SpatialDropout"]


class _Dropping(Module):
    """A rate, and random numbers of its own for each call."""

    def _set_rate(self, rate: float) -> None:
        if not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ConfigError(
                f"{type(self).__name__}: rate is the probability to drop, from 0 to below 1, "
                f"got {rate!r}"
            )
        self.rate = float(rate)
        self._streams = CallStreams("dropout")

    @property
    def _idle(self) -> bool:
        return not self.training or self.rate == 0


class Dropout(_Dropping):
    """Set random numbers to 0 in training and scale the others by ``1 / (1 - rate)``.

    In evaluation it returns its input. Which numbers are dropped is set by
    `minicnn.nn.random_key`; without one, by a counter of the layer's calls.

    Parameters
    ----------
    rate : float, default 0.5
        The probability to drop a number: 1 minus the "keep probability".

    Raises
    ------
    ConfigError
        If the rate is not from 0 to below 1.

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
    JMLR 15 (2014); there the weights are scaled by the keep probability at test time instead.
    """

    @configurable
    def __init__(self, rate: float = 0.5) -> None:
        self._set_rate(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Drop.

        Parameters
        ----------
        x : Tensor, shape (N, ...)
            A batch of anything.

        Returns
        -------
        Tensor, shape (N, ...)
            Of x's shape; in evaluation x itself.
        """
        check_input(self, x, "of any shape", tuple(range(33)))
        return x if self._idle else ops.dropout(x, self.rate, self._streams.next(self))


class SpatialDropout(_Dropping):
    """Set random channels to 0 in training and scale the others by ``1 / (1 - rate)``.

    Neighbouring pixels agree, so that dropping single ones would hide little from a convolution.

    Parameters
    ----------
    rate : float, default 0.5
        The probability to drop a channel of an example.

    Raises
    ------
    ConfigError
        If the rate is not from 0 to below 1.

    References
    ----------
    Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015,
    section 3.2.
    """

    @configurable
    def __init__(self, rate: float = 0.5) -> None:
        self._set_rate(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Drop channels.

        Parameters
        ----------
        x : Tensor, shape (N, C, ...)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, C, ...)
            Of x's shape; in evaluation x itself.
        """
        check_input(self, x, "(N, C, ...)", tuple(range(2, 33)))
        return x if self._idle else ops.spatial_dropout(x, self.rate, self._streams.next(self))


class AlphaDropout(_Dropping):
    """Drop random numbers in training as nets of SELUs need it: mean and variance stay.

    Parameters
    ----------
    rate : float, default 0.5
        The probability to drop a number; the paper uses 0.05 and 0.1.

    Raises
    ------
    ConfigError
        If the rate is not from 0 to below 1.

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017, section 3.
    """

    @configurable
    def __init__(self, rate: float = 0.5) -> None:
        self._set_rate(rate)

    def forward(self, x: Tensor) -> Tensor:
        """Drop.

        Parameters
        ----------
        x : Tensor, shape (N, ...)
            A batch of anything.

        Returns
        -------
        Tensor, shape (N, ...)
            Of x's shape; in evaluation x itself.
        """
        check_input(self, x, "of any shape", tuple(range(33)))
        return x if self._idle else ops.alpha_dropout(x, self.rate, self._streams.next(self))
