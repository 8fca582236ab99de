"""Choosing elements by index, writing to them, and finding indices."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Array, Number, Table
from minicnn.interop.onnx._room import check_room


def gather(x: Tensor, indices: Array, *, axis: int = 0) -> Any:
    """Take whole slices."""
    return ops.gather(x, indices, axis)


def gather_elements(x: Tensor, indices: Array, *, axis: int = 0) -> Any:
    """Take one element for each index, along an axis."""
    return ops.take_along_axis(x, indices, axis)


def gather_nd(x: Tensor, indices: Array, *, batch_dims: int = 0) -> Any:
    """Take what the last axis of the indices points at."""
    return ops.gather_nd(x, indices, batch_dims)


def scatter_elements(
    x: Tensor,
    indices: Array,
    updates: Tensor,
    *,
    axis: int = 0,
    reduction: Literal["none", "add", "mul", "max", "min"] = "none",
) -> Any:
    """Write one element for each index, along an axis."""
    return ops.scatter_elements(x, indices, updates, axis, reduction)


def scatter_nd(
    x: Tensor,
    indices: Array,
    updates: Tensor,
    *,
    reduction: Literal["none", "add", "mul", "max", "min"] = "none",
) -> Any:
    """Write where the last axis of the indices points."""
    return ops.scatter_nd(x, indices, updates, reduction)


def non_zero(x: Array) -> Any:
    """Find what is not 0: one column for each."""
    xp = array_module(x)
    return xp.stack(xp.nonzero(xp.atleast_1d(x))).astype("int64")


def compress(x: Tensor, condition: Array, *, axis: int | None = None) -> Any:
    """Keep the slices, or the elements, that a condition chooses."""
    chosen = array_module(condition).nonzero(condition)[0]
    if axis is None:
        return ops.gather(x.reshape((-1,)), chosen, 0)
    return ops.gather(x, chosen, axis)


def unique(x: Array, *, axis: int | None = None, sorted: int = 1) -> Any:
    """Return the different elements or slices, where they are first, whose each is, how many."""
    if x.ndim == 0:
        x = x.reshape(1)
    y, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        y = np.take(y, order, 0 if axis is None else axis)
        first, inverse, counts = first[order], place[inverse], counts[order]
    return y, *(a.astype(np.int64) for a in (first, inverse, counts))


def one_hot(indices: Array, depth: Number, values: Array, *, axis: int = -1) -> Any:
    """Mark each index along a new axis; one outside the depth marks nothing."""
    depth = int(depth)
    check_room("OneHot", (*indices.shape, depth))
    off, on = values
    xp = array_module(indices)
    at = axis % (indices.ndim + 1)
    wide = xp.expand_dims(indices, at)
    classes = xp.arange(depth).reshape((-1, *(1,) * (indices.ndim - at)))
    inside = (wide >= -depth) & (wide < depth)
    return xp.where((wide % depth == classes) & inside, on, off).astype(values.dtype)


def top_k_by_attribute(x: Tensor, *, k: int, axis: int = -1) -> Any:
    """Find the largest elements, in opsets 1 to 9."""
    return ops.top_k(x, k, axis)


def top_k(
    x: Tensor, k: Number, *, axis: int = -1, largest: bool = True, sorted: bool = True
) -> Any:
    """Find the largest or smallest elements and their places."""
    return ops.top_k(x, int(k), axis, largest, sorted)


def tensor_scatter(
    cache: Tensor,
    update: Tensor,
    starts: Array = None,
    *,
    axis: int = -2,
    mode: Literal["linear", "circular"] = "linear",
) -> Any:
    """Write a piece of each sequence of a batch, from a place of its own on."""
    n, longest = cache.shape[0], cache.shape[axis]
    starts = np.zeros(n, np.int64) if starts is None else starts
    times = starts[:, None] + np.arange(update.shape[axis])  # (batch, time)
    if mode == "circular":
        times = times % longest
    shape = [1] * cache.ndim
    shape[0], shape[axis] = times.shape
    indices = np.broadcast_to(times.reshape(shape), update.shape)
    return ops.scatter_elements(cache, indices, update, axis)


OPERATORS: Table = {
    "Compress": compress,
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonZero": non_zero,
    "OneHot": one_hot,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TensorScatter": tensor_scatter,
    "TopK": {1: top_k_by_attribute, 10: top_k},
    "Unique": unique,
}
