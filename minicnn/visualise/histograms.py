"""How the weights of each layer, and their gradients, are spread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import Module, Parameter
from minicnn.nn._probing import nearest
from minicnn.visualise._looking import batch_of, check_net, look
from minicnn.visualise._panels import evenly, shortened
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Histogram",
    "compute_gradient_histograms",
    "compute_weight_histograms",
    "gradient_histograms",
    "weight_histograms",
]

PANELS = 24  # at most, if nobody says which


@dataclass(frozen=True, eq=False)
class Histogram:
    """How numbers are spread.

    Attributes
    ----------
    counts : ndarray of int64, shape (B,)
        How many are in each of B bins, which begin with the smallest and end with the largest.
    edges : ndarray of float64, shape (B + 1,)
        Where the bins begin and end.
    mean, std : float
        Of all.
    zeros : float
        The share that is exactly 0.
    """

    counts: np.ndarray
    edges: np.ndarray
    mean: float
    std: float
    zeros: float


def weight_histograms(
    net: Module, parameters: Sequence[str] | None = None, bins: int = 40, title: str = ""
) -> Figure:
    """Show how the weights of each layer are spread.

    Parameters
    ----------
    net : Module
        Any net.
    parameters : sequence of str, optional
        The full names of the parameters to show, such as ``"block1.0.weight"``; by default the
        weights, which have two axes or more, of more than 24 so many, evenly spread.
    bins : int, default 40
        How many bars for each.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A panel for each parameter, each with axes of its own.

    Raises
    ------
    ConfigError
        If there is no such parameter, a layer is not built yet, or `bins` is not positive.
    """
    check_net("weight_histograms", net)
    chosen = _chosen("weight_histograms", net, parameters)
    found = {n: _histogram("weight_histograms", n, p.numpy(), bins) for n, p in chosen.items()}
    return _drawn(found, "weight", parameters is None, title)


def compute_weight_histograms(
    net: Module, parameters: Sequence[str] | None = None, bins: int = 40
) -> dict[str, Histogram]:
    """Return how the weights of each layer are spread.

    Parameters
    ----------
    net : Module
        Any net.
    parameters : sequence of str, optional
        The full names of the parameters; by default all weights, which have two axes or more.
    bins : int, default 40
        How many bins for each.

    Returns
    -------
    dict of str to Histogram
        By the names of the parameters, in the order of their definition.

    Raises
    ------
    ConfigError
        If there is no such parameter, a layer is not built yet, or `bins` is not positive.
    """
    who = "compute_weight_histograms"
    check_net(who, net)
    chosen = _chosen(who, net, parameters)
    return {name: _histogram(who, name, p.numpy(), bins) for name, p in chosen.items()}


def gradient_histograms(
    net: Module,
    images: Any = None,
    labels: Any = None,
    parameters: Sequence[str] | None = None,
    bins: int = 40,
    loss: Callable[..., Tensor] = ops.sparse_softmax_cross_entropy,
    title: str = "",
) -> Figure:
    """Show how the gradients of each layer's weights are spread: whether they vanish or explode.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    images, labels : ndarray or Tensor, optional
        A batch, from which the gradients are computed. By default those are shown that the last
        ``backward()`` has left in the parameters, such as in training mode.
    parameters : sequence of str, optional
        The full names of the parameters to show; by default the weights, which have two axes or
        more, of more than 24 so many, evenly spread.
    bins : int, default 40
        How many bars for each.
    loss : callable, default `minicnn.ops.sparse_softmax_cross_entropy`
        ``loss(scores, labels)`` of a batch.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A panel for each parameter, each with axes of its own.

    Raises
    ------
    ShapeError
        If they are not images that the net takes, or one of images and labels is missing.
    ConfigError
        If there is no such parameter, it has no gradient, or `bins` is not positive.
    """
    found = _gradients("gradient_histograms", net, images, labels, parameters, loss)
    spread = {name: _histogram("gradient_histograms", name, g, bins) for name, g in found.items()}
    return _drawn(spread, "gradient", parameters is None, title)


def compute_gradient_histograms(
    net: Module,
    images: Any = None,
    labels: Any = None,
    parameters: Sequence[str] | None = None,
    bins: int = 40,
    loss: Callable[..., Tensor] = ops.sparse_softmax_cross_entropy,
) -> dict[str, Histogram]:
    """Return how the gradients of each layer's weights are spread.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    images, labels : ndarray or Tensor, optional
        A batch, from which the gradients are computed; by default what the last ``backward()`` has
        left in the parameters.
    parameters : sequence of str, optional
        The full names of the parameters; by default all weights, which have two axes or more.
    bins : int, default 40
        How many bins for each.
    loss : callable, default `minicnn.ops.sparse_softmax_cross_entropy`
        ``loss(scores, labels)`` of a batch.

    Returns
    -------
    dict of str to Histogram
        By the names of the parameters, in the order of their definition.

    Raises
    ------
    ShapeError
        If they are not images that the net takes, or one of images and labels is missing.
    ConfigError
        If there is no such parameter, it has no gradient, or `bins` is not positive.
    """
    who = "compute_gradient_histograms"
    found = _gradients(who, net, images, labels, parameters, loss)
    return {name: _histogram(who, name, g, bins) for name, g in found.items()}


def _chosen(who: str, net: Module, names: Sequence[str] | None) -> dict[str, Parameter]:
    every = dict(net.named_parameters())
    if names is None:
        return {name: p for name, p in every.items() if p.ndim > 1}
    for name in names:
        if name not in every:
            raise ConfigError(f"{who}: no parameter {name!r}{nearest(str(name), every)}")
    return {name: every[name] for name in names}


def _gradients(
    who: str,
    net: Module,
    images: Any,
    labels: Any,
    names: Sequence[str] | None,
    loss: Callable[..., Tensor],
) -> dict[str, np.ndarray]:
    check_net(who, net)
    if (images is None) != (labels is None):
        raise ShapeError(f"{who}: give images and labels, or neither")
    if images is not None:
        seen = look(who, net, batch_of(who, images))
        chosen = _chosen(who, net, names)
        kept = {name: p for name, p in chosen.items() if p.requires_grad}
        if names is not None and len(kept) < len(chosen):
            frozen = next(name for name in chosen if name not in kept)
            raise ConfigError(f"{who}: {frozen!r} is frozen (requires_grad is False)")
        slopes = grad(loss(seen.output, labels), list(kept.values()))
        return {name: g.numpy() for name, g in zip(kept, slopes, strict=True)}
    chosen = _chosen(who, net, names)
    left = {name: p.grad.numpy() for name, p in chosen.items() if p.grad is not None}
    if not left or (names is not None and len(left) < len(chosen)):
        missing = next((name for name in chosen if name not in left), "any parameter")
        raise ConfigError(
            f"{who}: there is no gradient of {missing!r}; call backward() before, or give images "
            "and labels"
        )
    return left


def _histogram(who: str, name: str, values: np.ndarray, bins: int) -> Histogram:
    if bins < 1:
        raise ConfigError(f"{who}: bins is {bins}; give 1 or more")
    numbers = values.ravel().astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if len(finite) < len(numbers):
        raise ConfigError(
            f"{who}: {len(numbers) - len(finite)} of {len(numbers)} numbers of {name!r} are not "
            "finite; minicnn.find_nan finds where the first was made"
        )
    counts, edges = np.histogram(numbers, bins)
    zeros = float((numbers == 0).mean())
    return Histogram(counts, edges, float(numbers.mean()), float(numbers.std()), zeros)


def _drawn(found: dict[str, Histogram], what: str, thin_out: bool, title: str) -> Figure:
    names = evenly(list(found), PANELS) if thin_out else list(found)
    across = min(4, len(names))
    down = math.ceil(len(names) / across)
    figure = new_figure(2.7 * across + 0.3, 1.75 * down + 0.5)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for panel, name in zip(panels, names, strict=False):
        one = found[name]
        panel.stairs(one.counts, one.edges, fill=True, color=COLORS[0])
        panel.axvline(0, color="black", linewidth=0.6)
        panel.set_title(f"{shortened(name, 30)}\nstd {one.std:#.2g}", fontsize=8)
        panel.tick_params(labelsize=6)
        panel.locator_params(nbins=4)
        panel.ticklabel_format(axis="x", scilimits=(-2, 3))
        panel.xaxis.get_offset_text().set_fontsize(6)
        panel.set_xlabel(what, fontsize=7, labelpad=1)
    for panel in panels[::across]:
        panel.set_ylabel("how many", fontsize=7)
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    many = "" if len(names) == len(found) else f"{len(names)} of {len(found)} parameters"
    figure.suptitle(": ".join(part for part in (title, many) if part), fontsize=10)
    return figure
