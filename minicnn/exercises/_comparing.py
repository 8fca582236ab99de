"""Whether two results are the same, and in which way they are not."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn.autograd import Tensor

__all__ = ["difference", "in_all", "own_copy", "plain", "same", "shown"]

_LONGEST = 120  # characters of a value in a message
_MOST_NUMBERS = 8  # of an array that is shown
_EXACT = 1e-6  # from this tolerance on, whole numbers must be equal: a bias more is one too many
_NOISE = 1e-13  # what rounding makes of 0
_FACTOR = "every number is "
_SINGLE = 2e-5  # what is allowed to who computes in float32


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
    """Return a copy of what can be changed in place, and everything else as it is."""
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
    if isinstance(other, list) and _of_several_kinds(other):
        one = list(one) if isinstance(one, np.ndarray) and one.ndim else one
        if not isinstance(one, list) or len(one) != len(other):
            return False
        floats = [i for i, part in enumerate(other) if isinstance(part, float | np.floating)]
        return all(
            same(one[i], part, tolerance) for i, part in enumerate(other) if i not in floats
        ) and same([one[i] for i in floats], [other[i] for i in floats], tolerance)
    a, b = _as_array(one), _as_array(other)
    if a is None or b is None:
        if isinstance(one, str) and isinstance(other, str):
            return one.strip().casefold() == other.strip().casefold()
        return _equal(one, other)
    return _same_numbers(a, b, tolerance)


def _equal(one: Any, other: Any) -> bool:
    """Compare what are no numbers: a learner may return anything."""
    try:
        alike = type(one) is type(other) and np.shape(one) == np.shape(other)
        return alike and bool(np.all(one == other))
    except Exception:  # what cannot be compared, a learner's own class, is not the same
        return False


def _of_several_kinds(parts: list[Any]) -> bool:
    """Tell whether a list is no array: its parts are things of their own, each of its own size."""
    kinds = {
        "number" if isinstance(part, float | np.floating) else type(part).__name__ for part in parts
    }
    apart = len(kinds) > 1 or any(isinstance(part, np.ndarray) for part in parts)
    return apart or (bool(parts) and _as_array(parts) is None)


def _as_array(value: Any) -> np.ndarray | None:
    """Return numbers as an array, and None for what is none."""
    if isinstance(value, numbers.Rational) and not isinstance(value, int):
        value = float(value)  # 27/49 is a number, too
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
    """Tell whether arrays are equal, of floats up to a share of the largest and rounding."""
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "b" or other.dtype.kind == "b":
        return bool(np.array_equal(one, other))
    if other.dtype.kind in "iu" and 0 < tolerance <= _EXACT:
        off = np.abs(one.astype(np.complex128) - other.astype(np.complex128))
        return bool((off < 1e-3).all())  # a float may stand for a whole number
    if tolerance and {one.dtype.char, other.dtype.char} & {"f", "e", "F"}:
        tolerance = max(tolerance, _SINGLE)
    finite = other[np.isfinite(other)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    allowed = max(tolerance * scale, _NOISE) if tolerance else 0.0
    return bool(np.allclose(one, other, rtol=0.0, atol=allowed, equal_nan=True))


def difference(got: Any, expected: Any, tolerance: float) -> str:
    """Say in general words how a wrong result differs from the right one."""
    if got is None:
        return "it returns None; is a return missing?"
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return _difference_of_mappings(got, expected, tolerance)
    if isinstance(expected, list) and _of_several_kinds(expected):
        if not isinstance(got, list):
            return f"it returns {type(got).__name__}, where {len(expected)} things are asked for"
        return _difference_of_lists(got, expected, tolerance)
    a, b = _as_array(got), _as_array(expected)
    if b is not None and b.dtype.kind == "b" and b.ndim == 0 and a is not None and a.ndim == 0:
        return f"it says {bool(a)}, where {bool(b)} is right"
    if b is None:
        if type(got) is not type(expected):
            return f"it returns {type(got).__name__}, where {type(expected).__name__} is asked for"
        return "it is another than asked for"
    if a is None:
        return f"it returns {type(got).__name__}, where numbers are asked for"
    if a.shape != b.shape:
        return _difference_of_shapes(a, b, tolerance)
    return _difference_of_values(a, b, tolerance)


def in_all(differences: list[str]) -> str:
    """Say in one sentence how results differ in several cases."""
    first = differences[0]
    factors = [said.split()[3] for said in differences if said.startswith(_FACTOR)]
    if not first.startswith(_FACTOR) or len(set(factors)) == 1:
        return first
    return f"{first}, and by other factors in other cases: {', '.join(factors[1:4])}"


def _difference_of_mappings(
    got: Mapping[Any, Any], expected: Mapping[Any, Any], tolerance: float
) -> str:
    missing = [key for key in expected if key not in got]
    if missing or len(got) != len(expected):
        return (
            f"it returns {sorted(map(str, got))}, where {sorted(map(str, expected))} is asked for"
        )
    for key in expected:
        if not same(got[key], expected[key], tolerance):
            return (
                f"in {key!r} of what it returns: {difference(got[key], expected[key], tolerance)}"
            )
    return "it is another than asked for"


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
    """Say what is wrong with numbers of the right shape: sign, factor, order, or just that."""
    if a.dtype.kind in "fc" and np.isnan(a).any() and not np.isnan(b).any():
        return "it is not a number (NaN) somewhere"
    if a.dtype.kind in "fc" and np.isinf(a).any() and not np.isinf(b).any():
        return "it is infinite somewhere"
    if a.ndim and not np.any(a) and np.any(b):
        return "it is zero everywhere"
    a, b = a.astype(np.complex128), b.astype(np.complex128)
    if _same_numbers(-a, b, tolerance):
        return "the sign is wrong"
    with np.errstate(all="ignore"):  # infinities that are right
        weight = float((np.abs(a) ** 2).sum())
        factor = float((a.conj() * b).sum().real / weight) if weight else 0.0
    if 0 < factor < np.inf and a.size > 1 and _same_numbers(factor * a, b, tolerance):
        return f"{_FACTOR}{1 / factor:.4g} times what it should be"
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
    """Write a value in one line, numbers with five digits."""
    if isinstance(value, np.ndarray | np.generic):
        return _spelled(value.tolist())
    if isinstance(value, bool | str) or not isinstance(value, float | list | tuple):
        return " ".join(repr(value).split())
    if isinstance(value, float):
        return f"{value:.5g}"
    inside = ", ".join(shown(part) for part in value)
    return f"[{inside}]" if isinstance(value, list) else f"({inside})"
