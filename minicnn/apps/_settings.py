"""The settings of a run, kept beside its checkpoints for people and for later commands."""

from __future__ import annotations

import dataclasses
import json
import shlex
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from minicnn._files import write_file
from minicnn._reading import explained, read_regular, shown
from minicnn.errors import CheckpointError, ConfigError, DataError

__all__ = [
    "FILE",
    "FLIPS",
    "check_choices",
    "check_limits",
    "check_size",
    "load_settings",
    "save_settings",
]

FILE = "settings.json"
MOST_BYTES = 2**20
FLIPS = ("none", "left-right", "all")  # which mirror images are as good


def save_settings(model_dir: Path, app: str, settings: Any) -> None:
    """Write a dataclass of settings; a file that was there is replaced as a whole.

    Parameters
    ----------
    model_dir : Path
        The run's folder; made if need be.
    app : str
        Whose settings, say ``"gtsrb"``.
    settings : dataclass
        Of plain values.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
    """
    content = {"app": app} | dataclasses.asdict(settings)
    write_file(model_dir / FILE, (json.dumps(content, indent=2) + "\n").encode())


def load_settings(model_dir: Path, app: str, kind: type) -> Any:
    """Read the settings of a run.

    Parameters
    ----------
    model_dir : Path
        The run's folder.
    app : str
        Whose settings they must be.
    kind : type
        Their dataclass.

    Returns
    -------
    dataclass
        Of type `kind`.

    Raises
    ------
    ConfigError
        If there is no such run, or no folder of that name can be looked into.
    CheckpointError
        If the file is broken, or of another app.
    """
    path = model_dir / FILE
    try:
        there = path.exists()
    except OSError as error:  # a name that is too long, a folder that is private
        raise ConfigError(f"{shown(model_dir)}: cannot be opened: {error.strerror}") from error
    if not there:
        raise ConfigError(
            f"{model_dir}: no {app} run is here; train one with: "
            f"python -m minicnn.train {app} --model-dir {shlex.quote(str(model_dir))}"
        )
    try:
        with explained():
            content = read_regular(path, MOST_BYTES)
        return _parsed(content, app, kind)
    except (DataError, ConfigError) as error:
        raise CheckpointError(
            f"{path}: is broken ({shown(str(error))}); restore it or train anew"
        ) from error


def _parsed(content: bytes, app: str, kind: type) -> Any:
    """Return the settings, or raise a DataError or ConfigError that says what is wrong."""
    try:
        given = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(str(error)) from error
    if not isinstance(given, dict) or given.pop("app", None) != app:
        raise DataError(f"it is not of a {app} run")
    kinds = typing.get_type_hints(kind)
    for name, value in given.items():
        if name not in kinds:
            raise DataError(f"there is no setting {name!r}")
        given[name] = _value(name, value, kinds[name])
    return kind(**given)


def _value(name: str, value: Any, kind: Any) -> Any:
    """Return a value as its setting has it: JSON knows lists, but no tuples."""
    if typing.get_origin(kind) is tuple:
        parts = {part for part in typing.get_args(kind) if part is not ...}
        if type(value) is list and all(type(part) in parts for part in value):
            return tuple(value)
    elif type(value) in (typing.get_args(kind) or (kind,)):
        return value
    raise DataError(f"{name} cannot be {value!r}")


def check_limits(settings: Any, limits: Mapping[str, tuple[int, int]]) -> None:
    """Refuse numbers under the least or over the most; None is none."""
    for name, (least, most) in limits.items():
        value = getattr(settings, name)
        if value is None:
            continue
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")
        if value > most:
            raise ConfigError(f"{name} must be at most {most:,}, got {value:,}")


def check_size(size: Sequence[int], least: int, most: int) -> None:
    """Refuse what is no height and width of images, in pixels."""
    if len(size) != 2 or not least <= min(size) <= max(size) <= most:
        raise ConfigError(
            f"size must be a height and a width from {least} to {most:,}, got "
            f"{' '.join(map(str, size))}"
        )


def check_choices(settings: Any, **choices: Collection[str]) -> None:
    """Refuse a setting that is none of those that there are."""
    for name, known in choices.items():
        if getattr(settings, name) not in known:
            raise ConfigError(
                f"{name} must be one of {', '.join(known)}, got {getattr(settings, name)!r}"
            )
