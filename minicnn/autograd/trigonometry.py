"""Angles and their hyperbolic relatives, element by element; angles are in radians."""

from __future__ import annotations

from minicnn.autograd.arithmetic import reciprocal
from minicnn.autograd.exponential import sqrt
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, of_output
from minicnn.backend import array_module


@differentiable
def sin(x: Tensor) -> Lifted:
    """Compute the sine, ``y = sin x``; ``dL/dx = dL/dy * cos x``.

    Parameters
    ----------
    x : Tensor
        Any shape, in radians.

    Returns
    -------
    Tensor
        Of x's shape, from -1 to 1.
    """
    return array_module(x.data).sin(x.data), (lambda g: g * cos(x),)


@differentiable
def cos(x: Tensor) -> Lifted:
    """Compute the cosine, ``y = cos x``; ``dL/dx = -dL/dy * sin x``.

    Parameters
    ----------
    x : Tensor
        Any shape, in radians.

    Returns
    -------
    Tensor
        Of x's shape, from -1 to 1.
    """
    return array_module(x.data).cos(x.data), (lambda g: -g * sin(x),)


@differentiable
def tan(x: Tensor) -> Lifted:
    """Compute the tangent, ``y = sin x / cos x``; ``dL/dx = dL/dy * (1 + y**2)``.

    Parameters
    ----------
    x : Tensor
        Any shape, in radians.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).tan(x.data), (of_output(lambda g, y: g * (1.0 + y * y)),)


@differentiable
def arcsin(x: Tensor) -> Lifted:
    """Compute the angle whose sine is x, ``sin y = x``; ``dL/dx = dL/dy / sqrt(1 - x**2)``.

    Parameters
    ----------
    x : Tensor
        Any shape; from -1 to 1, where the slope is infinite (beyond, y is NaN).

    Returns
    -------
    Tensor
        Of x's shape, from -pi/2 to pi/2 radians.
    """
    return array_module(x.data).arcsin(x.data), (lambda g: g / _circle(x),)


@differentiable
def arccos(x: Tensor) -> Lifted:
    """Compute the angle whose cosine is x, ``cos y = x``; ``dL/dx = -dL/dy / sqrt(1 - x**2)``.

    Parameters
    ----------
    x : Tensor
        Any shape; from -1 to 1, where the slope is infinite (beyond, y is NaN).

    Returns
    -------
    Tensor
        Of x's shape, from 0 to pi radians.
    """
    return array_module(x.data).arccos(x.data), (lambda g: -g / _circle(x),)


@differentiable
def arctan(x: Tensor) -> Lifted:
    """Compute the angle whose tangent is x, ``tan y = x``; ``dL/dx = dL/dy / (1 + x**2)``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape, from -pi/2 to pi/2 radians.
    """
    return array_module(x.data).arctan(x.data), (lambda g: g * reciprocal(1.0 + x * x),)


@differentiable
def sinh(x: Tensor) -> Lifted:
    """Compute ``y = (e**x - e**-x) / 2``; ``dL/dx = dL/dy * cosh x``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).sinh(x.data), (lambda g: g * cosh(x),)


@differentiable
def cosh(x: Tensor) -> Lifted:
    """Compute ``y = (e**x + e**-x) / 2``; ``dL/dx = dL/dy * sinh x``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).cosh(x.data), (lambda g: g * sinh(x),)


@differentiable
def tanh(x: Tensor) -> Lifted:
    """Compute ``y = (e**x - e**-x) / (e**x + e**-x)``; ``dL/dx = dL/dy * (1 - y**2)``.

    This hyperbolic tangent saturates: where |x| is large, the slope vanishes, and with it the
    gradient.

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


@differentiable
def arcsinh(x: Tensor) -> Lifted:
    """Compute the inverse of `sinh`: ``y = log(x + sqrt(x**2 + 1))``.

    ``dL/dx = dL/dy / sqrt(1 + x**2)``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    # sqrt(1 + x**2) = cosh y, which does not overflow where x**2 does
    return array_module(x.data).arcsinh(x.data), (of_output(lambda g, y: g / cosh(y)),)


@differentiable
def arccosh(x: Tensor) -> Lifted:
    """Compute the inverse of `cosh`: ``y = log(x + sqrt(x**2 - 1))``.

    ``dL/dx = dL/dy / sqrt(x**2 - 1)``.

    Parameters
    ----------
    x : Tensor
        Any shape; from 1, where the slope is infinite (below, y is NaN).

    Returns
    -------
    Tensor
        Of x's shape, not negative.
    """
    # sqrt(x**2 - 1) = sinh y, which does not overflow where x**2 does
    return array_module(x.data).arccosh(x.data), (of_output(lambda g, y: g / sinh(y)),)


@differentiable
def arctanh(x: Tensor) -> Lifted:
    """Compute the inverse of `tanh`: ``y = log((1 + x) / (1 - x)) / 2``.

    ``dL/dx = dL/dy / (1 - x**2)``.

    Parameters
    ----------
    x : Tensor
        Any shape; from -1 to 1, where y is infinite (beyond, it is NaN).

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).arctanh(x.data), (lambda g: g / ((1.0 - x) * (1.0 + x)),)


def _circle(x: Tensor) -> Tensor:
    """Return sqrt(1 - x**2), exact near -1 and 1."""
    return sqrt((1.0 - x) * (1.0 + x))
