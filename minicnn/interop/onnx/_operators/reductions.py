"""What summarises axes: reductions, the places of extremes, running sums."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Array, Ints, Number, Table

Reduce = Callable[[Tensor, Ints | None, bool], Any]  # over which axes, None: over all


def reduction(reduce: Reduce, since: int = 18) -> dict[int, Callable[..., Any]]:
    """Return a reduction whose axes are an attribute at first, an input from an opset on."""

    def by_attribute(x: Tensor, *, axes: Ints | None = None, keepdims: bool = True) -> Any:
        return in_its_type(x, reduce(x, axes, keepdims))

    def by_input(
        x: Tensor, axes: Ints | None = None, *, keepdims: bool = True, noop_with_empty_axes: int = 0
    ) -> Any:
        if not axes:
            axes = () if noop_with_empty_axes else None
        return in_its_type(x, reduce(x, axes, keepdims))

    return {1: by_attribute, since: by_input}


def in_its_type(x: Tensor, y: Tensor) -> Tensor:
    """Return y in the type of x: NumPy sums small ints in larger ones."""
    return y if y.dtype == x.dtype else y.astype(x.dtype)


def mean(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Average; ints towards zero."""
    return ops.mean(x if x.dtype.kind == "f" else x.astype("float64"), axes, keepdims)


def l1(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Sum the absolute values."""
    return ops.sum(ops.absolute(x), axes, keepdims)


def l2(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Take the root of the sum of the squares."""
    return ops.norm(x if x.dtype.kind == "f" else x.astype("float64"), 2, axes, keepdims)


def log_sum(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Take the logarithm of the sum."""
    return ops.log(ops.sum(x if x.dtype.kind == "f" else x.astype("float64"), axes, keepdims))


def log_sum_exp(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Take the logarithm of the sum of the exponentials."""
    return ops.logsumexp(x if x.dtype.kind == "f" else x.astype("float64"), axes, keepdims)


def sum_square(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Sum the squares."""
    return ops.sum(x * x, axes, keepdims)


def prod(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
    """Multiply."""
    return ops.prod(x, axes, keepdims)


def extreme(op: Callable[..., Tensor], sign: int) -> Reduce:
    """Return a maximum or minimum, which of nothing is the smallest or largest number."""

    def reduce(x: Tensor, axes: Ints | None, keepdims: bool) -> Tensor:
        around = range(x.ndim) if axes is None else [a % x.ndim for a in axes]
        if math.prod(x.shape[a] for a in around):
            return op(x, axes, keepdims)
        shape = [
            1 if i in around else n for i, n in enumerate(x.shape) if keepdims or i not in around
        ]
        if x.dtype.kind == "f":
            nothing = sign * np.inf
        elif x.dtype.kind == "b":
            nothing = sign > 0
        else:
            limits = np.iinfo(x.dtype)
            nothing = limits.max if sign > 0 else limits.min
        return Tensor(array_module(x.data).full(shape, nothing, x.dtype))

    return reduce


def place(name: str) -> Callable[..., Any]:
    """Return ArgMax or ArgMin."""

    def find(
        x: Array, *, axis: int = 0, keepdims: bool = True, select_last_index: bool = False
    ) -> Any:
        xp = array_module(x)
        at = xp.asarray(getattr(xp.flip(x, axis) if select_last_index else x, name)(axis))
        if select_last_index:
            at = x.shape[axis] - 1 - at
        return (xp.expand_dims(at, axis) if keepdims else at).astype("int64")

    return find


def cumsum(x: Tensor, axis: Number, *, exclusive: bool = False, reverse: bool = False) -> Any:
    """Sum all elements up to each."""
    return in_its_type(x, ops.cumsum(x, axis, exclusive=exclusive, reverse=reverse))


def cumprod(x: Tensor, axis: Number, *, exclusive: bool = False, reverse: bool = False) -> Any:
    """Multiply all elements up to each."""
    return in_its_type(x, ops.cumprod(x, axis, exclusive=exclusive, reverse=reverse))


OPERATORS: Table = {
    "ArgMax": place("argmax"),
    "ArgMin": place("argmin"),
    "CumProd": cumprod,
    "CumSum": cumsum,
    "ReduceL1": reduction(l1),
    "ReduceL2": reduction(l2),
    "ReduceLogSum": reduction(log_sum),
    "ReduceLogSumExp": reduction(log_sum_exp),
    "ReduceMax": reduction(extreme(ops.max, -1)),
    "ReduceMean": reduction(mean),
    "ReduceMin": reduction(extreme(ops.min, 1)),
    "ReduceProd": reduction(prod),
    "ReduceSum": reduction(ops.sum, since=13),
    "ReduceSumSquare": reduction(sum_square),
}
