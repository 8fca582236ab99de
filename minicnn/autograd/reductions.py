"""Ops that summarise axes, and the matrix product."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd.shaping import astype, broadcast_to, reshape, sum_to, transpose
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.backend import array_module, kernels_for
from minicnn.errors import DeviceError, ShapeError

Axis = int | tuple[int, ...] | None


def _axes(op: str, x: Tensor, axis: Axis) -> tuple[int, ...]:
    """Return the axes to reduce as sorted, non-negative numbers."""
    if axis is None:
        return tuple(range(x.ndim))
    given = (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    if any(not -x.ndim <= a < x.ndim for a in given) or len({a % x.ndim for a in given}) < len(
        given
    ):
        raise ShapeError(f"{op}: axis {axis} does not fit shape {x.shape}")
    return tuple(sorted(a % x.ndim for a in given))


def _kept(x: Tensor, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of x with length 1 along `axes`."""
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


@differentiable
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Sum over axes.

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
        The sums; every summand gets the gradient of its sum.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    axes = _axes("sum", x, axis)
    kept, before = _kept(x, axes), x.shape
    y = x.data.sum(axis=axes, keepdims=keepdims)
    return y, (lambda g: broadcast_to(reshape(g, kept), before),)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Average over axes.

    Parameters
    ----------
    x : Tensor
        Any shape; of floats.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether the averaged axes stay, with length 1.

    Returns
    -------
    Tensor
        The means; of no elements, NaN.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    if x.dtype == np.float16:  # whose sums overflow at 65504
        return astype(mean(astype(x, np.float32), axis, keepdims), np.float16)
    count = math.prod(x.shape[a] for a in _axes("mean", x, axis))
    return sum(x, axis, keepdims) * (1.0 / count if count else math.nan)


def var(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Compute the variance over axes: the mean of the squared deviations from the mean.

    Parameters
    ----------
    x : Tensor
        Any shape; of floats.
    axis : int or tuple of int, optional
        Over which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        The variances (divided by n, not n - 1), in two passes, so that a large mean does no harm.

    Raises
    ------
    ShapeError
        If there is no such axis.
    """
    _axes("var", x, axis)
    deviation = x - mean(x, axis, keepdims=True)
    return mean(deviation * deviation, axis, keepdims)


@differentiable
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Take the largest element along axes.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        The maxima; elements that tie share the gradient equally.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _extreme("max", x, axis, keepdims)


@differentiable
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Take the smallest element along axes.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Along which axes; by default all.
    keepdims : bool, default False
        Whether those axes stay, with length 1.

    Returns
    -------
    Tensor
        The minima; elements that tie share the gradient equally.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _extreme("min", x, axis, keepdims)


def _extreme(name: str, x: Tensor, axis: Axis, keepdims: bool) -> Lifted:
    axes = _axes(name, x, axis)
    kept, before = _kept(x, axes), x.shape
    _check_not_empty(name, x, axes)
    y = getattr(array_module(x.data), name)(x.data, axis=axes, keepdims=True)
    wins = (x.data == y).astype(x.dtype)

    def grad_x(grad_y: Tensor) -> Tensor:
        share = Tensor(wins / wins.sum(axis=axes, keepdims=True))
        return broadcast_to(reshape(grad_y, kept), before) * share

    return (y if keepdims else y.squeeze(axes)), (grad_x,)


def argmax(x: Tensor, axis: int | None = None) -> Tensor:
    """Return where the largest element is, as int64; the first of those that tie.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, optional
        Along which axis; by default the flat index of all.

    Returns
    -------
    Tensor of int64
        Without that axis; has no gradient.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _place("argmax", x, axis)


def argmin(x: Tensor, axis: int | None = None) -> Tensor:
    """Return where the smallest element is, as int64; the first of those that tie.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, optional
        Along which axis; by default the flat index of all.

    Returns
    -------
    Tensor of int64
        Without that axis; has no gradient.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _place("argmin", x, axis)


def _place(name: str, x: Tensor, axis: int | None) -> Tensor:
    axes = _axes(name, x, axis)
    _check_not_empty(name, x, axes)
    place = getattr(x.data, name)(axis)
    return Tensor(array_module(x.data).asarray(place))


def _check_not_empty(name: str, x: Tensor, axes: tuple[int, ...]) -> None:
    if math.prod(x.shape[a] for a in axes) == 0:
        raise ShapeError(f"{name}: shape {x.shape} has no elements along axes {axes}")


@differentiable
def matmul(a: Tensor, b: Tensor) -> Lifted:
    """Multiply matrices: ``y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]``.

    Parameters
    ----------
    a : Tensor, shape (..., I, K) or (K,)
        The left factor.
    b : Tensor, shape (..., K, J) or (K,)
        The right factor; leading axes broadcast.

    Returns
    -------
    Tensor, shape (..., I, J)
        The product; a vector's axis is dropped, as in NumPy.

    Raises
    ------
    ShapeError
        If the inner lengths differ, or an operand is a single number.
    DeviceError
        If the operands are on two devices.
    """
    if a.device != b.device:
        raise DeviceError(f"matmul: a is on {a.device}, b on {b.device}; move one with .to(...)")
    try:
        y = kernels_for(a.data).matmul(a.data, b.data)
    except ValueError:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit; the last axis of a must equal the "
            "last but one of b (a vector's only axis), and leading axes must broadcast"
        ) from None

    # A vector is a matrix with one row (left) or one column (right): give g that axis back.
    rows = a.shape if a.ndim > 1 else (1, *a.shape)
    columns = b.shape if b.ndim > 1 else (*b.shape, 1)
    lead = np.broadcast_shapes(rows[:-2], columns[:-2])
    full = (*lead, rows[-2], columns[-1])

    # dL/da = dL/dy b^T
    def grad_a(grad_y: Tensor) -> Tensor:
        g = matmul(reshape(grad_y, full), _swapped(reshape(b, columns)))
        return reshape(sum_to(g, rows), a.shape)

    # dL/db = a^T dL/dy
    def grad_b(grad_y: Tensor) -> Tensor:
        g = matmul(_swapped(reshape(a, rows)), reshape(grad_y, full))
        return reshape(sum_to(g, columns), b.shape)

    return y, (grad_a, grad_b)


def _swapped(x: Tensor) -> Any:
    """Return x with its last two axes exchanged."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
