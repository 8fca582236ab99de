"""What an image holds and what a detector says it holds, checked and in one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics.metric import as_numpy
from minicnn.ops import box_area, intersection_matrix

__all__ = ["Found", "Objects", "overlaps", "pairs"]


class Found(NamedTuple):
    """The detections in an image, the surest first: (D, 4), (D,), (D,)."""

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    def of(self, label: int) -> Found:
        """Return those of a class."""
        own = self.classes == label
        return Found(self.boxes[own], self.classes[own], self.scores[own])


class Objects(NamedTuple):
    """The objects in an image: (T, 4), (T,), and what makes some of them not count, (T,)."""

    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    area: np.ndarray

    def of(self, label: int) -> Objects:
        """Return those of a class."""
        own = self.classes == label
        return Objects(*(part[own] for part in self))


def pairs(
    owner: str, predictions: Any, truths: Any, classes: int
) -> Iterator[tuple[Found, Objects]]:
    """Yield (what was found, what is there) of each image, or say what does not fit."""
    if isinstance(predictions, Mapping):
        predictions = [predictions]
    if isinstance(truths, Mapping):
        truths = [truths]
    if not isinstance(predictions, Sequence) or not isinstance(truths, Sequence):
        raise ShapeError(
            f"{owner}: got {type(predictions).__name__} and {type(truths).__name__}; give a list "
            'of dicts, one for each image: {"boxes": (D, 4), "scores": (D,), "classes": (D,)} and '
            '{"boxes": (T, 4), "classes": (T,)}'
        )
    if len(predictions) != len(truths):
        raise ShapeError(
            f"{owner}: {len(predictions)} images of predictions and {len(truths)} of truths; give "
            "one of each for every image, with no boxes where there are none"
        )
    for i, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        yield (
            _found(f"{owner}: predictions of image {i}", prediction, classes),
            _objects(f"{owner}: truths of image {i}", truth, classes),
        )


def _found(who: str, given: Mapping[str, Any], count: int) -> Found:
    boxes, classes = _boxes_and_classes(who, given, count)
    scores = _one_each(who, given, "scores", len(boxes)).astype(np.float64)
    if np.isnan(scores).any():
        raise ConfigError(f"{who}: score {int(np.isnan(scores).argmax())} is NaN")
    order = np.argsort(-scores, kind="stable")
    return Found(boxes[order], classes[order], scores[order])


def _objects(who: str, given: Mapping[str, Any], count: int) -> Objects:
    boxes, classes = _boxes_and_classes(who, given, count)
    height, width = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).T
    unless_given = {
        "difficult": np.zeros(len(boxes), bool),
        "crowd": np.zeros(len(boxes), bool),
        "area": height * width,
    }
    more = [
        _one_each(who, {name: default} | dict(given), name, len(boxes)).astype(default.dtype)
        for name, default in unless_given.items()
    ]
    return Objects(boxes, classes, *more)


def _boxes_and_classes(
    who: str, given: Mapping[str, Any], count: int
) -> tuple[np.ndarray, np.ndarray]:
    if "boxes" not in given:
        raise ConfigError(f'{who}: there are no "boxes" among {sorted(map(str, given))}')
    boxes = as_numpy(given["boxes"]).astype(np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ShapeError(
            f"{who}: boxes must be (R, 4) as (y0, x0, y1, x1), got {boxes.shape}; no boxes are of "
            "shape (0, 4)"
        )
    if not np.isfinite(boxes).all():
        raise ConfigError(f"{who}: box {int((~np.isfinite(boxes)).any(1).argmax())} is not finite")
    classes = _one_each(who, given, "classes", len(boxes))
    if classes.size and classes.dtype.kind not in "iu":
        raise DTypeError(f"{who}: classes must be whole numbers, got {classes.dtype}")
    classes = classes.astype(np.int64)
    outside = (classes < 0) | (classes >= count)
    if outside.any():
        wrong = int(classes[outside.argmax()])
        raise ConfigError(f"{who}: class {wrong} is outside 0 ... {count - 1}")
    return boxes, classes


def _one_each(who: str, given: Mapping[str, Any], name: str, count: int) -> np.ndarray:
    if name not in given:
        raise ConfigError(f'{who}: there are no "{name}" among {sorted(map(str, given))}')
    values = as_numpy(given[name])
    if values.shape != (count,):
        raise ShapeError(f"{who}: {count} boxes need {name} ({count},), got {values.shape}")
    return values


def overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """Return intersection over union (D, T) of boxes (D, 4) and others (T, 4).

    Where the other is a crowd, what is shared is divided by the box alone: a box inside a crowd
    overlaps it wholly.
    """
    shared = intersection_matrix(boxes, others).numpy()
    own, theirs = (box_area(Tensor(of)).numpy() for of in (boxes, others))
    own = own[:, None]
    whole = own + theirs[None] - shared
    if crowd is not None:
        whole = np.where(crowd[None], own, whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)
