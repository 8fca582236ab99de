"""The layer whose channels hold one another down."""

from __future__ import annotations

import math
from typing import Any

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input, count, number
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module

__all__ = ["LocalResponseNorm"]

_ANY = tuple(range(33))


class LocalResponseNorm(Module):
    """Divide each value by what the same pixel holds in the channels around it.

    ``y = x / (k + alpha * m) ** beta`` with m the mean of ``x**2`` over `size` channels. The
    paper takes the sum: AlexNet is ``LocalResponseNorm(5, alpha=5e-4, k=2)``.

    Parameters
    ----------
    size : int, default 5
        How many channels make a neighbourhood.
    alpha : float, default 1e-4
        Weight of their mean square.
    beta : float, default 0.75
        The exponent.
    k : float, default 1
        Keeps the division defined.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3.3.
    """

    @configurable
    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> None:
        op = "LocalResponseNorm"
        self.size = count(op, "size", size)
        given: dict[str, Any] = {"alpha": alpha, "beta": beta, "k": k}
        self.alpha, self.beta, self.k = (
            number(op, name, value, "a number", math.isfinite) for name, value in given.items()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each value.

        Parameters
        ----------
        x : Tensor, shape (N, C, ...)
            A batch.

        Returns
        -------
        Tensor, of x's shape
            The normalised batch.
        """
        check_input(self, x, "(N, C, ...)", _ANY[2:])
        return ops.local_response_norm(x, self.size, self.alpha, self.beta, self.k)
