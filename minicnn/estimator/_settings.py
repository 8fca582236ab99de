"""The settings that a resumed run must keep, in a form that can be saved and compared."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import ConfigError


def describe(params: Any) -> Any:
    """Return `params` as JSON would hold it; functions and objects become text.

    What two processes describe alike is the same setting to a run.
    """
    if isinstance(params, dict):
        return {str(k): describe(v) for k, v in params.items()}
    if isinstance(params, list | tuple):
        return [describe(v) for v in params]
    if isinstance(params, np.generic):
        params = params.item()
    if params is None or isinstance(params, bool | int | float | str):
        return json.loads(json.dumps(params))  # a str of a StrEnum is a plain one then
    if isinstance(params, Path):
        return str(params)
    if isinstance(params, functools.partial):
        return {"partial": describe(params.func), **describe(dict(params.keywords))}
    name = getattr(params, "__qualname__", None)
    if name is not None:
        return f"{params.__module__}.{name}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(params))  # an address differs each time


def check_same(saved: Any, now: Any, where: Path) -> None:
    """Raise ConfigError if a run is resumed with other settings than it was saved with."""
    different = _differences(saved, now, "")
    if different:
        raise ConfigError(
            f"Estimator: the run in {where} was made with other settings: {'; '.join(different)}. "
            "Give the same ones, or another model_dir; to begin a new run with these weights, "
            "use load_weights"
        )


def _differences(saved: Any, now: Any, name: str) -> list[str]:
    if isinstance(saved, dict) and isinstance(now, dict):
        found = []
        for key in [*saved, *(k for k in now if k not in saved)]:
            inner = f"{name}[{key!r}]" if name else str(key)
            found += _differences(saved.get(key, _Nothing), now.get(key, _Nothing), inner)
        return found
    if saved == now and type(saved) is type(now):
        return []
    if saved != saved and now != now:  # both are NaN
        return []
    return [f"{name} was {_show(saved)}, is {_show(now)}"]


class _Nothing:
    """Stands for a setting that is not there."""


def _show(value: Any) -> str:
    return "not set" if value is _Nothing else repr(value)
