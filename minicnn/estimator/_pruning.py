"""Which checkpoints of a run are too many, and how they are deleted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from minicnn import _files
from minicnn.errors import CheckpointError
from minicnn.estimator._inspection import Examined, Place, examine, total_bytes
from minicnn.estimator.checkpoint import best_step


@dataclass(frozen=True)
class Plan:
    """What is to be deleted, in this order; what stays; and of that, what is damaged."""

    delete: list[Path]
    keep: list[Examined]
    damaged: list[Path]


def plan_pruning(place: Place, keep: int, damaged: bool) -> Plan:
    """Choose all but the newest sound checkpoints and the best.

    Parameters
    ----------
    place : Place
        Where they are.
    keep : int
        How many sound ones stay.
    damaged : bool
        Whether damaged ones go. What only cannot be read may be sound, and stays.

    Raises
    ------
    CheckpointError
        If none is sound: what there is may be all that is left of the run.
    """
    found = [examine(path, thorough=True) for path in place.checkpoints]
    found = [one for one in found if not one.gone]  # as a run may do, while this is only a plan
    sound = [one for one in found if one.sound]
    if not sound:
        reasons = "; ".join(f"{one.path.name}: {one.fault}" for one in found)
        raise CheckpointError(
            f"no checkpoint in {place.folder} is sound ({reasons}); none is deleted"
        )
    best = best_step(sound[-1].state)
    staying = [one for one in sound if one in sound[-keep:] or one.step == best]
    broken = [one.path for one in found if one.fault is not None and one.readable]
    broken += place.set_aside
    extra = [one.path for one in sound if one not in staying]
    return Plan(
        [*place.unfinished, *(broken if damaged else []), *extra],
        [one for one in found if one in staying or not one.readable],
        [] if damaged else broken,
    )


def delete(path: Path) -> int:
    """Delete a checkpoint or what is left of one; return how many bytes it took.

    A kill in the middle of it leaves nothing that could be taken for a checkpoint.

    Raises
    ------
    CheckpointError
        If that is not possible.
    """
    size = total_bytes(path)
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        elif path.name.startswith(_files.UNFINISHED):
            shutil.rmtree(path)
        else:
            shutil.rmtree(_files.take_away(path))
    except OSError as error:
        raise CheckpointError(f"cannot delete {path}: {error.strerror or error}") from error
    return size
