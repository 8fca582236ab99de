"""Arithmetic, element by element, with broadcasting as in NumPy.

Every pull-back ends in `sum_to`: an element that broadcasting used several times
gets the sum of its gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd.shaping import sum_to
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, of_output
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, DeviceError, ShapeError

Operand = Any  # a Tensor, an ndarray or a number: what may stand beside a Tensor


def _pair(op: str, a: Operand, b: Operand) -> tuple[Any, Any]:
    """Return both operands as Tensors of shapes that broadcast, on one device.

    A Python number takes the type of the tensor beside it (NumPy's rule).
    """
    if not isinstance(a, Tensor):
        a = Tensor(_like(a, b))
    if not isinstance(b, Tensor):
        b = Tensor(_like(b, a))
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
            f"{op}: one operand is on {a.device}, the other on {b.device}; move one with .to(...)"
        )
    return a, b


def _like(value: Any, other: Any) -> Array:
    if not isinstance(value, bool | int | float):
        return value if isinstance(value, np.ndarray) else Tensor(value).data
    if not hasattr(other, "dtype"):
        return Tensor(value).data
    other = other.data if isinstance(other, Tensor) else other
    return array_module(other).asarray(value, dtype=np.result_type(other.dtype, value))


@differentiable
def add(a: Operand, b: Operand) -> Lifted:
    """Add: ``y = a + b``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The sum, of the broadcast shape.
    """
    a, b = _pair("add", a, b)
    shape_a, shape_b = a.shape, b.shape
    return a.data + b.data, (lambda g: sum_to(g, shape_a), lambda g: sum_to(g, shape_b))


@differentiable
def subtract(a: Operand, b: Operand) -> Lifted:
    """Subtract: ``y = a - b``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The difference, of the broadcast shape.
    """
    a, b = _pair("subtract", a, b)
    shape_a, shape_b = a.shape, b.shape
    return a.data - b.data, (lambda g: sum_to(g, shape_a), lambda g: sum_to(-g, shape_b))


@differentiable
def multiply(a: Operand, b: Operand) -> Lifted:
    """Multiply: ``y = a * b``, so ``dL/da = dL/dy * b``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The product, of the broadcast shape.
    """
    a, b = _pair("multiply", a, b)

    def grad_a(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y * b, a.shape)

    def grad_b(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y * a, b.shape)

    return a.data * b.data, (grad_a, grad_b)


@differentiable
def divide(a: Operand, b: Operand) -> Lifted:
    """Divide: ``y = a / b``, so ``dL/da = dL/dy / b`` and ``dL/db = -dL/dy * y / b``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The quotient, of the broadcast shape.
    """
    a, b = _pair("divide", a, b)

    def grad_a(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y / b, a.shape)

    @of_output
    def grad_b(grad_y: Tensor, y: Tensor) -> Tensor:
        return sum_to(-grad_y * y / b, b.shape)

    return a.data / b.data, (grad_a, grad_b)


@differentiable
def negative(x: Tensor) -> Lifted:
    """Negate: ``y = -x``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return -x.data, (lambda g: -g,)


@differentiable
def power(a: Operand, b: Operand) -> Lifted:
    """Raise to a power: ``y = a ** b``.

    ``dL/da = dL/dy * b * a**(b-1)`` and, where a > 0, ``dL/db = dL/dy * y * log a``; where a is 0
    or less, the gradient of the exponent is 0.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The power, of the broadcast shape.
    """
    a, b = _pair("power", a, b)

    def grad_a(grad_y: Tensor) -> Tensor:
        # b == 0 is set apart: 0 * 0**-1 would be NaN where the derivative of a constant is 0.
        slope = where(b.data == 0, 0.0, b * power(a, where(b.data == 0, 1.0, b) - 1.0))
        return sum_to(grad_y * slope, a.shape)

    @of_output
    def grad_b(grad_y: Tensor, y: Tensor) -> Tensor:
        logarithm = where(a.data > 0, log(where(a.data > 0, a, 1.0)), 0.0)
        return sum_to(grad_y * y * logarithm, b.shape)

    return a.data**b.data, (grad_a, grad_b)


@differentiable
def exp(x: Tensor) -> Lifted:
    """Compute ``y = e**x``, whose derivative is y itself.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).exp(x.data), (of_output(lambda g, y: g * y),)


@differentiable
def log(x: Tensor) -> Lifted:
    """Compute the natural logarithm; ``dL/dx = dL/dy / x``.

    Parameters
    ----------
    x : Tensor
        Any shape; positive (0 gives -inf, less gives NaN, as in NumPy).

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).log(x.data), (lambda g: g / x,)


@differentiable
def sqrt(x: Tensor) -> Lifted:
    """Compute the square root; ``dL/dx = dL/dy / (2 y)``.

    Parameters
    ----------
    x : Tensor
        Any shape; not negative. At 0 the slope is infinite.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).sqrt(x.data), (of_output(lambda g, y: g / (2.0 * y)),)


@differentiable
def absolute(x: Tensor) -> Lifted:
    """Compute ``y = |x|``; the slope is the sign of x, and 0 at 0.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    xp = array_module(x.data)
    sign = Tensor(xp.sign(x.data))
    return xp.abs(x.data), (lambda g: g * sign,)


@differentiable
def maximum(a: Operand, b: Operand) -> Lifted:
    """Take the larger of two; where they are equal, each gets half of the gradient.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape. NaN wins.
    """
    a, b = _pair("maximum", a, b)
    return array_module(a.data).maximum(a.data, b.data), _of_the_winner(a, b, a.data > b.data)


@differentiable
def minimum(a: Operand, b: Operand) -> Lifted:
    """Take the smaller of two; where they are equal, each gets half of the gradient.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        Of the broadcast shape. NaN wins.
    """
    a, b = _pair("minimum", a, b)
    return array_module(a.data).minimum(a.data, b.data), _of_the_winner(a, b, a.data < b.data)


def _of_the_winner(a: Tensor, b: Tensor, leads: Array) -> tuple[Any, Any]:
    """Pull-backs that route the gradient to `a` where it leads or is NaN, halves where they tie."""
    wins = leads | (a.data != a.data)
    share = Tensor((0.5 * (a.data == b.data) + wins).astype(a.dtype))
    return (
        lambda g: sum_to(g * share, a.shape),
        lambda g: sum_to(g * (1.0 - share), b.shape),
    )


@differentiable
def clip(x: Tensor, low: float | None = None, high: float | None = None) -> Lifted:
    """Limit to the range from `low` to `high`; outside of it the slope is 0.

    Parameters
    ----------
    x : Tensor
        Any shape.
    low, high : number, optional
        The bounds; None for none.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ConfigError
        If both bounds are None or `low` is above `high`.
    """
    if low is None and high is None:
        raise ConfigError("clip: needs low, high or both, got neither")
    if low is not None and high is not None and low > high:
        raise ConfigError(f"clip: low {low} is above high {high}; swap them")
    xp = array_module(x.data)
    inside = xp.ones(x.shape, bool)
    if low is not None:
        inside &= x.data >= low
    if high is not None:
        inside &= x.data <= high
    passes = Tensor(inside.astype(x.dtype))
    return xp.clip(x.data, low, high), (lambda g: g * passes,)


def where(condition: Any, a: Operand, b: Operand) -> Tensor:
    """Choose from `a` where the condition holds, else from `b`.

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
    a, b = _pair("where", a, b)
    xp = array_module(a.data)
    try:
        y = xp.where(condition, a.data, b.data)
    except ValueError:
        raise ShapeError(
            f"where: condition {np.shape(condition)}, a {a.shape} and b {b.shape} do not "
            "broadcast; axes must be equal or 1, counted from the last"
        ) from None
    return y, (
        lambda g: sum_to(_where(g, 0.0, condition), a.shape),
        lambda g: sum_to(_where(0.0, g, condition), b.shape),
    )


@differentiable
def tanh(x: Tensor) -> Lifted:
    """Compute the hyperbolic tangent; ``dL/dx = dL/dy * (1 - y**2)``.

    It saturates: where |x| is large, the slope vanishes, and with it the gradient.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape, between -1 and 1.
    """
    return array_module(x.data).tanh(x.data), (of_output(lambda g, y: g * (1.0 - y * y)),)


def compare(name: str, a: Operand, b: Operand) -> Tensor:
    """Compare element by element with the array function `name`; a Tensor of bool, no gradient."""
    a, b = _pair(name, a, b)
    return Tensor(getattr(array_module(a.data), name)(a.data, b.data))


def to(x: Tensor, device: str) -> Tensor:
    """Return `x` on another device; see `minicnn.set_device` for their names."""
    return _to(x, device)


@differentiable
def _to(x: Tensor, device: str) -> Lifted:
    from minicnn.backend.device import to_device

    home = x.device
    return to_device(x.data, device), (lambda g: to(g, home),)


__all__ = [
    "Operand",
    "absolute",
    "add",
    "clip",
    "compare",
    "divide",
    "exp",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "power",
    "sqrt",
    "subtract",
    "tanh",
    "to",
    "where",
]
