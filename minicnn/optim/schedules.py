"""Learning-rate schedules: functions from the number of steps done to a rate.

A schedule knows only its settings, so a resumed run follows it where it left it.
"""

from __future__ import annotations

import bisect
import itertools
import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minicnn.errors import ConfigError

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same rate for ever.

    Parameters
    ----------
    value : float
        The rate, above 0.

    Raises
    ------
    ConfigError
        If the rate is not a number above 0.
    """

    value: float

    def __post_init__(self) -> None:
        _check_rate(self, "value")

    def __call__(self, step: int) -> float:
        """Return the rate after `step` steps."""
        return float(self.value)


@dataclass(frozen=True)
class Step:
    """A rate that is multiplied by a factor at given steps.

    Parameters
    ----------
    value : float
        The first rate, above 0.
    boundaries : sequence of int
        The steps from which on the rate has dropped once more, increasing.
    factor : float, default 0.1
        What the rate is multiplied by at each boundary, above 0.

    Raises
    ------
    ConfigError
        If a number makes no sense, or the boundaries do not increase.
    """

    value: float
    boundaries: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check_rate(self, "value")
        _check_rate(self, "factor")
        try:
            boundaries = tuple(self.boundaries)
        except TypeError:
            raise ConfigError(f"Step: boundaries are {self.boundaries!r}; give a list") from None
        whole = all(isinstance(b, numbers.Integral) and b > 0 for b in boundaries)
        if not whole or any(a >= b for a, b in itertools.pairwise(boundaries)):
            raise ConfigError(f"Step: boundaries {boundaries} are not increasing steps above 0")
        object.__setattr__(self, "boundaries", boundaries)

    def __call__(self, step: int) -> float:
        """Return the rate after `step` steps."""
        return self.value * self.factor ** bisect.bisect_right(self.boundaries, step)


@dataclass(frozen=True)
class Cosine:
    """A rate that falls along half a cosine wave.

    Parameters
    ----------
    value : float
        The first rate, above 0.
    steps : int
        How many steps it takes to fall; after that it stays where it is.
    final : float, default 0.0
        The last rate.

    Raises
    ------
    ConfigError
        If a number makes no sense.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    equation 5 (without restarts).
    """

    value: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _check_rate(self, "value")
        _check_steps(self, "steps")
        _check_rate(self, "final", zero=True)

    def __call__(self, step: int) -> float:
        """Return the rate after `step` steps."""
        return _cosine(self.value, self.final, step / self.steps)


@dataclass(frozen=True)
class OneCycle:
    """A rate that rises to a peak and falls far below where it began, along cosines.

    Parameters
    ----------
    peak : float
        The largest rate, above 0.
    steps : int
        The length of the whole run, in steps.
    rise : float, default 0.3
        The part of the steps spent rising, between 0 and 1.
    start_factor : float, default 1/25
        The first rate, as a part of the peak.
    final_factor : float, default 1e-4
        The last rate, as a part of the first.

    Raises
    ------
    ConfigError
        If a number makes no sense.

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018 (arXiv:1708.07120), section 4. They rise and fall in straight lines;
    the cosine is what is used today. Momentum stays constant here.
    """

    peak: float
    steps: int
    rise: float = 0.3
    start_factor: float = 1 / 25
    final_factor: float = 1e-4

    def __post_init__(self) -> None:
        _check_rate(self, "peak")
        _check_steps(self, "steps")
        _check_rate(self, "start_factor")
        _check_rate(self, "final_factor", zero=True)
        if not (_is_number(self.rise) and 0 < self.rise < 1):
            raise ConfigError(f"OneCycle: rise is {self.rise!r}; give a part between 0 and 1")

    def __call__(self, step: int) -> float:
        """Return the rate after `step` steps."""
        last = self.steps - 1  # the step that uses the last rate
        top = self.rise * last
        start = self.peak * self.start_factor
        if step < top:
            return _cosine(start, self.peak, step / top)
        return _cosine(self.peak, start * self.final_factor, (step - top) / max(last - top, 1e-9))


@dataclass(frozen=True)
class WarmUp:
    """Another schedule, whose rate is first multiplied by 1/n, 2/n, ..., 1.

    Parameters
    ----------
    inner : callable or float
        The schedule, or a constant rate; it counts from the very first step too.
    steps : int
        The length n of the warm-up.

    Raises
    ------
    ConfigError
        If a number makes no sense.

    References
    ----------
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, section 2.2.
    """

    inner: Schedule | float
    steps: int

    def __post_init__(self) -> None:
        _check_steps(self, "steps")
        object.__setattr__(self, "inner", as_schedule(self.inner, "WarmUp"))

    def __call__(self, step: int) -> float:
        """Return the rate after `step` steps."""
        assert callable(self.inner)
        return self.inner(step) * min(1.0, (step + 1) / self.steps)


def as_schedule(rate: Schedule | float, owner: str) -> Schedule:
    """Return `rate` if it is a schedule, else the constant one; `owner` is named in errors."""
    if isinstance(rate, type) or not (callable(rate) or _is_number(rate)):
        raise ConfigError(f"{owner}: learning rate {rate!r} is neither a number nor a schedule")
    if callable(rate):
        return rate
    if not rate > 0:
        raise ConfigError(f"{owner}: learning rate {rate!r} is not above 0")
    return Constant(rate)


def _cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(max(part, 0.0), 1.0)))


def _is_number(x: Any) -> bool:
    return isinstance(x, numbers.Real) and not isinstance(x, bool) and math.isfinite(x)


def _check_rate(schedule: Any, name: str, zero: bool = False) -> None:
    value = getattr(schedule, name)
    if not _is_number(value) or value < 0 or (value == 0 and not zero):
        least = "0 or more" if zero else "above 0"
        raise ConfigError(f"{type(schedule).__name__}: {name} is {value!r}; give a number {least}")


def _check_steps(schedule: Any, name: str) -> None:
    value = getattr(schedule, name)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ConfigError(
            f"{type(schedule).__name__}: {name} is {value!r}; give a whole number above 0"
        )
