"""The commands of ``python -m minicnn.train detect``: what of them is particular to detection."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.apps import detect
from minicnn.apps._commands import App, Job, Part
from minicnn.apps._detect_options import COMMAND_LINE, other_data
from minicnn.apps._detect_pictures import draw, show_found
from minicnn.apps._detect_reports import (
    describe_data,
    describe_detector,
    describe_outcome,
    measures,
)
from minicnn.apps._detection import Outcome, find_in, judge
from minicnn.apps._images import check_enough, part_to_learn
from minicnn.apps._options import check_format, run_options
from minicnn.apps._showing import Progress, Shown, describe_split, show_pictures
from minicnn.apps.detect import Run, Settings
from minicnn.detection import Detector

__all__ = ["APP"]


def _prepare(options: argparse.Namespace, settings: Settings, device: str) -> Job:
    """Read or draw the images, find proposals in them, and build the detector."""
    parts = detect.load_parts(settings)
    train = parts.train
    settings = dataclasses.replace(settings, names=train.names)
    describe_data(train, settings.data is None)
    describe_split(parts, settings.size)
    check_enough(parts)
    with Progress("selective search", len(train)) as progress:
        proposals = detect.propose_all(settings, train, progress)
    if options.minutes is not None:
        steps = detect.steps_in(
            60 * options.minutes, settings, train, proposals, options.workers,
            device=device, precision=options.precision,
        )  # fmt: skip
        settings = dataclasses.replace(settings, steps=steps)
    estimator = detect.make_estimator(
        settings, train, options.model_dir, device=device, **run_options(options)
    )
    assert isinstance(estimator.module, Detector)
    describe_detector(settings, estimator.module)

    def finish() -> None:
        with Progress("fitted", min(len(train), detect.MOST_FITTED)) as progress:
            detect.finish(estimator, settings, train, proposals, progress)

    return Job(
        estimator=estimator,
        batches=detect.training_input(settings, train, proposals, options.workers),
        steps=settings.steps,
        epochs=f"{settings.steps * settings.batch_size / len(train):.3g}",
        held_out=Part(settings, parts.held_out, "validation", parts.faults),
        finish=finish,
    )


def _load_part(options: argparse.Namespace, settings: Settings) -> Part:
    """Read or draw the images to evaluate a run on."""
    check_format(options)
    own = options.data is None
    if not own:
        settings = other_data(settings, options)
    objects, name = detect.load_test(settings, options.part, own)
    return Part(settings, objects, name, objects.faults)


def _judge(net: Detector, part: Part, _: argparse.Namespace) -> Outcome:
    with Progress("judged", len(part.images)) as progress:
        return judge(net, part.images, part.settings.least, progress)


def _predict(options: argparse.Namespace, run: Run[Settings, Detector]) -> list[dict[str, Any]]:
    """Find the objects in each picture, and draw them."""

    def show(path: Path, picture: np.ndarray, drawn: Path) -> Shown:
        found = find_in(run.net, picture, run.settings.size, options.score)
        return show_found(path, picture, drawn, found, run.settings.names)

    return show_pictures(options, show, {}, "pictures")


APP = App(
    name="detect",
    command_line=COMMAND_LINE,
    drawing="streets, for no --data were given (kept for the next time)",
    prepare=_prepare,
    load_run=detect.load_run,
    load_part=_load_part,
    part_to_learn=part_to_learn,
    describe_data=describe_data,
    judge=_judge,
    describe_outcome=describe_outcome,
    draw=draw,
    measures=measures,
    predict=_predict,
)
