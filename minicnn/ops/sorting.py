"""Sorting, and finding the largest few.

NaN counts as larger than every number, and of equal elements the one with the lowest index comes
first, whichever way the order goes: the same input gives the same order everywhere.
"""

from __future__ import annotations

from minicnn.autograd import Tensor, composed
from minicnn.autograd._checks import axis_of, tensor_of, whole
from minicnn.backend import Array, array_module
from minicnn.errors import ShapeError
from minicnn.ops.indexing import take_along_axis

__all__ = ["argsort", "sort", "top_k"]

_FEW = 8  # of more than that many times k, the k largest are found before they are sorted


@composed
def sort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    """Sort along an axis: ``y[i] = x[p[i]]`` with the order p that makes ``y[0] <= y[1] <= ...``.

    Parameters
    ----------
    x : Tensor
        Any shape with axes.
    axis : int, default -1
        Along which axis.
    descending : bool, default False
        Whether the largest comes first.

    Returns
    -------
    Tensor
        Of x's shape; each element takes its gradient back to where it came from. NaN counts as
        larger than every number.
    """
    x = tensor_of(x)
    at = axis_of("sort", axis, x.shape)
    return take_along_axis(x, _order(x.data, at, descending), at)


@composed
def argsort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    """Return the indices that sort x along an axis: ``x[y[0]] <= x[y[1]] <= ...``.

    Parameters
    ----------
    x : Tensor
        Any shape with axes.
    axis : int, default -1
        Along which axis.
    descending : bool, default False
        Whether the largest comes first.

    Returns
    -------
    Tensor of int64
        Of x's shape, without a gradient. Of equal elements the one with the lowest index comes
        first; NaN counts as larger than every number.
    """
    x = tensor_of(x)
    return Tensor(_order(x.data, axis_of("argsort", axis, x.shape), descending))


@composed
def top_k(
    x: Tensor, k: int, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """Find the k largest (or smallest) elements along an axis: ``values[i] = x[indices[i]]``.

    No other element is larger (or smaller) than one of them.

    Parameters
    ----------
    x : Tensor
        Any shape with axes.
    k : int
        How many, from 0 to the axis's length.
    axis : int, default -1
        Along which axis.
    largest : bool, default True
        Whether the largest are wanted, or the smallest.
    sorted : bool, default True
        Whether they come in order, the best first; else in order of their indices, which is
        cheaper.

    Returns
    -------
    values : Tensor
        Of x's shape, k long along the axis; the gradient goes to the elements found.
    indices : Tensor of int64
        Where they are. Of equal elements those with the lowest indices are taken, the lowest
        first; NaN counts as larger than every number.

    Raises
    ------
    ShapeError
        If there are not k elements.
    """
    x, k = tensor_of(x), whole("top_k", "k", k)
    at = axis_of("top_k", axis, x.shape)
    if not 0 <= k <= x.shape[at]:
        raise ShapeError(
            f"top_k: k {k} must be from 0 to {x.shape[at]}, the length of axis {axis} of x "
            f"{x.shape}"
        )
    xp = array_module(x.data)
    indices = xp.moveaxis(_best(xp.moveaxis(x.data, at, -1), k, largest, sorted), -1, at)
    return take_along_axis(x, indices, at), Tensor(indices)


def _order(x: Array, axis: int, descending: bool) -> Array:
    """Return the indices that sort x, lower ones first among equals."""
    xp = array_module(x)
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable")
    # Turned around twice, so that equal elements keep their order.
    return x.shape[axis] - 1 - xp.flip(xp.argsort(xp.flip(x, axis), axis, kind="stable"), axis)


def _best(x: Array, k: int, largest: bool, sorted: bool) -> Array:
    """Return the indices (..., k) of the k best of each row (..., N)."""
    xp, n = array_module(x), x.shape[-1]
    if k * _FEW >= n or not k:
        found = _order(x, -1, largest)[..., :k]
        return found if sorted else xp.sort(found, axis=-1)
    # The k-th best is the limit: all that are better are in, and the first of those that equal it.
    at = n - k if largest else k - 1
    limit = xp.partition(x, at, axis=-1)[..., at : at + 1]
    lost, bounded = x != x, limit != limit
    better = (x > limit) | (lost & ~bounded) if largest else (x < limit) | (bounded & ~lost)
    equal = (x == limit) | (lost & bounded)
    left = k - better.sum(axis=-1, keepdims=True)
    chosen = better | (equal & (xp.cumsum(equal, axis=-1) <= left))
    found = xp.nonzero(chosen)[-1].reshape(*x.shape[:-1], k)
    if sorted:
        order = _order(xp.take_along_axis(x, found, -1), -1, largest)
        found = xp.take_along_axis(found, order, -1)
    return found
