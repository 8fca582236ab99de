"""Layers that treat an example as one vector."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._building import creating
from minicnn.nn._parts import (
    Activation,
    Normalizer,
    Weighted,
    beside,
    check_input,
    count,
    narrowed,
)
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import Initializer, he_normal, zeros
from minicnn.nn.module import Module

__all__ = ["Dense", "Flatten"]


class Dense(Weighted):
    """Connect every input to every output, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_features : int or None
        Numbers I in an example; None: found out at the first call.
    out_features : int
        Number O of neurons.
    bias : bool, optional
        Whether a number is added to each output; by default unless a normaliser follows.
    normalizer : class or callable, optional
        Called with `out_features`, makes the layer that follows the product: `BatchNorm1d`.
    activation : callable, Module or class of Modules, optional
        Applied last: `minicnn.ops.relu`, or `PReLU`, of which each layer makes its own.
    initializer : callable, default he_normal
        ``(shape, stream, dtype) -> ndarray`` for the weights; see `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (O, I)
        The weights.
    bias : Parameter, shape (O,), or None
        The numbers added.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    @configurable
    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        bias: bool | None = None,
        normalizer: Normalizer | None = None,
        activation: Activation | None = None,
        initializer: Initializer = he_normal,
        bias_initializer: Initializer = zeros,
    ) -> None:
        self.out_features = count("Dense", "out_features", out_features)
        self._prepare(
            self.out_features, bias, normalizer, activation, initializer, bias_initializer
        )
        self.in_features: int | None = None
        self._waits_for = "in_features"
        if in_features is not None:
            self._set_in_features(count("Dense", "in_features", in_features), None)

    def _set_in_features(self, in_features: int, device: str | None) -> None:
        self._create((self.out_features, in_features), device)
        self.in_features = in_features

    def forward(self, x: Tensor) -> Tensor:
        """Multiply, normalise, activate.

        Parameters
        ----------
        x : Tensor, shape (N, I)
            A batch of vectors.

        Returns
        -------
        Tensor, shape (N, O)
            ``x @ weight.T + bias`` and what follows.

        Raises
        ------
        ShapeError
            If x has other features than the layer was made for.
        """
        check_input(self, x, "(N, I)", (2,), self.in_features)
        if self.in_features is None:
            with creating():
                if self.in_features is None:
                    self._set_in_features(x.shape[1], x.device)
        x = narrowed(x)
        return self._finish(ops.dense(x, *beside(x, self.weight, self.bias)))


class Flatten(Module):
    """Make one vector of each example."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten.

        Parameters
        ----------
        x : Tensor, shape (N, ...)
            A batch of anything.

        Returns
        -------
        Tensor, shape (N, I)
            I is the product of the other axes.
        """
        check_input(self, x, "(N, ...)", tuple(range(1, 33)))
        return ops.flatten(x)
