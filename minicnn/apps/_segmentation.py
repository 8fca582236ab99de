"""What every segmentation net needs: to be judged on a set of images, to be shown a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.data.masks import MaskSet
from minicnn.data.objects import fit
from minicnn.detection import scaled
from minicnn.metrics import BoundaryF1, Segmentation
from minicnn.segmentation import averaged_views, segment_in_tiles

__all__ = ["Outcome", "judge", "scorer_of", "segment_picture"]

BATCH = 8  # images at once
SCALES = (0.75, 1.0, 1.25)  # of test-time augmentation
MOST_OVERLAP = 64  # pixels of two tiles, for nets that see all of a tile
TILE = 512  # pixels, for nets that see less
STRIDE = 32  # a multiple of the strides of all nets, and what two tiles have to fade in

Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Outcome:
    """How a net did on a set of images.

    Parameters
    ----------
    images : MaskSet
        The images, fitted to the net's size.
    found : ndarray of uint8, shape (N, H, W)
        The class that it gave each pixel.
    """

    images: MaskSet
    found: np.ndarray

    @cached_property
    def measure(self) -> Segmentation:
        """The confusion of classes, all pixels counted."""
        metric = Segmentation(self.images.names, self.images.ignore_label)
        return metric.update(self.found.astype(np.int64), self.images.masks.astype(np.int64))

    @cached_property
    def results(self) -> dict[str, Any]:
        """What that measures."""
        return self.measure.result()

    @cached_property
    def outlines(self) -> BoundaryF1:
        """How well the outlines fit."""
        metric = BoundaryF1(len(self.images.names), ignore_label=self.images.ignore_label)
        return metric.update(self.found, self.images.masks)


def scorer_of(net: nn.Module, several_views: bool = False, flip: bool = True) -> Scorer:
    """Return what gives probabilities (N, K, H, W) for pictures uint8 (N, H, W, 3).

    Parameters
    ----------
    net : Module
        Trained.
    several_views : bool, default False
        Whether to average three scales, each with its mirror image (test-time augmentation).
    flip : bool, default True
        Whether mirror images are among them.

    Returns
    -------
    callable
        See `minicnn.segmentation.averaged_views`.
    """
    return averaged_views(net, scaled, flip and several_views, SCALES if several_views else (1.0,))


def judge(
    scorer: Scorer, images: MaskSet, progress: Callable[[int], None] = lambda done: None
) -> Outcome:
    """Let a net classify the pixels of all images of a set.

    Parameters
    ----------
    scorer : callable
        From `scorer_of`.
    images : MaskSet
        Fitted to its size.
    progress : callable, optional
        Told how many images are done.

    Returns
    -------
    Outcome
        What it found in each.
    """
    found = np.empty(images.masks.shape, np.uint8)
    for start in range(0, len(images), BATCH):
        rows = slice(start, start + BATCH)
        found[rows] = scorer(images.images[rows]).argmax(axis=1)
        progress(min(start + BATCH, len(images)))
    return Outcome(images, found)


def segment_picture(
    scorer: Scorer,
    picture: np.ndarray,
    size: tuple[int, int],
    tiles: bool = False,
    view: int | None = None,
) -> np.ndarray:
    """Classify the pixels of a picture of any size.

    Parameters
    ----------
    scorer : callable
        From `scorer_of`.
    picture : ndarray of uint8, shape (H, W, 3)
        RGB.
    size : (int, int)
        Height and width of training, in pixels.
    tiles : bool, default False
        Whether to look at it as large as it is, in tiles; otherwise it is fitted into that size as
        a whole, as the pictures of training were, and what is found is enlarged.
    view : int, optional
        How many pixels to one side decide on a pixel; see `Segmenter`. Tiles overlap by so much
        that what is found is what one look at the whole picture would find. A net for which
        everything counts, None, gets tiles of the size of training.

    Returns
    -------
    ndarray of uint8, shape (H, W)
        The class of each pixel.
    """
    if tiles:
        return segment_in_tiles(scorer, picture, *_tiling(size, view))
    image, corner, _ = fit(picture, [[0, 0, *picture.shape[:2]]], size)
    height, width = np.rint(corner[0, 2:]).astype(int).tolist()
    return _enlarged(scorer(image[None])[0, :, :height, :width], picture.shape[:2])


def _tiling(size: tuple[int, int], view: int | None) -> tuple[tuple[int, int], int, int]:
    """Return the size of tiles, how much they overlap, and what of that counts for nothing."""
    if view is None:
        overlap = min(MOST_OVERLAP, min(size) // 2)
        return size, overlap, (overlap - 1) // 4
    overlap = -(-(2 * view + STRIDE) // STRIDE) * STRIDE
    side = max(TILE, 3 * overlap)  # each pixel is seen about twice
    return (side, side), overlap, view


def _enlarged(probabilities: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the likeliest class of each pixel of an image of another size."""
    from PIL import Image

    height, width = size
    best = np.zeros(size, np.uint8)
    most = np.full(size, -np.inf, np.float32)
    for label, map_ in enumerate(probabilities):  # one at a time: the image may be large
        plane = Image.fromarray(np.ascontiguousarray(map_, np.float32))
        own = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
        better = own > most
        best[better], most[better] = label, own[better]
    return best
