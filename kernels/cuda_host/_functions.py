"""The functions of the module `cupy`: NumPy's, behind CuPy's parameters and refusals."""

from __future__ import annotations

import functools
import sys

import numpy as np

from . import _creation, _memory, _methods
from ._array import ndarray
from ._calls import arrays_in, call, change, lowered, operand
from ._device import refuse_in_capture
from ._names import (
    ABOUT_PLACES,
    FROM_ANYTHING,
    FUNCTIONS,
    ON_THE_HOST,
    UFUNCS,
    WAITS,
    bind,
    entries,
    parsed,
    words,
)

TABLE = dict(entries(FUNCTIONS))

_ON_THE_HOST, _WAITS = words(ON_THE_HOST), words(WAITS)
_ABOUT_PLACES, _FROM_ANYTHING = words(ABOUT_PLACES), words(FROM_ANYTHING)
_CHANGES_ITS_FIRST = frozenset(["put", "putmask", "place", "fill_diagonal"])
_WRAPS = {"put": "wrap", "ravel_multi_index": "wrap"}  # a default that NumPy has otherwise
_LAID_OUT = frozenset(["copy"])  # by an `order` of its own


def _repeat(a, repeats, axis):
    if arrays_in(repeats):
        refuse_in_capture("counting repeats")
    return call(np.repeat, a, repeats, axis=axis)


def _take_along_axis(a, indices, axis):
    def function(a, at):
        return np.take_along_axis(a, _round(a, at, axis), axis)

    return call(function, operand(a), _whole(indices))


def _put_along_axis(arr, indices, values, axis):
    def function(a, at, values):
        np.put_along_axis(a, _round(a, at, axis), values, axis)

    change(function, arr, _whole(indices), operand(values))


def _round(a, at, axis):
    """Indices that wrap round, as CuPy's do."""
    length = a.size if axis is None else a.shape[axis]
    return at % length if length else at


def _whole(indices):
    if not isinstance(indices, ndarray) or indices.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    return indices


_CREATION = (
    *("array", "asarray", "asnumpy", "ascontiguousarray", "asfortranarray"),
    *("empty", "full", "ones", "zeros", "empty_like", "full_like", "ones_like", "zeros_like"),
)
_OURS = {name: getattr(_creation, name) for name in _CREATION} | {
    "asanyarray": _creation.asarray,
    "astype": lambda x, dtype, /, *, copy=True: x.astype(dtype, copy=copy),
    "argmax": lambda a, axis=None, dtype=None, out=None, keepdims=False: a.argmax(
        axis, out, dtype, keepdims
    ),
    "argmin": lambda a, axis=None, dtype=None, out=None, keepdims=False: a.argmin(
        axis, out, dtype, keepdims
    ),
    "clip": lambda a, a_min, a_max, out=None: a.clip(a_min, a_max, out),
    "copyto": _methods.copyto,
    "dot": lambda a, b, out=None: a.dot(b, out),
    "get_array_module": lambda *args: module() if arrays_in(args) else np,
    "get_default_memory_pool": lambda: _memory.default_pool,
    "get_default_pinned_memory_pool": lambda: _memory.default_pinned_pool,
    "is_available": lambda: True,
    "matmul": _methods.matmul,
    "reshape": lambda a, newshape, order="C", *, copy=None: a.reshape(
        newshape, order=order, copy=copy
    ),
    "searchsorted": lambda a, v, side="left", sorter=None: a.searchsorted(v, side, sorter),
    "put_along_axis": _put_along_axis,
    "repeat": lambda a, repeats, axis=None: _repeat(a, repeats, axis),
    "take_along_axis": _take_along_axis,
    "take": lambda a, indices, axis=None, out=None: a.take(indices, axis, out),
    "transpose": lambda a, axes=None: a.transpose(axes),
}


def module():
    """The module `cupy` that is installed."""
    return sys.modules["cupy"]


@functools.cache
def find(name):
    """Return CuPy's function of a name (with ``linalg.`` before it, perhaps), or None."""
    if name in _methods.ufuncs:
        return _methods.ufuncs[name]
    if name in UFUNCS.split():  # of a newer NumPy
        return _missing(name)
    if name not in TABLE:
        return None
    if name in _OURS:
        return _OURS[name]
    theirs = np
    for part in name.split("."):
        theirs = getattr(theirs, part, None)
    if theirs is None:
        return _missing(name)
    return _of_numpy(name, theirs)


def _missing(name):
    def function(*args, **kwargs):
        raise NotImplementedError(f"CuPy has {name}, but its stand-in has not")

    return function


def _of_numpy(name, theirs):
    signature = parsed(TABLE[name])

    def function(*args, **kwargs):
        bound = bind(name, signature, args, kwargs)
        if name in _ON_THE_HOST:
            return _answer(name, theirs, args, kwargs)
        _check(name, bound.arguments)
        if name in _WAITS or (name == "where" and len(bound.arguments) == 1):
            refuse_in_capture(name)
        positional, options = _passed_on(name, bound)
        if name in _CHANGES_ITS_FIRST:
            return change(theirs, *positional, **options)
        return call(theirs, *positional, keep=name in _LAID_OUT, **options)

    function.__name__ = function.__qualname__ = name.rpartition(".")[2]
    function.__signature__ = signature
    return function


def _answer(name, theirs, args, kwargs):
    if name in _WAITS:  # it prints numbers
        return theirs(*(a.get() if isinstance(a, ndarray) else a for a in args), **kwargs)
    return theirs(*lowered(args), **lowered(kwargs))


def _check(name, given):
    """Refuse what CuPy refuses: NumPy's arrays, and lists where it wants an array."""
    for at, (parameter, value) in enumerate(given.items()):
        if parameter not in _ABOUT_PLACES:
            _refuse_numpy(value)
        wants_array = parameter in ("a", "arr", "m", "ary", "x", "array", "condition", "ar")
        wants_array = wants_array and at == 0 and name not in _FROM_ANYTHING
        if wants_array and not isinstance(value, ndarray):
            raise TypeError(f"{name}: expected a cupy.ndarray, got {type(value)}")
        if parameter == "tup" and not all(isinstance(part, ndarray) for part in value):
            raise TypeError("Only cupy arrays can be concatenated")
        if parameter == "kind" and value not in (None, "stable"):
            raise ValueError("kind can only be None or 'stable'")


def _refuse_numpy(value):
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        for part in value:
            _refuse_numpy(part)


def _passed_on(name, bound):
    """The arguments for NumPy: what has no default by place, the rest by name."""
    positional, options = [], {}
    for parameter, value in bound.arguments.items():
        spec = bound.signature.parameters[parameter]
        if spec.kind is spec.VAR_POSITIONAL:
            positional.extend(value)
        elif spec.kind is spec.VAR_KEYWORD:
            options.update(value)
        elif spec.default is spec.empty or name == "where":
            positional.append(value)
        elif value is not None or parameter == "axis":
            options[parameter] = value
    if name in _WRAPS:
        options.setdefault("mode", _WRAPS[name])
    return positional, options
