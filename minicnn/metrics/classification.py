"""Metrics of classification: of images, or of pixels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics.metric import Metric, as_numpy


class _Share(Metric):
    """How many of the counted examples are right."""

    def __init__(self, ignore_label: int | None = None) -> None:
        self.ignore_label = ignore_label
        self.reset()

    def reset(self) -> Self:
        """Forget all examples; return the metric itself."""
        self.right = 0
        self.count = 0
        return self

    def merge(self, other: Self) -> Self:
        """Take into account all that `other` has seen; return the metric itself."""
        self._check_like(other)
        self.right += other.right
        self.count += other.count
        return self

    def result(self) -> float:
        """Return the share of right predictions, 0 to 1; NaN if there were no examples."""
        return self.right / self.count if self.count else float("nan")

    def _settings(self) -> tuple[Any, ...]:
        return (self.ignore_label,)


class Accuracy(_Share):
    """The share of examples whose predicted class is the right one.

    Parameters
    ----------
    ignore_label : int, optional
        Examples with this label count for nothing.

    Examples
    --------
    >>> Accuracy().update(np.array([[1.0, 3.0], [2.0, 0.0]]), np.array([1, 1])).result()
    0.5
    """

    def update(self, predictions: Any, labels: Any) -> Self:
        """Take one more batch into account.

        Parameters
        ----------
        predictions : Tensor or ndarray, shape (N, K, ...) or (N, ...)
            Scores of K classes, of which the largest is predicted, the first of equal ones; or
            the predicted classes themselves. A row of scores with a NaN is wrong.
        labels : Tensor or ndarray of int, shape (N, ...)
            The right classes.

        Returns
        -------
        Accuracy
            Itself.

        Raises
        ------
        ShapeError
            If shapes do not fit.
        DTypeError
            If labels, or predicted classes, are not whole numbers.
        ConfigError
            If a class is out of range.
        """
        guess, right = _examples("Accuracy", predictions, labels, self.ignore_label)
        if guess.ndim == 2:
            guess = np.where(np.isnan(guess).any(axis=1), -1, guess.argmax(axis=1))
        self.right += int((guess == right).sum())
        self.count += len(right)
        return self


class TopK(_Share):
    """The share of examples whose right class is among the k highest scores.

    Parameters
    ----------
    k : int, default 5
        How many classes may be guessed.
    ignore_label : int, optional
        Examples with this label count for nothing.

    Raises
    ------
    ConfigError
        If `k` is not a whole number above 0.
    """

    def __init__(self, k: int = 5, ignore_label: int | None = None) -> None:
        self.k = _whole("TopK", "k", k)
        super().__init__(ignore_label)

    def update(self, scores: Any, labels: Any) -> Self:
        """Take one more batch into account.

        Parameters
        ----------
        scores : Tensor or ndarray, shape (N, K, ...)
            Scores of K classes; of equal scores, that of the lower class comes first, so that
            ``TopK(1)`` is the accuracy. A row with a NaN is wrong.
        labels : Tensor or ndarray of int, shape (N, ...)
            The right classes.

        Returns
        -------
        TopK
            Itself.

        Raises
        ------
        ShapeError
            If shapes do not fit.
        DTypeError
            If labels are not whole numbers.
        ConfigError
            If a class is out of range.
        """
        table, right = _examples("TopK", scores, labels, self.ignore_label)
        if table.ndim != 2:
            raise ShapeError("TopK: needs a score for every class (N, K, ...), not the classes")
        own = np.take_along_axis(table, right[:, None], axis=1)
        earlier = np.arange(table.shape[1]) < right[:, None]
        rank = ((table > own) | ((table == own) & earlier)).sum(axis=1)
        self.right += int(((rank < self.k) & ~np.isnan(table).any(axis=1)).sum())
        self.count += len(right)
        return self

    def _settings(self) -> tuple[Any, ...]:
        return (self.k, self.ignore_label)


class ConfusionMatrix(Metric):
    """How often each class was taken for each.

    Parameters
    ----------
    classes : int
        The number of classes, K.
    ignore_label : int, optional
        Examples with this label count for nothing.

    Attributes
    ----------
    matrix : ndarray of int64, shape (K, K)
        Examples of each right class (row) by predicted class (column).

    Raises
    ------
    ConfigError
        If `classes` is not a whole number above 0.

    Examples
    --------
    >>> ConfusionMatrix(2).update(np.array([0, 1, 1]), np.array([0, 0, 1])).result().tolist()
    [[1, 1], [0, 1]]
    """

    def __init__(self, classes: int, ignore_label: int | None = None) -> None:
        self.classes = _whole("ConfusionMatrix", "classes", classes)
        self.ignore_label = ignore_label
        self.reset()

    def reset(self) -> Self:
        """Forget all examples; return the metric itself."""
        self.matrix = np.zeros((self.classes, self.classes), np.int64)
        return self

    def update(self, predictions: Any, labels: Any) -> Self:
        """Take one more batch into account.

        Parameters
        ----------
        predictions : Tensor or ndarray, shape (N, K, ...) or (N, ...)
            Scores of K classes, of which the largest is predicted, or the predicted classes.
        labels : Tensor or ndarray of int, shape (N, ...)
            The right classes.

        Returns
        -------
        ConfusionMatrix
            Itself.

        Raises
        ------
        ShapeError
            If shapes do not fit.
        DTypeError
            If labels, or predicted classes, are not whole numbers.
        ConfigError
            If a class is out of range, or a score is NaN: nothing is predicted then.
        """
        name = type(self).__name__
        guess, right = _examples(name, predictions, labels, self.ignore_label, self.classes)
        if guess.ndim == 2:
            if np.isnan(guess).any():
                raise ConfigError(f"{name}: a score is NaN, so no class is predicted")
            guess = guess.argmax(axis=1)
        flat = right.astype(np.int64) * self.classes + guess
        self.matrix += np.bincount(flat, minlength=self.matrix.size).reshape(self.matrix.shape)
        return self

    def merge(self, other: Self) -> Self:
        """Take into account all that `other` has seen; return the metric itself."""
        self._check_like(other)
        self.matrix += other.matrix
        return self

    def result(self) -> Any:
        """Return a copy of the matrix."""
        return self.matrix.copy()

    def accuracy(self) -> float:
        """Return the share of right predictions; NaN if there were no examples."""
        count = int(self.matrix.sum())
        return int(np.trace(self.matrix)) / count if count else float("nan")

    def precision(self) -> np.ndarray:
        """Return, of what was predicted as each class, the share that is of it.

        Returns
        -------
        ndarray of float64, shape (K,)
            NaN for a class that was never predicted.
        """
        return _ratio(np.diag(self.matrix), self.matrix.sum(axis=0))

    def recall(self) -> np.ndarray:
        """Return the share of each class's examples that was predicted as it.

        Returns
        -------
        ndarray of float64, shape (K,)
            NaN for a class without examples.
        """
        return _ratio(np.diag(self.matrix), self.matrix.sum(axis=1))

    def f1(self) -> np.ndarray:
        """Return the harmonic mean of precision and recall of each class.

        Returns
        -------
        ndarray of float64, shape (K,)
            As ``2 right / (examples + predictions)``: 0 if a class was always missed, NaN if it
            neither has examples nor was predicted.
        """
        both = self.matrix.sum(axis=0) + self.matrix.sum(axis=1)
        return _ratio(2 * np.diag(self.matrix), both)

    def _settings(self) -> tuple[Any, ...]:
        return (self.classes, self.ignore_label)


class PerClass(ConfusionMatrix):
    """Precision, recall and F1 of every class.

    Parameters
    ----------
    classes : int
        The number of classes, K.
    ignore_label : int, optional
        Examples with this label count for nothing.

    Raises
    ------
    ConfigError
        If `classes` is not a whole number above 0.
    """

    def result(self) -> dict[str, np.ndarray]:
        """Return precision, recall, F1 and the number of examples of each class.

        Returns
        -------
        dict of str to ndarray, shape (K,)
            "precision", "recall" and "f1" in float64, NaN where `ConfusionMatrix` says so;
            "examples" in int64.
        """
        return {
            "precision": self.precision(),
            "recall": self.recall(),
            "f1": self.f1(),
            "examples": self.matrix.sum(axis=1),
        }


def _examples(
    name: str, predictions: Any, labels: Any, ignore_label: int | None, classes: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions (M, K) or (M,) and labels (M,) of the counted examples, checked."""
    guess, right = as_numpy(predictions), as_numpy(labels)
    if right.dtype.kind not in "iub":
        raise DTypeError(f"{name}: labels must be whole numbers, got {right.dtype}")
    scores = guess.ndim == right.ndim + 1
    if not right.ndim or right.shape != (
        guess.shape[:1] + guess.shape[2:] if scores else guess.shape
    ):
        raise ShapeError(
            f"{name}: predictions {guess.shape} and labels {right.shape} do not fit; give scores "
            "(N, K, ...) or classes (N, ...), and labels (N, ...)"
        )
    if scores:
        if classes not in (None, guess.shape[1]):
            raise ShapeError(f"{name}: scores {guess.shape} are not of {classes} classes")
        classes = guess.shape[1]
        guess = np.moveaxis(guess, 1, -1).reshape(-1, classes)
    elif guess.dtype.kind not in "iub":
        raise DTypeError(f"{name}: predicted classes must be whole numbers, got {guess.dtype}")
    else:
        guess = guess.reshape(-1)
    right = right.reshape(-1)
    if ignore_label is not None:
        counted = right != ignore_label
        guess, right = guess[counted], right[counted]
    _check_classes(name, "label", right, classes)
    if not scores:
        _check_classes(name, "predicted class", guess, classes)
    return guess, right


def _check_classes(name: str, what: str, values: np.ndarray, classes: int | None) -> None:
    wrong = values < 0 if classes is None else (values < 0) | (values >= classes)
    if wrong.any():
        bound = "0 and up" if classes is None else f"0 ... {classes - 1}"
        raise ConfigError(f"{name}: {what} {int(values[wrong.argmax()])} is outside {bound}")


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, NaN where b is 0."""
    nothing = np.full(a.shape, np.nan)
    return np.divide(a, b, out=nothing, where=b != 0)


def _whole(owner: str, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigError(f"{owner}: {name} is {value!r}; give a whole number above 0")
    return int(value)
