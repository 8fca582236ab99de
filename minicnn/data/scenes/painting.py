"""A canvas that knows what is on it: colours, classes of pixels, and which object they show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["FINER", "Canvas"]

FINER = 2  # painted so many times larger and averaged: smooth edges

Point = tuple[float, float]


class Canvas:
    """What has been painted so far, from far to near: what comes later covers.

    Parameters
    ----------
    height, width : int
        Of the finished picture, in pixels.

    Attributes
    ----------
    height, width : int
        Of the canvas, which is finer than the picture.
    colours : ndarray of float32, shape (height, width, 3)
        RGB from 0 to 1, under ordinary light.
    classes : ndarray of uint8, shape (height, width)
        What each pixel shows.
    objects : ndarray of uint8, shape (height, width)
        The number of the object that each pixel shows, 0 for none.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height * FINER, width * FINER
        self.colours = np.zeros((self.height, self.width, 3), np.float32)
        self.classes = np.zeros((self.height, self.width), np.uint8)
        self.objects = np.zeros((self.height, self.width), np.uint8)

    def fill(
        self,
        points: Sequence[Point],
        colour: npt.ArrayLike,
        label: int,
        texture: np.ndarray | None = None,
    ) -> None:
        """Fill a polygon.

        Parameters
        ----------
        points : sequence of (x, y)
            Its corners, in pixels of the canvas; they may lie outside.
        colour : array_like, shape (3,)
            RGB from 0 to 1.
        label : int
            The class of what is painted.
        texture : ndarray of float32, shape (height, width), optional
            What the colour is multiplied by, place by place.
        """
        rows, columns, inside = self._inside(points)
        shade = np.asarray(colour, np.float32)
        if texture is not None:
            shade = shade * texture[rows, columns][inside][:, None]
        self.colours[rows, columns][inside] = shade
        self.classes[rows, columns][inside] = label
        self.objects[rows, columns][inside] = 0

    def lay(self, inside: np.ndarray, colour: np.ndarray, label: int) -> None:
        """Paint a picture (height, width, 3) where a mask (height, width) is True."""
        self.colours[inside] = colour[inside]
        self.classes[inside] = label
        self.objects[inside] = 0

    def paste(
        self, light: np.ndarray, cover: np.ndarray, corner: tuple[int, int], label: int, number: int
    ) -> int:
        """Put a small picture of an object on the canvas.

        Parameters
        ----------
        light : ndarray, shape (h, w, 3)
            Its colours, already times its cover.
        cover : ndarray, shape (h, w, 1)
            How much of what is behind it hides, from 0 to 1.
        corner : (int, int)
            Where its first row and column come to lie; it may reach out of the canvas.
        label, number : int
            Its class, and which object it is.

        Returns
        -------
        int
            How many pixels it would show if nothing cut it off or covered it.
        """
        rows, columns = (
            slice(max(0, at), max(0, min(at + size, limit)))
            for at, size, limit in zip(
                corner, cover.shape[:2], (self.height, self.width), strict=True
            )
        )
        own = (
            slice(rows.start - corner[0], rows.stop - corner[0]),
            slice(columns.start - corner[1], columns.stop - corner[1]),
        )
        behind = self.colours[rows, columns]
        self.colours[rows, columns] = behind * (1 - cover[own]) + light[own]
        shows = cover[own][..., 0] > 0.5
        self.classes[rows, columns][shows] = label
        self.objects[rows, columns][shows] = number
        return int((cover > 0.5).sum())

    def _inside(self, points: Sequence[Point]) -> tuple[slice, slice, np.ndarray]:
        """Return the rows and columns that a polygon reaches, and which of their pixels it covers.

        Drawn no larger than it is: a street has hundreds of windows.
        """
        from PIL import Image, ImageDraw

        far = 8 * (self.width + self.height)  # whose corners are drawn in bounded time
        corners = np.clip(np.asarray(points, np.float64), -far, far)
        first = np.clip(np.floor(corners.min(axis=0)), 0, (self.width, self.height)).astype(int)
        last = np.clip(np.ceil(corners.max(axis=0)) + 1, first, (self.width, self.height))
        wide, high = (last.astype(int) - first).tolist()
        left, top = first.tolist()
        mask = Image.new("1", (wide, high))
        ImageDraw.Draw(mask).polygon([tuple(c) for c in (corners - first).tolist()], fill=1)
        return slice(top, top + high), slice(left, left + wide), np.asarray(mask)

    def picture(self) -> np.ndarray:
        """Return the colours (H, W, 3), each the mean of what was painted finer."""
        shape = self.height // FINER, FINER, self.width // FINER, FINER, 3
        return self.colours.reshape(shape).mean(axis=(1, 3))

    def maps(self) -> tuple[np.ndarray, np.ndarray]:
        """Return classes and objects (H, W): of the finer pixel next to each one's middle."""
        middle = slice(FINER // 2, None, FINER)
        return self.classes[middle, middle].copy(), self.objects[middle, middle].copy()
