"""Layers that apply a smooth non-linearity to each number; `minicnn.ops` has them as functions."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module

__all__ = ["CELU", "ELU", "GELU", "SELU", "LogSigmoid", "Mish", "SiLU", "Softplus", "Softsign"]

_ANY = tuple(range(33))


class CELU(Module):
    """Rectify softly, without a kink.

    Parameters
    ----------
    alpha : float, default 1
        Minus the limit for small x.
    """

    @configurable
    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x where it is positive, else ``alpha * (exp(x / alpha) - 1)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.celu(x, self.alpha)


class ELU(Module):
    """Rectify softly, so that the mean comes nearer to 0.

    Parameters
    ----------
    alpha : float, default 1
        Minus the limit for small x.
    """

    @configurable
    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = float(alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x where it is positive, else ``alpha * (exp(x) - 1)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.elu(x, self.alpha)


class GELU(Module):
    """Weigh a number by how likely a normal one is smaller.

    Parameters
    ----------
    approximate : str, default "none"
        ``"tanh"``: by a formula with tanh instead of erf.
    """

    @configurable
    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x * (1 + erf(x / sqrt(2))) / 2``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.gelu(x, self.approximate)


class LogSigmoid(Module):
    """Compute logarithms of probabilities, without rounding to log 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``log(1 / (1 + exp(-x)))``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.log_sigmoid(x)


class Mish(Module):
    """Gate a number by its softplus."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x * tanh(log(1 + exp(x)))``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.mish(x)


class SELU(Module):
    """Rectify so that means stay 0 and variances 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``1.0507 * elu(x, 1.6733)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.selu(x)


class SiLU(Module):
    """Gate a number by itself; also called swish.

    Parameters
    ----------
    beta : float, default 1
        How sharply the gate opens.
    """

    @configurable
    def __init__(self, beta: float = 1.0) -> None:
        self.beta = float(beta)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x * sigmoid(beta * x)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.silu(x, self.beta)


class Softplus(Module):
    """Rectify smoothly.

    Parameters
    ----------
    beta : float, default 1
        How sharp the bend at 0 is.
    """

    @configurable
    def __init__(self, beta: float = 1.0) -> None:
        self.beta = float(beta)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``log(1 + exp(beta * x)) / beta``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.softplus(x, self.beta)


class Softsign(Module):
    """Squash numbers into (-1, 1), more slowly than tanh."""

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x / (1 + |x|)``; x of any shape."""
        check_input(self, x, "of any shape", _ANY)
        return ops.softsign(x)
