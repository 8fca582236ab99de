"""Losses that compare numbers with numbers: how far predictions are from their targets.

Their ``weights`` may be 0 for what has no target (a place without a box); see minicnn.ops.loss
for what the reductions have in common.
"""

from __future__ import annotations

import math

from minicnn.autograd import Lifted, Tensor, absolute, clip, composed, differentiable
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError
from minicnn.ops._losses import Reduction, floats, like, of_elements, wide

__all__ = ["huber_loss", "l1_loss", "l2_loss", "smooth_l1_loss"]


@composed
def l1_loss(
    predictions: Tensor,
    targets: Array | Tensor,
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure the absolute error ``y = |d|``, ``d = prediction - target``.

    Parameters
    ----------
    predictions : Tensor
        Of any shape.
    targets : Tensor or ndarray
        Of the same shape; gradients flow to them too.
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the predictions'.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by the number of elements
        without them; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the predictions' shape. The slope at ``d = 0`` is 0.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the predictions are not floats.
    ConfigError
        If a weight is negative or the reduction is unknown.
    """
    error, dtype = _error("l1_loss", predictions, targets)
    return of_elements("l1_loss", error, weights, reduction, dtype, absolute)


@composed
def l2_loss(
    predictions: Tensor,
    targets: Array | Tensor,
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure the squared error ``d**2``, ``d = prediction - target``, without a factor 1/2.

    Its mean is the mean squared error.

    Parameters
    ----------
    predictions : Tensor
        Of any shape.
    targets : Tensor or ndarray
        Of the same shape; gradients flow to them too.
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the predictions'.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by the number of elements
        without them; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the predictions' shape.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the predictions are not floats.
    ConfigError
        If a weight is negative or the reduction is unknown.
    """
    error, dtype = _error("l2_loss", predictions, targets)
    return of_elements("l2_loss", error, weights, reduction, dtype, lambda d: d * d)


@composed
def huber_loss(
    predictions: Tensor,
    targets: Array | Tensor,
    delta: float = 1.0,
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure small errors squared and large ones linearly, so that outliers do not rule.

    ``d**2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)``; the slope is d, held
    between -delta and delta.

    Parameters
    ----------
    predictions : Tensor
        Of any shape.
    targets : Tensor or ndarray
        Of the same shape; gradients flow to them too.
    delta : float, default 1
        The error from which on it is linear, greater than 0.
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the predictions'.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by the number of elements
        without them; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the predictions' shape.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the predictions are not floats.
    ConfigError
        If `delta` is not greater than 0, a weight is negative or the reduction is unknown.

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964.
    """
    op = "huber_loss"
    if not 0 < delta < math.inf:
        raise ConfigError(f"{op}: delta must be greater than 0 and finite, got {delta}")
    error, dtype = _error(op, predictions, targets)
    return of_elements(op, error, weights, reduction, dtype, lambda d: _huber(d, delta))


@composed
def smooth_l1_loss(
    predictions: Tensor,
    targets: Array | Tensor,
    beta: float = 1.0,
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure the absolute error, rounded off where it is small: the box loss of Fast R-CNN.

    ``d**2 / (2 beta)`` where ``|d| <= beta``, else ``|d| - beta / 2``: the Huber loss divided by
    its delta, so that large errors have the slope 1 whatever beta is.

    Parameters
    ----------
    predictions : Tensor
        Of any shape.
    targets : Tensor or ndarray
        Of the same shape; gradients flow to them too.
    beta : float, default 1
        The error below which it is squared, at least 0; 0 makes it `l1_loss`.
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the predictions'.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by the number of elements
        without them; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the predictions' shape.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the predictions are not floats.
    ConfigError
        If `beta` is negative, a weight is negative or the reduction is unknown.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015, equation 3 (there beta is 1).
    """
    op = "smooth_l1_loss"
    if not 0 <= beta < math.inf:
        raise ConfigError(f"{op}: beta must be at least 0 and finite, got {beta}")
    error, dtype = _error(op, predictions, targets)

    def loss(d: Tensor) -> Tensor:
        return _huber(d, beta) * (1.0 / beta) if beta else absolute(d)

    return of_elements(op, error, weights, reduction, dtype, loss)


# With c = d held between -delta and delta, Huber's loss is c (d - c/2):
#     |d| <= delta: c = d, so d**2 / 2;   else c = +-delta, so delta (|d| - delta/2).
# c changes only where d - c = 0, so the slope is c itself, and that of the slope 1 or 0.
@differentiable
def _huber(d: Tensor, delta: float) -> Lifted:
    held = array_module(d.data).clip(d.data, -delta, delta)
    return held * (d.data - 0.5 * held), (lambda g: g * clip(d, -delta, delta),)


def _error(op: str, predictions: Tensor, targets: Array | Tensor) -> tuple[Tensor, object]:
    """Return prediction - target, in float32 at least, and the type of the result."""
    predictions = floats(op, "predictions", predictions)
    x = wide(predictions)
    return x - like(op, x, targets, "predictions and targets"), predictions.dtype
