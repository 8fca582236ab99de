"""Non-linearities: without them a stack of layers is one linear map."""

from __future__ import annotations

from minicnn.autograd import Lifted, Tensor, differentiable, exp, of_output, tanh, where
from minicnn.backend import array_module, kernels_for
from minicnn.errors import DTypeError, ShapeError

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

    # y > 0 exactly where x > 0, so the output serves as the mask.
    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        return _relu_grad(grad_y, y.detach())

    return kernels_for(x.data).relu(x.data), (grad_x,)


@differentiable
def _relu_grad(grad_y: Tensor, y: Tensor) -> Lifted:
    """Pass dL/dy where y > 0. Linear in it; in y it is flat."""
    g = kernels_for(y.data).relu_grad(grad_y.data, y.data)
    return g, (lambda grad_g: _relu_grad(grad_g, y), None)


def leaky_relu(x: Tensor, slope: float = 0.01) -> Tensor:
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
    x = _floats("leaky_relu", x)
    xp = array_module(x.data)
    return x * Tensor(xp.where(x.data > 0, 1.0, slope).astype(x.dtype))


def prelu(x: Tensor, slope: Tensor) -> Tensor:
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
    x, slope = _floats("prelu", x), _floats("prelu", slope)
    if x.ndim < 2 or slope.shape not in ((1,), x.shape[1:2]):
        raise ShapeError(
            f"prelu: slope {slope.shape} must hold one value, or one a channel of x {x.shape}"
        )
    return where(x.data > 0, x, x * slope.reshape(1, -1, *(1,) * (x.ndim - 2)))


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

    Raises
    ------
    DTypeError
        If x is not of floats.
    """
    _floats("sigmoid", x)
    half = x.data.dtype.type(0.5)
    y = half * (array_module(x.data).tanh(half * x.data) + 1)
    return y, (of_output(lambda g, y: g * (y * (1.0 - y))),)


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

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    _check_axis("softmax", x, axis)
    xp = array_module(x.data)
    e = xp.exp(x.data - x.data.max(axis=axis, keepdims=True, initial=-xp.inf))

    # dy_k/dx_j = y_k ([k=j] - y_j)  =>  dL/dx = y * (dL/dy - sum_k y_k dL/dy_k)
    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        return y * (grad_y - (grad_y * y).sum(axis=axis, keepdims=True))

    return e / e.sum(axis=axis, keepdims=True), (grad_x,)


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

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    _check_axis("log_softmax", x, axis)
    xp = array_module(x.data)
    shifted = x.data - x.data.max(axis=axis, keepdims=True, initial=-xp.inf)
    y = shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))

    # dy_k/dx_j = [k=j] - softmax_j
    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        return grad_y - exp(y) * grad_y.sum(axis=axis, keepdims=True)

    return y, (grad_x,)


def _check_axis(op: str, x: Tensor, axis: int) -> None:
    _floats(op, x)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"{op}: axis {axis} does not exist in shape {x.shape}; name the classes'")


def _floats(op: str, x: Tensor) -> Tensor:
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: needs floats, got {x.dtype}; use .astype('float32')")
    return x
