"""The commands of ``python -m minicnn.train gtsrb``: what of them is particular to signs."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import nn
from minicnn._command_line import say
from minicnn.apps import gtsrb
from minicnn.apps._classification import Outcome, classify, judge
from minicnn.apps._commands import App, Job, Part
from minicnn.apps._gtsrb_options import COMMAND_LINE, data_path
from minicnn.apps._gtsrb_reports import (
    describe_data,
    describe_outcome,
    describe_transfer,
    draw,
    measures,
)
from minicnn.apps._options import run_options
from minicnn.apps.gtsrb import Run, Settings
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.pictures import read_picture
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from minicnn.estimator import Hook

__all__ = ["APP"]


def _prepare(options: argparse.Namespace, settings: Settings, device: str) -> Job:
    """Read or draw signs, hold some out, and build the network."""
    from minicnn.estimator import GradualUnfreezing, ValidationHook

    table = gtsrb.load_signs(settings)
    describe_data(table, settings.data is None)
    train, held_out = _split(settings, table)
    estimator = gtsrb.make_estimator(
        settings,
        train,
        options.model_dir,
        device=device,
        cuda_graph=options.cuda_graph,
        **run_options(options),
    )
    net = estimator.module
    parameters = sum(p.size for p in net.parameters())
    say(f"network  {settings.model} ({type(net).__name__}), {settings.channels} channels: "
        f"{parameters:,} parameters")  # fmt: skip
    describe_transfer(settings, net, len(train))
    steps, stages = settings.steps(len(train)), settings.stages(len(train))
    checked = gtsrb.plain_input(held_out)
    hooks: list[Hook] = [GradualUnfreezing(stages)] if stages else []
    return Job(
        estimator=estimator,
        batches=gtsrb.training_input(settings, train, options.workers),
        steps=steps,
        epochs=f"{settings.epochs}",
        held_out=Part(settings, held_out, "validation", table.skipped),
        hooks=[*hooks, ValidationHook(lambda: checked, max(steps // settings.epochs, 1))],
    )


def _split(settings: Settings, table: SignTable) -> tuple[SignTable, SignTable]:
    """Return the images to learn from and those held out, if there are enough of both."""
    learn, held_out = gtsrb.split_signs(settings, table)
    apart = "no physical sign is in both" if settings.split == "track" else "image by image"
    few = f" ({settings.per_class:,} a class)" if settings.per_class else ""
    say(f"split    {settings.split}: {len(learn):,} to learn from{few}, "
        f"{len(held_out):,} held out ({apart})")  # fmt: skip
    if not len(held_out) or len(learn) < settings.batch_size:
        raise ConfigError(
            f"{len(learn)} images to learn from and {len(held_out)} held out are too few "
            f"for batches of {settings.batch_size}; lower --batch-size or give more --data"
        )
    return learn, held_out


def _load_part(options: argparse.Namespace, settings: Settings) -> Part:
    """Read or draw the signs to evaluate a run on."""
    own = options.data is None and not options.download
    if not own:
        settings = dataclasses.replace(settings, data=data_path(options, "test"))
    name = options.part or ("validation" if own else None)
    if name == "validation":
        _, table = gtsrb.split_signs(settings, gtsrb.load_signs(settings))
    else:
        table, name = gtsrb.load_test(settings, name)
    return Part(settings, table, name, table.skipped)


def _judge(net: nn.Module, part: Part, _: argparse.Namespace) -> Outcome:
    return judge(net, part.images)


def _predict(options: argparse.Namespace, run: Run[Settings, nn.Module]) -> list[dict[str, Any]]:
    """Name the sign in each picture."""
    images = np.stack([read_picture(path, run.settings.size) for path in options.images])
    width = max(len(str(path)) for path in options.images)
    results = []
    for path, p in zip(options.images, classify(run.net, images), strict=True):
        best = np.argsort(-p, kind="stable")[:3]
        guesses = [f"{CLASS_NAMES[k]} {100 * p[k]:.1f} %" for k in best]
        say(f"{path!s:{width}}  {guesses[0]}   (else {', '.join(guesses[1:])})")
        results.append(
            {
                "image": str(path),
                "class": int(best[0]),
                "name": CLASS_NAMES[best[0]],
                "probability": float(p[best[0]]),
            }
        )
    return results


APP = App(
    name="gtsrb",
    command_line=COMMAND_LINE,
    drawing="signs, for no --data were given",
    prepare=_prepare,
    load_run=gtsrb.load_run,
    load_part=_load_part,
    part_to_learn=lambda settings, table: gtsrb.split_signs(settings, table)[0],
    describe_data=describe_data,
    judge=_judge,
    describe_outcome=describe_outcome,
    draw=draw,
    measures=measures,
    predict=_predict,
)
