"""The commands of ``python -m minicnn.train segment``: what of them is particular to masks."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.apps import segment
from minicnn.apps._commands import App, Job, Part
from minicnn.apps._images import check_enough, part_to_learn
from minicnn.apps._options import check_format, data_of, run_options
from minicnn.apps._segment_networks import SEGMENTERS
from minicnn.apps._segment_options import COMMAND_LINE
from minicnn.apps._segment_reports import (
    MASK,
    describe_data,
    describe_net,
    describe_outcome,
    draw,
    measures,
    note_unnamed,
    show_found,
)
from minicnn.apps._segmentation import Outcome, Scorer, judge, scorer_of, segment_picture
from minicnn.apps._showing import Progress, Shown, describe_split, show_pictures
from minicnn.apps.segment import Run, Settings
from minicnn.data.masks import mask_layout_of
from minicnn.errors import ConfigError
from minicnn.nn import Module

__all__ = ["APP"]

CHECKS = 10  # times that the network is judged on what was held out while it is trained


def _prepare(options: argparse.Namespace, settings: Settings, device: str) -> Job:
    """Read or draw the images, and build the network."""
    from minicnn.estimator import ValidationHook

    parts = segment.load_parts(settings)
    train = parts.train
    check_enough(parts)
    if train.names != parts.held_out.names:
        raise ConfigError(
            f"the parts of {train.source} have other classes; name them in classes.txt"
        )
    assert train.ignore_label is not None
    settings = dataclasses.replace(settings, names=train.names, ignore_label=train.ignore_label)
    describe_data(train, settings.data is None)
    note_unnamed(train)
    describe_split(parts, settings.size)
    estimator = segment.make_estimator(
        settings, train, options.model_dir, device=device, **run_options(options)
    )
    describe_net(settings, estimator.module)
    steps, checked = settings.steps(len(train)), segment.plain_input(parts.held_out)
    return Job(
        estimator=estimator,
        batches=segment.training_input(settings, train, options.workers),
        steps=steps,
        epochs=f"{settings.epochs}",
        held_out=Part(settings, parts.held_out, "validation", parts.faults),
        hooks=[ValidationHook(lambda: checked, -(-steps // CHECKS))],
    )


def _load_part(options: argparse.Namespace, settings: Settings) -> Part:
    """Read or draw the images to evaluate a run on."""
    check_format(options)
    own = options.data is None
    if not own:
        settings = dataclasses.replace(settings, **data_of(options, mask_layout_of))
    images, name = segment.load_test(settings, options.part, own)
    return Part(settings, images, name, images.faults)


def _scorer(net: Module, settings: Settings, options: argparse.Namespace) -> Scorer:
    return scorer_of(net, options.tta, flip=settings.flips != "none")


def _judge(net: Module, part: Part, options: argparse.Namespace) -> Outcome:
    with Progress("judged", len(part.images)) as progress:
        return judge(_scorer(net, part.settings, options), part.images, progress)


def _predict(options: argparse.Namespace, run: Run[Settings, Module]) -> list[dict[str, Any]]:
    """Tell of every pixel of each picture what it shows."""
    settings = run.settings
    scorer, view = _scorer(run.net, settings, options), SEGMENTERS[settings.model].view

    def show(path: Path, picture: np.ndarray, drawn: Path) -> Shown:
        mask = segment_picture(scorer, picture, settings.size, options.tiles, view)
        return show_found(path, picture, drawn, mask, settings.names)

    kinds = "pictures, masks (a pixel's number is its class)"
    return show_pictures(options, show, {"classes": settings.names}, kinds, (".png", MASK))


APP = App(
    name="segment",
    command_line=COMMAND_LINE,
    drawing="streets, for no --data were given (kept for the next time)",
    prepare=_prepare,
    load_run=segment.load_run,
    load_part=_load_part,
    part_to_learn=part_to_learn,
    describe_data=describe_data,
    judge=_judge,
    describe_outcome=describe_outcome,
    draw=draw,
    measures=measures,
    predict=_predict,
)
