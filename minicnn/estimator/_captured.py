"""Training steps as one CUDA graph: captured after a few steps, then replayed.

See `minicnn.backend.capture`. What is captured is a step on arrays of its own: each batch
is copied into the captured step's features and labels, and the moving averages are copied back to
where the step finds them. Whatever cannot be captured is trained as ever, after one warning.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.autograd.graph import tensors_in
from minicnn.backend import Array
from minicnn.backend.capture import CapturedWork, capture
from minicnn.backend.device import release_device_memory
from minicnn.errors import CaptureError
from minicnn.estimator.hook import Hook
from minicnn.estimator.spec import EstimatorSpec
from minicnn.metrics import Metric

if TYPE_CHECKING:
    from minicnn.estimator._training import TrainingRun

_WARM_UP = 3  # steps in which kernels are compiled, and what is made once is made
_MOST_CAPTURES = 10  # of one run, where settings change on the way


class CapturedTraining:
    """Captures a run's steps and does them; batches of another shape are left to the run."""

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._seen: Counter[Any] = Counter()  # batches by their shapes
        self._captures = 0
        self._step: _Step | None = None
        config = run.estimator.config
        self._off = not config.cuda_graph or run.estimator.device == "cpu"
        # Who looks between gradients and update divides the step in two.
        looks = any(type(h).before_update is not Hook.before_update for h in run.hooks)
        self._divided = looks or run.estimator.loss_scaler is not None

    def step_for(self, features: Any, labels: Any) -> _Step | None:
        """Return the captured step for a batch; None if it is to be done as ever."""
        if self._off:
            return None
        shapes = _shapes((features, labels))
        if self._step is not None and not self._step.fits():
            self._step.check()
            if self._step.learns_more():  # what is unfrozen has no momentum before its first step
                self._seen.clear()
            self._step = None
        if self._step is None:
            self._seen[shapes] += 1
            if self._seen[shapes] <= _WARM_UP:
                return None
            try:
                with contextlib.suppress(CaptureError):
                    self._step = self._captured(features, labels, shapes)
                # What a captured step alone does was compiled in the capture, which may have spoilt
                # it; but now it is compiled.
                self._step = self._step or self._captured(features, labels, shapes)
            except CaptureError as error:
                self._give_up(error)
                return None
        return self._step if self._step.shapes == shapes else None

    def check(self) -> None:
        """Raise what an op has refused in replays of which nobody has read the results."""
        if self._step is not None:
            self._step.check()

    def _captured(self, features: Any, labels: Any, shapes: Any) -> _Step:
        if shapes is None:
            raise CaptureError("capture: the batch has parts that are no arrays of numbers")
        self._captures += 1
        if self._captures > _MOST_CAPTURES:
            raise CaptureError("capture: the model or the optimizer's settings change too often")
        return _Step(self._run, features, labels, shapes, self._divided)

    def _give_up(self, error: CaptureError) -> None:
        self._off = True
        reason = str(error).removeprefix("capture: ")
        warnings.warn(
            f"RunConfig(cuda_graph=True): this training cannot be captured, so its steps are done "
            f"one kernel at a time: {reason}",
            stacklevel=2,
        )


class _Step:
    """One captured step."""

    def __init__(
        self, run: TrainingRun, features: Any, labels: Any, shapes: Any, divided: bool
    ) -> None:
        estimator = run.estimator
        assert estimator.optimizer is not None
        self.shapes, self._run = shapes, run
        self._estimator, self._optimizer = estimator, estimator.optimizer
        self._modules = [module for _, module in estimator.module.named_modules()]
        self._params = [p for _, p in estimator.optimizer.named_params]
        self._state: list[tuple[Tensor, Array]] = [  # each with the array that the step works on
            *((p, p.data) for p in self._params),
            *((buffer, buffer.data.copy()) for buffer in estimator.buffers),
        ]
        self._buffers = self._state[len(self._params) :]
        self._before: list[tuple[Array, Array]] = []  # copies of the moving averages, in divided
        self._fixed = self._fixed_now()
        self._unread = False  # whether there was a replay since the results were read
        self._begun = False  # whether moving averages are those of a step that is not done yet
        self.features, self.labels = _copied(features), _copied(labels)
        self._capture(divided)

    def _capture(self, divided: bool) -> None:
        """Capture the step's parts: gradients and update, or both in one."""
        release_device_memory(self._estimator.device)  # what the steps before needed
        gradients = [p.grad for p in self._params]
        data = [buffer.data for buffer, _ in self._buffers]
        try:
            for buffer, array in self._buffers:
                buffer.data = array
            if divided:
                self._before = [(array, array.copy()) for _, array in self._buffers]
            state, device = [buffer for buffer, _ in self._buffers], self._estimator.device
            with self._key(), capture(device, state=state) as whole:
                self._compute()
                if not divided:
                    self._optimizer.step()
            self._gradients = [p.grad for p in self._params]
            self._parts = [whole]
            if divided:
                with capture(device, whole.pool) as update:
                    self._optimizer.step()
                self._parts.append(update)
        except BaseException:
            for (buffer, _), before in zip(self._buffers, data, strict=True):
                buffer.data = before
            for p, grad in zip(self._params, gradients, strict=True):
                p.grad = grad
            raise

    def _compute(self) -> None:
        for array, copy in self._before:
            copy[...] = array
        self._optimizer.zero_grad()
        spec = self._run.forward(self.features, self.labels)
        assert spec.loss is not None
        for name, value in (spec.metrics or {}).items():
            if not isinstance(value, Metric | Tensor):
                raise CaptureError(
                    f"metric {name!r} is {value!r}, a number that would be shown for every step; "
                    "give a Metric or a Tensor"
                )
        self._run.backward(spec.loss)
        self._spec = EstimatorSpec(spec.mode, None, spec.loss.detach(), None, spec.metrics)

    def _fixed_now(self) -> list[Any]:
        """Return what the captured step took for granted."""
        return [
            [m.training for m in self._modules],
            [p.requires_grad for p in self._params],
            self._optimizer.fixed_settings(),
        ]

    def learns_more(self) -> bool:
        """Tell whether a parameter learns by now that was frozen when the step was captured."""
        before = self._fixed[1]
        return any(p.requires_grad and not b for p, b in zip(self._params, before, strict=True))

    def fits(self) -> bool:
        """Tell whether a step of now would be the one that was captured."""
        if not self._estimator.module.training:
            self._estimator.module.train()
        if self._estimator.optimizer is not self._optimizer or self._fixed != self._fixed_now():
            return False
        return all(t.data is array or _alike(t.data, array) for t, array in self._state)

    def compute(self, features: Any, labels: Any) -> None:
        """Begin the step of a batch: all of it, or of a divided one what comes before its update.

        Until it returns, nothing has changed but moving averages; see `undo`.
        """
        for to, given in zip(_leaves(self), tensors_in((features, labels)), strict=True):
            to.data[...] = given.data
        for tensor, array in self._state:
            if tensor.data is not array:  # a step was done as ever, or weights were loaded
                array[...] = tensor.data
                tensor.data = array
        if self.divided:
            for p, grad in zip(self._params, self._gradients, strict=True):
                p.grad = grad
            self._replay(self._parts[0])
            self._begun = True

    @property
    def divided(self) -> bool:
        """Whether gradients and update are two replays."""
        return len(self._parts) > 1

    def step(self) -> None:
        """Do the rest of the step."""
        if not self.divided:
            self._replay(self._parts[0])
        elif all(p.grad is g for p, g in zip(self._params, self._gradients, strict=True)):
            self._replay(self._parts[1])
        else:  # a hook has put other gradients there
            self._optimizer.step()
        self._begun = False

    def undo(self) -> None:
        """Take the moving averages back to where they were before a step that was not done."""
        if self._begun:
            for (buffer, array), (_, copy) in zip(self._buffers, self._before, strict=True):
                array[...] = copy
                buffer.data = array  # a hook may have computed the batch again
        self._begun = self._unread = False

    def _replay(self, part: CapturedWork) -> None:
        with self._key():
            part.replay()
        self._unread = True

    def _key(self) -> AbstractContextManager[None]:
        return nn.random_key(self._estimator.config.seed, self._estimator.step)

    def results(self) -> EstimatorSpec:
        """Return loss and metrics of the last step. The host waits for them."""
        for part in self._parts:
            part.look()
        self._unread = False
        return self._spec

    def check(self) -> None:
        """Raise what an op has refused in a replay, if nobody has read the results since."""
        if self._unread:
            self.results()


def _alike(a: Array, b: Array) -> bool:
    return bool(type(a) is type(b) and (a.shape, a.dtype) == (b.shape, b.dtype))


def _leaves(step: _Step) -> Iterator[Tensor]:
    return tensors_in((step.features, step.labels))


def _copied(tree: Any) -> Any:
    """Return a batch with copies of its arrays."""
    if isinstance(tree, dict):
        return {name: _copied(leaf) for name, leaf in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_copied(leaf) for leaf in tree)
    return Tensor(tree.data.copy()) if isinstance(tree, Tensor) else tree


def _shapes(tree: Any) -> Any:
    """Return what a batch is made of, to be compared; None if not of Tensors alone."""
    if isinstance(tree, Tensor):
        return tree.shape, tree.dtype.str
    if tree is None:
        return "nothing"
    if isinstance(tree, dict):
        parts = [(name, _shapes(leaf)) for name, leaf in tree.items()]
        return None if any(found is None for _, found in parts) else ("dict", *parts)
    if isinstance(tree, tuple | list):
        found = [_shapes(leaf) for leaf in tree]
        return None if None in found else ("tuple", *found)
    return None
