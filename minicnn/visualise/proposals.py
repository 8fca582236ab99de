"""How a search for objects goes: the regions that grow, and how many proposals it takes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.detection import Hierarchy
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise._panels import show_image
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["proposal_recall", "region_hierarchy"]

_OBJECT = "#F0E442"  # yellow, on whatever image


def region_hierarchy(
    image: Any,
    tree: Hierarchy,
    counts: Sequence[int] = (200, 50, 12),
    boxes: Any = None,
    title: str = "",
) -> Figure:
    """Show how the regions of an image grow as they are merged.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    tree : Hierarchy
        Of the image, from `SelectiveSearch.hierarchies`.
    counts : sequence of int, default (200, 50, 12)
        After the image and its first regions, show it when so many regions were left.
    boxes : ndarray, shape (T, 4), optional
        Of the objects, (y0, x0, y1, x1) in pixels. They are drawn dashed, and the box of the
        region that fits each best, of all in the tree, in its colour.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A panel for each; a region has the mean colour of its pixels, and white borders.

    Raises
    ------
    ShapeError
        If the tree is of an image of another size, or the boxes are not (T, 4).
    """
    image, first = np.asarray(image), len(tree.boxes) - len(tree.merged)
    if image.shape != (*tree.labels.shape, 3):
        raise ShapeError(
            f"region_hierarchy: image {image.shape} for regions of {tree.labels.shape}; give the "
            "image (H, W, 3) that was searched"
        )
    shown = [count for count in counts if count < first]
    panels = [("the image", image)]
    for count in (first, *shown):
        words = f"{count} first regions" if count == first else f"{count} left"
        panels.append((words, _painted(image, tree.cut(count))))
    down, across = (1, len(panels)) if len(panels) <= 3 else (-(-len(panels) // 3), 3)
    height = 4.2 * image.shape[0] / image.shape[1]
    figure = new_figure(4.2 * across, (height + 0.6) * down)
    places = list(figure.subplots(down, across, squeeze=False).flat)
    for panel, (words, pixels) in zip(places, panels, strict=False):
        show_image(panel, np.moveaxis(pixels, -1, 0), words)
    for panel in places[len(panels) :]:
        panel.set_axis_off()
    if boxes is not None:
        _draw_best(places[0], tree, np.asarray(boxes, np.float64))
    figure.suptitle(title)
    return figure


def proposal_recall(
    recalls: Mapping[str, Any], counts: Sequence[int], overlap: float = 0.5, title: str = ""
) -> Figure:
    """Draw which share of the objects is proposed against the number of proposals.

    Parameters
    ----------
    recalls : dict of str to ndarray, shape (len(counts),)
        For each way to search what `minicnn.detection.recall` returns, from 0 to 1.
    counts : sequence of int
        How many proposals an image they are for.
    overlap : float, default 0.5
        The least intersection over union that they are for.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A line for each way; the numbers of proposals on a scale of their logarithms.

    Raises
    ------
    ConfigError
        If there is no line, or one has not a recall for each count.
    """
    wrong = {name: np.shape(line) for name, line in recalls.items() if len(line) != len(counts)}
    if not recalls or wrong:
        raise ConfigError(
            f"proposal_recall: {wrong or 'no'} recalls for {len(counts)} counts; give one for each"
        )
    figure = new_figure(6.0, 4.2)
    panel = figure.subplots()
    for (name, line), color in zip(recalls.items(), itertools.cycle(COLORS), strict=False):
        panel.plot(counts, line, marker="o", markersize=4, color=color, label=name)
    panel.set_xscale("log")
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.minorticks_off()
    panel.set_ylim(0, 1.02)
    panel.set_xlabel("proposals an image, the best ranks")
    panel.set_ylabel(f"recall: objects proposed, IoU at least {overlap:g}")
    panel.grid(alpha=0.3)
    panel.legend(loc="lower right")
    panel.set_title(title)
    return figure


def _painted(image: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Return the image with each region in the mean of its colours, white between them."""
    _, labels = np.unique(regions, return_inverse=True)
    labels = labels.reshape(regions.shape)
    sizes = np.bincount(labels.ravel())
    means = [np.bincount(labels.ravel(), image[..., c].ravel()) / sizes for c in range(3)]
    painted = np.stack(means, axis=1)[labels].astype(np.uint8)
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    painted[border] = 255
    return painted


def _draw_best(panel: Any, tree: Hierarchy, objects: np.ndarray) -> None:
    """Draw the objects, and the region of each that fits best, with how well it does."""
    from matplotlib.patches import Rectangle

    from minicnn.ops import iou_matrix

    if objects.ndim != 2 or objects.shape[1] != 4:
        raise ShapeError(f"region_hierarchy: boxes {objects.shape}; give (T, 4)")
    overlaps = iou_matrix(objects, tree.boxes.astype(np.float64)).numpy()
    for row, truth, color in zip(overlaps, objects, itertools.cycle(COLORS), strict=False):
        best = tree.boxes[row.argmax()]
        for (y0, x0, y1, x1), edge, style in ((best, color, "-"), (truth, _OBJECT, "--")):
            where = (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0  # a pixel's middle is at a whole number
            panel.add_patch(Rectangle(*where, fill=False, edgecolor=edge, linestyle=style))
        label = f"{row.max():.2f}"
        panel.text(best[1], best[0] - 1, label, color=color, fontsize=8, va="bottom")
