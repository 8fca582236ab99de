"""What a segmentation net is trained to make small: each pixel's loss, weighted, and overlaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, where
from minicnn.backend import array_module
from minicnn.backend.device import to_device
from minicnn.errors import ConfigError, ShapeError
from minicnn.models import PixelScores

__all__ = ["LOSSES", "median_frequency_weights", "pixel_loss"]

AUX_WEIGHT = 0.4  # of an auxiliary head, the PSPNet paper's


def median_frequency_weights(
    masks: Iterable[np.ndarray], classes: int, ignore_label: int | None = None
) -> np.ndarray:
    """Return how much a pixel of each class should count so that rare classes are learned, too.

    The frequency of a class is the share of its pixels in the images that show it; its weight is
    the median of all frequencies divided by its own.

    Parameters
    ----------
    masks : iterable of ndarray of int, shape (H, W)
        The right classes of each image.
    classes : int
        Their number, K.
    ignore_label : int, optional
        Pixels with this label count for nothing.

    Returns
    -------
    ndarray of float32, shape (K,)
        1 for the class in the middle; 0 for classes that no image shows.

    Raises
    ------
    ConfigError
        If a label is outside 0 ... K - 1.

    References
    ----------
    Eigen and Fergus, "Predicting depth, surface normals and semantic labels with a common
    multi-scale convolutional architecture", ICCV 2015, section 6.3.2.
    """
    own = np.zeros(classes, np.int64)
    among = np.zeros(classes, np.int64)
    for mask in masks:
        labels = mask[mask != ignore_label] if ignore_label is not None else mask.reshape(-1)
        if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise ConfigError(
                f"median_frequency_weights: labels {int(labels.min())} to {int(labels.max())} are "
                f"not all of 0 ... {classes - 1}; say which one is to be ignored"
            )
        counts = np.bincount(labels.astype(np.int64), minlength=classes)
        own += counts
        among += np.where(counts > 0, labels.size, 0)
    there = own > 0
    frequency = np.divide(own, among, out=np.zeros(classes), where=there)
    middle = np.median(frequency[there]) if there.any() else 0.0
    weights = np.divide(middle, frequency, out=np.zeros(classes), where=there)
    return weights.astype(np.float32)


def _cross_entropy(logits: Tensor, labels: Any, ignore: int | None, weights: Any) -> Tensor:
    return ops.sparse_softmax_cross_entropy(logits, labels, ignore, weights)


def _focal(logits: Tensor, labels: Any, ignore: int | None, weights: Any) -> Tensor:
    return ops.softmax_focal_loss(logits, labels, 2.0, ignore, weights)


def _dice(logits: Tensor, labels: Any, ignore: int | None, weights: Any) -> Tensor:
    """Dice loss over the batch; weights are left to cross-entropy, for it balances by itself."""
    xp = array_module(logits.data)
    found = labels.data if isinstance(labels, Tensor) else to_device(labels, logits.device)
    counts = xp.ones(found.shape, bool) if ignore is None else found != ignore
    safe = xp.where(counts, found, 0)
    target = ops.one_hot(safe, logits.shape[1], axis=1).data * counts[:, None]
    p = where(Tensor(counts[:, None]), ops.softmax(logits, axis=1), 0.0)
    return ops.dice_loss(p, target, over_batch=True)


PixelLoss = Callable[[Tensor, Any, int | None, Any], Tensor]
LOSSES: Mapping[str, PixelLoss] = {
    "cross_entropy": _cross_entropy,
    "focal": _focal,
    "dice": _dice,
}


def pixel_loss(
    kinds: str = "cross_entropy",
    ignore_label: int | None = None,
    class_weights: np.ndarray | None = None,
) -> Callable[[Tensor | PixelScores, Any], Tensor]:
    """Return the loss of a segmentation net, or a sum of several.

    Parameters
    ----------
    kinds : str, default "cross_entropy"
        ``"cross_entropy"``, ``"focal"`` or ``"dice"``, or several: ``"cross_entropy+dice"``.
    ignore_label : int, optional
        Pixels with this label count for nothing.
    class_weights : ndarray, shape (K,), optional
        How much a pixel of each class counts; see `median_frequency_weights`. Not for dice.

    Returns
    -------
    callable
        Takes scores (N, K, H, W), or `PixelScores`, and labels (N, H, W); returns a scalar. The
        loss of an auxiliary head counts 0.4.

    Raises
    ------
    ConfigError
        If a kind is unknown, or there are weights but nothing that they count for.
    """
    chosen = kinds.split("+")
    for kind in chosen:
        if kind not in LOSSES:
            raise ConfigError(
                f"pixel_loss: {kind!r} is unknown; give {', '.join(LOSSES)}, or a sum such as "
                "'cross_entropy+dice'"
            )
    if class_weights is not None and set(chosen) == {"dice"}:
        raise ConfigError(
            f"pixel_loss: {kinds!r} takes no weights of classes, for it balances them by itself; "
            "leave them out, or add cross_entropy or focal"
        )

    def loss(scores: Tensor | PixelScores, labels: Any) -> Tensor:
        if isinstance(scores, PixelScores):
            return loss(scores.logits, labels) + AUX_WEIGHT * loss(scores.aux, labels)
        if tuple(labels.shape) != (scores.shape[0], *scores.shape[2:]):
            raise ShapeError(
                f"pixel_loss: labels {tuple(labels.shape)} do not fit scores {scores.shape}; give "
                "(N, H, W) for (N, K, H, W)"
            )
        parts = [LOSSES[kind](scores, labels, ignore_label, class_weights) for kind in chosen]
        return sum(parts[1:], start=parts[0])

    return loss
