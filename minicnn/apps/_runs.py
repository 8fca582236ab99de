"""A run: how it is trained, and how it lies in its folder when it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minicnn.apps._options import Stopped
from minicnn.apps._settings import load_settings
from minicnn.backend.device import check_device
from minicnn.errors import CheckpointError, CheckpointWarning, ConfigError
from minicnn.nn import Module

if TYPE_CHECKING:
    from minicnn.data import Dataset
    from minicnn.estimator import Estimator, Hook

__all__ = ["Trained", "load_trained", "train_to"]


class Trained(NamedTuple):
    """What a run was trained with, its network, the step, the digest of the file of weights."""

    settings: Any
    net: Module
    step: int
    sha256: str


def load_trained(
    model_dir: Path, app: str, kind: type, build: Callable[[Any], Module], device: str = "cpu"
) -> Trained:
    """Load the newest intact checkpoint of a run.

    Parameters
    ----------
    model_dir : Path
        Where it was trained.
    app : str
        Whose run it must be.
    kind : type
        The dataclass of its settings.
    build : callable
        Takes the settings and returns the network.
    device : str, default "cpu"
        Where to put the network.

    Returns
    -------
    Trained
        The network and what is known of it.

    Raises
    ------
    ConfigError
        If there is no run, or it has no checkpoint yet.
    CheckpointError
        If no checkpoint is intact. Of damaged ones a CheckpointWarning tells.
    """
    from minicnn.estimator import checkpoint_sha256, newest_sound_checkpoint

    settings = load_settings(model_dir, app, kind)
    checkpoint, damaged = newest_sound_checkpoint(model_dir / "checkpoints")
    faults = "; ".join(fault for _, fault in damaged)
    if checkpoint is None and damaged:
        raise CheckpointError(f"{model_dir}: no checkpoint is intact: {faults}; train it anew")
    if checkpoint is None:
        raise ConfigError(f"{model_dir}: this run has no checkpoint yet; train it with --resume")
    if damaged:
        text = f"using {checkpoint.path}, for what is newer is damaged: {faults}"
        warnings.warn(text, CheckpointWarning, stacklevel=3)
    net = build(settings)
    net.load_state_dict(checkpoint.weights)
    net.to(check_device(device))
    net.eval()
    return Trained(settings, net, checkpoint.step, checkpoint_sha256(checkpoint.path))


def train_to(
    estimator: Estimator,
    batches: Dataset,
    total: int,
    hooks: Sequence[Hook],
    command: str,
    model_dir: Path,
) -> None:
    """Train until so many steps are done in all.

    Parameters
    ----------
    estimator : Estimator
        At its first step, or where it was stopped.
    batches : Dataset
        Endless.
    total : int
        The last step.
    hooks : sequence of Hook
        Called on the way.
    command : str
        What was typed, to say how to go on.
    model_dir : Path
        And where.

    Raises
    ------
    Stopped
        If Ctrl-C or a signal ends it before.
    """
    from minicnn.estimator import Interrupted

    try:
        estimator.train(lambda: batches, max_steps=total, hooks=hooks)
    except Interrupted as stop:
        raise Stopped(stop, total, command, model_dir) from stop
