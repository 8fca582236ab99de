"""Batch normalisation: each channel with mean 0 and variance 1 over the batch, then rescaled."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Lifted, Tensor, differentiable, once_differentiable
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import DTypeError, ShapeError

__all__ = ["batch_norm", "batch_norm_inference"]


def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float = 1e-5
) -> tuple[Tensor, Array, Array]:
    """Normalise each channel by the batch's own mean and variance, as in training.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``, with the mean and the (biased)
    variance of each channel taken over every axis but the channels'.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, H, W)
        A batch; at least two values a channel.
    gamma, beta : Tensor, shape (C,)
        Scale and shift.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    y : Tensor, of x's shape
        The normalised batch.
    mean, var : ndarray of float64, shape (C,)
        The batch's statistics, for moving averages.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a channel has a single value: its variance is 0.
    DTypeError
        If x, gamma and beta are of different types, or not floats.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    _check("batch_norm", x, gamma, beta)
    values = x.size // max(x.shape[1], 1)
    if values < 2:
        raise ShapeError(
            f"batch_norm: x {x.shape} has {values} value(s) a channel; training needs at least 2: "
            "use a larger batch (drop_remainder=True drops a last batch of one), or eval()"
        )
    mean, var = kernels_for(x.data).moments(x.data)
    return _batch_norm(x, gamma, beta, mean, var, epsilon), mean, var


@differentiable
def _batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, var: Array, epsilon: float
) -> Lifted:
    k, count = kernels_for(x.data), x.size // x.shape[1]
    rstd = 1.0 / array_module(var).sqrt(var + epsilon)
    y = k.normalize(x.data, mean, gamma.data * rstd, beta.data.astype(np.float64))
    last: list[Any] = [None, None]  # dL/dy and its sums, for the three gradients together

    def reduce(grad_y: Tensor) -> tuple[Array, Array]:
        if last[0] is not grad_y:
            last[:] = grad_y, k.normalize_sums(grad_y.data, x.data, mean)
        return last[1]

    # With z = (x - mean) * rstd:  dL/dbeta = sum dL/dy,  dL/dgamma = sum dL/dy * z.
    # x moves y directly and through the mean and the variance (Ioffe and Szegedy, section 3):
    #     dL/dx = gamma * rstd * (dL/dy - dL/dbeta / m - z * dL/dgamma / m),   m values a channel
    @once_differentiable
    def grad_x(grad_y: Tensor) -> Tensor:
        grad_beta, product = reduce(grad_y)
        scale = gamma.data * rstd
        slope = -scale * product * rstd**2 / count
        return Tensor(
            k.normalize_grad_x(grad_y.data, x.data, mean, scale, slope, -scale * grad_beta / count)
        )

    @once_differentiable
    def grad_gamma(grad_y: Tensor) -> Tensor:
        return Tensor((reduce(grad_y)[1] * rstd).astype(gamma.dtype))

    @once_differentiable
    def grad_beta(grad_y: Tensor) -> Tensor:
        return Tensor(reduce(grad_y)[0].astype(beta.dtype))

    return y, (grad_x, grad_gamma, grad_beta)


def batch_norm_inference(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, var: Array, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel by a given mean and variance, as after training.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``; one affine map for each channel.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, H, W)
        A batch of any size.
    gamma, beta : Tensor, shape (C,)
        Scale and shift.
    mean, var : ndarray, shape (C,)
        Moving averages of training; constants here.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised batch.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If x, gamma and beta are of different types, or not floats.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    _check("batch_norm_inference", x, gamma, beta)
    for name, statistic in (("mean", mean), ("var", var)):
        if statistic.shape != x.shape[1:2]:
            raise ShapeError(
                f"batch_norm_inference: {name} has shape {statistic.shape}, x {x.shape} needs "
                f"{x.shape[1:2]}"
            )
    wide_mean, wide_var = (np.float64(1) * a for a in (mean, var))
    return _batch_norm_inference(x, gamma, beta, wide_mean, wide_var, epsilon)


@differentiable
def _batch_norm_inference(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, var: Array, epsilon: float
) -> Lifted:
    rstd = 1.0 / array_module(var).sqrt(var + epsilon)
    y = kernels_for(x.data).normalize(x.data, mean, gamma.data * rstd, beta.data.astype(rstd.dtype))
    axes = (0, *range(2, x.ndim))
    row = (1, -1, *(1,) * (x.ndim - 2))
    # The mean in two parts, so that rounding it to x's type loses nothing of x - mean.
    centre = mean.astype(x.dtype)
    constants = (rstd, centre, centre.astype(mean.dtype) - mean)
    constant_rstd, near, rest = (Tensor(a.astype(x.dtype).reshape(row)) for a in constants)

    def grad_x(grad_y: Tensor) -> Tensor:
        return grad_y * (gamma.reshape(row) * constant_rstd)

    def grad_gamma(grad_y: Tensor) -> Tensor:
        return (grad_y * ((x - near + rest) * constant_rstd)).sum(axis=axes)

    return y, (grad_x, grad_gamma, lambda grad_y: grad_y.sum(axis=axes))


def _check(op: str, x: Tensor, gamma: Tensor, beta: Tensor) -> None:
    """Refuse operands that do not fit one another."""
    if x.ndim < 2 or gamma.shape != x.shape[1:2] or beta.shape != x.shape[1:2]:
        raise ShapeError(
            f"{op}: x {x.shape} needs axes (N, C, ...), gamma {gamma.shape} and beta {beta.shape} "
            "one value for each channel"
        )
    if x.dtype.kind != "f" or not x.dtype == gamma.dtype == beta.dtype:
        raise DTypeError(
            f"{op}: x is {x.dtype}, gamma {gamma.dtype}, beta {beta.dtype}; they must be one float "
            "type: use .astype"
        )
