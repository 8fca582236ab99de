"""Keeping gradients small."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from minicnn.autograd import Tensor
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, GradientError
from minicnn.kernels import capturing


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
        found = found if isinstance(found, list) else found.tolist()  # the host waits
        for i, square in zip(here, found, strict=True):
            squares[i] = square
    norm = math.sqrt(sum(squares))
    if not math.isfinite(norm):
        broken = [name for (name, _, _), s in zip(named, squares, strict=True) if not s < math.inf]
        raise GradientError(
            f"clip_gradients: the gradient's norm is {norm}, because of {', '.join(broken)}; "
            f"{_ADVICE}"
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


_ADVICE = "lower the learning rate, or use the NaNGuard hook to find the layer"


class DeviceClipping:
    """Clipping on a GPU for which the host need not wait.

    Norm and factor stay on the device, and kernels multiply gradients by the factor as they read
    them. A gradient that is not finite makes the factor NaN, for which they write nothing, in this
    step and in all that follow, until `check` looks and raises: the weights are those before it.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._broken: Array | None = None  # (P,), of bool: whether a gradient ever was not finite

    @staticmethod
    def works_for(params: Iterable[Any]) -> bool:
        """Tell whether all gradients are on one GPU."""
        devices = {g.device for _, _, g in _with_gradients(params)}
        return len(devices) == 1 and devices != {"cpu"}

    def factor(self, params: Iterable[Any], max_norm: float) -> Array:
        """Return what to multiply gradients by, so that their norm is at most `max_norm`, (1,)."""
        named = _with_gradients(params)
        arrays = [g.data for _, _, g in named]
        xp = array_module(arrays[0])
        squares = kernels_for(arrays[0]).sums_of_squares(arrays)
        names = [name for name, _, _ in named]
        if self._broken is None or self._names != names:
            capturing.refuse("other parameters than before have gradients, and they are clipped")
            self.check()
            self._names, self._broken = names, xp.zeros(len(names), bool)
        norm = xp.sqrt(squares.sum())
        self._broken |= ~(xp.isfinite(squares) & xp.isfinite(norm))
        clipped = xp.where(norm > max_norm, max_norm / norm, 1.0)
        return xp.where(self._broken.any(), math.nan, clipped).reshape(1)

    def check(self) -> None:
        """Raise GradientError if there was a gradient that is not finite. The host waits."""
        if self._broken is None:
            return
        broken = [n for n, b in zip(self._names, self._broken.tolist(), strict=True) if b]
        if broken:
            raise GradientError(
                "clip_norm: the gradient's norm was not finite, because of "
                f"{', '.join(broken)}; nothing has changed since then; {_ADVICE}"
            )


def _with_gradients(params: Iterable[Any]) -> list[tuple[str, Tensor, Tensor]]:
    """Return name, parameter and gradient of all parameters that have one."""
    found = []
    for i, entry in enumerate(params):
        name, p = entry if isinstance(entry, tuple) else (getattr(entry, "name", None), entry)
        if p.grad is not None:
            found.append((name or f"parameter {i}", p, p.grad))
    return found
