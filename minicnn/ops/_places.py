"""Where arrays of indices point: checks, and the rows they mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.autograd._checks import axis_of, one_device, tensor_of, whole
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, DTypeError, ShapeError

Indices = Any  # a Tensor, an ndarray or a list, of whole numbers


def whole_numbers(op: str, indices: Array) -> Array:
    """Return indices as int64; refuse fractions and masks."""
    if indices.dtype.kind not in "iu" and indices.size:
        raise DTypeError(
            f"{op}: indices {indices.shape} are {indices.dtype}; they must be whole numbers, use "
            ".astype('int64')"
        )
    return indices.astype(np.int64, copy=False)


def indices_of(op: str, indices: Indices, x: Tensor) -> Array:
    """Return indices as int64, on the device of x."""
    given = tensor_of(indices)
    if isinstance(indices, Tensor):
        one_device(op, x=x, indices=given)
    return whole_numbers(op, array_module(x.data).asarray(given.data))


def within(op: str, indices: Array, x: Tensor, axis: int, in_rows: bool = False) -> Array:
    """Return indices along an axis of x counted from the front; refuse those that do not fit.

    The indices in rows are along that axis, the next one, and so on.
    """
    xp = array_module(indices)
    lengths = xp.asarray(x.shape[axis:][: indices.shape[-1]] if in_rows else x.shape[axis])
    wrong = (indices < -lengths) | (indices >= lengths)
    if wrong.any():
        place = first(wrong)
        at = axis + (place[-1] if in_rows else 0)
        raise ShapeError(
            f"{op}: index {int(indices[place])} at {place} of indices {indices.shape} does not fit "
            f"axis {at} of x {x.shape}; use {-x.shape[at]} ... {x.shape[at] - 1}"
        )
    return xp.where(indices < 0, indices + lengths, indices)


def first(found: Array) -> tuple[int, ...]:
    """Return the first place of a mask that is true."""
    return tuple(int(i) for i in np.unravel_index(int(found.argmax()), found.shape))


def places_along(
    op: str, x: Tensor, indices: Indices, axis: int, order: Sequence[int] | None = None
) -> Array:
    """Return which element of x each index along an axis means.

    They are counted in C order, or as if x had its axes in another `order`.
    """
    at, numbers = axis_of(op, axis, x.shape), indices_of(op, indices, x)
    if numbers.ndim != x.ndim or any(
        k > n for i, (k, n) in enumerate(zip(numbers.shape, x.shape, strict=True)) if i != at
    ):
        raise ShapeError(
            f"{op}: indices {numbers.shape} must have as many axes as x {x.shape}, and be no "
            f"longer than it along others than axis {at}; reshape them"
        )
    numbers = within(op, numbers, x, at)
    xp, places, step = array_module(numbers), numbers * 0, 1
    for i in reversed(range(x.ndim) if order is None else order):
        along = [1] * x.ndim
        along[i] = numbers.shape[i]
        own = numbers if i == at else xp.arange(numbers.shape[i]).reshape(along)
        places = places + own * step
        step *= x.shape[i]
    return places


def places_by_rows(op: str, x: Tensor, indices: Indices, batch_dims: int) -> tuple[Array, int]:
    """Return which part of x each row of indices means, and how many axes count the parts."""
    numbers, batch = indices_of(op, indices, x), whole(op, "batch_dims", batch_dims)
    if not 0 <= batch <= min(x.ndim, numbers.ndim - 1):
        raise ConfigError(
            f"{op}: x {x.shape} and indices {numbers.shape} have no {batch} batch axes (the last "
            "axis of the indices is not one)"
        )
    end = batch + numbers.shape[-1]
    if end > x.ndim or numbers.shape[:batch] != x.shape[:batch]:
        raise ShapeError(
            f"{op}: indices {numbers.shape} do not fit x {x.shape}; their first {batch} axes must "
            f"be x's, and their last no longer than the {x.ndim - batch} axes x has behind those"
        )
    numbers = within(op, numbers, x, batch, in_rows=True)
    xp, lead = array_module(numbers), numbers.shape[:batch]
    places = xp.arange(math.prod(lead)).reshape(lead + (1,) * (numbers.ndim - 1 - batch))
    for k in range(numbers.shape[-1]):
        places = places * x.shape[batch + k] + numbers[..., k]
    return xp.broadcast_to(places, numbers.shape[:-1]), end


def extremes_at(x: Array, updates: Array, places: Array, reduction: str) -> Array:
    """Return x with the largest (or smallest) of each row and its updates."""
    xp = array_module(x)
    put = {"max": xp.maximum, "min": xp.minimum}[reduction].at
    # CuPy compares what CUDA's atomics do: no halves, and of 64-bit whole numbers unsigned ones.
    if x.dtype == np.float16:
        y = x.astype(np.float32)
        put(y, places, updates.astype(np.float32))
        return y.astype(x.dtype)
    if xp is np or x.dtype.kind == "f":
        y = x.copy()
        put(y, places, updates)
        return y
    lowest = np.uint64(1 << 63)  # with it added, the order of unsigned numbers is that of signed
    y = x.astype(np.int64).view(np.uint64) + lowest
    put(y, places, updates.astype(np.int64).view(np.uint64) + lowest)
    return (y - lowest).view(np.int64).astype(x.dtype)


def last_of_each(places: Array) -> Array:
    """Return where each place is named for the last time."""
    xp = array_module(places)
    order = xp.argsort(places, kind="stable")
    last = xp.ones(places.size, bool)
    last[:-1] = places[order][1:] != places[order][:-1]
    return order[last]
