"""A run that was trained, as it lies in its folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from minicnn.apps._settings import load_settings
from minicnn.backend.device import check_device
from minicnn.errors import CheckpointError, CheckpointWarning, ConfigError
from minicnn.nn import Module

__all__ = ["Run", "load_trained"]

Settings = TypeVar("Settings")
Net = TypeVar("Net", bound=Module)


class Run(NamedTuple, Generic[Settings, Net]):
    """A trained run, as it lies in its folder.

    Parameters
    ----------
    settings : Settings
        What it was trained with.
    net : Module
        The network with its weights.
    step : int
        How many steps they were trained for.
    sha256 : str
        The digest of the file of weights.
    learned_from : str, optional
        The digest of the images that it was trained on; None if the checkpoint does not tell.
    """

    settings: Settings
    net: Net
    step: int
    sha256: str
    learned_from: str | None = None


def load_trained(
    model_dir: Path,
    app: str,
    kind: type[Settings],
    build: Callable[[Settings], Net],
    device: str = "cpu",
) -> Run[Settings, Net]:
    """Load the newest intact checkpoint of a run, as the `load_run` of an app describes."""
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
    sha256, data = checkpoint_sha256(checkpoint.path), _data_of(checkpoint.state)
    return Run(settings, net, checkpoint.step, sha256, data)


def _data_of(state: Any) -> str | None:
    """Return the digest of the images of training from what an Estimator saved, if it is there."""
    params = state.get("params") if isinstance(state, dict) else None
    return params.get("data") if isinstance(params, dict) else None
