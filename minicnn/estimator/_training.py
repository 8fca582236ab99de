"""One call of `Estimator.train`: steps, hooks, and what happens when something fails.

Between two steps the run is always in a state that can be saved. A step that fails is
undone: the moving averages, the scale of the loss and the position in the input go back to
what they were, and the weights were not changed yet. So whatever ends a run, nothing that
was done is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.errors import CheckpointError, ConfigError, GradientError, MinicnnError
from minicnn.estimator._captured import CapturedTraining
from minicnn.estimator._input import as_tensors, count_examples, split
from minicnn.estimator._interrupts import Interrupted, Interrupts
from minicnn.estimator.hook import Hook, RunContext, hook_keys
from minicnn.estimator.nan_guard import NumberCheck
from minicnn.estimator.spec import EstimatorSpec, Mode
from minicnn.metrics import Metric
from minicnn.optim import Optimizer

if TYPE_CHECKING:
    from minicnn.estimator.estimator import Estimator


class TrainingRun:
    """The steps from now on until `stop_at`, or until the input ends."""

    def __init__(self, estimator: Estimator, hooks: Sequence[Hook], stop_at: int | None) -> None:
        for hook in hooks:
            if not isinstance(hook, Hook):
                raise ConfigError(f"train: {hook!r} is no hook; give instances of Hook")
        self.estimator, self.hooks, self.stop_at = estimator, hooks, stop_at
        self.interrupts = Interrupts()
        remaining = estimator.input.remaining()
        ends = [stop_at, None if remaining is None else estimator.step + remaining]
        self.context = RunContext(
            estimator=estimator,
            step=estimator.step,
            first_step=estimator.step,
            last_step=min((end for end in ends if end is not None), default=None),
            examples=estimator.examples,
            hooks=hooks,
        )
        self._numbers = NumberCheck(self.context)
        self._begun: list[Hook] = []
        self._moving: list[tuple[Tensor, Any]] = []
        self._scaling: dict[str, float] | None = None  # the loss scaler's state, likewise
        self._whole = True  # whether weights and slots belong to one step
        self._cannot_save = False
        self._captured = CapturedTraining(self)
        self._step: Any = None  # the captured step that is being done, if it is one

    def run(self) -> None:
        """Train; raise what went wrong, after all was saved."""
        with self.interrupts:
            failure: BaseException | None = None
            try:
                self._begin()
                self._loop()
                if not self.interrupts.count:
                    self._call_all("before_end")
                if self.interrupts.count:
                    failure = KeyboardInterrupt()
            except BaseException as error:
                failure = error
            with self.interrupts.shield():
                self._finish(failure)

    def _begin(self) -> None:
        states = self.estimator.hook_states
        for key, hook in zip(hook_keys(self.hooks), self.hooks, strict=True):
            self._begun.append(hook)
            if key in states:
                try:
                    hook.load_state_dict(states[key])
                except (KeyError, TypeError, ValueError, AttributeError) as error:
                    raise CheckpointError(
                        f"train: the saved state of {key} is not one of its own ({error!r}); "
                        "train with the hooks of the run, or begin another one"
                    ) from error
        for hook in self.hooks:
            hook.begin(self.context)
        self._call_all("catch_up")
        self._save_if_asked()

    def _loop(self) -> None:
        while not (self._reached_end() or self.interrupts.count):
            if not self._one_step():
                return
            self._call_all("after_step")
            self._save_if_asked()

    def _save_if_asked(self) -> None:
        if self.context.save_requested:
            self.context.save_requested = False
            self._save()

    def _one_step(self) -> bool:
        """Do a step, or nothing of it; return whether the input had a batch for it."""
        estimator = self.estimator
        position, done = estimator.input.state_dict(), estimator.step
        try:
            try:
                element = self._next_batch()
            except StopIteration:
                return False
            with estimator.turns.changing():
                self._do_step(element)
        except BaseException:
            if estimator.step == done:  # no step has had that batch, wherever it was cut off
                with self.interrupts.shield():
                    estimator.input.load_state_dict(position)
            raise
        return True

    def _do_step(self, element: Any) -> None:
        """Do all of a step, or nothing; the batch at which numbers broke is saved."""
        try:
            self._compute(element)
            self._update()
        except BaseException as error:
            with self.interrupts.shield():
                self._undo()
            self._keep_batch(error, undone=True)
            if isinstance(error, MinicnnError) and not isinstance(error, GradientError):
                error.add_note(f"minicnn: this was in step {self.estimator.step + 1}")
            raise
        try:
            with self.interrupts.shield():  # the hooks have yet to see a step that is done
                self._numbers.after_update()
        except GradientError as error:
            self._keep_batch(error, undone=False)
            raise

    def _keep_batch(self, error: BaseException, undone: bool) -> None:
        with self.interrupts.shield():
            self._numbers.keep(error, undone)

    def _reached_end(self) -> bool:
        if self.context.stop_reason is not None:
            return True
        return self.stop_at is not None and self.estimator.step >= self.stop_at

    def _next_batch(self) -> Any:
        source = self.estimator.input
        while True:
            try:
                return source.next()
            except StopIteration:
                if self.context.step > self.context.first_step:
                    raise
                source.begin_pass()  # the last call came to the end

    def _compute(self, element: Any) -> None:
        """Do a step up to the gradients; only moving averages change."""
        estimator, context = self.estimator, self.context
        model = estimator.model
        self._moving, self._step = [], None  # what to go back to, if this step fails
        scaler = estimator.loss_scaler
        self._scaling = None if scaler is None else scaler.state_dict()
        features, labels = as_tensors(split(element), estimator.device)
        context.features, context.labels = features, labels
        context.batch_size = count_examples(features)
        for hook in self.hooks:
            hook.before_step(context)
        model.prepare(features, labels, Mode.TRAIN, context.step)
        estimator.buffers = estimator.buffers or model.buffers()
        self._moving = [(buffer, buffer.data) for buffer in estimator.buffers]
        if not model.module.training:
            model.module.train()
        context.forward = lambda: self.forward(features, labels)
        self._step = self._captured.step_for(features, labels)
        if self._step is not None:
            self._moving = []  # it knows better
            self._step.compute(features, labels)
            self._show(self._step.results)
            if not self._step.divided:
                return  # nobody looks at the gradients
        else:
            self._compute_now()
        if scaler is not None and estimator.optimizer is not None:
            self._numbers.unscale(scaler)
        for hook in self.hooks:
            hook.before_update(context)
        self._numbers.before_update()

    def _compute_now(self) -> None:
        """Compute loss and gradients, one kernel after the other."""
        estimator, context = self.estimator, self.context
        assert context.forward is not None
        spec = context.forward()
        assert spec.loss is not None
        loss = spec.loss
        found = EstimatorSpec(spec.mode, loss=loss.detach(), metrics=spec.metrics)
        self._show(lambda: found)
        if estimator.device == "cpu":
            _ = context.loss  # nobody need wait for it
        if estimator.optimizer is None:
            self._make_optimizer(spec)
        assert estimator.optimizer is not None
        estimator.optimizer.zero_grad()
        self.backward(loss)

    def forward(self, features: Any, labels: Any) -> EstimatorSpec:
        """Call the model with a batch; a captured step is made of this and `backward`, too."""
        return self.estimator.model.call(features, labels, Mode.TRAIN, self.context.step)

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients, of the scaled loss in mixed precision."""
        scaler = self.estimator.loss_scaler
        if scaler is None:
            loss.backward()
            return
        with np.errstate(over="ignore", invalid="ignore"):  # the scaler leaves such a step out
            scaler.scaled(loss).backward()

    def _show(self, results: Callable[[], EstimatorSpec]) -> None:
        """Let loss and metrics be fetched when a hook asks for them."""

        def read() -> tuple[float, dict[str, Any]]:
            spec = results()
            assert spec.loss is not None
            metrics = {name: _value(m) for name, m in (spec.metrics or {}).items()}
            return float(spec.loss.item()), metrics

        self.context.read_later(read)

    def _update(self) -> None:
        """Change the weights; from here on the step counts."""
        estimator, context = self.estimator, self.context
        assert estimator.optimizer is not None
        context.learning_rate = estimator.optimizer.learning_rate
        with self.interrupts.shield():
            self._whole = False
            try:
                (estimator.optimizer if self._step is None else self._step).step()
            except MinicnnError:  # it refused before it changed anything
                self._whole = True
                raise
            self._whole = True
            estimator.step += 1
            estimator.examples += context.batch_size
            estimator.unsaved = True
            context.step, context.examples = estimator.step, estimator.examples
        context.forward = None

    def _make_optimizer(self, spec: EstimatorSpec) -> None:
        estimator = self.estimator
        params = list(estimator.module.named_parameters())
        if not params:
            raise ConfigError(
                "train: the model has no parameters; model_fn made no layer. If it uses a Module "
                "made outside of it, pass that as Estimator(..., module=...)"
            )
        assert spec.optimizer is not None
        if isinstance(spec.optimizer, Optimizer):
            raise ConfigError(
                "model_fn: optimizer must be a function of the parameters, such as "
                "`lambda params: SGD(params, 0.1)`, not an optimizer that was made already"
            )
        optimizer = spec.optimizer(params)
        if not isinstance(optimizer, Optimizer):
            raise ConfigError(f"model_fn: its optimizer function returned {optimizer!r}")
        if estimator.optimizer_state is not None:
            optimizer.load_state_dict(estimator.optimizer_state)
            estimator.optimizer_state = None
        estimator.optimizer = optimizer
        estimator.buffers = estimator.model.buffers()

    def _undo(self) -> None:
        """Go back to where the step began."""
        for buffer, data in self._moving:
            buffer.data = data
        if self._step is not None:
            self._step.undo()
        if self.estimator.loss_scaler is not None and self._scaling is not None:
            self.estimator.loss_scaler.load_state_dict(self._scaling)
        if self.estimator.step == 0 and self.estimator.model.forget():
            self.estimator.optimizer, self.estimator.buffers = None, []

    def _call_all(self, name: str) -> None:
        """Call a method of all hooks, also if one fails; then raise the first failure."""
        failure: BaseException | None = None
        for hook in self._begun:
            try:
                getattr(hook, name)(self.context)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _save(self) -> Path | None:
        estimator = self.estimator
        self._captured.check()
        if estimator.unsaved:
            self._numbers.before_save()
        estimator.hook_states = {
            **estimator.hook_states,
            **{k: h.state_dict() for k, h in zip(hook_keys(self.hooks), self.hooks, strict=True)},
        }
        estimator.buffers = estimator.model.buffers()
        if estimator.model_dir is None:
            return None
        if not estimator.unsaved:
            return estimator.saved_at
        with self.interrupts.shield():
            try:
                return estimator.save()
            except CheckpointError:  # not tried twice: the disk is full, say
                self._cannot_save = True
                raise

    def _finish(self, failure: BaseException | None) -> None:
        """End the hooks, save, and raise what ended the run."""
        self.context.error = failure
        try:
            self._call_all("end")
        except BaseException as error:
            failure = _joined(failure, error)
        saved, trouble = None, ""
        if not self._whole:
            trouble = "its update was cut off"
        elif self._numbers.spoilt:
            trouble = "its weights are not finite"
        elif not self._cannot_save:
            try:
                saved = self._save()
            except BaseException as error:
                trouble = str(error)
                failure = _joined(failure, error)
        step = self.estimator.step
        if isinstance(failure, KeyboardInterrupt):
            stopped = Interrupted(step, saved, self.interrupts.signal, trouble)
            for note in getattr(failure, "__notes__", ()):
                stopped.add_note(note)
            raise stopped from None
        if failure is not None:
            if saved is not None:
                failure.add_note(f"minicnn: the run is saved at step {step}, in {saved}")
            raise failure


def _joined(first: BaseException | None, second: BaseException) -> BaseException:
    """Return the first failure, which mentions the second if that is another."""
    if first is None:
        return second
    if str(first) == str(second):
        return first
    first.add_note(f"minicnn: then came {type(second).__name__}: {second}")
    return first


def _value(metric: Any) -> Any:
    """Return a metric's value as a float, or as an array if it is several numbers."""
    value = metric.result() if isinstance(metric, Metric) else metric
    value = value.numpy() if isinstance(value, Tensor) else value
    return value if isinstance(value, dict) or np.ndim(value) else float(value)
