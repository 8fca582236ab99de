"""The Estimator: trains, evaluates and applies a model, and saves all it needs to go on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.backend import forking
from minicnn.backend.device import get_device, on_device
from minicnn.errors import ConfigError, ShapeError
from minicnn.estimator import _settings
from minicnn.estimator._input import InputFn, TrainingInput, as_tensors, batches, count_examples
from minicnn.estimator._model import (
    Model,
    ModelFn,
    class_predictions,
    model_fn_of,
)
from minicnn.estimator._precision import computing_in
from minicnn.estimator._run_folder import RunFolder
from minicnn.estimator._run_state import check_finite, check_run_state
from minicnn.estimator._training import TrainingRun
from minicnn.estimator._turns import Turns
from minicnn.estimator.control_hooks import CheckpointHook
from minicnn.estimator.export import read_weights, save_export
from minicnn.estimator.hook import Hook, RunContext
from minicnn.estimator.progress import ProgressHook
from minicnn.estimator.spec import Mode, OptimizerFactory, RunConfig
from minicnn.kernels import capturing
from minicnn.metrics import Mean, Metric
from minicnn.optim import LossScaler, Optimizer


class Estimator:
    """Trains, evaluates and applies a model.

    It owns the model's weights, the optimiser, the position in the training input and the step
    counter. `train` called twice goes on; what `model_dir` holds is gone on with as well, so that
    a run that was killed and started again ends with the same bits as one that was not.

    Several threads may call `predict`, `evaluate` and `export` at once, also while another one
    trains: each batch is computed with the weights as they are between two steps, and waits for
    the end of a step that is being done. So a hook must not wait, in `before_step` or
    `before_update`, for another thread that predicts. To `train`, `save` and `load_weights` is
    for one thread at a time. A process that is forked has a copy of all this, to use as it likes;
    it cannot write to `model_dir` while the parent trains there.

    Parameters
    ----------
    model_fn : callable
        ``model_fn(features, labels, mode, params) -> EstimatorSpec``, called with each batch. The
        functional layers of `minicnn.nn.layers` in it keep their weights in this Estimator.
        Features and labels come as Tensors; labels are None if the input has none.
    params : dict, optional
        What the model function is given as `params`: the model's settings. A resumed run must
        have the same.
    config : RunConfig, optional
        How the run is carried out.
    module : Module, optional
        The module that `model_fn` uses, if it was made outside of it.

    Attributes
    ----------
    module : Module
        What holds the weights.
    optimizer : Optimizer or None
        What `model_fn` asked for; None before the first step.
    step : int
        How many steps were done.
    examples : int
        How many examples were trained on, each as often as it was used.
    resumed_from : Path or None
        The checkpoint that was loaded.

    Raises
    ------
    ConfigError
        If `model_dir` holds a run with other settings, or against what `config.resume` says.
    CheckpointError
        If `model_dir` has checkpoints, but none is intact. Where only the newest are damaged, the
        run goes on from the newest one that is not, after a `CheckpointWarning` that names them;
        they are renamed to ``damaged-...`` when training begins.

    Examples
    --------
    >>> from minicnn import layers, ops
    >>> from minicnn.data import Dataset
    >>> from minicnn.estimator import EstimatorSpec
    >>> from minicnn.optim import SGD
    >>> def model_fn(features, labels, mode, params):
    ...     y = layers.dense(features, 1)
    ...     if mode == Mode.PREDICT:
    ...         return EstimatorSpec(mode, predictions={"y": y})
    ...     loss = ((y - labels) ** 2).mean()
    ...     return EstimatorSpec(mode, loss=loss, optimizer=lambda p: SGD(p, params["rate"]))
    >>> x = np.arange(8, dtype=np.float32).reshape(8, 1) / 8
    >>> estimator = Estimator(model_fn, {"rate": 0.1})
    >>> data = Dataset.from_slices((x, 2 * x + 1)).repeat().batch(8)
    >>> estimator.train(lambda: data, steps=200).step
    200
    >>> round(estimator.evaluate(lambda: data.take(1))["loss"], 3)
    0.0
    """

    def __init__(
        self,
        model_fn: ModelFn,
        params: Mapping[str, Any] | None = None,
        config: RunConfig | None = None,
        module: nn.Module | None = None,
    ) -> None:
        if not callable(model_fn):
            raise ConfigError(f"Estimator: model_fn is {model_fn!r}; give a function")
        if module is not None and not isinstance(module, nn.Module):
            raise ConfigError(f"Estimator: module is {module!r}; give a Module")
        self.config = config or RunConfig()
        self.params = dict(params or {})
        self.device = self.config.device or get_device()
        if module is not None:
            if self.config.device is None and self.device == "cpu":  # nobody chose: where it is
                with contextlib.suppress(ConfigError):  # a layer that is not built yet
                    self.device = next((t.device for t in module.parameters()), "cpu")
            module.to(self.device)
        self.model = Model(model_fn, self.params, module, self.config.seed)
        self.turns = Turns()
        self.input = TrainingInput(self.device)
        self.optimizer: Optimizer | None = None
        self.step = self.examples = 0
        self.resumed_from: Path | None = None
        self.saved_at: Path | None = None  # the checkpoint of this very state
        self.unsaved = False
        self.buffers: list[nn.Buffer] = self.model.buffers()
        self.hook_states: dict[str, Any] = {}
        self.optimizer_state: dict[str, np.ndarray] | None = None  # until there is an optimiser
        self.loss_scaler = LossScaler() if self.config.precision == "float16" else None
        self.best: dict[str, Any] | None = None  # the best evaluation, if a hook compares them
        self._folder = None if self.model_dir is None else RunFolder(self.model_dir)
        self._settings = _settings.describe({"params": self.params, "seed": self.config.seed})
        self._resume()

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        loss: Callable[[Any, Any], Tensor],
        optimizer: OptimizerFactory | None = None,
        metrics: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        config: RunConfig | None = None,
        predictions: Callable[[Any], Any] = class_predictions,
    ) -> Self:
        """Return an Estimator of a module that maps features to outputs.

        Parameters
        ----------
        module : Module
            The net.
        loss : callable
            Of outputs and labels, say `minicnn.ops.sparse_softmax_cross_entropy`: the mean over
            the batch.
        optimizer : callable, optional
            Takes the list of (name, parameter) and returns the `Optimizer`; needed to train.
        metrics : dict, optional
            By name: a class of metrics such as `Accuracy`, a metric such as ``TopK(3)``, or a
            function of outputs and labels.
        params : dict, optional
            Settings that are saved and must be the same when the run is resumed.
        config : RunConfig, optional
            How the run is carried out.
        predictions : callable, optional
            Of outputs, returns what `predict` gives. By default, for scores (N, K), a dict of
            "outputs", "probabilities" and "class"; for others of "outputs".

        Returns
        -------
        Estimator
            Of that module.
        """
        function = model_fn_of(module, loss, optimizer, metrics or {}, predictions)
        return cls(function, params, config, module)

    @property
    def module(self) -> nn.Module:
        """What holds the weights."""
        return self.model.module

    @property
    def model_dir(self) -> Path | None:
        """Where the run's files go, if anywhere."""
        return None if self.config.model_dir is None else Path(self.config.model_dir)

    @property
    def checkpoints(self) -> Path | None:
        """The folder of the checkpoints, if there is a `model_dir`."""
        return None if self._folder is None else self._folder.checkpoints

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of `model_dir` inside a ``with`` block, as `train` does by itself.

        Raises
        ------
        CheckpointError
            If another process trains in it, or has done so since this Estimator was made, or it
            cannot be written to.
        """
        with self._folder.locked() if self._folder is not None else contextlib.nullcontext():
            yield

    def train(
        self,
        input_fn: InputFn,
        steps: int | None = None,
        max_steps: int | None = None,
        hooks: Sequence[Hook] = (),
    ) -> Self:
        """Train from where the last call, or the checkpoint, ended.

        Ends with the steps, at the end of the input, or when a hook says so; then everything is
        saved. The input goes on where it stood. If it stood at its end, it is read once more, as
        another epoch. Ctrl-C ends the step, saves, and raises `Interrupted`; pressed twice, it
        drops the step. Whatever else goes wrong, the last step that was done is saved.

        Parameters
        ----------
        input_fn : callable
            Returns the `Dataset`: batches of features, or pairs of features and labels. Return the
            same object each time, if to describe it anew is expensive.
        steps : int, optional
            How many steps to do in this call.
        max_steps : int, optional
            The step, counted from the beginning of the run, at which to end. With it, a script
            that is run again does what is left.
        hooks : sequence of Hook
            Called around every step, in this order.

        Returns
        -------
        Estimator
            Itself.

        Raises
        ------
        Interrupted
            After Ctrl-C; a KeyboardInterrupt.
        CheckpointError
            If a checkpoint cannot be written, the input is not the one that was saved, or another
            process trains in `model_dir`.
        ConfigError
            If an argument makes no sense, or the input is empty.
        GradientError
            If a loss, a gradient or a weight is not finite: see ``RunConfig.check_numbers``.
        """
        for name, value in (("steps", steps), ("max_steps", max_steps)):
            if value is not None and (type(value) is not int or value < 0):
                raise ConfigError(f"train: {name} is {value!r}; give a whole number from 0 up")
        ends = [None if steps is None else self.step + steps, max_steps]
        stop_at = min((end for end in ends if end is not None), default=None)
        if forking.lost_openmp():
            warnings.warn(f"train: {forking.ADVICE}", RuntimeWarning, stacklevel=2)
        alike = capturing.alike(self.config.cuda_graph)  # also steps that are not captured
        with (
            self.turns.training(), self.locked(), on_device(self.device),
            computing_in(self.config.precision), alike,
        ):  # fmt: skip
            self.input.open(input_fn)
            TrainingRun(self, self._with_own_hooks(hooks), stop_at).run()
        return self

    def evaluate(
        self,
        input_fn: InputFn,
        steps: int | None = None,
        hooks: Sequence[Hook] = (),
        name: str = "evaluation",
    ) -> dict[str, Any]:
        """Measure the model as it is in memory, on data of its own.

        Parameters
        ----------
        input_fn : callable
            Returns a `Dataset`, or another iterable of batches, read from its beginning.
        steps : int, optional
            How many batches to read; by default all.
        hooks : sequence of Hook
            Those that should hear of the results.
        name : str, default "evaluation"
            What to call it before the hooks.

        Returns
        -------
        dict
            "loss", averaged over examples whatever the size of the batches; every metric; the
            number of "examples"; the "step".

        Raises
        ------
        ConfigError
            If the input is empty, or endless without `steps`.
        """
        loss, totals, examples = Mean(), dict[str, Metric](), 0
        with self.model.evaluating():
            for features, labels in batches("evaluate", input_fn, steps):
                with self._using(Mode.EVAL):
                    spec = self._apply(features, labels, Mode.EVAL)
                size = count_examples(features)
                examples += size
                loss.update(spec.loss, size)
                for key, value in (spec.metrics or {}).items():
                    batch = value if isinstance(value, Metric) else Mean().update(value, size)
                    totals[key] = totals[key].merge(batch) if key in totals else batch
        if not examples:
            raise ConfigError("evaluate: the input has no examples")
        results = {"loss": loss.result(), **{key: m.result() for key, m in totals.items()}}
        results |= {"examples": examples, "step": self.step}
        if hooks:
            context = RunContext(self, self.step, self.step, examples=self.examples)
            for hook in hooks:
                hook.after_evaluate(context, name, results)
        return results

    def predict(self, input_fn: InputFn) -> Iterator[dict[str, Any]]:
        """Apply the model, example by example.

        Parameters
        ----------
        input_fn : callable
            Returns a `Dataset`, or another iterable of batches; labels in it are not used.

        Yields
        ------
        dict of str to ndarray
            The predictions for one example, in the order of the input.

        Raises
        ------
        ShapeError
            If a prediction has not one row for each example.
        """
        for features, _ in batches("predict", input_fn, None):
            with self._using(Mode.PREDICT), self.model.evaluating():
                found = self._apply(features, None, Mode.PREDICT).predictions
            found = found if isinstance(found, dict) else {"predictions": found}
            rows = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in found.items()}
            size = count_examples(features)
            for key, value in rows.items():
                if np.shape(value)[:1] != (size,):
                    raise ShapeError(
                        f"predict: {key!r} of shape {np.shape(value)} has not one row for each of "
                        f"{size} examples"
                    )
            for i in range(size):
                yield {key: value[i] for key, value in rows.items()}

    def save(self) -> Path:
        """Save a checkpoint of everything now.

        Returns
        -------
        Path
            The folder of the checkpoint.

        Raises
        ------
        ConfigError
            Without a `model_dir`, or before the model has weights.
        CheckpointError
            If it cannot be written; the earlier ones are untouched.
        GradientError
            If a weight is not finite: the last good checkpoint stays the newest.
        """
        if self._folder is None:
            raise ConfigError("save: the RunConfig has no model_dir to save to")
        self.turns.refuse_others("save")
        optimizer = self.optimizer_state or {}
        if self.optimizer is not None:
            optimizer = self.optimizer.state_dict()
        state = {
            **self._settings,
            "examples": self.examples,
            "input": self.input.state_dict(),
            "hooks": self.hook_states,
        }
        if self.loss_scaler is not None:
            state["loss_scaler"] = self.loss_scaler.state_dict()
        if self.best is not None:
            state["best"] = self.best
        protect = () if self.best is None else (self.best["step"],)
        check_finite(self.model, self.step)
        self.saved_at = self._folder.save(
            self.step, self.model.weights(), optimizer, state, self.config.keep, protect
        )
        self.unsaved = False
        return self.saved_at

    def mark_best(self, name: str, metric: str, value: float) -> None:
        """Say that the present weights are the best so far: their checkpoint is kept.

        Parameters
        ----------
        name : str
            Which evaluation said so.
        metric : str
            Which of its results was compared.
        value : float
            That result.
        """
        self.best = {"step": self.step, "name": name, "metric": metric, "value": value}
        self.unsaved = True

    def load_weights(self, source: str | Path | Mapping[str, Any]) -> Self:
        """Take over weights, and nothing else, of another run.

        Parameters
        ----------
        source : path, or dict of str to ndarray
            A folder that `export` wrote, a checkpoint, the `model_dir` of a run, a safetensors
            file, or the weights themselves.

        Returns
        -------
        Estimator
            Itself. Where layers do not exist yet, the weights wait for them.

        Raises
        ------
        CheckpointError
            If they do not fit; the message lists all differences.
        """
        weights = read_weights(source)
        self.turns.refuse_others("load_weights")
        with self.turns.changing():
            self.model.load(weights)
            self.unsaved = True
        return self

    def export(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the weights and what they were trained with, to be used elsewhere.

        Parameters
        ----------
        path : str or Path
            A new folder; `load_export` and `load_weights` read it.
        overwrite : bool, default False
            Whether it may replace an earlier export.

        Returns
        -------
        Path
            The folder, with ``weights.safetensors`` and ``model.json``.

        Raises
        ------
        ConfigError
            If the folder exists.
        CheckpointError
            If it cannot be written.
        """
        with self.turns.reading():
            config, weights = {**self._settings, "step": self.step}, self.model.weights()
        return save_export(path, weights, config, overwrite)

    def restart_input(self) -> None:
        """Let the next call of `train` begin its input from the beginning: say, another one."""
        self.turns.refuse_others("restart_input")
        self.input.close()
        self.input = TrainingInput(self.device)

    def close(self) -> None:
        """Stop the threads of the training input; `train` starts them again."""
        self.input.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _resume(self) -> None:
        """Take over the newest checkpoint, if there is one and if that is wanted."""
        saved = None if self._folder is None else self._folder.open(self.config.resume)
        if saved is None:
            return
        check_run_state(saved)
        before = {name: saved.state[name] for name in self._settings}
        _settings.check_same(before, self._settings, saved.path.parent.parent)
        self.model.load(saved.weights)
        self.optimizer_state = saved.optimizer
        self.step, self.examples = saved.step, saved.state["examples"]
        self.input.load_state_dict(saved.state["input"])
        self.hook_states, self.best = saved.state["hooks"], saved.state.get("best")
        if self.loss_scaler is not None and "loss_scaler" in saved.state:
            self.loss_scaler.load_state_dict(saved.state["loss_scaler"])
        self.resumed_from = self.saved_at = saved.path

    def _with_own_hooks(self, hooks: Sequence[Hook]) -> list[Hook]:
        """Add the hooks that the RunConfig stands for."""
        all_hooks = list(hooks)
        if self.config.log_every and not any(isinstance(h, ProgressHook) for h in hooks):
            all_hooks.append(ProgressHook())
        if self.model_dir is not None and self.config.save_every:
            all_hooks.append(CheckpointHook(self.config.save_every))
        return all_hooks

    @contextlib.contextmanager
    def _using(self, mode: Mode) -> Iterator[None]:
        """Use the model for a batch, inside a ``with`` block."""
        # The first batch of a kind makes layers, and loads weights that wait for them.
        turn = self.turns.changing() if self.model.is_new_to(mode) else self.turns.reading()
        with turn, on_device(self.device), computing_in(self.config.precision):
            yield

    def _apply(self, features: Any, labels: Any, mode: Mode) -> Any:
        features, labels = as_tensors((features, labels), self.device)
        self.model.prepare(features, labels, mode, self.step)
        return self.model.call(features, labels, mode, self.step)
