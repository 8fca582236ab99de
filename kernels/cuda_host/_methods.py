"""The operators and methods of ``cupy.ndarray`` that compute, put on the class."""

from __future__ import annotations

import functools
import sys

import numpy as np

from . import _indexing
from ._array import checked_dtype, ndarray
from ._calls import NUMBERS, call, change, operand
from ._device import capturing
from ._names import METHODS, UFUNCS, bind, entries, parsed
from ._ufuncs import ufunc

ufuncs = {name: ufunc(name) for name in UFUNCS.split() if hasattr(np, name)}

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "matmul": "matmul",
    "lshift": "left_shift", "rshift": "right_shift", "and": "bitwise_and", "or": "bitwise_or",
    "xor": "bitwise_xor", "divmod": "divmod",
}  # fmt: skip
_COMPARISONS = {
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "eq": "equal", "ne": "not_equal",
}  # fmt: skip


def matmul(x1, x2, out=None, **options):
    """The matrix product."""
    for x in (x1, x2):
        if not isinstance(x, ndarray):
            raise TypeError(f"Unsupported type {type(x)}")
        if capturing() and x.dtype.kind == "f":  # what CuPy's wrapper of cuBLAS says
            raise NotImplementedError(
                "calling cuBLAS API during stream capture is currently unsupported"
            )
    return call(np.matmul, x1, x2, **options, **({} if out is None else {"out": out}))


def _function(name):
    return matmul if name == "matmul" else ufuncs[name]


def _leaves_it_to(other):
    """Whether ``array + other`` is the affair of `other`, as CuPy decides it."""
    try:
        return other.__array_ufunc__ is None
    except AttributeError:
        return getattr(other, "__array_priority__", 0) > ndarray.__array_priority__


def _operator(name, reflected=False):
    def method(self, other):
        if not isinstance(other, ndarray) and type(other) not in NUMBERS:
            if _leaves_it_to(other):
                return NotImplemented
            theirs = getattr(np, name)  # which asks __array_ufunc__ below
            return theirs(other, self) if reflected else theirs(self, other)
        pair = (other, self) if reflected else (self, other)
        return _function(name)(*pair)

    return method


def _in_place(name):
    def method(self, other):
        return ufuncs[name](self, other, self)

    return method


def _array_ufunc(self, function, method, *inputs, **options):
    name = function.__name__
    if "out" in options:
        if len(options["out"]) != 1:
            raise ValueError("The 'out' parameter must have exactly one array value")
        options["out"] = options["out"][0]
    if method != "__call__" or not (name == "matmul" or name in ufuncs):
        return NotImplemented
    for x in (*inputs, options.get("out", self)):
        known = isinstance(x, ndarray | np.ndarray | np.bool_ | np.number)
        if not known and type(x) not in NUMBERS:
            return NotImplemented
    if name in _COMPARISONS.values():
        inputs = [x.item() if isinstance(x, np.ndarray) and not x.ndim else x for x in inputs]
    return _function(name)(*inputs, **options)


def _array_function(self, function, types, args, kwargs):
    path = [*function.__module__.split(".")[1:], function.__name__]
    try:
        theirs = functools.reduce(getattr, path, sys.modules.get("cupy"))
    except AttributeError:
        return NotImplemented
    if theirs is function or any(t not in (ndarray, np.ndarray) for t in types):
        return NotImplemented
    return theirs(*args, **kwargs)


def copyto(dst, src, casting="same_kind", where=None):
    """Write `src` into `dst`, broadcast."""
    if isinstance(src, np.ndarray):
        if src.size != 1:
            raise ValueError("non-scalar numpy.ndarray cannot be used for copyto")
        src = src.squeeze()[()]
    options = {} if where is None else {"where": operand(where)}
    change(np.copyto, dst, operand(src), casting=casting, **options)


def _fill(self, value):
    """Write one value everywhere."""
    if isinstance(value, np.ndarray):
        if value.shape:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        value = value.item()
    change(lambda host, number: host.fill(number), self, operand(value))


def _astype(self, dtype, order="K", casting=None, subok=None, copy=True):
    """A copy of another type; the array itself if nothing changes and no copy is asked for."""
    if casting is not None:
        raise TypeError("casting is not supported yet")
    if subok is not None:
        raise TypeError("subok is not supported yet")
    dtype, order = checked_dtype(dtype), (order or "K").upper()
    lies = {"K": True, "A": self.flags.forc, "C": self.flags.c_contiguous}
    if dtype == self.dtype and not copy and lies.get(order, self.flags.f_contiguous):
        return self
    return call(lambda a: a.astype(dtype, order=order), self, keep=True)


def _copy(self, order="C"):
    """A copy."""
    return self.astype(self.dtype, order=order)


def _reshape(self, *shape, order="C", copy=None):
    """A view of another shape, or a copy where there is none."""
    shape = shape[0] if len(shape) == 1 else shape
    if copy:
        return self.copy().reshape(shape, order=order)
    made = call(np.reshape, self, shape, order=order, keep=True)
    if copy is False and made.base is None:
        raise ValueError("Unable to avoid creating a copy while reshaping.")
    return made


def _transpose(self, *axes):
    """A view with its axes in another order."""
    axes = axes[0] if len(axes) == 1 else axes or None
    return call(np.transpose, self, axes)


def _flatten(self, order="C"):
    """A copy with one axis."""
    return call(lambda a: a.flatten(order), self)


def _viewed_as(self, dtype=None, type=None):
    """The same bytes as another type."""
    if type is not None:
        raise NotImplementedError("views of another class")
    return self._view(self._host.view() if dtype is None else self._host.view(np.dtype(dtype)))


def _sort(self, axis=-1, kind=None):
    """Sort in place."""
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    if self.base is not None or not self.flags.c_contiguous:
        raise NotImplementedError("Sorting arrays with non-owning data is not supported.")
    change(lambda host: host.sort(axis, kind="stable"), self)


def _partition(self, kth, axis=-1):
    """Put the kth in its place."""
    change(lambda host: host.partition(kth, axis), self)


def _argmax(name):
    def method(self, axis=None, out=None, dtype=None, keepdims=False):
        def function(a, out=None):
            axes = axis
            found = getattr(np, name)(a, axes, keepdims=keepdims)
            found = found if dtype is None else np.asarray(found).astype(dtype)
            if out is None:
                return found
            out[...] = found
            return out

        return call(function, self, **({} if out is None else {"out": out}))

    return method


def _searchsorted(self, v, side="left", sorter=None):
    """Where to insert `v` so that the order stays."""
    if not isinstance(v, ndarray):
        raise NotImplementedError("Only int or ndarray are supported for v")
    return call(np.searchsorted, self, v, side, sorter)


def _choose(self, choices, out=None, mode="raise"):
    """Take from the choices."""
    return call(np.choose, self, choices, mode=mode, **({} if out is None else {"out": out}))


def _dot(self, b, out=None):
    """The product of matrices or vectors."""
    if not isinstance(b, ndarray):
        raise TypeError(f"Argument 'b' has incorrect type (expected ndarray, got {type(b)})")
    return call(np.dot, self, b, **({} if out is None else {"out": out}))


def _clip(self, min=None, max=None, out=None):
    """The numbers, none below `min` or above `max`."""
    if min is None and max is None:
        raise ValueError("array_clip: must set either max or min")
    low, high = (None if x is None else operand(x) for x in (min, max))
    return call(np.clip, self, low, high, **({} if out is None else {"out": out}))


def _scattered(how):
    def method(self, slices, value):
        _indexing.scatter(self, slices, value, how)

    return method


def _real_part(name):
    return property(lambda self: call(lambda a: getattr(a, name), self))


# Methods that are functions of the module, with the parameters that CuPy's methods have.
DELEGATED = """
all axis= out= keepdims=; any axis= out= keepdims=; argpartition kth axis=; argsort axis= kind=;
conj; conjugate; compress condition axis= out=; cumprod axis= dtype= out=;
cumsum axis= dtype= out=; diagonal offset= axis1= axis2=; max axis= out= keepdims=;
mean axis= dtype= out= keepdims=; min axis= out= keepdims=; nonzero;
prod axis= dtype= out= keepdims=; ptp axis= out= keepdims=; put indices values mode=;
ravel order=; repeat repeats axis=; round decimals= out=; squeeze axis=;
std axis= dtype= out= ddof= keepdims=; sum axis= dtype= out= keepdims=; swapaxes axis1 axis2;
trace offset= axis1= axis2= dtype= out=; var axis= dtype= out= ddof= keepdims=
"""


def _delegated(line):
    """Make a method of an entry of the table: bind the arguments, then call the function."""
    name, parameters = line
    signature = parsed(f"self {parameters}")

    def method(*args, **kwargs):
        from ._functions import find

        given = bind(name, signature, args, kwargs).arguments
        self = given.pop("self")
        if name in ufuncs:
            return ufuncs[name](self)
        if name == "compress":
            return find(name)(given.pop("condition"), self, **given)
        if name == "put":
            given["ind"], given["v"] = given.pop("indices"), given.pop("values")
        if name == "prod" and given.get("keepdims", False) is None:
            given["keepdims"] = False
        return find(name)(self, **given)

    method.__name__, method.__signature__ = name, signature
    return method


def _put_on_the_class():
    for short, name in _OPERATORS.items():
        setattr(ndarray, f"__{short}__", _operator(name))
        setattr(ndarray, f"__r{short}__", _operator(name, reflected=True))
        if name not in ("matmul", "divmod"):
            setattr(ndarray, f"__i{short}__", _in_place(name))
    for short, name in _COMPARISONS.items():
        setattr(ndarray, f"__{short}__", _operator(name))
    for entry in entries(DELEGATED):
        setattr(ndarray, entry[0], _delegated(entry))
    for short, name in {"neg": "negative", "abs": "absolute", "invert": "invert"}.items():
        setattr(ndarray, f"__{short}__", lambda self, name=name: ufuncs[name](self))
    for how in ("add", "max", "min"):
        setattr(ndarray, f"scatter_{how}", _scattered(how))
    methods = {
        "__pos__": lambda self: self, "take": _indexing.take,
        "__getitem__": _indexing.getitem, "__setitem__": _indexing.setitem,
        "__array_ufunc__": _array_ufunc, "__array_function__": _array_function, "fill": _fill,
        "astype": _astype, "copy": _copy, "reshape": _reshape, "transpose": _transpose,
        "flatten": _flatten, "view": _viewed_as, "sort": _sort, "argmax": _argmax("argmax"),
        "argmin": _argmax("argmin"), "searchsorted": _searchsorted, "choose": _choose,
        "dot": _dot, "partition": _partition, "clip": _clip,
        "real": _real_part("real"), "imag": _real_part("imag"),
        "T": property(lambda self: self._view(self._host.T)),
        "mT": property(lambda self: self._view(self._host.swapaxes(-1, -2))),
    }  # fmt: skip
    for name, method in methods.items():
        setattr(ndarray, name, method)
    for name in METHODS.split():
        if not hasattr(ndarray, name):
            setattr(ndarray, name, _missing(name))


def _missing(name):
    """CuPy has it and the stand-in not: that is no AttributeError, which code may expect."""

    def complain(self):
        raise NotImplementedError(f"cupy.ndarray has {name}, but its stand-in has not")

    return property(complain)


_put_on_the_class()
