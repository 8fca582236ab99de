"""Traffic-sign images with their labels, their tracks and where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from minicnn.data.classes import NUM_CLASSES
from minicnn.errors import ConfigError, ShapeError

__all__ = ["TRACKS_PER_CLASS", "SignTable"]

TRACKS_PER_CLASS = 100_000
"""A track's id is ``label * TRACKS_PER_CLASS + its number within the class``."""


@dataclass(frozen=True, eq=False)
class SignTable:
    """All images of one part of a traffic-sign set, cropped and resized alike.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
        RGB, channels last.
    labels : ndarray of int64, shape (N,)
        The class of each image, an index into `minicnn.data.classes.CLASS_NAMES`.
    tracks : ndarray of int64, shape (N,)
        One number per physical sign: images of one track show the same sign.
    names : tuple of str
        Where each image comes from, e.g. ``"00000/00000_00029.ppm"``.
    source : str
        What the data are: a path, or ``"procedural signs (seed 0)"``.
    skipped : tuple of (str, str), default ()
        Name and fault of every record that was left out because it is broken.
    notes : tuple of str, default ()
        What a reader of results should know, e.g. ``"class 3 has no images"``.

    Raises
    ------
    ShapeError
        If the columns are not equally long, or images are not (N, H, W, 3).
    """

    images: np.ndarray
    labels: np.ndarray
    tracks: np.ndarray
    names: tuple[str, ...]
    source: str
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 3:
            raise ShapeError(f"SignTable: images are (N, H, W, 3), got {self.images.shape}")
        lengths = [len(c) for c in (self.images, self.labels, self.tracks, self.names)]
        if len(set(lengths)) != 1:
            raise ShapeError(
                f"SignTable: images, labels, tracks and names have {lengths} rows; "
                "give as many of each"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: npt.ArrayLike) -> SignTable:
        """Return the table of some of the rows, in the order given.

        Parameters
        ----------
        index : array_like of int or bool, shape (M,)
            Row numbers, or one truth value per row.

        Returns
        -------
        SignTable
            A copy of those rows; `skipped` and `notes` stay as they are.
        """
        index = np.asarray(index)
        if index.dtype == bool:
            index = np.flatnonzero(index)
        rows = index.astype(np.int64) if index.size == 0 else index
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            tracks=self.tracks[rows],
            names=tuple(self.names[i] for i in rows),
        )

    def per_class_counts(self, num_classes: int = NUM_CLASSES) -> np.ndarray:
        """Count the images of each class.

        Parameters
        ----------
        num_classes : int, default 43
            How many classes there are.

        Returns
        -------
        ndarray of int64, shape (num_classes,)
            The number of images per label.
        """
        if len(self) and not 0 <= self.labels.min() <= self.labels.max() < num_classes:
            raise ConfigError(
                f"per_class_counts: labels reach from {self.labels.min()} to {self.labels.max()}; "
                f"raise num_classes, now {num_classes}"
            )
        return np.bincount(self.labels, minlength=num_classes)

    def digest(self) -> str:
        """Return a SHA-256 of the images and labels, to tell whether two tables are the same.

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        sha = hashlib.sha256(repr(self.images.shape).encode())
        sha.update(np.ascontiguousarray(self.images).data)
        sha.update(np.ascontiguousarray(self.labels).data)
        return sha.hexdigest()
