"""Taking parts of a tensor, and putting them back: each is the other's gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd._checks import Shape, wholes
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.backend import array_module, kernels_for
from minicnn.errors import DTypeError, ShapeError


@differentiable
def getitem(x: Tensor, index: Any) -> Lifted:
    """Take a part by slices, whole numbers, arrays or a mask, as NumPy does: ``y = x[index]``.

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
    index, before = _plain_index("getitem", index), x.shape
    try:
        y = x.data[index]
    except (IndexError, TypeError, ValueError) as error:
        raise ShapeError(f"getitem: index {index} does not fit shape {before}: {error}") from None
    # y[k] = x[index[k]]: dL/dx[i] = sum of dL/dy[k] over the k with index[k] = i
    return array_module(x.data).asarray(y), (lambda g: scatter(g, index, before),)


@differentiable
def scatter(x: Tensor, index: Any, shape: Shape) -> Lifted:
    """Add the elements of `x` into zeros at ``index``: the transpose of `getitem`.

    ``y[i] = sum of x[k] over the k with index[k] = i``.

    Parameters
    ----------
    x : Tensor
        Of the shape that ``zeros(shape)[index]`` has.
    index : Any
        NumPy's basic or advanced index; Tensors may be in it.
    shape : tuple of int
        The shape of the result.

    Returns
    -------
    Tensor
        Zero where the index does not point; sums, in order, where it points twice.

    Raises
    ------
    ShapeError
        If the index does not fit `shape`, or x is not of the shape it takes.
    """
    index, shape = _plain_index("scatter", index), wholes("scatter", "shape", shape)
    xp, basic = array_module(x.data), _is_basic(index)
    lead = len(shape) if basic else _leading_axes(index, len(shape))
    y = xp.zeros(shape, x.dtype) if basic else xp.arange(math.prod(shape[:lead]))
    try:
        part = y.reshape(shape[:lead])[index]
    except (IndexError, TypeError, ValueError) as error:
        raise ShapeError(f"scatter: index {index} does not fit shape {shape}: {error}") from None
    if x.shape != (takes := (*part.shape, *shape[lead:])):
        raise ShapeError(
            f"scatter: x has shape {x.shape}, but index {index} of shape {shape} takes {takes}; "
            "reshape x"
        )
    if basic:
        y[index] = x.data  # slices never meet an element twice
    else:
        rows = x.data.reshape(part.size, math.prod(shape[lead:]))
        y = kernels_for(x.data).add_rows(rows, part.reshape(-1), y.size).reshape(shape)
    # x[k] is a summand of y[index[k]]: dL/dx[k] = dL/dy[index[k]]
    return y, (lambda g: getitem(g, index),)


def _plain_index(op: str, index: Any) -> Any:
    """Replace Tensors and lists inside an index by arrays; refuse fractions."""
    if isinstance(index, tuple):
        return tuple(_plain_index(op, i) for i in index)
    index = index.data if isinstance(index, Tensor) else index
    if isinstance(index, list):
        try:
            index = np.asarray(index)
        except ValueError:
            raise ShapeError(
                f"{op}: index {index} is not one array; give rows of one length"
            ) from None
        index = index if index.size else index.astype(np.int64)
    if _kind(index) == "f":
        raise DTypeError(
            f"{op}: index {index} is of floats; use whole numbers (.astype('int64')), slices or a "
            "mask of bool"
        )
    return index


def _is_basic(index: Any) -> bool:
    """Tell whether an index is of slices and whole numbers alone."""
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, int | np.integer) and not isinstance(part, bool))
        for part in (index if isinstance(index, tuple) else (index,))
    )


def _leading_axes(index: Any, rank: int) -> int:
    """Return how many leading axes an index of arrays is about; all of them if it has slices too.

    The axes behind are moved as whole rows.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if any(part is None or part is Ellipsis or isinstance(part, slice) for part in parts):
        return rank
    return min(rank, sum(np.ndim(part) if _kind(part) == "b" else 1 for part in parts))


def _kind(part: Any) -> str:
    """Return the letter of a number's or an array's type: b, i, u or f."""
    dtype = getattr(part, "dtype", None)
    return (
        dtype.kind if dtype is not None else {bool: "b", int: "i", float: "f"}.get(type(part), "")
    )
