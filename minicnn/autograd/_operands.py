"""What may stand beside a Tensor, and what becomes of it there."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd.tensor import Tensor
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import DeviceError, DTypeError, ShapeError
from minicnn.kernels import plain

Operand = Any  # a Tensor, an ndarray or a number

_WORTH = 1 << 13  # elements that are worth a call of a kernel


def pair(op: str, a: Operand, b: Operand) -> tuple[Any, Any]:
    """Return both operands as Tensors of shapes that broadcast, on one device.

    A Python number takes the type of the tensor beside it (NumPy's rule).
    """
    if not isinstance(a, Tensor):
        a = Tensor(_like(op, a, b))
    if not isinstance(b, Tensor):
        b = Tensor(_like(op, b, a))
    if a.shape != b.shape:
        try:
            np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ShapeError(
                f"{op}: shapes {a.shape} and {b.shape} do not broadcast; axes must be equal or 1, "
                "counted from the last"
            ) from None
    if a.device != b.device:
        raise DeviceError(
            f"{op}: one operand is on {a.device} {a.shape}, the other on {b.device} {b.shape}; "
            "move one with .to(...)"
        )
    return a, b


def kernels_worth(x: Array) -> Any:
    """Return the kernels for large arrays, and array expressions for small ones.

    Those are as fast as long as a kernel would take to be called; and who computes with a few
    numbers need not wait for a compiler to be loaded.
    """
    return kernels_for(x) if x.size >= _WORTH else plain


def is_operand(value: Any) -> bool:
    """Tell whether a value looks like numbers at all, so that comparing with it makes sense."""
    return isinstance(value, int | float | list | tuple) or hasattr(value, "dtype")


def no_truth(op: str, *operands: Tensor) -> None:
    """Refuse an op that NumPy does not define on bool."""
    for x in operands:
        if x.dtype == bool:
            raise DTypeError(f"{op}: needs numbers, got bool {x.shape}; use .astype('float32')")


def _like(op: str, value: Any, other: Any) -> Array:
    if isinstance(value, bool | int | float) and hasattr(other, "dtype"):
        other = other.data if isinstance(other, Tensor) else other
        xp, dtype = array_module(other), np.result_type(other.dtype, value)
        # On a GPU a number is written by a kernel: no copy, which could not be captured.
        return np.asarray(value, dtype=dtype) if xp is np else xp.full((), value, dtype)
    if isinstance(value, np.generic) and hasattr(other, "dtype"):
        xp = array_module(other.data if isinstance(other, Tensor) else other)
        return np.asarray(value) if xp is np else xp.full((), value, value.dtype)
    if isinstance(value, np.ndarray):
        return value
    try:
        return Tensor(value).data
    except DTypeError:
        raise DTypeError(
            f"{op}: an operand must be a Tensor, an array or a number, got {value!r:.60}; wrap it: "
            "minicnn.Tensor(numpy.asarray(...))"
        ) from None
