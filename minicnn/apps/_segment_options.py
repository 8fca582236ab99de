"""The options of ``python -m minicnn.train segment``, and the settings that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path

from minicnn.apps._options import (
    CommandLine,
    add_photographs,
    add_run_options,
    add_setting,
    check_format,
    data_of,
    given_settings,
    no_default,
    resumed_settings,
)
from minicnn.apps._segment_networks import SEGMENTERS
from minicnn.apps._segment_settings import FORMATS, WEIGHTS, Settings
from minicnn.apps._settings import FLIPS
from minicnn.data.masks import mask_layout_of

__all__ = ["COMMAND_LINE"]

DEFAULTS = Settings()
FOUND_OUT = ("names", "ignore_label")  # settings that are no options
OF_DATA = ("data", "format", "skip_bad")
TRAINING_ONLY = [
    f.name for f in dataclasses.fields(Settings) if f.name not in (*FOUND_OUT, *OF_DATA)
]


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training."""
    learn = parser.add_argument_group("training")
    setting = functools.partial(add_setting, learn, DEFAULTS)
    titles = ", ".join(f"{name}: {segmenter.title}" for name, segmenter in SEGMENTERS.items())
    setting("model", f"which network; {titles}", choices=tuple(SEGMENTERS))
    setting(
        "size", "height and width that images are fitted into, in pixels", "96 128", type=int,
        nargs=2, metavar=("H", "W"),
    )  # fmt: skip
    suits = ", ".join(f"{name} {segmenter.channels}" for name, segmenter in SEGMENTERS.items())
    setting("channels", "channels of the first layer", suits, type=int)
    setting("epochs", "how often each image is seen", type=int)
    setting("batch_size", "images a step", type=int)
    setting("scenes", "drawn streets to learn from, without --data", type=int)
    setting("loss", "cross_entropy, focal, dice, or a sum such as cross_entropy+dice")
    setting("weights", "median: pixels of rare classes count more", choices=WEIGHTS)
    setting("seed", "of all that is random", type=int)
    setting(
        "augment", "move, scale and relight images and masks at random",
        "on with --data, else off",
        action=argparse.BooleanOptionalAction,
    )  # fmt: skip
    setting("flips", "which mirror images are as good; all: upside down, too", choices=FLIPS)
    add_run_options(learn)
    _add_views(parser)


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    parser.add_argument(
        "--part", choices=("train", "validation", "test", "all"),
        help="which part of the data; by default what was held out, or of other data the test "
        "part, or what comes closest",
    )  # fmt: skip
    _add_views(parser, again=True)


def _add_prediction(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``predict``."""
    parser.add_argument(
        "--tiles", action="store_true",
        help="look at pictures as large as they are, tile by tile; by default each is fitted into "
        "the size of training as a whole",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="where the coloured pictures, the masks and predictions.json go (predictions in "
        "--model-dir)",
    )  # fmt: skip
    _add_views(parser, again=True)


def _add_views(parser: argparse.ArgumentParser, again: bool = False) -> None:
    parser.add_argument(
        "--tta", action="store_true", default=no_default(again, False),
        help="look at each image in three scales, and mirrored if --flips allows it, and average "
        "(slower, often better)",
    )  # fmt: skip


def _settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = given_settings(options, Settings, FOUND_OUT)
    if options.data is not None:
        given |= data_of(options, mask_layout_of)
    elif not options.resume:
        check_format(options)
    if options.resume:
        return resumed_settings(options, "segment", Settings, given)
    suits = {
        "channels": SEGMENTERS[given.get("model", DEFAULTS.model)].channels,
        "augment": options.data is not None,
    }
    return Settings(**suits | given)


COMMAND_LINE = CommandLine(
    description=(
        "Train a network that tells of every pixel what it shows. Without --data it learns from "
        "drawn streets, so it runs anywhere."
    ),
    epilog=(
        "After training: 'segment evaluate' measures a run on other data, 'segment predict "
        "IMAGE...' colours pictures by what they show; both have their own --help."
    ),
    prediction=(
        "colour pictures by what they show",
        "Tell of every pixel of each picture what it shows.",
    ),
    training_only=TRAINING_ONLY,
    of_data=OF_DATA,
    add_data=functools.partial(
        add_photographs,
        what="masks",
        layout="pictures and masks lie",
        formats=FORMATS[1:],
    ),
    add_training=_add_training,
    add_evaluation=_add_evaluation,
    add_prediction=_add_prediction,
    settings_of=_settings_of,
)
