"""What ops check at the door: axes, whole numbers, devices."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from minicnn.autograd.tensor import Tensor
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError

Shape = tuple[int, ...]
Axis = int | Iterable[int] | None


def tensor_of(x: Any) -> Tensor:
    """Return arrays, lists and numbers as Tensors, Tensors as they are."""
    return x if isinstance(x, Tensor) else Tensor(x)


def whole(op: str, name: str, value: Any) -> int:
    """Return a whole number as an int; refuse fractions, texts and truths."""
    try:
        return _whole(value)
    except TypeError:
        raise ConfigError(f"{op}: {name} must be a whole number, got {value!r}") from None


def wholes(op: str, name: str, values: Any) -> tuple[int, ...]:
    """Return one whole number, or a sequence of them, as a tuple."""
    try:
        return tuple(map(_whole, values if np.ndim(values) else (values,)))
    except (TypeError, ValueError):
        raise ConfigError(f"{op}: {name} must be whole numbers, got {values!r}") from None


def _whole(value: Any) -> int:
    number: Any = None if isinstance(value, bool) else value  # True is no number
    return operator.index(number)


def dtype_of(op: str, dtype: Any) -> np.dtype:
    """Return the type of numbers that is meant."""
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = np.dtype(object)
    if wanted.kind not in "biuf":
        raise DTypeError(
            f"{op}: {dtype!r} is no type of real numbers; name one, such as 'float32' or 'int64'"
        )
    return wanted


def axis_of(op: str, axis: Any, shape: Shape) -> int:
    """Return which axis of `shape` is meant, counted from the front."""
    at = whole(op, "axis", axis)
    rank = len(shape)
    if not -rank <= at < rank:
        has = f"its axes are {-rank} ... {rank - 1}" if rank else "a single number has no axes"
        raise ShapeError(f"{op}: axis {axis} does not fit shape {shape}; {has}")
    return at % rank


def axes_of(op: str, axis: Any, shape: Shape) -> tuple[int, ...]:
    """Return the axes that are meant, None for all, counted from the front and in order."""
    if axis is None:
        return tuple(range(len(shape)))
    axes = tuple(axis_of(op, a, shape) for a in wholes(op, "axis", axis))
    if len(set(axes)) < len(axes):
        raise ShapeError(f"{op}: axis {axis} names an axis of shape {shape} twice; name each once")
    return tuple(sorted(axes))


def kept(shape: Shape, axes: Shape) -> Shape:
    """Return the shape with length 1 along `axes`."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def count(shape: Shape, axes: Shape) -> int:
    """Return how many elements there are along `axes`."""
    return math.prod(shape[a] for a in axes)


def one_device(op: str, **tensors: Tensor) -> None:
    """Refuse operands that live on different devices."""
    first, a = next(iter(tensors.items()))
    place = a.device
    for name, b in tensors.items():
        if b.device != place:
            raise DeviceError(
                f"{op}: {first} {a.shape} is on {a.device}, {name} {b.shape} on {b.device}; "
                "move one with .to(...)"
            )
