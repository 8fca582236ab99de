"""What a detector found, drawn: in images that were held out, and in any picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from minicnn._files import write_file
from minicnn.apps._detection import SURE, Outcome
from minicnn.apps._showing import Shown, png_of, save_figures, some_rows
from minicnn.detection import Detections


def draw(outcome: Outcome, model_dir: Path) -> None:
    """Save pictures of what was found in a few images, and the curves of precision and recall."""
    from minicnn.visualise import detections, precision_recall

    names = outcome.objects.names
    figures = {}
    if outcome.counted:
        figures["precision_recall.png"] = precision_recall(outcome.metrics["voc"])
    for number, row in enumerate(some_rows(len(outcome.objects)), start=1):
        found, truths = outcome.detections[row], outcome.truths[row]
        figures[f"found-{number}.png"] = detections(
            outcome.objects[row].image, found.boxes, found.classes, found.scores, names, truths,
            score=SURE, title=f"{outcome.objects.files[row]}: found, and what is there (dashed)",
        )  # fmt: skip
    save_figures(figures, model_dir)


def show_found(
    path: Path, picture: np.ndarray, drawn: Path, found: Detections, names: Sequence[str]
) -> Shown:
    """Draw a picture, uint8 (H, W, 3), with the boxes found in it, and tell of them.

    Boxes are told as (y0, x0, y1, x1) in pixels.
    """
    from minicnn.visualise import detections

    figure = detections(picture, found.boxes, found.classes, found.scores, names)
    write_file(drawn, png_of(figure))
    listed = [
        {
            "box": [round(float(edge), 2) for edge in box],
            "class": int(label),
            "name": names[label],
            "score": float(score),
        }
        for box, score, label in zip(*found, strict=True)
    ]
    lines = [f"{path}: {len(listed)} found"]
    for one in listed:
        y0, x0, y1, x1 = one["box"]
        lines.append(
            f"    {one['name']} {100 * one['score']:.0f} %  rows {y0:.0f}-{y1:.0f}, "
            f"columns {x0:.0f}-{x1:.0f}"
        )
    height, width = picture.shape[:2]
    told = {
        "image": str(path),
        "height": height,
        "width": width,
        "detections": listed,
        "picture": str(drawn),
    }
    return Shown(told, lines)
