"""Ops that find the largest and smallest elements along axes, and where they are."""

from __future__ import annotations

from minicnn.autograd._checks import Axis, Shape, axes_of, axis_of, count, kept, tensor_of
from minicnn.autograd._operands import kernels_worth
from minicnn.autograd.shaping import broadcast_to, reshape
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, is_recording
from minicnn.autograd.watching import composed
from minicnn.backend import array_module
from minicnn.errors import ShapeError


@differentiable
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Take the largest element along axes: ``y = max_i x[i]``.

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
        The maxima, NaN where there is one; elements that tie share the gradient equally.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _extreme("max", x, axis, keepdims)


@differentiable
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Lifted:
    """Take the smallest element along axes: ``y = min_i x[i]``.

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
        The minima, NaN where there is one; elements that tie share the gradient equally.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _extreme("min", x, axis, keepdims)


def _extreme(op: str, x: Tensor, axis: Axis, keepdims: bool) -> Lifted:
    axes, before = axes_of(op, axis, x.shape), x.shape
    shape = kept(before, axes)
    _check_not_empty(op, before, axes)
    kernels = kernels_worth(x.data)
    y = kernels.extreme_over(x.data, axes, op == "max")

    # y = x[i] for the winner i: dL/dx[i] = dL/dy, and 0 for the others; n that tie get 1/n each
    def grad_x(grad_y: Tensor) -> Tensor:
        grad_y = reshape(grad_y, shape)
        if not is_recording():
            return Tensor(kernels.extreme_over_grad(grad_y.data, x.data, y))
        ones = array_module(y).ones_like(y)
        return broadcast_to(grad_y, before) * Tensor(kernels.extreme_over_grad(ones, x.data, y))

    return (y if keepdims else y.squeeze(axes)), (grad_x,)


@composed
def argmax(
    x: Tensor, axis: int | None = None, keepdims: bool = False, last: bool = False
) -> Tensor:
    """Return where the largest element is, as int64; the first of those that tie.

    ``y = min {i: x[i] = max_j x[j]}``; with `last` the largest such i.

    Parameters
    ----------
    x : Tensor
        Any shape. A NaN counts as the largest.
    axis : int, optional
        Along which axis; by default the place among all elements, in C order.
    keepdims : bool, default False
        Whether that axis (or all of them) stays, with length 1.
    last : bool, default False
        Whether to take the last of those that tie.

    Returns
    -------
    Tensor of int64
        Has no gradient.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _place("argmax", tensor_of(x), axis, keepdims, last)


@composed
def argmin(
    x: Tensor, axis: int | None = None, keepdims: bool = False, last: bool = False
) -> Tensor:
    """Return where the smallest element is, as int64; the first of those that tie.

    ``y = min {i: x[i] = min_j x[j]}``; with `last` the largest such i.

    Parameters
    ----------
    x : Tensor
        Any shape. A NaN counts as the smallest.
    axis : int, optional
        Along which axis; by default the place among all elements, in C order.
    keepdims : bool, default False
        Whether that axis (or all of them) stays, with length 1.
    last : bool, default False
        Whether to take the last of those that tie.

    Returns
    -------
    Tensor of int64
        Has no gradient.

    Raises
    ------
    ShapeError
        If there is no such axis, or nothing to choose from.
    """
    return _place("argmin", tensor_of(x), axis, keepdims, last)


def _place(op: str, x: Tensor, axis: int | None, keepdims: bool, last: bool) -> Tensor:
    axes = axes_of(op, None, x.shape) if axis is None else (axis_of(op, axis, x.shape),)
    _check_not_empty(op, x.shape, axes)
    data, at = (x.data.reshape(-1), 0) if axis is None else (x.data, axes[0])
    xp = array_module(x.data)
    if last:
        place = data.shape[at] - 1 - getattr(xp.flip(data, at), op)(axis=at)
    else:
        place = getattr(data, op)(axis=at)
    place = xp.asarray(place)
    return Tensor(place.reshape(kept(x.shape, axes)) if keepdims else place)


def _check_not_empty(op: str, shape: Shape, axes: Shape) -> None:
    if not count(shape, axes):
        raise ShapeError(
            f"{op}: shape {shape} has no elements along axes {axes}, so there is none to choose; "
            "leave such a batch out"
        )
