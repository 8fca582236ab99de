"""Layers that apply a non-linearity of straight lines to each number."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module

__all__ = ["HardSigmoid", "HardSwish", "HardTanh", "ReLU6", "Shrink", "ThresholdedReLU"]

_ANY = tuple(range(33))


class HardSigmoid(Module):
    """Squash numbers into 0 to 1 along a line.

    Parameters
    ----------
    alpha : float, default 1/6
        The slope of the line.
    beta : float, default 0.5
        Its value at 0.
    """

    @configurable
    def __init__(self, alpha: float = 1 / 6, beta: float = 0.5) -> None:
        self.alpha, self.beta = float(alpha), float(beta)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``alpha * x + beta``, limited to 0 and 1; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.hard_sigmoid(x, self.alpha, self.beta)


class HardSwish(Module):
    """Gate a number by its hard sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x * (x / 6 + 1 / 2)``, the factor limited to 0 and 1; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.hard_swish(x)


class HardTanh(Module):
    """Limit numbers to a range.

    Parameters
    ----------
    low : float, default -1
        The lower bound.
    high : float, default 1
        The upper bound.
    """

    @configurable
    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low, self.high = float(low), float(high)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x, limited to `low` and `high`; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.hard_tanh(x, self.low, self.high)


class ReLU6(Module):
    """Replace negative numbers by 0 and those above 6 by 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``min(max(x, 0), 6)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.relu6(x)


class Shrink(Module):
    """Replace small numbers by 0, and move the others towards it.

    Parameters
    ----------
    lambd : float, default 0.5
        What counts as small.
    bias : float, default 0
        By how much the others move.
    """

    @configurable
    def __init__(self, lambd: float = 0.5, bias: float = 0.0) -> None:
        self.lambd, self.bias = float(lambd), float(bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x - bias * sign(x)`` where ``|x| > lambd``, else 0; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.shrink(x, self.lambd, self.bias)


class ThresholdedReLU(Module):
    """Replace what is not above a threshold by 0.

    Parameters
    ----------
    alpha : float, default 1
        The threshold.
    """

    @configurable
    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x where it is above `alpha`, else 0; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.thresholded_relu(x, self.alpha)
