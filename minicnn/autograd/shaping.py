"""Ops that give the same elements another shape or order; each is undone by its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd._checks import Axis, Shape, axes_of, axis_of, dtype_of, tensor_of, wholes
from minicnn.autograd._operands import kernels_worth
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.autograd.watching import composed
from minicnn.backend import array_module
from minicnn.errors import ConfigError, ShapeError


@differentiable
def reshape(x: Tensor, shape: int | Sequence[int]) -> Lifted:
    """Give the same elements another shape: ``y[k] = x[k]``, where k counts them in C order.

    Parameters
    ----------
    x : Tensor
        Any shape.
    shape : int or sequence of int
        The new shape; one of them may be -1, to be found out.

    Returns
    -------
    Tensor
        A view where NumPy can make one.

    Raises
    ------
    ShapeError
        If the numbers of elements differ.
    """
    before, after = x.shape, wholes("reshape", "shape", shape)
    try:
        y = x.data.reshape(after)
    except ValueError:
        raise ShapeError(
            f"reshape: {x.size} elements of shape {before} do not fill shape {after}; the lengths' "
            f"product must be {x.size}, or one length -1, to be found out"
        ) from None
    # y[k] = x[k] in C order: dL/dx[k] = dL/dy[k], in x's shape
    return y, (lambda g: reshape(g, before),)


@differentiable
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Lifted:
    """Reorder the axes; by default reverse them: ``y[k, j, i] = x[i, j, k]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axes : sequence of int, optional
        ``y``'s axis i is ``x``'s axis ``axes[i]``.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ShapeError
        If `axes` does not name every axis once.
    """
    rank = x.ndim
    order = tuple(range(rank))[::-1] if axes is None else wholes("transpose", "axes", axes)
    order = tuple(a + rank if a < 0 else a for a in order)
    if sorted(order) != list(range(rank)):
        raise ShapeError(
            f"transpose: axes {axes} must name each axis of {x.shape} once; give {rank} numbers, "
            f"one for each axis 0 ... {rank - 1}"
        )
    back = tuple(int(i) for i in np.argsort(order))
    # Axis i of y is axis order[i] of x: dL/dx is dL/dy with its axes put back
    return x.data.transpose(order), (lambda g: transpose(g, back),)


@composed
def swapaxes(x: Tensor, axis1: int, axis2: int) -> Tensor:
    """Exchange two axes: ``y[j, i] = x[i, j]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis1, axis2 : int
        Which; negative counts from the end.

    Returns
    -------
    Tensor
        A view.
    """
    x = tensor_of(x)
    a, b = axis_of("swapaxes", axis1, x.shape), axis_of("swapaxes", axis2, x.shape)
    order = list(range(x.ndim))
    order[a], order[b] = b, a
    return transpose(x, order)


@composed
def moveaxis(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move axes to other places; the others keep their order.

    From first to last place: ``y[j, k, i] = x[i, j, k]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    source : int or sequence of int
        Which axes.
    destination : int or sequence of int
        Where each of them goes in the result.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ShapeError
        If there are not as many places as axes, or one is named twice.
    """
    x = tensor_of(x)
    given, wanted = (wholes("moveaxis", "axes", v) for v in (source, destination))
    starts = [axis_of("moveaxis", a, x.shape) for a in given]
    ends = [axis_of("moveaxis", a, x.shape) for a in wanted]
    if len(starts) != len(ends) or len({*starts}) < len(starts) or len({*ends}) < len(ends):
        raise ShapeError(
            f"moveaxis: source {source} and destination {destination} must be as many axes of "
            f"shape {x.shape}, each named once"
        )
    order = [a for a in range(x.ndim) if a not in starts]
    for end, start in sorted(zip(ends, starts, strict=True)):
        order.insert(end, start)
    return transpose(x, order)


@differentiable
def broadcast_to(x: Tensor, shape: Shape) -> Lifted:
    """Repeat axes of length 1 (and add leading ones) until the shape is `shape`.

    ``y[i, j] = x[i, 0]`` for an axis of length 1, ``y[i, j] = x[j]`` for one that is added.

    Parameters
    ----------
    x : Tensor
        A shape that broadcasts to `shape`.
    shape : tuple of int
        The new shape.

    Returns
    -------
    Tensor
        A view; its gradient sums over what was repeated.

    Raises
    ------
    ShapeError
        If `x` does not broadcast to `shape`.
    """
    before, after = x.shape, wholes("broadcast_to", "shape", shape)
    try:
        y = array_module(x.data).broadcast_to(x.data, after)
    except ValueError:
        raise ShapeError(
            f"broadcast_to: {before} does not broadcast to {after}; axes must be equal or 1, "
            "counted from the last"
        ) from None
    # x[i] is copied to several y: dL/dx[i] = sum of dL/dy over its copies
    return y, (lambda g: sum_to(g, before),)


@composed
def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """Sum over axes until the shape is `shape`: what broadcasting's gradient needs.

    ``y[i, 0] = sum_j x[i, j]`` for an axis of length 1, ``y[j] = sum_i x[i, j]`` for a missing one.

    Parameters
    ----------
    x : Tensor
        A shape to which `shape` broadcasts.
    shape : tuple of int
        The new shape.

    Returns
    -------
    Tensor
        `x` itself where nothing is to be summed.

    Raises
    ------
    ShapeError
        If `shape` does not broadcast to x's.
    """
    if x.shape == shape:
        return x
    added = x.ndim - len(shape)
    if added < 0 or any(n not in (1, m) for n, m in zip(shape, x.shape[added:], strict=True)):
        raise ShapeError(
            f"sum_to: {shape} does not broadcast to x's shape {x.shape}, so nothing can be summed "
            "to it; axes must be equal or 1, counted from the last"
        )
    return _sum_to(x, shape)


@differentiable
def _sum_to(x: Tensor, shape: Shape) -> Lifted:
    before = x.shape
    added = len(before) - len(shape)
    repeated = tuple(i for i, n in enumerate(before) if i < added or shape[i - added] != n)
    y = kernels_worth(x.data).sum_over(x.data, repeated).reshape(shape)
    # x[i] is a summand of one y: dL/dx[i] = dL/dy of that sum
    return y, (lambda g: broadcast_to(g, before),)


@composed
def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """Drop axes of length 1: ``y[i, j] = x[i, 0, j]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Which; by default all of length 1.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ShapeError
        If a named axis is not there or longer than 1.
    """
    x = tensor_of(x)
    if axis is None:
        return reshape(x, tuple(n for n in x.shape if n != 1))
    drop = axes_of("squeeze", axis, x.shape)
    if any(x.shape[a] != 1 for a in drop):
        raise ShapeError(
            f"squeeze: axis {axis} of shape {x.shape} is longer than 1; only axes of length 1 can "
            "be dropped"
        )
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in drop))


@composed
def expand_dims(x: Tensor, axis: int | Sequence[int]) -> Tensor:
    """Insert axes of length 1 at the places `axis` of the result: ``y[i, 0, j] = x[i, j]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or sequence of int
        Their places in the result; negative counts from the end.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ShapeError
        If a place does not exist, or is named twice.
    """
    x = tensor_of(x)
    given = wholes("expand_dims", "axis", axis)
    rank = x.ndim + len(given)
    at = {a % rank for a in given if -rank <= a < rank}
    if len(at) < len(given):
        raise ShapeError(
            f"expand_dims: axis {axis} does not name places in a result of {rank} axes (x has "
            f"shape {x.shape}); use {-rank} ... {rank - 1}, each once"
        )
    rest = iter(x.shape)
    return reshape(x, tuple(1 if i in at else next(rest) for i in range(rank)))


@differentiable
def flip(x: Tensor, axis: Axis = None) -> Lifted:
    """Turn the elements around along axes: ``y[i] = x[n - 1 - i]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, optional
        Along which axes; by default all.

    Returns
    -------
    Tensor
        A view; its gradient is turned around again.
    """
    axes = axes_of("flip", axis, x.shape)
    y = x.data[tuple(slice(None, None, -1 if i in axes else 1) for i in range(x.ndim))]
    # y[i] = x[n - 1 - i]: dL/dx[i] = dL/dy[n - 1 - i]
    return array_module(x.data).asarray(y), (lambda g: flip(g, axes),)


@differentiable
def roll(x: Tensor, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Lifted:
    """Shift the elements along axes; what leaves at one end comes in at the other.

    Parameters
    ----------
    x : Tensor
        Any shape.
    shift : int or sequence of int
        By how many places, towards higher indices; may be negative.
    axis : int or sequence of int, optional
        Along which axes, one for each shift (one shift serves all of them); by default the
        elements are one row, in C order.

    Returns
    -------
    Tensor
        ``y[(i + shift) % n] = x[i]``; its gradient is shifted back.

    Raises
    ------
    ConfigError
        If there are several shifts, and not as many axes.
    """
    shifts = wholes("roll", "shift", shift)
    if axis is None:
        axes, count = None, 1
    else:
        axes = tuple(axis_of("roll", a, x.shape) for a in wholes("roll", "axis", axis))
        count = len(axes)
    if len(shifts) not in (1, count):
        raise ConfigError(
            f"roll: shift {shift} and axis {axis} do not fit (x has shape {x.shape}); give one "
            "shift, or one for each axis"
        )
    if len(shifts) < count:
        shifts *= count
    # y[(i + shift) % n] = x[i]: dL/dx[i] = dL/dy[(i + shift) % n], which is a shift back
    back = tuple(-s for s in shifts)
    if axes is None:
        return array_module(x.data).roll(x.data, shifts[0]), (lambda g: roll(g, back),)
    y = array_module(x.data).roll(x.data, shifts, axes) if axes else x.data
    return y, (lambda g: roll(g, back, axes),)


@differentiable
def astype(x: Tensor, dtype: Any) -> Lifted:
    """Convert the elements to another type: ``y = x``, as far as that can hold it.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dtype : dtype
        The new type. Gradients flow between float types only.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    DTypeError
        If there is no such type of numbers.
    """
    before = x.dtype
    y = x.data.astype(dtype_of("astype", dtype))
    # y = x but for rounding: dL/dx = dL/dy, in x's type
    return y, ((lambda g: astype(g, before)) if y.dtype.kind == "f" else None,)
