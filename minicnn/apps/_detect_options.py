"""The options of ``python -m minicnn.train detect``, and the settings that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from minicnn.apps._detect_settings import FLIPS, FORMATS, SIGNS, Settings
from minicnn.apps._detection import SURE
from minicnn.apps._detectors import DETECTORS
from minicnn.apps._options import (
    add_common,
    add_run_options,
    check_run_options,
    resumed_settings,
    whole_path,
)
from minicnn.errors import ConfigError

HELP: dict[str, Any] = {
    "description": (
        "Train a network that finds objects in pictures. Without --data it learns to find traffic "
        "signs in drawn streets, so it runs anywhere."
    ),
    "epilog": (
        "After training: 'detect evaluate' measures a run on other data, 'detect predict "
        "IMAGE...' draws what it finds in pictures; both have their own --help."
    ),
}
DEFAULTS = Settings()
MODEL_DIR = Path("runs/detect")
FOUND_OUT = ("names",)  # settings that are no options
OF_DATA = ("data", "format", "skip_bad")
TRAINING_ONLY = [
    *(f.name for f in dataclasses.fields(Settings) if f.name not in (*FOUND_OUT, *OF_DATA)),
    "minutes",
]
LEAST_MINUTES, MOST_MINUTES = 0.01, 100_000.0


def add_training(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training."""
    add_data(parser)
    learn = parser.add_argument_group("training")

    def setting(name: str, text: str, default: str | None = None, **how: Any) -> None:
        # Defaults are filled in later: a resumed run takes what is not given from its settings.
        shown = getattr(DEFAULTS, name) if default is None else default
        how.setdefault("default", None)
        learn.add_argument("--" + name.replace("_", "-"), help=f"{text} ({shown})", **how)

    titles = ", ".join(f"{name}: {recipe.title}" for name, recipe in DETECTORS.items())
    setting("detector", f"which rung of the ladder; {titles}", choices=tuple(DETECTORS))
    classes = learn.add_mutually_exclusive_group()
    for flag, value, text in (
        ("--groups", "groups", "tell signs apart by their four groups (the default of signs)"),
        ("--all-classes", "all", "tell all classes apart (the default of other data)"),
        ("--one-class", "one", "tell objects only from what is none"),
    ):
        classes.add_argument(flag, dest="labels", action="store_const", const=value, help=text)
    setting(
        "size", "height and width that images are fitted into, in pixels", "192 256", type=int,
        nargs=2, metavar=("H", "W"),
    )  # fmt: skip
    setting("channels", "channels of the first layer", type=int)
    _add_length(learn)
    setting("batch_size", "images a step", "what suits the detector", type=int)
    setting("scenes", "drawn streets to learn from, without --data", type=int)
    setting("least", "objects under so many pixels do not count", type=int)
    setting("seed", "of all that is random", type=int)
    setting(
        "augment", "move, scale and relight images at random", action=argparse.BooleanOptionalAction
    )
    setting(
        "flips", "which mirror images are as good; all: upside down, too",
        "none for signs, else left-right", choices=FLIPS,
    )  # fmt: skip
    add_run_options(learn)
    add_common(parser, MODEL_DIR)


def _add_length(group: argparse._ArgumentGroup) -> None:
    """Declare how long to train."""
    length = group.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="steps of training (what suits the detector)")
    length.add_argument(
        "--minutes", type=float, metavar="M",
        help="as many steps as take so long, which is measured before",
    )  # fmt: skip


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    add_data(parser, again=True)
    parser.add_argument(
        "--part", choices=("train", "validation", "test", "all"),
        help="which part of the data; by default what was held out, or all if it is other data "
        "without parts",
    )  # fmt: skip
    add_common(parser, MODEL_DIR, again=True)


def add_prediction(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``predict``."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")
    parser.add_argument(
        "--score", type=float, default=SURE, help=f"leave out what it is less sure of ({SURE})"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where the pictures with boxes and predictions.json go (predictions in --model-dir)",
    )  # fmt: skip
    add_common(parser, MODEL_DIR, again=True)


def add_data(parser: argparse.ArgumentParser, again: bool = False) -> None:
    """Declare where the data are; `again`: in a subcommand, whose defaults must not win."""
    default: dict[str, Any] = {"default": argparse.SUPPRESS} if again else {}
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", metavar="PATH", **default,
        help="real photographs with boxes, a folder or a zip archive; without, streets are drawn",
    )  # fmt: skip
    data.add_argument(
        "--format", choices=FORMATS[1:], **default,
        help="how the boxes are written down there; by default what it looks like",
    )  # fmt: skip
    data.add_argument(
        "--skip-bad", action="store_true", **({"default": None} | default),
        help="leave out broken images and boxes and list them, instead of stopping",
    )  # fmt: skip


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Settings)
        if field.name not in FOUND_OUT and getattr(options, field.name) is not None
    }
    check_run_options(options)
    if options.minutes is not None and not LEAST_MINUTES <= options.minutes <= MOST_MINUTES:
        raise ConfigError(
            f"--minutes must be {LEAST_MINUTES:g} to {MOST_MINUTES:,.0f}, got {options.minutes:g}"
        )
    if "size" in given:
        given["size"] = tuple(given["size"])
    if options.data is not None:
        given |= data_of(options)
    elif not options.resume:
        check_format(options)
    if options.resume:
        if options.minutes is not None:
            raise ConfigError("--minutes means nothing to --resume: how long it takes was settled")
        resumed: Settings = resumed_settings(options, "detect", Settings, given)
        return resumed
    return Settings(**_defaults(given) | given)


def check_format(options: argparse.Namespace) -> None:
    """Refuse a format of data that are not given."""
    if options.format is not None and options.data is None:
        raise ConfigError(f"--format {options.format} needs --data, the photographs")


def other_data(settings: Settings, options: argparse.Namespace) -> Settings:
    """Return the settings of a run with other data, to be judged on."""
    found = data_of(options)
    labels = settings.labels
    if labels == "groups" and found["format"] not in SIGNS:
        labels = "all"  # whose names may be those of the groups
    return dataclasses.replace(settings, **found, labels=labels)


def data_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return where the data of the options are, and in which format."""
    from minicnn.data.objects import layout_of

    path = whole_path("--data", options.data)
    return {"data": path, "format": options.format or layout_of(path)}


def _defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Return what follows from what is given."""
    signs = given.get("format", "scenes") in SIGNS
    recipe = DETECTORS[given.get("detector", DEFAULTS.detector)]
    return {
        "labels": "groups" if signs else "all",
        "flips": "none" if signs else "left-right",
        "steps": recipe.steps,
        "batch_size": recipe.batch,
    }
