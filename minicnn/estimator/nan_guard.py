"""The look at every step's numbers: nothing that is not finite is learned from, or saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minicnn.errors import GradientError
from minicnn.estimator import _numbers
from minicnn.estimator._faults import save_fault
from minicnn.estimator.checkpoint import newest_checkpoint
from minicnn.estimator.control_hooks import check_every
from minicnn.estimator.hook import Hook, RunContext
from minicnn.optim import SGD, Adam, AdamW, LossScaler

ON_A_GPU = 50  # steps between two looks, for each of which the host waits
_LARGE = 1e36  # a sum of squares of which none overflows in the slots of these optimisers:
_KNOWN = (SGD, Adam, AdamW)


class NaNGuard(Hook):
    """Ends the run before a NaN or an infinity is learned from, and names its origin.

    Every Estimator looks after its numbers already, as ``RunConfig.check_numbers`` says. This hook
    takes the place of that: on a GPU it looks in every step, for which the host waits, and it looks
    at the gradients as the hooks before it have left them.

    The loss is looked at in every step. If it is not finite, the batch is computed once more
    and the first layer with such an output is named, and the first op, with what it was given;
    before it, the batch and the weights are looked at. The gradients are looked at too, and the
    op whose gradient breaks is named likewise, and moving averages. Then the step is not done, so
    the weights and the last checkpoint are those before it, and the batch is saved for `replay`.
    After each update the weights are looked at; if they are not finite they are not saved, so that
    the last checkpoint stays a good one.

    Parameters
    ----------
    every : int, default 1
        Look at gradients, moving averages and weights in every n-th step; it costs one pass over
        them. Before a checkpoint they are always looked at.

    Raises
    ------
    ConfigError
        If `every` is not a whole number above 0.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = check_every("NaNGuard", every)

    def before_update(self, context: RunContext) -> None:
        """Look at the loss and the gradients.

        Raises
        ------
        GradientError
            If one of them is not finite; it names the origin.
        """
        step = computed(context)
        _numbers.check_loss(step)
        if step.number % self.every == 0:
            _numbers.check_gradients(step)


def computed(context: RunContext) -> _numbers.Computed:
    """Return the step that is being done, before its update."""
    assert context.forward is not None
    assert context.optimizer is not None
    return _numbers.Computed(
        number=context.step + 1,
        module=context.estimator.module,
        features=context.features,
        labels=context.labels,
        loss=context.loss,
        forward=context.forward,
        params=context.optimizer.named_params,
    )


class NumberCheck:
    """The part of a run that looks at its numbers: before each update, after it, before a save.

    Parameters
    ----------
    context : RunContext
        Where the run stands.
    """

    def __init__(self, context: RunContext) -> None:
        estimator = context.estimator
        self._own = [hook for hook in context.hooks if isinstance(hook, NaNGuard)]
        every = estimator.config.check_numbers
        if isinstance(every, str):  # "auto"
            every = 1 if estimator.device == "cpu" else ON_A_GPU
        self._every = min((hook.every for hook in self._own), default=every)
        self._context = context
        self._first = True
        self._large = False  # whether gradients or weights are so large that slots may overflow
        self._buffers: Sequence[Any] = ()
        self._averages: list[Any] = []  # of the buffers, those that hold floats
        # After which steps all was well:
        self._weights_seen = self._averages_seen = self._slots_seen = context.step
        self.spoilt = False  # whether what is in memory may not be saved

    def before_update(self) -> None:
        """Look at loss, gradients and moving averages if it is time; the step can be undone yet.

        Raises
        ------
        GradientError
            If something is not finite.
        """
        if self._every is None or not (self._first or self._due(self._context.step + 1)):
            return
        optimizer, buffers = self._context.optimizer, self._context.estimator.buffers
        assert optimizer is not None
        if buffers is not self._buffers:
            self._buffers = buffers
            self._averages = [b for b in buffers if b.dtype.kind == "f"]
        arrays = [p.grad.data for _, p in optimizer.named_params if p.grad is not None]
        total = _numbers.total_square(arrays + [b.data for b in self._averages])
        fine = math.isfinite(total) and (self._own or math.isfinite(self._context.loss))
        if not fine or self._first:
            self._look_closely(self._averages)
        self._large |= not total < _LARGE
        self._averages_seen = self._context.step + 1

    def _look_closely(self, averages: Sequence[Any]) -> None:
        """Say what is not finite, if it is not just that squares overflow; or in a first step."""
        step = computed(self._context)
        if self._first:
            if not self._own:
                _numbers.check_loss(step)
            self._check_beginning()
            self._first = False
        elif self._weights_seen < self._context.step:
            self._check_weights()  # an earlier step may have spoilt them
        if not self._own:
            _numbers.check_loss(step)
        if not self._own:
            _numbers.check_gradients(step)
        _numbers.check_buffers(step, averages)

    def unscale(self, scaler: LossScaler) -> None:
        """Divide the gradients by the loss scale.

        Raises
        ------
        GradientError
            If no scale is small enough; it names the op.
        """
        assert self._context.optimizer is not None
        try:
            scaler.unscale(p for _, p in self._context.optimizer.named_params)
        except GradientError as error:
            if self._every is None:
                raise
            step = computed(self._context)
            _numbers.check_loss(step)
            where = _numbers.first_op(step, backward=True)
            raise _numbers.fault(step.number, f"{error}{where}") from error

    def after_update(self) -> None:
        """Look at the weights if it is time.

        Raises
        ------
        GradientError
            If the update has spoilt them.
        """
        if self._every is not None and self._due(self._context.step):
            captured = self._averages_seen < self._context.step  # nobody looked before the update
            self._check_weights()
            if captured and not math.isfinite(self._context.loss):
                raise GradientError(
                    f"train: the loss is {self._context.loss} after step {self._context.step}; the "
                    "weights are finite. With the NaNGuard hook a captured step is looked at in "
                    "the middle, and the layer is named"
                )
            if self._large or type(self._context.optimizer) not in _KNOWN:
                self._check_slots()
            else:
                self._slots_seen = self._context.step

    def keep(self, error: BaseException, undone: bool) -> None:
        """Save the batch if an error is about its numbers, and let the error say where."""
        number = getattr(error, "_in_step", None)
        if number is not None:
            batch = (self._context.features, self._context.labels)
            where = save_fault(self._context.estimator, number, batch, str(error), undone)
            error.args = (f"{error}; {where}",)

    def before_save(self) -> None:
        """Look at all that has changed since it was looked at.

        Raises
        ------
        GradientError
            If something is not finite: then it may not be saved.
        """
        if self._every is None:
            return
        if self._weights_seen < self._context.step:
            self._check_weights()
        self._check_slots()

    def _due(self, step: int) -> bool:
        return self._every is not None and step % self._every == 0

    def _check_beginning(self) -> None:
        """Refuse weights and slots that are not finite before the first step."""
        optimizer = self._context.optimizer
        assert optimizer is not None
        for what, named in (
            ("parameter", optimizer.named_params),
            ("optimizer's", self._slots()),
        ):
            broken = _numbers.not_finite([x for _, x in named])
            if broken:
                name, first = named[broken[0]]
                self.spoilt = True
                raise GradientError(
                    f"train: the {what} {name!r} is not finite before step "
                    f"{self._context.step + 1}, the first of this call: "
                    f"{_numbers.faults_of(first)}; load another state"
                )

    def _check_weights(self) -> None:
        """Look at what the update has changed."""
        optimizer, step = self._context.optimizer, self._context.step
        if optimizer is None:
            return
        named = [(name, p) for name, p in optimizer.named_params if p.grad is not None]
        total = _numbers.total_square([p.data for _, p in named])
        broken = [] if math.isfinite(total) else _numbers.not_finite([p for _, p in named])
        if broken:
            raise self._spoilt(f"the parameter(s) {_list(named, broken)}", *named[broken[0]])
        if self._averages_seen < step:  # before the update nobody has looked
            averages = list(self._context.estimator.module.named_buffers())
            broken = [i for i, (_, b) in enumerate(averages) if _numbers.has_nan(b)]
            if broken:
                raise self._spoilt(
                    f"the moving averages {_list(averages, broken)}", *averages[broken[0]]
                )
        self._weights_seen = self._averages_seen = step
        self._large |= not total < _LARGE

    def _check_slots(self) -> None:
        """Look at what the optimiser remembers."""
        named = self._slots()
        broken = _numbers.not_finite([x for _, x in named])
        if broken:
            raise self._spoilt(f"the optimizer's {_list(named, broken)}", *named[broken[0]], True)
        self._slots_seen, self._large = self._context.step, False

    def _slots(self) -> list[tuple[str, Any]]:
        optimizer = self._context.optimizer
        slots = [] if optimizer is None else optimizer.named_slots
        return [(name, x) for name, x in slots if x.dtype.kind == "f"]

    def _spoilt(self, what: str, name: str, first: Any, slot: bool = False) -> GradientError:
        """Return an error about what an update, or several, have spoilt."""
        self.spoilt = True
        context, step = self._context, self._context.step
        seen = self._slots_seen if slot else self._weights_seen
        exact = seen == step - 1
        if exact:
            when = f"train: step {step} made {what} NaN or infinite"
        else:
            when = (
                f"train: after step {step}, {what} are NaN or infinite; all was well when they "
                f"were last looked at, after step {seen}, so this arose in steps {seen + 1} to "
                f"{step}"
            )
        parameter = name.rpartition(".")[0] if slot else name
        module = context.estimator.module
        text = (
            f"{when}: {name!r}{_numbers.owner(module, parameter)} has {_numbers.faults_of(first)}; "
            f"{self._circumstances(parameter)}; {self._where_to_go_on()}"
        )
        now = context.forward is None  # and not before the update of the next step
        return _numbers.fault(step, text) if exact and now else GradientError(text)

    def _circumstances(self, name: str) -> str:
        """Say what the update was given."""
        context, optimizer = self._context, self._context.optimizer
        assert optimizer is not None
        rate = f"{self._rate_of(name):.3g} ({type(optimizer).__name__})"
        if context.forward is not None:  # loss and gradients are of the next step already
            return f"the learning rate was {rate}"
        grads = [(n, p.grad) for n, p in optimizer.named_params if p.grad is not None]
        sizes = [(_numbers.largest(g), n) for n, g in grads]
        worst = max(sizes, key=lambda s: math.inf if s[0] != s[0] else s[0], default=(0.0, ""))
        text = (
            f"the loss was {context.loss}, the largest gradient {worst[0]:.3g} (of {worst[1]!r}), "
            f"the learning rate {rate}"
        )
        if math.isfinite(context.loss) and math.isfinite(worst[0]):
            text += ", so it was the update that overflowed: lower the learning rate or the weight "
            text += "decay, or set clip_norm"
        return text

    def _rate_of(self, name: str) -> float:
        """Return the learning rate of a parameter in the step that was done."""
        optimizer = self._context.optimizer
        assert optimizer is not None
        for group in optimizer.groups:
            if any(name == other for other, _ in group["params"]):
                schedule, rate = group["learning_rate"], self._context.learning_rate
                if schedule:
                    rate = float(schedule(optimizer.step_count - 1))
                return rate * float(group["rate_factor"])
        return self._context.learning_rate

    def _where_to_go_on(self) -> str:
        """Say which checkpoint is a good one."""
        text = "the weights in memory are spoilt and are not saved"
        folder = self._context.estimator.checkpoints
        if folder is None:
            return text
        newest = newest_checkpoint(folder)
        if newest is None:
            return f"{text}; no checkpoint was saved before"
        return f"{text}; a new Estimator goes on from {newest}"


def _list(named: Sequence[tuple[str, Any]], broken: Sequence[int]) -> str:
    return _numbers.listed([named[i][0] for i in broken])
