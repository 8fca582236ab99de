"""Comparisons, logic, bits, and changes of type: what has no gradient, and Cast, which has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.errors import DTypeError
from minicnn.interop.onnx._operator import DTYPES, Array, DType, Table
from minicnn.interop.onnx._operators.arithmetic import with_axis


def of_arrays(name: str) -> Callable[..., Any]:
    """Return the function of two arrays that NumPy and CuPy know by a name."""

    def compare(a: Array, b: Array) -> Any:
        return getattr(array_module(a), name)(a, b)

    return compare


def of_array(name: str) -> Callable[..., Any]:
    """Return the function of one array that NumPy and CuPy know by a name."""

    def test(x: Array) -> Any:
        return getattr(array_module(x), name)(x)

    return test


def old(name: str) -> Callable[..., Any]:
    """Return a comparison with the broadcasting of opsets 1 to 6."""
    compare = of_arrays(name)
    return with_axis(lambda a, b: compare(a.data, b.data))


def is_inf(x: Array, *, detect_negative: bool = True, detect_positive: bool = True) -> Any:
    """Find infinities."""
    xp = array_module(x)
    found = xp.zeros(x.shape, bool)
    if detect_negative:
        found = found | (x == -np.inf)
    if detect_positive:
        found = found | (x == np.inf)
    return found


def bit_shift(x: Array, by: Array, *, direction: Literal["LEFT", "RIGHT"]) -> Any:
    """Shift the bits of whole numbers; of more than the type has, those of the sign are left."""
    xp = array_module(x)
    bits = 8 * x.dtype.itemsize
    fits = (by >= 0) & (by < bits)
    inside = xp.where(fits, by, 0).astype(x.dtype)
    if direction == "LEFT":
        return xp.where(fits, xp.left_shift(x, inside), 0).astype(x.dtype)
    rest = xp.where(x < 0, -1, 0).astype(x.dtype) if x.dtype.kind == "i" else 0
    return xp.where(fits, xp.right_shift(x, inside), rest).astype(x.dtype)


def cast(
    x: Tensor, *, to: DType, saturate: int = 1, round_mode: str = "up"
) -> Any:  # both matter to 8-bit floats only
    """Convert to another type; floats to ints towards zero."""
    return convert(x, to)


def cast_like(x: Tensor, like: Array, *, saturate: int = 1, round_mode: str = "up") -> Any:
    """Convert to the type of another tensor."""
    return convert(x, like.dtype)


def convert(x: Tensor, dtype: np.dtype) -> Tensor:
    """Convert to another type, of those that NumPy has itself."""
    if dtype.name not in DTYPES.values():
        raise DTypeError(f"Cast: {dtype} is no type of NumPy's; tensors cannot hold it")
    if x.dtype == dtype:
        return x
    with np.errstate(invalid="ignore"):  # a NaN becomes whatever the machine makes of it
        return x.astype(dtype)


def bit_cast(x: Array, *, to: DType) -> Any:
    """Take the same bits for another type of the same size."""
    return np.ascontiguousarray(x).reshape(x.shape).view(to)


def where(condition: Array, a: Tensor, b: Tensor) -> Any:
    """Choose."""
    return ops.where(condition, a, b)


OPERATORS: Table = {
    "And": {1: old("logical_and"), 7: of_arrays("logical_and")},
    "BitCast": bit_cast,
    "BitShift": bit_shift,
    "BitwiseAnd": of_arrays("bitwise_and"),
    "BitwiseNot": of_array("invert"),
    "BitwiseOr": of_arrays("bitwise_or"),
    "BitwiseXor": of_arrays("bitwise_xor"),
    "Cast": {6: cast},
    "CastLike": cast_like,
    "Equal": {1: old("equal"), 7: of_arrays("equal")},
    "Greater": {1: old("greater"), 7: of_arrays("greater")},
    "GreaterOrEqual": of_arrays("greater_equal"),
    "IsInf": is_inf,
    "IsNaN": of_array("isnan"),
    "Less": {1: old("less"), 7: of_arrays("less")},
    "LessOrEqual": of_arrays("less_equal"),
    "Not": of_array("logical_not"),
    "Or": {1: old("logical_or"), 7: of_arrays("logical_or")},
    "Where": where,
    "Xor": {1: old("logical_xor"), 7: of_arrays("logical_xor")},
}
