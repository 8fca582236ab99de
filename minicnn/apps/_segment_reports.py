"""What the commands of segmentation tell and draw: of the data, and of how a network did."""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import nn
from minicnn._command_line import say
from minicnn._files import write_file
from minicnn.apps._runs import Trained
from minicnn.apps._segment_data import Parts
from minicnn.apps._segment_networks import SEGMENTERS
from minicnn.apps._segment_settings import Settings
from minicnn.apps._segmentation import Outcome
from minicnn.apps._showing import check_apart, free_name, json_number, png_of
from minicnn.data.masks import MaskSet

FILE = "predictions.json"
SHOWN = 4  # images
_MOST_CLASSES = 12  # that are named in a line
_MASK = "_mask.png"
_DRAWN = 1600  # pixels along the longer side of what is drawn


def describe_data(images: MaskSet, drawn: bool) -> None:
    """Print what there is to learn from, or to be judged on."""
    counts = images.counts()
    total = max(int(counts.sum()), 1)
    share = 100 * counts.sum() / max(images.masks.size, 1)
    say(f"data     {images.source}: {len(images):,} images, {len(images.names)} classes, "
        f"{share:.1f} % of the pixels have one")  # fmt: skip
    order = np.argsort(-counts, kind="stable")
    named = [f"{images.names[k]} {100 * counts[k] / total:.1f} %" for k in order[:_MOST_CLASSES]]
    more = f", and {len(order) - _MOST_CLASSES} more" if len(order) > _MOST_CLASSES else ""
    say(f"         {', '.join(named)}{more}")
    if drawn:
        say("         These streets are DRAWN, not photographed: give --data PATH for real ones.")
    if images.faults:
        count = len(images.faults)
        say(f"         {count:,} broken {'one is' if count == 1 else 'ones are'} left out; the "
            "list is at the end")  # fmt: skip


def describe_split(parts: Parts, settings: Settings) -> None:
    """Print what is learned from and what is held out."""
    height, width = settings.size
    say(f"split    {len(parts.train):,} to learn from, {len(parts.held_out):,} held out "
        f"({parts.how}); all fitted into {height}x{width}")  # fmt: skip


def describe_net(settings: Settings, net: nn.Module) -> None:
    """Print what is trained, and on which loss."""
    weights = ", rare classes weighted" if settings.weights == "median" else ""
    say(f"network  {SEGMENTERS[settings.model].title}, {settings.channels} channels: "
        f"{net.count_parameters():,} parameters; loss {settings.loss}{weights}")  # fmt: skip


def describe_outcome(outcome: Outcome, part: str) -> None:
    """Print all measures, and those of each class."""
    results = outcome.results
    if math.isnan(results["mean_iou"]):
        say(f"result   {part}: no pixel counts, so there is nothing to measure; give other data")
        return
    say(f"result   {part} mean IoU {100 * results['mean_iou']:.2f} %, pixel accuracy "
        f"{100 * results['pixel_accuracy']:.2f} %, in {len(outcome.images):,} images")  # fmt: skip
    outlines = outcome.outlines.result()
    fitting = "no outlines" if math.isnan(outlines) else f"boundary F1 {100 * outlines:.2f} %"
    say(f"         frequency-weighted IoU {100 * results['frequency_weighted_iou']:.2f} %, "
        f"{fitting}")  # fmt: skip
    width = max(map(len, [*outcome.images.names, "class"]))
    say(f"classes  {'':{width}}     IoU  precision  recall  boundary F1  share")
    pixels = max(sum(row["pixels"] for row in results["per_class"].values()), 1)
    for (name, row), f1 in zip(
        results["per_class"].items(), outcome.outlines.per_class(), strict=True
    ):
        cells = [_percent(row["iou"], 8), _percent(row["precision"], 11)]
        cells += [_percent(row["recall"], 8), _percent(f1, 13)]
        say(f"         {name:{width}}{''.join(cells)}{_percent(row['pixels'] / pixels, 7)}")


def _percent(value: float, width: int) -> str:
    return f"{'-' if math.isnan(value) else f'{100 * value:.1f}':>{width}}"


def print_json(
    options: argparse.Namespace,
    outcome: Outcome,
    part: str,
    run: Trained,
    seconds: float,
    images: int,
    skipped: int,
) -> None:
    """Print the results as one line of JSON; `images` were seen in those `seconds`."""
    found = outcome.results
    measures = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    results: dict[str, Any] = {
        **{name: json_number(found[name]) for name in measures},
        "boundary_f1": json_number(outcome.outlines.result()),
        "per_class": {name: json_number(row["iou"]) for name, row in found["per_class"].items()},
        "model": run.settings.model,
        "tta": options.tta,
        "examples": len(outcome.images),
        "steps": run.step,
        "seconds": round(seconds, 3),
        "images_per_s": round(images / seconds, 1) if seconds else 0.0,
        "data": outcome.images.source,
        "part": part,
        "skipped": skipped,
        "model_dir": str(options.model_dir),
        "checkpoint_sha256": run.sha256,
    }
    say(json.dumps(results))


def draw(outcome: Outcome, model_dir: Path) -> None:
    """Save pictures of what was found in a few images, and of which classes are confused."""
    from minicnn.visualise import confusion_matrix, segmentation_overlay

    images = outcome.images
    figures = {"confusion.png": confusion_matrix(outcome.measure.matrix, images.names)}
    rows = np.unique(np.linspace(0, len(images) - 1, SHOWN).astype(int)).tolist()
    for number, row in enumerate(rows, start=1):
        figures[f"found-{number}.png"] = segmentation_overlay(
            images[row].image, outcome.found[row], images.names, images[row].mask,
            title=f"{images.files[row]}: found, and what is there",
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

    def add(self, path: Path, picture: np.ndarray, mask: np.ndarray) -> None:
        """Take one picture, uint8 (H, W, 3), and the classes found in it, (H, W)."""
        from minicnn.visualise import segmentation_overlay

        check_apart(self._folder, path)
        name = free_name(path, self._taken, _MASK)
        drawn, masked = self._folder / name, self._folder / (name.removesuffix(".png") + _MASK)
        thin = np.s_[:: -(-max(mask.shape) // _DRAWN), :: -(-max(mask.shape) // _DRAWN)]
        write_file(drawn, png_of(segmentation_overlay(picture[thin], mask[thin], self._names)))
        write_file(masked, _indexed(mask, len(self._names)))
        counts = np.bincount(mask.reshape(-1), minlength=len(self._names))
        order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
        shares = {self._names[k]: round(counts[k] / mask.size, 6) for k in order}
        self.results.append(
            {
                "image": str(path),
                "height": mask.shape[0],
                "width": mask.shape[1],
                "shares": shares,
                "picture": str(drawn),
                "mask": str(masked),
            }
        )
        shown = [f"{name} {100 * share:.1f} %" for name, share in shares.items()]
        say(f"{path}: {', '.join(shown[:_MOST_CLASSES])}")

    def save(self) -> None:
        """Write what was found as JSON."""
        text = json.dumps({"classes": self._names, "predictions": self.results}, indent=2) + "\n"
        write_file(self._folder / FILE, text.encode())
        say(f"pictures, masks (a pixel's number is its class) and {FILE} in {self._folder}")


def _indexed(mask: np.ndarray, classes: int) -> bytes:
    """Return a mask as a PNG whose indices are the classes, coloured as the overlay is."""
    from PIL import Image

    from minicnn.visualise import segmentation_colors

    image = Image.fromarray(mask)
    image.putpalette(segmentation_colors(classes).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", bits=8)
    return file.getvalue()
