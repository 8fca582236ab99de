"""Where each place of a changed picture comes from, and the one look-up that all motions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.backend import kernels_for

__all__ = ["Motion", "about_middle", "back", "forth", "looked_up", "places_of"]

_CLOSE = 1e-6  # pixels: a place that is found to within this much is found
_STEPS = 100  # of the search for it, at most


class Motion(NamedTuple):
    """How a picture moves: for each place of the new one, which place of the old one it shows.

    A place is (y, x) in pixels from the upper left corner; the middle of the first pixel is at
    (0.5, 0.5).

    Parameters
    ----------
    size : (int, int)
        Height and width of the new picture.
    matrix : ndarray of float64, shape (3, 3)
        From (y, x, 1) of a new place to (y, x, 1) of the old one, times a depth that is positive
        wherever something can be seen; 1 everywhere if parallels stay parallel.
    bend : ndarray of float64, shape (GH, GW, 2), optional
        How far places are pushed, in pixels, before the matrix moves them: at the corners of
        squares of `cell` pixels that cover the new picture, and bilinearly between them.
    cell : int, default 16
        The side of those squares.
    """

    size: tuple[int, int]
    matrix: np.ndarray
    bend: np.ndarray | None = None
    cell: int = 16


def about_middle(
    size: tuple[int, int],
    linear: np.ndarray,
    shift: np.ndarray | float = 0.0,
    aim: np.ndarray | float = 0.0,
) -> Motion:
    """Return an affine motion about the middle of a picture, whose size stays.

    Counted from the middle, in pixels, a place p shows what was at ``linear @ (p - shift) + aim``.
    """
    middle = np.array(size) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = middle - linear @ (middle + shift) + aim
    return Motion(size, matrix)


def back(motions: Sequence[Motion], places: np.ndarray) -> np.ndarray:
    """Return which places (..., 2) of the first picture are shown at places of the last one.

    NaN for places beyond the horizon of a perspective, where nothing can be seen.
    """
    for motion in reversed(motions):
        if motion.bend is not None:
            places = places + _pushed(motion.bend, motion.cell, places)
        places = _projected(motion.matrix, places)
    return places


def forth(motions: Sequence[Motion], places: np.ndarray) -> np.ndarray:
    """Return where places (..., 2) of the first picture are in the last one; NaN if nowhere."""
    for motion in motions:
        places = _projected(np.linalg.inv(motion.matrix), places)
        if motion.bend is not None:  # the q of which q + push(q) is the place
            at = places
            for _ in range(_STEPS):
                at, before = places - _pushed(motion.bend, motion.cell, at), at
                if not (abs(at - before) > _CLOSE).any():
                    break
            places = at
    return places


def looked_up(
    image: np.ndarray,
    motions: Sequence[Motion],
    places: np.ndarray,
    fill: tuple[int, int, int] | int,
) -> np.ndarray:
    """Return the last picture, each of its pixels looked up in the first one.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3) or (H, W)
        A photograph, mixed bilinearly, or a mask of classes, of which the nearest is taken.
    motions : sequence of Motion
        The first one first; done as one, so that the picture is blurred once.
    places : ndarray of float32, shape (2, H', W')
        What `places_of` says of them.
    fill : (int, int, int) or int
        What is shown where the first picture ends.

    Returns
    -------
    ndarray of uint8, shape (H', W', 3) or (H', W')
        Of the size of the last motion.
    """
    k = kernels_for(image)
    if image.ndim == 2:
        return k.remap_nearest(image, places, fill)
    averaged, times = _reduced(image, motions)
    if max(times) > 1:  # whose last pixels may reach beyond the border
        beyond = (places[0] >= image.shape[0]) | (places[1] >= image.shape[1])
        places = places * np.array(1 / times, np.float32)[:, None, None]
        places[0][beyond] = np.nan
    return k.remap(averaged, places, fill)


def _projected(matrix: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Move places (..., 2) by a matrix (3, 3)."""
    y, x = places[..., 0], places[..., 1]
    down, across, depth = (row[0] * y + row[1] * x + row[2] for row in matrix)
    depth = np.where(depth > 0, depth, np.nan)
    return np.stack([down / depth, across / depth], axis=-1)


def _pushed(bend: np.ndarray, cell: int, places: np.ndarray) -> np.ndarray:
    """Return how far a bend pushes places (..., 2); beyond its border as far as on it."""
    last = np.array(bend.shape[:2]) - 1
    at = np.clip(places / cell, 0, last)
    corner = np.minimum(at.astype(np.int64), last - 1)
    y, x = corner[..., 0], corner[..., 1]
    down, right = np.moveaxis(at - corner, -1, 0)[..., None]
    top = bend[y, x] + right * (bend[y, x + 1] - bend[y, x])
    bottom = bend[y + 1, x] + right * (bend[y + 1, x + 1] - bend[y + 1, x])
    return top + down * (bottom - top)


def places_of(motions: Sequence[Motion]) -> np.ndarray:
    """Return which place each pixel of the last picture shows: float32 (2, H, W) of y and x."""
    height, width = motions[-1].size
    down, across = np.arange(height) + 0.5, np.arange(width) + 0.5
    cells = [motion.cell for motion in motions if motion.bend is not None]
    if cells:  # found at the corners of squares, and bilinearly between them
        ys, xs = (np.arange(-(-n // min(cells)) + 1) * min(cells) for n in (height, width))
        corners = back(motions, np.stack(np.meshgrid(ys, xs, indexing="ij"), -1).astype(float))
        found = np.moveaxis(corners, -1, 0).astype(np.float32)
        return _between(_between(found, down / min(cells), 1), across / min(cells), 2)
    return _moved_grid(_composed(motions), down, across)


def _composed(motions: Sequence[Motion]) -> np.ndarray:
    """Return the matrix of several motions without bends."""
    matrix = motions[0].matrix
    for motion in motions[1:]:
        matrix = matrix @ motion.matrix
    return matrix


def _moved_grid(matrix: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Move all places of a grid by a matrix: float32 (2, H, W) of y and x."""
    places = np.empty((2, len(down), len(across)), np.float32)
    for row, found in zip(matrix, places, strict=False):
        np.add.outer(row[0] * down + row[2], row[1] * across, out=found, dtype=np.float32)
    if matrix[2, :2].any():
        row = matrix[2]
        depth = np.add.outer(row[0] * down + row[2], row[1] * across, dtype=np.float32)
        depth[depth <= 0] = np.nan  # beyond the horizon
        places /= depth
    return places


def _between(values: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """Return values linearly between those at whole numbers, along an axis."""
    first = np.minimum(at.astype(np.int64), values.shape[axis] - 2)
    share = (at - first).astype(np.float32)
    share = share[:, None] if axis == 1 else share
    low, high = values.take(first, axis), values.take(first + 1, axis)
    high -= low
    high *= share
    high += low
    return high


def _reduced(image: np.ndarray, motions: Sequence[Motion]) -> tuple[np.ndarray, np.ndarray]:
    """Return a photograph averaged so that its pixels, looked up, skip none; and how many in one.

    Along its rows and columns (2,): about as many pixels as the motions bring closer together in
    the middle.
    """
    from PIL import Image

    middle = np.array(motions[-1].size) / 2
    start, down, right = back(motions, middle + np.array([[0, 0], [1, 0], [0, 1]]))
    rates = np.nan_to_num(np.hypot(down - start, right - start), nan=1.0)
    times = np.clip((rates + 0.5).astype(np.int64), 1, image.shape[:2])
    if (times == 1).all():
        return image, times
    averaged = Image.fromarray(np.ascontiguousarray(image)).reduce(tuple(times[::-1].tolist()))
    return np.asarray(averaged), times
