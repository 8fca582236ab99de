"""The commands of ``python -m minicnn.train gtsrb``: train, evaluate, predict."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.apps import gtsrb
from minicnn.apps._classification import Outcome, classify, judge, read_image
from minicnn.apps._settings import load_settings, save_settings
from minicnn.apps.gtsrb import Settings
from minicnn.backend.device import check_device, get_device
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError
from minicnn.estimator._precision import PRECISIONS

__all__ = ["HELP", "add_arguments"]

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
TRAINING_ONLY = [f.name for f in dataclasses.fields(Settings) if f.name not in ("data", "skip_bad")]
SHOWN = 8  # worst mistakes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all three commands.

    Parameters
    ----------
    parser : ArgumentParser
        What follows the word ``gtsrb``.
    """
    parser.set_defaults(command=train)
    _add_data(parser)
    learn = parser.add_argument_group("training")

    def setting(name: str, text: str, **how: Any) -> None:
        # Defaults are filled in later: a resumed run takes what is not given from its settings.
        flag = "--" + name.replace("_", "-")
        text = f"{text} ({getattr(DEFAULTS, name)})"
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
    learn.add_argument("--workers", type=int, default=2, help="threads that prepare batches (2)")
    learn.add_argument(
        "--save-every", type=int, default=200, metavar="N", help="steps between checkpoints (200)"
    )
    learn.add_argument(
        "--precision", choices=PRECISIONS,
        help="how matrices are multiplied: tf32 and bfloat16 on a GPU, float16 is mixed precision "
        "with a scaled loss (float32)",
    )  # fmt: skip
    learn.add_argument(
        "--cuda-graph", action="store_true", help="on a GPU, replay the captured step as one graph"
    )
    learn.add_argument("--resume", action="store_true", help="go on with the run in --model-dir")
    _add_common(parser)
    actions = parser.add_subparsers(dest="action", metavar="evaluate | predict", title="commands")
    kind = type(parser)

    evaluate_parser = actions.add_parser(
        "evaluate", help="measure a trained run", description="Measure a trained run.",
    )  # fmt: skip
    assert isinstance(evaluate_parser, kind)
    evaluate_parser.set_defaults(command=evaluate)
    _add_data(evaluate_parser, again=True)
    evaluate_parser.add_argument(
        "--part", choices=("train", "test", "validation"),
        help="which part of the data; by default the test part if --data has one, else all of it; "
        "without --data the images that the run held out (validation)",
    )  # fmt: skip
    _add_common(evaluate_parser, again=True)

    predict_parser = actions.add_parser(
        "predict", help="name the signs in pictures",
        description="Name the sign in each picture; the sign should fill it.",
    )  # fmt: skip
    predict_parser.set_defaults(command=predict)
    predict_parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="a picture")
    _add_common(predict_parser, again=True)


def _add_data(parser: argparse.ArgumentParser, again: bool = False) -> None:
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


def _add_common(parser: argparse.ArgumentParser, again: bool = False) -> None:
    """Declare what all commands have; `again`: in a subcommand, whose defaults must not win."""

    def default(value: Any) -> Any:
        return argparse.SUPPRESS if again else value

    parser.add_argument(
        "--model-dir", type=Path, default=default(MODEL_DIR), help=f"the run's folder ({MODEL_DIR})"
    )
    parser.add_argument(
        "--device",
        default=default(None),
        metavar="cpu|cuda",
        help="where to compute (cpu, or what MINICNN_DEVICE says)",
    )
    parser.add_argument(
        "--json", action="store_true", default=default(False),
        help="end the output with one line of JSON: the results",
    )  # fmt: skip


def _refuse(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Refuse options that were given before a command that has no use for them."""
    for name in names:
        if getattr(options, name) not in (None, False):
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} means nothing to {options.action}; leave it out")


def train(options: argparse.Namespace) -> int:
    """Train a network, or go on with training, and show what it learned."""
    from minicnn.estimator import (
        Interrupted,
        NaNGuard,
        OutputHook,
        PlotHook,
        ProgressHook,
        TensorBoardHook,
        ValidationHook,
    )

    settings = _settings(options)
    device = check_device(options.device or get_device())
    _check_free(options)
    if settings.data is None:
        print("data     drawing signs, for no --data were given ...", flush=True)
    table = gtsrb.load_signs(settings)
    _describe_data(table, settings)
    train_table, validation = gtsrb.split_signs(settings, table)
    apart = "no physical sign is in both" if settings.split == "track" else "image by image"
    print(f"split    {settings.split}: {len(train_table):,} to learn from, "
          f"{len(validation):,} held out ({apart})")  # fmt: skip
    if not len(validation) or len(train_table) < settings.batch_size:
        raise ConfigError(
            f"{len(train_table)} images to learn from and {len(validation)} held out are too few "
            f"for batches of {settings.batch_size}; lower --batch-size or give more --data"
        )
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
    save_settings(options.model_dir, "gtsrb", settings)
    parameters = sum(p.size for p in estimator.module.parameters())
    print(f"network  {settings.model}net, {settings.channels} channels: {parameters:,} parameters")
    total, first = settings.steps(len(train_table)), estimator.step
    every = max(total // settings.epochs, 1)
    print(f"training {total:,} steps of {settings.batch_size} images, {settings.epochs} epochs"
          + (f"; resumed at step {first:,}" if options.resume else ""))  # fmt: skip
    batches = gtsrb.training_input(settings, train_table, options.workers)
    checked = gtsrb.plain_input(validation)
    hooks = [
        NaNGuard(),
        ValidationHook(lambda: checked, every),
        OutputHook(),
        TensorBoardHook(),
        PlotHook(),
        ProgressHook(),
    ]
    start = time.perf_counter()
    try:
        estimator.train(lambda: batches, max_steps=total, hooks=hooks)
    except Interrupted as stop:
        raise KeyboardInterrupt(
            f"after step {stop.step:,} of {total:,}; go on with: "
            f"python -m minicnn.train gtsrb --resume --model-dir {options.model_dir}"
        ) from stop
    seconds = time.perf_counter() - start
    outcome = judge(estimator.module, validation)
    trained = (estimator.step - first) * settings.batch_size
    print(f"trained  {trained:,} images in {seconds:.1f} s"
          + (f", {trained / seconds:,.0f} a second" if trained else ""))  # fmt: skip
    _describe_outcome(outcome, "validation")
    _draw(outcome, options.model_dir)
    command = "python -m minicnn.train gtsrb"
    print(f"next     {command} evaluate --model-dir {options.model_dir}\n"
          f"         {command} predict --model-dir {options.model_dir} IMAGE...")  # fmt: skip
    if options.json:
        run = gtsrb.load_run(options.model_dir)
        speed = trained / seconds if trained else 0.0
        _print_json(options, settings, outcome, "validation", run, seconds, speed)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Measure a trained run on data of its own or others."""
    _refuse(options, [*TRAINING_ONLY, "resume"])
    run = gtsrb.load_run(options.model_dir, options.device or get_device())
    own = options.data is None and not options.download
    settings = dataclasses.replace(
        run.settings,
        data=run.settings.data if own else _data_path(options, "test"),
        skip_bad=bool(options.skip_bad),
    )
    part = options.part or ("validation" if own else None)
    if part == "validation":
        _, table = gtsrb.split_signs(settings, gtsrb.load_signs(settings))
    else:
        table, part = gtsrb.load_test(settings, part)
    _describe_data(table, settings)
    start = time.perf_counter()
    outcome = judge(run.net, table)
    seconds = time.perf_counter() - start
    _describe_outcome(outcome, part)
    if options.json:
        _print_json(options, settings, outcome, part, run, seconds, len(table) / seconds)
    return 0


def predict(options: argparse.Namespace) -> int:
    """Name the sign in each picture."""
    _refuse(options, [*TRAINING_ONLY, "resume", "data", "download", "skip_bad"])
    run = gtsrb.load_run(options.model_dir, options.device or get_device())
    images = np.stack([read_image(path, run.settings.size) for path in options.images])
    probabilities = classify(run.net, images)
    width = max(len(str(path)) for path in options.images)
    results = []
    for path, p in zip(options.images, probabilities, strict=True):
        best = np.argsort(-p, kind="stable")[:3]
        guesses = [f"{CLASS_NAMES[k]} {100 * p[k]:.1f} %" for k in best]
        print(f"{path!s:{width}}  {guesses[0]}   (else {', '.join(guesses[1:])})")
        results.append(
            {
                "image": str(path),
                "class": int(best[0]),
                "name": CLASS_NAMES[best[0]],
                "probability": float(p[best[0]]),
            }
        )
    if options.json:
        print(json.dumps({"predictions": results, "model_dir": str(options.model_dir),
                          "checkpoint_sha256": run.sha256}))  # fmt: skip
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for; a resumed run supplies what is not given."""
    given = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(Settings)
        if field.name != "data" and getattr(options, field.name) is not None
    }
    for name, least in (("workers", 0), ("save_every", 1)):
        if getattr(options, name) < least:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} must be {least} or more, got {getattr(options, name)}")
    if options.data is not None or options.download:
        given["data"] = _data_path(options, "train")
    if not options.resume:
        return Settings(**given)
    saved = load_settings(options.model_dir, "gtsrb", Settings)
    settings = dataclasses.replace(saved, **given)
    different = [
        f"--{name.replace('_', '-')} was {getattr(saved, name)}, is {value}"
        for name, value in given.items()
        if value != getattr(saved, name) and name != "data"
    ]
    if different:
        raise ConfigError(
            f"cannot resume {options.model_dir} with other settings: {'; '.join(different)}; leave "
            "them out, or train into another --model-dir"
        )
    return settings


def _check_free(options: argparse.Namespace) -> None:
    """Refuse to mix a new run with one that is in the folder already."""
    from minicnn.estimator import newest_checkpoint

    newest = newest_checkpoint(options.model_dir / "checkpoints")
    if newest is not None and not options.resume:
        raise ConfigError(
            f"{options.model_dir} holds a run already ({newest.name}); go on with it by --resume, "
            "or train into another --model-dir"
        )


def _data_path(options: argparse.Namespace, part: str) -> str:
    if options.download:
        from minicnn.data.download import download_gtsrb

        return str(download_gtsrb(parts=(part,)))
    return str(Path(options.data).expanduser().absolute())


def _describe_data(table: SignTable, settings: Settings) -> None:
    tracks = len(set(table.tracks.tolist()))
    print(f"data     {table.source}: {len(table):,} images of "
          f"{len(set(table.labels.tolist()))} classes, {tracks:,} tracks")  # fmt: skip
    if settings.data is None:
        print("         These signs are DRAWN, not photographed: give --data PATH or --download "
              "for real ones.")  # fmt: skip
    if table.notes:
        more = f", and {len(table.notes) - 3} more of this kind" if len(table.notes) > 3 else ""
        print(f"         note: {'; '.join(table.notes[:3])}{more}")
    if table.skipped:
        print(f"         skipped {len(table.skipped)} broken ones:")
        for name, reason in table.skipped[:20]:
            print(f"           {name}: {reason}")
        if len(table.skipped) > 20:
            print(f"           and {len(table.skipped) - 20} more")


def _describe_outcome(outcome: Outcome, part: str) -> None:
    """Print the accuracy, the hardest classes and the worst mistakes."""
    from minicnn.metrics import ConfusionMatrix

    table, predictions = outcome.table, outcome.predictions
    wrong = int((predictions != table.labels).sum())
    print(f"result   {part} accuracy {100 * outcome.accuracy:.2f} % "
          f"({wrong:,} of {len(table):,} wrong), "
          f"loss {outcome.loss:.4f} (without label smoothing)")  # fmt: skip
    if not wrong:
        return
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    matrix.update(predictions, table.labels)
    recall = matrix.recall()
    hardest = [k for k in recall.argsort(kind="stable") if recall[k] < 1][:3]
    print("hardest  " + "; ".join(f"{CLASS_NAMES[k]} {100 * recall[k]:.1f} %" for k in hardest))
    print("worst    the mistakes it was surest of:")
    for row in outcome.worst[:SHOWN]:
        said, truth = CLASS_NAMES[predictions[row]], CLASS_NAMES[table.labels[row]]
        sure = 100 * outcome.probabilities[row].max()
        print(f"         {table.names[row]}: took '{truth}' for '{said}' ({sure:.0f} % sure)")


def _draw(outcome: Outcome, model_dir: Path) -> None:
    """Save pictures of the mistakes and of the confusion matrix."""
    from minicnn.metrics import ConfusionMatrix
    from minicnn.visualise import confusion_matrix, worst_mistakes

    table = outcome.table
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    matrix.update(outcome.predictions, table.labels)
    figures = {"confusion.png": confusion_matrix(matrix.result(), CLASS_NAMES)}
    if outcome.accuracy < 1:
        figures["mistakes.png"] = worst_mistakes(
            np.moveaxis(table.images, -1, 1), table.labels, outcome.probabilities, CLASS_NAMES
        )
    for name, figure in figures.items():
        figure.savefig(model_dir / name)
    names = ", ".join(sorted([*figures, "curves.png"]))
    print(f"pictures {names} in {model_dir}; every step's loss in training.csv there")


def _print_json(
    options: argparse.Namespace,
    settings: Settings,
    outcome: Outcome,
    part: str,
    run: gtsrb.Run,
    seconds: float,
    speed: float,
) -> None:
    print(
        json.dumps(
            {
                "accuracy": outcome.accuracy,
                "loss": outcome.loss,
                "examples": len(outcome.table),
                "steps": run.step,
                "seconds": round(seconds, 3),
                "images_per_s": round(speed, 1),
                "data": outcome.table.source,
                "split": settings.split,
                "part": part,
                "skipped": len(outcome.table.skipped),
                "model_dir": str(options.model_dir),
                "checkpoint_sha256": run.sha256,
            }
        )
    )
