"""Reading and writing at places that arrays of indices name.

A tensor is seen as rows (M, B), and every op here works out which rows its indices mean. What is
left is to take rows, to add to them, or to replace them: three moves, each the other's gradient.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from minicnn.autograd import (
    Lifted,
    Tensor,
    composed,
    concatenate,
    differentiable,
    multiply,
    reshape,
    transpose,
)
from minicnn.autograd._checks import Shape, axis_of, dtype_of, one_device, tensor_of, whole
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops._places import (
    Indices,
    extremes_at,
    first,
    indices_of,
    last_of_each,
    places_along,
    places_by_rows,
    whole_numbers,
    within,
)

__all__ = [
    "Combine", "gather", "gather_nd", "one_hot", "scatter_add", "scatter_elements", "scatter_nd",
    "take_along_axis",
]  # fmt: skip

Combine = Literal["none", "add", "mul", "max", "min"]


@composed
def gather(x: Tensor, indices: Indices, axis: int = 0) -> Tensor:
    """Take slices along an axis: ``y[..., k, ...] = x[..., indices[k], ...]``, as numpy.take.

    Parameters
    ----------
    x : Tensor
        Any shape with axes.
    indices : Tensor or ndarray of int, any shape
        Which slices; negative ones count from the end.
    axis : int, default 0
        Along which axis.

    Returns
    -------
    Tensor
        Of x's shape, with the shape of `indices` in place of the axis. A slice that is taken
        twice gets the sum of both gradients.
    """
    x = tensor_of(x)
    at = axis_of("gather", axis, x.shape)
    places = within("gather", indices_of("gather", indices, x), x, at)
    order, many = _memory_order(x), places.ndim
    x, at = transpose(x, order), order.index(at)
    lead, rest = x.shape[:at], x.shape[at + 1 :]
    starts = array_module(x.data).arange(math.prod(lead))[:, None] * x.shape[at]
    y = _take_rows(_rows(x, at + 1), (starts + places.reshape(-1)).reshape(-1))
    y = reshape(y, (*lead, *places.shape, *rest))
    # The places' axes stand where the axis was; each axis of x goes back.
    found = [a if a < order[at] else a - 1 + many for a in order if a != order[at]]
    found[at:at] = range(order[at], order[at] + many)
    return transpose(y, sorted(range(y.ndim), key=found.__getitem__))


@composed
def take_along_axis(x: Tensor, indices: Indices, axis: int = -1) -> Tensor:
    """Take one element for each index: ``y[i, j] = x[i, indices[i, j]]`` along the last axis.

    Parameters
    ----------
    x : Tensor
        Any shape with axes.
    indices : Tensor or ndarray of int
        As many axes as x, and along the others no longer than it (where they are shorter, the
        rest of x is not read; nothing is broadcast). Negative ones count from the end.
    axis : int, default -1
        Along which axis the indices point.

    Returns
    -------
    Tensor
        Of the shape of `indices`. An element that is taken twice gets the sum of both gradients.

    Raises
    ------
    ShapeError
        If an index, or the shape of the indices, does not fit.
    """
    x = tensor_of(x)
    order = _memory_order(x)
    places = places_along("take_along_axis", x, indices, axis, order).transpose(order)
    y = _take_rows(_rows(transpose(x, order), x.ndim), places.reshape(-1))
    return transpose(reshape(y, places.shape), sorted(range(x.ndim), key=order.__getitem__))


@composed
def gather_nd(x: Tensor, indices: Indices, batch_dims: int = 0) -> Tensor:
    """Take the parts that rows of indices name: ``y[k] = x[indices[k, 0], indices[k, 1], ...]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    indices : Tensor or ndarray of int, shape (..., D)
        Indices along the first D axes of x (those after the batch); negative ones count from the
        end.
    batch_dims : int, default 0
        How many leading axes x and `indices` share, element by element.

    Returns
    -------
    Tensor
        Of shape ``indices.shape[:-1] + x.shape[batch_dims + D:]``. A part that is taken twice
        gets the sum of both gradients.

    Raises
    ------
    ConfigError
        If there are not so many batch axes.
    ShapeError
        If an index, or the shape of the indices, does not fit.
    """
    x = tensor_of(x)
    places, end = places_by_rows("gather_nd", x, indices, batch_dims)
    return reshape(_take_rows(_rows(x, end), places.reshape(-1)), (*places.shape, *x.shape[end:]))


@composed
def scatter_add(x: Tensor, indices: Indices, updates: Tensor, axis: int = 0) -> Tensor:
    """Add one number for each index: ``y[indices[i, j], j] += updates[i, j]`` along the first axis.

    Parameters
    ----------
    x : Tensor
        What is added to.
    indices : Tensor or ndarray of int
        As many axes as x, and along the others no longer than it. Negative ones count from the
        end.
    updates : Tensor
        Of the shape of `indices`.
    axis : int, default 0
        Along which axis the indices point.

    Returns
    -------
    Tensor
        Of x's shape, a copy; what falls on one place is added up in C order, always the same.
    """
    return _scattered_along("scatter_add", x, indices, updates, axis, "add")


@composed
def scatter_elements(
    x: Tensor, indices: Indices, updates: Tensor, axis: int = 0, reduction: Combine = "none"
) -> Tensor:
    """Write one number for each index: ``y[indices[i, j], j] = updates[i, j]`` on the first axis.

    Parameters
    ----------
    x : Tensor
        What is written to.
    indices : Tensor or ndarray of int
        As many axes as x, and along the others no longer than it. Negative ones count from the
        end.
    updates : Tensor
        Of the shape of `indices`.
    axis : int, default 0
        Along which axis the indices point.
    reduction : {"none", "add", "mul", "max", "min"}
        What becomes of what was there: overwritten (by the last one in C order, which alone gets
        a gradient), or combined with all that fall there. In a maximum, those that tie share the
        gradient.

    Returns
    -------
    Tensor
        Of x's shape, a copy.
    """
    return _scattered_along("scatter_elements", x, indices, updates, axis, reduction)


@composed
def scatter_nd(x: Tensor, indices: Indices, updates: Tensor, reduction: Combine = "none") -> Tensor:
    """Write the parts that rows of indices name: ``y[indices[k, 0], indices[k, 1]] = updates[k]``.

    Parameters
    ----------
    x : Tensor
        What is written to.
    indices : Tensor or ndarray of int, shape (..., D)
        Indices along the first D axes of x; negative ones count from the end.
    updates : Tensor
        Of shape ``indices.shape[:-1] + x.shape[D:]``.
    reduction : {"none", "add", "mul", "max", "min"}
        What becomes of what was there: overwritten (by the last one in C order, which alone gets
        a gradient), or combined with all that fall there. In a maximum, those that tie share the
        gradient.

    Returns
    -------
    Tensor
        Of x's shape, a copy.
    """
    x = tensor_of(x)
    places, end = places_by_rows("scatter_nd", x, indices, 0)
    shape = (*places.shape, *x.shape[end:])
    return _scattered("scatter_nd", x, places, shape, updates, end, reduction)


@composed
def one_hot(
    indices: Indices,
    depth: int,
    axis: int = -1,
    on: float = 1.0,
    off: float = 0.0,
    dtype: npt.DTypeLike = np.float32,
    outside: Literal["error", "off", "wrap"] = "error",
) -> Tensor:
    """Write whole numbers as rows that are `on` at the number's place and `off` elsewhere.

    ``y[i, k] = on if k == indices[i] else off``.

    Parameters
    ----------
    indices : Tensor or ndarray of int
        The numbers.
    depth : int
        How long the rows are.
    axis : int, default -1
        Where they go in the result.
    on, off : number, default 1 and 0
        The two values.
    dtype : dtype, default float32
        The result's type.
    outside : {"error", "off", "wrap"}
        What a number below 0 or not below `depth` gets: an error, so that a label of -1 is never
        taken for the last class; a row of `off`; or, as in ONNX, from -depth on it counts from
        the end, and beyond gets a row of `off`.

    Returns
    -------
    Tensor
        One axis more than the indices, without a gradient.

    Raises
    ------
    ConfigError
        If a number is outside, or an option is not of its form.
    """
    given = tensor_of(indices)
    numbers = whole_numbers("one_hot", given.data)
    xp, depth = array_module(numbers), whole("one_hot", "depth", depth)
    at = axis_of("one_hot", axis, (*numbers.shape, depth))
    if depth < 0 or outside not in ("error", "off", "wrap"):
        raise ConfigError(
            f"one_hot: needs depth >= 0 and outside 'error', 'off' or 'wrap', got {depth} and "
            f"{outside!r}"
        )
    if outside == "error" and (wrong := (numbers < 0) | (numbers >= depth)).any():
        place = first(wrong)
        raise ConfigError(
            f"one_hot: index {int(numbers[place])} at {place} of indices {numbers.shape} is "
            f"outside 0 ... {depth - 1}; mend it, or say what it gets by outside='off' or 'wrap'"
        )
    if outside == "wrap":
        numbers = xp.where(numbers < 0, numbers + depth, numbers)
    column = xp.arange(depth).reshape(depth, *[1] * (numbers.ndim - at))
    wins = xp.expand_dims(numbers, at) == column
    kind = dtype_of("one_hot", dtype).type
    return Tensor(xp.where(wins, kind(on), kind(off)))


def _memory_order(x: Tensor) -> list[int]:
    """Return the axes as they lie in memory: seen so, channels-last images need no copy."""
    return sorted(range(x.ndim), key=lambda a: -abs(x.data.strides[a]))


def _rows(x: Tensor, lead: int) -> Tensor:
    """Return x (..., ...) as rows (M, B): its first `lead` axes in one, the others in one."""
    return reshape(x, (math.prod(x.shape[:lead]), math.prod(x.shape[lead:])))


# y[k] = x[places[k]] and y[places[k]] += x[k] are each other's transpose:
#     dL/dx[m] = sum of dL/dy[k] over the k with places[k] = m,   dL/dx[k] = dL/dy[places[k]].
@differentiable
def _take_rows(x: Tensor, places: Array) -> Lifted:
    rows = len(x)
    y = array_module(x.data).take(x.data, places, axis=0)
    return y, (lambda g: _add_rows(g, places, rows),)


@differentiable
def _add_rows(x: Tensor, places: Array, rows: int) -> Lifted:
    y = kernels_for(x.data).add_rows(x.data, places, rows)
    return y, (lambda g: _take_rows(g, places),)


# Each place at most once. A row of y is a row of `updates` where there is one, else of x:
#     dL/dx = dL/dy with zeros at the places,   dL/dupdates[k] = dL/dy[places[k]].
@differentiable
def _replace_rows(x: Tensor, updates: Tensor, places: Array) -> Lifted:
    y = x.data.copy()
    y[places] = updates.data
    nothing = Tensor(array_module(y).zeros_like(updates.data))
    return y, (
        lambda g: _replace_rows(g, nothing, places),
        lambda g: _take_rows(g, places),
    )


# The gradient goes to those that equal the result, in equal shares.
@differentiable
def _extreme_rows(x: Tensor, updates: Tensor, places: Array, reduction: str) -> Lifted:
    y = extremes_at(x.data, updates.data, places, reduction)

    def shares() -> tuple[Array, Array]:
        x_wins, u_wins = (a == b for a, b in ((x.data, y), (updates.data, y[places])))
        x_wins, u_wins = x_wins | (x.data != x.data), u_wins | (updates.data != updates.data)
        winners = x_wins + kernels_for(y).add_rows(u_wins.astype(np.float64), places, len(y))
        return (x_wins / winners).astype(y.dtype), (u_wins / winners[places]).astype(y.dtype)

    return y, (
        lambda g: g * Tensor(shares()[0]),
        lambda g: _take_rows(g, places) * Tensor(shares()[1]),
    )


def _scattered_along(
    op: str, x: Tensor, indices: Indices, updates: Tensor, axis: int, reduction: Combine
) -> Tensor:
    x = tensor_of(x)
    places = places_along(op, x, indices, axis)
    return _scattered(op, x, places, places.shape, updates, x.ndim, reduction)


def _scattered(
    op: str, x: Tensor, places: Array, shape: Shape, updates: Tensor, lead: int, reduction: Combine
) -> Tensor:
    """Combine rows of x, of which the first `lead` axes count the rows, with updates."""
    updates = tensor_of(updates)
    one_device(op, x=x, updates=updates)
    if reduction not in ("none", "add", "mul", "max", "min"):
        raise ConfigError(
            f"{op}: reduction must be 'none', 'add', 'mul', 'max' or 'min', got {reduction!r}"
        )
    if updates.shape != shape:
        raise ShapeError(
            f"{op}: updates have shape {updates.shape}, but x {x.shape} and the indices need "
            f"{shape}; reshape or broadcast them"
        )
    if updates.dtype != x.dtype:
        raise DTypeError(
            f"{op}: x {x.shape} is {x.dtype}, updates {updates.shape} are {updates.dtype}; use "
            ".astype on one"
        )
    at, rows = places.reshape(-1), _rows(x, lead)
    new = reshape(updates, (at.size, rows.shape[1]))
    if reduction == "add":
        y = rows + _add_rows(new, at, len(rows))
    elif reduction in ("max", "min"):
        y = _extreme_rows(rows, new, at, reduction)
    elif reduction == "mul":
        new, at = _products(new, at)
        y = _replace_rows(rows, multiply(_take_rows(rows, at), new), at)
    else:
        last = last_of_each(at)
        y = _replace_rows(rows, _take_rows(new, last), at[last])
    return reshape(y, x.shape)


def _products(updates: Tensor, places: Array) -> tuple[Tensor, Array]:
    """Multiply the updates of each place: pairs of them, and the pairs' products, and so on.

    Nothing is divided, so zeros do no harm to the gradient, of any order.
    """
    xp = array_module(places)
    order = xp.argsort(places, kind="stable")
    updates, places = _take_rows(updates, order), places[order]
    while True:
        number = xp.arange(places.size) - xp.searchsorted(places, places)  # 0, 1, ... at each place
        if not number.any():
            return updates, places
        left = xp.nonzero(number % 2 == 0)[0]
        paired = xp.append(number, 0)[left + 1] % 2 == 1
        ones = Tensor(xp.ones((1, updates.shape[1]), updates.dtype))
        partners = xp.where(paired, left + 1, places.size)
        others = _take_rows(concatenate([updates, ones]), partners)
        updates, places = multiply(_take_rows(updates, left), others), places[left]
