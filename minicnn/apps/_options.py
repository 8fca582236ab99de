"""What the commands of all apps have in common: options, and how they are checked."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicnn.apps._settings import load_settings
from minicnn.errors import ConfigError
from minicnn.estimator._precision import PRECISIONS

__all__ = [
    "CommandLine",
    "add_common",
    "add_images",
    "add_photographs",
    "add_run_options",
    "add_setting",
    "add_skip_bad",
    "check_format",
    "check_free",
    "data_of",
    "given_settings",
    "no_default",
    "refuse",
    "resumed_settings",
    "run_options",
    "whole_path",
]

_SEVERAL = {"labels": "--groups, --all-classes or --one-class"}  # settings of several options


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What is particular to the options of an app.

    Parameters
    ----------
    description, epilog : str
        Of its help.
    prediction : (str, str)
        What ``predict`` is for, in a few words and in a sentence.
    training_only : sequence of str
        Options that the other commands refuse.
    of_data : sequence of str
        Those of the data, which ``predict`` refuses as well.
    add_data : callable
        ``(parser, again) -> None``: declares where the data are; `again`: in a subcommand.
    add_training, add_evaluation, add_prediction : callable
        ``(parser) -> None``: declare what else a command has.
    settings_of : callable
        ``(options) -> settings``: those that the options ask for; a resumed run supplies what is
        not given.
    check_prediction : callable
        ``(options) -> None``: refuses options of ``predict`` that make no sense.
    """

    description: str
    epilog: str
    prediction: tuple[str, str]
    training_only: Sequence[str]
    of_data: Sequence[str]
    add_data: Callable[[argparse.ArgumentParser, bool], None]
    add_training: Callable[[argparse.ArgumentParser], None]
    add_evaluation: Callable[[argparse.ArgumentParser], None]
    add_prediction: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    settings_of: Callable[[argparse.Namespace], Any]
    check_prediction: Callable[[argparse.Namespace], None] = lambda options: None


def add_setting(
    group: argparse._ArgumentGroup,
    defaults: Any,
    name: str,
    text: str,
    shown: str | None = None,
    **how: Any,
) -> None:
    """Declare an option for a setting, its default in the help; `shown`: how that is put there."""
    # Defaults are filled in later: a resumed run takes what is not given from its settings.
    default = getattr(defaults, name) if shown is None else shown
    if isinstance(default, bool):
        default = "on" if default else "off"
    text = text if default is None else f"{text} ({default})"
    group.add_argument("--" + name.replace("_", "-"), default=None, help=text, **how)


def no_default(again: bool, otherwise: Any = None) -> Any:
    """Return the default of an option, which must not win where it is declared `again`."""
    return argparse.SUPPRESS if again else otherwise


def add_photographs(
    parser: argparse.ArgumentParser,
    again: bool,
    what: str,
    layout: str,
    formats: Sequence[str],
) -> None:
    """Declare where photographs with boxes or masks are, and in which layout."""
    data = parser.add_argument_group("data")
    without = "the run's own data" if again else "streets are drawn"
    data.add_argument(
        "--data", metavar="PATH", default=no_default(again),
        help=f"real photographs with {what}, a folder or a zip archive; without, {without}",
    )  # fmt: skip
    data.add_argument(
        "--format", choices=formats, default=no_default(again),
        help=f"how {layout} there; by default what it looks like",
    )  # fmt: skip
    add_skip_bad(data, again, f"images and {what}")


def add_skip_bad(group: argparse._ArgumentGroup, again: bool, what: str) -> None:
    """Declare that what is broken may be left out."""
    group.add_argument(
        "--skip-bad", action="store_true", default=no_default(again),
        help=f"leave out broken {what} and list them, instead of stopping",
    )  # fmt: skip


def add_images(parser: argparse.ArgumentParser) -> None:
    """Declare the pictures that ``predict`` looks at."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")


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
    parser.add_argument(
        "--model-dir",
        type=Path,
        default=no_default(again, model_dir),
        help=f"the run's folder ({model_dir})",
    )
    parser.add_argument(
        "--device",
        default=no_default(again),
        metavar="cpu|cuda",
        help="where to compute (cpu, or what MINICNN_DEVICE says)",
    )
    parser.add_argument(
        "--json", action="store_true", default=no_default(again, False),
        help="end the output with one line of JSON: the results",
    )  # fmt: skip


def given_settings(
    options: argparse.Namespace, kind: type, not_options: Sequence[str]
) -> dict[str, Any]:
    """Return the settings that are given as options; refuse numbers that make no sense."""
    for name, least in (("workers", 0), ("save_every", 1)):
        if getattr(options, name) < least:
            raise ConfigError(
                f"{_flag(name)} must be {least} or more, got {getattr(options, name)}"
            )
    names = [field.name for field in dataclasses.fields(kind) if field.name not in not_options]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return {k: tuple(value) if isinstance(value, list) else value for k, value in given.items()}


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return how a run is carried out, as each `make_estimator` takes it."""
    return {
        "resume": "auto" if options.resume else False,
        "save_every": options.save_every,
        "precision": options.precision,
    }


def check_format(options: argparse.Namespace) -> None:
    """Refuse a format of data that are not given."""
    if options.format is not None and options.data is None:
        raise ConfigError(f"--format {options.format} needs --data, the photographs")


def data_of(options: argparse.Namespace, layout_of: Callable[[str], str]) -> dict[str, Any]:
    """Return where the data of the options are, and in which format."""
    path = whole_path("--data", options.data)
    return {"data": path, "format": options.format or layout_of(path)}


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
