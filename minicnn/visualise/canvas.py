"""Where all pictures begin: an empty one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLORS", "new_figure"]

# Okabe and Ito, "Color universal design", 2008: people of all kinds of colour vision can tell them
# apart. Dark ones first, which show on white: blue, vermilion, green, purple, orange, sky blue,
# black, yellow.
COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#F0E442",
)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure to draw on.

    It has no window and is not one of pyplot's, so that it goes when nobody holds it any longer. A
    notebook shows it where it is a cell's last expression. What is on it keeps its distance by
    itself, and lines and bars take the colours `COLORS`, which colour-blind people can tell apart.

    Parameters
    ----------
    width, height : float
        Its size, in inches; at 100 pixels an inch if not said otherwise.

    Returns
    -------
    Figure
        A matplotlib figure; ``figure.subplots(rows, columns)`` puts axes on it, and
        ``figure.savefig("name.png")`` writes it.

    Raises
    ------
    ConfigError
        If a length is not a positive number.

    Examples
    --------
    >>> from minicnn.visualise import new_figure
    >>> figure = new_figure(4, 3)
    >>> panel = figure.subplots()
    >>> line = panel.plot([1, 4, 9])
    >>> line[0].get_color()
    '#0072B2'
    """
    for length in (width, height):
        if not (math.isfinite(length) and length > 0):
            raise ConfigError(
                f"new_figure: ({width!r}, {height!r}) is no size; give two positive numbers, in "
                "inches"
            )
    from minicnn.visualise._picture import Picture  # which takes a third of a second to import

    return Picture(figsize=(width, height), layout="constrained")
