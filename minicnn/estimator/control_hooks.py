"""Hooks that steer a run: when to save, to evaluate, to stop, how fast to learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.errors import ConfigError
from minicnn.estimator.hook import Hook, RunContext
from minicnn.optim import Schedule


class CheckpointHook(Hook):
    """Saves a checkpoint at every n-th step, when all hooks have seen it.

    An Estimator with a `model_dir` has one of its own, from ``RunConfig.save_every``.

    Parameters
    ----------
    every : int
        How many steps lie between two checkpoints.

    Raises
    ------
    ConfigError
        If `every` is not a whole number above 0.
    """

    def __init__(self, every: int) -> None:
        self.every = check_every("CheckpointHook", every)

    def after_step(self, context: RunContext) -> None:
        """Ask for a checkpoint if it is time."""
        if context.step % self.every == 0:
            context.save()


class ValidationHook(Hook):
    """Evaluates the model at every n-th step and at the end, and shows all hooks the results.

    Parameters
    ----------
    input_fn : callable
        Returns the `Dataset` to evaluate on.
    every : int
        How many steps lie between two evaluations.
    name : str, default "validation"
        What hooks are told it is.
    at_end : bool, default True
        Whether to evaluate when `train` ends as well, unless it failed or was interrupted.

    Attributes
    ----------
    results : dict or None
        The last results.

    Raises
    ------
    ConfigError
        If `every` is not a whole number above 0.
    """

    def __init__(
        self,
        input_fn: Callable[[], Any],
        every: int,
        name: str = "validation",
        at_end: bool = True,
    ) -> None:
        self.input_fn, self.name, self.at_end = input_fn, name, at_end
        self.every = check_every("ValidationHook", every)
        self.results: dict[str, Any] | None = None
        self._last, self._owed = -1, False

    def after_step(self, context: RunContext) -> None:
        """Evaluate if it is time."""
        if context.step % self.every == 0:
            self._evaluate(context)

    def catch_up(self, context: RunContext) -> None:
        """Evaluate now, if the run was stopped in the middle of it."""
        if self._owed:
            self._evaluate(context)
            context.estimator.unsaved = True

    def before_end(self, context: RunContext) -> None:
        """Evaluate the last step, in whatever call of `train` it was done."""
        last = self.at_end and context.step > 0 and self._last != context.step
        if self._owed or last:
            self._evaluate(context)
            context.estimator.unsaved = True  # the checkpoint of this step may know nothing of it

    def state_dict(self) -> dict[str, Any]:
        """Return which step was evaluated last, and whether one could not be."""
        return {"last": self._last, "owed": self._owed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after that step."""
        self._last, self._owed = state["last"], state.get("owed", False)

    def _evaluate(self, context: RunContext) -> None:
        self._owed = True
        self.results = context.estimator.evaluate(self.input_fn)
        self._last, self._owed = context.step, False  # no hook may count it twice
        context.show(self.name, self.results)


class _BestHook(Hook):
    """A hook that knows the best evaluation so far; NaN or an infinity is never the best."""

    def _watch(self, metric: str, mode: str, min_change: float, name: str) -> None:
        """Begin with a metric and what is good of it."""
        kind = type(self).__name__
        if mode not in ("auto", "min", "max"):
            raise ConfigError(f"{kind}: mode is {mode!r}; give 'auto', 'min' or 'max'")
        if not min_change >= 0:
            raise ConfigError(f"{kind}: min_change is {min_change!r}; give 0 or more")
        if mode == "auto":
            mode = "min" if "loss" in metric or "error" in metric else "max"
        self.metric, self.name, self.min_change = metric, name, min_change
        self._sign = 1.0 if mode == "max" else -1.0
        self.best, self.best_step = math.nan, -1

    def _is_better(self, step: int, results: dict[str, Any]) -> bool:
        """Compare an evaluation with the best one, which it may become."""
        if self.metric not in results or np.ndim(results[self.metric]):
            raise ConfigError(
                f"{type(self).__name__}: {self.metric!r} is no number among the results "
                f"{sorted(results)}"
            )
        value = float(results[self.metric])
        gain = self._sign * (value - self.best)
        first = math.isnan(self.best)
        better = math.isfinite(value) and (first or gain > self.min_change)
        if better:
            self.best, self.best_step = value, step
        return better


class BestCheckpoint(_BestHook):
    """Saves a checkpoint whenever an evaluation is the best so far, and keeps it.

    However many newer checkpoints there come, this one is not deleted before a better one is
    saved; `best_checkpoint` finds it.

    Parameters
    ----------
    metric : str, default "loss"
        Which of the results to watch.
    mode : {"auto", "min", "max"}, default "auto"
        Whether small or large values are good; by default small ones for names that contain "loss"
        or "error", large ones for others.
    min_change : float, default 0.0
        How much better a value must be to count.
    name : str, default "validation"
        Which evaluations to watch: those of the `ValidationHook` of that name.

    Attributes
    ----------
    best : float
        The best value; NaN before the first evaluation.
    best_step : int
        Its step.

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    """

    def __init__(
        self,
        metric: str = "loss",
        mode: str = "auto",
        min_change: float = 0.0,
        name: str = "validation",
    ) -> None:
        self._watch(metric, mode, min_change, name)

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Ask for a checkpoint if the results are the best."""
        if name == self.name and self._is_better(context.step, results):
            context.estimator.mark_best(name, self.metric, self.best)
            context.save()

    def state_dict(self) -> dict[str, Any]:
        """Return the best value, and when it was."""
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the best value so far."""
        self.best, self.best_step = state["best"], state["best_step"]


class EarlyStopping(_BestHook):
    """Ends the run when a metric of an evaluation no longer gets better.

    When it ends the run it puts back the weights of the best evaluation, before the last checkpoint
    is written: what is in memory, in the checkpoint and in later evaluations are those. A run that
    is resumed after that ends at once again, unless `patience` was raised.

    Parameters
    ----------
    metric : str, default "loss"
        Which of the results to watch.
    patience : int, default 5
        After how many evaluations in a row without a better value to stop.
    mode : {"auto", "min", "max"}, default "auto"
        Whether small or large values are good; by default small ones for names that contain "loss"
        or "error", large ones for others.
    min_change : float, default 0.0
        How much better a value must be to count.
    name : str, default "validation"
        Which evaluations to watch: those of the `ValidationHook` of that name.
    restore_best : bool, default True
        Whether to put back the best weights; they are part of every checkpoint then.

    Attributes
    ----------
    best : float
        The best value; NaN before the first evaluation.
    best_step : int
        Its step.

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    """

    def __init__(
        self,
        metric: str = "loss",
        patience: int = 5,
        mode: str = "auto",
        min_change: float = 0.0,
        name: str = "validation",
        restore_best: bool = True,
    ) -> None:
        self._watch(metric, mode, min_change, name)
        self.restore_best = restore_best
        self.patience = check_every("EarlyStopping", patience, "patience")
        self._waited = 0
        self._weights: dict[str, np.ndarray] | None = None
        self._ended = self._restored = False

    def begin(self, context: RunContext) -> None:
        """End at once if this hook has ended the run before."""
        self._ended = False
        self._stop_if_due(context)
        self._restored = self._restored and self._ended

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Compare the results with the best ones."""
        if name != self.name:
            return
        if self._is_better(context.step, results):
            self._waited = 0
            if self.restore_best:
                self._weights = context.estimator.module.state_dict()
        else:
            self._waited += 1
            self._stop_if_due(context)

    def end(self, context: RunContext) -> None:
        """Put back the best weights, if this hook ended the run."""
        if not self._ended or self._restored or context.error is not None:
            return  # after Ctrl-C, that is left to the run that goes on
        if self._weights is not None:
            context.estimator.load_weights(self._weights)
            self._restored = True

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and weights, and how long ago they were."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "waited": self._waited,
            "weights": self._weights,
            "restored": self._restored,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the best value and weights so far."""
        self.best, self.best_step = state["best"], state["best_step"]
        self._waited, self._weights = state["waited"], state["weights"]
        self._restored = state["restored"]

    def _stop_if_due(self, context: RunContext) -> None:
        if self._waited >= self.patience:
            self._ended = True
            context.stop(
                f"{self.name} {self.metric} has not been better than {self.best:.6g}, at step "
                f"{self.best_step}, for {self._waited} evaluations"
            )


class LearningRateHook(Hook):
    """Sets the learning rate's schedule, or only shows the rate among the metrics.

    Parameters
    ----------
    schedule : callable or float, optional
        A function from the number of steps done to a rate, or a constant rate, to replace the
        optimiser's own; parameter groups with a rate of their own keep it.
    """

    def __init__(self, schedule: Schedule | float | None = None) -> None:
        self.schedule = schedule
        self._set = False

    def begin(self, context: RunContext) -> None:
        """Set the schedule anew for each call of `train`."""
        self._set = self.schedule is None

    def before_update(self, context: RunContext) -> None:
        """Set the schedule once there is an optimiser, and show the rate of each step."""
        assert context.optimizer is not None
        if not self._set:
            assert self.schedule is not None
            context.optimizer.learning_rate = self.schedule
            self._set = True
        context.metrics["learning_rate"] = context.optimizer.learning_rate


def check_every(owner: str, value: Any, name: str = "every") -> int:
    """Return `value` if it is a whole number above 0, else raise ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{owner}: {name} is {value!r}; give a whole number above 0")
    return value
