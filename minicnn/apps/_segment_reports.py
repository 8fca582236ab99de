"""What the commands of segmentation tell and draw: of the data, and of how a network did."""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import nn
from minicnn._command_line import say
from minicnn._files import write_file
from minicnn.apps._segment_data import unnamed
from minicnn.apps._segment_networks import SEGMENTERS
from minicnn.apps._segment_settings import Settings
from minicnn.apps._segmentation import Outcome
from minicnn.apps._showing import (
    MOST_CLASSES,
    Shown,
    describe_classes,
    json_number,
    png_of,
    save_figures,
    some_rows,
)
from minicnn.data.masks import MaskSet

MASK = "_mask.png"  # how the name of what is found ends, beside the picture of it
_DRAWN = 1600  # pixels along the longer side of what is drawn


def describe_data(images: MaskSet, drawn: bool) -> None:
    """Print what there is to learn from, or to be judged on."""
    counts = images.counts()
    total = max(int(counts.sum()), 1)
    share = 100 * counts.sum() / max(images.masks.size, 1)
    say(f"data     {images.source}: {len(images):,} images, {len(images.names)} classes, "
        f"{share:.1f} % of the pixels have one")  # fmt: skip
    describe_classes(images, counts, lambda count: f"{100 * count / total:.1f} %", drawn)


def note_unnamed(images: MaskSet) -> None:
    """Say so where classes are numbers most of which never occur: one stray pixel adds hundreds."""
    count, shown = len(images.names), np.count_nonzero(images.counts())
    if unnamed(images.names) and 2 * shown < count:
        say(f"note     only {shown} of the {count:,} classes occur in the masks; name them in "
            "classes.txt, or mend the masks")  # fmt: skip


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


def measures(outcome: Outcome, settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured, by name."""
    found = outcome.results
    names = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    return {
        **{name: json_number(found[name]) for name in names},
        "boundary_f1": json_number(outcome.outlines.result()),
        "per_class": {name: json_number(row["iou"]) for name, row in found["per_class"].items()},
        "model": settings.model,
        "tta": options.tta,
        "examples": len(outcome.images),
    }


def draw(outcome: Outcome, model_dir: Path) -> None:
    """Save pictures of what was found in a few images, and of which classes are confused."""
    from minicnn.visualise import confusion_matrix, segmentation_overlay

    images = outcome.images
    figures = {"confusion.png": confusion_matrix(outcome.measure.matrix, images.names)}
    for number, row in enumerate(some_rows(len(images)), start=1):
        figures[f"found-{number}.png"] = segmentation_overlay(
            images[row].image, outcome.found[row], images.names, images[row].mask,
            title=f"{images.files[row]}: found, and what is there",
        )  # fmt: skip
    save_figures(figures, model_dir)


def show_found(
    path: Path, picture: np.ndarray, drawn: Path, mask: np.ndarray, names: Sequence[str]
) -> Shown:
    """Draw a picture, uint8 (H, W, 3), with the classes found in it, (H, W), and tell of them."""
    from minicnn.visualise import segmentation_overlay

    masked = drawn.with_name(f"{drawn.stem}{MASK}")
    thin = np.s_[:: -(-max(mask.shape) // _DRAWN), :: -(-max(mask.shape) // _DRAWN)]
    write_file(drawn, png_of(segmentation_overlay(picture[thin], mask[thin], names)))
    write_file(masked, _indexed(mask, len(names)))
    counts = np.bincount(mask.reshape(-1), minlength=len(names))
    order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    shares = {names[k]: round(counts[k] / mask.size, 6) for k in order}
    shown = [f"{name} {100 * share:.1f} %" for name, share in shares.items()]
    told = {
        "image": str(path),
        "height": mask.shape[0],
        "width": mask.shape[1],
        "shares": shares,
        "picture": str(drawn),
        "mask": str(masked),
    }
    return Shown(told, [f"{path}: {', '.join(shown[:MOST_CLASSES])}"])


def _indexed(mask: np.ndarray, classes: int) -> bytes:
    """Return a mask as a PNG whose indices are the classes, coloured as the overlay is."""
    from PIL import Image

    from minicnn.visualise import segmentation_colors

    image = Image.fromarray(mask)
    image.putpalette(segmentation_colors(classes).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", bits=8)
    return file.getvalue()
