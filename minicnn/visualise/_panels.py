"""What pictures are put together from: images, tiles, colours that mean something."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TIMES = "\u00d7"
AMOUNTS = "viridis"  # colours of what is at least 0
SIGNED = "RdBu_r"  # and of what may be negative: white is 0, red more, blue less


def viewable(image: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """Return (C, H, W) as (H, W) or (H, W, 3), floats in 0 to 1.

    Floats are stretched from `low` to `high`, by default the image's own extremes. Images that are
    neither grey nor RGB become grey, the mean of their channels.
    """
    pixels = np.moveaxis(image, 0, -1) if len(image) == 3 else image.mean(axis=0)
    if len(image) == 1:
        pixels = image[0]
    if pixels.dtype == np.uint8:
        return pixels
    pixels = pixels.astype(np.float64)
    low = pixels.min() if low is None else low
    high = pixels.max() if high is None else high
    return np.clip((pixels - low) / (high - low), 0, 1) if high > low else np.zeros_like(pixels)


def show_image(panel: Axes, image: np.ndarray, title: str = "") -> None:
    """Show an image (C, H, W), its axes in pixels."""
    white = 255 if image.dtype == np.uint8 else 1
    panel.imshow(viewable(image), cmap="gray", interpolation="nearest", vmin=0, vmax=white)
    panel.set_title(title, fontsize=9)
    pixel_axes(panel)


def pixel_axes(panel: Axes) -> None:
    """Say that both axes count pixels."""
    panel.set_xlabel("x (pixels)", fontsize=8)
    panel.set_ylabel("y (pixels)", fontsize=8)
    panel.tick_params(labelsize=7)


def show_values(
    panel: Axes,
    values: np.ndarray,
    label: str,
    signed: bool = False,
    extent: tuple[float, float, float, float] | None = None,
    interpolation: str = "nearest",
    alpha: float = 1.0,
) -> None:
    """Show numbers (H, W) as colours with a bar that says what they mean.

    Signed ones are symmetric about 0, others begin at 0.
    """
    largest = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    drawn = panel.imshow(
        values,
        cmap=SIGNED if signed else AMOUNTS,
        vmin=-largest if signed else 0,
        vmax=largest,
        extent=extent,
        interpolation=interpolation,
        alpha=alpha,
    )
    bar = panel.figure.colorbar(drawn, ax=panel, fraction=0.046, pad=0.02)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if bar.solids is not None:
        bar.solids.set_alpha(1)


def montage(
    tiles: Sequence[np.ndarray], across: int, gap: int = 1
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Put tiles of one shape side by side, as one array with NaN between.

    Parameters
    ----------
    tiles : sequence of ndarray, shape (H, W) or (H, W, 3)
        At least one.
    across : int
        How many in a row.
    gap : int, default 1
        Pixels between.

    Returns
    -------
    ndarray, shape (rows * (H + gap) - gap, across * (W + gap) - gap, ...)
        The mosaic. For RGB, a fourth channel is 1 where there is a tile, else 0.
    list of (float, float)
        The x of the middle and the y of the top of each tile, in the pixels of the mosaic.
    """
    height, width = tiles[0].shape[:2]
    down = math.ceil(len(tiles) / across)
    size = (down * (height + gap) - gap, across * (width + gap) - gap)
    colored = tiles[0].ndim == 3
    mosaic = np.zeros((*size, 4)) if colored else np.full(size, np.nan)
    places = []
    for i, tile in enumerate(tiles):
        y, x = i // across * (height + gap), i % across * (width + gap)
        if colored:
            mosaic[y : y + height, x : x + width, :3] = tile[..., :3]
            mosaic[y : y + height, x : x + width, 3] = tile[..., 3] if tile.shape[2] > 3 else 1
        else:
            mosaic[y : y + height, x : x + width] = tile
        places.append((x + (width - 1) / 2, y - 0.5))
    return mosaic, places


def names_of(who: str, given: Sequence[str] | None, classes: int) -> list[str]:
    """Return one name for each class, by default its number."""
    if given is None:
        return [str(i) for i in range(classes)]
    if len(given) != classes:
        raise ShapeError(f"{who}: {len(given)} names for {classes} classes; give one for each")
    return [str(name) for name in given]


def called(who: str, given: Sequence[str] | None, classes: int, number: int) -> str:
    """Return what a class is called in a title: its name, or "class 3"."""
    name = names_of(who, given, classes)[number]
    return f"class {name}" if given is None else shortened(name, 32)


def shortened(name: str, length: int = 22) -> str:
    """Return a name, or its beginning if it is long."""
    return name if len(name) <= length else name[: length - 1] + "…"


def times(lengths: Sequence[Any]) -> str:
    """Return ``8 x 32 x 32`` for (8, 32, 32)."""
    return f" {TIMES} ".join(map(str, lengths))


def evenly(things: Sequence[Any], count: int) -> list[Any]:
    """Return at most so many, evenly spread, the first and the last among them."""
    if len(things) <= count:
        return list(things)
    return [things[round(i)] for i in np.linspace(0, len(things) - 1, count)]
