"""Checkpoints: everything a run needs to go on, in a folder for each saved step.

    checkpoints/step-00000400/weights.safetensors     parameters and moving averages
                              optimizer.safetensors   the optimiser's slots
                              arrays.safetensors      arrays of the state, if any
                              state.json              the rest, and a digest of each file

The newest checkpoint is the one of the highest step, whatever the files' times.
A step that is saved again, because something changed without a step, becomes
``step-00000400.1``.  Nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import CheckpointError, ConfigError
from minicnn import _files

_FORMAT, _VERSION = "minicnn checkpoint", 1
_NAME = re.compile(r"step-(\d{8,})(?:\.(\d+))?")
_ARRAY = "__array__"  # marks where an array was taken out of the state


@dataclass(frozen=True)
class Checkpoint:
    """What was saved at one step.

    Attributes
    ----------
    path : Path
        The folder.
    step : int
        How many steps were done.
    weights : dict of str to ndarray
        Parameters and buffers.
    optimizer : dict of str to ndarray
        The optimiser's state.
    state : Any
        Everything else: what JSON holds, and arrays.
    """

    path: Path
    step: int
    weights: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    state: Any


def save_checkpoint(
    folder: str | Path,
    step: int,
    weights: Mapping[str, Any],
    optimizer: Mapping[str, Any],
    state: Any = None,
    keep: int | None = None,
) -> Path:
    """Save a checkpoint beside the earlier ones, then delete those that are too many.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of one run are; created if need be.
    step : int
        How many steps were done, from 0 up.
    weights, optimizer : mapping of str to array_like
        Their names and arrays, in any memory order.
    state : Any, optional
        Dicts with strings as keys, lists, numbers, strings, None and arrays.
    keep : int, optional
        How many checkpoints to keep, this one included; all by default.

    Returns
    -------
    Path
        The new folder.

    Raises
    ------
    CheckpointError
        If it cannot be written, say because the disk is full. The earlier checkpoints are
        untouched then.
    ConfigError
        If `step` or `keep` makes no sense.
    """
    if step < 0 or (keep is not None and keep < 1):
        raise ConfigError(f"save_checkpoint: step is {step}, keep is {keep}; keep at least 1")
    folder = Path(folder)
    files = _content(step, weights, optimizer, state)
    _files.delete_unfinished(folder)
    earlier = list_checkpoints(folder)
    target = _free_name(folder, step, earlier)
    try:
        _files.write_folder(target, files)
    except CheckpointError as error:
        left = "there is no earlier one"
        if earlier:
            left = f"the earlier ones are untouched, newest {earlier[-1].name}"
        raise CheckpointError(f"checkpoint: {error}; {left}") from error.__cause__
    for old in earlier[: len(earlier) + 1 - keep] if keep is not None else []:
        with contextlib.suppress(OSError):  # one too many does no harm
            _files.delete_folder(old)
    return target


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint, and check that it is intact.

    Parameters
    ----------
    path : str or Path
        The folder of one checkpoint, or a folder of checkpoints, whose newest is read.

    Returns
    -------
    Checkpoint
        What was saved.

    Raises
    ------
    CheckpointError
        If there is none, or a file of it is missing or damaged.
    """
    path = _checkpoint_at(path)
    head = _files.json_from_bytes(_files.read_bytes(path / "state.json"), path / "state.json")
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise CheckpointError(f"{path / 'state.json'} is not of a minicnn checkpoint")
    if head.get("version") != _VERSION:
        raise CheckpointError(
            f"{path} has version {head.get('version')!r}; this minicnn reads {_VERSION}"
        )
    arrays = {}
    for name, digest in head["sha256"].items():
        content = _files.read_bytes(path / name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise CheckpointError(
                f"{path / name} is damaged (its SHA-256 is not the one saved with it); delete "
                f"{path.name} to go on from the checkpoint before it"
            )
        arrays[name] = _files.arrays_from_bytes(content, path / name)
    state = _put_back(head["state"], arrays.get("arrays.safetensors", {}))
    weights, optimizer = arrays["weights.safetensors"], arrays["optimizer.safetensors"]
    return Checkpoint(path, head["step"], weights, optimizer, state)


def list_checkpoints(folder: str | Path) -> list[Path]:
    """Return the folders of all complete checkpoints, the newest last.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of one run are; need not exist.

    Returns
    -------
    list of Path
        In the order of their steps.
    """
    folder = Path(folder)
    found = folder.iterdir() if folder.is_dir() else []
    return sorted((p for p in found if _NAME.fullmatch(p.name) and p.is_dir()), key=_key)


def newest_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint of the highest step, None if there is none.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of one run are; need not exist.

    Returns
    -------
    Path or None
        The folder of the checkpoint.
    """
    return (list_checkpoints(folder) or [None])[-1]  # type: ignore[list-item]


def checkpoint_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a checkpoint's weights.

    Two runs with the same weights, bit for bit, have the same: neither times nor names
    of folders are part of the file.

    Parameters
    ----------
    path : str or Path
        The folder of one checkpoint, or a folder of checkpoints, whose newest counts.

    Returns
    -------
    str
        64 hexadecimal digits, as ``sha256sum weights.safetensors`` prints them.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    content = _files.read_bytes(_checkpoint_at(path) / "weights.safetensors")
    return hashlib.sha256(content).hexdigest()


def _content(
    step: int, weights: Mapping[str, Any], optimizer: Mapping[str, Any], state: Any
) -> dict[str, bytes]:
    """Return the files of a checkpoint."""
    arrays: dict[str, np.ndarray] = {}
    rest = _take_out(state, "", arrays)
    files = {
        "weights.safetensors": _files.arrays_to_bytes(weights),
        "optimizer.safetensors": _files.arrays_to_bytes(optimizer),
    }
    if arrays:
        files["arrays.safetensors"] = _files.arrays_to_bytes(arrays)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    head = {"format": _FORMAT, "version": _VERSION, "step": step, "sha256": digests}
    try:
        files["state.json"] = _files.json_to_bytes(head | {"state": rest})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint: the state cannot be saved as JSON: {error}") from error
    return files


def _free_name(folder: Path, step: int, earlier: list[Path]) -> Path:
    """Return a name that makes a checkpoint the newest one."""
    last, again = _key(earlier[-1]) if earlier else (-1, 0)
    if last > step:
        raise CheckpointError(
            f"checkpoint: {earlier[-1]} is of a later step than {step}; it would be taken for "
            "the newest; save to another folder, or delete it"
        )
    return folder / (f"step-{step:08}.{again + 1}" if last == step else f"step-{step:08}")


def _checkpoint_at(path: str | Path) -> Path:
    path = Path(path)
    if (path / "state.json").is_file() or _NAME.fullmatch(path.name):
        return path
    newest = newest_checkpoint(path)
    if newest is None:
        raise CheckpointError(f"there is no checkpoint in {path}")
    return newest


def _key(path: Path) -> tuple[int, int]:
    """Return the step, and how often it was saved before."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)


def _take_out(tree: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a tree without its arrays, which go to `arrays` under names that tell the place."""
    if isinstance(tree, dict):
        return {k: _take_out(v, f"{name}/{k}", arrays) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_take_out(v, f"{name}/{i}", arrays) for i, v in enumerate(tree)]
    if isinstance(tree, np.generic):
        return tree.item()
    if not isinstance(tree, np.ndarray):
        return tree
    arrays[name] = tree
    return {_ARRAY: name}


def _put_back(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(tree, dict):
        if set(tree) == {_ARRAY}:
            return arrays[tree[_ARRAY]]
        return {k: _put_back(v, arrays) for k, v in tree.items()}
    return [_put_back(v, arrays) for v in tree] if isinstance(tree, list) else tree
