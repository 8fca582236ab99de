"""Running sums and products, and products over axes."""

from __future__ import annotations

import math

import numpy as np

from minicnn.autograd._checks import Axis, axes_of, axis_of, kept, tensor_of
from minicnn.autograd.joining import concatenate
from minicnn.autograd.shaping import broadcast_to, flip, moveaxis, reshape, transpose
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, of_output
from minicnn.autograd.watching import composed
from minicnn.backend import array_module


@differentiable
def cumsum(x: Tensor, axis: int, exclusive: bool = False, reverse: bool = False) -> Lifted:
    """Add up along an axis, keeping every sum on the way: ``y[i] = sum_{j <= i} x[j]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int
        Along which axis.
    exclusive : bool, default False
        Whether an element is left out of its own sum: ``j < i``, so that the first sum is 0.
    reverse : bool, default False
        Whether to start at the other end: ``j >= i``, or ``j > i``.

    Returns
    -------
    Tensor
        Of x's shape; whole numbers become as wide as NumPy makes them (int64).

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    at, xp = axis_of("cumsum", axis, x.shape), array_module(x.data)
    ahead = xp.moveaxis(x.data, at, 0)[:: -1 if reverse else 1]
    wide = np.float32 if x.dtype == np.float16 else None
    sums = xp.cumsum(ahead, axis=0, dtype=wide)
    sums = sums if wide is None else sums.astype(x.dtype)
    if exclusive:
        sums = xp.concatenate([xp.zeros_like(sums[:1]), sums[:-1]])
    y = xp.moveaxis(sums[:: -1 if reverse else 1], 0, at)
    # x[j] is in the sums of all i >= j (exclusive: i > j), and so
    #     dL/dx[j] = sum_{i >= j} dL/dy[i]
    # is a running sum too, from the other end.
    return y, (lambda g: cumsum(g, at, exclusive, not reverse),)


@composed
def cumprod(x: Tensor, axis: int, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Multiply along an axis, keeping every product on the way: ``y[i] = prod_{j <= i} x[j]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int
        Along which axis.
    exclusive : bool, default False
        Whether an element is left out of its own product: ``j < i``, the first one is 1.
    reverse : bool, default False
        Whether to start at the other end: ``j >= i``, or ``j > i``.

    Returns
    -------
    Tensor
        Of x's shape. No gradient divides by x, so zeros do no harm.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    x = tensor_of(x)
    at = axis_of("cumprod", axis, x.shape)
    y = moveaxis(x, at, 0)
    y = flip(y, 0) if reverse else y
    y = _running_product(_later(y, 1) if exclusive else y)
    return moveaxis(flip(y, 0) if reverse else y, 0, at)


@differentiable
def _running_product(x: Tensor) -> Lifted:
    """Return, of x (I, ...), ``y[i] = x[i] * y[i-1]``, with 1 before the first."""
    xp = array_module(x.data)
    wide = np.float32 if x.dtype == np.float16 else None
    y = xp.cumprod(x.data, axis=0, dtype=wide)

    # x[j] is in the products of all i >= j, beside the factors before it and those up to i:
    #     dL/dx[j] = (prod_{k<j} x[k]) * s[j],   s[j] = sum_{i>=j} dL/dy[i] * prod_{j<k<=i} x[k]
    # and s[j] = dL/dy[j] + x[j+1] * s[j+1] is a recurrence that divides by nothing.
    def grad_x(grad_y: Tensor) -> Tensor:
        return cumprod(x, 0, exclusive=True) * _backward_recurrence(grad_y, x)

    return (y if wide is None else y.astype(x.dtype)), (grad_x,)


@differentiable
def _recurrence(b: Tensor, a: Tensor) -> Lifted:
    """Return, of b and a (I, ...), ``y[i] = b[i] + a[i] * y[i-1]``, with 0 before the first.

    The two pull-backs are recurrences again, so there is a gradient of any order.
    """
    y = b.data.copy()
    for i in range(1, len(y)):
        y[i] += a.data[i] * y[i - 1]

    # With s[i] = dL/dy[i] + a[i+1] * s[i+1], what y[i] does to L by way of all that follow,
    #     dL/db[i] = s[i],   dL/da[i] = s[i] * y[i-1].
    def grad_b(grad_y: Tensor) -> Tensor:
        return _backward_recurrence(grad_y, a)

    @of_output
    def grad_a(grad_y: Tensor, y: Tensor) -> Tensor:
        return _backward_recurrence(grad_y, a) * _later(y, 0)

    return y, (grad_b, grad_a)


def _backward_recurrence(b: Tensor, a: Tensor) -> Tensor:
    """Return ``s[i] = b[i] + a[i+1] * s[i+1]``, with 0 after the last."""
    return flip(_recurrence(flip(b, 0), _later(flip(a, 0), 0)), 0)


def _later(x: Tensor, first: int) -> Tensor:
    """Shift by one along the first axis: ``y[0] = first``, ``y[i] = x[i-1]``."""
    head = array_module(x.data).full_like(x.data[:1], first)
    return concatenate([Tensor(head), x[:-1]], 0)


@differentiable
def prod(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Multiply over axes: ``y = prod_i x[i]``.

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
        The products, of nothing 1. An element's gradient is the product of the others, computed
        without dividing by it, so zeros do no harm.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    axes, before = axes_of("prod", axis, x.shape), x.shape
    shape = kept(before, axes)
    order = (*axes, *(i for i in range(x.ndim) if i not in axes))
    apart = tuple(before[i] for i in order)
    back = tuple(int(i) for i in np.argsort(order))
    wide = np.float32 if x.dtype == np.float16 else None
    y = x.data.prod(axis=axes, keepdims=keepdims, dtype=wide)

    # dL/dx[j] = dL/dy * (prod of the x[k] with k < j) * (prod of those with k > j)
    def grad_x(grad_y: Tensor) -> Tensor:
        count = math.prod(apart[: len(axes)])
        lines = reshape(transpose(x, order), (count, math.prod(apart[len(axes) :])))
        others = cumprod(lines, 0, exclusive=True) * cumprod(lines, 0, True, reverse=True)
        others = transpose(reshape(others, apart), back)
        return broadcast_to(reshape(grad_y, shape), before) * others

    return (y if wide is None else y.astype(x.dtype)), (grad_x,)
