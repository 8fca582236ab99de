"""What layers have in common: checks at the door, parameters, normaliser and activation."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend.device import get_device, to_device
from minicnn.backend.precision import NARROW, is_mixed
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.nn._calls import label
from minicnn.nn._parameter import Parameter
from minicnn.nn.init import Initializer
from minicnn.nn.module import Module
from minicnn.nn.randomness import init_stream

Normalizer = Callable[[int], Any]  # a class such as BatchNorm2d, or a function of the channels
Activation = Callable[..., Any]  # a function of a Tensor, a Module, or a class of Modules


def check_input(
    layer: Module, x: Any, axes: str, ranks: tuple[int, ...], channels: int | None = None
) -> None:
    """Refuse what is not a Tensor of one of these ranks, with so many channels on axis 1."""
    if not isinstance(x, Tensor):
        kind = f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")
        shape = f" of shape {x.shape}" if hasattr(x, "shape") else ""
        raise DTypeError(
            f"{label(layer)}: needs a Tensor {axes}, got {kind}{shape}; wrap it: minicnn.Tensor(x)"
        )
    if x.ndim not in ranks:
        hint = "; put Flatten() or a global pooling before it" if axes == "(N, I)" else ""
        raise ShapeError(f"{label(layer)}: needs x {axes}, got shape {x.shape}{hint}")
    if channels is not None and x.shape[1] != channels:
        raise ShapeError(
            f"{label(layer)}: x has {x.shape[1]} channels but the layer was made for {channels} "
            f"(x {x.shape}); make it for {x.shape[1]}, or look at the layer before it"
        )


def narrowed(x: Tensor) -> Tensor:
    """Return what a layer multiplies: x, or in mixed precision its numbers rounded to float16."""
    return x.astype(NARROW) if is_mixed() and x.dtype == np.float32 else x


def beside(x: Tensor, *parameters: Any) -> tuple[Any, ...]:
    """Return parameters (None is none) as they are used beside x, in its type if that is mixed."""
    if not is_mixed():
        return parameters
    return tuple(p if p is None or p.dtype == x.dtype else p.astype(x.dtype) for p in parameters)


def count(op: str, name: str, value: Any) -> int:
    """Return a number of channels or features, or refuse it."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigError(f"{op}: {name} must be an int >= 1, got {value!r}")
    return int(value)


def number(op: str, name: str, value: Any, what: str, fits: Callable[[float], bool]) -> float:
    """Return a number that fits, or refuse it: it must be `what`."""
    real = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not real or not fits(value):
        raise ConfigError(f"{op}: {name} must be {what}, got {value!r}")
    return float(value)


def positive(op: str, name: str, value: Any) -> float:
    """Return a positive number, or refuse it."""
    return number(op, name, value, "positive", lambda v: 0 < v < math.inf)


def check_initializers(op: str, gamma_initializer: Any, beta_initializer: Any) -> None:
    """Refuse what cannot make the first values of a scale or a shift."""
    for name, value in (("gamma", gamma_initializer), ("beta", beta_initializer)):
        if not callable(value):
            raise ConfigError(
                f"{op}: {name}_initializer must be a function (shape, stream, dtype) -> ndarray "
                f"such as minicnn.nn.init.ones, got {value!r}"
            )


def two(numbers: tuple[int, ...]) -> tuple[int, int]:
    """Return a pair as a pair, which type checkers cannot see."""
    vertical, horizontal = numbers
    return vertical, horizontal


def make_parameter(
    op: str, initializer: Initializer, shape: tuple[int, ...], stream: Stream, device: str | None
) -> Parameter:
    """Draw a parameter and put it on a device, by default the one new parameters go to."""
    values = np.asarray(initializer(shape, stream, np.float32))
    if values.shape != shape:
        raise ShapeError(
            f"{op}: the initializer returned shape {values.shape} where {shape} was asked for"
        )
    return Parameter(to_device(values, device or get_device()))


def make_normalizer(op: str, normalizer: Normalizer | None, channels: int) -> Any:
    """Create the normaliser for so many channels."""
    if normalizer is None:
        return None
    if isinstance(normalizer, Module) or not callable(normalizer):
        raise ConfigError(
            f"{op}: normalizer must be a class such as BatchNorm2d, or a function that makes one "
            f"for a number of channels, got {normalizer!r}"
        )
    made = normalizer(channels)
    if not callable(made):
        raise ConfigError(f"{op}: normalizer({channels}) returned {made!r}, not a layer")
    return made


def make_activation(op: str, activation: Activation | None) -> Any:
    """Return a function of a Tensor; classes of Modules are instantiated, one for each layer."""
    kind = activation.func if isinstance(activation, functools.partial) else activation
    if isinstance(kind, type) and issubclass(kind, Module):
        return activation()  # type: ignore[misc]
    if activation is not None and not callable(activation):
        raise ConfigError(
            f"{op}: activation must be a function such as minicnn.ops.relu, or a Module, "
            f"got {activation!r}"
        )
    return activation


class Weighted(Module):
    """A layer with weights and perhaps a bias, a normaliser and an activation behind them.

    Subclasses call `_prepare` in ``__init__``, `_create` as soon as the shape of the weights is
    known, and `_finish` at the end of `forward`.
    """

    weight: Parameter
    bias: Parameter | None

    def _prepare(
        self,
        channels: int,
        bias: bool | None,
        normalizer: Normalizer | None,
        activation: Activation | None,
        initializer: Initializer,
        bias_initializer: Initializer,
    ) -> None:
        op = type(self).__name__
        for name, value in (("initializer", initializer), ("bias_initializer", bias_initializer)):
            if not callable(value):
                raise ConfigError(
                    f"{op}: {name} must be a function (shape, stream, dtype) -> ndarray such as "
                    f"minicnn.nn.init.he_normal, got {value!r}"
                )
        self._stream = init_stream()
        self._initializer, self._bias_initializer = initializer, bias_initializer
        self._has_bias = (
            normalizer is None if bias is None else bool(bias)
        )  # a shift follows anyway
        self.__dict__.update(weight=None, bias=None)  # their place in the order of definition
        self.normalizer = make_normalizer(op, normalizer, channels)
        self.activation = make_activation(op, activation)

    def _create(self, shape: tuple[int, ...], device: str | None = None) -> None:
        op, stream = type(self).__name__, self._stream
        weight = make_parameter(op, self._initializer, shape, stream.child("weight"), device)
        if self._has_bias:
            self.bias = make_parameter(
                op, self._bias_initializer, shape[:1], stream.child("bias"), device
            )
        self.weight = weight
        self._waits_for = ""

    def _finish(self, y: Tensor) -> Tensor:
        if self.normalizer is not None:
            y = self.normalizer(y)
        return y if self.activation is None else self.activation(y)
