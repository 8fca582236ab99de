"""A matplotlib Figure that shows itself in a notebook, in colours that all can tell apart."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from minicnn.visualise.canvas import COLORS

__all__ = ["Picture"]


class Picture(Figure):
    """A figure that nobody but its owner keeps: pyplot does not know of it.

    As the last expression of a notebook's cell it is shown, whatever the front end. Lines and bars
    take the colours of `minicnn.visualise.COLORS`, in all axes that `subplots`, `add_subplot` and
    `add_axes` make; matplotlib's own settings stay as they are.
    """

    def add_subplot(self, *args: Any, **kwargs: Any) -> Axes:
        """Add axes in a grid."""
        return self._in_our_colors(super().add_subplot(*args, **kwargs))

    def add_axes(self, *args: Any, **kwargs: Any) -> Axes:
        """Add axes anywhere."""
        return self._in_our_colors(super().add_axes(*args, **kwargs))

    def _in_our_colors(self, axes: Axes) -> Axes:
        axes.set_prop_cycle(color=COLORS)
        return axes

    def _repr_png_(self) -> bytes:
        """Return the picture as a notebook shows it."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
