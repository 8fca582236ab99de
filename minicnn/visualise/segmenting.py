"""The classes of an image's pixels, laid over it, and what its colours mean."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.visualise._panels import names_of, shortened
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compute_segmentation_overlay", "segmentation_colors", "segmentation_overlay"]

_LONGER_SIDE = 8.0  # inches
_LEGEND = 1.8  # inches
_LINE = 0.21  # inches: what an entry of the legend needs
_STEP = 0.618034  # of the circle of hues: the golden ratio, which never comes back near
_TITLE = 0.35  # inches
_BLACK = "#000000"


def segmentation_colors(classes: int) -> np.ndarray:
    """Return a colour for each class, the first seven easy to tell apart for everybody.

    Parameters
    ----------
    classes : int
        How many, K.

    Returns
    -------
    ndarray of uint8, shape (K, 3)
        RGB: those of `COLORS` without black, which would hide what it is laid over; then others of
        many hues.

    Raises
    ------
    ConfigError
        If there are none.
    """
    if classes < 1:
        raise ConfigError(f"segmentation_colors: {classes} classes; give 1 or more")
    first = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in COLORS if c != _BLACK]
    shades = [(1.0, 0.9), (0.6, 0.9), (1.0, 0.6), (0.6, 0.6)]  # saturation and value
    rest = (
        [round(255 * x) for x in colorsys.hsv_to_rgb(i * _STEP % 1, *shades[i % 4])]
        for i in range(classes - len(first))
    )
    return np.array([*first, *rest], np.uint8)[:classes]


def compute_segmentation_overlay(
    image: Any, mask: Any, colors: np.ndarray, strength: float = 0.55
) -> np.ndarray:
    """Tint each pixel of an image by the colour of its class; border pixels get it unmixed.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of int, shape (H, W)
        The class of each pixel; pixels with a label that has no colour stay as they are.
    colors : ndarray of uint8, shape (K, 3)
        From `segmentation_colors`.
    strength : float, default 0.55
        The share of the class's colour, 0 to 1.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        The tinted image.

    Raises
    ------
    ShapeError
        If the image is not (H, W, 3), or the mask not of its size.
    DTypeError
        If the image is not uint8, or the mask of no whole numbers.
    ConfigError
        If the strength is no share.
    """
    pixels, labels = np.asarray(image), np.asarray(mask)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or labels.shape != pixels.shape[:2]:
        raise ShapeError(
            f"segmentation_overlay: image {pixels.shape} and mask {labels.shape} do not fit; give "
            "(H, W, 3) and (H, W)"
        )
    if pixels.dtype != np.uint8 or labels.dtype.kind not in "iu":
        raise DTypeError(
            f"segmentation_overlay: image {pixels.dtype}, mask {labels.dtype}; give uint8 and "
            "whole numbers"
        )
    if not 0 <= strength <= 1:
        raise ConfigError(f"segmentation_overlay: strength {strength}; give a share of 0 to 1")
    known = (labels >= 0) & (labels < len(colors))
    border = np.zeros(labels.shape, bool)
    border[:-1] |= labels[:-1] != labels[1:]
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    share = np.where(border, 1.0, strength)[..., None] * known[..., None]
    tint = colors[np.where(known, labels, 0)]
    return np.rint(pixels * (1 - share) + tint * share).astype(np.uint8)


def segmentation_overlay(
    image: Any,
    mask: Any,
    names: Sequence[str] | None = None,
    truth: Any = None,
    strength: float = 0.55,
    title: str = "",
) -> Figure:
    """Draw an image with the classes of its pixels laid over it, and a legend of those it shows.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of int, shape (H, W)
        The class of each pixel, 0 to K - 1; other labels leave the image as it is.
    names : sequence of str, optional
        Of the K classes; by default numbers.
    truth : ndarray of int, shape (H, W), optional
        The right classes, drawn beside.
    strength : float, default 0.55
        The share of the class's colour, 0 to 1.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        A matplotlib figure, 800 pixels along the image's longer side if saved as it is; with a
        truth, half of that for each.

    Raises
    ------
    ShapeError
        If the image is not (H, W, 3), or a mask not of its size.
    DTypeError
        If the image is not uint8, or a mask of no whole numbers.
    ConfigError
        If the strength is no share.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.visualise import segmentation_overlay
    >>> street = np.full((48, 64, 3), 128, np.uint8)
    >>> mask = np.zeros((48, 64), np.uint8)
    >>> mask[30:] = 1
    >>> figure = segmentation_overlay(street, mask, ["sky", "road"])
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['sky', 'road']
    """
    masks = [np.asarray(mask)] if truth is None else [np.asarray(mask), np.asarray(truth)]
    count = len(names) if names is not None else 1 + max(int(m.max(initial=0)) for m in masks)
    called, colors = names_of("segmentation_overlay", names, count), segmentation_colors(count)
    tinted = [compute_segmentation_overlay(image, m, colors, strength) for m in masks]
    shown = np.unique(np.concatenate([m.reshape(-1) for m in masks]))
    shown = shown[(shown >= 0) & (shown < count)]
    height, width = tinted[0].shape[:2]
    scale = _LONGER_SIDE / len(tinted) / max(height, width)  # inches a pixel
    above = _TITLE if title else 0.0
    high = max(height * scale, _LINE * (len(shown) + 1), 0.5)
    across = len(tinted) * max(width * scale, 0.5)
    figure = new_figure(across + _LEGEND, high + above)
    figure.set_layout_engine("none")
    for place, pixels in enumerate(tinted):
        box = (place * across / len(tinted), 0.0, across / len(tinted), high)
        whole = (across + _LEGEND, high + above)
        panel = figure.add_axes((box[0] / whole[0], 0, box[2] / whole[0], box[3] / whole[1]))
        panel.imshow(pixels, interpolation="nearest")
        panel.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=10)
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=colors[k] / 255, edgecolor="black", label=shortened(called[k]))
        for k in shown.tolist()
    ]
    where = (across / (across + _LEGEND), high / (high + above))
    figure.legend(handles=patches, loc="upper left", bbox_to_anchor=where, fontsize=8)
    return figure
