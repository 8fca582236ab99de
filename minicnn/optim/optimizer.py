"""What all optimisers share: parameters, groups, slots, schedules and saved states."""

from __future__ import annotations

import difflib
import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend import Array, array_module
from minicnn.errors import CheckpointError, ConfigError, ShapeError
from minicnn.kernels import capturing
from minicnn.optim.clipping import DeviceClipping, clip_gradients
from minicnn.optim.schedules import Schedule, as_schedule

Named = tuple[str, Tensor]
Slots = dict[str, Array]
_OF_THE_RATE = ("learning_rate", "rate_factor")  # settings that may change from step to step
_LOOK_EVERY = 50  # steps: how often the host waits, to see whether a clipped gradient was finite


class Optimizer(ABC):
    """Changes parameters against their gradients; the base of SGD, Adam and AdamW.

    Parameters
    ----------
    params : Module, or iterable of Parameter, (str, Parameter) or dict
        What to change. Each dict is a group: its own `params`, and whatever of `learning_rate`
        and the optimiser's other settings (`options`) it wants different from the rest. Its
        `rate_factor`, 1 by default, multiplies the rate, the common one or its own.
    learning_rate : float or callable
        The rate, or a schedule: a function from the number of steps done to a rate.
    clip_norm : float, optional
        If given, gradients are scaled down to this norm, taken over all parameters together.
    **options : float or bool
        The settings that a group may replace.

    Attributes
    ----------
    groups : list of dict
        The groups: `params`, a list of (name, parameter), and every setting.
    step_count : int
        How many steps were done.

    Raises
    ------
    ConfigError
        If a parameter or a setting makes no sense.
    """

    _multiplies = False  # whether `_update` multiplies gradients by `factor`

    def __init__(
        self,
        params: Any,
        learning_rate: Schedule | float,
        *,
        clip_norm: float | None = None,
        **options: Any,
    ) -> None:
        self._kind = type(self).__name__
        self._learning_rate = as_schedule(learning_rate, self._kind)
        if clip_norm is not None and not 0 < clip_norm < math.inf:
            raise ConfigError(f"{self._kind}: clip_norm is {clip_norm!r}; give a number above 0")
        self.clip_norm = clip_norm
        self.step_count = 0
        self._factor: Array | None = None  # what kernels multiply gradients by; None: 1
        self._clipping = DeviceClipping()
        self.groups = [self._group(g, options) for g in _as_groups(params, self._kind)]
        _name_all(self.groups, self._kind)
        self._slots: dict[str, Slots] = {}  # by parameter name

    @abstractmethod
    def _new_slots(self, weight: Array, group: dict[str, Any]) -> Slots:
        """Return what is remembered of one parameter, at the beginning."""

    @abstractmethod
    def _update(
        self,
        weights: list[Array],
        grads: list[Array],
        slots: list[Slots],
        learning_rate: float,
        group: dict[str, Any],
    ) -> None:
        """Change parameters of a group, all on one device, and their slots in place."""

    @abstractmethod
    def _check(self, options: dict[str, Any]) -> None:
        """Raise ConfigError if a setting of a group makes no sense."""

    @property
    def learning_rate(self) -> float:
        """The rate of the next step, of groups without one of their own; set it to replace it."""
        return float(self._learning_rate(self.step_count))

    @learning_rate.setter
    def learning_rate(self, rate: Schedule | float) -> None:
        self._learning_rate = as_schedule(rate, self._kind)

    @property
    def named_params(self) -> list[Named]:
        """All parameters with their names, group after group."""
        return [named for group in self.groups for named in group["params"]]

    @property
    def named_slots(self) -> list[tuple[str, Array]]:
        """All that is remembered of parameters, as ``"<parameter>.<slot>"`` with its array."""
        return [
            (f"{name}.{slot}", value)
            for name, _ in self.named_params
            for slot, value in self._slots.get(name, {}).items()
        ]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for _, p in self.named_params:
            p.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient; those without one stay as they are.

        Raises
        ------
        ConfigError
            If the schedule gives a rate that is not a number from 0 up.
        GradientError
            If `clip_norm` is set and a gradient is not finite. On a GPU, for which the host does
            not wait, up to 50 steps later; the parameters do not change in between.
        ShapeError
            If a gradient has another shape than its parameter.

        Notes
        -----
        With `clip_norm`, the gradients themselves are scaled on the CPU; on a GPU they stay, and
        are scaled as they are read.
        """
        self._factor = self._clip()
        rates = [self._rate(group) for group in self.groups]  # all checks before any change
        moving = [self._moving(group) for group in self.groups]
        for group, rate, by_device in zip(self.groups, rates, moving, strict=True):
            for here in by_device.values():
                slots = [self._slots_of(name, p, group) for name, p, _ in here]
                for (name, p, _), own in zip(here, slots, strict=True):
                    self._check_slots(name, p, own)
                weights, grads = [p.data for _, p, _ in here], [g for _, _, g in here]
                self._update(weights, grads, slots, rate, group)
        capturing.afterwards(self._count)

    def _clip(self) -> Array | None:
        """Scale the gradients down, or return what to multiply them by."""
        if self.clip_norm is None:
            return None
        if self._multiplies and self._clipping.works_for(self.named_params):
            return self._clipping.factor(self.named_params, self.clip_norm)
        clip_gradients(self.named_params, self.clip_norm)
        return None

    def _count(self) -> None:
        self.step_count += 1
        if self.step_count % _LOOK_EVERY == 0:
            self._clipping.check()

    def fixed_settings(self) -> list[Any]:
        """Return all that a step reads and a replay of it does not: see `minicnn.backend.capture`.

        Returns
        -------
        list
            To be compared with that of another time.
        """
        options = [
            {k: v for k, v in group.items() if k not in ("params", *_OF_THE_RATE)}
            for group in self.groups
        ]
        return [self.clip_norm, id(self._slots), [id(g["params"]) for g in self.groups], options]

    def _moving(self, group: dict[str, Any]) -> dict[str, list[tuple[str, Tensor, Array]]]:
        """Return by device the parameters of a group that have a gradient, with it."""
        found: dict[str, list[tuple[str, Tensor, Array]]] = {}
        for name, p in group["params"]:
            if p.grad is None:
                continue
            grad = p.grad.data
            if grad.shape != p.data.shape:
                raise ShapeError(
                    f"{self._kind}: parameter {name!r} has shape {p.shape}, "
                    f"its gradient {grad.shape}"
                )
            found.setdefault(p.device, []).append((name, p, grad))
        return found

    def _check_slots(self, name: str, p: Tensor, slots: Slots) -> None:
        """Refuse what was made for a parameter of another shape."""
        for slot, value in slots.items():
            if np.ndim(value) and np.shape(value) != p.data.shape:
                raise ShapeError(
                    f"{self._kind}: parameter {name!r} has shape {p.shape}, its {slot} "
                    f"{np.shape(value)}; make a new optimizer where parameters get new shapes"
                )

    def _rate(self, group: dict[str, Any]) -> float:
        """Return the rate of this step; in a capture, what finds that of each replayed step."""
        rate: float = capturing.later(lambda: self._rate_now(group), "the learning rate")
        return rate

    def _rate_now(self, group: dict[str, Any]) -> float:
        schedule = group["learning_rate"] or self._learning_rate
        rate = float(schedule(self.step_count)) * group["rate_factor"]
        if not 0 <= rate < math.inf:
            raise ConfigError(
                f"{self._kind}: {schedule!r} gives the learning rate {rate} at step "
                f"{self.step_count}; it must be a number from 0 up"
            )
        return rate

    def _slots_of(self, name: str, p: Tensor, group: dict[str, Any]) -> Slots:
        if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
            p.data = p.data.copy(order="K")  # it was, say, a view of a file
        if name not in self._slots:
            capturing.refuse(f"parameter {name!r} has a gradient for the first time")
            self._slots[name] = self._new_slots(p.data, group)
        return self._slots[name]

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all that must be kept to go on later.

        Returns
        -------
        dict of str to ndarray
            ``"step"``, and ``"<parameter>.<slot>"`` of every parameter changed so far. Settings
            and learning rates are not part of it.
        """
        self._clipping.check()
        state = {"step": np.array(self.step_count, np.int64)}
        for name, _ in self.named_params:
            for slot, value in self._slots.get(name, {}).items():
                value = value if isinstance(value, np.ndarray) else value.get()
                state[f"{name}.{slot}"] = np.array(value, order="C")
        return state

    def load_state_dict(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state_dict` returned, of an optimiser of the same kind and parameters.

        Parameters
        ----------
        state : dict of str to ndarray
            What `state_dict` returned.

        Raises
        ------
        CheckpointError
            If a name is unknown, a slot is missing or has another shape; nothing is changed then.
        """
        fresh: dict[str, Slots] = {}
        for group in self.groups:
            for name, p in group["params"]:
                slots = self._new_slots(p.data, group)
                if any(f"{name}.{slot}" in state for slot in slots):
                    fresh[name] = slots
        wrong = _differences(fresh, state)
        if wrong:
            raise CheckpointError(
                f"{self._kind}: this state is of another optimiser or model: {'; '.join(wrong)}"
            )
        for name, slots in fresh.items():
            for slot, value in slots.items():
                value[...] = array_module(value).asarray(state[f"{name}.{slot}"])
        self._slots, self._clipping = fresh, DeviceClipping()
        self.step_count = int(state["step"])

    def _group(self, given: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
        known = ["params", "learning_rate", "rate_factor", *options]
        for key in set(given) - set(known):
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; a group may set {list(options)}"
            raise ConfigError(f"{self._kind}: a group has no setting {key!r}{hint}")
        group = {**options, "rate_factor": 1.0, **given}
        check_range(self._kind, "rate_factor", group["rate_factor"])
        rate = group.get("learning_rate")
        group["learning_rate"] = None if rate is None else as_schedule(rate, self._kind)
        self._check(group)
        return group


def _differences(fresh: dict[str, Slots], state: dict[str, np.ndarray]) -> list[str]:
    """Say what a state lacks, has too much, or in another shape."""
    shapes: dict[str, tuple[int, ...]] = {"step": ()}
    for name, slots in fresh.items():
        shapes |= {f"{name}.{slot}": value.shape for slot, value in slots.items()}
    wrong = [f"missing {name!r}" for name in shapes if name not in state]
    wrong += [f"unexpected {name!r}" for name in state if name not in shapes]
    return wrong + [
        f"{name!r} has shape {np.shape(state[name])}, not {shape}"
        for name, shape in shapes.items()
        if name in state and np.shape(state[name]) != shape
    ]


def check_range(owner: str, name: str, value: Any, below: float = math.inf) -> None:
    """Raise ConfigError unless `value` is a number from 0 up to, but not including, `below`."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 0 <= value < below:
        allowed = "from 0 up" if below == math.inf else f"from 0 to below {below}"
        raise ConfigError(f"{owner}: {name} is {value!r}; it must be a number {allowed}")


def slot_like(weight: Array) -> Array:
    """Return zeros of the weight's shape and memory order, at least in single precision."""
    precise = np.promote_types(weight.dtype, np.float32)
    return array_module(weight).zeros_like(weight, dtype=precise)


def _as_groups(params: Any, kind: str) -> list[dict[str, Any]]:
    """Return `params`, in any of its forms, as groups whose `params` are lists."""
    entries = _entries(params, kind)
    if not any(isinstance(e, dict) for e in entries):
        return [{"params": entries}]
    groups = []
    for entry in entries:
        if not isinstance(entry, dict) or "params" not in entry:
            raise ConfigError(f"{kind}: {_brief(entry)} among groups; give dict(params=...)")
        groups.append({**entry, "params": _entries(entry["params"], kind)})
    return groups


def _entries(params: Any, kind: str) -> list[Any]:
    if hasattr(params, "named_parameters"):
        return list(params.named_parameters())
    if isinstance(params, Tensor | dict | str) or not isinstance(params, Iterable):
        raise ConfigError(f"{kind}: params is {_brief(params)}; give a list of parameters")
    return list(params)


def _name_all(groups: Sequence[dict[str, Any]], kind: str) -> None:
    """Make every group's `params` a list of (name, parameter), each once."""
    named: dict[str, Tensor] = {}
    seen: dict[int, str] = {}
    for group in groups:
        pairs = []
        for entry in group["params"]:
            pair = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
            p = entry[1] if pair else entry
            if not isinstance(p, Tensor) or p.dtype.kind != "f":
                raise ConfigError(f"{kind}: {_brief(p)} is no parameter; give float Tensors")
            name = entry[0] if pair else getattr(p, "name", None) or str(len(named))
            if name in named and not pair:
                name = str(len(named))
            if name in named or id(p) in seen:
                other = seen.get(id(p), name)
                raise ConfigError(f"{kind}: parameters {other!r} and {name!r} are given twice")
            named[name], seen[id(p)] = p, name
            pairs.append((name, p))
        group["params"] = pairs
    if not named:
        raise ConfigError(f"{kind}: there are no parameters; has the model any layers yet?")


def _brief(x: Any) -> str:
    return f"a {type(x).__name__} of shape {x.shape}" if isinstance(x, Tensor) else repr(x)
