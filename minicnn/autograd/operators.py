"""Binds the ops to Tensor: its operators, and the methods that NumPy's arrays have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import (
    accumulating,
    choosing,
    exponential,
    extremes,
    indexing,
    joining,
    linear_algebra,
    reductions,
    rounding,
    shaping,
    trigonometry,
)
from minicnn.autograd import arithmetic as at
from minicnn.autograd._from_numpy import ForNumPyAlone, from_numpy
from minicnn.autograd._operands import is_operand
from minicnn.autograd.tensor import Tensor


def _reshape(self: Tensor, *shape: Any) -> Tensor:
    """Give the same elements another shape, ``x.reshape(2, 3)`` or ``x.reshape((2, 3))``."""
    return shaping.reshape(self, shape[0] if len(shape) == 1 else shape)


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    """Reorder the axes, ``x.transpose(1, 0)`` or ``x.transpose((1, 0))``; without any, reverse."""
    if len(axes) == 1 and np.ndim(axes[0]):
        return shaping.transpose(self, axes[0])
    return shaping.transpose(self, axes or None)


def _equal_or_not(name: str) -> Callable[[Tensor, Any], Any]:
    """Compare with numbers; what is no number at all is not equal, and no reason to fail."""
    return lambda a, b: choosing.compare(name, a, b) if is_operand(b) else NotImplemented


def _contains(self: Tensor, value: Any) -> bool:
    """Tell whether any element equals `value`, as NumPy's ``in`` does."""
    return is_operand(value) and bool(choosing.compare("equal", self, value).data.any())


_METHODS = {
    "__add__": at.add,
    "__radd__": lambda a, b: at.add(b, a),
    "__sub__": at.subtract,
    "__rsub__": lambda a, b: at.subtract(b, a),
    "__mul__": at.multiply,
    "__rmul__": lambda a, b: at.multiply(b, a),
    "__truediv__": at.divide,
    "__rtruediv__": lambda a, b: at.divide(b, a),
    "__pow__": at.power,
    "__rpow__": lambda a, b: at.power(b, a),
    "__matmul__": linear_algebra.matmul,
    "__rmatmul__": lambda a, b: linear_algebra.matmul(b, a),
    "__neg__": at.negative,
    "__abs__": at.absolute,
    "__getitem__": indexing.getitem,
    "__floordiv__": at.floor_divide,
    "__rfloordiv__": lambda a, b: at.floor_divide(b, a),
    "__mod__": at.mod,
    "__rmod__": lambda a, b: at.mod(b, a),
    "__lt__": lambda a, b: choosing.compare("less", a, b),
    "__le__": lambda a, b: choosing.compare("less_equal", a, b),
    "__gt__": lambda a, b: choosing.compare("greater", a, b),
    "__ge__": lambda a, b: choosing.compare("greater_equal", a, b),
    "__eq__": _equal_or_not("equal"),
    "__ne__": _equal_or_not("not_equal"),
    "__and__": lambda a, b: choosing.compare("bitwise_and", a, b),
    "__rand__": lambda a, b: choosing.compare("bitwise_and", b, a),
    "__or__": lambda a, b: choosing.compare("bitwise_or", a, b),
    "__ror__": lambda a, b: choosing.compare("bitwise_or", b, a),
    "__xor__": lambda a, b: choosing.compare("bitwise_xor", a, b),
    "__rxor__": lambda a, b: choosing.compare("bitwise_xor", b, a),
    "__invert__": choosing.invert,
    "__contains__": _contains,
    "__array_ufunc__": ForNumPyAlone(from_numpy),
    "exp": exponential.exp,
    "log": exponential.log,
    "sqrt": exponential.sqrt,
    "tanh": trigonometry.tanh,
    "abs": at.absolute,
    "clip": choosing.clip,
    "round": rounding.round,
    "to": at.to,
    "sum": reductions.sum,
    "mean": reductions.mean,
    "var": reductions.var,
    "std": reductions.std,
    "prod": accumulating.prod,
    "cumsum": accumulating.cumsum,
    "cumprod": accumulating.cumprod,
    "max": extremes.max,
    "min": extremes.min,
    "argmax": extremes.argmax,
    "argmin": extremes.argmin,
    "reshape": _reshape,
    "transpose": _transpose,
    "swapaxes": shaping.swapaxes,
    "repeat": joining.repeat,
    "diagonal": linear_algebra.diagonal,
    "trace": linear_algebra.trace,
    "squeeze": shaping.squeeze,
    "expand_dims": shaping.expand_dims,
    "broadcast_to": shaping.broadcast_to,
    "astype": shaping.astype,
    "T": property(_transpose),
}

for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
