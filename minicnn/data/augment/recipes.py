"""Transforms that go together: for streets, and for pictures that have no upper side."""

from __future__ import annotations

from minicnn.data.augment.framing import Crop, Letterbox
from minicnn.data.augment.geometry import Affine, Flip
from minicnn.data.augment.light import Blur, Colour, Noise
from minicnn.data.augment.mixing import Mosaic, Pictures
from minicnn.data.augment.picture import Rules
from minicnn.data.augment.view import Compose, Sometimes, Transform

__all__ = ["any_side_up", "street_view"]


def street_view(
    size: tuple[int, int] | None = None, others: Pictures | None = None, smallest: float = 8.0
) -> Compose:
    """Return how to change pictures of streets: nothing is mirrored, and little is turned.

    Parameters
    ----------
    size : (int, int), optional
        Height and width that every picture is to have; by default it keeps its own.
    others : Pictures, optional
        The training set, to make a mosaic of every third picture; by default of none.
    smallest : float, default 8.0
        In pixels: objects whose shorter side becomes less are to be ignored.

    Returns
    -------
    Compose
        Call it with a `Picture` and a `Stream`. Objects of which less than 0.3 stays visible are
        to be ignored too (class -2).

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn.backend.random import Stream
    >>> from minicnn.data.augment import Picture
    >>> picture = Picture(np.zeros((60, 80, 3), np.uint8), np.ones((0, 4), np.float32))
    >>> street_view((48, 64))(picture, Stream(0, "example", 7)).image.shape
    (48, 64, 3)
    """
    transforms: list[Transform] = [] if others is None else [Sometimes(Mosaic(others), 1 / 3)]
    transforms += [
        Affine(rotation=0.06, scale=(0.7, 1.4), stretch=0.08, shear=0.05, shift=0.15),
        Sometimes(Crop(area=(0.35, 1.0)), 0.3),
        *([] if size is None else [Letterbox(size)]),
        Colour(brightness=0.12, contrast=0.4, saturation=0.4, hue=0.1),
        Sometimes(Blur(1.0), 0.1),
        Sometimes(Noise(8.0), 0.3),
    ]
    return Compose(transforms, Rules(smallest=smallest, cut="ignore", outline="ellipse"))


def any_side_up(
    size: tuple[int, int] | None = None, others: Pictures | None = None, smallest: float = 4.0
) -> Compose:
    """Return how to change pictures that have no upper side: cells, things on a table, fields.

    Parameters
    ----------
    size : (int, int), optional
        Height and width that every picture is to have; by default it keeps its own.
    others : Pictures, optional
        The training set, to make a mosaic of every third picture; by default of none.
    smallest : float, default 4.0
        In pixels: objects whose shorter side becomes less are to be ignored.

    Returns
    -------
    Compose
        As from `street_view`, with any mirroring, and wider turns.
    """
    transforms: list[Transform] = [] if others is None else [Sometimes(Mosaic(others), 1 / 3)]
    transforms += [
        Flip(horizontal=0.5, vertical=0.5),
        Affine(rotation=0.3, scale=(0.75, 1.33), stretch=0.08, shift=0.12),
        *([] if size is None else [Letterbox(size)]),
        Colour(brightness=0.1, contrast=0.3, saturation=0.3, hue=0.1),
        Sometimes(Blur(1.0), 0.1),
        Sometimes(Noise(6.0), 0.2),
    ]
    return Compose(transforms, Rules(smallest=smallest, cut="ignore", outline="ellipse"))
