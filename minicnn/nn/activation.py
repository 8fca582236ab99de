"""Layers that apply a non-linearity to each number.

`minicnn.ops` has the same as functions; a layer is for `Sequential`, or has a slope to learn.
"""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._building import creating
from minicnn.nn._parameter import Parameter
from minicnn.nn._parts import beside, check_input, count, make_parameter
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import constant
from minicnn.nn.module import Module
from minicnn.nn.randomness import init_stream

__all__ = ["LeakyReLU", "LogSoftmax", "PReLU", "ReLU", "Sigmoid", "Softmax", "Tanh"]

_ANY = tuple(range(33))


class ReLU(Module):
    """Replace negative numbers by 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``max(x, 0)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.relu(x)


class LeakyReLU(Module):
    """Scale negative numbers down, so that their gradient does not die.

    Parameters
    ----------
    slope : float, default 0.01
        Their factor.
    """

    @configurable
    def __init__(self, slope: float = 0.01) -> None:
        self.slope = float(slope)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x where it is positive, else ``slope * x``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.leaky_relu(x, self.slope)


class PReLU(Module):
    """Scale negative numbers by a learned factor.

    Parameters
    ----------
    channels : int or None, default 1
        1: one factor for all channels; C: one for each; None: one for each, their number found
        out at the first call.
    slope : float, default 0.25
        The factors at first.

    Attributes
    ----------
    slope : Parameter, shape (1,) or (C,)
        The factors. Weight decay would turn them towards ReLU; better leave them out of it.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 1.
    """

    slope: Parameter

    @configurable
    def __init__(self, channels: int | None = 1, slope: float = 0.25) -> None:
        self._initializer, self._stream = constant(slope), init_stream()
        self._waits_for = "channels"
        self.channels: int | None = None
        if channels is not None:
            self._set_channels(count("PReLU", "channels", channels), None)

    def _set_channels(self, channels: int, device: str | None) -> None:
        stream = self._stream.child("slope")
        self.slope = make_parameter("PReLU", self._initializer, (channels,), stream, device)
        self.channels, self._waits_for = channels, ""

    def forward(self, x: Tensor) -> Tensor:
        """Compute x where it is positive, else ``slope * x``.

        Parameters
        ----------
        x : Tensor, shape (N, C, ...)
            A batch of anything.

        Returns
        -------
        Tensor, shape (N, C, ...)
            Of x's shape.
        """
        channels = self.channels if self.channels != 1 else None  # one slope serves all channels
        check_input(self, x, "(N, C, ...)", _ANY[2:], channels)
        if self.channels is None:
            with creating():
                if self.channels is None:
                    self._set_channels(x.shape[1], x.device)
        return ops.prelu(x, *beside(x, self.slope))


class Tanh(Module):
    """Squash numbers into (-1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``tanh(x)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.tanh(x)


class Sigmoid(Module):
    """Squash numbers into (0, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``1 / (1 + exp(-x))``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.sigmoid(x)


class Softmax(Module):
    """Turn scores into probabilities.

    Parameters
    ----------
    axis : int, default 1
        Along which axis they sum to 1; 1 is that of the classes in (N, K) and (N, K, H, W).
    """

    @configurable
    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``exp(x) / exp(x).sum(axis)``, without overflow; x of any shape."""
        check_input(self, x, "of any shape", _ANY[1:])
        return ops.softmax(x, self.axis)


class LogSoftmax(Module):
    """Turn scores into logarithms of probabilities.

    Parameters
    ----------
    axis : int, default 1
        Along which axis the probabilities sum to 1.
    """

    @configurable
    def __init__(self, axis: int = 1) -> None:
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x - log(exp(x).sum(axis))``, without overflow; x of any shape."""
        check_input(self, x, "of any shape", _ANY[1:])
        return ops.log_softmax(x, self.axis)
