"""Ops that move elements without changing them; each is undone by its gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.backend import Array, array_module
from minicnn.errors import DTypeError, ShapeError

Shape = tuple[int, ...]


@differentiable
def reshape(x: Tensor, shape: int | Sequence[int]) -> Lifted:
    """Give the same elements, in C order, another shape.

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
    before = x.shape
    try:
        y = x.data.reshape(shape)
    except ValueError:
        raise ShapeError(
            f"reshape: {x.size} elements of shape {before} do not fill shape {shape}"
        ) from None
    return y, (lambda g: reshape(g, before),)


@differentiable
def transpose(x: Tensor, axes: Sequence[int] | None = None) -> Lifted:
    """Reorder the axes; by default reverse them.

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
    order = tuple(range(rank))[::-1] if axes is None else tuple(axes)
    order = tuple(a + rank if a < 0 else a for a in order)
    if sorted(order) != list(range(rank)):
        raise ShapeError(f"transpose: axes {axes} must name each axis of {x.shape} once")
    back = tuple(int(i) for i in np.argsort(order))
    return x.data.transpose(order), (lambda g: transpose(g, back),)


@differentiable
def broadcast_to(x: Tensor, shape: Shape) -> Lifted:
    """Repeat axes of length 1 (and add leading ones) until the shape is `shape`.

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
    before = x.shape
    try:
        y = array_module(x.data).broadcast_to(x.data, shape)
    except ValueError:
        raise ShapeError(
            f"broadcast_to: {before} does not broadcast to {shape}; axes must be equal or 1"
        ) from None
    return y, (lambda g: sum_to(g, before),)


def sum_to(x: Tensor, shape: Shape) -> Tensor:
    """Sum over axes until the shape is `shape`: what broadcasting's gradient needs.

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
    """
    return x if x.shape == shape else _sum_to(x, shape)


@differentiable
def _sum_to(x: Tensor, shape: Shape) -> Lifted:
    before = x.shape
    added = len(before) - len(shape)
    repeated = tuple(i for i, n in enumerate(before) if i < added or shape[i - added] != n)
    y = x.data.sum(axis=repeated, keepdims=True).reshape(shape)
    return y, (lambda g: broadcast_to(g, before),)


def squeeze(x: Tensor, axis: int | tuple[int, ...] | None = None) -> Tensor:
    """Drop axes of length 1.

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
    if axis is None:
        return reshape(x, tuple(n for n in x.shape if n != 1))
    named = (axis,) if isinstance(axis, int) else axis
    if any(not -x.ndim <= a < x.ndim or x.shape[a] != 1 for a in named):
        raise ShapeError(f"squeeze: shape {x.shape} has no axis {axis} of length 1")
    drop = {a % x.ndim for a in named}
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in drop))


def expand_dims(x: Tensor, axis: int) -> Tensor:
    """Insert an axis of length 1 before position `axis` of the result.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int
        Its place in the result; negative counts from the end.

    Returns
    -------
    Tensor
        A view.

    Raises
    ------
    ShapeError
        If the place does not exist.
    """
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise ShapeError(f"expand_dims: axis {axis} does not exist in {x.ndim + 1} axes")
    at = axis % (x.ndim + 1)
    return reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


@differentiable
def getitem(x: Tensor, index: Any) -> Lifted:
    """Take a part, by slices, whole numbers, arrays or a mask, as NumPy does.

    Parameters
    ----------
    x : Tensor
        Any shape.
    index : Any
        NumPy's basic or advanced index; Tensors may be in it.

    Returns
    -------
    Tensor
        A view for slices, a copy for arrays. An element taken twice gets both gradients.

    Raises
    ------
    ShapeError
        If the index does not fit the shape.
    """
    index = _plain_index(index)
    before = x.shape
    try:
        y = x.data[index]
    except IndexError as error:
        raise ShapeError(f"getitem: index {index} does not fit shape {before}: {error}") from None
    return array_module(x.data).asarray(y), (lambda g: scatter(g, index, before),)


@differentiable
def scatter(x: Tensor, index: Any, shape: Shape) -> Lifted:
    """Add the elements of `x` into zeros at ``index``: the transpose of `getitem`.

    Parameters
    ----------
    x : Tensor
        Of the shape that ``zeros(shape)[index]`` has.
    index : Any
        NumPy's basic or advanced index.
    shape : tuple of int
        The shape of the result.

    Returns
    -------
    Tensor
        Zero where the index does not point; sums where it points twice.

    Raises
    ------
    ShapeError
        If the index does not fit `shape`, or x is not of the shape it takes.
    """
    index = _plain_index(index)
    xp = array_module(x.data)
    y = xp.zeros(shape, x.dtype)
    try:
        part = y[index].shape
    except IndexError as error:
        raise ShapeError(f"scatter: index {index} does not fit shape {shape}: {error}") from None
    if part != x.shape:
        raise ShapeError(f"scatter: x has shape {x.shape}, but index {index} takes {part}")
    if _is_basic(index):
        y[index] = x.data  # slices never meet an element twice
    elif xp is np:
        np.add.at(y, index, x.data)
    else:
        xp.add.at(y, index, x.data)
    return y, (lambda g: getitem(g, index),)


def _plain_index(index: Any) -> Any:
    """Replace Tensors inside an index by their arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return index.data if isinstance(index, Tensor) else index


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, int | np.integer) and not isinstance(part, bool))
        for part in parts
    )


@differentiable
def astype(x: Tensor, dtype: Any) -> Lifted:
    """Convert the elements to another type.

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
    """
    before = x.dtype
    y = x.data.astype(dtype)
    return y, ((lambda g: astype(g, before)) if y.dtype.kind == "f" else None,)


@differentiable
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Lifted:
    """Join tensors along an axis they have.

    Parameters
    ----------
    tensors : sequence of Tensor
        Equal shapes but for `axis`.
    axis : int, default 0
        Along which axis.

    Returns
    -------
    Tensor
        Its length along `axis` is the sum of theirs.

    Raises
    ------
    ShapeError
        If there are none, or their other axes differ.
    """
    arrays = _arrays("concatenate", tensors)
    shapes = [a.shape for a in arrays]
    rank = len(shapes[0])
    if not rank or not -rank <= axis < rank:
        raise ShapeError(f"concatenate: axis {axis} does not exist in shape {shapes[0]}")
    at = axis % rank
    if len({(*s[:at], *s[at + 1 :]) for s in shapes}) > 1 or len({len(s) for s in shapes}) > 1:
        raise ShapeError(f"concatenate: shapes {shapes} differ in other axes than {axis}")
    ends = np.cumsum([s[at] for s in shapes]).tolist()
    parts = [
        (slice(None),) * at + (slice(end - s[at], end),)
        for end, s in zip(ends, shapes, strict=True)
    ]
    pull_backs = tuple((lambda g, part=part: getitem(g, part)) for part in parts)
    return array_module(arrays[0]).concatenate(arrays, axis=at), pull_backs


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors along a new axis.

    Parameters
    ----------
    tensors : sequence of Tensor
        Equal shapes.
    axis : int, default 0
        Where the new axis goes in the result.

    Returns
    -------
    Tensor
        One axis more; its length along `axis` is the number of tensors.

    Raises
    ------
    ShapeError
        If there are none, or their shapes differ.
    """
    shapes = [a.shape for a in _arrays("stack", tensors)]
    if len(set(shapes)) > 1:
        raise ShapeError(f"stack: shapes {shapes} differ; they must all be equal")
    return concatenate([expand_dims(_tensor(t), axis) for t in tensors], axis)


def _arrays(op: str, tensors: Sequence[Any]) -> list[Array]:
    if not isinstance(tensors, list | tuple) or not tensors:
        raise ShapeError(f"{op}: needs a list of at least one tensor, got {tensors!r}")
    return [_tensor(t).data for t in tensors]


def _tensor(t: Any) -> Tensor:
    return t if isinstance(t, Tensor) else Tensor(t)


def pad(x: Tensor, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Surround with a constant.

    Parameters
    ----------
    x : Tensor
        Any shape.
    widths : sequence of (int, int)
        Elements to add before and after each axis.
    value : float, default 0
        What to add.

    Returns
    -------
    Tensor
        Axis i is longer by ``sum(widths[i])``.

    Raises
    ------
    ShapeError
        If there is not one pair for each axis, or a width is negative.
    DTypeError
        If `value` does not fit the tensor's type.
    """
    pairs = tuple((int(before), int(after)) for before, after in widths)
    if len(pairs) != x.ndim or any(n < 0 for both in pairs for n in both):
        raise ShapeError(
            f"pad: widths {pairs} must be one pair (before, after) >= 0 for each axis of {x.shape}"
        )
    return _pad(x, pairs, value)


@differentiable
def _pad(x: Tensor, widths: tuple[tuple[int, int], ...], value: float) -> Lifted:
    if x.dtype.kind != "f" and value != int(value):
        raise DTypeError(f"pad: value {value} does not fit {x.dtype}")
    inside = tuple(
        slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)
    )
    shape = tuple(n + sum(both) for n, both in zip(x.shape, widths, strict=True))
    y = array_module(x.data).full(shape, value, x.dtype)
    y[inside] = x.data
    return y, (lambda g: getitem(g, inside),)
