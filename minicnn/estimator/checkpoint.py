"""Checkpoints: everything a run needs to go on, in a folder for each saved step.

    checkpoints/step-00000400/weights.safetensors     parameters and moving averages
                              optimizer.safetensors   the optimiser's slots
                              arrays.safetensors      arrays of the state, if any
                              state.json              the rest
                              SHA256SUMS              for ``sha256sum -c``, and for us

The newest checkpoint is the one of the highest step, whatever the files' times.
A step that is saved again, because something changed without a step, becomes
``step-00000400.1``.  Nothing is ever pickled.  A checkpoint that is found to be damaged
is kept, as ``damaged-step-00000400``, and the run goes on from the one before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import _files
from minicnn.errors import CheckpointError, ConfigError
from minicnn.estimator._checkpoint_files import (
    ARRAYS,
    NAME,
    OPTIMIZER,
    STATE,
    WEIGHTS,
    head_of,
    put_back,
    read_files,
    to_files,
)

DAMAGED = "damaged-"  # begins the names of checkpoints that were set aside


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
    protect: Collection[int] = (),
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
    protect : collection of int, optional
        Steps whose checkpoints are kept besides.

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
    files = to_files(step, weights, optimizer, state)
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
    if keep is not None:
        with contextlib.suppress(OSError):  # one too many does no harm
            _delete_old(folder, keep, protect)
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
    files = read_files(path)
    head = head_of(path, files.get(STATE, b""))
    parts = {
        name: _files.arrays_from_bytes(content, path / name)
        for name, content in files.items()
        if name != STATE
    }
    if missing := {WEIGHTS, OPTIMIZER} - set(parts):
        raise CheckpointError(f"{path} is damaged: it has no {' and no '.join(sorted(missing))}")
    state = put_back(head["state"], parts.get(ARRAYS, {}), path)
    return Checkpoint(path, head["step"], parts[WEIGHTS], parts[OPTIMIZER], state)


def check_checkpoint(path: str | Path) -> str | None:
    """Say what is wrong with a checkpoint.

    Parameters
    ----------
    path : str or Path
        The folder of one checkpoint, or a folder of checkpoints, whose newest is looked at.

    Returns
    -------
    str or None
        Which file is damaged and how; None if everything is as it was saved.
    """
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        return str(error)
    return None


def newest_sound_checkpoint(
    folder: str | Path,
) -> tuple[Checkpoint | None, list[tuple[Path, str]]]:
    """Read the newest checkpoint that is intact.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of one run are; need not exist.

    Returns
    -------
    checkpoint : Checkpoint or None
        None if there is none.
    damaged : list of (Path, str)
        The newer ones, the newest first, each with what is wrong with it.

    Raises
    ------
    CheckpointError
        If the system does not let us read one that may be sound.
    """
    damaged: list[tuple[Path, str]] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            return load_checkpoint(path), damaged
        except _files.UnreadableError:
            raise  # it may be sound: to go on from an older one would lose it
        except CheckpointError as error:
            if os.path.lexists(path):  # else another process has deleted it meanwhile, as too old
                damaged.append((path, str(error)))
    return None, damaged


def best_checkpoint(folder: str | Path) -> Path | None:
    """Return the checkpoint whose evaluation was the best, as `BestCheckpoint` saw it.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of one run are; need not exist.

    Returns
    -------
    Path or None
        The folder of the checkpoint; None if no evaluation was compared.

    Raises
    ------
    CheckpointError
        If the newest checkpoint, which knows, is damaged.
    """
    folder = Path(folder)
    newest = newest_checkpoint(folder)
    if newest is None:
        return None
    step = best_step(head_of(newest, _files.read_bytes(newest / STATE))["state"])
    return next((p for p in list_checkpoints(folder) if order_of(p)[0] == step), None)


def best_step(state: Any) -> int | None:
    """Return the step that a checkpoint's state says was the best, if it says so."""
    best = state.get("best") if isinstance(state, dict) else None
    return best.get("step") if isinstance(best, dict) else None


def prune_checkpoints(folder: str | Path, keep: int, dry_run: bool = False) -> list[Path]:
    """Delete all checkpoints but the newest sound ones, and the best.

    Parameters
    ----------
    folder : str or Path
        Where the checkpoints of one run are.
    keep : int
        How many sound ones to keep; damaged ones are neither counted nor deleted.
    dry_run : bool, default False
        Whether to delete nothing.

    Returns
    -------
    list of Path
        What was deleted, or would be.

    Raises
    ------
    ConfigError
        If `keep` is not 1 or more.
    CheckpointError
        If one cannot be deleted.
    """
    if keep < 1:
        raise ConfigError(f"prune_checkpoints: keep is {keep}; keep at least 1")
    folder = Path(folder)
    sound = [p for p in list_checkpoints(folder) if check_checkpoint(p) is None]
    best = load_checkpoint(sound[-1]).state if sound else None
    extra = [p for p in sound[:-keep] if order_of(p)[0] != best_step(best)]
    for path in [] if dry_run else extra:
        try:
            _files.delete_folder(path)
        except OSError as error:
            raise CheckpointError(f"cannot delete {path}: {error.strerror}") from error
    return extra


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, so that nobody takes it for one; return its new name."""
    names = (path.with_name(f"{DAMAGED}{path.name}{end}") for end in _endings())
    target = next(name for name in names if not name.exists())
    try:
        path.rename(target)
        _files.sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"cannot rename {path}: {error.strerror}") from error
    return target


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

    Raises
    ------
    CheckpointError
        If the folder cannot be read.
    """
    return sorted(_folders(Path(folder)), key=order_of)


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

    Raises
    ------
    CheckpointError
        If the folder cannot be read.
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
    content = _files.read_bytes(_checkpoint_at(path) / WEIGHTS)
    return hashlib.sha256(content).hexdigest()


def _delete_old(folder: Path, keep: int, protect: Collection[int]) -> None:
    for old in list_checkpoints(folder)[:-keep]:
        if order_of(old)[0] not in protect:
            _files.delete_folder(old)


def _endings() -> Iterator[str]:
    return itertools.chain([""], (f".{n}" for n in itertools.count(1)))


def _folders(folder: Path) -> list[Path]:
    try:
        return [p for p in folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _files.UnreadableError(f"cannot read {folder}: {error.strerror}") from error


def _free_name(folder: Path, step: int, earlier: list[Path]) -> Path:
    """Return a name that makes a checkpoint the newest one."""
    last, again = order_of(earlier[-1]) if earlier else (-1, 0)
    if last > step:
        raise CheckpointError(
            f"checkpoint: {earlier[-1]} is of a later step than {step}; it would be taken for "
            "the newest; save to another folder, or delete it"
        )
    return folder / (f"step-{step:08}.{again + 1}" if last == step else f"step-{step:08}")


def _checkpoint_at(path: str | Path) -> Path:
    path = Path(path)
    if os.path.isfile(path / STATE) or NAME.fullmatch(path.name):
        return path
    newest = newest_checkpoint(path)
    if newest is None:
        raise CheckpointError(f"there is no checkpoint in {path}")
    return newest


def order_of(path: Path) -> tuple[int, int]:
    """Return the step, and how often it was saved before."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 0)
