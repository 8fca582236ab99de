"""What all metrics share, and the mean."""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend import device
from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels import capturing


class Metric(ABC):
    """A number, or several, gathered batch by batch.

    ``Accuracy().update(logits, labels)`` is the metric of one batch; `merge` adds up those of
    several batches exactly, whatever their sizes.

    In a step that is captured as a CUDA graph, `update` waits until someone asks for the values of
    a replayed step, for metrics are computed on the host.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, waiting in (("update", _waiting), ("merge", _refusing), ("result", _refusing)):
            if name in vars(cls):
                setattr(cls, name, waiting(vars(cls)[name]))

    @abstractmethod
    def update(self, *args: Any) -> Self:
        """Take one more batch into account.

        Parameters
        ----------
        *args : Tensor or ndarray
            What the metric compares; see there.

        Returns
        -------
        Metric
            Itself.
        """

    @abstractmethod
    def merge(self, other: Self) -> Self:
        """Take into account all that another metric has seen.

        Parameters
        ----------
        other : Metric
            Of the same kind and settings; it stays as it is.

        Returns
        -------
        Metric
            Itself.

        Raises
        ------
        ConfigError
            If it is of another kind or has other settings.
        """

    @abstractmethod
    def result(self) -> Any:
        """Return the value for all that was seen since the beginning or the last `reset`."""

    @abstractmethod
    def reset(self) -> Self:
        """Forget all that was seen; return the metric itself."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.result()}"

    def _check_like(self, other: Any) -> None:
        """Refuse to merge what has other settings."""
        if type(other) is not type(self) or self._settings() != other._settings():
            mine, its = (f"{type(m).__name__}{m._settings()}" for m in (self, other))
            raise ConfigError(f"merge: {its} does not add to {mine}; use the same settings")

    def _settings(self) -> tuple[Any, ...]:
        return ()


def _waiting(update: Callable[..., Any]) -> Callable[..., Any]:
    """Let an update, in a capture, be done whenever a replayed step's metrics are read."""

    @functools.wraps(update)
    def now_or_later(self: Metric, *args: Any, **kwargs: Any) -> Any:
        recorder = capturing.recorder()
        if recorder is None:
            return update(self, *args, **kwargs)
        if any(self is other for other in recorder.kept):
            capturing.refuse("a metric is updated twice; make another one for each batch")
        recorder.kept.append(self)
        before = copy.deepcopy(vars(self))

        def work() -> None:
            vars(self).update(copy.deepcopy(before))
            update(self, *args, **kwargs)

        capturing.on_reading(work)
        return self

    return now_or_later


def _refusing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse, in a capture, to ask a metric for what it will know only later."""

    @functools.wraps(method)
    def outside(self: Metric, *args: Any, **kwargs: Any) -> Any:
        capturing.refuse(f"{type(self).__name__}.{method.__name__} is asked for inside the step")
        return method(self, *args, **kwargs)

    return outside


class Mean(Metric):
    """The mean of numbers, each with a weight.

    Examples
    --------
    >>> loss = Mean()
    >>> loss.update(2.0, weights=128).update(5.0, weights=64).result()
    3.0
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> Self:
        """Forget all numbers; return the metric itself."""
        self.total = 0.0
        self.weight = 0.0
        return self

    def update(self, values: Any, weights: Any = 1.0) -> Self:
        """Take more numbers into account.

        Parameters
        ----------
        values : float, Tensor or ndarray
            The numbers; added up in float64.
        weights : float or ndarray, default 1
            How much each counts, from 0 up; for a batch's mean, the size of the batch.

        Returns
        -------
        Mean
            Itself.

        Raises
        ------
        ShapeError
            If the weights do not fit the numbers.
        ConfigError
            If a weight is negative or NaN.
        """
        numbers = as_numpy(values).astype(np.float64)
        given = as_numpy(weights).astype(np.float64)
        try:
            shares = np.broadcast_to(given, numbers.shape)
        except ValueError:
            raise ShapeError(f"Mean: values {numbers.shape}, weights {given.shape}") from None
        if not (given >= 0).all():
            raise ConfigError("Mean: weights must be numbers from 0 up")
        self.total += float((numbers * shares).sum())
        self.weight += float(shares.sum())
        return self

    def merge(self, other: Self) -> Self:
        """Take into account all that `other` has seen; return the metric itself."""
        self._check_like(other)
        self.total += other.total
        self.weight += other.weight
        return self

    def result(self) -> float:
        """Return the weighted mean; NaN if there was nothing."""
        return self.total / self.weight if self.weight else float("nan")


def as_numpy(x: Any) -> np.ndarray:
    """Return the value of a Tensor, array, list or number as a NumPy array."""
    if isinstance(x, Tensor):
        return x.numpy()
    return device.as_numpy(x)
