"""What augmentation makes of a picture: see it before you train on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.augment import (
    Affine,
    Blur,
    Colour,
    Crop,
    CutOut,
    Elastic,
    Flip,
    MixUp,
    Mosaic,
    Noise,
    Perspective,
    Picture,
    Transform,
)
from minicnn.data.augment.mixing import Pictures
from minicnn.errors import ConfigError
from minicnn.visualise.canvas import COLORS, new_figure
from minicnn.visualise.segmenting import compute_segmentation_overlay, segmentation_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["augmentations", "compute_augmentations"]

_WIDTH = 1.9  # inches of a picture
_VOID = 255  # in masks: what is outside of the picture, or hidden


def augmentations(
    picture: Picture,
    transforms: Mapping[str, Transform] | None = None,
    others: Pictures | None = None,
    count: int = 4,
    seed: int = 0,
    title: str = "",
) -> Figure:
    """Show what transforms make of a picture, each in a row, with its boxes and its mask.

    Parameters
    ----------
    picture : Picture
        With whatever is known of it.
    transforms : mapping of str to Transform, optional
        By name; by default one of each kind.
    others : Pictures, optional
        For those of the default that mix pictures, which are left out without.
    count : int, default 4
        How many times each is applied.
    seed : int, default 0
        Of what is drawn.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The picture first, then what `compute_augmentations` returns. Boxes are drawn, those to be
        ignored with dashes, and a mask lies on the picture as colours.

    Raises
    ------
    ConfigError
        If there is nothing to show.
    """
    found = compute_augmentations(picture, transforms, others, count, seed)
    rows = len(found)
    height = _WIDTH * max(p.size[0] / p.size[1] for seen in found.values() for p in seen)
    figure = new_figure(_WIDTH * (count + 1), (height + 0.1) * rows + 0.3)
    panels = figure.subplots(rows, count + 1, squeeze=False)
    for row, (name, seen) in zip(panels, found.items(), strict=True):
        for panel, each in zip(row, (picture, *seen), strict=True):
            _show(panel, each)
        row[0].set_ylabel(name, fontsize=9)
    panels[0, 0].set_title("as it is", fontsize=9)
    figure.suptitle(title)
    return figure


def compute_augmentations(
    picture: Picture,
    transforms: Mapping[str, Transform] | None = None,
    others: Pictures | None = None,
    count: int = 4,
    seed: int = 0,
) -> dict[str, list[Picture]]:
    """Apply transforms to a picture, each several times.

    Parameters
    ----------
    picture : Picture
        With whatever is known of it.
    transforms : mapping of str to Transform, optional
        By name; by default one of each kind.
    others : Pictures, optional
        For those of the default that mix pictures, which are left out without.
    count : int, default 4
        How many times each is applied.
    seed : int, default 0
        Of what is drawn.

    Returns
    -------
    dict of str to list of Picture
        For each transform `count` pictures.

    Raises
    ------
    ConfigError
        If there is nothing to show.
    """
    chosen = dict(_one_of_each(picture, others) if transforms is None else transforms)
    if not chosen or count < 1:
        raise ConfigError(
            f"augmentations: {len(chosen)} transforms, {count} times; give one or more of both"
        )
    return {
        name: [transform(picture, Stream(seed, "augmentations", name, i)) for i in range(count)]
        for name, transform in chosen.items()
    }


def _one_of_each(picture: Picture, others: Pictures | None) -> dict[str, Transform]:
    """Return transforms strong enough to be seen."""
    chosen: dict[str, Transform] = {
        "colour": Colour(0.2, 0.5, 0.8, 0.4),
        "noise": Noise(40.0),
        "blur": Blur(4.0),
        "affine": Affine(0.3, (0.7, 1.4), 0.1, 0.15, 0.1),
        "perspective": Perspective(0.2),
        "elastic": Elastic(0.24, 0.25),
        "crop": Crop(),
        "flip": Flip(0.5, 0.5),
        "cut-out": CutOut(2),
    }
    if others is not None:
        chosen |= {"mix-up": MixUp(others, 2.0), "mosaic": Mosaic(others)}
    return chosen


def _show(panel: Axes, picture: Picture) -> None:
    """Draw a picture with its boxes and its mask, without axes."""
    from matplotlib.patches import Rectangle

    height, width = picture.size
    edges = (0.0, float(width), float(height), 0.0)  # the pixel (0, 0) begins at (0, 0)
    image = picture.image
    if picture.mask is not None:  # a class has one colour in all panels; the label 255 has none
        image = compute_segmentation_overlay(image, picture.mask, segmentation_colors(_VOID))
    panel.imshow(image, extent=edges, interpolation="nearest")
    boxes = () if picture.boxes is None else picture.boxes.tolist()
    classes = np.zeros(len(boxes), int) if picture.classes is None else picture.classes
    for (y0, x0, y1, x1), label in zip(boxes, classes.tolist(), strict=True):
        colour = COLORS[label % 6] if label >= 0 else "white"
        line = "solid" if label >= 0 else "dashed"
        panel.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colour, lw=1.2, ls=line)
        )
    panel.set_xlim(0, width)
    panel.set_ylim(height, 0)
    panel.set_xticks([])
    panel.set_yticks([])
