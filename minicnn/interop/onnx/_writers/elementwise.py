"""Arithmetic, functions of one number, activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd.graph import Value
from minicnn.interop.onnx._export import Write, Writer, WriteTable


def like(number: Any, other: Any) -> Any:
    """Return a plain number as an array of the other operand's type; Values as they are."""
    if isinstance(number, Value) or not isinstance(other, Value):
        return number
    return np.asarray(number, other.dtype)


def unary(kind: str) -> Write:
    """Return the writer of a function of one tensor that has an operator of its own."""
    return lambda w, x: w(kind, x)


def binary(kind: str) -> Write:
    """Return the writer of a function of two tensors or numbers."""
    return lambda w, a, b: w(kind, like(a, b), like(b, a))


def _where(w: Writer, condition: Any, a: Any, b: Any) -> str:
    return w("Where", condition, like(a, b), like(b, a))


def _log1p(w: Writer, x: Value) -> str:
    return w("Log", w("Add", x, like(1, x)))


def _expm1(w: Writer, x: Value) -> str:
    return w("Sub", w("Exp", x), like(1, x))


def _floor_divide(w: Writer, a: Any, b: Any) -> str:
    return w("Floor", w("Div", like(a, b), like(b, a)))


def _mod(w: Writer, a: Any, b: Any) -> str:
    # ONNX's Mod of floats has the sign of C's fmod; that of Python is a - floor(a / b) * b
    return w("Sub", like(a, b), w("Mul", _floor_divide(w, a, b), like(b, a)))


def _fmod(w: Writer, a: Any, b: Any) -> str:
    return w("Mod", like(a, b), like(b, a), fmod=1)


def _clip(w: Writer, x: Value, low: Any, high: Any) -> Any:
    bounds = [None if n is None else like(n, x) for n in (low, high)]
    if any(n is not None and n.shape for n in bounds):  # Clip knows single numbers only
        above = x if bounds[0] is None else w("Max", x, bounds[0])
        return above if bounds[1] is None else w("Min", above, bounds[1])
    return w("Clip", x, *bounds)


def _prelu(w: Writer, x: Value, slope: Value) -> str:
    # One slope for each channel, while ONNX aligns shapes at the last axis.
    if len(x.shape) > 2:
        aligned = w("Reshape", slope, np.array([-1] + [1] * (len(x.shape) - 2)))
        return w("PRelu", x, aligned)
    return w("PRelu", x, slope)


def _silu(w: Writer, x: Value, beta: float) -> str:
    steep = x if beta == 1 else w("Mul", x, like(beta, x))
    return w("Mul", x, w("Sigmoid", steep))


def _softplus(w: Writer, x: Value, beta: float = 1.0) -> str:
    if beta == 1:
        return w("Softplus", x)
    return w("Div", w("Softplus", w("Mul", x, like(beta, x))), like(beta, x))


TABLE: WriteTable = {
    **{
        op: unary(kind)
        for op, kind in {
            "absolute": "Abs", "arccos": "Acos", "arccosh": "Acosh", "arcsin": "Asin",
            "arcsinh": "Asinh", "arctan": "Atan", "arctanh": "Atanh", "ceil": "Ceil", "cos": "Cos",
            "cosh": "Cosh", "erf": "Erf", "exp": "Exp", "floor": "Floor", "hard_swish": "HardSwish",
            "log": "Log", "mish": "Mish", "negative": "Neg", "reciprocal": "Reciprocal",
            "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin",
            "sinh": "Sinh", "softsign": "Softsign", "sqrt": "Sqrt", "tan": "Tan", "tanh": "Tanh",
        }.items()
    },
    **{
        op: binary(kind)
        for op, kind in {
            "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow",
            "maximum": "Max", "minimum": "Min",
        }.items()
    },
    "celu": lambda w, x, alpha: w("Celu", x, alpha=float(alpha)),
    "clip": _clip,
    "elu": lambda w, x, alpha: w("Elu", x, alpha=float(alpha)),
    "expm1": _expm1,
    "floor_divide": _floor_divide,
    "fmod": _fmod,
    "gelu": lambda w, x, approximate: w("Gelu", x, approximate=approximate),
    "hardmax": lambda w, x, axis: w("Hardmax", x, axis=axis),
    "hard_sigmoid": lambda w, x, alpha, beta: w("HardSigmoid", x, alpha=alpha, beta=beta),
    "hard_tanh": _clip,
    "leaky_relu": lambda w, x, slope: w("LeakyRelu", x, alpha=float(slope)),
    "log1p": _log1p,
    "log_softmax": lambda w, x, axis: w("LogSoftmax", x, axis=axis),
    "mod": _mod,
    "prelu": _prelu,
    "relu6": lambda w, x: _clip(w, x, 0, 6),
    "selu": lambda w, x, alpha, scale: w("Selu", x, alpha=float(alpha), gamma=float(scale)),
    "shrink": lambda w, x, lambd, bias: w("Shrink", x, lambd=float(lambd), bias=float(bias)),
    "silu": _silu,
    "softmax": lambda w, x, axis: w("Softmax", x, axis=axis),
    "softplus": _softplus,
    "square": lambda w, x: w("Mul", x, x),
    "thresholded_relu": lambda w, x, alpha: w("ThresholdedRelu", x, alpha=float(alpha)),
    "where": _where,
}  # fmt: skip
