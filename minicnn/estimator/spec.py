"""What an Estimator is told: its mode, what a model function returns, the run's settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from minicnn.autograd import Tensor
from minicnn.backend.device import check_device
from minicnn.errors import ConfigError, ShapeError
from minicnn.estimator._precision import PRECISIONS
from minicnn.optim import Optimizer

OptimizerFactory = Callable[[list[tuple[str, Any]]], Optimizer]
_OWN_NAMES = ("loss", "step", "examples", "learning_rate")


class Mode(StrEnum):
    """What a model function is called for."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "predict"


@dataclass(frozen=True)
class EstimatorSpec:
    """What a model function returns for one batch.

    Attributes
    ----------
    mode : Mode
        The mode it was called with.
    predictions : Tensor or dict of str to Tensor, shapes (N, ...), optional
        One row for each example; needed to predict.
    loss : Tensor, shape (), optional
        The mean over the batch's examples; needed to train and to evaluate.
    optimizer : callable, optional
        Takes the list of (name, parameter) and returns the `Optimizer`; needed to train. It is
        called once, when the first batch has created all parameters.
    metrics : dict of str to Metric or number, optional
        Metrics of this batch, such as ``Accuracy().update(logits, labels)``. Metrics of several
        batches are merged; plain numbers are averaged over examples.
    """

    mode: Mode
    predictions: Any = None
    loss: Tensor | None = None
    optimizer: OptimizerFactory | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)

    def checked_for(self, mode: Mode) -> EstimatorSpec:
        """Return itself if it has all that a mode needs.

        Parameters
        ----------
        mode : Mode
            The mode that the model function was asked for.

        Returns
        -------
        EstimatorSpec
            Itself.

        Raises
        ------
        ConfigError, ShapeError
            If something is missing or of the wrong kind.
        """
        needed = {
            Mode.TRAIN: ("loss", "optimizer"),
            Mode.EVAL: ("loss",),
            Mode.PREDICT: ("predictions",),
        }[mode]
        if self.mode != mode:
            raise ConfigError(f"model_fn: asked for mode {mode}, returned a spec of {self.mode!r}")
        for name in needed:
            if getattr(self, name) is None:
                raise ConfigError(f"model_fn: in mode {mode} the EstimatorSpec needs {name}=...")
        if self.loss is not None and (not isinstance(self.loss, Tensor) or self.loss.size != 1):
            raise ShapeError(
                f"model_fn: the loss must be a Tensor of one number, got "
                f"{getattr(self.loss, 'shape', self.loss)!r}; take the mean over the batch"
            )
        for name in _OWN_NAMES:
            if name in (self.metrics or {}):
                raise ConfigError(f"model_fn: no metric can be called {name!r}; rename it")
        return self


@dataclass(frozen=True)
class RunConfig:
    """How a run is carried out; none of it changes what is learned, but seed and precision.

    (On a GPU, `cuda_graph` changes the rounding of matrix products.)

    Attributes
    ----------
    model_dir : str or Path, optional
        Where checkpoints and the hooks' files go; without it nothing is saved.
    save_every : int, optional
        Save a checkpoint every so many steps; the end of `train` is always saved. By default 1000;
        None saves at the end only.
    keep : int, optional
        How many checkpoints to keep; 3 by default, None for all.
    seed : int, default 0
        Where all random numbers of the model come from.
    device : str, optional
        ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``; by default what `set_device` said, or where
        a given module is. The module is moved there.
    log_every : int, optional
        Show progress, and where it is not a terminal print a line every so many steps; by
        default nothing is shown.
    precision : {"float32", "tf32", "bfloat16", "float16"}, optional
        How matrices are multiplied in this run; by default as `minicnn.config.matrix_precision`
        says. "tf32" and "bfloat16" round float32 numbers before they are multiplied, on a GPU.
        "float16" is mixed precision: layers compute in 16 bits, parameters and losses stay in 32,
        and the loss is scaled (see `minicnn.nn.mixed_precision` and `minicnn.optim.LossScaler`); a
        step in which a gradient overflows changes no weights.
    cuda_graph : bool, default False
        On a GPU, capture the training step after a few steps as a CUDA graph, and replay it for
        every batch of the same shape: one launch for hundreds, and the bits of the run's other
        steps (but not of a run without it: CuPy cannot capture cuBLAS, so all matrix products of
        the run are then by kernels of our own). The model function is not called any more in a
        captured step, so it may not depend on anything but features and labels: no Python number
        that changes from step to step, no value read from a tensor. A step that cannot be captured
        is done as ever, after one warning that says why. Loss and metrics are computed when a hook
        asks for them; then, or before a checkpoint, is told what an op refused, such as a label
        that is no class. On the CPU this changes nothing.
    check_numbers : int, "auto" or None, default "auto"
        Look in every n-th step for NaN and infinity in loss, gradients, moving averages and
        weights: a step that would break them is not done, the error names where it began (see
        `NaNGuard`), and the batch is saved in ``faults`` in `model_dir` for
        `minicnn.estimator.replay`. "auto" looks in every step on the CPU; on a GPU, which has to
        wait for it, in every 50th, and the error says between which steps it arose. Before a
        checkpoint all is looked at besides. None looks at nothing but what is saved: weights that
        are not finite never are.
    resume : bool or "auto", default "auto"
        What to do about checkpoints in `model_dir`. "auto" goes on from the newest if there is
        one, if it was saved with the same params and seed (else it is an error). True demands
        that there is one, False that there is none, so that no run is mixed with another.

    Raises
    ------
    ConfigError
        If a setting makes no sense.
    DeviceError
        If there is no such device.
    """

    model_dir: str | Path | None = None
    save_every: int | None = 1000
    keep: int | None = 3
    seed: int = 0
    device: str | None = None
    log_every: int | None = None
    resume: bool | str = "auto"
    precision: str | None = None
    cuda_graph: bool = False
    check_numbers: int | str | None = "auto"

    def __post_init__(self) -> None:
        for name in ("save_every", "keep", "log_every", "check_numbers"):
            value = getattr(self, name)
            if name == "check_numbers" and value == "auto":
                continue
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(
                    f"RunConfig: {name} is {value!r}; give a whole number above 0, or None"
                )
        if self.precision not in (None, *PRECISIONS):
            raise ConfigError(
                f"RunConfig: precision is {self.precision!r}; give one of {', '.join(PRECISIONS)}"
            )
        if not isinstance(self.cuda_graph, bool):
            raise ConfigError(f"RunConfig: cuda_graph is {self.cuda_graph!r}; give True or False")
        if type(self.seed) is not int:
            raise ConfigError(f"RunConfig: seed is {self.seed!r}; give a whole number")
        if not isinstance(self.resume, bool) and self.resume != "auto":
            raise ConfigError(f"RunConfig: resume is {self.resume!r}; give True, False or 'auto'")
        if self.resume is True and self.model_dir is None:
            raise ConfigError("RunConfig: resume=True needs the model_dir to resume from")
        if self.device is not None:
            check_device(self.device)
        if self.model_dir is not None:
            if not isinstance(self.model_dir, str | os.PathLike):
                raise ConfigError(f"RunConfig: model_dir is {self.model_dir!r}; give a path")
            object.__setattr__(self, "model_dir", Path(self.model_dir))
