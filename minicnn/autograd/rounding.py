"""Rounding and the sign: steps, flat between their jumps, so that no gradient flows.

Their gradients are 0, not missing: an op may stand behind one of them, and `backward` still runs.
"""

from __future__ import annotations

from minicnn.autograd._operands import no_truth
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.backend import Array, array_module


@differentiable
def floor(x: Tensor) -> Lifted:
    """Round down to a whole number: ``y = max {k whole: k <= x}``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape and type; its gradient is 0.
    """
    return _rounded("floor", x), (flat,)


@differentiable
def ceil(x: Tensor) -> Lifted:
    """Round up to a whole number: ``y = min {k whole: k >= x}``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape and type; its gradient is 0.
    """
    return _rounded("ceil", x), (flat,)


@differentiable
def round(x: Tensor) -> Lifted:
    """Round to the nearest whole number, ``|y - x| <= 1/2``.

    Halves go to the even one, as IEEE 754 and Python do.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape and type; its gradient is 0.
    """
    return _rounded("rint", x), (flat,)


@differentiable
def sign(x: Tensor) -> Lifted:
    """Tell the sign: ``y = x / |x|``, and 0 at 0.

    Parameters
    ----------
    x : Tensor
        Any shape; not of bool.

    Returns
    -------
    Tensor
        Of x's shape and type; its gradient is 0. NaN stays NaN.
    """
    no_truth("sign", x)
    return array_module(x.data).sign(x.data), (flat,)


# A step does not change between its jumps, dy/dx = 0, and so dL/dx = 0.
def flat(grad_y: Tensor) -> Tensor:
    """Return the gradient of what does not change: zeros like dL/dy."""
    return Tensor(array_module(grad_y.data).zeros_like(grad_y.data))


def _rounded(name: str, x: Tensor) -> Array:
    """Apply a rounding function of the array library; whole numbers are copied."""
    if x.dtype.kind != "f":
        return x.data.copy()
    return getattr(array_module(x.data), name)(x.data)
