"""What every classifier of images needs: to be judged, and to be shown a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import to_device
from minicnn.data.augmentation import standardize
from minicnn.data.pictures import to_rgb
from minicnn.data.sign_table import SignTable
from minicnn.errors import DataError
from minicnn.visualise import mistakes

__all__ = ["Outcome", "classify", "judge", "read_image"]

BATCH = 256  # images at once
MOST_PIXELS = 50_000_000  # in a picture to classify


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
        From `build_network`, trained; its mode is left as it is found.
    images : ndarray of uint8, shape (N, H, W, 3)
        Pictures of signs.

    Returns
    -------
    ndarray of float32, shape (N, 43)
        The probability of each class.
    """
    was_training = net.training
    net.eval()
    try:
        device = next(net.parameters()).device
        with no_grad():
            scores = net(Tensor(to_device(standardize(images), device)))
            return ops.softmax(scores, axis=1).numpy()
    finally:
        net.train(was_training)


def read_image(path: str | Path, size: int) -> np.ndarray:
    """Read a picture of one sign from a file of any common format.

    Parameters
    ----------
    path : str or Path
        The file; the sign should fill the picture.
    size : int
        Height and width to resize it to, in pixels.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        RGB.

    Raises
    ------
    DataError
        If there is no such file, or it is no image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{path}: {image.width} x {image.height} pixels are too many; scale it down"
                )
            upright = to_rgb(ImageOps.exif_transpose(image))
            small = upright.resize((size, size), Image.Resampling.BILINEAR)
        return np.asarray(small)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: is not an image that can be read ({error})") from error
