"""Exponentials, logarithms, roots and the error function, element by element."""

from __future__ import annotations

import math

from minicnn.autograd.choosing import clip
from minicnn.autograd.tensor import Lifted, Tensor, differentiable, of_output
from minicnn.backend import array_module, kernels_for


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
    # y = e**x is its own derivative: dL/dx = dL/dy * y
    return array_module(x.data).exp(x.data), (of_output(lambda g, y: g * y),)


@differentiable
def expm1(x: Tensor) -> Lifted:
    """Compute ``y = e**x - 1``, exact where x is near 0; ``dL/dx = dL/dy * e**x``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).expm1(x.data), (lambda g: g * exp(x),)


@differentiable
def log(x: Tensor) -> Lifted:
    """Compute the natural logarithm, ``y = log x``; ``dL/dx = dL/dy / x``.

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
def log1p(x: Tensor) -> Lifted:
    """Compute ``y = log(1 + x)``, exact where x is near 0; ``dL/dx = dL/dy / (1 + x)``.

    Parameters
    ----------
    x : Tensor
        Any shape; above -1 (-1 gives -inf, less gives NaN, as in NumPy).

    Returns
    -------
    Tensor
        Of x's shape.
    """
    return array_module(x.data).log1p(x.data), (lambda g: g / (1.0 + x),)


@differentiable
def sqrt(x: Tensor) -> Lifted:
    """Compute the square root, ``y = x**(1/2)``; ``dL/dx = dL/dy / (2 y)``.

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
def erf(x: Tensor) -> Lifted:
    """Compute the error function ``y = 2/sqrt(pi) * integral from 0 to x of e**-t**2 dt``.

    ``dL/dx = dL/dy * 2/sqrt(pi) * e**-x**2``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape, from -1 to 1; within a few units in the last place.

    References
    ----------
    Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation
    23 (1969), pages 631-637.
    """

    # Beyond 30 the slope is 0 in every type, while x**2 may overflow.
    def grad_x(grad_y: Tensor) -> Tensor:
        near = clip(x, -30.0, 30.0)
        return grad_y * (2.0 / math.sqrt(math.pi) * exp(-near * near))

    return kernels_for(x.data).erf(x.data), (grad_x,)
