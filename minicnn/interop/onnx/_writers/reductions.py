"""Sums over axes, products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd.graph import Value
from minicnn.errors import ConfigError
from minicnn.interop.onnx._export import Write, Writer, WriteTable


def axes_of(axis: Any) -> np.ndarray | None:
    """Return the input that names the axes; None for all of them."""
    return None if axis is None else np.atleast_1d(np.asarray(axis, np.int64))


def reduction(kind: str) -> Write:
    """Return the writer of a reduction over axes."""

    def write(w: Writer, x: Value, axis: Any, keepdims: bool) -> str:
        if isinstance(axis, tuple) and not axis:
            return w("Identity", x)  # ONNX takes no axes for all axes
        return w(kind, x, axes_of(axis), keepdims=int(keepdims))

    return write


def place(kind: str) -> Write:
    """Return the writer of argmax and argmin."""

    def write(w: Writer, x: Value, axis: int | None, keepdims: bool, last: bool) -> str:
        more = {"keepdims": int(keepdims), "select_last_index": int(last)}
        if axis is None and not keepdims:
            return w(kind, w("Reshape", x, np.array([-1])), axis=0, **more)
        return w(kind, x, axis=axis, **more)

    return write


def _dense(w: Writer, x: Value, weight: Value, bias: Value | None) -> str:
    return w("Gemm", x, weight, bias, transB=1)


def _einsum(w: Writer, equation: str, xs: tuple[Value, ...]) -> str:
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    dots = {
        len(x.shape) - len(t.replace("...", "")) for t, x in zip(terms, xs, strict=True) if "." in t
    }
    if len(dots) > 1:
        raise ConfigError(
            f"to_onnx: einsum {equation!r} has no counterpart in ONNX, where ... is as many axes "
            "in all operands"
        )
    return w("Einsum", *xs, equation=equation)


TABLE: WriteTable = {
    **{
        op: reduction(kind)
        for op, kind in {
            "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin",
            "prod": "ReduceProd", "logsumexp": "ReduceLogSumExp",
        }.items()
    },
    "argmax": place("ArgMax"),
    "argmin": place("ArgMin"),
    "dense": _dense,
    "einsum": _einsum,
    "matmul": lambda w, a, b: w("MatMul", a, b),
}  # fmt: skip
