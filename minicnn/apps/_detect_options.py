"""The options of ``python -m minicnn.train detect``, and the settings that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import Any

from minicnn.apps._detect_settings import FORMATS, SIGNS, Settings
from minicnn.apps._detection import SURE
from minicnn.apps._detectors import DETECTORS
from minicnn.apps._options import (
    CommandLine,
    add_photographs,
    add_run_options,
    add_setting,
    check_format,
    data_of,
    given_settings,
    resumed_settings,
)
from minicnn.apps._settings import FLIPS
from minicnn.data.objects import layout_of
from minicnn.errors import ConfigError

__all__ = ["COMMAND_LINE", "other_data"]

DEFAULTS = Settings()
FOUND_OUT = ("names",)  # settings that are no options
OF_DATA = ("data", "format", "skip_bad")
TRAINING_ONLY = [
    *(f.name for f in dataclasses.fields(Settings) if f.name not in (*FOUND_OUT, *OF_DATA)),
    "minutes",
]
LEAST_MINUTES, MOST_MINUTES = 0.01, 100_000.0


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training."""
    learn = parser.add_argument_group("training")
    setting = functools.partial(add_setting, learn, DEFAULTS)
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


def _add_length(group: argparse._ArgumentGroup) -> None:
    """Declare how long to train."""
    length = group.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="steps of training (what suits the detector)")
    length.add_argument(
        "--minutes", type=float, metavar="M",
        help="as many steps as take so long, which is measured before",
    )  # fmt: skip


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    parser.add_argument(
        "--part", choices=("train", "validation", "test", "all"),
        help="which part of the data; by default what was held out, or of other data the test "
        "part, or what comes closest",
    )  # fmt: skip


def _add_prediction(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``predict``."""
    parser.add_argument(
        "--score", type=float, default=SURE, help=f"leave out what it is less sure of ({SURE})"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where the pictures with boxes and predictions.json go (predictions in --model-dir)",
    )  # fmt: skip


def _settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = given_settings(options, Settings, FOUND_OUT)
    if options.minutes is not None and not LEAST_MINUTES <= options.minutes <= MOST_MINUTES:
        raise ConfigError(
            f"--minutes must be {LEAST_MINUTES:g} to {MOST_MINUTES:,.0f}, got {options.minutes:g}"
        )
    if options.data is not None:
        given |= data_of(options, layout_of)
    elif not options.resume:
        check_format(options)
    if options.resume:
        if options.minutes is not None:
            raise ConfigError("--minutes means nothing to --resume: how long it takes was settled")
        return resumed_settings(options, "detect", Settings, given)
    return Settings(**_defaults(given) | given)


def other_data(settings: Settings, options: argparse.Namespace) -> Settings:
    """Return the settings of a run with other data, to be judged on."""
    found = data_of(options, layout_of)
    labels = settings.labels
    if labels == "groups" and found["format"] not in SIGNS:
        labels = "all"  # whose names may be those of the groups
    return dataclasses.replace(settings, **found, labels=labels)


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


def _check_prediction(options: argparse.Namespace) -> None:
    if not 0 <= options.score <= 1:
        raise ConfigError(f"--score must be 0 to 1, got {options.score:g}")


COMMAND_LINE = CommandLine(
    description=(
        "Train a network that finds objects in pictures. Without --data it learns to find traffic "
        "signs in drawn streets, so it runs anywhere."
    ),
    epilog=(
        "After training: 'detect evaluate' measures a run on other data, 'detect predict "
        "IMAGE...' draws what it finds in pictures; both have their own --help."
    ),
    prediction=(
        "find the objects in pictures",
        "Find the objects in each picture, and draw boxes around them.",
    ),
    training_only=TRAINING_ONLY,
    of_data=OF_DATA,
    add_data=functools.partial(
        add_photographs,
        what="boxes",
        layout="the boxes are written down",
        formats=FORMATS[1:],
    ),
    add_training=_add_training,
    add_evaluation=_add_evaluation,
    add_prediction=_add_prediction,
    settings_of=_settings_of,
    check_prediction=_check_prediction,
)
