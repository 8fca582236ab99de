"""How well a detector finds: average precision under each protocol, with the protocol's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from minicnn.errors import ConfigError
from minicnn.metrics._matching import COCO_SIZES, Matches, match_coco, match_voc
from minicnn.metrics._objects import Found, Objects, pairs
from minicnn.metrics.metric import Metric

__all__ = ["MOST", "PROTOCOLS", "Curve", "MeanAveragePrecision", "average_precision"]

Interpolation = Literal["11 points", "all points", "101 points"]


class Protocol(NamedTuple):
    """A way to compute mean average precision."""

    title: str
    thresholds: tuple[float, ...]
    interpolation: Interpolation


PROTOCOLS = {
    "voc2007": Protocol("PASCAL VOC 2007: 11 points, IoU 0.5", (0.5,), "11 points"),
    "voc": Protocol("PASCAL VOC 2010-2012: all points, IoU 0.5", (0.5,), "all points"),
    "coco": Protocol(
        "COCO: 101 points, mean over IoU 0.50:0.05:0.95",
        tuple(np.linspace(0.5, 0.95, 10).tolist()),
        "101 points",
    ),
}
MOST = 100  # detections of a class in an image that COCO looks at
_RECALLS = {"recall_1": 1, "recall_10": 10, "recall_100": 100}


class Curve(NamedTuple):
    """Precision against recall, as the least score that is believed falls.

    Parameters
    ----------
    recall, precision : ndarray, shape (D,)
        After each detection, the surest first.
    scores : ndarray, shape (D,)
        Of the detections.
    """

    recall: np.ndarray
    precision: np.ndarray
    scores: np.ndarray


class MeanAveragePrecision(Metric):
    """Mean average precision (mAP) of a detector, under a protocol that the result names.

    Precision is the share of right ones among the detections that are believed, recall the share
    of objects that they find; both change with the least score that is believed. Average precision
    is the area under the curve of precision against recall, and mAP its mean over the classes that
    have objects.

    Parameters
    ----------
    classes : int or sequence of str
        How many classes there are, or their names.
    protocol : {"voc", "voc2007", "coco"}
        ``"voc2007"``: IoU of at least 0.5, precision read at 11 recalls. ``"voc"``: the same with
        the whole curve, as of 2010. ``"coco"``: 101 recalls, mean over ten thresholds from 0.5 to
        0.95, at most 100 detections of a class in an image; and by size of the objects. The
        protocols differ in the rule of matching, too: see `explain_detection`.

    Raises
    ------
    ConfigError
        If the protocol is unknown or there are no classes.

    References
    ----------
    Everingham et al., "The PASCAL Visual Object Classes (VOC) challenge", IJCV 2010, section 4.2.
    Lin et al., "Microsoft COCO: Common objects in context", ECCV 2014.

    Examples
    --------
    >>> metric = MeanAveragePrecision(classes=2)
    >>> found = {"boxes": [[0, 0, 10, 10], [5, 5, 9, 9]], "scores": [0.9, 0.6], "classes": [0, 1]}
    >>> there = {"boxes": [[0, 0, 10, 9], [20, 20, 30, 30]], "classes": [0, 1]}
    >>> metric.update([found], [there]).result()["map"]
    0.5
    """

    def __init__(
        self, classes: int | Sequence[str], protocol: Literal["voc", "voc2007", "coco"] = "voc"
    ) -> None:
        if protocol not in PROTOCOLS:
            raise ConfigError(
                f"MeanAveragePrecision: protocol {protocol!r} is unknown; choose from "
                f"{', '.join(PROTOCOLS)}"
            )
        names = [str(i) for i in range(classes)] if isinstance(classes, int) else list(classes)
        if not names:
            raise ConfigError("MeanAveragePrecision: there are no classes; give one or more")
        self.names = names
        self.protocol = protocol
        self.reset()

    def reset(self) -> Self:
        """Forget all that was seen; return the metric itself."""
        self._matches: dict[tuple[int, str], list[Matches]] = {
            (label, size): [] for label in range(len(self.names)) for size in self._sizes()
        }
        return self

    def update(
        self,
        predictions: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        truths: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    ) -> Self:
        """Take the images of one more batch into account.

        Parameters
        ----------
        predictions : list of dict
            For each image "boxes" (D, 4) as (y0, x0, y1, x1) in pixels, half-open, "scores" (D,)
            and "classes" (D,).
        truths : list of dict
            For each image "boxes" (T, 4) and "classes" (T,). With "difficult" or "crowd" (T,),
            those objects count neither when they are found nor when they are missed; under COCO
            a crowd may be found many times. "area" (T,), in square pixels, is what COCO sorts
            sizes by; by default the box's.

        Returns
        -------
        MeanAveragePrecision
            Itself.

        Raises
        ------
        ShapeError
            If shapes do not fit.
        DTypeError
            If classes are not whole numbers.
        ConfigError
            If a class is out of range, a score is NaN, or a box is not finite.
        """
        batch = list(pairs("MeanAveragePrecision", predictions, truths, len(self.names)))
        for found, there in batch:
            for label, size in self._matches:
                own, objects = found.of(label), there.of(label)
                if len(own.scores) or len(objects.boxes):
                    self._matches[label, size].append(self._match(own, objects, size))
        return self

    def merge(self, other: Self) -> Self:
        """Take into account all that another metric has seen; it comes after what this one saw."""
        self._check_like(other)
        for key, matches in other._matches.items():
            self._matches[key].extend(matches)
        return self

    def result(self) -> dict[str, Any]:
        """Return mAP, and what else the protocol reports.

        Returns
        -------
        dict
            "protocol" (its name in words), "map", "per_class" (by name; NaN where a class has no
            objects); under COCO also "map50", "map75", "map_small", "map_medium", "map_large",
            "recall_1", "recall_10", "recall_100" (with so many detections an image and class),
            "recall_small", "recall_medium" and "recall_large". NaN where there are no objects.
        """
        precision = self._precisions("all")  # (S, K)
        by_class = precision.mean(axis=0)
        results: dict[str, Any] = {
            "protocol": PROTOCOLS[self.protocol].title,
            "map": _mean(by_class),
            "per_class": dict(zip(self.names, by_class.tolist(), strict=True)),
        }
        if self.protocol != "coco":
            return results
        results |= {"map50": _mean(precision[0]), "map75": _mean(precision[5])}
        results |= {f"map_{size}": _mean(self._precisions(size)) for size in self._sizes()[1:]}
        results |= {name: _mean(self._recalls("all", most)) for name, most in _RECALLS.items()}
        results |= {f"recall_{size}": _mean(self._recalls(size)) for size in self._sizes()[1:]}
        return results

    def curve(self, label: int, threshold: float = 0.5) -> Curve:
        """Return the precision-recall curve of a class.

        Parameters
        ----------
        label : int
            The class.
        threshold : float, default 0.5
            The least overlap, one of the protocol's.

        Returns
        -------
        Curve
            Recalls, precisions and scores; empty if nothing was detected.

        Raises
        ------
        ConfigError
            If there is no such class or threshold.
        """
        thresholds = self._thresholds
        near = np.flatnonzero(np.isclose(thresholds, threshold))
        if not near.size or not 0 <= label < len(self.names):
            raise ConfigError(
                f"curve: class {label} at IoU {threshold} is not measured; there are classes 0 ... "
                f"{len(self.names) - 1} and thresholds {[round(t, 2) for t in thresholds.tolist()]}"
            )
        return _curve(self._matches[label, "all"], int(near[0]))

    @property
    def _thresholds(self) -> np.ndarray:
        return np.array(PROTOCOLS[self.protocol].thresholds)

    def _sizes(self) -> list[str]:
        return list(COCO_SIZES) if self.protocol == "coco" else ["all"]

    def _match(self, found: Found, there: Objects, size: str) -> Matches:
        if self.protocol != "coco":
            return match_voc(found, there, self._thresholds)
        most = Found(*(part[:MOST] for part in found))
        return match_coco(most, there, self._thresholds, COCO_SIZES[size])

    def _precisions(self, size: str) -> np.ndarray:
        """Return average precisions (S, K), NaN for classes without objects."""
        how = PROTOCOLS[self.protocol].interpolation
        values = np.full((len(self._thresholds), len(self.names)), np.nan)
        for label in range(len(self.names)):
            matches = self._matches[label, size]
            if any(m.positives for m in matches):
                for s in range(len(values)):
                    recall, precision, _ = _curve(matches, s)
                    values[s, label] = average_precision(recall, precision, how)
        return values

    def _recalls(self, size: str, most: int = MOST) -> np.ndarray:
        """Return the recalls (S, K) that so many detections an image reach."""
        values = np.full((len(self._thresholds), len(self.names)), np.nan)
        for label in range(len(self.names)):
            matches = self._matches[label, size]
            positives = sum(m.positives for m in matches)
            if positives:
                right = [((m.objects >= 0) & ~m.ignored)[:, :most].sum(axis=1) for m in matches]
                values[:, label] = np.sum(right, axis=0) / positives
        return values

    def _settings(self) -> tuple[Any, ...]:
        return (tuple(self.names), self.protocol)


def average_precision(
    recall: Any, precision: Any, interpolation: Interpolation = "all points"
) -> float:
    """Return the area under a curve of precision against recall, by one of the three readings.

    Everywhere the precision at a recall r is taken as the best at r or any larger recall, so that
    the curve only falls.

    Parameters
    ----------
    recall, precision : array-like, shape (D,)
        After each detection, the surest first.
    interpolation : {"all points", "11 points", "101 points"}
        The exact area under the falling curve (VOC as of 2010), or the mean of its heights at
        recalls 0, 0.1, ..., 1 (VOC 2007) or 0, 0.01, ..., 1 (COCO).

    Returns
    -------
    float
        From 0 to 1.
    """
    recall, precision = np.asarray(recall, np.float64), np.asarray(precision, np.float64)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    if interpolation == "all points":
        return float((np.diff(recall, prepend=0.0) * best).sum())
    at = np.linspace(0.0, 1.0, 11 if interpolation == "11 points" else 101)
    first = np.searchsorted(recall, at, side="left")
    return float(np.append(best, 0.0)[first].mean())


def _curve(matches: list[Matches], threshold: int) -> Curve:
    """Return the curve over all images at one of the thresholds."""
    if not matches:
        return Curve(*np.zeros((3, 0)))
    scores = np.concatenate([m.scores for m in matches])
    hit = np.concatenate([m.objects[threshold] >= 0 for m in matches])
    counted = ~np.concatenate([m.ignored[threshold] for m in matches])
    order = np.argsort(-scores, kind="stable")
    order = order[counted[order]]
    right = np.cumsum(hit[order])
    positives = sum(m.positives for m in matches)
    recall = right / positives if positives else np.full(len(order), np.nan)
    return Curve(recall, right / np.arange(1, len(order) + 1), scores[order])


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is there; NaN if nothing is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else float("nan")
