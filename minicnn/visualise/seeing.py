"""How much of an image the units of each layer see."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import grad
from minicnn.errors import ConfigError
from minicnn.nn import Module
from minicnn.nn import receptive_field as field_of
from minicnn.visualise._looking import Look, Returned, check_net, image_of, index_of, look
from minicnn.visualise._panels import pixel_axes, show_image, show_values, times
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["compute_receptive_field", "receptive_field"]


def receptive_field(
    net: Module,
    image: Any,
    layers: str | Sequence[str] | None = None,
    place: tuple[int, int] | None = None,
    title: str = "",
) -> Figure:
    """Draw on an image what a unit of a layer sees of it, and on which pixels it depends most.

    Parameters
    ----------
    net : Module
        Any net with feature maps; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    layers : str or sequence of str, optional
        The names of modules; by default the last of each size of maps.
    place : (int, int), optional
        Which unit of each map, by row and column; by default the one in the middle.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The image with a box for each layer, see `minicnn.nn.receptive_field`; and for each how
        steeply the unit, all of its channels together, depends on each pixel
        (`compute_receptive_field`): the middle of the box counts for more than its border.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes.
    ConfigError
        If there is no such layer or place, or a layer returns no maps.

    References
    ----------
    Luo, Li, Urtasun and Zemel, "Understanding the effective receptive field in deep convolutional
    neural networks", NIPS 2016.
    """
    seen = _seen("receptive_field", net, image)
    chosen = _chosen(seen, layers)
    figure = new_figure(3.2 + 3.5 * len(chosen), 3.5)
    first, *panels = figure.subplots(1, 1 + len(chosen))
    pixels = seen.images.numpy()[0]
    show_image(first, pixels, "what one unit of each layer sees")
    for r, panel, color in zip(chosen, panels, itertools.cycle(COLORS), strict=False):
        at = _place(seen, r, place)
        field = field_of(net, pixels.shape, output=r.name)
        show_values(panel, np.abs(_slopes(seen, r, at)).max(axis=0), "|d unit / d pixel|")
        pixel_axes(panel)
        panel.set_title(f"{r.name}, unit {at}: {times(field.size)} pixels", fontsize=9, color=color)
        for each in (first, panel):
            _draw_box(each, field.box(*at), color)
            each.set_xlim(-1.5, pixels.shape[2] + 0.5)
            each.set_ylim(pixels.shape[1] + 0.5, -1.5)
    figure.suptitle(title)
    return figure


def compute_receptive_field(
    net: Module, image: Any, layer: str, place: tuple[int, int] | None = None
) -> np.ndarray:
    """Return how steeply a unit, the sum of its channels, depends on each pixel of an image.

    Where it is not 0, the pixel is in the box of `minicnn.nn.receptive_field`.

    Parameters
    ----------
    net : Module
        Any net with feature maps; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    layer : str
        The name of a module.
    place : (int, int), optional
        Which unit of its map, by row and column; by default the one in the middle.

    Returns
    -------
    ndarray, shape (C, H, W)
        The gradient.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes.
    ConfigError
        If there is no such layer or place, or the layer returns no maps.
    """
    seen = _seen("compute_receptive_field", net, image)
    (chosen,) = _chosen(seen, layer)
    return _slopes(seen, chosen, _place(seen, chosen, place))


def _seen(who: str, net: Module, image: Any) -> Look:
    check_net(who, net)
    return look(who, net, image_of(who, image))


def _chosen(seen: Look, layers: str | Sequence[str] | None) -> list[Returned]:
    """Return what the layers of these names returned, by default the last of each size."""
    if layers is None:
        chosen = list({r.tensor.shape[2:]: r for r in seen.maps()}.values())
    else:
        chosen = [seen.of(name) for name in ([layers] if isinstance(layers, str) else layers)]
    for r in chosen:
        if r.tensor.ndim != 4:
            raise ConfigError(
                f"{seen.who}: {r.name!r} returns {r.tensor.shape}, which has no places: each of "
                "its neurons sees all that the layer before it shows it; name a layer that "
                "returns maps (N, C, H, W)"
            )
    if not chosen:
        raise ConfigError(f"{seen.who}: no layer of the net returns maps (N, C, H, W)")
    return chosen


def _place(seen: Look, r: Returned, place: tuple[int, int] | None) -> tuple[int, int]:
    height, width = r.tensor.shape[2:]
    if place is None:
        return height // 2, width // 2
    if not isinstance(place, tuple | list) or len(place) != 2:
        raise ConfigError(f"{seen.who}: place is {place!r}; give a row and a column: (3, 4)")
    row = index_of(seen.who, f"row of {r.name!r}", place[0], height)
    return row, index_of(seen.who, f"column of {r.name!r}", place[1], width)


def _slopes(seen: Look, r: Returned, place: tuple[int, int]) -> np.ndarray:
    unit = r.tensor[(0, slice(None), *place)].sum()
    return grad(unit, seen.images, retain_graph=True).numpy()[0]


def _draw_box(panel: Axes, box: tuple[tuple[int, int], ...], color: str) -> None:
    """Draw the border of a box of pixels, white around it so that it shows on anything."""
    (y0, y1), (x0, x1) = box
    x = np.array([x0, x1, x1, x0, x0]) - 0.5
    y = np.array([y0, y0, y1, y1, y0]) - 0.5
    panel.plot(x, y, color="white", linewidth=3.5, clip_on=False)
    panel.plot(x, y, color=color, linewidth=2, clip_on=False)
