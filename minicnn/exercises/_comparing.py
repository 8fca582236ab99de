"""Whether two results are the same, and in which way they are not."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.autograd import Tensor

__all__ = ["difference", "own_copy", "plain", "same", "shown"]

_LONGEST = 120  # characters of a value in a message
_MOST_NUMBERS = 8  # of an array that is shown


def plain(value: Any) -> Any:
    """Return a result with tensors as arrays, all the way down."""
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def own_copy(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments that an answer may spoil without harm to the others."""
    return tuple(_copied(argument) for argument in arguments)


def _copied(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | list | dict | set | bytearray):
        return copy.deepcopy(value)
    if isinstance(value, tuple):
        return tuple(_copied(part) for part in value)
    if isinstance(value, Tensor):
        return Tensor(np.array(value.data), requires_grad=value.requires_grad)
    return value  # functions, modules and the like are built anew by the exercise's `play`


def same(one: Any, other: Any, tolerance: float) -> bool:
    """Tell whether two plain results are equal, numbers up to a share of the largest."""
    if isinstance(one, Mapping) or isinstance(other, Mapping):
        return (
            isinstance(one, Mapping)
            and isinstance(other, Mapping)
            and one.keys() == other.keys()
            and all(same(one[key], other[key], tolerance) for key in one)
        )
    if isinstance(one, list) or isinstance(other, list):
        a, b = _as_array(one), _as_array(other)
        if a is not None and b is not None:
            return _same_numbers(a, b, tolerance)
        return (
            isinstance(one, list)
            and isinstance(other, list)
            and len(one) == len(other)
            and all(same(a, b, tolerance) for a, b in zip(one, other, strict=True))
        )
    a, b = _as_array(one), _as_array(other)
    if a is None or b is None:
        return type(one) is type(other) and bool(one == other)
    return _same_numbers(a, b, tolerance)


def _as_array(value: Any) -> np.ndarray | None:
    """Return numbers as an array, and None for what is none."""
    if isinstance(value, str | bytes | Mapping) or value is None or callable(value):
        return None
    if isinstance(value, numbers.Number | np.generic | np.ndarray | list):
        try:
            array = np.asarray(value)
        except ValueError:  # lists of different lengths
            return None
        return array if array.dtype.kind in "biufc" else None
    return None


def _same_numbers(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "b" or other.dtype.kind == "b":
        return bool(np.array_equal(one, other))
    finite = other[np.isfinite(other)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    return bool(
        np.allclose(one, other, rtol=tolerance, atol=tolerance * max(scale, 1e-30), equal_nan=True)
    )


def difference(got: Any, expected: Any, tolerance: float) -> str:
    """Say in general words how a wrong result differs from the right one."""
    if got is None:
        return "it returns None; is a return missing?"
    if isinstance(expected, Mapping) or isinstance(got, Mapping):
        return "it returns other things than asked for"
    a, b = _as_array(got), _as_array(expected)
    if b is None:
        if isinstance(expected, list) and isinstance(got, list):
            return _difference_of_lists(got, expected, tolerance)
        return "it is another than asked for"
    if a is None:
        return f"it returns {type(got).__name__}, where numbers are asked for"
    if a.shape != b.shape:
        return _difference_of_shapes(a, b, tolerance)
    return _difference_of_values(a, b, tolerance)


def _difference_of_lists(got: list[Any], expected: list[Any], tolerance: float) -> str:
    if len(got) != len(expected):
        return f"it returns {len(got)} things, where {len(expected)} are asked for"
    for i, (a, b) in enumerate(zip(got, expected, strict=True)):
        if not same(a, b, tolerance):
            return f"in place {i} of what it returns: {difference(a, b, tolerance)}"
    return "it is another than asked for"


def _difference_of_shapes(a: np.ndarray, b: np.ndarray, tolerance: float) -> str:
    if a.ndim == b.ndim and sorted(a.shape) == sorted(b.shape):
        return f"the axes are in another order: the shape is {a.shape}, should be {b.shape}"
    if a.size == b.size and _same_numbers(a.reshape(-1), b.reshape(-1), tolerance):
        return f"the numbers are right, but the shape is {a.shape} and should be {b.shape}"
    return f"the shape is {a.shape} and should be {b.shape}"


def _difference_of_values(a: np.ndarray, b: np.ndarray, tolerance: float) -> str:
    if a.dtype.kind in "fc" and np.isnan(a).any() and not np.isnan(b).any():
        return "it is not a number (NaN) somewhere"
    if a.dtype.kind in "fc" and np.isinf(a).any() and not np.isinf(b).any():
        return "it is infinite somewhere"
    if not np.any(a) and np.any(b):
        return "it is zero everywhere"
    a, b = a.astype(np.complex128), b.astype(np.complex128)
    if _same_numbers(-a, b, tolerance):
        return "the sign is wrong"
    weight = float((np.abs(a) ** 2).sum())
    factor = float((a.conj() * b).sum().real / weight) if weight else 0.0
    if factor > 0 and a.size > 1 and _same_numbers(factor * a, b, tolerance):
        return f"every number is {1 / factor:.4g} times what it should be"
    axes = range(a.ndim)
    for axis in axes:
        if _same_numbers(np.flip(a, axis), b, tolerance):
            return f"axis {axis} runs the wrong way round"
    if (
        a.ndim > 1
        and a.shape[-1] == a.shape[-2]
        and _same_numbers(a.swapaxes(-1, -2), b, tolerance)
    ):
        return "rows and columns are exchanged"
    return "it is another number than that" if a.ndim == 0 else "its numbers are not those"


def shown(value: Any) -> str:
    """Show a value in few characters, numbers with five digits."""
    if isinstance(value, np.ndarray) and value.size > _MOST_NUMBERS:
        return f"<array of shape {value.shape}, {value.dtype}>"
    if isinstance(value, Tensor):
        return f"<Tensor of shape {value.shape}>"
    text = getattr(value, "__name__", None) or _spelled(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _spelled(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return _spelled(value.tolist())
    if isinstance(value, bool | str) or not isinstance(value, float | list | tuple):
        return " ".join(repr(value).split())
    if isinstance(value, float):
        return f"{value:.5g}"
    inside = ", ".join(shown(part) for part in value)
    return f"[{inside}]" if isinstance(value, list) else f"({inside})"
