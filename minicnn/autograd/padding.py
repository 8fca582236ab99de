"""Surrounding a tensor with more elements: a constant, or copies of its own."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence

import numpy as np

from minicnn.autograd.indexing import getitem
from minicnn.autograd.shaping import reshape
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.autograd.watching import composed
from minicnn.backend import array_module
from minicnn.errors import ConfigError, DTypeError, ShapeError

MODES = ("constant", "reflect", "edge", "wrap")


@composed
def pad(
    x: Tensor, widths: Sequence[tuple[int, int]], mode: str = "constant", value: float = 0.0
) -> Tensor:
    """Surround with a constant, or with copies of elements of its own.

    What is there stays: ``y[before + i] = x[i]``. Along an axis that holds ``a b c``, two more
    before and after are

    ========  =================  ======================================
    constant  ``v v a b c v v``  `value`
    edge      ``a a a b c c c``  the outermost element
    reflect   ``c b a b c b a``  a mirror on the outermost element
    wrap      ``b c a b c a b``  the axis again
    ========  =================  ======================================

    and so on where more are wanted than there are, as `numpy.pad` has it. A negative width cuts
    elements off, before anything is added.

    Parameters
    ----------
    x : Tensor
        Any shape.
    widths : sequence of (int, int)
        Elements to add before and after each axis.
    mode : {"constant", "reflect", "edge", "wrap"}, default "constant"
        What to add.
    value : float, default 0
        The constant.

    Returns
    -------
    Tensor
        Axis i is longer by ``sum(widths[i])``. The gradient of an element is the sum over its
        copies.

    Raises
    ------
    ShapeError
        If there is not one pair for each axis, more is cut off than is there, or there is nothing
        to copy.
    DTypeError
        If `value` does not fit the tensor's type.
    ConfigError
        If there is no such mode, or `value` is not a number.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    pairs = _pairs(x, widths)
    if mode not in MODES:
        raise ConfigError(f"pad: mode must be one of {', '.join(MODES)}, got {mode!r}")
    _check_value(x, value)
    if any(n < 0 for both in pairs for n in both):
        x = getitem(x, tuple(_cut(n, *both) for n, both in zip(x.shape, pairs, strict=True)))
    pairs = tuple((max(before, 0), max(after, 0)) for before, after in pairs)
    if mode == "constant":
        return _surround(x, pairs, value)
    y = reshape(x, x.shape)  # a result of its own, even if there is nothing to do
    for axis, (before, after) in enumerate(pairs):
        if before or after:
            if not x.shape[axis]:
                raise ShapeError(
                    f"pad: mode {mode!r} needs elements to copy, x {x.shape} has none along axis "
                    f"{axis}"
                )
            y = _repeat(y, axis, _sources(mode, x.shape[axis], before, after), before)
    return y


def _pairs(x: Tensor, widths: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the widths as pairs of ints, or refuse them."""
    try:
        pairs = tuple((operator.index(before), operator.index(after)) for before, after in widths)
    except (TypeError, ValueError):
        pairs = ((0, 0),) * (x.ndim + 1)
    if len(pairs) != x.ndim:
        raise ShapeError(
            f"pad: widths {widths} must be one pair of ints (before, after) for each axis of "
            f"{x.shape}"
        )
    if any(n + min(b, 0) + min(a, 0) < 0 for n, (b, a) in zip(x.shape, pairs, strict=True)):
        raise ShapeError(f"pad: widths {widths} cut off more than x {x.shape} has")
    return pairs


def _check_value(x: Tensor, value: float) -> None:
    """Refuse a constant that is no number, or none of x's type."""
    if not isinstance(value, bool | int | float | np.number):
        raise ConfigError(f"pad: value must be a number, got {value!r}")
    if x.dtype.kind == "f":
        return
    limits = (0, 1) if x.dtype.kind == "b" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    if not (limits[0] <= value <= limits[1] and float(value).is_integer()):
        raise DTypeError(f"pad: value {value} does not fit {x.dtype}")


def _cut(length: int, before: int, after: int) -> slice:
    return slice(max(-before, 0), length - max(-after, 0))


def _sources(mode: str, length: int, before: int, after: int) -> list[int]:
    """Return the place that each element of a padded axis is copied from."""
    places = range(-before, length + after)
    if mode == "edge":
        return [min(max(i, 0), length - 1) for i in places]
    if mode == "wrap":
        return [i % length for i in places]
    period = max(2 * (length - 1), 1)  # there and back; an axis of one has but one place
    return [min(i % period, -i % period) for i in places]


@differentiable
def _surround(x: Tensor, widths: tuple[tuple[int, int], ...], value: float) -> Lifted:
    inside = tuple(
        slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)
    )
    shape = tuple(n + sum(both) for n, both in zip(x.shape, widths, strict=True))
    y = array_module(x.data).full_like(x.data, value, shape=shape)  # in x's memory order
    y[inside] = x.data
    # y[before + i] = x[i]: dL/dx[i] = dL/dy[before + i]; the border is constant
    return y, (lambda g: getitem(g, inside),)


# y[i] = x[sources[i]], so dL/dx[j] = sum of dL/dy[i] over the i with sources[i] = j: the inside as
# it is, and the border added to it.  The two ops below are each other's transpose.
@differentiable
def _repeat(x: Tensor, axis: int, sources: list[int], before: int) -> Lifted:
    length = x.shape[axis]
    shape = (*x.shape[:axis], len(sources), *x.shape[axis + 1 :])
    y = array_module(x.data).empty_like(x.data, shape=shape)
    taken, rows = y.swapaxes(0, axis), x.data.swapaxes(0, axis)
    taken[before : before + length] = rows
    for i in _border(sources, before, length):
        taken[i] = rows[sources[i]]
    return y, (lambda g: _gather_up(g, axis, sources, before, length),)


@differentiable
def _gather_up(x: Tensor, axis: int, sources: list[int], before: int, length: int) -> Lifted:
    rows = x.data.swapaxes(0, axis)
    y = rows[before : before + length].copy(order="K")
    for i in _border(sources, before, length):
        y[sources[i]] += rows[i]
    return y.swapaxes(0, axis), (lambda g: _repeat(g, axis, sources, before),)


def _border(sources: list[int], before: int, length: int) -> Iterator[int]:
    """Yield the places that were added."""
    yield from range(before)
    yield from range(before + length, len(sources))
