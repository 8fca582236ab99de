"""What every classifier of images needs: to be judged, and to be shown a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import to_device
from minicnn.data.augmentation import standardize
from minicnn.data.sign_table import SignTable
from minicnn.visualise import mistakes

__all__ = ["Outcome", "classify", "judge"]

BATCH = 256  # images at once


@dataclass(frozen=True)
class Outcome:
    """How a network did on a table of signs.

    Parameters
    ----------
    table : SignTable
        The signs.
    probabilities : ndarray of float32, shape (N, 43)
        What the network thinks of each.
    """

    table: SignTable
    probabilities: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The likeliest classes, int64 (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """The share of right predictions."""
        return float((self.predictions == self.table.labels).mean())

    @property
    def loss(self) -> float:
        """The mean cross-entropy, without smoothing."""
        right = np.take_along_axis(self.probabilities, self.table.labels[:, None], axis=1)
        return float(-np.log(np.maximum(right, 1e-30)).mean(dtype=np.float64))

    @property
    def worst(self) -> np.ndarray:
        """The rows of the mistakes, int64, those that the network was surest of first."""
        return mistakes(self.table.labels, self.probabilities)


def judge(net: nn.Module, table: SignTable) -> Outcome:
    """Let a network classify a whole table.

    Parameters
    ----------
    net : Module
        From `build_network`, trained.
    table : SignTable
        The signs.

    Returns
    -------
    Outcome
        What it thinks of each.
    """
    parts = [
        classify(net, table.images[start : start + BATCH]) for start in range(0, len(table), BATCH)
    ]
    return Outcome(table, np.concatenate(parts) if parts else np.empty((0, 0), np.float32))


def classify(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """Let a network classify a few images.

    Parameters
    ----------
    net : Module
        From `build_network`, trained. Its mode does not matter, and several threads may use it.
    images : ndarray of uint8, shape (N, H, W, 3)
        Pictures of signs.

    Returns
    -------
    ndarray of float32, shape (N, 43)
        The probability of each class.
    """
    device = next(net.parameters()).device
    with no_grad(), nn.evaluating():
        scores = net(Tensor(to_device(standardize(images), device)))
        return ops.softmax(scores, axis=1).numpy()
