"""The options of ``python -m minicnn.train gtsrb``, and the settings that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import Any

from minicnn.apps import gtsrb
from minicnn.apps._options import (
    CommandLine,
    add_run_options,
    add_setting,
    add_skip_bad,
    given_settings,
    no_default,
    resumed_settings,
    whole_path,
)
from minicnn.apps.gtsrb import Settings
from minicnn.errors import ConfigError

__all__ = ["COMMAND_LINE", "data_path"]

DEFAULTS = Settings()
FOUND_OUT = ("data", "init_sha256")  # settings that are not options of that name
OF_DATA = ("data", "download", "skip_bad")
TRAINING_ONLY = [
    f.name for f in dataclasses.fields(Settings) if f.name not in (*FOUND_OUT, *OF_DATA)
]


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training."""
    learn = parser.add_argument_group("training")
    setting = functools.partial(add_setting, learn, DEFAULTS)
    setting("split", "hold out whole tracks, or single images", choices=("track", "random"))
    setting("size", "height and width of the images in pixels", type=int)
    setting("channels", "channels of the first block", type=int)
    setting("model", "network", choices=sorted(gtsrb.MODELS))
    setting("epochs", "passes over the data", type=int)
    setting("batch_size", "images a step", type=int)
    setting("seed", "of all that is random", type=int)
    setting(
        "augment",
        "turn, scale, shift and relight images at random; never mirror",
        action=argparse.BooleanOptionalAction,
    )
    setting("per_class", "learn from so many images of each class only", type=int, metavar="N")
    _add_transfer(parser)
    add_run_options(learn)
    learn.add_argument(
        "--cuda-graph", action="store_true", help="on a GPU, replay the captured step as one graph"
    )


def _add_transfer(parser: argparse.ArgumentParser) -> None:
    """Declare how to begin with what another run has learned."""
    group = parser.add_argument_group(
        "transfer", "Patterns are names of layers: block1, 'block*'; '!logits' is all but logits."
    )
    group.add_argument(
        "--init-from", metavar="RUN",
        help="begin with the newest weights of another run, a --model-dir; --model, --channels and "
        "--size are then its own",
    )  # fmt: skip
    group.add_argument(
        "--new-head", action="store_true", default=None,
        help="but let the last layer begin anew",
    )  # fmt: skip
    group.add_argument("--freeze", metavar="PATTERN,...", help="layers that do not learn")
    group.add_argument(
        "--unfreeze", metavar="PATTERN@EPOCH,...",
        help="frozen layers that learn again after so many epochs",
    )  # fmt: skip
    group.add_argument(
        "--rates", metavar="PATTERN=FACTOR,...",
        help="multiply the learning rate of some layers, or with '*=0.1' of all",
    )  # fmt: skip


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    parser.add_argument(
        "--part", choices=("train", "test", "validation"),
        help="which part of the data; by default the test part if --data has one, else all of it; "
        "without --data the images that the run held out (validation)",
    )  # fmt: skip


def _add_data(parser: argparse.ArgumentParser, again: bool) -> None:
    """Declare where the data are; `again`: in a subcommand, whose defaults must not win."""
    data = parser.add_argument_group("data")
    source = data.add_mutually_exclusive_group()
    source.add_argument(
        "--data", metavar="PATH", default=no_default(again),
        help="real photographs: GTSRB's official archives or the Kaggle layout, zip or folder",
    )  # fmt: skip
    source.add_argument(
        "--download", action="store_true", default=no_default(again, False),
        help="fetch the official archives (about 370 MB)",
    )  # fmt: skip
    add_skip_bad(data, again, "images")


def _settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = given_settings(options, Settings, FOUND_OUT)
    if options.data is not None or options.download:
        given["data"] = data_path(options, "train")
    if options.init_from is not None:
        given["init_from"] = whole_path("--init-from", options.init_from)
    if not options.resume:
        settings = Settings(**given)
        if settings.init_from is not None:
            settings = _begun_with(settings, given)
        gtsrb.starting_network(settings)  # what does not fit is told before all data are read
        return settings
    return resumed_settings(options, "gtsrb", Settings, given)


def _begun_with(settings: Settings, given: dict[str, Any]) -> Settings:
    """Return the settings of a run that begins with another one's weights: its network is that."""
    assert settings.init_from is not None
    run = gtsrb.load_run(Path(settings.init_from))
    for name in ("model", "channels"):
        own = getattr(run.settings, name)
        if given.get(name, own) != own:
            raise ConfigError(
                f"--init-from {settings.init_from} is another network: its --{name} is {own}, and "
                f"{given[name]} is asked for; leave --{name} out, or train such a one first"
            )
    same = {name: getattr(run.settings, name) for name in ("model", "channels", "size")}
    return dataclasses.replace(settings, **same | given, init_sha256=run.sha256)


def data_path(options: argparse.Namespace, part: str) -> str:
    """Return where the data are, after fetching them if that is asked for."""
    if options.download:
        from minicnn.data.download import download_gtsrb

        return str(download_gtsrb(parts=(part,)))
    return whole_path("--data", options.data)


COMMAND_LINE = CommandLine(
    description=(
        "Train a network that tells the 43 German traffic signs apart. Without --data or "
        "--download it learns from drawn signs, so it runs anywhere."
    ),
    epilog=(
        "After training: 'gtsrb evaluate' measures a run on other data, "
        "'gtsrb predict IMAGE...' names the signs in pictures; both have their own --help."
    ),
    prediction=(
        "name the signs in pictures",
        "Name the sign in each picture; the sign should fill it.",
    ),
    training_only=TRAINING_ONLY,
    of_data=OF_DATA,
    add_data=_add_data,
    add_training=_add_training,
    add_evaluation=_add_evaluation,
    settings_of=_settings_of,
)
