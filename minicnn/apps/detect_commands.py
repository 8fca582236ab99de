"""The commands of ``python -m minicnn.train detect``: train, evaluate, predict."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import TYPE_CHECKING

import numpy as np

from minicnn._command_line import say
from minicnn.apps import detect
from minicnn.apps._detect_options import (
    HELP,
    OF_DATA,
    TRAINING_ONLY,
    add_evaluation,
    add_prediction,
    add_training,
    check_format,
    other_data,
    settings_of,
)
from minicnn.apps._detect_pictures import Predictions, draw
from minicnn.apps._detect_reports import (
    describe_data,
    describe_detector,
    describe_outcome,
    describe_split,
    print_json,
)
from minicnn.apps._detection import find_in, judge
from minicnn.apps._options import check_free, refuse
from minicnn.apps._runs import train_to
from minicnn.apps._settings import save_settings
from minicnn.apps._showing import Progress
from minicnn.apps._skipping import (
    describe_skipped,
    in_evaluation,
    note_skipped,
    write_skipped,
)
from minicnn.apps.detect import Parts, Settings
from minicnn.backend.device import check_device, get_device
from minicnn.data.pictures import read_photograph
from minicnn.detection import Detector
from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from minicnn.estimator import Estimator, Hook

__all__ = ["HELP", "add_arguments"]

COMMAND = "python -m minicnn.train detect"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all three commands.

    Parameters
    ----------
    parser : ArgumentParser
        What follows the word ``detect``.
    """
    add_training(parser)
    parser.set_defaults(command=train)
    actions = parser.add_subparsers(dest="action", metavar="evaluate | predict", title="commands")
    evaluation = actions.add_parser(
        "evaluate", help="measure a trained run", description="Measure a trained run."
    )
    add_evaluation(evaluation)
    evaluation.set_defaults(command=evaluate)
    prediction = actions.add_parser(
        "predict",
        help="find the objects in pictures",
        description="Find the objects in each picture, and draw boxes around them.",
    )
    add_prediction(prediction)
    prediction.set_defaults(command=predict)


def train(options: argparse.Namespace) -> int:
    """Train a detector, or go on with training, and show what it learned."""
    settings = settings_of(options)
    device = check_device(options.device or get_device())
    check_free(options)
    if settings.data is None:
        say("data     drawing streets, for no --data were given (kept for the next time) ...")
    parts = detect.load_parts(settings)
    settings = dataclasses.replace(settings, names=parts.train.names)
    describe_data(parts.train, settings.data is None)
    describe_split(parts, settings)
    _check_enough(parts)
    with Progress("selective search", len(parts.train)) as progress:
        proposals = detect.propose_all(settings, parts.train, progress)
    if options.minutes is not None:
        steps = detect.steps_in(
            60 * options.minutes, settings, parts.train, proposals, options.workers,
            device=device, precision=options.precision,
        )  # fmt: skip
        settings = dataclasses.replace(settings, steps=steps)
    estimator = detect.make_estimator(
        settings, parts.train, options.model_dir, device=device,
        resume="auto" if options.resume else False,
        save_every=options.save_every, precision=options.precision,
    )  # fmt: skip
    net = estimator.module
    assert isinstance(net, Detector)
    describe_detector(settings, net)
    first, skipped = estimator.step, options.model_dir / "skipped.csv"
    with estimator.locked():  # from here on the folder is this run's
        save_settings(options.model_dir, "detect", settings)
        if settings.skip_bad:
            write_skipped(parts.faults, skipped)
        seconds = _learn(options, settings, estimator, parts, proposals)
        with Progress("judged", len(parts.held_out)) as progress:
            outcome = judge(net, parts.held_out, settings.least, progress)
        trained = (estimator.step - first) * settings.batch_size
        say(f"trained  {trained:,} images in {seconds:.1f} s"
            + (f", {trained / seconds:,.0f} a second" if trained else ""))  # fmt: skip
        describe_outcome(outcome, "validation")
        draw(outcome, options.model_dir)
    if settings.skip_bad:
        describe_skipped(parts.faults, skipped)
    say(f"next     {COMMAND} evaluate --model-dir {options.model_dir}")
    say(f"         {COMMAND} predict --model-dir {options.model_dir} IMAGE...")
    if options.json:
        run = detect.load_run(options.model_dir)
        print_json(options, outcome, "validation", run, seconds, trained, len(parts.faults))
    return 0


def _check_enough(parts: Parts) -> None:
    if not len(parts.train) or not len(parts.held_out):
        raise ConfigError(
            f"{len(parts.train)} images to learn from and {len(parts.held_out)} held out are too "
            "few; give more --data"
        )


def _learn(
    options: argparse.Namespace,
    settings: Settings,
    estimator: Estimator,
    parts: Parts,
    proposals: list[np.ndarray] | None,
) -> float:
    """Train to the end; return the seconds that it took."""
    from minicnn.estimator import (
        OutputHook,
        PlotHook,
        ProgressHook,
        TensorBoardHook,
    )

    total = settings.steps
    say(f"training {total:,} steps of {settings.batch_size} images, "
        f"{total * settings.batch_size / len(parts.train):.3g} epochs"
        + (f"; resumed at step {estimator.step:,}" if options.resume else ""))  # fmt: skip
    batches = detect.training_input(settings, parts.train, proposals, options.workers)
    hooks: list[Hook] = [OutputHook(), TensorBoardHook(), PlotHook(), ProgressHook()]
    start = time.perf_counter()
    train_to(estimator, batches, total, hooks, COMMAND, options.model_dir)
    try:
        with Progress("fitted", min(len(parts.train), detect.MOST_FITTED)) as progress:
            detect.finish(estimator, settings, parts.train, proposals, progress)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"after the last step, while it was fitted; go on with: {COMMAND} --resume --model-dir "
            f"{options.model_dir}"
        ) from stop
    return time.perf_counter() - start


def evaluate(options: argparse.Namespace) -> int:
    """Measure a trained run on data of its own or others."""
    refuse(options, [*TRAINING_ONLY, "resume"])
    run = detect.load_run(options.model_dir, options.device or get_device())
    check_format(options)
    settings = dataclasses.replace(run.settings, skip_bad=in_evaluation(options, run.settings))
    if options.data is not None:
        settings = other_data(settings, options)
    objects, part = detect.load_test(settings, options.part, own=options.data is None)
    describe_data(objects, settings.data is None)
    start = time.perf_counter()
    with Progress("judged", len(objects)) as progress:
        outcome = judge(run.net, objects, settings.least, progress)
    seconds = time.perf_counter() - start
    describe_outcome(outcome, part)
    if settings.skip_bad:
        note_skipped(objects.faults, options.model_dir)
    if options.json:
        print_json(options, outcome, part, run, seconds, len(objects), len(objects.faults))
    return 0


def predict(options: argparse.Namespace) -> int:
    """Find the objects in each picture, and draw them."""
    refuse(options, [*TRAINING_ONLY, "resume", *OF_DATA])
    if not 0 <= options.score <= 1:
        raise ConfigError(f"--score must be 0 to 1, got {options.score:g}")
    run = detect.load_run(options.model_dir, options.device or get_device())
    predictions = Predictions(options.out or options.model_dir / "predictions", run.settings.names)
    for path in options.images:
        picture = read_photograph(path)
        predictions.add(path, picture, find_in(run.net, picture, run.settings.size, options.score))
    predictions.save()
    if options.json:
        say(json.dumps({"predictions": predictions.results, "model_dir": str(options.model_dir),
                        "checkpoint_sha256": run.sha256}))  # fmt: skip
    return 0
