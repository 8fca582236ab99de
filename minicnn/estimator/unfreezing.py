"""The hook that lets frozen parts of a net learn again, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicnn import nn
from minicnn.errors import ConfigError
from minicnn.estimator.hook import Hook, RunContext
from minicnn.nn._patterns import selected

__all__ = ["GradualUnfreezing"]


class GradualUnfreezing(Hook):
    """Lets frozen parts of a net learn again at given steps: the head first, then what is below.

    Freeze them by `minicnn.nn.freeze` before training begins. Which of them learn follows from the
    step alone, so that a run that is stopped and resumed, with the same freezing and this hook,
    ends with the same bits.

    Parameters
    ----------
    stages : dict of int to str or sequence of str
        By the number of steps done before: patterns of what learns from then on, as
        `minicnn.nn.unfreeze` takes them.

    Raises
    ------
    ConfigError
        If a step is no whole number from 0 up. When training begins: if a pattern matches nothing,
        or a resumed run has unfrozen something else.

    References
    ----------
    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
    section 3.3.

    Examples
    --------
    >>> from minicnn import models, nn
    >>> net = models.SeedNet()
    >>> names = nn.freeze(net, "block*")
    >>> hook = GradualUnfreezing({200: "block3", 400: ["block1", "block2"]})
    """

    def __init__(self, stages: Mapping[int, str | Sequence[str]]) -> None:
        self.stages: dict[int, list[str]] = {}
        for step, patterns in stages.items():
            if type(step) is not int or step < 0:
                raise ConfigError(
                    f"GradualUnfreezing: {step!r} is no step; give a whole number from 0 up"
                )
            self.stages[step] = [patterns] if isinstance(patterns, str) else list(patterns)
        self._before: list[list[Any]] = []  # the stages of the run that is gone on with

    def begin(self, context: RunContext) -> None:
        """Unfreeze all that was due before, and find out whether all patterns match."""
        net = context.estimator.module
        if not context.estimator.model.parameters():
            raise ConfigError(
                "GradualUnfreezing: the model has no layers before its first batch; call "
                "estimator.evaluate once and freeze, or give the Estimator a module"
            )
        names = [name for name, _ in net.named_parameters()]
        for patterns in self.stages.values():  # what matches nothing is told now, not after hours
            selected("GradualUnfreezing", names, patterns)
        now, before = (_until(context.step, s) for s in (self._listed(), self._before))
        if self._before and now != before:
            raise ConfigError(
                f"GradualUnfreezing: until step {context.step} this run has unfrozen "
                f"{_shown(before)}, and was now to have unfrozen {_shown(now)}; give the stages it "
                "was begun with"
            )
        for step in sorted(self.stages):
            if step <= context.step:
                nn.unfreeze(net, *self.stages[step])

    def before_step(self, context: RunContext) -> None:
        """Unfreeze what is due."""
        if context.step in self.stages:
            nn.unfreeze(context.estimator.module, *self.stages[context.step])

    def state_dict(self) -> dict[str, Any]:
        """Return the stages, by which a resumed run is recognised."""
        return {"stages": self._listed()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what the run has unfrozen so far."""
        self._before = [[int(step), list(patterns)] for step, patterns in state["stages"]]

    def _listed(self) -> list[list[Any]]:
        return [[step, self.stages[step]] for step in sorted(self.stages)]


def _until(step: int, stages: list[list[Any]]) -> list[list[Any]]:
    """Return the stages that are over after so many steps."""
    return [stage for stage in stages if stage[0] < step]


def _shown(stages: list[list[Any]]) -> str:
    return ", ".join(f"{'+'.join(p)} at {step}" for step, p in stages) or "nothing"
