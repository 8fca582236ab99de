"""Images of any size in memory of one size: tile by tile, blended where tiles overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, ShapeError

__all__ = ["Strip", "segment_in_tiles", "strips"]

Scorer = Callable[[np.ndarray], np.ndarray]


class Strip(NamedTuple):
    """Rows of an image whose scores are final.

    Parameters
    ----------
    start : int
        The first row.
    scores : ndarray of float32, shape (K, rows, W)
        Of each class.
    """

    start: int
    scores: np.ndarray


def segment_in_tiles(
    scorer: Scorer,
    image: Any,
    tile: tuple[int, int] = (256, 256),
    overlap: int = 64,
    margin: int = 16,
    out: Any = None,
) -> Any:
    """Classify the pixels of an image of any size, tile by tile.

    Parameters
    ----------
    scorer : callable
        Takes images uint8 (1, TH, TW, 3), returns scores or probabilities (1, K, TH, TW).
    image : array-like of uint8, shape (H, W, 3)
        Whatever gives arrays when it is sliced: an ndarray, a `numpy.memmap` of a file.
    tile : (int, int), default (256, 256)
        Height and width of a tile, in pixels; a smaller image is one tile.
    overlap : int, default 64
        Pixels that neighbouring tiles share; there, the one fades into the other.
    margin : int, default 16
        Pixels at a tile's edge that count for nothing, since the net has not seen what is beyond.
        Where it is at least the net's view to one side, and ``tile - overlap`` a multiple of its
        stride, the result is that of the whole image. The image's own border has none.
    out : array-like of uint8, shape (H, W), optional
        Where to write, such as a `numpy.memmap`; by default a new array.

    Returns
    -------
    array-like of uint8, shape (H, W)
        `out`, with the class of each pixel.

    Raises
    ------
    ShapeError
        If the image is not (H, W, 3), or `out` not (H, W).
    ConfigError
        If tile, overlap and margin do not fit one another.

    References
    ----------
    Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image
    Segmentation", MICCAI 2015, figure 2: overlapping tiles.
    """
    height, width = _size(image)
    if out is None:
        out = np.empty((height, width), np.uint8)
    elif tuple(out.shape) != (height, width):
        raise ShapeError(
            f"segment_in_tiles: out {tuple(out.shape)} is no mask of an image {height} x {width}; "
            f"give ({height}, {width})"
        )
    for start, scores in strips(scorer, image, tile, overlap, margin):
        out[start : start + scores.shape[1]] = scores.argmax(axis=0)
    return out


def strips(
    scorer: Scorer,
    image: Any,
    tile: tuple[int, int] = (256, 256),
    overlap: int = 64,
    margin: int = 16,
) -> Iterator[Strip]:
    """Score the pixels of an image from top to bottom; only rows of one tile are in memory.

    Parameters
    ----------
    scorer, image, tile, overlap, margin
        As for `segment_in_tiles`.

    Yields
    ------
    Strip
        Rows that no later tile touches, blended.

    Raises
    ------
    ShapeError
        If the image is not (H, W, 3), or the scores do not fit a tile.
    ConfigError
        If tile, overlap and margin do not fit one another.
    """
    size = _size(image)
    _check(tile, overlap, margin)
    rows, columns = (_spans(n, t, overlap, margin) for n, t in zip(size, tile, strict=True))
    sums: np.ndarray | None = None  # (K, rows, W) from row `done` on
    weights = np.zeros((0, size[1]), np.float32)
    done = 0
    for i, down in enumerate(rows):
        for across in columns:
            piece = np.asarray(image[down.start : down.stop, across.start : across.stop])
            scores = _scored(scorer, piece)
            if sums is None:
                sums = np.zeros((len(scores), 0, size[1]), np.float32)
            missing = down.stop - done - sums.shape[1]
            if missing > 0:
                sums = np.pad(sums, [(0, 0), (0, missing), (0, 0)])
                weights = np.pad(weights, [(0, missing), (0, 0)])
            weight = down.weight[:, None] * across.weight
            there = slice(down.start - done, down.stop - done), slice(across.start, across.stop)
            sums[:, *there] += scores * weight
            weights[there] += weight
        assert sums is not None
        final = (rows[i + 1].start if i + 1 < len(rows) else size[0]) - done
        yield Strip(done, sums[:, :final] / weights[:final])
        sums, weights, done = sums[:, final:], weights[final:], done + final


class _Span(NamedTuple):
    """From where to where a tile goes along an axis, and how much each pixel of it counts."""

    start: int
    stop: int
    weight: np.ndarray


def _spans(length: int, tile: int, overlap: int, margin: int) -> list[_Span]:
    step = tile - overlap
    starts = list(range(0, max(length - overlap, 1), step))
    spans = []
    for start in starts:
        stop = min(start + tile, length)
        at = np.arange(start, stop, dtype=np.float32) + 0.5
        fade = max(overlap - 2 * margin, 1)
        weight = np.ones(len(at), np.float32)
        if start > 0:
            weight = np.minimum(weight, (at - start - margin) / fade)
        if stop < length:
            weight = np.minimum(weight, (stop - margin - at) / fade)
        spans.append(_Span(start, stop, np.maximum(weight, 0)))
    return spans


def _size(image: Any) -> tuple[int, int]:
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) != 3 or shape[2] != 3 or not shape[0] or not shape[1]:
        raise ShapeError(f"segment_in_tiles: needs an image (H, W, 3), got shape {shape}")
    return shape[0], shape[1]


def _check(tile: tuple[int, int], overlap: int, margin: int) -> None:
    # Two tiles that are the next but one must not overlap, or three would be blended in a corner
    if not 0 <= 2 * margin < max(overlap, 1) or not 2 * overlap <= min(tile):
        raise ConfigError(
            f"segment_in_tiles: tile {tuple(tile)}, overlap {overlap}, margin {margin} do not fit; "
            "give 2 * margin < overlap <= tile / 2"
        )


def _scored(scorer: Scorer, piece: np.ndarray) -> np.ndarray:
    scores = np.asarray(scorer(piece[None]))
    if scores.ndim != 4 or scores.shape[0] != 1 or scores.shape[2:] != piece.shape[:2]:
        raise ShapeError(
            f"segment_in_tiles: the scorer made {scores.shape} of a tile {piece.shape}; it must "
            f"make (1, K, {piece.shape[0]}, {piece.shape[1]})"
        )
    return scores[0]
