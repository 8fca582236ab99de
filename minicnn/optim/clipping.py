"""Keeping gradients small."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from minicnn.autograd import Tensor
from minicnn.backend import array_module, kernels_for
from minicnn.errors import ConfigError, GradientError


def clip_gradients(params: Iterable[Any], max_norm: float) -> float:
    """Scale all gradients by one factor, so that their norm is at most `max_norm`.

    Parameters
    ----------
    params : iterable of Parameter or (str, Parameter)
        Whose gradients; those without one are skipped.
    max_norm : float
        The largest norm allowed, above 0.

    Returns
    -------
    float
        The Euclidean norm of all gradients together as it was before, added up in float64.

    Raises
    ------
    ConfigError
        If `max_norm` is not above 0.
    GradientError
        If a gradient holds a NaN or an infinity; it says of which parameters.

    References
    ----------
    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.
    """
    if not max_norm > 0:
        raise ConfigError(f"clip_gradients: max_norm is {max_norm!r}; give a number above 0")
    named = _with_gradients(params)
    squares = [0.0] * len(named)
    kernels = [kernels_for(g.data) for _, _, g in named]
    for k in dict.fromkeys(kernels):  # one, unless parameters are on several devices
        here = [i for i, other in enumerate(kernels) if other is k]
        found = k.sums_of_squares([named[i][2].data for i in here])
        for i, square in zip(here, found, strict=True):
            squares[i] = square
    norm = math.sqrt(sum(squares))
    if not math.isfinite(norm):
        broken = [name for (name, _, _), s in zip(named, squares, strict=True) if not s < math.inf]
        raise GradientError(
            f"clip_gradients: the gradient's norm is {norm}, because of {', '.join(broken)}; "
            "lower the learning rate, or use the NaNGuard hook to find the layer"
        )
    if norm > max_norm:
        for _, p, g in named:  # a new array: one gradient may belong to several tensors
            p.grad = Tensor(g.data * g.data.dtype.type(max_norm / norm))
    return norm


def clip_gradient_values(params: Iterable[Any], limit: float) -> None:
    """Move every element of every gradient into ``[-limit, limit]``.

    Parameters
    ----------
    params : iterable of Parameter or (str, Parameter)
        Whose gradients; those without one are skipped.
    limit : float
        The largest magnitude allowed, above 0. NaN stays NaN.

    Raises
    ------
    ConfigError
        If `limit` is not above 0.
    """
    if not limit > 0:
        raise ConfigError(f"clip_gradient_values: limit is {limit!r}; give a number above 0")
    for _, p, g in _with_gradients(params):
        p.grad = Tensor(array_module(g.data).clip(g.data, -limit, limit))


def _with_gradients(params: Iterable[Any]) -> list[tuple[str, Tensor, Tensor]]:
    """Return name, parameter and gradient of all parameters that have one."""
    found = []
    for i, entry in enumerate(params):
        name, p = entry if isinstance(entry, tuple) else (getattr(entry, "name", None), entry)
        if p.grad is not None:
            found.append((name or f"parameter {i}", p, p.grad))
    return found
