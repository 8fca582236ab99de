"""Arrays from nothing, from numbers and from NumPy's arrays."""

from __future__ import annotations

import numpy as np

from . import _memory
from ._array import checked_dtype, ndarray
from ._calls import arrays_in, call
from ._device import refuse_in_capture, run


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """Copy to the device what is not there."""
    if subok:
        raise NotImplementedError
    order = (order or "K").upper()
    if isinstance(obj, ndarray):
        made = obj.astype(obj.dtype if dtype is None else dtype, order=order, copy=bool(copy))
    elif arrays_in(obj):
        made = _joined(obj)
        made = made.astype(made.dtype if dtype is None else dtype, order=order, copy=False)
    else:
        made = _uploaded(obj, dtype, order)
    return made.reshape((1,) * (ndmin - made.ndim) + made.shape) if ndmin > made.ndim else made


def _joined(parts):
    """An array of nested lists of arrays; CuPy takes no numbers among them."""
    arrays = [_joined(part) if isinstance(part, list | tuple) else part for part in parts]
    if not all(isinstance(part, ndarray) for part in arrays):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )
    return call(np.stack, arrays)


def _uploaded(obj, dtype, order):
    host = np.asarray(obj, dtype)
    checked_dtype(host.dtype)
    if not _memory.is_pinned(host):
        _memory.alloc_pinned_memory(host.nbytes)  # through which CuPy copies
        refuse_in_capture("a copy from memory that is not pinned")
    by_columns = host.flags.f_contiguous and not host.flags.c_contiguous
    order = "F" if order == "F" or (order in "KA" and by_columns) else "C"  # no other order
    made = ndarray(host.shape, host.dtype, order=order)
    run(lambda: np.copyto(made._host, host), [made])
    return made


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    """Copy to the device what is not there."""
    if copy is False and not isinstance(a, ndarray):
        raise ValueError("Unable to avoid copy while creating an array as requested.")
    return array(a, dtype, bool(copy), order or "K")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """Copy to the host what is not there."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    host = np.asarray(a, order=order)
    if out is None:
        return host
    out[...] = host
    return out


def ascontiguousarray(a, dtype=None):
    """The array, or a copy by rows; 0-d becomes 1-d."""
    return array(a, dtype, False, "C", ndmin=1)


def asfortranarray(a, dtype=None):
    """The array, or a copy by columns."""
    return array(a, dtype, False, "F")


def empty(shape, dtype=float, order="C"):
    """An array that nobody has written: poisoned."""
    return ndarray(shape, dtype, order=order)


def full(shape, fill_value, dtype=None, order="C"):
    """An array of one value."""
    if dtype is None:
        known = isinstance(fill_value, ndarray)
        dtype = fill_value.dtype if known else np.array(fill_value).dtype
    made = ndarray(shape, dtype, order=order)
    _fill(made, fill_value)
    return made


def _fill(made, value):
    from ._methods import copyto

    copyto(made, value, casting="unsafe")


def zeros(shape, dtype=float, order="C"):
    """An array of zeros."""
    made = ndarray(shape, dtype, order=order)
    made.fill(0)
    return made


def ones(shape, dtype=float, order="C"):
    """An array of ones."""
    return full(shape, 1, dtype, order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    """An array like another, that nobody has written: poisoned."""
    if subok is not None:
        raise TypeError("subok is not supported yet")
    dtype = checked_dtype(prototype.dtype if dtype is None else dtype)
    if shape is not None and shape != prototype.shape and order in "KA":
        order = "F" if prototype.flags.fnc else "C"
    pattern = np.empty_like(prototype._host, dtype, order, shape=shape)
    return ndarray(pattern.shape, dtype, strides=pattern.strides)


def full_like(a, fill_value, dtype=None, order="K", subok=None, shape=None):
    """An array like another, of one value."""
    made = empty_like(a, dtype, order, subok, shape)
    _fill(made, fill_value)
    return made


def zeros_like(a, dtype=None, order="K", subok=None, shape=None):
    """An array like another, of zeros."""
    return full_like(a, 0, dtype, order, subok, shape)


def ones_like(a, dtype=None, order="K", subok=None, shape=None):
    """An array like another, of ones."""
    return full_like(a, 1, dtype, order, subok, shape)
