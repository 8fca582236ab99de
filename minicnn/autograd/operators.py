"""Binds the ops to Tensor: its operators, and the methods that NumPy's arrays have."""

from __future__ import annotations

from typing import Any

from minicnn.autograd import arithmetic as at
from minicnn.autograd import reductions, shaping
from minicnn.autograd.tensor import Tensor


def _reshape(self: Tensor, *shape: Any) -> Tensor:
    """Give the same elements another shape, ``x.reshape(2, 3)`` or ``x.reshape((2, 3))``."""
    return shaping.reshape(self, shape[0] if len(shape) == 1 else shape)


def _transpose(self: Tensor, *axes: Any) -> Tensor:
    """Reorder the axes, ``x.transpose(1, 0)`` or ``x.transpose((1, 0))``; without any, reverse."""
    if len(axes) == 1 and not isinstance(axes[0], int):
        return shaping.transpose(self, axes[0])
    return shaping.transpose(self, axes or None)


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
    "__matmul__": reductions.matmul,
    "__rmatmul__": lambda a, b: reductions.matmul(b, a),
    "__neg__": at.negative,
    "__abs__": at.absolute,
    "__getitem__": shaping.getitem,
    "__lt__": lambda a, b: at.compare("less", a, b),
    "__le__": lambda a, b: at.compare("less_equal", a, b),
    "__gt__": lambda a, b: at.compare("greater", a, b),
    "__ge__": lambda a, b: at.compare("greater_equal", a, b),
    "__eq__": lambda a, b: NotImplemented if b is None else at.compare("equal", a, b),
    "__ne__": lambda a, b: NotImplemented if b is None else at.compare("not_equal", a, b),
    "exp": at.exp,
    "log": at.log,
    "sqrt": at.sqrt,
    "tanh": at.tanh,
    "abs": at.absolute,
    "clip": at.clip,
    "to": at.to,
    "sum": reductions.sum,
    "mean": reductions.mean,
    "var": reductions.var,
    "max": reductions.max,
    "min": reductions.min,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "reshape": _reshape,
    "transpose": _transpose,
    "squeeze": shaping.squeeze,
    "expand_dims": shaping.expand_dims,
    "broadcast_to": shaping.broadcast_to,
    "astype": shaping.astype,
    "T": property(_transpose),
}

for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
