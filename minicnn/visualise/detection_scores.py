"""How well a detector finds, and what is wrong with what it finds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ConfigError
from minicnn.metrics import MeanAveragePrecision, average_precision
from minicnn.metrics.detection import PROTOCOLS, Curve
from minicnn.visualise._panels import shortened
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compute_precision_recall", "detection_errors", "precision_recall"]

_MOST = 12  # curves; of more, those of the lowest average precision are drawn
_KINDS = {
    "right": "right",
    "duplicate": "duplicate",
    "localisation": "localisation",
    "class": "wrong class",
    "both": "class and localisation",
    "background": "background",
    "missed": "missed objects",
}


def precision_recall(
    metric: MeanAveragePrecision, threshold: float = 0.5, title: str = ""
) -> Figure:
    """Draw precision against recall, a curve for each class, as the least score believed falls.

    Parameters
    ----------
    metric : MeanAveragePrecision
        One that has seen the detections; of more than 12 classes with objects, those of the
        lowest average precision are drawn.
    threshold : float, default 0.5
        The least overlap of a detection with its object, one of the protocol's.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        Bold, what average precision is the area under: the best precision at that recall or any
        larger one. Pale, the precision itself. A dot marks where scores fall below one half.

    Raises
    ------
    ConfigError
        If no class has objects, or the threshold is not one of the protocol's.
    """
    curves = compute_precision_recall(metric, threshold)
    how = PROTOCOLS[metric.protocol]
    areas = {
        name: average_precision(c.recall, c.precision, how.interpolation)
        for name, c in curves.items()
    }
    shown = sorted(curves, key=areas.__getitem__)[:_MOST]
    figure = new_figure(7.5, 4.5)
    panel = figure.subplots()
    for i, name in enumerate(name for name in curves if name in shown):
        recall, precision, scores = curves[name]
        color, style = COLORS[i % len(COLORS)], "-" if i < len(COLORS) else "--"
        panel.plot(recall, precision, color=color, alpha=0.3, linewidth=1)
        best = np.maximum.accumulate(precision[::-1])[::-1]
        x, y = [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]
        if len(recall):
            x, y = [0.0, *recall, recall[-1], 1.0], [best[0], *best, 0.0, 0.0]
        label = f"{shortened(name)}: {areas[name]:.2f}"
        panel.step(x, y, where="pre", color=color, linewidth=2, linestyle=style, label=label)
        believed = int((scores >= 0.5).sum())
        if 0 < believed < len(scores):
            panel.plot(recall[believed - 1], best[believed - 1], "o", color=color, markersize=6)
    panel.set_xlabel("recall: share of the objects that are found")
    panel.set_ylabel("precision: share of what is found that is right")
    panel.set_xlim(0, 1.01)
    panel.set_ylim(0, 1.02)
    panel.grid(alpha=0.3)
    mean = float(np.mean(list(areas.values())))
    some = f", lowest {len(shown)} of {len(curves)}" if len(shown) < len(curves) else ""
    figure.legend(loc="outside right upper", title=f"average precision{some}", fontsize=8)
    heading = f"{how.title.partition(':')[0]}, IoU {threshold:g}: mAP {mean:.3f}"
    panel.set_title(f"{title}\n{heading}" if title else heading, fontsize=10)
    return figure


def compute_precision_recall(
    metric: MeanAveragePrecision, threshold: float = 0.5
) -> dict[str, Curve]:
    """Return the precision-recall curve of each class that has objects.

    Parameters
    ----------
    metric : MeanAveragePrecision
        One that has seen the detections.
    threshold : float, default 0.5
        The least overlap of a detection with its object, one of the protocol's.

    Returns
    -------
    dict of str to Curve
        By the class's name. A class of which nothing was found has an empty curve.

    Raises
    ------
    ConfigError
        If no class has objects, or the threshold is not one of the protocol's.
    """
    there = metric.result()["per_class"]
    curves = {
        name: metric.curve(label, threshold)
        for label, name in enumerate(metric.names)
        if not np.isnan(there[name])
    }
    if not curves:
        raise ConfigError("precision_recall: no class has objects; update the metric with some")
    return curves


def detection_errors(counts: Mapping[str, Mapping[str, int]], title: str = "") -> Figure:
    """Draw what became of the detections of one or several detectors, as bars.

    Parameters
    ----------
    counts : dict of str to dict of str to int
        By detector, what `minicnn.metrics.DetectionErrors` returns: ``{"SSD": errors.result()}``.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A row for each kind, a bar for each detector, with the number. Difficult objects and what
        finds them are left out.

    Raises
    ------
    ConfigError
        If there is no detector, or one has other counts than those.
    """
    if not counts:
        raise ConfigError("detection_errors: there is no detector; give {name: counts}")
    for name, own in counts.items():
        if not set(_KINDS) <= set(own):
            raise ConfigError(
                f"detection_errors: {name!r} has counts of {sorted(own)}; give the result of "
                "DetectionErrors"
            )
    thick = 0.8 / len(counts)
    figure = new_figure(7.5, 1.2 + 0.35 * len(_KINDS) * max(1.0, 0.6 * len(counts)))
    panel = figure.subplots()
    for i, (name, color) in enumerate(zip(counts, itertools.cycle(COLORS), strict=False)):
        values = [counts[name][kind] for kind in _KINDS]
        rows = np.arange(len(_KINDS)) + (i - (len(counts) - 1) / 2) * thick
        bars = panel.barh(rows, values, 0.9 * thick, color=color, label=shortened(name))
        panel.bar_label(bars, padding=3, fontsize=8)
    panel.set_yticks(range(len(_KINDS)), list(_KINDS.values()))
    panel.invert_yaxis()
    panel.margins(x=0.08)
    panel.set_xlabel("detections; in the last row, objects")
    panel.grid(alpha=0.3, axis="x")
    panel.set_axisbelow(True)
    if len(counts) > 1:
        panel.legend()
    panel.set_title(title, fontsize=10)
    return figure
