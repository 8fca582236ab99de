"""Indices: views where there are only slices and ints, else a copy or a scattered write."""

from __future__ import annotations

import numpy as np

from ._array import ndarray
from ._calls import call, change, operand
from ._device import refuse_in_capture

_WHOLE = ("int32", "uint32", "uint64")  # what CUDA has atomic operations for
_ADDED = (*_WHOLE, "float16", "float32", "float64", "complex64", "complex128")
_COMPARED = (*_WHOLE, "float32", "float64")


def prepared(key):
    """Return an index as a tuple in which all that is no slice and no int is a stand-in array."""
    from ._creation import array

    parts = []
    for part in key if isinstance(key, tuple) else (key,):
        number = np.isscalar(part) and not isinstance(part, bool | np.bool_)
        if number or part is None or part is Ellipsis or isinstance(part, slice | ndarray):
            parts.append(part)
        else:
            try:
                made = array(part)
            except ValueError:
                raise IndexError(
                    "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and "
                    "integer or boolean arrays are valid indices"
                ) from None
            if isinstance(part, list | tuple) and not made.size:
                made = made.astype(np.int32)
            parts.append(made)
    _check(parts)
    found = any(part is Ellipsis for part in parts)
    return tuple(parts) if found else (*parts, Ellipsis)  # with one, a number is a 0-d view


def _check(parts):
    for part in parts:
        if isinstance(part, ndarray) and part.dtype.kind not in "biu":
            raise IndexError(
                "arrays used as indices must be of integer or boolean type. "
                f"(actual: {part.dtype.type})"
            )
        if isinstance(part, slice) and any(
            isinstance(edge, ndarray) for edge in (part.start, part.stop, part.step)
        ):
            raise TypeError("slice indices must be integers or None or have an __index__ method")


def _arrays(key):
    return [part for part in key if isinstance(part, ndarray)]


def _refuse_masks_in_capture(key):
    if any(part.dtype.kind == "b" for part in _arrays(key)):
        refuse_in_capture("counting what a mask selects")


def _wrapped(shape, key):
    """The key with integer arrays wrapped round: CuPy's kernels do that and never complain."""
    spent = sum(
        part.ndim if isinstance(part, np.ndarray) and part.dtype == bool else 1
        for part in key
        if part is not None and part is not Ellipsis
    )
    axis, parts = 0, []
    for part in key:
        if part is Ellipsis:
            axis += len(shape) - spent
        elif isinstance(part, np.ndarray) and part.dtype == bool:
            axis += part.ndim
        elif part is not None:
            if isinstance(part, np.ndarray) and axis < len(shape) and shape[axis]:
                part = np.remainder(part.astype(np.int64, copy=False), shape[axis])
            axis += 1
        parts.append(part)
    return tuple(parts)


def getitem(array, key):
    """``array[key]``."""
    key = prepared(key)
    if not _arrays(key):
        return array._view(array._host[key])
    _refuse_masks_in_capture(key)
    return call(lambda host, at: host[_wrapped(host.shape, at)], array, key)


def setitem(array, key, value):
    """``array[key] = value``."""
    from ._creation import array as make

    key = prepared(key)
    if not _arrays(key):
        if not isinstance(value, ndarray):
            array._view(array._host[key]).fill(value)
            return
    else:
        _refuse_masks_in_capture(key)
        if not isinstance(value, ndarray):
            value = make(value, dtype=array.dtype)

    def write(host, at, numbers):
        host[_wrapped(host.shape, at)] = numbers.astype(host.dtype, copy=False)

    change(write, array, key, value)


def scatter(array, key, value, how):
    """``array[key] += value`` and the like, where the key may name a place more than once."""
    from ._creation import array as make

    function = {
        "add": np.add, "sub": np.subtract, "max": np.maximum, "min": np.minimum,
        "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    }[how]  # fmt: skip
    key = prepared(key)
    if _arrays(key):
        _refuse_masks_in_capture(key)
        kinds = _ADDED if how in ("add", "sub") else _COMPARED if how[0] == "m" else _WHOLE
        by_number = any(part.dtype.kind != "b" for part in _arrays(key))
        if by_number and array.dtype.name not in kinds:
            raise TypeError(f"scatter_{how} only supports {', '.join(kinds)} as data type")
        if not isinstance(value, ndarray):
            value = make(value, dtype=array.dtype)
    else:
        operand(value)

    def write(host, at, numbers):
        numbers = np.asarray(numbers).astype(host.dtype, copy=False)
        function.at(host, _wrapped(host.shape, at), numbers)

    change(write, array, key, value)


def take(array, indices, axis=None, out=None):
    """``numpy.take`` with indices that wrap round."""
    from ._creation import array as make

    if not np.isscalar(indices) and not isinstance(indices, ndarray):
        indices = make(indices, dtype=int)
    if out is not None and out.dtype != array.dtype:
        raise TypeError("Output dtype mismatch")
    if isinstance(indices, ndarray) and indices.dtype.kind not in "biu":
        raise TypeError(f"take: indices must be integers, got {indices.dtype}")
    options = {} if out is None else {"out": out}
    return call(np.take, array, indices, axis=axis, mode="wrap", **options)
