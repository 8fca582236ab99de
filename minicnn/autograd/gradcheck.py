"""Compare hand-derived gradients with finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd.tensor import Tensor, grad
from minicnn.backend.random import Stream

__all__ = ["check_gradients"]

STEP = 1e-6  # central differences in float64: truncation ~ STEP**2, rounding ~ 1e-16 / STEP


def check_gradients(
    f: Callable[..., Tensor],
    *arrays: np.ndarray,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    order: int = 1,
    directions: int = 2,
    seed: int = 0,
) -> None:
    """Check that every pull-back of an op is the transpose of its derivative.

    For random directions v and a random cotangent u, compare ``<u, J v>``, by central
    differences of `f`, with ``<J^T u, v>``, by `backward`. A cotangent of ones would not do:
    the sum of a softmax is constant, so any gradient that is zero there would pass.

    Parameters
    ----------
    f : callable
        Function of Tensors returning a Tensor, smooth within 1e-6 of `arrays`.
    *arrays : ndarray of float64
        The arguments at which to check.
    rtol, atol : float
        Tolerances, as in `numpy.testing.assert_allclose`.
    order : int, default 1
        2 checks the gradients of the gradients too.
    directions : int, default 2
        How many random directions are tried for each argument.
    seed : int, default 0
        Seed of the directions and cotangents.

    Raises
    ------
    AssertionError
        If a gradient is wrong, missing, misshapen or of another type, or `f` changed its input.
    TypeError
        If an array is not of float64: differences of float32 are too coarse to prove anything.

    Examples
    --------
    >>> check_gradients(lambda x: (x * x).sum(), np.array([1.0, 2.0, 3.0]))
    """
    for i, a in enumerate(arrays):
        if not isinstance(a, np.ndarray) or a.dtype != np.float64:
            kind = getattr(a, "dtype", type(a).__name__)
            raise TypeError(f"check_gradients: argument {i} must be a float64 array, got {kind}")
    before = [a.copy() for a in arrays]
    stream = Stream(seed, "check_gradients")
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    y = f(*leaves)
    u = stream.normal(y.shape)
    y.backward(np.asarray(u))
    for i, (leaf, a) in enumerate(zip(leaves, arrays, strict=True)):
        gradient = leaf.grad
        assert gradient is not None, f"argument {i} received no gradient"
        assert gradient.shape == a.shape, f"argument {i}: gradient has shape {gradient.shape}"
        assert gradient.dtype == a.dtype, f"argument {i}: gradient is of {gradient.dtype}"
        assert np.isfinite(gradient.data).all(), f"argument {i}: gradient is NaN or infinite"
        for _ in range(directions):
            v = np.asarray(stream.normal(a.shape))
            numeric = _directional(f, arrays, i, v, np.asarray(u))
            analytic = np.sum(gradient.data * v)
            message = f"argument {i}: <J^T u, v> by backward against <u, J v> by differences"
            np.testing.assert_allclose(analytic, numeric, rtol, atol, err_msg=message)
    for i, (a, b) in enumerate(zip(arrays, before, strict=True)):
        np.testing.assert_array_equal(a, b, err_msg=f"f changed its input, argument {i}")
    if order > 1:
        _check_gradients_of_gradients(f, arrays, rtol, atol, order, directions, seed)


def _directional(
    f: Callable[..., Tensor], arrays: tuple[np.ndarray, ...], i: int, v: np.ndarray, u: np.ndarray
) -> Any:
    """Compute <u, J v> by central differences along v in argument i."""
    plus, minus = (
        f(*(Tensor(b + t * v if j == i else b) for j, b in enumerate(arrays))).data
        for t in (STEP, -STEP)
    )
    return np.sum(u * (plus - minus)) / (2 * STEP)


def _check_gradients_of_gradients(
    f: Callable[..., Tensor],
    arrays: tuple[np.ndarray, ...],
    rtol: float,
    atol: float,
    order: int,
    directions: int,
    seed: int,
) -> None:
    """Check the function from (arguments, cotangent) to each first gradient."""
    shape = f(*map(Tensor, arrays)).shape
    u = np.asarray(Stream(seed, "check_gradients", order).normal(shape))
    for i in range(len(arrays)):

        def gradient(*arguments: Tensor, i: int = i) -> Tensor:
            *xs, cotangent = (
                a if a.requires_grad else Tensor(a.data, requires_grad=True) for a in arguments
            )
            return grad(f(*xs), xs[i], cotangent, create_graph=True) + 0.0 * _touch(arguments)

        check_gradients(
            gradient,
            *arrays,
            u,
            rtol=rtol,
            atol=atol,
            order=order - 1,
            directions=directions,
            seed=seed + 1,
        )


def _touch(arguments: tuple[Tensor, ...]) -> Tensor:
    """Return the sum of all: times 0, it ties a gradient that is constant to its arguments."""
    total: Any = 0.0
    for a in arguments:
        total = a.sum() + total
    return total
