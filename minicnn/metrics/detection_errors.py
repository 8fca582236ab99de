"""Why a detector loses precision: what became of each detection, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from minicnn.errors import ConfigError
from minicnn.metrics._matching import match_coco, match_voc
from minicnn.metrics._objects import Found, Objects, overlaps, pairs
from minicnn.metrics.detection import MOST, PROTOCOLS
from minicnn.metrics.metric import Metric, as_numpy

__all__ = ["DetectionErrors", "Fate", "explain_detection"]

_BACKGROUND = 0.1  # an overlap below it is no attempt at that object (Hoiem et al.)
KINDS = "right", "duplicate", "localisation", "class", "both", "background", "ignored"


class DetectionErrors(Metric):
    """Sort detections by what is wrong with them, and count the objects that were missed.

    Those that VOC's matching calls right are "right". A wrong one is, in this order: "duplicate"
    (its object was found by a surer one), "class" (it overlaps an object of another class by
    `threshold` or more), "localisation" (it overlaps one of its own class by 0.1 or more), "both"
    (one of another class by 0.1 or more), or "background". Difficult objects and their detections
    are "ignored".

    Parameters
    ----------
    classes : int
        How many classes there are.
    threshold : float, default 0.5
        The least overlap of a detection with the object that it finds.
    score_threshold : float, default 0
        Detections that are less sure count for nothing.

    Raises
    ------
    ConfigError
        If a threshold is not from 0 to 1.

    References
    ----------
    Hoiem, Chodpathumwan and Dai, "Diagnosing error in object detectors", ECCV 2012, section 2;
    Bolya et al., "TIDE: A general toolbox for identifying object detection errors", ECCV 2020.

    Examples
    --------
    >>> found = {"boxes": [[0, 0, 9, 9], [0, 0, 4, 9]], "scores": [0.9, 0.6], "classes": [0, 0]}
    >>> there = {"boxes": [[0, 0, 10, 9], [20, 20, 30, 30]], "classes": [0, 1]}
    >>> errors = DetectionErrors(classes=2).update([found], [there]).result()
    >>> errors["right"], errors["localisation"], errors["missed"]
    (1, 1, 1)
    """

    def __init__(self, classes: int, threshold: float = 0.5, score_threshold: float = 0.0) -> None:
        if not 0 < threshold <= 1:
            raise ConfigError(f"DetectionErrors: threshold is an overlap, above 0, got {threshold}")
        self.classes = classes
        self.threshold = threshold
        self.score_threshold = score_threshold
        self.reset()

    def reset(self) -> Self:
        """Forget all that was seen; return the metric itself."""
        self._counts = dict.fromkeys([*KINDS, "missed"], 0)
        return self

    def update(
        self,
        predictions: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        truths: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    ) -> Self:
        """Take the images of one more batch into account.

        Parameters
        ----------
        predictions, truths : list of dict
            As `MeanAveragePrecision` takes them.

        Returns
        -------
        DetectionErrors
            Itself.
        """
        for found, there in list(pairs("DetectionErrors", predictions, truths, self.classes)):
            sure = found.scores >= self.score_threshold
            believed = Found(*(part[sure] for part in found))
            kinds, nearest = _kinds(believed, there, self.threshold)
            for kind in kinds:
                self._counts[kind] += 1
            hit = {n for kind, n in zip(kinds, nearest, strict=True) if kind == "right"}
            to_find = set(np.flatnonzero(~(there.difficult | there.crowd)).tolist())
            self._counts["missed"] += len(to_find - hit)
        return self

    def merge(self, other: Self) -> Self:
        """Take into account all that another metric has seen."""
        self._check_like(other)
        for kind, count in other._counts.items():
            self._counts[kind] += count
        return self

    def result(self) -> dict[str, int]:
        """Return how many detections are of each kind, and how many objects are "missed"."""
        return dict(self._counts)

    def _settings(self) -> tuple[Any, ...]:
        return (self.classes, self.threshold, self.score_threshold)


class Fate(NamedTuple):
    """What became of a detection under a protocol.

    Parameters
    ----------
    protocol : str
        Its name in words.
    right_at, wrong_at : tuple of float
        The thresholds at which it counts as right and as wrong; at the others it is ignored.
    object : int or None
        The object that it finds at the lowest threshold.
    why : str
        The reason, in words.
    """

    protocol: str
    right_at: tuple[float, ...]
    wrong_at: tuple[float, ...]
    object: int | None
    why: str


def explain_detection(
    prediction: Mapping[str, Any], truth: Mapping[str, Any], index: int
) -> list[Fate]:
    """Say what becomes of one detection of an image under each protocol, and why.

    Parameters
    ----------
    prediction : dict
        "boxes" (D, 4), "scores" (D,) and "classes" (D,) of one image.
    truth : dict
        "boxes" (T, 4) and "classes" (T,), and what else `MeanAveragePrecision` takes.
    index : int
        Which of the D detections.

    Returns
    -------
    list of Fate
        One for each protocol.

    Raises
    ------
    ConfigError
        If there is no such detection.
    """
    count = len(prediction["boxes"])
    if not 0 <= index < count:
        raise ConfigError(f"explain_detection: there is no detection {index} among {count}")
    classes = 1 + max([0, *map(int, prediction["classes"]), *map(int, truth["classes"])])
    [(found, there)] = pairs("explain_detection", prediction, truth, classes)
    scores = as_numpy(prediction["scores"]).astype(np.float64)
    place = int(np.flatnonzero(np.argsort(-scores, kind="stable") == index)[0])
    label = int(found.classes[place])
    own, objects = found.of(label), there.of(label)
    numbers = np.flatnonzero(there.classes == label)
    rank = int((found.classes[:place] == label).sum())
    kinds, _ = _kinds(found, there, 0.5)
    fates = []
    for name, protocol in PROTOCOLS.items():
        match = match_coco if name == "coco" else match_voc
        matches = match(own, objects, np.array(protocol.thresholds))
        hit, ignored = matches.objects[:, rank] >= 0, matches.ignored[:, rank]
        first = matches.objects[:, rank][hit][:1]
        right, wrong = (
            tuple(round(t, 2) for t, is_so in zip(protocol.thresholds, mask, strict=True) if is_so)
            for mask in (hit & ~ignored, ~hit & ~ignored)
        )
        which = int(numbers[first[0]]) if first.size else None
        kind = _kind_under(kinds[place], bool(hit[0]), bool(ignored[0]))
        why = _reason(found, there, place, kind, which)
        if name == "coco" and rank >= MOST:
            right, wrong, which = (), (), None
            why = f"only the {MOST} surest of a class in an image count, and {rank} are surer"
        fates.append(Fate(protocol.title, right, wrong, which, why))
    return fates


def _kinds(found: Found, there: Objects, threshold: float) -> tuple[list[str], list[int]]:
    """Return of each detection its kind, and the object that it is about (-1: none)."""
    share = overlaps(found.boxes, there.boxes)
    own = np.where(found.classes[:, None] == there.classes[None], share, -1.0)
    others = np.where(found.classes[:, None] != there.classes[None], share, -1.0)
    uncounted = there.difficult | there.crowd
    kinds, about, taken = [], [], np.zeros(len(there.boxes), bool)
    for d in range(len(found.scores)):
        best, other = (int(row.argmax()) if len(row) else -1 for row in (own[d], others[d]))
        most = own[d, best] if best >= 0 else -1.0
        most_other = others[d, other] if other >= 0 else -1.0
        about.append(best if most >= most_other else other)
        if most >= threshold:
            about[-1] = best
            kinds.append("ignored" if uncounted[best] else "duplicate" if taken[best] else "right")
            taken[best] = True
        elif most_other >= threshold:
            kinds.append("class")  # wrong even where that object does not count
        elif most >= _BACKGROUND:
            kinds.append("localisation")
        else:
            kinds.append("both" if most_other >= _BACKGROUND else "background")
    return kinds, about


def _kind_under(kind: str, hit: bool, ignored: bool) -> str:
    """Return the kind of a detection under a protocol whose rule may be another than VOC's."""
    if hit:
        return "ignored" if ignored else "right"
    return "duplicate" if kind == "right" else kind


def _reason(found: Found, there: Objects, place: int, kind: str, which: int | None) -> str:
    """Say in words why a detection is of its kind."""
    share = overlaps(found.boxes, there.boxes)[place]
    own = there.classes == found.classes[place]
    best = float(share[own].max(initial=0.0) if which is None else share[which])
    other = float(share[~own].max(initial=0.0))
    return {
        "right": f"it overlaps an object of its class by {best:.2f}, and none surer finds that",
        "duplicate": f"it overlaps an object by {best:.2f} that a surer detection has found",
        "localisation": f"it overlaps an object of its class, but only by {best:.2f}",
        "class": f"it overlaps an object of another class by {other:.2f}",
        "both": f"it overlaps an object of another class, and only by {other:.2f}",
        "background": f"it overlaps no object by more than {max(best, other):.2f}",
        "ignored": "it overlaps an object that does not count (difficult, or a crowd)",
    }[kind]
