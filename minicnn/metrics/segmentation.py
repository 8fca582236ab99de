"""How well pixels are classified: shares of area, and how well the outlines fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics.classification import ConfusionMatrix
from minicnn.metrics.metric import Metric, as_numpy

__all__ = ["BoundaryF1", "MeanIoU", "Segmentation"]


class Segmentation(ConfusionMatrix):
    """Pixel accuracy, mean and frequency-weighted intersection over union, and that of each class.

    With n[i,j] the pixels of class i that were taken for j, t[i] those of class i and p[i] those
    taken for it: ``IoU[i] = n[i,i] / (t[i] + p[i] - n[i,i])``.

    Parameters
    ----------
    classes : int or sequence of str
        How many classes there are, K, or their names.
    ignore_label : int, optional
        Pixels with this label count for nothing, as CamVid's void.

    Raises
    ------
    ConfigError
        If there are no classes.

    Notes
    -----
    All sums run over all pixels of all images, as in Pascal VOC, and not over each image by itself.
    A class that is neither there nor predicted has no IoU, and is left out of the mean.

    References
    ----------
    Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR
    2015, section 5, for the four measures.

    Examples
    --------
    >>> metric = Segmentation(["road", "car"])
    >>> guess, truth = np.array([[[0, 0], [1, 1]]]), np.array([[[0, 0], [0, 1]]])
    >>> round(metric.update(guess, truth).result()["mean_iou"], 4)
    0.5833
    """

    def __init__(self, classes: int | Sequence[str], ignore_label: int | None = None) -> None:
        names = [str(i) for i in range(classes)] if isinstance(classes, int) else list(classes)
        super().__init__(len(names), ignore_label)
        self.names = names

    def iou(self) -> np.ndarray:
        """Return intersection over union of each class.

        Returns
        -------
        ndarray of float64, shape (K,)
            NaN for a class that is neither there nor predicted.
        """
        right = np.diag(self.matrix)
        whole = self.matrix.sum(axis=0) + self.matrix.sum(axis=1) - right
        return np.divide(right, whole, out=np.full(len(right), np.nan), where=whole > 0)

    def result(self) -> dict[str, Any]:
        """Return all measures.

        Returns
        -------
        dict
            "pixel_accuracy", the share of pixels that are right; "mean_accuracy", that of each
            class, averaged; "mean_iou"; "frequency_weighted_iou", each class's IoU counted by its
            pixels; "per_class", by name: "iou", "precision", "recall" and "pixels". NaN where there
            is nothing to measure.
        """
        iou, recall, precision = self.iou(), self.recall(), self.precision()
        pixels = self.matrix.sum(axis=1)
        there = pixels > 0
        table = zip(iou.tolist(), precision.tolist(), recall.tolist(), pixels.tolist(), strict=True)
        return {
            "pixel_accuracy": self.accuracy(),
            "mean_accuracy": _mean(recall),
            "mean_iou": _mean(iou),
            "frequency_weighted_iou": (
                float((pixels[there] * iou[there]).sum() / pixels.sum()) if there.any() else np.nan
            ),
            "per_class": {
                name: dict(zip(("iou", "precision", "recall", "pixels"), row, strict=True))
                for name, row in zip(self.names, table, strict=True)
            },
        }

    def _settings(self) -> tuple[Any, ...]:
        return (tuple(self.names), self.ignore_label)


class MeanIoU(Segmentation):
    """Mean intersection over union alone: a single number, to be watched while a net learns.

    Parameters
    ----------
    classes : int or sequence of str
        How many classes there are, K, or their names.
    ignore_label : int, optional
        Pixels with this label count for nothing.

    Raises
    ------
    ConfigError
        If there are no classes.

    Examples
    --------
    >>> guess, truth = np.array([[[0, 0], [1, 1]]]), np.array([[[0, 0], [0, 1]]])
    >>> round(MeanIoU(2).update(guess, truth).result(), 4)
    0.5833
    """

    def result(self) -> Any:
        """Return the mean over classes.

        Returns
        -------
        float
            NaN if nothing was seen.
        """
        return _mean(self.iou())


class BoundaryF1(Metric):
    """How well outlines fit: precision and recall of boundary pixels, within a tolerance.

    A pixel is on the boundary of its class if one of its four neighbours is of another class. A
    boundary pixel of the prediction is right if one of the truth, of the same class, is no farther
    than the tolerance, and the other way round it is found. F1 is ``2 P R / (P + R)``; it is
    averaged over the images that show the class, then over classes. Area measures hardly see thin
    things and frayed edges; this does.

    Parameters
    ----------
    classes : int
        The number of classes, K.
    tolerance : float, default 0.0075
        As a share of the image's diagonal, the paper's; at least one pixel.
    ignore_label : int, optional
        Pixels with this label have no class: around them there is no boundary.

    Raises
    ------
    ConfigError
        If there are no classes, or the tolerance is negative.

    Notes
    -----
    Distances are Euclidean, from pixel to pixel. An image in which a class is predicted but not
    there, or the other way round, counts with an F1 of 0.

    References
    ----------
    Csurka, Larlus and Perronnin, "What is a good evaluation measure for semantic segmentation?",
    BMVC 2013.

    Examples
    --------
    >>> mask = np.zeros((1, 8, 8), int)
    >>> mask[0, 2:6, 2:6] = 1
    >>> BoundaryF1(2).update(mask, mask).result()
    1.0
    """

    def __init__(
        self, classes: int, tolerance: float = 0.0075, ignore_label: int | None = None
    ) -> None:
        if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
            raise ConfigError(f"BoundaryF1: {classes!r} classes; give 1 or more")
        if not 0 <= tolerance < np.inf:
            raise ConfigError(f"BoundaryF1: tolerance {tolerance}; give a share of the diagonal")
        self.classes, self.tolerance, self.ignore_label = classes, tolerance, ignore_label
        self.reset()

    def reset(self) -> Self:
        """Forget all images; return the metric itself."""
        self._scores: list[list[float]] = [[] for _ in range(self.classes)]
        return self

    def update(self, predictions: Any, labels: Any) -> Self:
        """Take the images of one more batch into account.

        Parameters
        ----------
        predictions : Tensor or ndarray, shape (N, K, H, W) or (N, H, W)
            Scores of K classes, of which the largest is predicted, or the predicted classes.
        labels : Tensor or ndarray of int, shape (N, H, W)
            The right classes.

        Returns
        -------
        BoundaryF1
            Itself.

        Raises
        ------
        ShapeError
            If shapes do not fit.
        DTypeError
            If labels, or predicted classes, are not whole numbers.
        ConfigError
            If a score is NaN: nothing is predicted then; or if a label, or a predicted class, is
            outside 0 ... K-1, other than the one to be ignored.
        """
        guess, truth = as_numpy(predictions), as_numpy(labels)
        if guess.ndim == 4 and guess.shape[1] == self.classes:
            if np.isnan(guess).any():
                raise ConfigError("BoundaryF1: a score is NaN, so no class is predicted")
            guess = guess.argmax(axis=1)
        if guess.ndim != 3 or guess.shape != truth.shape:
            raise ShapeError(
                f"BoundaryF1: predictions {as_numpy(predictions).shape} and labels {truth.shape} "
                f"do not fit; give (N, {self.classes}, H, W) or (N, H, W), and (N, H, W)"
            )
        if guess.dtype.kind not in "iu" or truth.dtype.kind not in "iu":
            raise DTypeError(
                f"BoundaryF1: classes must be whole numbers, got {guess.dtype} and {truth.dtype}"
            )
        counts = np.ones(truth.shape, bool)
        if self.ignore_label is not None:
            counts = truth != self.ignore_label
        for what, given in (("label", truth), ("predicted class", guess)):
            wrong = given[counts & ((given < 0) | (given >= self.classes))]
            if wrong.size:
                raise ConfigError(
                    f"BoundaryF1: {what} {int(wrong[0])} is outside 0 ... {self.classes - 1}; mend "
                    "it, or say by ignore_label which label counts for nothing"
                )
        for image, mask, own in zip(guess, truth, counts, strict=True):
            self._add(image, mask, own)
        return self

    def merge(self, other: Self) -> Self:
        """Take into account all that `other` has seen; return the metric itself."""
        self._check_like(other)
        for own, more in zip(self._scores, other._scores, strict=True):
            own.extend(more)
        return self

    def per_class(self) -> np.ndarray:
        """Return F1 of each class.

        Returns
        -------
        ndarray of float64, shape (K,)
            NaN for a class that no image shows.
        """
        # fsum: the same whatever the order in which parts were merged
        return np.array([math.fsum(f1) / len(f1) if f1 else np.nan for f1 in self._scores])

    def result(self) -> float:
        """Return the mean over classes; NaN if no class was seen."""
        return _mean(self.per_class())

    def _add(self, guess: np.ndarray, truth: np.ndarray, counts: np.ndarray) -> None:
        reach = max(1.0, self.tolerance * float(np.hypot(*truth.shape)))
        for label in range(self.classes):
            there = _outline(truth == label, counts)
            found = _outline(guess == label, counts)
            if not there.any() and not found.any():
                continue
            self._scores[label].append(_f1(found, there, reach))

    def _settings(self) -> tuple[Any, ...]:
        return (self.classes, self.tolerance, self.ignore_label)


def _outline(inside: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the pixels of a region that have a neighbour which counts outside of it."""
    other = ~inside & counts
    beside = np.zeros_like(inside)
    beside[1:] |= other[:-1]
    beside[:-1] |= other[1:]
    beside[:, 1:] |= other[:, :-1]
    beside[:, :-1] |= other[:, 1:]
    return inside & counts & beside


def _f1(found: np.ndarray, there: np.ndarray, reach: float) -> float:
    if not there.any() or not found.any():
        return 0.0
    precision = float(_near(there, reach)[found].mean())
    recall = float(_near(found, reach)[there].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _near(pixels: np.ndarray, reach: float) -> np.ndarray:
    """Return which pixels are no farther than `reach` from one of these."""
    height, width = pixels.shape
    near = np.zeros_like(pixels)
    most = int(reach)
    for down in range(-most, most + 1):
        for right in range(-most, most + 1):
            if down * down + right * right > reach * reach:
                continue
            rows = slice(max(down, 0), height + min(down, 0))
            columns = slice(max(right, 0), width + min(right, 0))
            from_rows = slice(max(-down, 0), height + min(-down, 0))
            from_columns = slice(max(-right, 0), width + min(-right, 0))
            near[rows, columns] |= pixels[from_rows, from_columns]
    return near


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
