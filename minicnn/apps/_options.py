"""What the commands of all apps have in common: options, and how they are checked."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn.apps._settings import load_settings
from minicnn.errors import ConfigError
from minicnn.estimator._precision import PRECISIONS

if TYPE_CHECKING:
    from minicnn.estimator import Interrupted

__all__ = [
    "Stopped",
    "add_common",
    "add_run_options",
    "check_free",
    "check_run_options",
    "refuse",
    "resumed_settings",
    "whole_path",
]

_SEVERAL = {"labels": "--groups, --all-classes or --one-class"}  # settings of several options


def add_run_options(group: argparse._ArgumentGroup) -> None:
    """Declare how a run is carried out; what it learns does not depend on it."""
    group.add_argument("--workers", type=int, default=2, help="threads that prepare batches (2)")
    group.add_argument(
        "--save-every", type=int, default=200, metavar="N", help="steps between checkpoints (200)"
    )
    group.add_argument(
        "--precision", choices=PRECISIONS,
        help="how matrices are multiplied: tf32 and bfloat16 on a GPU, float16 is mixed precision "
        "with a scaled loss (float32)",
    )  # fmt: skip
    group.add_argument("--resume", action="store_true", help="go on with the run in --model-dir")


def add_common(parser: argparse.ArgumentParser, model_dir: Path, again: bool = False) -> None:
    """Declare what all commands have; `again`: in a subcommand, whose defaults must not win."""

    def default(value: Any) -> Any:
        return argparse.SUPPRESS if again else value

    parser.add_argument(
        "--model-dir", type=Path, default=default(model_dir), help=f"the run's folder ({model_dir})"
    )
    parser.add_argument(
        "--device",
        default=default(None),
        metavar="cpu|cuda",
        help="where to compute (cpu, or what MINICNN_DEVICE says)",
    )
    parser.add_argument(
        "--json", action="store_true", default=default(False),
        help="end the output with one line of JSON: the results",
    )  # fmt: skip


def check_run_options(options: argparse.Namespace) -> None:
    """Refuse numbers that make no sense."""
    for name, least in (("workers", 0), ("save_every", 1)):
        if getattr(options, name) < least:
            raise ConfigError(
                f"{_flag(name)} must be {least} or more, got {getattr(options, name)}"
            )


def refuse(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse options that were given before a command that has no use for them."""
    for name in names:
        value = getattr(options, name)
        if value is not None and value is not False:  # 0 was given
            raise ConfigError(f"{_flag(name)} means nothing to {options.action}; leave it out")


def _flag(name: str) -> str:
    """Return what is typed to set something."""
    return _SEVERAL.get(name, "--" + name.replace("_", "-"))


def check_free(options: argparse.Namespace) -> None:
    """Refuse to mix a new run with one that is in the folder already."""
    from minicnn.estimator import newest_checkpoint

    newest = newest_checkpoint(options.model_dir / "checkpoints")
    if newest is not None and not options.resume:
        raise ConfigError(
            f"{options.model_dir} holds a run already ({newest.name}); go on with it by --resume, "
            "or train into another --model-dir"
        )


def resumed_settings(
    options: argparse.Namespace, app: str, kind: type, given: Mapping[str, Any]
) -> Any:
    """Return the settings of the run that is resumed; what is given besides must be the same."""
    saved = load_settings(options.model_dir, app, kind)
    different = [
        f"{_flag(name)} was {getattr(saved, name)}, is {value}"
        for name, value in given.items()
        if value != getattr(saved, name) and name != "data"  # which may have been moved
    ]
    if different:
        raise ConfigError(
            f"cannot resume {options.model_dir} with other settings: {'; '.join(different)}; leave "
            "them out, or train into another --model-dir"
        )
    return dataclasses.replace(saved, **given)


def whole_path(flag: str, path: str) -> str:
    """Return a path that means the same in every folder."""
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:  # ~somebody who has no home here
        raise ConfigError(f"{flag} {path}: {error}; give the whole path") from error


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a signal ended a run: how to go on with it."""

    def __init__(self, stop: Interrupted, total: int, command: str, model_dir: Path) -> None:
        unsaved = f", which could not be saved ({stop.trouble})" if stop.trouble else ""
        super().__init__(
            f"after step {stop.step:,} of {total:,}{unsaved}; go on with: "
            f"{command} --resume --model-dir {model_dir}"
        )
        self.number = stop.number
