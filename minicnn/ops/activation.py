"""Non-linearities: without them a stack of layers is one linear map."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import (
    Lifted,
    Tensor,
    astype,
    differentiable,
    exp,
    of_output,
    sum_to,
    tanh,
    where,
)
from minicnn.autograd._checks import axis_of
from minicnn.autograd.tensor import is_recording
from minicnn.backend import kernels_for
from minicnn.errors import ShapeError
from minicnn.ops._pointwise import floats, slope_at

__all__ = ["leaky_relu", "log_softmax", "prelu", "relu", "sigmoid", "softmax", "tanh"]


@differentiable
def relu(x: Tensor) -> Lifted:
    """Rectify: ``y = max(x, 0)``. It does not saturate for x > 0; for x < 0 it passes nothing.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape. The slope at 0 is 0; NaN stays NaN.

    References
    ----------
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    """

    # dL/dx = dL/dy where x > 0, else 0. There y > 0 too, so the output serves as the mask.
    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        return _relu_grad(grad_y, y.detach())

    return kernels_for(x.data).relu(x.data), (grad_x,)


@differentiable
def _relu_grad(grad_y: Tensor, y: Tensor) -> Lifted:
    """Pass dL/dy where y > 0. Linear in it; in y it is flat."""
    g = kernels_for(y.data).relu_grad(grad_y.data, y.data)
    return g, (lambda grad_g: _relu_grad(grad_g, y), None)


@differentiable
def leaky_relu(x: Tensor, slope: float = 0.01) -> Lifted:
    """Rectify but let a little through: ``y = x`` where x > 0, else ``slope * x``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    slope : float, default 0.01
        The slope for x <= 0; it keeps a neuron from dying.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.
    """
    floats("leaky_relu", x)
    slope = float(slope)
    y = kernels_for(x.data).leaky_relu(x.data, slope)
    return y, (slope_at(x, "leaky_relu_grad", None, slope),)


@differentiable
def prelu(x: Tensor, slope: Tensor) -> Lifted:
    """Rectify with a learned slope: ``y = x`` where x > 0, else ``slope * x``.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch.
    slope : Tensor, shape (C,) or (1,)
        The slopes for x <= 0, one for each channel or one for all.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ShapeError
        If `slope` has another shape.

    References
    ----------
    He et al., "Delving deep into rectifiers", ICCV 2015, equation 1.
    """
    x, slope = floats("prelu", x), floats("prelu", slope)
    if x.ndim < 2 or slope.shape not in ((1,), x.shape[1:2]):
        raise ShapeError(
            f"prelu: slope {slope.shape} must hold one value, or one a channel of x {x.shape}"
        )
    kernels = kernels_for(x.data)
    found: list[Any] = []  # dL/dy, and dL/dx and dL/dslope, computed together
    row = (1, -1, *(1,) * (x.ndim - 2))

    def gradients(grad_y: Tensor) -> Any:
        if not found or found[0] is not grad_y:
            found[:] = grad_y, *kernels.prelu_grad(grad_y.data, x.data, slope.data)
        return found

    # dL/dx = dL/dy where x > 0, else slope * dL/dy
    def grad_x(grad_y: Tensor) -> Tensor:
        if is_recording():
            return where(x.data > 0, grad_y, grad_y * slope.reshape(row))
        return Tensor(gradients(grad_y)[1])

    # dL/dslope = sum of dL/dy * x where x <= 0
    def grad_slope(grad_y: Tensor) -> Tensor:
        if is_recording():
            below = sum_to(where(x.data > 0, 0.0, grad_y * x), slope.reshape(row).shape)
            return below.reshape(slope.shape)
        return Tensor(gradients(grad_y)[2])

    return kernels.prelu(x.data, slope.data), (grad_x, grad_slope)


@differentiable
def sigmoid(x: Tensor) -> Lifted:
    """Squash into (0, 1): ``y = 1 / (1 + e**-x)``; ``dL/dx = dL/dy * y * (1 - y)``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape. Computed by way of tanh, so that no exponential overflows.
    """
    floats("sigmoid", x)

    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        if is_recording():
            return grad_y * (y * (1.0 - y))
        return Tensor(kernels_for(y.data).sigmoid_grad(grad_y.data, y.data))

    return kernels_for(x.data).sigmoid(x.data), (grad_x,)


@differentiable
def softmax(x: Tensor, axis: int = 1) -> Lifted:
    """Turn scores into probabilities: ``y_k = e**x_k / sum_j e**x_j`` along an axis.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, default 1
        The classes' axis.

    Returns
    -------
    Tensor
        Of x's shape; sums to 1 along `axis`. The largest score is subtracted first, which changes
        nothing but keeps the exponentials finite.
    """
    floats("softmax", x)
    axis = axis_of("softmax", axis, x.shape)

    # dy_k/dx_j = y_k ([k=j] - y_j)  =>  dL/dx = y * (dL/dy - sum_k y_k dL/dy_k)
    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        if not is_recording():
            return Tensor(kernels_for(y.data).softmax_grad(grad_y.data, y.data, axis))
        grad_y, y = _wide(grad_y), _wide(y)
        return y * (grad_y - (grad_y * y).sum(axis=axis, keepdims=True))

    return kernels_for(x.data).softmax(x.data, axis), (grad_x,)


@differentiable
def log_softmax(x: Tensor, axis: int = 1) -> Lifted:
    """Compute log-probabilities: ``y_k = x_k - log sum_j e**x_j``, without rounding to log 0.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, default 1
        The classes' axis.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    floats("log_softmax", x)
    axis = axis_of("log_softmax", axis, x.shape)

    # dy_k/dx_j = [k=j] - e**y_j  =>  dL/dx = dL/dy - e**y * sum_k dL/dy_k
    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        if not is_recording():
            return Tensor(kernels_for(y.data).log_softmax_grad(grad_y.data, y.data, axis))
        grad_y, y = _wide(grad_y), _wide(y)
        return grad_y - exp(y) * grad_y.sum(axis=axis, keepdims=True)

    return kernels_for(x.data).log_softmax(x.data, axis), (grad_x,)


def _wide(x: Tensor) -> Tensor:
    """Return float16 as float32."""
    return astype(x, np.float32) if x.dtype == np.float16 else x
