"""Initialisers: how large the random weights of a new layer are.

An initialiser is a function ``(shape, stream, dtype) -> ndarray``; any function of that
form will do where a layer takes one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError

__all__ = [
    "Initializer",
    "constant",
    "fans",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "variance_scaling",
    "zeros",
]

Shape = tuple[int, ...]
Initializer = Callable[[Shape, Stream, npt.DTypeLike], np.ndarray]

# Standard deviation of a standard normal distribution cut off at -2 and 2:
# sqrt(1 - 2 * 2 * phi(2) / (2 * Phi(2) - 1)).
TRUNCATED_STD = 0.87962566103423978


def fans(shape: Shape) -> tuple[int, int]:
    """Return how many inputs a neuron sums, and how many neurons an input feeds.

    Parameters
    ----------
    shape : tuple of int
        Of a weight: (O, I) for dense layers, (O, C / groups, KH, KW) for convolutions.

    Returns
    -------
    fan_in, fan_out : int
        ``I`` and ``O``; for convolutions ``C / groups * KH * KW`` and ``O * KH * KW`` (with groups
        the latter is that many times too large, since the shape does not tell them).

    Raises
    ------
    ShapeError
        If the shape has fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(
            f"fans: a weight has axes (O, I, ...), got shape {shape}; "
            "use zeros, ones or constant for biases and scales"
        )
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def variance_scaling(
    scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal"
) -> Initializer:
    """Return an initialiser of variance ``scale / N``: signals keep their size through layers.

    A neuron's sum of N products has N times the variance of one product. With N = fan-in and a
    scale of 1 (2 if a ReLU halves the second moment) the signal keeps its variance on the way
    forward; with N = fan-out the gradient does, on the way back.

    Parameters
    ----------
    scale : float, default 1
        1 for linear and tanh layers, 2 for ReLU.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        What N is; the average of both for ``"fan_avg"``.
    distribution : {"normal", "truncated", "uniform"}, default "normal"
        Normal; normal cut off at two standard deviations, widened so that the variance is as
        asked (divided by 0.87962566); or uniform in ``[-a, a)`` with ``a = sqrt(3 * scale / N)``.

    Returns
    -------
    callable
        ``(shape, stream, dtype) -> ndarray``.

    Raises
    ------
    ConfigError
        If a name is unknown or the scale is not positive.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", ICCV 2015, equations 10 and 14.
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equations 12 and 16.
    LeCun et al., "Efficient BackProp", 1998, section 4.6.
    """
    return VarianceScaling(scale, mode, distribution)


@dataclass(frozen=True)
class VarianceScaling:
    """What `variance_scaling` returns; see there."""

    scale: float
    mode: str
    distribution: str

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ConfigError(f"variance_scaling: scale must be positive, got {self.scale!r}")
        for name, value, known in (
            ("mode", self.mode, ("fan_in", "fan_out", "fan_avg")),
            ("distribution", self.distribution, ("normal", "truncated", "uniform")),
        ):
            if value not in known:
                raise ConfigError(f"variance_scaling: {name} is one of {known}, got {value!r}")

    def __call__(
        self, shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32
    ) -> np.ndarray:
        """Draw weights of this shape."""
        fan_in, fan_out = fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        std = math.sqrt(self.scale / max(n, 1))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * std  # the variance of uniform [-a, a) is a**2 / 3
            weights = stream.uniform(shape, -limit, limit)
        elif self.distribution == "truncated":
            weights = _truncated_normal(shape, stream) * (std / TRUNCATED_STD)
        else:
            weights = stream.normal(shape, 0.0, std)
        return weights.astype(dtype)


def _truncated_normal(shape: Shape, stream: Stream) -> np.ndarray:
    """Draw standard normal numbers, again where they lie beyond 2."""
    numbers = stream.normal((math.prod(shape),))
    outside = np.flatnonzero(np.abs(numbers) > 2)
    while outside.size:
        numbers[outside] = stream.normal((outside.size,))
        outside = outside[np.abs(numbers[outside]) > 2]
    return numbers.reshape(shape)


def he_normal(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Draw from a normal distribution of variance 2 / fan-in: for layers followed by a ReLU.

    Parameters
    ----------
    shape : tuple of int
        (O, I) or (O, C / groups, KH, KW).
    stream : Stream
        The random numbers.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        The weights. 2 / fan-in is the variance; the standard deviation is its square root.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    return VarianceScaling(2.0, "fan_in", "normal")(shape, stream, dtype)


def he_uniform(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Draw evenly from [-a, a) with ``a = sqrt(6 / fan_in)``, of variance 2 / fan-in.

    Parameters
    ----------
    shape : tuple of int
        (O, I) or (O, C / groups, KH, KW).
    stream : Stream
        The random numbers.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        The weights.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    return VarianceScaling(2.0, "fan_in", "uniform")(shape, stream, dtype)


def glorot_normal(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Draw from a normal distribution of variance 2 / (fan-in + fan-out), for tanh.

    Parameters
    ----------
    shape : tuple of int
        (O, I) or (O, C / groups, KH, KW).
    stream : Stream
        The random numbers.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        The weights.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 12.
    """
    return VarianceScaling(1.0, "fan_avg", "normal")(shape, stream, dtype)


def glorot_uniform(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Draw evenly from [-a, a) with ``a = sqrt(6 / (fan_in + fan_out))``, for tanh.

    Parameters
    ----------
    shape : tuple of int
        (O, I) or (O, C / groups, KH, KW).
    stream : Stream
        The random numbers.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        The weights.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, equation 16.
    """
    return VarianceScaling(1.0, "fan_avg", "uniform")(shape, stream, dtype)


def lecun_normal(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Draw from a normal distribution of variance 1 / fan-in, for linear layers.

    Parameters
    ----------
    shape : tuple of int
        (O, I) or (O, C / groups, KH, KW).
    stream : Stream
        The random numbers.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        The weights.

    References
    ----------
    LeCun et al., "Efficient BackProp", 1998, section 4.6.
    """
    return VarianceScaling(1.0, "fan_in", "normal")(shape, stream, dtype)


def lecun_uniform(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Draw evenly from [-a, a) with ``a = sqrt(3 / fan_in)``, of variance 1 / fan-in.

    Parameters
    ----------
    shape : tuple of int
        (O, I) or (O, C / groups, KH, KW).
    stream : Stream
        The random numbers.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        The weights.

    References
    ----------
    LeCun et al., "Efficient BackProp", 1998, section 4.6.
    """
    return VarianceScaling(1.0, "fan_in", "uniform")(shape, stream, dtype)


def zeros(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Fill with 0.

    Parameters
    ----------
    shape : tuple of int
        Any shape.
    stream : Stream
        Not used.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        All 0.
    """
    return np.zeros(shape, dtype)


def ones(shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32) -> np.ndarray:
    """Fill with 1.

    Parameters
    ----------
    shape : tuple of int
        Any shape.
    stream : Stream
        Not used.
    dtype : dtype, default float32
        The type of the result.

    Returns
    -------
    ndarray
        All 1.
    """
    return np.ones(shape, dtype)


def constant(value: float) -> Initializer:
    """Return an initialiser that fills with one number.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    callable
        ``(shape, stream, dtype) -> ndarray``.
    """
    return _Constant(float(value))


@dataclass(frozen=True)
class _Constant:
    value: float

    def __call__(
        self, shape: Shape, stream: Stream, dtype: npt.DTypeLike = np.float32
    ) -> np.ndarray:
        return np.full(shape, self.value, dtype)
