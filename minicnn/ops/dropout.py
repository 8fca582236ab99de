"""Dropout: random parts of the input are zero in training, so that none is relied upon.

What is kept is divided by the probability of being kept, so the expected value
stays, and nothing is to be done at inference. (The paper scales at inference
instead; the expected outputs agree.)

References
----------
Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015 (spatial).
Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017 (alpha).
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from minicnn.autograd import Lifted, Tensor, composed, differentiable
from minicnn.backend import array_module, kernels_for
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError

__all__ = ["alpha_dropout", "dropout", "spatial_dropout"]

# What SELU gives for x -> -inf: minus its scale times its alpha, whose digits the paper's
# equation 14 has.
_SATURATED = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


@composed
def dropout(x: Tensor, rate: float, stream: Stream) -> Tensor:
    """Set each element to 0 with probability `rate`, else divide it by ``1 - rate``.

    ``y = x * m / (1 - rate)``, where m is 0 with probability `rate`, else 1.

    Parameters
    ----------
    x : Tensor
        Any shape; of floats.
    rate : float
        The probability to drop, at least 0 and less than 1.
    stream : Stream
        Where the random numbers come from; it advances.

    Returns
    -------
    Tensor
        Of x's shape. A NaN shows even where it is dropped.

    Raises
    ------
    ConfigError
        If `rate` is outside its range, or `stream` is no Stream.
    DTypeError
        If x is not of floats.
    """
    x = _checked("dropout", x, rate, stream)
    return _drop(x, rate, stream, x.ndim)


@composed
def alpha_dropout(x: Tensor, rate: float, stream: Stream) -> Tensor:
    """Drop to what SELU gives for -inf, and keep the mean and the variance.

    A network of SELUs keeps its activations near mean 0 and variance 1, and zeros would disturb
    that. So an element becomes ``a' = -1.7581`` with probability `rate`, and then all of x
    becomes ``y = s x + b`` with ``s = (q + a'**2 q (1-q))**-1/2``, ``b = -s (1-q) a'``,
    ``q = 1 - rate``: mean 0 and variance 1 again.

    Parameters
    ----------
    x : Tensor
        Any shape; of floats, such as SELU gives.
    rate : float
        The probability to drop, at least 0 and less than 1.
    stream : Stream
        Where the random numbers come from; it advances.

    Returns
    -------
    Tensor
        Of x's shape. A NaN shows even where it is dropped.

    Raises
    ------
    ConfigError
        If `rate` is outside its range, or `stream` is no Stream.
    DTypeError
        If x is not of floats.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017, section 3 (alpha dropout).
    """
    x = _checked("alpha_dropout", x, rate, stream)
    if rate == 0:
        return x
    counter, spread = _draw(x, stream, x.ndim)
    ones = array_module(x.data).ones(x.shape, x.dtype)
    kept = kernels_for(ones).drop(ones, counter, float(rate), 1.0, spread)
    scale = ((1 - rate) * (1 + rate * _SATURATED**2)) ** -0.5
    shift = -scale * rate * _SATURATED
    number = x.dtype.type
    dropped = (1 - kept) * number(scale * _SATURATED) + number(shift)
    return x * Tensor(kept * number(scale)) + Tensor(dropped)


@composed
def spatial_dropout(x: Tensor, rate: float, stream: Stream) -> Tensor:
    """Set whole channels to 0 with probability `rate`, else divide them by ``1 - rate``.

    ``y[n,c,i] = x[n,c,i] * m[n,c] / (1 - rate)``, where m is 0 with probability `rate`, else 1.

    Neighbouring pixels of a channel say nearly the same; dropping single ones would hide nothing.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch, with any number of spatial axes; of floats.
    rate : float
        The probability to drop a channel of an example, at least 0 and less than 1.
    stream : Stream
        Where the random numbers come from; it advances.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ConfigError
        If `rate` is outside its range, or `stream` is no Stream.
    DTypeError
        If x is not of floats.
    ShapeError
        If x has no channels.
    """
    x = _checked("spatial_dropout", x, rate, stream)
    if x.ndim < 2:
        raise ShapeError(f"spatial_dropout: needs channels (N, C, ...), got shape {x.shape}")
    return _drop(x, rate, stream, 2)


def _drop(x: Tensor, rate: float, stream: Stream, lead: int) -> Tensor:
    """Drop with one random number for each place of the first `lead` axes."""
    if rate == 0:
        return x
    counter, spread = _draw(x, stream, lead)
    return _dropped(x, counter, float(rate), 1.0 / (1.0 - rate), spread)


def _draw(x: Tensor, stream: Stream, lead: int) -> tuple[Any, int]:
    """Take random numbers; return where they begin, and how many elements share one."""
    return stream.take(math.prod(x.shape[:lead])), max(1, math.prod(x.shape[lead:]))


# y = m * scale * x, where the random m is 0 or 1, is linear in x, and dL/dx = m * scale * dL/dy:
# the same map, for which the same m is made again from its counter.
@differentiable
def _dropped(x: Tensor, counter: Any, rate: float, scale: float, spread: int) -> Lifted:
    y = kernels_for(x.data).drop(x.data, counter, rate, scale, spread)
    return y, (lambda grad_y: _dropped(grad_y, counter, rate, scale, spread),)


def _checked(op: str, x: Tensor, rate: float, stream: Stream) -> Tensor:
    if not isinstance(rate, Real) or not 0 <= rate < 1:
        raise ConfigError(
            f"{op}: rate is the probability to drop, 0 <= rate < 1, got {rate!r}; give a number "
            "of that range"
        )
    if not isinstance(stream, Stream):
        raise ConfigError(
            f"{op}: stream must be a minicnn.backend.random.Stream, got {stream!r}; "
            f"make one with Stream(seed, {op!r})"
        )
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: needs floats, got {x.dtype}; use .astype('float32')")
    return x
