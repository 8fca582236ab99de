"""From shapes to pixels: a sign drawn once, large and smooth, and kept for the process."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from minicnn.data.classes import NUM_CLASSES
from minicnn.data.signs.catalogue import CATALOGUE
from minicnn.data.signs.shapes import PALETTE
from minicnn.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["EDGE", "draw_sign"]

EDGE = 256
"""Pixels along the edge of a drawn sign, which fills them from -1 to 1."""

_FINER = 4  # drawn so many times larger and averaged: smooth edges


@cache
def draw_sign(label: int, edition: int = 0) -> Image.Image:
    """Draw the clean sign of a class.

    Parameters
    ----------
    label : int
        The class, an index into `minicnn.data.classes.CLASS_NAMES`.
    edition : int, default 0
        Which of its looks, counted round: some signs have two.

    Returns
    -------
    PIL.Image.Image
        Mode RGBA, 256 x 256 pixels, transparent around the sign. It is shared: copy
        it before changing it.

    Raises
    ------
    ConfigError
        If there is no such class.
    """
    from PIL import Image, ImageDraw

    if not 0 <= label < NUM_CLASSES:
        raise ConfigError(f"draw_sign: class {label} does not exist; classes are 0 to 42")
    shapes = CATALOGUE[label][edition % len(CATALOGUE[label])]
    size = EDGE * _FINER
    image = Image.new("RGB", (size, size), PALETTE[shapes[0].colour])
    mask = Image.new("L", (size, size), 0)
    pen = ImageDraw.Draw(image)
    for index, shape in enumerate(shapes):
        points = [((x + 1) / 2 * size, (y + 1) / 2 * size) for x, y in shape.points]
        pen.polygon(points, fill=PALETTE[shape.colour])
        if index == 0:
            ImageDraw.Draw(mask).polygon(points, fill=255)
    image.putalpha(mask)
    return image.reduce(_FINER)
