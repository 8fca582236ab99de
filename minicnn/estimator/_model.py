"""The model of an Estimator: the function, the module that holds its weights, how it is called."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.autograd import no_grad
from minicnn.errors import ConfigError
from minicnn.estimator.spec import EstimatorSpec, Mode
from minicnn.metrics import Metric
from minicnn.nn._calls import observed_by

ModelFn = Callable[[Any, Any, Mode, dict[str, Any]], EstimatorSpec]


class Model:
    """A model function and its weights; weights that were loaded wait for the layers to exist."""

    def __init__(
        self, function: ModelFn, params: dict[str, Any], module: nn.Module | None, seed: int
    ) -> None:
        self._function, self._params, self._seed = function, params, seed
        self._owns = module is None
        self.module: nn.Module = self._new_scope() if module is None else module
        self._waiting: Mapping[str, np.ndarray] | None = None
        self._fresh = True  # whether no weights were ever loaded
        self._done: set[Mode] = set()  # for which the function was called

    def _new_scope(self) -> nn.Scope:
        with nn.seed(self._seed):
            return nn.Scope()

    def call(self, features: Any, labels: Any, mode: Mode, step: int) -> EstimatorSpec:
        """Call the model function, with the random numbers of a step."""
        within = self.module if isinstance(self.module, nn.Scope) and self._owns else None
        with nn.random_key(self._seed, step), within or contextlib.nullcontext():
            spec = self._function(features, labels, mode, self._params)
        if not isinstance(spec, EstimatorSpec):
            raise ConfigError(f"model_fn: returned {spec!r}; it must return an EstimatorSpec")
        self._done.add(mode)
        return spec.checked_for(mode)

    def is_new_to(self, mode: Mode) -> bool:
        """Tell whether a call may make layers, or load weights: only one thread may do it."""
        return self._waiting is not None or mode not in self._done

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Record no history and behave as in evaluation, inside a ``with`` block.

        The layers' own modes stay what they are, and other threads see them.
        """
        with no_grad(), nn.evaluating():
            yield

    def prepare(self, features: Any, labels: Any, mode: Mode, step: int) -> None:
        """Load weights that wait, before the first batch of a kind is computed.

        A run without consequences makes the layers first. Evaluation may need fewer than
        training; the rest of the weights goes on waiting then.
        """
        if self._waiting is None:
            return
        # Observed layers call no hooks, and do not warn of moving averages that are not loaded yet.
        with self.evaluating(), observed_by(lambda module, inputs: lambda output: None):
            self.call(features, labels, mode, step)
        if mode is Mode.TRAIN or not self._owns:
            self.module.load_state_dict(self._waiting)
        elif self.module.load_state_dict(self._waiting, strict=False).missing:
            self.module.load_state_dict(self._waiting)  # raises, with all differences
        if mode is Mode.TRAIN or self._names() == set(self._waiting):
            self._waiting = None

    def weights(self) -> Mapping[str, np.ndarray]:
        """Return all parameters and buffers."""
        return self.module.state_dict() if self._waiting is None else self._waiting

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set all parameters and buffers, at once or as soon as there are layers."""
        self._fresh = False
        if not self._owns or self._names() == set(weights):
            with contextlib.suppress(ConfigError):  # a layer that is not built yet
                self.module.load_state_dict(weights)
                self._waiting = None
                return
        self._waiting = dict(weights)

    def _names(self) -> set[str]:
        """Return the names of all parameters and buffers there are now."""
        try:
            pairs = [*self.module.named_parameters(), *self.module.named_buffers()]
        except ConfigError:
            return set()
        return {name for name, _ in pairs}

    def forget(self) -> bool:
        """Drop all layers made so far, if they are this model's own and hold nothing of value."""
        if not (self._owns and self._fresh):
            return False
        self.module = self._new_scope()
        self._done.clear()
        return True

    def apart(self, seed: int) -> Model:
        """Return a model of the same function, with its own layers to be made anew from a seed."""
        other = copy.copy(self)
        other._seed, other._done = seed, set()
        if other._owns:
            other.module, other._waiting, other._fresh = other._new_scope(), None, True
        return other

    def parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Return the names and the parameters; none before the layers exist."""
        try:
            return list(self.module.named_parameters())
        except ConfigError:
            return []

    def buffers(self) -> list[nn.Buffer]:
        """Return the moving averages and the like; none before the layers exist."""
        try:
            return [buffer for _, buffer in self.module.named_buffers()]
        except ConfigError:
            return []


def model_fn_of(
    module: nn.Module,
    loss: Callable[[Any, Any], Any],
    optimizer: Callable[[Any], Any] | None,
    metrics: Mapping[str, Any],
    predictions: Callable[[Any], Any],
) -> ModelFn:
    """Return the model function of a module that maps features to outputs."""

    def model_fn(features: Any, labels: Any, mode: Mode, _: dict[str, Any]) -> EstimatorSpec:
        outputs = module(features)
        if mode is Mode.PREDICT:
            return EstimatorSpec(mode, predictions=predictions(outputs))
        found = {name: _measure(m, outputs, labels) for name, m in metrics.items()}
        return EstimatorSpec(mode, None, loss(outputs, labels), optimizer, found)

    return model_fn


def _measure(metric: Any, outputs: Any, labels: Any) -> Any:
    """Apply a metric, the class of one, or a function of outputs and labels."""
    if isinstance(metric, Metric):
        return copy.deepcopy(metric).reset().update(outputs, labels)
    if isinstance(metric, type) and issubclass(metric, Metric):
        return metric().update(outputs, labels)
    return metric(outputs, labels)


def class_predictions(outputs: Any) -> dict[str, Any]:
    """Return scores as they are; of a classifier's (N, K), also probabilities and classes."""
    from minicnn.ops import softmax

    if not hasattr(outputs, "ndim") or outputs.ndim != 2:
        return outputs if isinstance(outputs, dict) else {"outputs": outputs}
    return {
        "outputs": outputs,
        "probabilities": softmax(outputs),
        "class": outputs.argmax(axis=1),
    }
