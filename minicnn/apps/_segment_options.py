"""The options of ``python -m minicnn.train segment``, and the settings that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from minicnn.apps._options import (
    add_common,
    add_run_options,
    check_run_options,
    resumed_settings,
    whole_path,
)
from minicnn.apps._segment_networks import SEGMENTERS
from minicnn.apps._segment_settings import FLIPS, FORMATS, WEIGHTS, Settings
from minicnn.errors import ConfigError

HELP: dict[str, Any] = {
    "description": (
        "Train a network that tells of every pixel what it shows. Without --data it learns from "
        "drawn streets, so it runs anywhere."
    ),
    "epilog": (
        "After training: 'segment evaluate' measures a run on other data, 'segment predict "
        "IMAGE...' colours pictures by what they show; both have their own --help."
    ),
}
DEFAULTS = Settings()
MODEL_DIR = Path("runs/segment")
FOUND_OUT = ("names", "ignore_label")  # settings that are no options
OF_DATA = ("data", "format", "skip_bad")
TRAINING_ONLY = [
    f.name for f in dataclasses.fields(Settings) if f.name not in (*FOUND_OUT, *OF_DATA)
]


def add_training(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training."""
    add_data(parser)
    learn = parser.add_argument_group("training")

    def setting(name: str, text: str, default: str | None = None, **how: Any) -> None:
        # Defaults are filled in later: a resumed run takes what is not given from its settings.
        shown = getattr(DEFAULTS, name) if default is None else default
        how.setdefault("default", None)
        learn.add_argument("--" + name.replace("_", "-"), help=f"{text} ({shown})", **how)

    titles = ", ".join(f"{name}: {segmenter.title}" for name, segmenter in SEGMENTERS.items())
    setting("model", f"which network; {titles}", choices=tuple(SEGMENTERS))
    setting(
        "size", "height and width that images are fitted into, in pixels", "96 128", type=int,
        nargs=2, metavar=("H", "W"),
    )  # fmt: skip
    setting("channels", "channels of the first layer", "what suits the network", type=int)
    setting("epochs", "how often each image is seen", type=int)
    setting("batch_size", "images a step", type=int)
    setting("scenes", "drawn streets to learn from, without --data", type=int)
    setting("loss", "cross_entropy, focal, dice, or a sum such as cross_entropy+dice")
    setting("weights", "median: pixels of rare classes count more", choices=WEIGHTS)
    setting("seed", "of all that is random", type=int)
    setting(
        "augment", "move, scale and relight images and masks at random", "with --data",
        action=argparse.BooleanOptionalAction,
    )  # fmt: skip
    setting("flips", "which mirror images are as good; all: upside down, too", choices=FLIPS)
    add_run_options(learn)
    _add_views(parser)
    add_common(parser, MODEL_DIR)


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    add_data(parser, again=True)
    parser.add_argument(
        "--part", choices=("train", "validation", "test", "all"),
        help="which part of the data; by default what was held out, or of other data the test "
        "part, or what comes closest",
    )  # fmt: skip
    _add_views(parser, again=True)
    add_common(parser, MODEL_DIR, again=True)


def add_prediction(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``predict``."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")
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
    add_common(parser, MODEL_DIR, again=True)


def _add_views(parser: argparse.ArgumentParser, again: bool = False) -> None:
    parser.add_argument(
        "--tta", action="store_true", default=argparse.SUPPRESS if again else False,
        help="look at each image in three scales, and mirrored, and average (slower, often better)",
    )  # fmt: skip


def add_data(parser: argparse.ArgumentParser, again: bool = False) -> None:
    """Declare where the data are; `again`: in a subcommand, whose defaults must not win."""
    default: dict[str, Any] = {"default": argparse.SUPPRESS} if again else {}
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data", metavar="PATH", **default,
        help="real photographs with masks, a folder or a zip archive; without, streets are drawn",
    )  # fmt: skip
    data.add_argument(
        "--format", choices=FORMATS[1:], **default,
        help="how pictures and masks lie there; by default what it looks like",
    )  # fmt: skip
    data.add_argument(
        "--skip-bad", action="store_true", **({"default": None} | default),
        help="leave out broken images and masks and list them, instead of stopping",
    )  # fmt: skip


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Settings)
        if field.name not in FOUND_OUT and getattr(options, field.name) is not None
    }
    check_run_options(options)
    if "size" in given:
        given["size"] = tuple(given["size"])
    if options.data is not None:
        given |= data_of(options)
    elif options.format is not None and not options.resume:
        raise ConfigError(f"--format {options.format} needs --data, the photographs")
    if options.resume:
        resumed: Settings = resumed_settings(options, "segment", Settings, given)
        return resumed
    suits = {
        "channels": SEGMENTERS[given.get("model", DEFAULTS.model)].channels,
        "augment": options.data is not None,
    }
    return Settings(**suits | given)


def data_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return where the data of the options are, and in which format."""
    from minicnn.data.masks import mask_layout_of

    path = whole_path("--data", options.data)
    return {"data": path, "format": options.format or mask_layout_of(path)}
