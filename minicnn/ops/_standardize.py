"""Standardised values and their slope written with ops: what second derivatives are made of.

The kernels of normalisation compute ``y = gamma * z + beta`` and its gradient in one sweep each.
Whoever differentiates that gradient again needs it as a formula; here it is, for all of them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, mean, sqrt
from minicnn.backend.device import device_of
from minicnn.errors import ConfigError, DeviceError, DTypeError


class Standardized:
    """``z = (x - mean) / sqrt(variance + epsilon)``, with mean E taken over some axes.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axes : tuple of int
        Over which E is taken.
    epsilon : float
        Keeps the division defined.
    centred : bool, default True
        If not, x itself takes the place of ``x - mean``.
    """

    def __init__(
        self, x: Tensor, axes: tuple[int, ...], epsilon: float, centred: bool = True
    ) -> None:
        self.axes, self.centred = axes, centred
        deviation = self.centre(x)
        self.rstd = 1.0 / sqrt(self.mean(deviation * deviation) + epsilon)
        self.z = deviation * self.rstd

    def mean(self, t: Tensor) -> Tensor:
        """Return E[t]."""
        return mean(t, self.axes, keepdims=True)

    def centre(self, t: Any) -> Any:
        """Return ``t - E[t]``, or t itself where nothing is centred."""
        return t - self.mean(t) if self.centred else t

    # z depends on x directly, through the mean and through rstd.  With dx -> dx - E[dx] for the
    # first two and drstd/dx[i] = -rstd^2 z[i] / M for the third, the derivative J of z is
    #     J v = rstd * (v - E[v] - z E[z v]),
    # which is symmetric, so it is also what pulls a gradient v back.
    def slope(self, v: Tensor) -> Any:
        """Return J v, where J is the derivative of z by x."""
        return self.rstd * (self.centre(v) - self.z * self.mean(v * self.z))

    # <u, J v> = M rstd (E[u (v - E[v])] - E[u z] E[v z]).  Differentiate the factor rstd, then
    # both z, whose change is pulled back by J:
    #     d<u, J v>/dx = -rstd (rstd z (E[u (v - E[v])] - E[u z] E[v z]) + E[v z] J u + E[u z] J v)
    def curvature(self, u: Tensor, v: Tensor) -> Any:
        """Return the derivative of ``<u, J v>`` by x."""
        along_u, along_v = self.mean(u * self.z), self.mean(v * self.z)
        both = self.mean(u * self.centre(v)) - along_u * along_v
        turn = along_v * self.slope(u) + along_u * self.slope(v)
        return -(self.rstd * (self.rstd * self.z * both + turn))


def check_operands(op: str, **operands: Any) -> None:
    """Refuse operands (None is none) that are not of one type of floats, or on two devices.

    Raises
    ------
    DTypeError
        If they are of different types, or not floats.
    DeviceError
        If they are not all in one place.
    """
    there = {name: t for name, t in operands.items() if t is not None}
    kinds = {name: t.dtype for name, t in there.items()}
    if len(set(kinds.values())) > 1 or next(iter(kinds.values())).kind != "f":
        found = ", ".join(f"{name} {kind}" for name, kind in kinds.items()).replace(" ", " is ", 1)
        must = "they must be one float type" if len(kinds) > 1 else "it must be of floats"
        raise DTypeError(f"{op}: {found}; {must}: use .astype")
    check_devices(op, **there)


def check_devices(op: str, **arrays: Any) -> None:
    """Refuse arrays that are not all in one place.

    Raises
    ------
    DeviceError
        If they are on two devices.
    """
    places = {
        name: a.device if isinstance(a, Tensor) else device_of(a) for name, a in arrays.items()
    }
    if len(set(places.values())) > 1:
        found = ", ".join(f"{name} on {place}" for name, place in places.items())
        raise DeviceError(f"{op}: {found}; move them to one device with .to(...)")


def check_epsilon(op: str, epsilon: Any) -> float:
    """Return an epsilon that keeps a division defined.

    Raises
    ------
    ConfigError
        If it is not a number >= 0.
    """
    if not isinstance(epsilon, int | float | np.floating) or not 0 <= epsilon < math.inf:
        raise ConfigError(f"{op}: epsilon must be a number >= 0, got {epsilon!r}")
    return float(epsilon)
