"""What a net thinks alike: features of many images, in the plane where they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import Module
from minicnn.visualise._looking import Look, batch_of, check_net, looks
from minicnn.visualise._panels import names_of, shortened
from minicnn.visualise._svd import largest_singular
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Projection", "compute_embedding", "embedding", "pca"]

MARKERS = "o^svDPX*"
LEGEND = 16  # classes with a line in the legend, at most; of more, each cloud is labelled


@dataclass(frozen=True, eq=False)
class Projection:
    """Points in the directions in which they vary most.

    Attributes
    ----------
    points : ndarray of float64, shape (N, P)
        How far each lies from the mean, in each direction.
    directions : ndarray of float64, shape (P, D)
        The directions, of length 1 and orthogonal; the number of largest absolute value in each
        is positive.
    explained : ndarray of float64, shape (P,)
        The share of the whole variance that is along each; falling.
    mean : ndarray of float64, shape (D,)
        The mean of all.
    """

    points: np.ndarray
    directions: np.ndarray
    explained: np.ndarray
    mean: np.ndarray


def pca(features: Any, components: int = 2) -> Projection:
    """Find the directions in which points vary most: principal component analysis.

    Parameters
    ----------
    features : array_like, shape (N, D)
        N points.
    components : int, default 2
        How many directions P; at most min(N, D).

    Returns
    -------
    Projection
        The points along the directions.

    Raises
    ------
    ShapeError
        If they are not N > 1 points of D numbers.
    ConfigError
        If there are not so many directions, or a number is not finite.

    References
    ----------
    Pearson, "On lines and planes of closest fit to systems of points in space", 1901.

    Examples
    --------
    >>> from minicnn.visualise import pca
    >>> found = pca([[0, 0], [3, 4], [6, 8]], components=1)
    >>> found.points.round(6).ravel().tolist(), found.directions.round(6).tolist()
    ([-5.0, 0.0, 5.0], [[0.6, 0.8]])
    """
    points = np.asarray(features, np.float64)
    if points.ndim != 2 or len(points) < 2 or not points.size:
        raise ShapeError(f"pca: features {points.shape} are not (N, D) with N of 2 or more")
    if not 1 <= components <= min(points.shape):
        raise ConfigError(
            f"pca: {components} components of features {points.shape}; ask for 1 ... "
            f"{min(points.shape)}"
        )
    if not np.isfinite(points).all():
        raise ConfigError("pca: features are not all finite; leave out the examples that are not")
    mean = points.mean(axis=0)
    centred = points - mean
    values, directions = largest_singular(centred, components)
    largest = np.abs(directions).argmax(axis=1)
    directions = directions * np.where(directions[range(components), largest] < 0, -1, 1)[:, None]
    whole = (centred**2).sum()
    explained = values**2 / whole if whole else np.zeros(components)
    return Projection(centred @ directions.T, directions, explained, mean)


def compute_embedding(
    net: Module, images: Any, layer: str | None = None, components: int = 2
) -> Projection:
    """Return what a layer makes of images, along the directions in which that varies most.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    images : ndarray or Tensor of floats, shape (N, C, H, W)
        As the net was trained with them.
    layer : str, optional
        The name of a module; by default the one before the last.
    components : int, default 2
        How many directions.

    Returns
    -------
    Projection
        Of what the layer returns; maps count as vectors.

    Raises
    ------
    ShapeError
        If they are not images that the net takes, or fewer than two.
    ConfigError
        If there is no such layer, or there are not so many directions.
    """
    return pca(_features("compute_embedding", net, images, layer)[1], components)


def embedding(
    net: Module,
    images: Any,
    labels: Any,
    layer: str | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Show which images a net takes for alike: what a layer makes of them, in a plane.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    images : ndarray or Tensor of floats, shape (N, C, H, W)
        As the net was trained with them.
    labels : ndarray of int, shape (N,)
        Their classes.
    layer : str, optional
        The name of a module; by default the one before the last.
    class_names : sequence of str, optional
        The names of all classes; by default numbers.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A point for each image, its colour and form those of its class; the axes say what share of
        the variance they show. More than 16 classes are labelled by their numbers.

    Raises
    ------
    ShapeError
        If they are not images that the net takes, fewer than two, or labels do not fit.
    ConfigError
        If there is no such layer, or a label is negative or has no name.
    """
    name, features = _features("embedding", net, images, layer)
    classes = np.asarray(labels)
    if classes.shape != features.shape[:1] or classes.dtype.kind not in "iu":
        raise ShapeError(
            f"embedding: labels {classes.dtype} {classes.shape} for {len(features)} images; give "
            "one whole number for each"
        )
    count = int(classes.max()) + 1 if class_names is None else len(class_names)
    if classes.min() < 0 or classes.max() >= count:
        raise ConfigError(f"embedding: labels are not all in 0 ... {count - 1}")
    found = pca(features, 2)
    figure = new_figure(7.5, 5.5)
    panel = figure.subplots()
    _scatter(panel, found.points, classes, names_of("embedding", class_names, count))
    for axis, share in zip((panel.xaxis, panel.yaxis), found.explained, strict=True):
        number = "first" if axis is panel.xaxis else "second"
        axis.set_label_text(f"{number} principal component ({share:.1%} of the variance)")
    panel.grid(alpha=0.3)
    panel.set_title(title or f"what {name} makes of {len(classes)} images")
    return figure


def _features(who: str, net: Module, images: Any, layer: str | None) -> tuple[str, np.ndarray]:
    check_net(who, net)
    given = batch_of(who, images)
    parts = []
    name = layer or ""
    for seen in looks(who, net, given):
        name = name or _before_last(seen)
        values = seen.of(name).tensor.numpy()
        parts.append(values.reshape(len(values), -1))
    if len(given) < 2:
        raise ShapeError(f"{who}: images {given.shape}; give two or more")
    return name, np.concatenate(parts)


def _before_last(seen: Look) -> str:
    """Return the name of the layer before the last."""
    layers = seen.layers()
    return layers[max(len(layers) - 2, 0)].name


def _scatter(panel: Axes, points: np.ndarray, classes: np.ndarray, names: list[str]) -> None:
    there = np.unique(classes)
    listed = len(there) <= LEGEND
    for i, k in enumerate(there):
        cloud = points[classes == k]
        marker, color = MARKERS[i // len(COLORS) % len(MARKERS)], COLORS[i % len(COLORS)]
        panel.scatter(
            cloud[:, 0], cloud[:, 1], s=16, color=color, marker=marker, alpha=0.8, linewidths=0.3,
            edgecolors="black", label=f"{shortened(names[k])} ({len(cloud)})",
        )  # fmt: skip
        if not listed:
            box = {"facecolor": "white", "edgecolor": color, "boxstyle": "round,pad=0.15"}
            x, y = np.median(cloud, axis=0)
            panel.text(x, y, str(k), fontsize=7, ha="center", va="center", bbox=box)
    if listed:
        panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
