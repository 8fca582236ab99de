"""What layers that normalise each example by itself have in common."""

from __future__ import annotations

from minicnn.nn._parameter import Parameter
from minicnn.nn._parts import check_initializers, make_parameter, positive
from minicnn.nn.init import Initializer, zeros
from minicnn.nn.module import Module
from minicnn.nn.randomness import init_stream


class Rescaled(Module):
    """A layer that normalises, then scales by gamma and shifts by beta, if there are any."""

    gamma: Parameter | None
    beta: Parameter | None
    _waits_for = "channels"

    def _prepare(
        self,
        epsilon: float,
        affine: bool,
        gamma_initializer: Initializer,
        beta_initializer: Initializer | None,
    ) -> None:
        op = type(self).__name__
        self.epsilon = positive(op, "epsilon", epsilon)
        check_initializers(
            op, gamma_initializer, zeros if beta_initializer is None else beta_initializer
        )
        self._initializers = {"gamma": gamma_initializer, "beta": beta_initializer}
        self._stream = init_stream()
        self.affine = bool(affine)
        self.__dict__.update(gamma=None, beta=None)
        if not affine:
            self._waits_for = ""

    def _create(self, shape: tuple[int, ...], device: str) -> None:
        op = type(self).__name__
        made = {
            name: make_parameter(op, initializer, shape, self._stream.child(name), device)
            for name, initializer in self._initializers.items()
            if initializer is not None and self.affine
        }
        for name, parameter in made.items():
            setattr(self, name, parameter)
        self._waits_for = ""
