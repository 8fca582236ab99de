"""The filters of a convolution, as small images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from minicnn.errors import ConfigError
from minicnn.nn import Conv2d, ConvTranspose2d, Module
from minicnn.visualise._looking import check_net, module_of
from minicnn.visualise._panels import evenly, montage, shortened, show_values, times
from minicnn.visualise.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["compute_filters", "filters"]

CHANNELS = 16  # columns of a table of filters, at most
COLORED = 64  # filters shown in colours, at most


def filters(net: Module, layer: str | None = None, most: int = 16, title: str = "") -> Figure:
    """Show the filters of a convolution.

    Parameters
    ----------
    net : Module
        Any net with a convolution.
    layer : str, optional
        The name of a `Conv2d` or `ConvTranspose2d`, such as ``"block1.0"``; by default the first.
    most : int, default 16
        How many filters to show number by number, at most; they are spread evenly.
    title : str, default ""
        What to write above; by default the layer.

    Returns
    -------
    Figure
        A table of numbers as colours: a row for each filter and a column for each channel it looks
        at. If these are three, the filters as coloured images as well; mid-grey is 0.

    Raises
    ------
    ConfigError
        If there is no such layer, it is no convolution, it is not built yet, or `most` is not
        positive.
    """
    name, weight = _weight("filters", net, layer)
    if most < 1:
        raise ConfigError(f"filters: most is {most}; show 1 or more")
    rows = evenly(range(len(weight)), most)
    columns = evenly(range(weight.shape[1]), CHANNELS)
    colored = weight.shape[1] == 3
    width = max(2.6, 0.45 * len(columns) + 1.4)
    figure = new_figure(width + 3.2 * colored, max(3.0, 0.4 * len(rows) + 1.1))
    panels = figure.subplots(
        1, 1 + colored, squeeze=False, width_ratios=[3.2, width][1 - colored :]
    )[0]
    if colored:
        _show_colors(panels[0], weight)
    _show_table(panels[-1], weight, rows, columns)
    left_out = [
        f"{len(shown)} of {count} {what}"
        for what, shown, count in (
            ("filters", rows, len(weight)),
            ("channels", columns, weight.shape[1]),
        )
        if len(shown) < count
    ]
    shape = f"{shortened(name, 40)}: weights {times(weight.shape)}"
    figure.suptitle(title or "\n".join([shape, ", ".join(left_out)]).strip(), fontsize=9)
    return figure


def compute_filters(net: Module, layer: str | None = None) -> np.ndarray:
    """Return the filters of a convolution.

    Parameters
    ----------
    net : Module
        Any net with a convolution.
    layer : str, optional
        The name of a `Conv2d` or `ConvTranspose2d`; by default the first.

    Returns
    -------
    ndarray, shape (O, C / groups, KH, KW)
        A copy of the weights, one filter for each output channel also if transposed.

    Raises
    ------
    ConfigError
        If there is no such layer, it is no convolution, or it is not built yet.
    """
    return _weight("compute_filters", net, layer)[1]


def _weight(who: str, net: Module, layer: str | None) -> tuple[str, np.ndarray]:
    check_net(who, net)
    kinds = Conv2d, ConvTranspose2d
    module: Module
    if layer is None:
        found = [(n, m) for n, m in net.named_modules() if isinstance(m, kinds)]
        if not found:
            raise ConfigError(f"{who}: {type(net).__name__} has no Conv2d, so no filters to show")
        name, module = found[0]
    else:
        name, module = layer, module_of(who, net, layer)
    if not isinstance(module, kinds):
        raise ConfigError(
            f"{who}: {layer!r} is a {type(module).__name__}; name a Conv2d or ConvTranspose2d"
        )
    if module.weight is None:
        raise ConfigError(f"{who}: {name!r} is not built yet; call the net once, or net.build(...)")
    weight = module.weight.numpy().copy()
    if isinstance(module, ConvTranspose2d):  # (C, O / groups, KH, KW), groups of channels in turn
        groups = np.split(weight, module.groups)
        weight = np.concatenate([np.moveaxis(part, 1, 0) for part in groups])
    return name or type(module).__name__, weight


def _show_colors(panel: Axes, weight: np.ndarray) -> None:
    """Show filters on red, green and blue as images; mid-grey is 0."""
    shown = weight[:COLORED].astype(np.float64)
    largest = np.abs(shown).max() or 1.0
    tiles = [np.moveaxis(one, 0, -1) / (2 * largest) + 0.5 for one in shown]
    across = math.ceil(math.sqrt(len(tiles)))
    mosaic, places = montage(tiles, across)
    panel.imshow(mosaic, interpolation="nearest")
    for i, (x, y) in enumerate(places):
        panel.annotate(
            str(i), (x, y), (0, 1), textcoords="offset points", ha="center", va="bottom", fontsize=6
        )
    part = "" if len(shown) == len(weight) else f", the first {len(shown)}"
    panel.set_title(f"as colours, grey is 0{part}", fontsize=9, pad=10)
    panel.set_axis_off()


def _show_table(panel: Axes, weight: np.ndarray, rows: list[int], columns: list[int]) -> None:
    """Show the weights of filters (rows) on channels (columns)."""
    height, width = weight.shape[2:]
    mosaic, _ = montage([weight[i, j] for i in rows for j in columns], len(columns))
    show_values(panel, mosaic, "weight", signed=True)
    colored = weight.shape[1] == 3
    names = [("red", "green", "blue")[j] if colored else str(j) for j in columns]
    panel.set_xticks([i * (width + 1) + (width - 1) / 2 for i in range(len(columns))], names)
    panel.set_yticks(
        [i * (height + 1) + (height - 1) / 2 for i in range(len(rows))], list(map(str, rows))
    )
    panel.tick_params(labelsize=7, length=0)
    panel.set_xlabel("input channel", fontsize=8)
    panel.set_ylabel("filter", fontsize=8)
    if colored:
        panel.set_title("number by number", fontsize=9)
    panel.spines[:].set_visible(False)
