"""What one-stage detectors share: a table of anchors, what each answers for, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, concatenate
from minicnn.backend.device import to_device
from minicnn.detection.detector import Detections, Objects, best_boxes, objects_in
from minicnn.errors import ConfigError
from minicnn.ops.box_coding import FourNumbers

Shapes = tuple[tuple[float, float], ...]  # heights and widths of the anchors in a cell, in pixels

SCALE: FourNumbers = (0.1, 0.1, 0.2, 0.2)  # of the steps: about what they deviate by
# An anchor is no background if what is to be ignored (a crowd) covers this share of it, or if it
# overlaps it (a tiny object) by this intersection over union.
_COVERED, _ALIKE = 0.5, 0.3


class Answers(NamedTuple):
    """What the anchors of a batch answer for.

    Parameters
    ----------
    classes : ndarray of int64, shape (N, R)
        Of each anchor's object; `ops.anchors.BACKGROUND`, or `IGNORED`.
    images, anchors : ndarrays of int64, shape (P,)
        Where there is an object.
    boxes : ndarray of float32, shape (P, 4)
        That object's box.
    """

    classes: np.ndarray
    images: np.ndarray
    anchors: np.ndarray
    boxes: np.ndarray


def flattened(maps: Sequence[Tensor], width: int) -> Tensor:
    """Return maps (N, A*C, OH, OW) as rows (N, R, C) of one table, in the order of the anchors."""
    rows = [m.transpose(0, 2, 3, 1).reshape(m.shape[0], -1, width) for m in maps]
    return rows[0] if len(rows) == 1 else concatenate(rows, axis=1)


def map_sizes(maps: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
    """Return heights and widths of maps (N, C, OH, OW)."""
    return tuple((m.shape[2], m.shape[3]) for m in maps)


@lru_cache(maxsize=64)  # a table of each size of image
def anchor_table(
    sizes: tuple[tuple[int, int], ...], strides: tuple[int, ...], shapes: tuple[Shapes, ...]
) -> np.ndarray:
    """Return the anchors (R, 4) of maps of these sizes, each with its shapes; not to be written."""
    tables = []
    for size, stride, own in zip(sizes, strides, shapes, strict=True):
        laid = [
            ops.anchor_boxes(size, stride, [np.sqrt(h * w)], [h / w]).numpy()[:, :, 0]
            for h, w in own
        ]
        tables.append(np.stack(laid, axis=2).reshape(-1, 4))
    table = np.concatenate(tables)
    table.setflags(write=False)
    return table


def shapes_of(sizes: Sequence[float], ratios: Sequence[float]) -> Shapes:
    """Return heights and widths of boxes: for each size each ratio of height to width."""
    return tuple((float(s * np.sqrt(r)), float(s / np.sqrt(r))) for s in sizes for r in ratios)


def check_numbers(kind: str, name: str, values: Sequence[float]) -> None:
    """Refuse what is not one or more finite numbers above 0."""
    if not len(values) or not all(0 < v < np.inf for v in values):
        raise ConfigError(f"{kind}: {name} {values!r}; give one or more numbers above 0")


def answers(
    anchors: np.ndarray,
    truths: Mapping[str, Any],
    count: int,
    size: tuple[int, int],
    positive: float,
    negative: float,
) -> Answers:
    """Say what each anchor answers for, in each of `count` images of this size."""
    classes = np.empty((count, len(anchors)), np.int64)
    places: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for image in range(count):
        objects = objects_in(truths, image, size)
        matched = ops.match_boxes(anchors, objects.boxes, positive, negative).numpy()
        ours = np.flatnonzero(matched >= 0)
        classes[image] = np.where(matched == ops.anchors.IGNORED, matched, ops.anchors.BACKGROUND)
        classes[image][blurred(anchors, objects)] = ops.anchors.IGNORED
        classes[image, ours] = objects.classes[matched[ours]]
        places.append((np.full(len(ours), image), ours, objects.boxes[matched[ours]]))
    images, rows, boxes = (np.concatenate(part) for part in zip(*places, strict=True))
    return Answers(classes, images, rows, boxes)


def blurred(anchors: np.ndarray, objects: Objects) -> np.ndarray:
    """Tell which anchors (R,) lie on, or resemble, what is to be ignored."""
    if not len(objects.ignored):
        return np.zeros(len(anchors), bool)
    shared = ops.intersection_matrix(anchors, objects.ignored).numpy()
    areas = ops.box_area(Tensor(anchors)).numpy()[:, None]
    alike = ops.iou_matrix(anchors, objects.ignored).numpy() >= _ALIKE
    return np.asarray((alike | (shared >= _COVERED * areas)).any(axis=1))


def step_loss(steps: Tensor, found: Answers, anchors: np.ndarray) -> Tensor:
    """Return the smooth L1 losses of the steps (N, R, 4) to the objects, summed over them."""
    if not len(found.boxes):
        return steps.sum() * 0.0  # no object, no error; but every parameter has a gradient
    wanted = ops.encode_boxes(found.boxes, anchors[found.anchors], SCALE).numpy()
    device = steps.device
    told = steps[to_device(found.images, device), to_device(found.anchors, device)]
    return ops.smooth_l1_loss(told, to_device(wanted, device), reduction="sum")


def sure_boxes(
    scores: np.ndarray,
    steps: np.ndarray,
    anchors: np.ndarray,
    size: tuple[int, ...],
    score: float,
    overlap: float,
    limit: int,
) -> Detections:
    """Return what scores (R, K) and steps (R, 4) of an image's anchors tell is there."""
    rows = np.flatnonzero(scores.max(axis=1) >= score)
    boxes = ops.decode_boxes(steps[rows], anchors[rows], SCALE)
    height, width = size
    inside = ops.clip_boxes(boxes, height, width).numpy()
    return best_boxes(inside, scores[rows], score, overlap, limit)
