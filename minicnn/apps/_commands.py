"""What the commands of every app do: train, evaluate, predict."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn._command_line import say
from minicnn.apps._options import CommandLine, add_common, add_images, check_free, refuse
from minicnn.apps._runs import Run
from minicnn.apps._settings import save_settings
from minicnn.apps._skipping import (
    describe_skipped,
    in_evaluation,
    note_skipped,
    write_skipped,
)
from minicnn.backend.device import check_device, get_device
from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from minicnn.data import Dataset
    from minicnn.estimator import Estimator, Hook, Interrupted

__all__ = ["App", "Job", "Part", "add_arguments"]


@dataclass(frozen=True)
class Part:
    """A part of the data, for a network to be judged on.

    Parameters
    ----------
    settings : dataclass
        Of the run, with where these data are.
    images : SignTable, ObjectSet or MaskSet
        What the app judges a network on.
    name : str
        Say ``"validation"``.
    faults : sequence of (str, str)
        Name and fault of what was left out.
    """

    settings: Any
    images: Any
    name: str
    faults: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Job:
    """A run that is ready to be trained.

    Parameters
    ----------
    estimator : Estimator
        At its first step, or where it was stopped.
    batches : Dataset
        Endless.
    steps : int
        How many to train in all.
    epochs : str
        How many those are.
    held_out : Part
        What the network is judged on in the end.
    hooks : sequence of Hook
        Called on the way, before those of every run.
    finish : callable
        Fits what is not trained by gradients, after the last step.
    """

    estimator: Estimator
    batches: Dataset
    steps: int
    epochs: str
    held_out: Part
    hooks: Sequence[Hook] = ()
    finish: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class App:
    """What is particular to an app.

    Parameters
    ----------
    name : str
        What is typed: ``"gtsrb"``.
    command_line : CommandLine
        Its options.
    drawing : str
        What it draws where no data are given.
    prepare : callable
        ``(options, settings, device) -> Job``: reads the data and builds the network, and tells of
        both.
    load_run : callable
        ``(model_dir, device) -> Run``: a run that was trained.
    load_part : callable
        ``(options, settings) -> Part``: reads the data to evaluate a run on.
    part_to_learn : callable
        ``(settings, images) -> images``: those that a run learns from where it is given these.
    describe_data : callable
        ``(images, drawn) -> None``: tells of them.
    judge : callable
        ``(net, part, options) -> outcome``: how a network does there.
    describe_outcome : callable
        ``(outcome, part's name) -> None``: tells of that.
    draw : callable
        ``(outcome, model_dir) -> None``: saves pictures of it.
    measures : callable
        ``(outcome, settings, options) -> dict``: puts it in numbers.
    predict : callable
        ``(options, run) -> list of dict``: shows a run the pictures, and tells of each.
    """

    name: str
    command_line: CommandLine
    drawing: str
    prepare: Callable[[argparse.Namespace, Any, str], Job]
    load_run: Callable[[Path, str], Run[Any, Any]]
    load_part: Callable[[argparse.Namespace, Any], Part]
    part_to_learn: Callable[[Any, Any], Any]
    describe_data: Callable[[Any, bool], None]
    judge: Callable[[Any, Part, argparse.Namespace], Any]
    describe_outcome: Callable[[Any, str], None]
    draw: Callable[[Any, Path], None]
    measures: Callable[[Any, Any, argparse.Namespace], Mapping[str, Any]]
    predict: Callable[[argparse.Namespace, Run[Any, Any]], list[dict[str, Any]]]

    @property
    def command(self) -> str:
        """What is typed to train."""
        return f"python -m minicnn.train {self.name}"

    def typed(self, words: str, model_dir: Path) -> str:
        """Return what is typed to go on with a run, as a shell takes it."""
        return f"{self.command} {words} --model-dir {shlex.quote(str(model_dir))}"


def add_arguments(parser: argparse.ArgumentParser, app: App) -> None:
    """Declare the options of all three commands of an app, and what these do."""
    line = app.command_line
    model_dir = Path("runs") / app.name
    parser.description, parser.epilog = line.description, line.epilog
    line.add_data(parser, False)
    line.add_training(parser)
    add_common(parser, model_dir)
    parser.set_defaults(command=functools.partial(train, app))

    actions = parser.add_subparsers(dest="action", metavar="evaluate | predict", title="commands")
    evaluation = actions.add_parser(
        "evaluate", help="measure a trained run", description="Measure a trained run."
    )
    line.add_data(evaluation, True)
    line.add_evaluation(evaluation)
    add_common(evaluation, model_dir, again=True)
    evaluation.set_defaults(command=functools.partial(evaluate, app))

    purpose, description = line.prediction
    prediction = actions.add_parser("predict", help=purpose, description=description)
    add_images(prediction)
    line.add_prediction(prediction)
    add_common(prediction, model_dir, again=True)
    prediction.set_defaults(command=functools.partial(predict, app))


def train(app: App, options: argparse.Namespace) -> int:
    """Train a network, or go on with training, and show what it learned."""
    settings = app.command_line.settings_of(options)
    device = check_device(options.device or get_device())
    check_free(options)
    if settings.data is None:
        say(f"data     drawing {app.drawing} ...")
    job = app.prepare(options, settings, device)
    part, estimator = job.held_out, job.estimator
    first, skipped = estimator.step, options.model_dir / "skipped.csv"
    with estimator.locked():  # from here on the folder is this run's
        save_settings(options.model_dir, app.name, part.settings)
        if settings.skip_bad:
            write_skipped(part.faults, skipped)
        seconds = _learn(app, job, options)
        outcome = app.judge(estimator.module, part, options)
        trained = (estimator.step - first) * settings.batch_size
        say(f"trained  {trained:,} images in {seconds:.1f} s"
            + (f", {trained / seconds:,.0f} a second" if trained else ""))  # fmt: skip
        app.describe_outcome(outcome, part.name)
        app.draw(outcome, options.model_dir)
    if settings.skip_bad:
        describe_skipped(part.faults, skipped)
    say(f"next     {app.typed('evaluate', options.model_dir)}")
    say(f"         {app.typed('predict', options.model_dir)} IMAGE...")
    if options.json:
        run = app.load_run(options.model_dir, "cpu")
        measures = app.measures(outcome, run.settings, options)
        _print_json(options, run, part, measures, seconds, trained)
    return 0


def _learn(app: App, job: Job, options: argparse.Namespace) -> float:
    """Train to the end; return the seconds that it took."""
    from minicnn.estimator import (
        Interrupted,
        OutputHook,
        PlotHook,
        ProgressHook,
        TensorBoardHook,
    )

    batch_size = job.held_out.settings.batch_size
    say(f"training {job.steps:,} steps of {batch_size} images, {job.epochs} epochs"
        + (f"; resumed at step {job.estimator.step:,}" if options.resume else ""))  # fmt: skip
    hooks = [*job.hooks, OutputHook(), TensorBoardHook(), PlotHook(), ProgressHook()]
    go_on = f"go on with: {app.typed('--resume', options.model_dir)}"
    start = time.perf_counter()
    try:
        job.estimator.train(lambda: job.batches, max_steps=job.steps, hooks=hooks)
    except Interrupted as stop:
        raise Stopped(stop, job.steps, go_on) from stop
    try:
        job.finish()
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"after the last step, while it was fitted; {go_on}") from stop
    return time.perf_counter() - start


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a signal ended a run: how to go on with it."""

    def __init__(self, stop: Interrupted, steps: int, go_on: str) -> None:
        unsaved = f", which could not be saved ({stop.trouble})" if stop.trouble else ""
        super().__init__(f"after step {stop.step:,} of {steps:,}{unsaved}; {go_on}")
        self.number = stop.number


def evaluate(app: App, options: argparse.Namespace) -> int:
    """Measure a trained run on data of its own or others."""
    refuse(options, [*app.command_line.training_only, "resume"])
    run = app.load_run(options.model_dir, options.device or get_device())
    skip_bad = in_evaluation(options, run.settings)
    part = app.load_part(options, dataclasses.replace(run.settings, skip_bad=skip_bad))
    app.describe_data(part.images, part.settings.data is None)
    _note_learned(app, run, part.images)
    start = time.perf_counter()
    outcome = app.judge(run.net, part, options)
    seconds = time.perf_counter() - start
    app.describe_outcome(outcome, part.name)
    if skip_bad:
        note_skipped(part.faults, options.model_dir)
    if options.json:
        measures = app.measures(outcome, run.settings, options)
        _print_json(options, run, part, measures, seconds, len(part.images))
    return 0


def _note_learned(app: App, run: Run[Any, Any], images: Any) -> None:
    """Say so where a run is judged on what it learned from, wherever that lies by now."""
    if images.digest() == run.learned_from:
        say("note     these are the images that it learned from")
        return
    with contextlib.suppress(ConfigError):  # too few to be split
        if app.part_to_learn(run.settings, images).digest() == run.learned_from:
            say("note     the images that it learned from are among these")


def predict(app: App, options: argparse.Namespace) -> int:
    """Tell what pictures show."""
    line = app.command_line
    refuse(options, [*line.training_only, "resume", *line.of_data])
    line.check_prediction(options)
    run = app.load_run(options.model_dir, options.device or get_device())
    predictions = app.predict(options, run)
    if options.json:
        say(json.dumps({"predictions": predictions, "model_dir": str(options.model_dir),
                        "checkpoint_sha256": run.sha256}))  # fmt: skip
    return 0


def _print_json(
    options: argparse.Namespace,
    run: Run[Any, Any],
    part: Part,
    measures: Mapping[str, Any],
    seconds: float,
    images: int,
) -> None:
    """Print the results as one line of JSON; `images` were seen in those `seconds`."""
    results = {
        **measures,
        "steps": run.step,
        "seconds": round(seconds, 3),
        "images_per_s": round(images / seconds, 1) if seconds else 0.0,
        "data": part.images.source,
        "part": part.name,
        "skipped": len(part.faults),
        "model_dir": str(options.model_dir),
        "checkpoint_sha256": run.sha256,
    }
    say(json.dumps(results))
