"""Handing a trained model on: its weights and what they were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minicnn import _files
from minicnn.errors import CheckpointError, ConfigError
from minicnn.estimator.checkpoint import load_checkpoint

_FORMAT, _VERSION = "minicnn export", 1


class Exported(NamedTuple):
    """A model that was exported.

    Attributes
    ----------
    weights : dict of str to ndarray
        For `Module.load_state_dict` or `Estimator.load_weights`.
    config : dict
        "params", as far as JSON holds them; "seed" and "step".
    """

    weights: dict[str, np.ndarray]
    config: dict[str, Any]


def save_export(
    path: str | Path, weights: Mapping[str, Any], config: Mapping[str, Any], overwrite: bool
) -> Path:
    """Write weights and config to a folder, all of it or nothing."""
    path = Path(path)
    if path.exists() and not (overwrite and (path / "model.json").is_file()):
        hint = "pass overwrite=True" if (path / "model.json").is_file() else "it is no export"
        raise ConfigError(f"export: {path} exists; give another path ({hint})")
    files = {
        "weights.safetensors": _files.arrays_to_bytes(weights),
        "model.json": _files.json_to_bytes({"format": _FORMAT, "version": _VERSION, **config}),
    }
    _files.write_folder(path, files, replace=overwrite)
    return path


def load_export(path: str | Path) -> Exported:
    """Read what `Estimator.export` wrote.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    Exported
        Weights and config.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, or something else.
    """
    path = Path(path)
    if (path / _files.SUMS).exists():  # not in exports of old
        _files.read_folder(path)
    config = _files.json_from_bytes(_files.read_bytes(path / "model.json"), path / "model.json")
    if not isinstance(config, dict) or config.get("format") != _FORMAT:
        raise CheckpointError(f"{path / 'model.json'} is not of a minicnn export")
    if config.pop("version", None) != _VERSION:
        raise CheckpointError(f"{path} is of another version; this minicnn reads {_VERSION}")
    del config["format"]
    return Exported(_read(path / "weights.safetensors"), config)


def read_weights(source: str | Path | Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the weights of an export, a checkpoint, a safetensors file, or those given."""
    if isinstance(source, Mapping):
        return {name: np.asarray(value) for name, value in source.items()}
    path = Path(source)
    if path.is_file():
        return _read(path)
    if (path / "model.json").is_file():
        return load_export(path).weights
    return load_checkpoint(
        path / "checkpoints" if (path / "checkpoints").is_dir() else path
    ).weights


def _read(path: Path) -> dict[str, np.ndarray]:
    return _files.arrays_from_bytes(_files.read_bytes(path), path)
