"""``cupy.ndarray``: a NumPy array in the memory of the stand-in, and what the host may do with it.

The operators and methods that compute are put on it by _methods.py.
"""

from __future__ import annotations

import operator
import warnings

import numpy as np

from . import _memory
from ._device import Device, capturing, refuse_in_capture, run

_KINDS = "?bBhHiIlLqQefdFD"


def checked_dtype(dtype):
    """Return a dtype that CuPy has too."""
    dtype = np.dtype(dtype)
    if dtype.char not in _KINDS:
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


class Flags:
    """How an array lies in memory."""

    def __init__(self, c_contiguous, f_contiguous, owndata):
        self.c_contiguous, self.f_contiguous = c_contiguous, f_contiguous
        self.owndata = owndata

    @property
    def fnc(self):
        return self.f_contiguous and not self.c_contiguous

    @property
    def forc(self):
        return self.f_contiguous or self.c_contiguous

    def __getitem__(self, name):
        short = {"C": "c_contiguous", "F": "f_contiguous", "O": "owndata"}
        if name not in (*short, *map(str.upper, short.values())):
            raise KeyError(f"{name} is not defined for cupy.ndarray.flags")
        return getattr(self, short.get(name, name.lower()))

    def __repr__(self):
        return "".join(f"  {k.upper()} : {v}\n" for k, v in vars(self).items())


class ndarray:  # noqa: N801
    """Numbers in device memory."""

    __slots__ = ("__weakref__", "_base", "_host", "_memory")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        shape = (int(shape),) if np.ndim(shape) == 0 else tuple(map(int, shape))
        dtype = checked_dtype(dtype)
        self._base = None
        if memptr is None:
            pattern = np.empty(shape, dtype, order=order or "C")
            strides = pattern.strides if strides is None else strides
            memptr = _memory.alloc(pattern.nbytes)
        fresh = memptr.ptr == memptr.mem.ptr
        self._memory = memptr.mem
        offset = memptr.ptr - memptr.mem.ptr
        self._host = self._memory.array(shape, dtype, strides, order, offset)
        if fresh and self._memory.fresh:
            self._memory.fresh = False
            _memory.poison(self._host)

    @classmethod
    def _of(cls, host, memory, base):
        """Make an array that lies in the memory of another."""
        self = object.__new__(cls)
        self._host, self._memory, self._base = host, memory, base
        return self

    def _view(self, host):
        return ndarray._of(host, self._memory, self if self._base is None else self._base)

    # What it is

    @property
    def shape(self):
        return self._host.shape

    @shape.setter
    def shape(self, shape):
        view = self._host.view()
        view.shape = shape
        self._host = view

    @property
    def flags(self):
        flags = self._host.flags
        return Flags(flags.c_contiguous, flags.f_contiguous, self._base is None)

    @property
    def data(self):
        return _memory.MemoryPointer(self._memory, self._host.ctypes.data - self._memory.ptr)

    @property
    def device(self):
        return Device(self._memory.device_id)

    @property
    def base(self):
        return self._base

    @property
    def __cuda_array_interface__(self):
        typestr = self.dtype.str
        return {
            "shape": self.shape,
            "typestr": typestr,
            "descr": [("", typestr)],
            "stream": 1,
            "version": 3,
            "strides": None if self._host.flags.c_contiguous else self.strides,
            "data": (self._host.ctypes.data, False),
        }

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return len(self._host)

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # To the host and from it

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def get(self, stream=None, order="C", out=None, blocking=True):
        """Copy to the host."""
        if blocking or not _memory.is_pinned(out):
            refuse_in_capture("a copy to the host", stream)
        if out is None:
            order = order.upper()
            if order == "A":
                order = "F" if self.flags.fnc else "C"
            if order not in ("C", "F"):
                raise ValueError(f"unsupported order: {order}")
            out = np.empty(self.shape, self.dtype, order)
        elif not isinstance(out, np.ndarray):
            raise TypeError("Only numpy.ndarray can be obtained from cupy.ndarray")
        elif self.dtype != out.dtype:
            raise TypeError(f"{out.dtype} array cannot be obtained from {self.dtype} array")
        elif self.shape != out.shape:
            raise ValueError(f"Shape mismatch. Expected shape: {self.shape}, actual: {out.shape}")
        elif not out.flags.forc:
            raise RuntimeError("`out` cannot be specified when copying to non-contiguous ndarray")
        self._memory.check()
        run(lambda: np.copyto(out, self._host), inputs=[self], stream=stream)
        return out

    def set(self, arr, stream=None):
        """Copy from the host."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not self.flags.forc:
            raise RuntimeError("Cannot set to non-contiguous array")
        if not _memory.is_pinned(arr):
            refuse_in_capture("a copy from memory that is not pinned", stream)
        run(lambda: np.copyto(self._host, arr), [self], stream=stream)

    def item(self):
        """Copy the one number to the host."""
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self):
        """Copy to the host, as lists of lists."""
        return self.get().tolist()

    def tobytes(self, order="C"):
        """Copy to the host, as bytes."""
        return self.get().tobytes(order)

    def __bool__(self):
        if self.size == 1:
            return bool(self.get().item())
        if self.size:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        warnings.warn("The truth value of an empty array is ambiguous.", DeprecationWarning, 2)
        return False

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __complex__(self):
        return complex(self.get())

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, spec):
        return format(self.get(), spec)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        from ._creation import array

        return array, (self.get(),)


for _name in ("ndim", "dtype", "size", "strides", "nbytes", "itemsize"):
    setattr(ndarray, _name, property(operator.attrgetter(f"_host.{_name}")))


def new(shape, dtype, strides=None):
    """Make an array that is about to be written (and poisoned where that is only recorded)."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = _memory.alloc(size).mem
    host = memory.array(shape, checked_dtype(dtype), strides)
    memory.fresh = False
    if capturing():
        _memory.poison(host)
    return ndarray._of(host, memory, None)
