"""What the commands of detection tell: of the data, of how it goes, and of how a detector did."""

from __future__ import annotations

import argparse
import math
from typing import Any

from minicnn._command_line import say
from minicnn.apps._detect_settings import Settings
from minicnn.apps._detection import SURE, Outcome
from minicnn.apps._detectors import DETECTORS
from minicnn.apps._showing import MOST_CLASSES, describe_classes, json_number
from minicnn.data.objects import ObjectSet
from minicnn.detection import Detector
from minicnn.metrics import DetectionErrors


def describe_data(objects: ObjectSet, drawn: bool) -> None:
    """Print what there is to learn from, or to be judged on."""
    counts = objects.counts()
    empty = sum(not len(note.classes) for note in objects.annotations)
    say(f"data     {objects.source}: {len(objects):,} images, {counts.sum():,} objects"
        + (f"; {empty:,} images show none" if empty else ""))  # fmt: skip
    describe_classes(objects, counts, lambda count: f"{count:,}", drawn)


def describe_detector(settings: Settings, net: Detector) -> None:
    """Print what is trained."""
    say(f"network  {DETECTORS[settings.detector].title}, {settings.channels} channels, "
        f"{net.classes} {'class' if net.classes == 1 else 'classes'}: "
        f"{net.count_parameters():,} parameters")  # fmt: skip


def describe_outcome(outcome: Outcome, part: str) -> None:
    """Print mean average precision under each protocol, of the classes, and what went wrong."""
    precision = outcome.precision
    count, ignored = outcome.counted, sum(len(t["boxes"]) for t in outcome.truths) - outcome.counted
    small = f", {ignored:,} more (difficult, or under {outcome.least} px) do not count"
    if count:
        say(f"result   {part} mAP@0.5 {100 * precision['voc']:.2f} % (VOC, all points), "
            f"{100 * precision['voc2007']:.2f} % (VOC 2007, 11 points)")  # fmt: skip
        say(f"         mAP@0.5:0.95 {100 * precision['coco']:.2f} % (COCO, 101 points)")
    else:
        say(f"result   {part}: no object counts, so there is nothing to measure; give other data, "
            "or a larger --size")  # fmt: skip
    say(f"         {count:,} objects in {len(outcome.objects):,} images"
        + (small if ignored else ""))  # fmt: skip
    each = outcome.results["voc"]["per_class"]
    known = sorted((value, name) for name, value in each.items() if not math.isnan(value))
    if len(known) > 1:
        shown = [f"{name} {100 * value:.1f} %" for value, name in known[:MOST_CLASSES]]
        say(f"classes  the hardest first: {', '.join(shown)}")
    errors = errors_of(outcome)
    say(
        f"at 0.5   {errors.pop('right'):,} are found; wrong: "
        + ", ".join(f"{name} {count:,}" for name, count in errors.items() if name != "ignored")
    )


def errors_of(outcome: Outcome) -> dict[str, int]:
    """Count what becomes of detections that are sure enough to be believed."""
    metric = DetectionErrors(len(outcome.objects.names), score_threshold=SURE)
    return metric.update([d._asdict() for d in outcome.detections], outcome.truths).result()


def measures(outcome: Outcome, settings: Settings, _: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured, by name."""
    precision = {name: json_number(value) for name, value in outcome.precision.items()}
    return {
        "map50": precision["voc"],
        "map_coco": precision["coco"],
        "map_voc2007": precision["voc2007"],
        "per_class": {k: json_number(v) for k, v in outcome.results["voc"]["per_class"].items()},
        "detector": settings.detector,
        "examples": len(outcome.objects),
        "objects": outcome.counted,
    }
