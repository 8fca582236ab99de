"""Selective search: boxes that may hold an object of any kind, from how an image falls into parts.

An image is cut into small regions of alike pixels.  Then the two neighbours that are most alike are
merged, again and again, until one region is left.  An object of whatever size is likely to be a
region at some step; the boxes around all regions are the proposals.  Alike may mean colour,
texture, being small, or filling a hole: no one way is right for all objects, so several are tried,
in several colour spaces, from finer and from coarser first regions, and all proposals put together.

References
----------
Uijlings, van de Sande, Gevers and Smeulders, "Selective Search for Object Recognition", IJCV 2013;
Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004 (the first
regions).

Notes
-----
Departures: histograms are compared in 1/65536ths, whole numbers, so that equal ones are merged
alike on every machine; derivatives in the eight directions are found from those along the two axes;
the second sum of similarities is colour and texture, not all but colour, which finds more of small
signs with fewer boxes; the image is blurred less and its first regions are smaller, for a sign of 8
pixels is smaller than a region of the paper's.

It runs on the CPU, on one thread: each merge depends on the one before. Threads may search several
images at once. The time goes up faster than the pixels, as a wide region has ever more neighbours.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import kernels_for
from minicnn.backend.device import as_numpy
from minicnn.backend.random import Stream
from minicnn.detection._colour_spaces import COLOUR_SPACES
from minicnn.detection._gradients import TEXTURE_BINS, smoothed, texture_bins
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import iou_matrix

__all__ = ["SIMILARITIES", "Hierarchy", "SelectiveSearch", "propose", "recall"]

SIMILARITIES = ("colour", "texture", "size", "fill")
_COLOUR_BINS = 25


class Hierarchy(NamedTuple):
    """The regions of an image and what they were merged to.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        The first region, 0 ... R-1, that each pixel belongs to.
    boxes : ndarray of int32, shape (R + M, 4)
        Around each region, (y0, x0, y1, x1) in pixels, half-open: the first regions, then the
        merged ones in the order in which they came about; the last is the image.
    merged : ndarray of int32, shape (M, 2)
        Which two regions became region R, R+1, ...
    """

    labels: np.ndarray
    boxes: np.ndarray
    merged: np.ndarray

    def cut(self, count: int) -> np.ndarray:
        """Return the regions (H, W) when `count` of them were left, in numbers of `boxes`."""
        first = len(self.boxes) - len(self.merged)
        region = np.arange(len(self.boxes))
        for k in range(max(min(first - count, len(self.merged)), 0) - 1, -1, -1):
            region[self.merged[k]] = region[first + k]
        return region[self.labels]


@dataclass(frozen=True)
class SelectiveSearch:
    """Proposals from hierarchies of regions, one for each combination of the settings.

    Parameters
    ----------
    spaces : sequence of str
        Colour spaces: "rgb", "hsv", "lab", "rgi" (shares of red and green, intensity) or
        "intensity".
    scales : sequence of float
        Of the first regions: the larger, the more two regions may differ and yet be merged, and
        the larger they are. In grey levels times pixels.
    similarities : sequence of sequence of str
        What makes regions alike, each time a sum of some of "colour", "texture", "size", "fill".
    least : int
        Pixels of the first regions at least.
    smoothing : float
        Sigma in pixels of the Gaussian that the image is blurred with, against noise.
    smallest : int
        The least height and width of a proposal in pixels.
    seed : int
        Of the random numbers in the ranks.

    Raises
    ------
    ConfigError
        If a name is unknown, or a number out of range.

    Examples
    --------
    >>> image = np.full((40, 60, 3), 200, np.uint8)
    >>> image[10:30, 20:35] = (200, 0, 0)
    >>> SelectiveSearch(smoothing=0).propose(image).tolist()
    [[10.0, 20.0, 30.0, 35.0], [0.0, 0.0, 40.0, 60.0]]
    """

    spaces: Sequence[str] = ("hsv", "lab")
    scales: Sequence[float] = (30.0, 100.0)
    similarities: Sequence[Sequence[str]] = (SIMILARITIES, SIMILARITIES[:2])
    least: int = 8
    smoothing: float = 0.4
    smallest: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("spaces", COLOUR_SPACES), ("similarities", SIMILARITIES)):
            given = getattr(self, name)
            words = given if name == "spaces" else [word for words in given for word in words]
            if isinstance(given, str) or not (given and all(given)) or not set(words) <= set(known):
                raise ConfigError(
                    f"SelectiveSearch: {name}={given!r}; choose from {', '.join(known)}"
                )
        if not self.scales or not all(np.isfinite(s) and s >= 0 for s in self.scales):
            raise ConfigError(f"SelectiveSearch: scales={self.scales!r}; give numbers from 0 up")
        if self.least < 1 or not 0 <= self.smoothing < np.inf or self.smallest < 0:
            raise ConfigError(
                f"SelectiveSearch: least={self.least!r}, smoothing={self.smoothing!r}, smallest="
                f"{self.smallest!r}; give 1 pixel or more, and no number below 0"
            )

    def propose(self, image: Any, limit: int | None = 2000) -> np.ndarray:
        """Find boxes that may hold an object.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            RGB, of any size.
        limit : int, optional
            How many boxes to return at most; None for all.

        Returns
        -------
        ndarray of float32, shape (P, 4)
            (y0, x0, y1, x1) in pixels, half-open, no two the same, by rank. In each hierarchy the
            i-th region from the top has rank i times a random number from 0 to 1, so that large
            and small ones mix and no hierarchy comes first; a box found twice has its best rank.

        Raises
        ------
        ShapeError
            If it is not a uint8 image (H, W, 3) with pixels.
        ConfigError
            If the limit is negative.
        """
        if limit is not None and operator.index(limit) < 0:
            raise ConfigError(f"propose: limit is {limit}; give 0 or more, or None for all boxes")
        boxes, ranks = [], []
        for number, tree in enumerate(self.hierarchies(image)):
            chance = Stream(self.seed, "selective search", number).uniform(len(tree.boxes))
            boxes.append(tree.boxes)
            ranks.append(np.arange(len(tree.boxes), 0, -1) * chance)
        found = np.concatenate(boxes)[np.argsort(np.concatenate(ranks), kind="stable")]
        found = found[(found[:, 2:] - found[:, :2]).min(axis=1) >= self.smallest]
        _, first = np.unique(found, axis=0, return_index=True)
        return found[np.sort(first)[:limit]].astype(np.float32)

    def hierarchies(self, image: Any) -> Iterator[Hierarchy]:
        """Compute the hierarchies one by one.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            RGB, of any size.

        Yields
        ------
        Hierarchy
            For each colour space, each scale, each sum of similarities.

        Raises
        ------
        ShapeError
            If it is not a uint8 image (H, W, 3) with pixels.
        """
        image = as_numpy(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ShapeError(
                f"propose: needs a uint8 image (H, W, 3), got {image.dtype} {image.shape}"
            )
        kernels = kernels_for(image)
        pixels = smoothed(image.astype(np.float32), self.smoothing)
        for space in self.spaces:
            colours = COLOUR_SPACES[space](pixels)
            shares = np.clip(colours * np.float32(_COLOUR_BINS / 256), 0, _COLOUR_BINS - 1)
            bins = shares.astype(np.uint8), texture_bins(colours)
            for labels in kernels.segment(colours, self.scales, self.least):
                yield from self._merged(labels, *bins, kernels)

    def _merged(
        self, labels: np.ndarray, colours: np.ndarray, textures: np.ndarray, kernels: Any
    ) -> Iterator[Hierarchy]:
        """Merge the regions of an image, by each sum of similarities."""
        count = int(labels.max()) + 1
        boxes, of_colours = kernels.region_histograms(labels, colours, count, _COLOUR_BINS)
        _, of_textures = kernels.region_histograms(labels, textures, count, TEXTURE_BINS)
        given = (
            boxes,
            of_colours[:, 0].sum(axis=1),
            of_colours.reshape(count, -1),
            of_textures.reshape(count, -1),
            _neighbours(labels, count),
            labels.size,
        )
        for words in self.similarities:
            wanted = [word in words for word in SIMILARITIES]
            yield Hierarchy(labels, *kernels.merge_regions(*given, wanted))


def propose(image: Any, limit: int | None = 2000) -> np.ndarray:
    """Find boxes that may hold an object, with the settings that `SelectiveSearch` has by default.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB, of any size.
    limit : int, optional
        How many boxes to return at most; None for all.

    Returns
    -------
    ndarray of float32, shape (P, 4)
        (y0, x0, y1, x1) in pixels, half-open, by rank.

    Raises
    ------
    ShapeError
        If it is not a uint8 image (H, W, 3) with pixels.
    ConfigError
        If the limit is negative.
    """
    return SelectiveSearch().propose(image, limit)


def recall(
    proposals: Sequence[Any],
    truths: Sequence[Any],
    counts: Sequence[int] = (50, 100, 200, 500, 1000, 2000),
    overlap: float = 0.5,
) -> np.ndarray:
    """Return which share of the objects is proposed, for so many proposals of an image.

    Parameters
    ----------
    proposals : sequence of ndarray, shape (P, 4)
        For each image boxes (y0, x0, y1, x1) in pixels, by rank.
    truths : sequence of ndarray, shape (T, 4)
        For each image the objects' boxes.
    counts : sequence of int
        How many of the proposals to take of each image.
    overlap : float, default 0.5
        An object is proposed if a proposal's intersection over union with it is at least this.

    Returns
    -------
    ndarray of float64, shape (len(counts),)
        From 0 to 1; NaN if there are no objects.

    Raises
    ------
    ShapeError
        If there are not as many images in both, or boxes are not (P, 4).
    """
    if len(proposals) != len(truths):
        raise ShapeError(
            f"recall: proposals of {len(proposals)} images for objects of {len(truths)}; give both "
            "for each image"
        )
    ranks = []  # how many proposals it takes until an object is among them
    for boxes, objects in zip(proposals, truths, strict=True):
        overlaps = iou_matrix(np.asarray(objects, np.float64), np.asarray(boxes, np.float64))
        found = overlaps.numpy() >= overlap  # (T, P)
        first = found.argmax(axis=1) if found.shape[1] else np.zeros(len(found), np.int64)
        ranks.append(np.where(found.any(axis=1), first + 1.0, np.inf))
    rank = np.concatenate(ranks) if ranks else np.empty(0)
    if not rank.size:
        return np.full(len(counts), np.nan)
    return np.array([(rank <= count).mean() for count in counts])


def _neighbours(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the pairs of regions that share a side of a pixel, int32 (P, 2), the lower first."""
    found = []
    for a, b in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        border = a != b
        low, high = np.minimum(a[border], b[border]), np.maximum(a[border], b[border])
        found.append(low.astype(np.int64) * count + high)
    pairs = np.unique(np.concatenate(found))
    return np.stack([pairs // count, pairs % count], axis=1).astype(np.int32)
