"""The dense layer's product."""

from __future__ import annotations

import math

from minicnn.autograd import Lifted, Tensor, composed, differentiable, matmul
from minicnn.autograd._checks import one_device, tensor_of
from minicnn.backend import kernels_for
from minicnn.errors import DTypeError, ShapeError

__all__ = ["dense", "flatten"]


@differentiable
def dense(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Lifted:
    """Weigh all inputs for each output: ``y[n, o] = bias[o] + sum_i weight[o, i] * x[n, i]``.

    Parameters
    ----------
    x : Tensor, shape (N, I)
        A batch of vectors.
    weight : Tensor, shape (O, I)
        The weights.
    bias : Tensor, shape (O,), optional
        Added to every row.

    Returns
    -------
    Tensor, shape (N, O)
        The weighted sums.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If the operands are of different types, or not floats.
    """
    one_device("dense", x=x, weight=weight, bias=x if bias is None else bias)
    shapes = f"x {x.shape}, weight {weight.shape}"
    if x.ndim != 2 or weight.ndim != 2:
        raise ShapeError(f"dense: needs x (N, I) and weight (O, I), got {shapes}; flatten x first")
    if x.shape[1] != weight.shape[1]:
        raise ShapeError(
            f"dense: x has {x.shape[1]} features but weight expects {weight.shape[1]} ({shapes}); "
            f"give weight the shape (O, {x.shape[1]})"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"dense: bias has shape {bias.shape}, weight {weight.shape} needs {weight.shape[:1]}"
        )
    if x.dtype.kind != "f" or {weight.dtype, x.dtype if bias is None else bias.dtype} != {x.dtype}:
        raise DTypeError(
            f"dense: {shapes} are {x.dtype} and {weight.dtype}"
            f"{'' if bias is None else f', bias {bias.dtype}'}; they must be one float type, use "
            ".astype"
        )
    y = kernels_for(x.data).matmul(x.data, weight.data.T)
    if bias is not None:
        y += bias.data

    # dL/dx = dL/dy weight,   dL/dweight = dL/dy^T x,   dL/dbias = sum_n dL/dy
    def grad_x(grad_y: Tensor) -> Tensor:
        return matmul(grad_y, weight)

    def grad_weight(grad_y: Tensor) -> Tensor:
        return matmul(grad_y.T, x)

    return y, (grad_x, grad_weight, lambda grad_y: grad_y.sum(axis=0))


@composed
def flatten(x: Tensor) -> Tensor:
    """Lay out each example of a batch as one vector, in the order of the axes C, H, W.

    ``y[n, (c*H + h)*W + w] = x[n,c,h,w]``.

    Parameters
    ----------
    x : Tensor, shape (N, ...)
        A batch.

    Returns
    -------
    Tensor, shape (N, numbers in an example)
        The same numbers.

    Raises
    ------
    ShapeError
        If x has no axes.
    """
    x = tensor_of(x)
    if not x.ndim:
        raise ShapeError("flatten: needs a batch (N, ...), got a single number; add an axis")
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))
