"""Activation functions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.interop.onnx._operator import Table


def relu(x: Tensor) -> Any:
    """Set negative numbers to 0; of ints, too."""
    return ops.relu(x) if x.dtype.kind == "f" else ops.maximum(x, 0)


def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Any:
    """Scale negative numbers."""
    return ops.leaky_relu(x, alpha)


def prelu(x: Tensor, slope: Tensor) -> Any:
    """Scale negative numbers by a slope that broadcasts to x."""
    wide = (1,) * (x.ndim - slope.ndim) + slope.shape  # as broadcasting sees it
    if x.dtype.kind == "f" and x.ndim > 1 and wide[1] == slope.size == x.shape[1]:
        return ops.prelu(x, slope.reshape((slope.size,)))
    return ops.where(x.data < 0, x * slope, x)


def prelu_of_channels(x: Tensor, slope: Tensor) -> Any:
    """Scale negative numbers by one slope for each channel, or one for all: opsets 1 to 6."""
    if slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape((slope.size, *(1,) * (x.ndim - 2)))
    return prelu(x, slope)


def elu(x: Tensor, *, alpha: float = 1.0) -> Any:
    """Compute ``alpha * (e**x - 1)`` of negative numbers."""
    return ops.elu(x, alpha)


def celu(x: Tensor, *, alpha: float = 1.0) -> Any:
    """Compute ``alpha * (e**(x / alpha) - 1)`` of negative numbers."""
    return ops.celu(x, alpha)


def selu_with(default_alpha: float, default_gamma: float) -> Callable[..., Any]:
    """Return SELU with an opset's own constants."""

    def selu(x: Tensor, *, alpha: float = default_alpha, gamma: float = default_gamma) -> Any:
        if math.isclose(alpha, 1.6732632, abs_tol=1e-6) and math.isclose(
            gamma, 1.050701, abs_tol=1e-6
        ):
            return ops.selu(x)
        return ops.elu(x, alpha) * gamma

    return selu


def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Any:
    """Compute ``max(0, min(1, alpha * x + beta))``."""
    return ops.hard_sigmoid(x, alpha, beta)


def gelu(x: Tensor, *, approximate: Literal["none", "tanh"] = "none") -> Any:
    """Weigh x by the normal distribution's share below it."""
    return ops.gelu(x, approximate)


def swish(x: Tensor, *, alpha: float = 1.0) -> Any:
    """Compute ``x * sigmoid(alpha * x)``."""
    return ops.silu(x) if alpha == 1 else x * ops.sigmoid(x * alpha)


def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Any:
    """Keep what is above alpha."""
    return ops.thresholded_relu(x, alpha)


def shrink(x: Tensor, *, lambd: float = 0.5, bias: float = 0.0) -> Any:
    """Move what is further from 0 than lambd towards it by bias; the rest becomes 0."""
    if x.dtype.kind == "f":
        return ops.shrink(x, lambd, bias)
    low, high = x.data < -lambd, x.data > lambd
    return (low * (x.data + bias) + high * (x.data - bias)).astype(x.dtype)


def of_rows(op: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return a softmax as in opsets 1 to 12: over all axes from `axis` on together."""

    def of_flat(x: Tensor, *, axis: int = 1) -> Any:
        at = axis + x.ndim if axis < 0 else axis
        rows = x.reshape((math.prod(x.shape[:at]), math.prod(x.shape[at:])))
        return op(rows, 1).reshape(x.shape)

    return of_flat


def along(op: Callable[..., Tensor]) -> Callable[..., Any]:
    """Return a softmax along one axis."""

    def of_axis(x: Tensor, *, axis: int = -1) -> Any:
        return op(x, axis)

    return of_axis


OPERATORS: Table = {
    "Celu": celu,
    "Elu": elu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": ops.hard_swish,
    "Hardmax": {1: of_rows(ops.hardmax), 13: along(ops.hardmax)},
    "LeakyRelu": leaky_relu,
    "LogSoftmax": {1: of_rows(ops.log_softmax), 13: along(ops.log_softmax)},
    "Mish": ops.mish,
    "PRelu": {1: prelu_of_channels, 7: prelu},
    "Relu": relu,
    "Selu": {
        1: selu_with(1.6732, 1.0507),
        6: selu_with(1.67326319217681884765625, 1.05070102214813232421875),
    },
    "Shrink": shrink,
    "Sigmoid": ops.sigmoid,
    "Softmax": {1: of_rows(ops.softmax), 13: along(ops.softmax)},
    "Softplus": ops.softplus,
    "Softsign": ops.softsign,
    "Swish": swish,
    "ThresholdedRelu": thresholded_relu,
}
