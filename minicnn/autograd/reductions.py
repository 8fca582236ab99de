"""Ops that summarise axes; half precision is summed in single precision."""

from __future__ import annotations

import math

import numpy as np

from minicnn.autograd._checks import Axis, Shape, axes_of, count, kept, tensor_of
from minicnn.autograd._operands import kernels_worth
from minicnn.autograd.arithmetic import absolute
from minicnn.autograd.choosing import where
from minicnn.autograd.exponential import exp, sqrt
from minicnn.autograd.extremes import max
from minicnn.autograd.shaping import astype, broadcast_to, reshape
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, of_output
from minicnn.autograd.watching import composed
from minicnn.backend import array_module
from minicnn.errors import ConfigError


@differentiable
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Sum over axes: ``y = sum_i x[i]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether the summed axes stay, with length 1.

    Returns
    -------
    Tensor
        The sums, of nothing 0; every summand gets the gradient of its sum. Small whole numbers
        and bool are summed as int64.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    axes, before = axes_of("sum", axis, x.shape), x.shape
    shape = kept(before, axes)
    y = kernels_worth(x.data).sum_over(x.data, axes)
    y = y if keepdims else y.squeeze(axes)
    # y = sum_i x[i]: dL/dx[i] = dL/dy for every i
    return y, (lambda g: broadcast_to(reshape(g, shape), before),)


@composed
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Average n elements over axes: ``y = sum_i x[i] / n``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether the averaged axes stay, with length 1.

    Returns
    -------
    Tensor
        The means, floats; of nothing NaN.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    x = tensor_of(x)
    axes = axes_of("mean", axis, x.shape)
    if x.dtype == np.float16:  # whose sums overflow at 65504
        return astype(mean(astype(x, np.float32), axes, keepdims), np.float16)
    n = count(x.shape, axes)
    return sum(x, axes, keepdims) * (1.0 / n if n else math.nan)


@composed
def var(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Compute the variance over axes: the mean of the squared deviations from the mean.

    ``y = sum_i (x[i] - m)**2 / n`` with ``m = sum_i x[i] / n``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        The variances, floats (divided by n, not n - 1), in two passes, so that a large mean does
        no harm; of nothing NaN.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    x = tensor_of(x)
    axes = axes_of("var", axis, x.shape)
    if x.dtype == np.float16:
        return astype(var(astype(x, np.float32), axes, keepdims), np.float16)
    deviation = x - mean(x, axes, keepdims=True)
    return mean(deviation * deviation, axes, keepdims)


@composed
def std(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Compute the standard deviation over axes: the square root of the variance.

    ``y = sqrt(sum_i (x[i] - m)**2 / n)`` with ``m = sum_i x[i] / n``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        The deviations, floats (with division by n, not n - 1); of nothing NaN. Where all elements
        are equal the root has no slope; the gradient is 0 there.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    x = tensor_of(x)
    axes = axes_of("std", axis, x.shape)
    if x.dtype == np.float16:
        return astype(std(astype(x, np.float32), axes, keepdims), np.float16)
    return _root(var(x, axes, keepdims))


@composed
def norm(x: Tensor, order: float = 2, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Measure the length of vectors along axes: ``(sum |x|**p)**(1/p)`` for order p.

    Parameters
    ----------
    x : Tensor
        Any shape.
    order : float, default 2
        At least 1; math.inf: ``max |x|``.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        The lengths, floats; of nothing 0. The gradient of a vector of zeros, where there is no
        slope, is 0; for inf, elements that tie share the gradient. Powers neither overflow nor
        vanish: they are taken of ``x / max |x|``.

    Raises
    ------
    ConfigError
        If the order is below 1.
    ShapeError
        If there is no such axis.
    """
    x = tensor_of(x)
    axes = axes_of("norm", axis, x.shape)
    if not order >= 1:
        raise ConfigError(f"norm: order must be a number from 1 to math.inf, got {order!r}")
    if x.dtype.kind != "f" or x.dtype == np.float16:
        wide = np.float32 if x.dtype == np.float16 else np.float64
        y = norm(astype(x, wide), order, axes, keepdims)
        return astype(y, np.float16) if x.dtype == np.float16 else y
    if order == 1 or not count(x.shape, axes):
        return sum(absolute(x), axes, keepdims)
    if order == math.inf:
        return max(absolute(x), axes, keepdims)
    xp = array_module(x.data)
    largest = xp.abs(x.data).max(axis=axes, keepdims=True)
    # A constant: for any s the norm is s * |x / s|, so s has no share in the slope.
    scale = Tensor(xp.where((largest > 0) & xp.isfinite(largest), largest, x.dtype.type(1)))
    scaled = absolute(x) / scale
    powers = scaled * scaled if order == 2 else scaled**order
    y = _root(sum(powers, axes, keepdims=True), order) * scale
    return y if keepdims else _without(y, axes)


def _root(x: Tensor, order: float = 2) -> Tensor:
    """Take the square root, or another; its slope at 0, infinity, is taken for 0."""
    nothing = x.data == 0
    x = where(nothing, 1.0, x)
    return where(nothing, 0.0, sqrt(x) if order == 2 else x ** (1.0 / order))


@differentiable
def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Compute ``log(sum(e**x))`` over axes: a smooth maximum, that neither over- nor underflows.

    It is computed as ``m + log(sum(e**(x - m)))`` with the largest element m. The gradient is
    softmax: ``dL/dx = dL/dy * e**(x - y)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        Floats; -inf, and a gradient of 0, where all elements are -inf or there are none.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    axes, before = axes_of("logsumexp", axis, x.shape), x.shape
    shape, xp = kept(before, axes), array_module(x.data)
    wide = {"float16": np.float32, "float32": np.float32}.get(x.dtype.name, np.float64)
    data = x.data.astype(wide, copy=False)
    largest = data.max(axis=axes, keepdims=True) if count(before, axes) else xp.zeros(shape, wide)
    shift = xp.where(xp.isfinite(largest), largest, wide(0))
    with np.errstate(divide="ignore", over="ignore"):
        y = xp.log(xp.exp(data - shift).sum(axis=axes, keepdims=True)) + shift
    y = y.astype(x.dtype if x.dtype.kind == "f" else wide, copy=False)

    @of_output
    def grad_x(grad_y: Tensor, y: Tensor) -> Tensor:
        y = reshape(y, shape)
        finite = where(y.data == -math.inf, 0.0, y)  # of -inf only: e**(-inf - 0) is 0
        return broadcast_to(reshape(grad_y, shape), before) * exp(x - finite)

    return (y if keepdims else y.squeeze(axes)), (grad_x,)


def _without(x: Tensor, axes: Shape) -> Tensor:
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))
