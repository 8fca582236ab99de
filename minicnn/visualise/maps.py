"""What every layer of a net makes of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError
from minicnn.nn import Module
from minicnn.visualise._looking import Look, Returned, check_net, image_of, look
from minicnn.visualise._panels import evenly, montage, shortened, show_image, show_values, times
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["activations", "compute_activations"]

LAYERS = 24  # rows of the picture, at most, if not said otherwise


def activations(
    net: Module,
    image: Any,
    layers: Sequence[str] | None = None,
    channels: int = 12,
    title: str = "",
) -> Figure:
    """Show what every layer of a net makes of one image.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    layers : sequence of str, optional
        The names of the modules to show; by default all layers and blocks, of more than 24 so
        many, evenly spread.
    channels : int, default 12
        How many channels of each layer to show, at most: those whose largest number is largest.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A row for each layer: maps as images, all of one row in the same colours; what has no
        places as bars, one for each neuron.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes.
    ConfigError
        If there is no such layer, or `channels` is not positive.
    """
    seen = _seen("activations", net, image)
    if channels < 1:
        raise ConfigError(f"activations: channels is {channels}; show 1 or more")
    every = _chosen(seen, layers)
    shown = every if layers is not None else evenly(every, LAYERS)
    wide = max(channels, 8)
    heights = [1.0, *(0.85 if r.tensor.ndim == 4 else 1.0 for r in shown)]
    figure = new_figure(min(0.8 * wide + 2.2, 13), 0.35 + sum(h + 0.38 for h in heights))
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    show_image(panels[0], seen.images.numpy()[0], "the image")
    panels[0].set_anchor("W")
    for panel, r in zip(panels[1:], shown, strict=True):
        values = r.tensor.numpy()[0]
        kind = f"{r.name}: {shortened(r.kind, 44)}, {times(values.shape)}"
        if values.ndim == 3:
            _show_maps(panel, values, kind, channels)
        else:
            _show_neurons(panel, values.ravel(), kind)
    many = "" if len(shown) == len(every) else f"{len(shown)} of {len(every)} layers"
    figure.suptitle(": ".join(part for part in (title, many) if part), fontsize=10)
    return figure


def compute_activations(
    net: Module, image: Any, layers: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Return what every layer of a net makes of one image.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    layers : sequence of str, optional
        The names of the modules to look at; by default all layers and blocks.

    Returns
    -------
    dict of str to ndarray
        Copies, without the batch axis, by the names of the modules in the order of their calls;
        where several return the same numbers, by the innermost.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes.
    ConfigError
        If there is no such layer.
    """
    seen = _seen("compute_activations", net, image)
    return {r.name: r.tensor.numpy()[0].copy() for r in _chosen(seen, layers)}


def _seen(who: str, net: Module, image: Any) -> Look:
    check_net(who, net)
    return look(who, net, image_of(who, image), gradients=False)


def _chosen(seen: Look, layers: Sequence[str] | None) -> list[Returned]:
    if layers is None:
        return seen.layers()
    if isinstance(layers, str):
        raise ConfigError(f"{seen.who}: layers is {layers!r}; give several names: [{layers!r}]")
    return [seen.of(name) for name in layers]


def _show_maps(panel: Axes, values: np.ndarray, kind: str, channels: int) -> None:
    """Show the strongest channels of a map (C, H, W) side by side."""
    peaks = values.max(axis=(1, 2))
    strongest = np.sort(np.argsort(-peaks, kind="stable")[:channels])
    width = values.shape[2]
    gap = max(1, width // 12)
    mosaic, places = montage([values[i] for i in strongest], channels, gap)
    show_values(panel, mosaic, "", signed=bool(values.min() < 0))
    panel.set_xticks([x for x, _ in places], [str(i) for i in strongest])
    panel.set_yticks([])
    panel.tick_params(labelsize=6, length=0, pad=1)
    panel.set_ylabel("channel", fontsize=7)
    panel.spines[:].set_visible(False)
    panel.set_anchor("W")
    part = "" if len(values) <= channels else f", the {channels} with the largest values"
    panel.set_title(kind + part, fontsize=8, loc="left", pad=3)


def _show_neurons(panel: Axes, values: np.ndarray, kind: str) -> None:
    """Show one bar for each neuron."""
    panel.bar(np.arange(len(values)), values, width=1.0, color=COLORS[0])
    panel.axhline(0, color="black", linewidth=0.6)
    panel.set_xlim(-1, len(values))
    panel.tick_params(labelsize=6, pad=1)
    panel.set_xlabel("neuron", fontsize=7, labelpad=1)
    panel.set_ylabel("value", fontsize=7)
    panel.set_title(kind, fontsize=8, loc="left", pad=3)
