"""Which boxes a two-stage detector learns from: a few of many, objects and background balanced.

Of thousands of boxes a handful show an object; a loss over all of them would teach "background".
Two-stage detectors draw a fixed number, with a fixed share of objects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn import ops
from minicnn.backend.random import Stream
from minicnn.detection._one_stage import blurred
from minicnn.detection.detector import Objects
from minicnn.errors import ConfigError

__all__ = ["Regions", "check_counts", "draw", "label_boxes", "sample_regions"]

BACKGROUND, NEITHER = ops.anchors.BACKGROUND, ops.anchors.IGNORED


class Regions(NamedTuple):
    """The boxes of an image that the second stage learns from.

    Parameters
    ----------
    boxes : ndarray of float32, shape (R, 4)
        (y0, x0, y1, x1) in pixels.
    classes : ndarray of int64, shape (R,)
        0 ... K-1, or -1: background.
    targets : ndarray of float32, shape (R, 4)
        The boxes of their objects; of the background, their own.
    """

    boxes: np.ndarray
    classes: np.ndarray
    targets: np.ndarray


def check_counts(kind: str, **counts: int) -> None:
    """Refuse numbers of boxes below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{kind}: {count} {name} of an image; give 1 or more")


def label_boxes(
    boxes: np.ndarray, objects: Objects, positive: float, negative: float, best_too: bool
) -> np.ndarray:
    """Say which object each box answers for.

    Parameters
    ----------
    boxes : ndarray, shape (A, 4)
        Anchors or proposals.
    objects : Objects
        Of their image.
    positive, negative, best_too
        As for `minicnn.ops.match_boxes`.

    Returns
    -------
    ndarray of int64, shape (A,)
        The object's number; -1, the background; -2, neither, as of a box without an object that
        lies on something ignored.
    """
    labels = ops.match_boxes(boxes, objects.boxes, positive, negative, best_too).numpy()
    labels[(labels == BACKGROUND) & blurred(boxes, objects)] = NEITHER
    return labels


def draw(labels: np.ndarray, count: int, share: float, stream: Stream) -> np.ndarray:
    """Draw boxes at random, at most a share of them with an object, the rest background.

    Parameters
    ----------
    labels : ndarray of int64, shape (A,)
        From `label_boxes`.
    count : int
        How many to draw; fewer if there are not so many.
    share : float
        The largest share of boxes with an object. Too few are made up for by background.
    stream : Stream
        Where the numbers come from.

    Returns
    -------
    ndarray of int64
        Indices of boxes, without repetition; those with an object first.
    """
    objects = _some(np.flatnonzero(labels >= 0), int(count * share), stream)
    background = _some(np.flatnonzero(labels == BACKGROUND), count - len(objects), stream)
    return np.concatenate([objects, background])


def _some(of: np.ndarray, count: int, stream: Stream) -> np.ndarray:
    """Draw as many of these, if there are so many; in the order in which they were given."""
    lots = stream.uniform(len(of))
    if len(of) <= count:
        return of
    # The smallest lots win. Sorted, as in which order a partition leaves them is not promised.
    return of[np.sort(np.argpartition(lots, count)[:count])]


def sample_regions(
    proposals: np.ndarray, objects: Objects, count: int, share: float, stream: Stream
) -> Regions:
    """Draw the boxes of an image that the second stage learns from.

    The objects' own boxes are proposed too: early in training nothing else may overlap them.

    Parameters
    ----------
    proposals : ndarray of float32, shape (P, 4)
        Those without area are left out.
    objects : Objects
        Of the image.
    count, share, stream
        As for `draw`.

    Returns
    -------
    Regions
        A box answers for an object from an overlap of 0.5 on.
    """
    proposals = proposals[(proposals[:, 2:] > proposals[:, :2]).all(axis=1)]  # False for NaN
    boxes = np.concatenate([proposals, objects.boxes])
    labels = label_boxes(boxes, objects, 0.5, 0.5, best_too=False)
    chosen = draw(labels, count, share, stream)
    boxes, labels = boxes[chosen], labels[chosen]
    classes, targets = np.full(len(labels), BACKGROUND), boxes.copy()
    classes[labels >= 0] = objects.classes[labels[labels >= 0]]
    targets[labels >= 0] = objects.boxes[labels[labels >= 0]]
    return Regions(boxes, classes, targets)
