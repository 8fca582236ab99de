"""What the commands of traffic signs tell: of the data, and of how a network did."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import nn
from minicnn._command_line import say
from minicnn.apps._classification import Outcome
from minicnn.apps._showing import save_figures
from minicnn.apps._skipping import announce_skipped
from minicnn.apps.gtsrb import Settings
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.sign_table import SignTable
from minicnn.nn.transfer import frozen_parameters, head_of

SHOWN = 8  # worst mistakes


def describe_data(table: SignTable, drawn: bool) -> None:
    """Print what there is to learn from, or to be judged on."""
    tracks = len(set(table.tracks.tolist()))
    say(f"data     {table.source}: {len(table):,} images of "
        f"{len(set(table.labels.tolist()))} classes, {tracks:,} tracks")  # fmt: skip
    if drawn:
        say("         These signs are DRAWN, not photographed: give --data PATH or --download "
            "for real ones.")  # fmt: skip
    if table.notes:
        more = f", and {len(table.notes) - 3} more of this kind" if len(table.notes) > 3 else ""
        say(f"         note: {'; '.join(table.notes[:3])}{more}")
    announce_skipped(table.skipped)


def describe_transfer(settings: Settings, net: nn.Module, examples: int) -> None:
    """Print what a run begins with, and what of it does not learn."""
    if settings.init_from is None:
        return
    head = f"; its head {head_of(net)!r} begins anew" if settings.new_head else ""
    say(f"start    from {settings.init_from}{head}")
    if settings.freeze is not None:
        frozen = set(frozen_parameters(net))
        named = dict(net.named_parameters())
        layers = dict.fromkeys(name.split(".")[0] for name in named if name in frozen)
        count = sum(named[name].size for name in frozen)
        say(f"frozen   {count:,} of {net.count_parameters():,} numbers, in {', '.join(layers)}")
    for step, patterns in settings.stages(examples).items():
        say(f"         {', '.join(patterns)}: learns from step {step + 1:,} on")


def describe_outcome(outcome: Outcome, part: str) -> None:
    """Print the accuracy, the hardest classes and the worst mistakes."""
    from minicnn.metrics import ConfusionMatrix

    table, predictions = outcome.table, outcome.predictions
    wrong = int((predictions != table.labels).sum())
    say(f"result   {part} accuracy {100 * outcome.accuracy:.2f} % "
          f"({wrong:,} of {len(table):,} wrong), "
          f"loss {outcome.loss:.4f} (without label smoothing)")  # fmt: skip
    if not wrong:
        return
    matrix = ConfusionMatrix(len(CLASS_NAMES))
    matrix.update(predictions, table.labels)
    recall = matrix.recall()
    hardest = [k for k in recall.argsort(kind="stable") if recall[k] < 1][:3]
    say("hardest  " + "; ".join(f"{CLASS_NAMES[k]} {100 * recall[k]:.1f} %" for k in hardest))
    say("worst    the mistakes it was surest of:")
    for row in outcome.worst[:SHOWN]:
        said, truth = CLASS_NAMES[predictions[row]], CLASS_NAMES[table.labels[row]]
        sure = 100 * outcome.probabilities[row].max()
        say(f"         {table.names[row]}: took '{truth}' for '{said}' ({sure:.0f} % sure)")


def draw(outcome: Outcome, model_dir: Path) -> None:
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
    save_figures(figures, model_dir)


def measures(outcome: Outcome, settings: Settings, _: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured, by name."""
    return {
        "accuracy": outcome.accuracy,
        "loss": outcome.loss,
        "examples": len(outcome.table),
        "split": settings.split,
    }
