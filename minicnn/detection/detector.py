"""What every detector is: it learns from images with boxes, and finds boxes in images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import as_numpy, to_device
from minicnn.errors import ConfigError, ShapeError

__all__ = [
    "IGNORED",
    "NOTHING",
    "Detections",
    "Detector",
    "Objects",
    "best_boxes",
    "objects_in",
    "scaled",
]

NOTHING = -1  # the class of a row that only fills up the table of boxes
IGNORED = -2  # the class of an object that is neither to be found nor background
_MIDDLE, _SPREAD = 127.5, 64.0  # of pixels: about the mean and deviation of photographs
_MOST_CANDIDATES = 2000  # before suppression: a detector that learned nothing is sure of all


class Detections(NamedTuple):
    """What was found in an image, the surest first.

    Parameters
    ----------
    boxes : ndarray of float32, shape (D, 4)
        (y0, x0, y1, x1) in pixels of the image, half-open.
    scores : ndarray of float32, shape (D,)
        How sure the detector is, 0 to 1 where its scores are probabilities.
    classes : ndarray of int64, shape (D,)
        What each is.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    @classmethod
    def none(cls) -> Detections:
        """Return the detections of an image in which nothing was found."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


class Objects(NamedTuple):
    """What there is to be found in an image.

    Parameters
    ----------
    boxes : ndarray of float32, shape (T, 4)
        Of the objects, (y0, x0, y1, x1) in pixels, each with an area.
    classes : ndarray of int64, shape (T,)
        What they are.
    ignored : ndarray of float32, shape (I, 4)
        Boxes of what is neither to be found nor background.
    """

    boxes: np.ndarray
    classes: np.ndarray
    ignored: np.ndarray


class Detector(nn.Module):
    """A network that finds objects, whichever way.

    A subclass has `losses`, and either `detect`, from the network's view of a batch, or `find`, if
    it needs the pixels themselves.

    Parameters
    ----------
    classes : int
        Number K of classes, the background not among them.

    Raises
    ------
    ConfigError
        If there are no classes.
    """

    def __init__(self, classes: int) -> None:
        if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
            raise ConfigError(f"{type(self).__name__}: {classes!r} classes; give 1 or more")
        self.classes = classes

    def losses(self, images: Tensor, truths: Mapping[str, Any]) -> dict[str, Tensor]:
        """Compute what the detector is trained to make small.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            A batch from `scaled`.
        truths : dict
            "boxes", float32 (N, T, 4), (y0, x0, y1, x1) in pixels, and "classes", int64 (N, T):
            0 ... K-1, `NOTHING` in rows that only fill up, `IGNORED` for what is neither to be
            found nor background.

        Returns
        -------
        dict of str to Tensor, shape ()
            The parts of the loss by name; their sum is trained. Finite for any truths.
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses")

    def detect(
        self, images: Tensor, score: float = 0.05, overlap: float = 0.5, limit: int = 100
    ) -> list[Detections]:
        """Find objects in a batch as the network sees it.

        Parameters
        ----------
        images : Tensor of float32, shape (N, 3, H, W)
            From `scaled`.
        score : float, default 0.05
            What is less sure is left out.
        overlap : float, default 0.5
            Of two boxes of a class that overlap more, intersection over union, the surer stays.
        limit : int, default 100
            How many to return of an image at most.

        Returns
        -------
        list of Detections
            One for each image.
        """
        raise NotImplementedError(f"{type(self).__name__} has no way to detect")

    def find(
        self, images: np.ndarray, score: float = 0.05, overlap: float = 0.5, limit: int = 100
    ) -> list[Detections]:
        """Find objects in pictures, from pixels to boxes.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            RGB.
        score, overlap, limit
            As for `detect`.

        Returns
        -------
        list of Detections
            One for each image.

        Raises
        ------
        ShapeError
            If the images are not uint8 (N, H, W, 3).
        """
        device = next(self.parameters()).device
        with no_grad(), nn.evaluating():
            return self.detect(Tensor(to_device(scaled(images), device)), score, overlap, limit)


def scaled(images: np.ndarray) -> np.ndarray:
    """Bring pixels to a mean near 0 and a deviation near 1: ``(pixel - 127.5) / 64``.

    Parameters
    ----------
    images : ndarray of uint8 or float32, shape (N, H, W, 3)
        Counting 255 as white.

    Returns
    -------
    ndarray of float32, shape (N, 3, H, W)
        A view whose memory is channels-last.

    Raises
    ------
    ShapeError
        If the images are not (N, H, W, 3).
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype not in (np.uint8, np.float32):
        raise ShapeError(
            f"scaled: needs uint8 or float32 images (N, H, W, 3), got {images.dtype} {images.shape}"
        )
    pixels = images.astype(np.float32)
    pixels -= _MIDDLE
    pixels *= 1 / _SPREAD
    return np.moveaxis(pixels, -1, 1)


def objects_in(truths: Mapping[str, Any], image: int, size: tuple[int, int]) -> Objects:
    """Return the objects of one image of a batch that a network can learn from.

    Boxes are cut off at the border. What has no area then, or is not finite, is left out.

    Parameters
    ----------
    truths : dict
        Of a batch; see `Detector.losses`.
    image : int
        Which one.
    size : (int, int)
        Height and width of the images in pixels.

    Returns
    -------
    Objects
        Each with an area inside the image; possibly none.
    """
    boxes = as_numpy(truths["boxes"])[image].astype(np.float32)
    classes = as_numpy(truths["classes"])[image].astype(np.int64)
    boxes = ops.clip_boxes(boxes, *size).numpy()
    sound = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)  # False for NaN
    there, ignored = sound & (classes >= 0), sound & (classes == IGNORED)
    return Objects(boxes[there], classes[there], boxes[ignored])


def best_boxes(
    boxes: np.ndarray, scores: np.ndarray, score: float, overlap: float, limit: int
) -> Detections:
    """Return the surest boxes of each class, those that overlap a surer one left out.

    Parameters
    ----------
    boxes : ndarray, shape (R, 4) or (R, K, 4)
        Boxes in pixels, one for all classes or one for each.
    scores : ndarray, shape (R, K)
        Of each class.
    score, overlap, limit
        As for `Detector.detect`.

    Returns
    -------
    Detections
        The surest first.
    """
    rows, classes = np.nonzero(scores >= score)
    chosen = boxes[rows] if boxes.ndim == 2 else boxes[rows, classes]
    sure = scores[rows, classes]
    if len(sure) > _MOST_CANDIDATES:
        order = np.argsort(-sure, kind="stable")[:_MOST_CANDIDATES]
        chosen, sure, classes = chosen[order], sure[order], classes[order]
    kept = ops.batched_nms(chosen, sure, classes, overlap, limit=limit).numpy()
    return Detections(
        chosen[kept].astype(np.float32),
        sure[kept].astype(np.float32),
        classes[kept].astype(np.int64),
    )
