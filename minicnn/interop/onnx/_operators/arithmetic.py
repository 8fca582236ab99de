"""Arithmetic, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Array, Table


def with_axis(op: Callable[..., Any]) -> Callable[..., Any]:
    """Return a binary op with the broadcasting of opsets 1 to 6: from a given axis on."""

    def of_old(a: Tensor, b: Tensor, *, broadcast: int = 0, axis: int | None = None) -> Any:
        if broadcast and axis is not None and b.ndim:
            b = b.reshape((*b.shape, *(1,) * (a.ndim - axis % a.ndim - b.ndim)))
        return op(a, b)

    return of_old


def divide(a: Tensor, b: Tensor) -> Any:
    """Divide; ints towards zero, as in C."""
    if a.dtype.kind == "f":
        return ops.divide(a, b)
    quotient = a.data // b.data  # towards minus infinity
    off = (quotient * b.data != a.data) & ((a.data < 0) != (b.data < 0))
    return (quotient + off).astype(a.dtype)


def power(a: Tensor, b: Tensor) -> Any:
    """Raise to a power, in the type of the base."""
    if a.dtype.kind == "f":
        return ops.power(a, b.astype(a.dtype) if b.dtype != a.dtype else b)
    if b.dtype.kind == "f" or (b.data < 0).any():
        return (a.data.astype("float64") ** b.data).astype(a.dtype)
    return (a.data**b.data).astype(a.dtype)


def mod(a: Tensor, b: Tensor, *, fmod: Literal[0, 1] = 0) -> Any:
    """Compute the remainder: with the sign of b, or with fmod that of a, as in C."""
    if a.dtype.kind != "f":
        xp = array_module(a.data)
        return xp.fmod(a.data, b.data) if fmod else xp.mod(a.data, b.data)
    if not fmod:
        return ops.mod(a, b)
    sign = np.where(np.signbit(a.data), -1, 1).astype(a.dtype)
    return ops.mod(ops.absolute(a), ops.absolute(b)) * Tensor(sign)


def clip_to(x: Tensor, *, min: float | None = None, max: float | None = None) -> Any:
    """Clip to attributes, in opsets 1 to 10."""
    return clip(x, min, max)


def clip_between(x: Tensor, low: Array = None, high: Array = None) -> Any:
    """Clip to inputs; both are single numbers."""
    return clip(x, *(None if v is None else v.item() for v in (low, high)))


def clip(x: Tensor, low: Any, high: Any) -> Any:
    """Clip; where the bounds cross, the upper one wins."""
    if low is None and high is None:
        return x
    if low is not None and high is not None and low > high:
        low = high
    return ops.clip(x, low, high)


def folded(op: Callable[..., Any]) -> Callable[..., Any]:
    """Return an op of any number of operands."""

    def of_many(first: Tensor, *rest: Tensor) -> Any:
        for other in rest:
            first = op(first, other)
        return first

    return of_many


def mean(*operands: Tensor) -> Any:
    """Average any number of operands."""
    return folded(ops.add)(*operands) * (1.0 / len(operands))


OPERATORS: Table = {
    "Abs": ops.absolute,
    "Add": {1: with_axis(ops.add), 7: ops.add},
    "Ceil": ops.ceil,
    "Clip": {1: clip_to, 11: clip_between},
    "Div": {1: with_axis(divide), 7: divide},
    "Erf": ops.erf,
    "Exp": ops.exp,
    "Floor": ops.floor,
    "Log": ops.log,
    "Max": folded(ops.maximum),
    "Mean": mean,
    "Min": folded(ops.minimum),
    "Mod": mod,
    "Mul": {1: with_axis(ops.multiply), 7: ops.multiply},
    "Neg": ops.negative,
    "Pow": {1: with_axis(power), 7: power},
    "Reciprocal": ops.reciprocal,
    "Round": ops.round,
    "Sign": ops.sign,
    "Sqrt": ops.sqrt,
    "Sub": {1: with_axis(ops.subtract), 7: ops.subtract},
    "Sum": folded(ops.add),
    "Acos": ops.arccos,
    "Acosh": ops.arccosh,
    "Asin": ops.arcsin,
    "Asinh": ops.arcsinh,
    "Atan": ops.arctan,
    "Atanh": ops.arctanh,
    "Cos": ops.cos,
    "Cosh": ops.cosh,
    "Sin": ops.sin,
    "Sinh": ops.sinh,
    "Tan": ops.tan,
    "Tanh": ops.tanh,
}
