"""Arithmetic, element by element, with broadcasting as in NumPy.

Every pull-back ends in `sum_to`: an element that broadcasting used several times
gets the sum of its gradients.
"""

from __future__ import annotations

from minicnn.autograd._operands import Operand, kernels_worth, no_truth, pair
from minicnn.autograd.choosing import where
from minicnn.autograd.exponential import log
from minicnn.autograd.rounding import flat
from minicnn.autograd.shaping import sum_to
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, of_output
from minicnn.backend import Array, array_module
from minicnn.errors import DTypeError


def _combined(name: str, a: Tensor, b: Tensor) -> Array:
    """Apply a function of two numbers by its name in NumPy."""
    larger = a.data if a.size >= b.size else b.data
    return kernels_worth(larger).combine(name, a.data, b.data)


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
    a, b = pair("add", a, b)
    shape_a, shape_b = a.shape, b.shape
    # y = a + b: dL/da = dL/dy, dL/db = dL/dy
    return _combined("add", a, b), (
        lambda g: sum_to(g, shape_a),
        lambda g: sum_to(g, shape_b),
    )


@differentiable
def subtract(a: Operand, b: Operand) -> Lifted:
    """Subtract: ``y = a - b``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast; not both of bool.

    Returns
    -------
    Tensor
        The difference, of the broadcast shape.
    """
    a, b = pair("subtract", a, b)
    if a.dtype == b.dtype:
        no_truth("subtract", a)
    shape_a, shape_b = a.shape, b.shape
    # y = a - b: dL/da = dL/dy, dL/db = -dL/dy
    return _combined("subtract", a, b), (
        lambda g: sum_to(g, shape_a),
        lambda g: sum_to(-g, shape_b),
    )


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
    a, b = pair("multiply", a, b)

    def grad_a(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y * b, a.shape)

    def grad_b(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y * a, b.shape)

    return _combined("multiply", a, b), (grad_a, grad_b)


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
    a, b = pair("divide", a, b)

    def grad_a(grad_y: Tensor) -> Tensor:
        return sum_to(grad_y / b, a.shape)

    @of_output
    def grad_b(grad_y: Tensor, y: Tensor) -> Tensor:
        return sum_to(-grad_y * y / b, b.shape)

    return _combined("divide", a, b), (grad_a, grad_b)


@differentiable
def floor_divide(a: Operand, b: Operand) -> Lifted:
    """Divide and round down: ``y = floor(a / b)``. It is flat between its jumps: no gradient flows.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The quotient, of the broadcast shape; its gradients are 0.
    """
    a, b = pair("floor_divide", a, b)
    shape_a, shape_b = a.shape, b.shape
    # y is flat between its jumps: dL/da = 0, dL/db = 0
    return a.data // b.data, (
        lambda g: sum_to(flat(g), shape_a),
        lambda g: sum_to(flat(g), shape_b),
    )


@differentiable
def mod(a: Operand, b: Operand) -> Lifted:
    """Take what division leaves, with the sign of `b`: ``y = a - floor(a / b) * b``.

    The rule of Python's ``%``; `fmod` has that of C. Between the jumps of the quotient,
    ``dL/da = dL/dy`` and ``dL/db = -dL/dy * floor(a / b)``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The remainder, of the broadcast shape.
    """
    a, b = pair("mod", a, b)

    def grad_b(grad_y: Tensor) -> Tensor:
        return sum_to(-grad_y * Tensor(a.data // b.data), b.shape)

    return a.data % b.data, (lambda g: sum_to(g, a.shape), grad_b)


@differentiable
def fmod(a: Operand, b: Operand) -> Lifted:
    """Take what division leaves, with the sign of `a`: ``y = a - truncated(a / b) * b``.

    The rule of C's ``fmod`` (``%`` on its whole numbers); `mod` has that of Python. Between the
    jumps of the quotient, ``dL/da = dL/dy`` and ``dL/db = -dL/dy * truncated(a / b)``.

    Parameters
    ----------
    a, b : Tensor, ndarray or number
        Shapes that broadcast.

    Returns
    -------
    Tensor
        The remainder, of the broadcast shape.
    """
    a, b = pair("fmod", a, b)
    xp = array_module(a.data)

    def grad_b(grad_y: Tensor) -> Tensor:
        return sum_to(-grad_y * Tensor(xp.trunc(a.data / b.data)), b.shape)

    return xp.fmod(a.data, b.data), (lambda g: sum_to(g, a.shape), grad_b)


@differentiable
def negative(x: Tensor) -> Lifted:
    """Negate: ``y = -x``.

    Parameters
    ----------
    x : Tensor
        Any shape; not of bool.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    no_truth("negative", x)
    # y = -x: dL/dx = -dL/dy
    return -x.data, (lambda g: -g,)


@differentiable
def reciprocal(x: Tensor) -> Lifted:
    """Compute ``y = 1 / x``; ``dL/dx = -dL/dy * y**2``.

    Parameters
    ----------
    x : Tensor
        Any shape; 0 gives an infinity. Whole numbers become floats.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return 1.0 / x.data, (of_output(lambda g, y: -g * y * y),)


@differentiable
def square(x: Tensor) -> Lifted:
    """Multiply by itself: ``y = x**2``; ``dL/dx = dL/dy * 2 x``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return x.data * x.data, (lambda g: g * (2.0 * x),)


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

    Raises
    ------
    DTypeError
        If a whole number is raised to a negative one: the result is a fraction.
    """
    a, b = pair("power", a, b)
    if a.dtype.kind in "iu" and b.dtype.kind == "i" and (b.data < 0).any():
        raise DTypeError(
            f"power: whole numbers {a.shape} to a negative power {b.shape} are fractions; use "
            ".astype('float32')"
        )

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
    # y = x * sign x, and the sign is flat: dL/dx = dL/dy * sign x
    return xp.abs(x.data), (lambda g: g * Tensor(xp.sign(x.data)),)


@differentiable
def to(x: Tensor, device: str) -> Lifted:
    """Return `x` on another device; see `minicnn.set_device` for their names."""
    from minicnn.backend.device import to_device

    home = x.device
    return to_device(x.data, device), (lambda g: to(g, home),)
