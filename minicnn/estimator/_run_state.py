"""What a checkpoint must be like for an Estimator to go on from it: when it is read, and saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.errors import CheckpointError, GradientError
from minicnn.estimator._checkpoint_files import STATE
from minicnn.estimator._model import Model
from minicnn.estimator.checkpoint import Checkpoint


def check_run_state(saved: Checkpoint) -> None:
    """Refuse a checkpoint that is intact, but not of an Estimator's run.

    Raises
    ------
    CheckpointError
        If a part of its state is missing or of another kind; it is named.
    """
    state = saved.state
    if not isinstance(state, dict):
        raise _foreign(saved, "it is no dict")
    if missing := [name for name in ("params", "seed", *_PARTS) if name not in state]:
        raise _foreign(saved, f"it has no {missing[0]!r}")
    for name, fits in {**_PARTS, **_OPTIONAL}.items():
        if name in state and not fits(state[name]):
            raise _foreign(saved, f"its {name!r} is {state[name]!r:.100}")


def check_finite(model: Model, step: int) -> None:
    """Refuse to save what no run could go on from; a buffer may hold infinities on purpose."""
    learned = {name for name, _ in model.parameters()}
    for name, value in model.weights().items():
        if value.dtype.kind != "f" or np.isfinite(value).all():
            continue
        if name in learned or np.isnan(value).any():
            raise GradientError(
                f"checkpoint: {name!r} is not finite after step {step}, so this is not saved; the "
                "last good checkpoint stays the newest"
            )


def _foreign(saved: Checkpoint, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{saved.path / STATE}: this state is not one that an Estimator saved, {reason}; load the "
        "weights alone with load_weights"
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_place(value: Any) -> bool:
    """Tell whether this is what `TrainingInput.state_dict` returned."""
    if not isinstance(value, dict) or {"passes", "at", "position"} - set(value):
        return False
    position = value["position"]
    counts = _is_count(value["passes"]) and _is_count(value["at"])
    return counts and (position is None or isinstance(position, dict))


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_best(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and _is_count(value.get("step")))


_PARTS = {"examples": _is_count, "input": _is_place, "hooks": _is_dict}
_OPTIONAL = {"best": _is_best, "loss_scaler": _is_dict}
