"""Pictures of how a run went and of what a model gets wrong.

Each function returns a matplotlib Figure of its own; nothing is shown, no window is opened and
no global state of matplotlib is touched. ``figure.savefig("name.png")`` writes it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise._panels import names_of, shortened, viewable
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SMOOTH_FROM = 200  # points; below, they are drawn as they are
_NAMES_UP_TO = 60  # classes; above, their names would be too small to read


def learning_curves(
    curves: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    title: str = "",
) -> Figure:
    """Draw metrics against steps, a panel for each metric and a line for each group.

    Parameters
    ----------
    curves : dict of str to dict of str to sequence of (step, value)
        By group ("training", "validation") and metric ("loss", "accuracy"). Long ones are drawn
        pale, with a running mean above.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The picture.

    Raises
    ------
    ConfigError
        If there is no point at all.
    """
    metrics = list(dict.fromkeys(m for group in curves.values() for m in group))
    if not any(len(points) for group in curves.values() for points in group.values()):
        raise ConfigError("learning_curves: there are no points to draw")
    figure = new_figure(6.0 * len(metrics), 4.0)
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for metric, panel in zip(metrics, panels, strict=True):
        for (group, values), color in zip(curves.items(), itertools.cycle(COLORS), strict=False):
            if len(values.get(metric, ())):
                _draw_curve(panel, np.asarray(values[metric], np.float64), group, color)
        panel.set_title(metric)
        panel.set_xlabel("step")
        panel.set_ylabel(metric)
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    return figure


def confusion_matrix(
    matrix: Any, class_names: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Draw how often each class was taken for each, as shares of the right class.

    Parameters
    ----------
    matrix : ndarray of int, shape (K, K)
        Counts by right class (row) and predicted class (column), as of `ConfusionMatrix`.
    class_names : sequence of str, optional
        K names; by default numbers.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The picture; rows of classes without examples are empty.

    Raises
    ------
    ShapeError
        If the matrix is not square, or there is not one name for each class.
    """
    counts = np.asarray(matrix, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ShapeError(f"confusion_matrix: got shape {counts.shape}; give a square matrix (K, K)")
    classes = len(counts)
    names = names_of("confusion_matrix", class_names, classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    size = min(4.0 + 0.2 * classes, 16.0)
    figure = new_figure(size + 1, size)
    panel = figure.subplots()
    # small shares are what one looks for: the root makes them visible
    image = panel.imshow(np.sqrt(shares), cmap="viridis", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=panel, ticks=np.sqrt([0, 0.01, 0.1, 0.25, 0.5, 1]))
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "25 %", "50 %", "100 %"])
    bar.set_label("share of the right class's examples (%)")
    if classes <= _NAMES_UP_TO:
        panel.set_xticks(range(classes), names, rotation=90, fontsize=7)
        panel.set_yticks(range(classes), names, fontsize=7)
    if classes <= 12:
        for (i, j), count in np.ndenumerate(counts):
            if count:
                color = "black" if shares[i, j] > 0.4 else "white"
                panel.text(j, i, f"{count:.0f}", ha="center", va="center", color=color, fontsize=8)
    panel.set_xlabel("predicted class")
    panel.set_ylabel("right class")
    panel.set_title(title)
    return figure


def worst_mistakes(
    images: Any,
    labels: Any,
    probabilities: Any,
    class_names: Sequence[str] | None = None,
    count: int = 24,
    title: str = "",
) -> Figure:
    """Show the examples that a classifier got wrong, those it was surest of first.

    Parameters
    ----------
    images : ndarray, shape (N, C, H, W)
        Grey (C = 1) or RGB (C = 3), as uint8 or as floats; floats are stretched from the
        smallest to the largest of each image.
    labels : ndarray of int, shape (N,)
        The right classes.
    probabilities : ndarray, shape (N, K)
        What the model gives each class.
    class_names : sequence of str, optional
        K names; by default numbers.
    count : int, default 24
        How many to show at most.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The gallery; above each image the wrong class, its probability, and the right class.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    ConfigError
        If a label is out of range.
    """
    images, labels, scores = np.asarray(images), np.asarray(labels), np.asarray(probabilities)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(f"worst_mistakes: images {images.shape} are not (N, 1 or 3, H, W)")
    if scores.ndim != 2 or not len(images) == len(labels) == len(scores):
        raise ShapeError(
            f"worst_mistakes: images {images.shape}, labels {labels.shape} and probabilities "
            f"{scores.shape} do not fit; give (N, C, H, W), (N,) and (N, K)"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < scores.shape[1]):
        raise ConfigError(f"worst_mistakes: labels are not all in 0 ... {scores.shape[1] - 1}")
    names = names_of("worst_mistakes", class_names, scores.shape[1])
    order = mistakes(labels, scores)
    shown = order[:count]
    across = min(8, max(len(shown), 1))
    down = max(1, math.ceil(len(shown) / across))
    figure = new_figure(1.7 * max(across, 3), 2.1 * down + 0.4)
    for panel in figure.subplots(down, across, squeeze=False).flat:
        panel.set_axis_off()
    for panel, i in zip(figure.axes, shown, strict=False):
        guess = int(scores[i].argmax())
        panel.imshow(viewable(images[i]), interpolation="nearest", cmap="gray")
        text = f"{shortened(names[guess])} {scores[i, guess]:.0%}\nis {shortened(names[labels[i]])}"
        panel.set_title(text, fontsize=7)
    many = f"{len(order)} of {len(labels)} wrong"
    figure.suptitle(f"{title}: {many}" if title else many, fontsize=10)
    return figure


def mistakes(labels: Any, probabilities: Any) -> np.ndarray:
    """Return which examples a classifier got wrong, those it was surest of first.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        The right classes.
    probabilities : ndarray, shape (N, K)
        What the model gives each class.

    Returns
    -------
    ndarray of int64, shape (M,)
        Indices, by falling difference between the probability of the class that was predicted
        and that of the right one.
    """
    labels, scores = np.asarray(labels), np.asarray(probabilities)
    rows = np.arange(len(labels))
    wrong = scores.argmax(axis=1) != labels if len(labels) else np.zeros(0, bool)
    surplus = scores.max(axis=1, initial=-np.inf) - scores[rows, labels]
    order = np.argsort(-surplus, kind="stable")
    return order[wrong[order]]


def _draw_curve(panel: Axes, points: np.ndarray, group: str, color: str) -> None:
    steps, values = points.T
    smooth = len(steps) >= _SMOOTH_FROM
    marker = "o" if len(steps) <= 50 else None
    label = None if smooth else group
    alpha = 0.25 if smooth else 1.0
    panel.plot(steps, values, color=color, alpha=alpha, label=label, marker=marker, markersize=3)
    if smooth:
        width = len(steps) // 50
        means = np.convolve(values, np.ones(width) / width, mode="valid")
        panel.plot(steps[width - 1 :], means, color=color, label=f"{group}, mean of {width} steps")
