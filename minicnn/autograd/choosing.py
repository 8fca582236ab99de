"""Comparing, and choosing one of two: where, limits, maximum and minimum."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd._operands import Operand, pair
from minicnn.autograd.shaping import sum_to
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.autograd.watching import composed
from minicnn.backend import Array, array_module
from minicnn.errors import DTypeError, ShapeError


@differentiable
def maximum(a: Operand, b: Operand) -> Lifted:
    """Take the larger of two, ``y = max(a, b)``; of equal ones each gets half of the gradient.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape. NaN wins.
    """
    a, b = pair("maximum", a, b)
    return array_module(a.data).maximum(a.data, b.data), _of_the_winner(a, b, a.data > b.data)


@differentiable
def minimum(a: Operand, b: Operand) -> Lifted:
    """Take the smaller of two, ``y = min(a, b)``; of equal ones each gets half of the gradient.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape. NaN wins.
    """
    a, b = pair("minimum", a, b)
    return array_module(a.data).minimum(a.data, b.data), _of_the_winner(a, b, a.data < b.data)


def _of_the_winner(a: Tensor, b: Tensor, leads: Array) -> tuple[Any, Any]:
    """Pull-backs that route the gradient to `a` where it leads or is NaN, halves where they tie."""
    wins = leads | (a.data != a.data)
    share = Tensor((0.5 * (a.data == b.data) + wins).astype(a.dtype))
    # y = a where a wins, else b. With its share s, 1 or 0 and 1/2 in a tie:
    #     dL/da = dL/dy * s,   dL/db = dL/dy * (1 - s)
    return (
        lambda g: sum_to(g * share, a.shape),
        lambda g: sum_to(g * (1.0 - share), b.shape),
    )


@differentiable
def clip(x: Tensor, low: Operand = None, high: Operand = None) -> Lifted:
    """Limit to the range from `low` to `high`: ``y = min(max(x, low), high)``.

    The gradient goes to where the value came from: to x inside the range and at its ends, else to
    the bound, if that is a Tensor which wants one.

    Parameters
    ----------
    x : Tensor
        Any shape.
    low, high : Tensor, ndarray or number, optional
        The bounds, of shapes that broadcast with x's; None for none. Where `low` is above
        `high`, the value is `high`, as in NumPy and ONNX.

    Returns
    -------
    Tensor
        Of the broadcast shape, which is x's where bounds are numbers.
    """
    xp = array_module(x.data)
    y, inside = x.data, xp.ones((), bool)
    if low is not None:
        x, low = pair("clip", x, low)
        y, inside = xp.maximum(y, low.data), inside & (x.data >= low.data)
    if high is not None:
        at_least_low, high = pair("clip", Tensor(y), high)
        y, inside = xp.minimum(y, high.data), inside & (x.data <= high.data)

    # y = low where x < low, unless low > high: there dL/dlow = dL/dy, elsewhere 0
    def grad_low(grad_y: Tensor) -> Tensor:
        reached = x.data < low.data
        if high is not None:
            reached = reached & (low.data <= high.data)
        return sum_to(_where(grad_y, 0.0, reached), low.shape)

    # y = high where max(x, low) > high: there dL/dhigh = dL/dy, elsewhere 0
    def grad_high(grad_y: Tensor) -> Tensor:
        return sum_to(_where(grad_y, 0.0, at_least_low.data > high.data), high.shape)

    # y = x where low <= x <= high: there dL/dx = dL/dy, elsewhere 0
    def grad_x(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y * Tensor(inside.astype(grad_y.dtype)), x.shape)

    return xp.array(y), (grad_x, grad_low, grad_high)


@composed
def where(condition: Any, a: Operand, b: Operand) -> Tensor:
    """Choose from `a` where the condition holds, else from `b`: ``y = a if condition else b``.

    Parameters
    ----------
    condition : Tensor or ndarray of bool
        A shape that broadcasts with the others.
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape; the branch that was not chosen gets no gradient.
    """
    chosen = condition.data if isinstance(condition, Tensor) else condition
    return _where(a, b, chosen)


@differentiable
def _where(a: Operand, b: Operand, condition: Array) -> Lifted:
    a, b = pair("where", a, b)
    xp = array_module(a.data)
    try:
        y = xp.where(condition, a.data, b.data)
    except ValueError:
        raise ShapeError(
            f"where: condition {np.shape(condition)}, a {a.shape} and b {b.shape} do not "
            "broadcast; axes must be equal or 1, counted from the last"
        ) from None
    # y = a where the condition holds, else b: dL/dy goes to the chosen one, and 0 to the other
    return y, (
        lambda g: sum_to(_where(g, 0.0, condition), a.shape),
        lambda g: sum_to(_where(0.0, g, condition), b.shape),
    )


def compare(name: str, a: Operand, b: Operand) -> Tensor:
    """Compare element by element with the array function `name`; a Tensor without a gradient."""
    a, b = pair(name, a, b)
    if name.startswith("bitwise") and "f" in a.dtype.kind + b.dtype.kind:
        raise DTypeError(
            f"{name}: needs bool or whole numbers, got {a.dtype} {a.shape} and {b.dtype} "
            f"{b.shape}; compare first"
        )
    return Tensor(getattr(array_module(a.data), name)(a.data, b.data))


def invert(x: Tensor) -> Tensor:
    """Turn true into false and false into true (of whole numbers, every bit); no gradient."""
    if x.dtype.kind == "f":
        raise DTypeError(
            f"invert: needs bool or whole numbers, got {x.dtype} {x.shape}; compare first"
        )
    return Tensor(~x.data)
