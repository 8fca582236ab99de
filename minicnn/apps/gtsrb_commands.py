"""The commands of ``python -m minicnn.train gtsrb``: train, evaluate, predict."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from typing import TYPE_CHECKING

import numpy as np

from minicnn._command_line import say
from minicnn.apps import gtsrb
from minicnn.apps._classification import classify, judge
from minicnn.apps._gtsrb_options import (
    HELP,
    TRAINING_ONLY,
    add_evaluation,
    add_prediction,
    add_training,
    data_path,
    settings_of,
)
from minicnn.apps._options import check_free, refuse
from minicnn.apps._reports import (
    describe_data,
    describe_outcome,
    describe_transfer,
    draw,
    print_json,
)
from minicnn.apps._runs import train_to
from minicnn.apps._settings import save_settings
from minicnn.apps._skipping import (
    describe_skipped,
    in_evaluation,
    note_skipped,
    write_skipped,
)
from minicnn.apps.gtsrb import Settings
from minicnn.backend.device import check_device, get_device
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.pictures import read_picture
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from minicnn.estimator import Estimator, Hook

__all__ = ["HELP", "add_arguments"]

COMMAND = "python -m minicnn.train gtsrb"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all three commands.

    Parameters
    ----------
    parser : ArgumentParser
        What follows the word ``gtsrb``.
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
        help="name the signs in pictures",
        description="Name the sign in each picture; the sign should fill it.",
    )
    add_prediction(prediction)
    prediction.set_defaults(command=predict)


def train(options: argparse.Namespace) -> int:
    """Train a network, or go on with training, and show what it learned."""
    settings = settings_of(options)
    device = check_device(options.device or get_device())
    check_free(options)
    if settings.data is None:
        say("data     drawing signs, for no --data were given ...")
    table = gtsrb.load_signs(settings)
    describe_data(table, settings.data is None)
    train_table, validation = _split(settings, table)
    estimator = gtsrb.make_estimator(
        settings,
        train_table,
        options.model_dir,
        device=device,
        resume="auto" if options.resume else False,
        save_every=options.save_every,
        precision=options.precision,
        cuda_graph=options.cuda_graph,
    )
    first, skipped = estimator.step, options.model_dir / "skipped.csv"
    with estimator.locked():  # from here on the folder is this run's
        save_settings(options.model_dir, "gtsrb", settings)
        if settings.skip_bad:
            write_skipped(table.skipped, skipped)
        seconds = _learn(options, settings, estimator, train_table, validation)
        outcome = judge(estimator.module, validation)
        trained = (estimator.step - first) * settings.batch_size
        say(f"trained  {trained:,} images in {seconds:.1f} s"
            + (f", {trained / seconds:,.0f} a second" if trained else ""))  # fmt: skip
        describe_outcome(outcome, "validation")
        draw(outcome, options.model_dir)
    if settings.skip_bad:
        describe_skipped(table.skipped, skipped)
    say(f"next     {COMMAND} evaluate --model-dir {options.model_dir}")
    say(f"         {COMMAND} predict --model-dir {options.model_dir} IMAGE...")
    if options.json:
        run = gtsrb.load_run(options.model_dir)
        print_json(options, settings.split, outcome, "validation", run, seconds, trained)
    return 0


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


def _learn(
    options: argparse.Namespace,
    settings: Settings,
    estimator: Estimator,
    train_table: SignTable,
    validation: SignTable,
) -> float:
    """Train to the end; return the seconds that it took."""
    from minicnn.estimator import (
        GradualUnfreezing,
        OutputHook,
        PlotHook,
        ProgressHook,
        TensorBoardHook,
        ValidationHook,
    )

    parameters = sum(p.size for p in estimator.module.parameters())
    kind = type(estimator.module).__name__
    say(f"network  {settings.model} ({kind}), {settings.channels} channels: "
        f"{parameters:,} parameters")  # fmt: skip
    describe_transfer(settings, estimator.module, len(train_table))
    total = settings.steps(len(train_table))
    say(f"training {total:,} steps of {settings.batch_size} images, {settings.epochs} epochs"
        + (f"; resumed at step {estimator.step:,}" if options.resume else ""))  # fmt: skip
    batches = gtsrb.training_input(settings, train_table, options.workers)
    checked = gtsrb.plain_input(validation)
    hooks: list[Hook] = [
        *([GradualUnfreezing(stages)] if (stages := settings.stages(len(train_table))) else []),
        ValidationHook(lambda: checked, max(total // settings.epochs, 1)),
        OutputHook(),
        TensorBoardHook(),
        PlotHook(),
        ProgressHook(),
    ]
    start = time.perf_counter()
    train_to(estimator, batches, total, hooks, COMMAND, options.model_dir)
    return time.perf_counter() - start


def evaluate(options: argparse.Namespace) -> int:
    """Measure a trained run on data of its own or others."""
    refuse(options, [*TRAINING_ONLY, "resume"])
    run = gtsrb.load_run(options.model_dir, options.device or get_device())
    own = options.data is None and not options.download
    settings = dataclasses.replace(
        run.settings,
        data=run.settings.data if own else data_path(options, "test"),
        skip_bad=in_evaluation(options, run.settings),
    )
    part = options.part or ("validation" if own else None)
    if part == "validation":
        _, table = gtsrb.split_signs(settings, gtsrb.load_signs(settings))
    else:
        table, part = gtsrb.load_test(settings, part)
    describe_data(table, settings.data is None)
    start = time.perf_counter()
    outcome = judge(run.net, table)
    seconds = time.perf_counter() - start
    describe_outcome(outcome, part)
    if settings.skip_bad:
        note_skipped(table.skipped, options.model_dir)
    if options.json:
        print_json(options, settings.split, outcome, part, run, seconds, len(table))
    return 0


def predict(options: argparse.Namespace) -> int:
    """Name the sign in each picture."""
    refuse(options, [*TRAINING_ONLY, "resume", "data", "download", "skip_bad"])
    run = gtsrb.load_run(options.model_dir, options.device or get_device())
    images = np.stack([read_picture(path, run.settings.size) for path in options.images])
    probabilities = classify(run.net, images)
    width = max(len(str(path)) for path in options.images)
    results = []
    for path, p in zip(options.images, probabilities, strict=True):
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
    if options.json:
        say(json.dumps({"predictions": results, "model_dir": str(options.model_dir),
                        "checkpoint_sha256": run.sha256}))  # fmt: skip
    return 0
