"""What each channel of a layer answers to most: the patches of a data set where it is largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import Module, ReceptiveField
from minicnn.nn import receptive_field as field_of
from minicnn.visualise._looking import batch_of, check_net, index_of, looks
from minicnn.visualise._panels import evenly, montage, times, viewable
from minicnn.visualise.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Patch", "compute_maximal_patches", "maximal_patches"]


@dataclass(frozen=True, eq=False)
class Patch:
    """A place in a data set where a channel of a layer is large.

    Attributes
    ----------
    image : int
        Which image.
    place : tuple of int
        Where in the layer's map; () in a layer without places.
    value : float
        What the channel is there.
    box : tuple of (int, int)
        Which rows and which columns of pixels it sees there: the first, and the one after the
        last. It sees nothing else.
    pixels : ndarray, shape (C, KH, KW)
        What it sees. Where that goes beyond the image, NaN.
    """

    image: int
    place: tuple[int, ...]
    value: float
    box: tuple[tuple[int, int], ...]
    pixels: np.ndarray


def maximal_patches(
    net: Module,
    images: Any,
    layer: str,
    channels: Sequence[int] | None = None,
    count: int = 8,
    groups: Any = None,
    title: str = "",
) -> Figure:
    """Show what each channel of a layer answers to most: patches of images where it is largest.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    images : ndarray or Tensor of floats, shape (N, C, H, W)
        Where to look, as the net was trained with them.
    layer : str
        The name of a module, such as ``"block2.0"``.
    channels : sequence of int, optional
        Which channels; by default 12 at most, evenly spread.
    count : int, default 8
        How many patches for each, at most.
    groups : ndarray, shape (N,), optional
        Which images show the same thing, such as the frames of a track; of each group at most one
        patch is taken. By default each image is one of its own.
    title : str, default ""
        What to write above; by default the layer.

    Returns
    -------
    Figure
        A row for each channel, the strongest patch first, with its value above; patches are as
        large as what a unit of the layer sees.

    Raises
    ------
    ShapeError
        If they are not images that the net takes, or `groups` does not fit them.
    ConfigError
        If there is no such layer or channel, or `count` is not positive.

    References
    ----------
    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, figure 2.
    """
    found = _found("maximal_patches", net, images, layer, channels, count, groups)
    given = batch_of("maximal_patches", images)
    sees = next(iter(found.values()))[0].pixels.shape[1:]
    tallest, widest = (min(s, n) for s, n in zip(sees, given.shape[2:], strict=True))
    across = max(len(patches) for patches in found.values())
    tiles = []
    for patches in found.values():
        row = [_tile(p, given[p.image], tallest, widest) for p in patches]
        tiles += row + [np.zeros((tallest, widest, 4))] * (across - len(row))
    gap = max(2, round(0.3 * tallest))
    mosaic, places = montage(tiles, across, gap)
    wide = max(0.85 * across, 3.0)
    figure = new_figure(wide + 0.5, wide * mosaic.shape[0] / mosaic.shape[1] + 0.9)
    panel = figure.subplots()
    panel.imshow(mosaic, interpolation="nearest")
    for i, patches in enumerate(found.values()):
        for (x, y), patch in zip(places[i * across :], patches, strict=False):
            panel.text(x, y, f"{patch.value:.2f}", ha="center", va="bottom", fontsize=6.5)
    panel.set_yticks(
        [places[i * across][1] + 0.5 + (tallest - 1) / 2 for i in range(len(found))],
        [f"{c}" for c in found],
    )
    panel.set_xticks([])
    panel.tick_params(labelsize=8, length=0)
    panel.set_ylabel(f"channel of {layer}", fontsize=9)
    panel.set_xlabel("patches, the strongest answer first (its value above)", fontsize=8)
    panel.spines[:].set_visible(False)
    figure.suptitle(title or f"a unit of {layer} sees {times(sees)} pixels", fontsize=10)
    return figure


def compute_maximal_patches(
    net: Module,
    images: Any,
    layer: str,
    channels: Sequence[int] | None = None,
    count: int = 8,
    groups: Any = None,
) -> dict[int, list[Patch]]:
    """Return the patches of images where the channels of a layer are largest.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    images : ndarray or Tensor of floats, shape (N, C, H, W)
        Where to look, as the net was trained with them.
    layer : str
        The name of a module, such as ``"block2.0"``.
    channels : sequence of int, optional
        Which channels; by default 12 at most, evenly spread.
    count : int, default 8
        How many patches for each, at most.
    groups : ndarray, shape (N,), optional
        Which images show the same thing, such as the frames of a track; of each group at most one
        patch is taken. By default each image is one of its own.

    Returns
    -------
    dict of int to list of Patch
        For each channel, the largest first; of equal ones the earlier image, and in an image the
        place that comes first.

    Raises
    ------
    ShapeError
        If they are not images that the net takes, or `groups` does not fit them.
    ConfigError
        If there is no such layer or channel, or `count` is not positive.
    """
    return _found("compute_maximal_patches", net, images, layer, channels, count, groups)


def _found(
    who: str,
    net: Module,
    images: Any,
    layer: str,
    channels: Sequence[int] | None,
    count: int,
    groups: Any,
) -> dict[int, list[Patch]]:
    check_net(who, net)
    given = batch_of(who, images)
    if count < 1:
        raise ConfigError(f"{who}: count is {count}; show 1 or more")
    group = np.arange(len(given)) if groups is None else np.asarray(groups)
    if group.shape != given.shape[:1]:
        raise ShapeError(f"{who}: groups {group.shape} for images {given.shape}; give (N,)")
    values, where, places = _largest(who, net, given, layer)
    if channels is None:
        channels = evenly(range(values.shape[1]), 12)
    chosen = [index_of(who, f"channel of {layer!r}", c, values.shape[1]) for c in channels]
    field = field_of(net, given.shape[1:], output=layer)
    return {
        c: [
            _patch(given, int(i), c, tuple(map(int, np.unravel_index(where[i, c], places))),
                   float(values[i, c]), field)
            for i in _first_of_groups(values[:, c], group, count)
        ]
        for c in chosen
    }  # fmt: skip


def _largest(
    who: str, net: Module, images: np.ndarray, layer: str
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return the largest value of each image and channel, its flat place, and the map's lengths."""
    values, where, places = [], [], ()
    for seen in looks(who, net, images):
        maps = seen.of(layer).tensor.numpy()
        if maps.ndim not in (2, 4):
            raise ConfigError(
                f"{who}: {layer!r} returns {maps.shape}; name a layer that returns maps "
                "(N, C, H, W) or neurons (N, K)"
            )
        places = maps.shape[2:]
        flat = maps.reshape(*maps.shape[:2], -1)
        where.append(flat.argmax(axis=2))
        values.append(flat.max(axis=2))
    return np.concatenate(values), np.concatenate(where), places


def _first_of_groups(values: np.ndarray, group: np.ndarray, count: int) -> list[int]:
    """Return the images of the largest values, at most one of each group."""
    chosen: dict[Any, int] = {}
    for i in np.argsort(-values, kind="stable"):
        chosen.setdefault(group[i].item(), int(i))
        if len(chosen) == count:
            break
    return list(chosen.values())


def _patch(
    images: np.ndarray,
    i: int,
    channel: int,
    place: tuple[int, ...],
    value: float,
    field: ReceptiveField,
) -> Patch:
    """Cut out what the unit sees, NaN where it looks beyond the border."""
    box = field.box(*(place or (channel,)))
    (y0, y1), (x0, x1) = box
    top, left = (_beyond(field, axis, place, box[axis][0]) for axis in (0, 1))
    pixels = np.full((images.shape[1], *field.size), np.nan, images.dtype)
    pixels[:, top : top + y1 - y0, left : left + x1 - x0] = images[i, :, y0:y1, x0:x1]
    return Patch(i, place, value, box, pixels)


def _beyond(field: ReceptiveField, axis: int, place: tuple[int, ...], start: int) -> int:
    """Return how many pixels beyond the border a unit looks before the first in the image."""
    offset, jump = field.offset[axis], field.jump[axis]
    if offset is None or not isinstance(jump, int) or not place:
        return 0  # units differ in more than their place
    return start - (offset + place[axis] * jump)


def _tile(patch: Patch, image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a patch of an image as RGBA, as bright as in it, transparent beyond its border.

    A unit that sees more than the image is shown the part of the image that it sees, in its place.
    """
    pixels = patch.pixels
    if pixels.shape[1] > height or pixels.shape[2] > width:
        pixels = np.full_like(image, np.nan)
        (y0, y1), (x0, x1) = patch.box
        pixels[:, y0:y1, x0:x1] = image[:, y0:y1, x0:x1]
    down, right = pixels.shape[1:]
    seen = viewable(np.nan_to_num(pixels), float(image.min()), float(image.max()))
    tile = np.zeros((height, width, 4))
    tile[:down, :right, :3] = seen if seen.ndim == 3 else seen[..., None]
    tile[:down, :right, 3] = ~np.isnan(pixels[0])
    return tile
