"""What a detector found, drawn: in images that were held out, and in any picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._command_line import say
from minicnn._files import write_file
from minicnn.apps._detection import SURE, Outcome
from minicnn.apps._showing import check_apart, free_name, png_of
from minicnn.detection import Detections

SHOWN = 4  # images
FILE = "predictions.json"


def draw(outcome: Outcome, model_dir: Path) -> None:
    """Save pictures of what was found in a few images, and the curves of precision and recall."""
    from minicnn.visualise import detections, precision_recall

    names = outcome.objects.names
    rows = np.unique(np.linspace(0, len(outcome.objects) - 1, SHOWN).astype(int)).tolist()
    figures = {}
    if outcome.counted:
        figures["precision_recall.png"] = precision_recall(outcome.metrics["voc"])
    for number, row in enumerate(rows, start=1):
        found, truths = outcome.detections[row], outcome.truths[row]
        figures[f"found-{number}.png"] = detections(
            outcome.objects[row].image, found.boxes, found.classes, found.scores, names, truths,
            score=SURE, title=f"{outcome.objects.files[row]}: found, and what is there (dashed)",
        )  # fmt: skip
    for name, figure in figures.items():
        write_file(model_dir / name, png_of(figure))
    say(f"pictures {', '.join(sorted([*figures, 'curves.png']))} in {model_dir}; every step's loss "
        "in training.csv there")  # fmt: skip


class Predictions:
    """What was found in pictures: printed, drawn into a folder, and collected for JSON.

    Parameters
    ----------
    folder : Path
        Where pictures go; made if need be.
    names : sequence of str
        Of the classes.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, list(names)
        self._taken: set[str] = set()
        self.results: list[dict[str, Any]] = []

    def add(self, path: Path, picture: np.ndarray, found: Detections) -> None:
        """Take one picture: uint8 (H, W, 3), and the boxes found in it, in its pixels."""
        from minicnn.visualise import detections

        check_apart(self._folder, path)
        drawn = self._folder / free_name(path, self._taken)
        figure = detections(picture, found.boxes, found.classes, found.scores, self._names)
        write_file(drawn, png_of(figure))
        listed = [
            {
                "box": [round(float(edge), 2) for edge in box],
                "class": int(label),
                "name": self._names[label],
                "score": float(score),
            }
            for box, score, label in zip(*found, strict=True)
        ]
        height, width = picture.shape[:2]
        self.results.append(
            {
                "image": str(path),
                "height": height,
                "width": width,
                "detections": listed,
                "picture": str(drawn),
            }
        )
        say(f"{path}: {len(listed)} found")
        for one in listed:
            y0, x0, y1, x1 = one["box"]
            say(f"    {one['name']} {100 * one['score']:.0f} %  rows {y0:.0f}-{y1:.0f}, "
                f"columns {x0:.0f}-{x1:.0f}")  # fmt: skip

    def save(self) -> None:
        """Write all that was found as JSON, boxes as (y0, x0, y1, x1) in pixels."""
        text = json.dumps({"predictions": self.results}, indent=2) + "\n"
        write_file(self._folder / FILE, text.encode())
        say(f"pictures and {FILE} in {self._folder}")
