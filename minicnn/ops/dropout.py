"""Dropout: random parts of the input are zero in training, so that none is relied upon.

What is kept is divided by the probability of being kept, so the expected value
stays, and nothing is to be done at inference. (The paper scales at inference
instead; the expected outputs agree.)

References
----------
Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014.
Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015 (spatial).
"""

from __future__ import annotations

from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError

__all__ = ["dropout", "spatial_dropout"]


def dropout(x: Tensor, rate: float, stream: Stream) -> Tensor:
    """Set each element to 0 with probability `rate`, else divide it by ``1 - rate``.

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
        Of x's shape.

    Raises
    ------
    ConfigError
        If `rate` is outside its range.
    """
    x = _checked("dropout", x, rate)
    return _drop(x, rate, stream, x.shape)


def spatial_dropout(x: Tensor, rate: float, stream: Stream) -> Tensor:
    """Set whole channels to 0 with probability `rate`, else divide them by ``1 - rate``.

    Neighbouring pixels of a channel say nearly the same; dropping single ones would hide nothing.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch; of floats.
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
        If `rate` is outside its range.
    ShapeError
        If x has no channels.
    """
    x = _checked("spatial_dropout", x, rate)
    if x.ndim < 2:
        raise ShapeError(f"spatial_dropout: needs channels (N, C, ...), got shape {x.shape}")
    return _drop(x, rate, stream, (*x.shape[:2], *(1,) * (x.ndim - 2)))


def _drop(x: Tensor, rate: float, stream: Stream, shape: tuple[int, ...]) -> Tensor:
    if rate == 0:
        return x
    factors = (stream.uniform(shape, dtype="float32") >= rate) / (1.0 - rate)
    return x * Tensor(array_module(x.data).asarray(factors.astype(x.dtype)))


def _checked(op: str, x: Tensor, rate: float) -> Tensor:
    if not 0 <= rate < 1:
        raise ConfigError(f"{op}: rate is the probability to drop, 0 <= rate < 1, got {rate}")
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: needs floats, got {x.dtype}; use .astype('float32')")
    return x
