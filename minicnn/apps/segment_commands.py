"""The commands of ``python -m minicnn.train segment``: train, evaluate, predict."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import TYPE_CHECKING

from minicnn._command_line import say
from minicnn.apps import segment
from minicnn.apps._options import check_free, refuse
from minicnn.apps._runs import train_to
from minicnn.apps._segment_options import (
    HELP,
    OF_DATA,
    TRAINING_ONLY,
    add_evaluation,
    add_prediction,
    add_training,
    data_of,
    settings_of,
)
from minicnn.apps._segment_reports import (
    Predictions,
    describe_data,
    describe_net,
    describe_outcome,
    describe_split,
    draw,
    print_json,
)
from minicnn.apps._segmentation import Scorer, judge, scorer_of, segment_picture
from minicnn.apps._settings import save_settings
from minicnn.apps._showing import Progress
from minicnn.apps._skipping import (
    describe_skipped,
    in_evaluation,
    note_skipped,
    write_skipped,
)
from minicnn.apps.segment import Parts, Settings
from minicnn.backend.device import check_device, get_device
from minicnn.data.pictures import read_photograph
from minicnn.errors import ConfigError
from minicnn.nn import Module

if TYPE_CHECKING:
    from minicnn.estimator import Estimator, Hook

__all__ = ["HELP", "add_arguments"]

COMMAND = "python -m minicnn.train segment"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all three commands.

    Parameters
    ----------
    parser : ArgumentParser
        What follows the word ``segment``.
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
        help="colour pictures by what they show",
        description="Tell of every pixel of each picture what it shows.",
    )
    add_prediction(prediction)
    prediction.set_defaults(command=predict)


def train(options: argparse.Namespace) -> int:
    """Train a network, or go on with training, and show what it learned."""
    settings = settings_of(options)
    device = check_device(options.device or get_device())
    check_free(options)
    if settings.data is None:
        say("data     drawing streets, for no --data were given (kept for the next time) ...")
    parts = segment.load_parts(settings)
    _check_enough(parts)
    ignored = parts.train.ignore_label
    assert ignored is not None
    settings = dataclasses.replace(settings, names=parts.train.names, ignore_label=ignored)
    describe_data(parts.train, settings.data is None)
    describe_split(parts, settings)
    estimator = segment.make_estimator(
        settings, parts.train, options.model_dir, device=device,
        resume="auto" if options.resume else False,
        save_every=options.save_every, precision=options.precision,
    )  # fmt: skip
    describe_net(settings, estimator.module)
    first, skipped = estimator.step, options.model_dir / "skipped.csv"
    with estimator.locked():  # from here on the folder is this run's
        save_settings(options.model_dir, "segment", settings)
        if settings.skip_bad:
            write_skipped(parts.faults, skipped)
        seconds = _learn(options, settings, estimator, parts)
        with Progress("judged", len(parts.held_out)) as progress:
            scorer = _scorer(estimator.module, settings, options)
            outcome = judge(scorer, parts.held_out, progress)
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
        run = segment.load_run(options.model_dir)
        print_json(options, outcome, "validation", run, seconds, trained, len(parts.faults))
    return 0


def _check_enough(parts: Parts) -> None:
    if not len(parts.train) or not len(parts.held_out):
        raise ConfigError(
            f"{len(parts.train)} images to learn from and {len(parts.held_out)} held out are too "
            "few; give more --data"
        )
    if parts.train.names != parts.held_out.names:
        raise ConfigError(
            f"the parts of {parts.train.source} have other classes; name them in classes.txt"
        )


def _learn(
    options: argparse.Namespace, settings: Settings, estimator: Estimator, parts: Parts
) -> float:
    """Train to the end; return the seconds that it took."""
    from minicnn.estimator import OutputHook, PlotHook, ProgressHook, TensorBoardHook

    total = settings.steps(len(parts.train))
    say(f"training {total:,} steps of {settings.batch_size} images, {settings.epochs} epochs"
        + (f"; resumed at step {estimator.step:,}" if options.resume else ""))  # fmt: skip
    batches = segment.training_input(settings, parts.train, options.workers)
    hooks: list[Hook] = [OutputHook(), TensorBoardHook(), PlotHook(), ProgressHook()]
    start = time.perf_counter()
    train_to(estimator, batches, total, hooks, COMMAND, options.model_dir)
    return time.perf_counter() - start


def _scorer(net: Module, settings: Settings, options: argparse.Namespace) -> Scorer:
    return scorer_of(net, options.tta, flip=settings.flips != "none")


def evaluate(options: argparse.Namespace) -> int:
    """Measure a trained run on data of its own or others."""
    refuse(options, [*TRAINING_ONLY, "resume"])
    run = segment.load_run(options.model_dir, options.device or get_device())
    settings = dataclasses.replace(run.settings, skip_bad=in_evaluation(options, run.settings))
    if options.data is not None:
        settings = dataclasses.replace(settings, **data_of(options))
    images, part = segment.load_test(settings, options.part, own=options.data is None)
    describe_data(images, settings.data is None)
    start = time.perf_counter()
    with Progress("judged", len(images)) as progress:
        outcome = judge(_scorer(run.net, settings, options), images, progress)
    seconds = time.perf_counter() - start
    describe_outcome(outcome, part)
    if settings.skip_bad:
        note_skipped(images.faults, options.model_dir)
    if options.json:
        print_json(options, outcome, part, run, seconds, len(images), len(images.faults))
    return 0


def predict(options: argparse.Namespace) -> int:
    """Tell of every pixel of each picture what it shows."""
    refuse(options, [*TRAINING_ONLY, "resume", *OF_DATA])
    run = segment.load_run(options.model_dir, options.device or get_device())
    scorer = _scorer(run.net, run.settings, options)
    predictions = Predictions(options.out or options.model_dir / "predictions", run.settings.names)
    for path in options.images:
        picture = read_photograph(path)
        mask = segment_picture(scorer, picture, run.settings.size, options.tiles)
        predictions.add(path, picture, mask)
    predictions.save()
    if options.json:
        say(json.dumps({"predictions": predictions.results, "model_dir": str(options.model_dir),
                        "checkpoint_sha256": run.sha256}))  # fmt: skip
    return 0
