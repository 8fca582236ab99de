"""``cupy.ufunc``: NumPy's functions of the same names, with the parameters that CuPy's take."""

from __future__ import annotations

import numpy as np

from ._array import ndarray
from ._calls import call, operand
from ._indexing import scatter


class ufunc:  # noqa: N801
    """A function that is applied element by element."""

    def __init__(self, name):
        self._function = getattr(np, name)
        self._scatter = {"add": "add", "subtract": "sub", "maximum": "max", "minimum": "min"}.get(
            name, {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}.get(name)
        )
        plain = not isinstance(self._function, np.ufunc)  # fix, i0, sinc
        self.nin = 1 if plain else self._function.nin
        self.nout = 1 if plain else self._function.nout
        self.nargs = self.nin + self.nout
        self.__name__ = self.name = f"cupy_{name if plain else self._function.__name__}"
        self._plain = plain

    def __repr__(self):
        return f"<ufunc {self.name!r}>"

    def __call__(self, *args, out=None, dtype=None, casting="same_kind", **wrong):
        if wrong:
            raise TypeError(f"Wrong arguments {wrong}")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(
                f"Wrong number of arguments for {self.name!r}. It must be either {self.nin} or "
                f"{self.nargs} (with outputs), but given {len(args)}."
            )
        inputs = [operand(x) for x in args[: self.nin]]
        if len(args) > self.nin:
            if out is not None:
                raise ValueError("Cannot specify 'out' as both a positional and keyword argument")
            out = args[self.nin :]
        out = self._checked(out)
        options = {} if self._plain else {"casting": casting}
        if dtype is not None:
            options["dtype"] = dtype
        if out is None:
            return call(self._function, *inputs, **options)
        if len(out) == 1:
            return call(self._function, *inputs, out=out[0], **options)
        results = self(*inputs, dtype=dtype, casting=casting)
        for array, result in zip(out, results, strict=True):
            array[...] = result
        return out

    def _checked(self, out):
        if out is None:
            return None
        out = out if isinstance(out, tuple) else (out,)
        if len(out) != self.nout:
            raise ValueError("The 'out' tuple must have exactly one entry per ufunc output")
        for array in out:
            if array is not None and not isinstance(array, ndarray):
                raise TypeError(f"return arrays must be of ArrayType, not {type(array)}")
        return None if None in map(type, out) or out[0] is None else out

    def outer(self, A, B, **kwargs):
        """Apply it to all pairs."""
        from ._creation import array

        A, B = array(A), array(B)
        left = A.reshape(A.shape + (1,) * B.ndim)
        return self(left, B.reshape((1,) * A.ndim + B.shape), **kwargs)

    def at(self, a, indices, b=None):
        """Apply it in place where `indices` say, as often as they say it."""
        if self._scatter is None:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        scatter(a, indices, b, self._scatter)

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        """Apply it between the elements along an axis."""
        if self.name not in ("cupy_add", "cupy_multiply"):
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        method = array.sum if self.name == "cupy_add" else array.prod
        return method(axis, dtype, out, keepdims)

    def accumulate(self, array, axis=0, dtype=None, out=None):
        """Apply it between the elements so far, along an axis."""
        if self.name not in ("cupy_add", "cupy_multiply"):
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        method = array.cumsum if self.name == "cupy_add" else array.cumprod
        return method(axis, dtype, out)

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        """Apply it between the elements of slices."""
        if self.name != "cupy_add":
            raise NotImplementedError(f"`{self.name}.reduceat` is not supported yet")
        return call(np.add.reduceat, array, indices, axis=axis, dtype=dtype, out=out)
