"""What a hook is, and what it is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.errors import ConfigError
from minicnn.optim import Optimizer

if TYPE_CHECKING:
    from minicnn.estimator.estimator import Estimator
    from minicnn.estimator.spec import EstimatorSpec


@dataclass
class RunContext:
    """Where a run stands; every hook of a call of `train` is shown the same one.

    Attributes
    ----------
    estimator : Estimator
        Who trains.
    step : int
        How many steps were done since the run began; resuming goes on counting.
    first_step : int
        The step at which this call of `train` began.
    last_step : int or None
        The step at which it will end, None if that is not known.
    loss : float
        The last batch's loss. On a GPU it is fetched when it is asked for, and whoever asks waits
        until it is computed.
    metrics : dict of str to float or ndarray
        The last batch's metrics, fetched like the loss.
    learning_rate : float
        The rate of the last step.
    batch_size : int
        Examples in the last batch.
    examples : int
        How many examples were trained on since the run began, each as often as it was used.
    features, labels : Any
        The last batch.
    error : BaseException or None
        In `Hook.end`: what ended the run too early, None if nothing did.
    stop_reason : str or None
        Why `stop` was called, None if it was not.
    save_requested : bool
        Whether `save` was called in this step.
    hooks : sequence of Hook
        All hooks of this call of `train`.
    forward : callable or None
        During a step, calls the model function on the batch once more.
    """

    estimator: Estimator
    step: int
    first_step: int
    last_step: int | None = None
    loss: float = field(default_factory=lambda: math.nan)
    metrics: dict[str, Any] = field(default_factory=dict)
    learning_rate: float = math.nan
    batch_size: int = 0
    examples: int = 0
    features: Any = None
    labels: Any = None
    error: BaseException | None = None
    stop_reason: str | None = None
    save_requested: bool = False
    hooks: Sequence[Hook] = ()
    forward: Callable[[], EstimatorSpec] | None = None

    def read_later(self, read: Callable[[], tuple[float, dict[str, Any]]]) -> None:
        """Let loss and metrics be fetched when someone asks for them.

        Parameters
        ----------
        read : callable
            Returns the loss and the metrics.
        """
        for name in ("loss", "metrics"):
            self.__dict__.pop(name, None)
        self.__dict__["_read"] = read

    def __getattr__(self, name: str) -> Any:
        """Fetch the loss and the metrics: called for what is not there."""
        if name in ("loss", "metrics") and "_read" in self.__dict__:
            self.loss, self.metrics = self.__dict__["_read"]()  # if it fails, for all who ask
            del self.__dict__["_read"]
            return self.__dict__[name]
        raise AttributeError(f"RunContext has no {name!r}")

    @property
    def optimizer(self) -> Optimizer | None:
        """The optimiser; None before the first step."""
        return self.estimator.optimizer

    @property
    def model_dir(self) -> Path | None:
        """Where the run's files go, if anywhere."""
        return self.estimator.model_dir

    def stop(self, reason: str) -> None:
        """End the run after this step.

        Parameters
        ----------
        reason : str
            For people to read.
        """
        self.stop_reason = reason

    def save(self) -> None:
        """Save a checkpoint when all hooks have seen this step."""
        self.save_requested = True

    def evaluate(self, input_fn: Callable[[], Any], name: str) -> dict[str, Any]:
        """Evaluate the model as it is now, and show the results to all hooks.

        Parameters
        ----------
        input_fn : callable
            Returns the `Dataset` to evaluate on.
        name : str
            What to call it, say "validation".

        Returns
        -------
        dict
            What `Estimator.evaluate` returns.
        """
        results = self.estimator.evaluate(input_fn)
        self.show(name, results)
        return results

    def show(self, name: str, results: dict[str, Any]) -> None:
        """Show all hooks the results of an evaluation, each once, also if one fails.

        Parameters
        ----------
        name : str
            What the evaluation is called.
        results : dict
            What `Estimator.evaluate` returned.
        """
        failure: BaseException | None = None
        for hook in self.hooks:
            try:
                hook.after_evaluate(self, name, results)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def file_in_model_dir(self, path: str | Path | None, default: str, hook: Hook) -> Path:
        """Return where a hook writes.

        Parameters
        ----------
        path : str or Path or None
            What the hook was given.
        default : str
            The name in `model_dir` otherwise.
        hook : Hook
            Who asks, for the error.

        Returns
        -------
        Path
            `path`, or the default one in `model_dir`.

        Raises
        ------
        ConfigError
            If there is neither.
        """
        if path is not None:
            return Path(path)
        if self.model_dir is None:
            raise ConfigError(
                f"{type(hook).__name__}: give a path, or the RunConfig a model_dir to write to"
            )
        return self.model_dir / default


class Hook:
    """Something done around every step; subclasses override what they need.

    An exception raised by a hook ends the run after the step is done and saved, except in
    `before_step` and `before_update`: then the step is not done at all.
    """

    def begin(self, context: RunContext) -> None:
        """Be called when `train` begins, after the state was restored.

        Parameters
        ----------
        context : RunContext
            Where the run stands.
        """

    def catch_up(self, context: RunContext) -> None:
        """Be called when all hooks have begun, to do what the last run was stopped in.

        Parameters
        ----------
        context : RunContext
            Where the run stands.
        """

    def before_step(self, context: RunContext) -> None:
        """Be called with each batch, before the model sees it.

        Parameters
        ----------
        context : RunContext
            Where the run stands; `step` is the number of steps done.
        """

    def before_update(self, context: RunContext) -> None:
        """Be called when the loss and all gradients are known, before any weight changes.

        Parameters
        ----------
        context : RunContext
            Where the run stands; `loss` and `metrics` are of the step being done.
        """

    def after_step(self, context: RunContext) -> None:
        """Be called when a step is done.

        Parameters
        ----------
        context : RunContext
            Where the run stands; `step` counts this step too.
        """

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Be called with the results of an evaluation.

        Parameters
        ----------
        context : RunContext
            Where the run stands.
        name : str
            What was evaluated, say "validation".
        results : dict
            What `Estimator.evaluate` returns.
        """

    def before_end(self, context: RunContext) -> None:
        """Be called when all steps are done and nothing failed, before any hook's `end`.

        Parameters
        ----------
        context : RunContext
            Where the run stands.
        """

    def end(self, context: RunContext) -> None:
        """Be called when `train` ends, also when it fails; the last checkpoint comes after.

        Parameters
        ----------
        context : RunContext
            Where the run stands; `error` tells of a failure or of Ctrl-C.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on after a restart.

        Returns
        -------
        dict
            Of what JSON holds, and arrays.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned; called before `begin`.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.
        """


def hook_keys(hooks: Sequence[Hook]) -> list[str]:
    """Name each hook by its class, and by a number where there are several of one."""
    kinds = [type(hook).__name__ for hook in hooks]
    keys = []
    for i, kind in enumerate(kinds):
        number = kinds[:i].count(kind)
        keys.append(f"{kind}-{number}" if number else kind)
    return keys
