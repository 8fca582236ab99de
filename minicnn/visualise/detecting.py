"""What a detector found, drawn into the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.visualise._panels import names_of, shortened
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["detections"]

_LONGER_SIDE = 9.0  # inches
_LETTERS = 8.0  # points
_LINE = 1.5 * _LETTERS / 72  # inches: what a line of text needs
_BRIGHT = frozenset(COLORS[4:6] + COLORS[7:])  # on which black letters are easier to read


def detections(
    image: Any,
    boxes: Any,
    classes: Any,
    scores: Any = None,
    names: Sequence[str] | None = None,
    truths: Mapping[str, Any] | None = None,
    score: float = 0.0,
    title: str = "",
) -> Figure:
    """Draw boxes into an image, each with its class and how sure the detector is of it.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    boxes : ndarray, shape (D, 4)
        What was found: (y0, x0, y1, x1) in pixels, half-open. None at all is fine.
    classes : ndarray of int, shape (D,)
        What each is, 0 to K - 1; a class has one colour.
    scores : ndarray, shape (D,), optional
        How sure the detector is, 0 to 1, written as per cent; the surest is drawn last, on top.
    names : sequence of str, optional
        Of the K classes; by default numbers.
    truths : dict, optional
        What there is to find: "boxes" (T, 4), drawn dashed in white.
    score : float, default 0
        Boxes that are less sure are left out.
    title : str, default ""
        What to write above the image; without one, the image fills the picture.

    Returns
    -------
    Figure
        A matplotlib figure, its longer side 900 pixels if saved as it is. The image fills it to
        the border.

    Raises
    ------
    ShapeError
        If the image, the boxes, classes or scores are not of their shapes.
    DTypeError
        If the image is not uint8.
    ConfigError
        If a class is below 0 or has no name.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.visualise import detections
    >>> street = np.full((48, 64, 3), 128, np.uint8)
    >>> figure = detections(street, [[10, 8, 30, 28]], [1], [0.97], ["danger", "mandatory"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['mandatory 97 %']
    """
    pixels = _rgb(image)
    found, labels, sure = _checked(boxes, classes, scores)
    names = _names(names, labels)
    height, width = pixels.shape[:2]
    scale = _LONGER_SIDE / max(height, width)  # inches a pixel
    above = 2.5 * _LINE if title else 0.0
    figure = new_figure(max(width * scale, 0.5), max(height * scale, 0.5) + above)
    figure.set_layout_engine("none")
    share = height * scale / (height * scale + above)
    panel = figure.add_axes((0.0, 0.0, 1.0, share))
    panel.imshow(pixels, extent=(0, width, height, 0), aspect="auto")
    panel.set_axis_off()
    panel.set_xlim(0, width)
    panel.set_ylim(height, 0)
    if title:
        figure.suptitle(title, fontsize=10)
    if truths is not None:
        for box in np.asarray(truths["boxes"], np.float64).reshape(-1, 4):
            _outline(panel, box, "white", "--", 1.0)
    order = np.arange(len(found)) if sure is None else np.argsort(sure, kind="stable")
    for i in order:
        if sure is not None and not sure[i] >= score:
            continue
        color = COLORS[labels[i] % len(COLORS)]
        text = shortened(names[labels[i]])
        text = text if sure is None else f"{text} {100 * sure[i]:.0f} %"
        _outline(panel, found[i], color, "-", 2.0)
        _label(panel, found[i], text, color, (height, width), _LINE / scale)
    return figure


def _outline(panel: Axes, box: np.ndarray, color: str, style: str, width: float) -> None:
    """Draw the border of a box, with a dark one around it that shows on white."""
    y0, x0, y1, x1 = box
    x, y = [x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0]
    panel.plot(x, y, color="black", linewidth=width + 1.2, alpha=0.5)
    panel.plot(x, y, color=color, linewidth=width, linestyle=style)


def _label(
    panel: Axes, box: np.ndarray, text: str, color: str, size: tuple[int, int], line: float
) -> None:
    """Write above a box, or below it where there is no room, and never beyond the image."""
    y0, x0, y1, x1 = box
    above = y0 >= line
    below = y1 + line <= size[0]
    y, side = (y0, "bottom") if above else (y1, "top") if below else (max(y0, 0.0), "top")
    to_the_right = x0 < size[1] / 2
    panel.text(
        max(x0, 0.0) if to_the_right else min(x1, size[1]),
        y,
        text,
        fontsize=_LETTERS,
        color="black" if color in _BRIGHT else "white",
        ha="left" if to_the_right else "right",
        va=side,
        bbox={"facecolor": color, "edgecolor": "none", "pad": 1.0},
    )


def _rgb(image: Any) -> np.ndarray:
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ShapeError(f"detections: image {pixels.shape} is not (H, W, 3); give one RGB image")
    if pixels.dtype != np.uint8:
        raise DTypeError(f"detections: the image is {pixels.dtype}; give uint8, 0 to 255")
    return pixels


def _checked(
    boxes: Any, classes: Any, scores: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    found = np.asarray(boxes, np.float64)
    labels = np.asarray(classes)
    sure = None if scores is None else np.asarray(scores, np.float64)
    if not found.size:
        found, labels = found.reshape(0, 4), labels.astype(np.int64)
    fits = found.ndim == 2 and found.shape[1] == 4 and labels.shape == found.shape[:1]
    if not fits or (sure is not None and sure.shape != labels.shape):
        raise ShapeError(
            f"detections: boxes {found.shape}, classes {labels.shape}"
            f"{'' if sure is None else f' and scores {sure.shape}'} do not fit; give (D, 4) and "
            "(D,)"
        )
    return found, labels, sure


def _names(names: Sequence[str] | None, labels: np.ndarray) -> list[str]:
    count = int(labels.max(initial=-1)) + 1 if names is None else len(names)
    wrong = [label for label in labels.tolist() if not 0 <= label < count]
    if wrong:
        raise ConfigError(
            f"detections: class {wrong[0]} is none of 0 ... {count - 1}; give a name for each"
        )
    return names_of("detections", names, count)
