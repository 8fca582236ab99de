"""Which detection finds which object: the rules of PASCAL VOC and of COCO, for one class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minicnn.metrics._objects import Found, Objects, overlaps

__all__ = ["COCO_SIZES", "Matches", "match_coco", "match_voc"]

# Areas in square pixels, both ends included (COCO's evaluation, Lin et al. 2014).
COCO_SIZES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


class Matches(NamedTuple):
    """What became of the detections (D) of a class in an image, at each threshold (S).

    Parameters
    ----------
    scores : ndarray, shape (D,)
        The surest first.
    objects : ndarray of int, shape (S, D)
        The index of the object that was found, -1 for none.
    ignored : ndarray of bool, shape (S, D)
        Those that count neither as right nor as wrong.
    positives : int
        How many objects there are to be found.
    """

    scores: np.ndarray
    objects: np.ndarray
    ignored: np.ndarray
    positives: int


def match_voc(found: Found, there: Objects, thresholds: np.ndarray) -> Matches:
    """Match by VOC's rule: each detection looks at the object that it overlaps most, and no other.

    If that was found before, the detection is a false one (a duplicate), even where it overlaps a
    second object enough. A difficult object neither counts when found nor when missed.
    """
    free_of_charge = there.difficult | there.crowd
    count, chosen = len(thresholds), np.full((len(thresholds), len(found.scores)), -1)
    ignored = np.zeros(chosen.shape, bool)
    positives = int((~free_of_charge).sum())
    if not len(there.boxes):
        return Matches(found.scores, chosen, ignored, positives)
    share = overlaps(found.boxes, there.boxes)
    nearest = share.argmax(axis=1) if len(share) else np.zeros(0, int)
    taken = np.zeros((count, len(there.boxes)), bool)
    for d, best in enumerate(nearest):
        reaches = share[d, best] >= thresholds
        ignored[:, d] = reaches & free_of_charge[best]
        right = reaches & ~free_of_charge[best] & ~taken[:, best]
        chosen[right | ignored[:, d], d] = best
        taken[right, best] = True
    return Matches(found.scores, chosen, ignored, positives)


def match_coco(
    found: Found,
    there: Objects,
    thresholds: np.ndarray,
    size: tuple[float, float] = COCO_SIZES["all"],
) -> Matches:
    """Match by COCO's rule: each detection takes the best object that is still free.

    Objects that count are preferred to those that do not (crowds, and those of another size). A
    crowd may be found any number of times. Detections of another size that find nothing are
    ignored; of equal overlaps the later object is taken.
    """
    outside = (there.area < size[0]) | (there.area > size[1])
    uncounted = there.crowd | there.difficult | outside
    order = np.argsort(uncounted, kind="stable")
    uncounted, crowd = uncounted[order], there.crowd[order]
    share = overlaps(found.boxes, there.boxes[order], crowd)
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]
    chosen = np.full((len(thresholds), len(found.scores)), -1)
    ignored = np.zeros(chosen.shape, bool)
    taken = np.zeros((len(thresholds), len(order)), bool)
    rows = np.arange(len(thresholds))
    for d in range(len(found.scores) if len(order) else 0):
        candidates = (share[d] >= least) & (~taken | crowd)
        counted = candidates & ~uncounted
        candidates = np.where(counted.any(axis=1, keepdims=True), counted, candidates)
        value = np.where(candidates, share[d], -1.0)
        best = len(order) - 1 - value[:, ::-1].argmax(axis=1)
        hit = candidates.any(axis=1)
        chosen[hit, d] = order[best[hit]]
        ignored[hit, d] = uncounted[best[hit]]
        taken[rows[hit], best[hit]] = True
    area = np.prod(np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 0), axis=1)
    ignored |= (chosen < 0) & ((area < size[0]) | (area > size[1]))
    return Matches(found.scores, chosen, ignored, int((~uncounted).sum()))
