"""What is known of checkpoints, as programs read it: dicts for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from minicnn.estimator._comparing import Compared
from minicnn.estimator._inspection import (
    Examined,
    Place,
    best_of,
    newest_sound,
    total_bytes,
)
from minicnn.estimator._stored_arrays import Statistics, StoredArray


def when(seconds: float | None) -> datetime | None:
    """Return a time, here; None if it is none that a calendar has."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return None


def word(one: Examined) -> str:
    """Say in a word how a checkpoint is."""
    if one.fault is not None:
        return "damaged" if one.readable else "unreadable"
    return "sound" if one.thorough else "complete"


def as_json(tree: Any) -> Any:
    """Return a tree that strict JSON holds: NaN and infinities as strings."""
    if isinstance(tree, dict):
        return {str(key): as_json(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [as_json(value) for value in tree]
    return str(tree) if isinstance(tree, float) and not math.isfinite(tree) else tree


def of_checkpoint(one: Examined) -> dict[str, Any]:
    """Describe one checkpoint."""
    time = when(one.written)
    state = one.state if isinstance(one.state, dict) else {}
    return {
        "name": one.path.name,
        "path": str(one.path),
        "step": one.step,
        "examples": state.get("examples"),
        "bytes": one.nbytes,
        "files": one.files,
        "written": None if time is None else time.isoformat(timespec="seconds"),
        "state": word(one),
        "fault": one.fault,
    }


def of_place(place: Place, found: Sequence[Examined], user: str | None) -> dict[str, Any]:
    """Describe a run's checkpoints."""
    newest = newest_sound(found)
    damaged = [one for one in found if not one.sound]
    newer = len(found) - 1 - found.index(newest) if newest is not None else len(damaged)
    beside = {
        "set_aside": place.set_aside,
        "unfinished": place.unfinished,
        "faults": place.faults,
    }
    return {
        "folder": str(place.folder),
        "sound": bool(found) and not damaged,
        "in_use_by": user,
        "newest": None if newest is None else newest.path.name,
        "newer_damaged": newer,
        "best": best_of(found),
        "checkpoints": [of_checkpoint(one) for one in found],
        **{
            key: [{"name": path.name, "bytes": total_bytes(path)} for path in paths]
            for key, paths in beside.items()
        },
    }


def of_state(one: Examined | None) -> dict[str, Any]:
    """Return the settings of a run, and how far it is."""
    state = one.state if one is not None and isinstance(one.state, dict) else {}
    named = {"settings" if key == "params" else key: value for key, value in state.items()}
    named.pop("best", None)
    return named


def of_arrays(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the arrays in each file, or what is wrong with it."""
    return {
        name: {"fault": content} if isinstance(content, str) else [_of_array(*a) for a in content]
        for name, content in facts.items()
    }


def _of_array(array: StoredArray, its: Statistics) -> dict[str, Any]:
    return {
        "name": array.name,
        "type": array.dtype.name,
        "shape": list(array.shape),
        "numbers": array.size,
        "bytes": array.nbytes,
        "least": its.smallest,
        "largest": its.largest,
        "mean": its.mean,
        "std": its.std,
        "nan": its.nan,
        "infinite": its.infinite,
    }


def of_comparison(
    one: Examined,
    other: Examined,
    same: bool,
    state: Sequence[tuple[str, str]],
    compared: Mapping[str, Sequence[Compared]],
) -> dict[str, Any]:
    """Describe how two checkpoints differ."""
    return {
        "one": str(one.path),
        "other": str(other.path),
        "same": same,
        "steps": [one.step, other.step],
        "state": [f"{name}: {text}" for name, text in state],
        "arrays": {name: [_of_pair(pair) for pair in pairs] for name, pairs in compared.items()},
    }


def _of_pair(pair: Compared) -> dict[str, Any]:
    its = pair.difference
    found: dict[str, Any] = {"name": pair.name, "same": pair.same, "mismatch": pair.mismatch}
    if its is not None:
        found |= {
            "numbers": pair.size,
            "differ": its.elements,
            "largest": its.absolute,
            "relative": its.relative,
            "not_finite": its.not_finite,
        }
    return found
