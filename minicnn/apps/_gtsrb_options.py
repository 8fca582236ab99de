"""The options of ``python -m minicnn.train gtsrb``, and the settings that they ask for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from minicnn.apps import gtsrb
from minicnn.apps._options import (
    add_common,
    add_run_options,
    check_run_options,
    resumed_settings,
    whole_path,
)
from minicnn.apps.gtsrb import Settings
from minicnn.errors import ConfigError

HELP: dict[str, Any] = {
    "description": (
        "Train a network that tells the 43 German traffic signs apart. Without --data or "
        "--download it learns from drawn signs, so it runs anywhere."
    ),
    "epilog": (
        "After training: 'gtsrb evaluate' measures a run on other data, "
        "'gtsrb predict IMAGE...' names the signs in pictures; both have their own --help."
    ),
}
DEFAULTS = Settings()
MODEL_DIR = Path("runs/gtsrb")
FOUND_OUT = ("data", "init_sha256")  # settings that are not options of that name
TRAINING_ONLY = [
    f.name for f in dataclasses.fields(Settings) if f.name not in (*FOUND_OUT, "skip_bad")
]


def add_training(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training."""
    add_data(parser)
    learn = parser.add_argument_group("training")

    def setting(name: str, text: str, **how: Any) -> None:
        # Defaults are filled in later: a resumed run takes what is not given from its settings.
        flag = "--" + name.replace("_", "-")
        default = getattr(DEFAULTS, name)
        text = text if default is None else f"{text} ({default})"
        learn.add_argument(flag, default=None, help=text, **how)

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
    add_common(parser, MODEL_DIR)


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


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``evaluate``."""
    add_data(parser, again=True)
    parser.add_argument(
        "--part", choices=("train", "test", "validation"),
        help="which part of the data; by default the test part if --data has one, else all of it; "
        "without --data the images that the run held out (validation)",
    )  # fmt: skip
    add_common(parser, MODEL_DIR, again=True)


def add_prediction(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``predict``."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")
    add_common(parser, MODEL_DIR, again=True)


def add_data(parser: argparse.ArgumentParser, again: bool = False) -> None:
    """Declare where the data are; `again`: in a subcommand, whose defaults must not win."""
    default: dict[str, Any] = {"default": argparse.SUPPRESS} if again else {}
    data = parser.add_argument_group("data")
    source = data.add_mutually_exclusive_group()
    source.add_argument(
        "--data", metavar="PATH", **default,
        help="real photographs: GTSRB's official archives or the Kaggle layout, zip or folder",
    )  # fmt: skip
    source.add_argument(
        "--download", action="store_true", **default,
        help="fetch the official archives (about 370 MB)",
    )  # fmt: skip
    data.add_argument(
        "--skip-bad", action="store_true", **({"default": None} | default),
        help="leave out broken images and list them, instead of stopping",
    )  # fmt: skip


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Settings)
        if field.name not in FOUND_OUT and getattr(options, field.name) is not None
    }
    check_run_options(options)
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
    resumed: Settings = resumed_settings(options, "gtsrb", Settings, given)
    return resumed


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
