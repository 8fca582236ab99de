"""Images of any size with the class of each of their pixels, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicnn.data.masks.sources import Masks, StoredMasks, label_fault, mask_dtype
from minicnn.data.picture_sources import Pictures, StoredPictures
from minicnn.errors import ConfigError, ShapeError

__all__ = ["MaskExample", "MaskSet"]


class MaskExample(NamedTuple):
    """An image and what its pixels show.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of uint8 or int64, shape (H, W)
        The class of each pixel, or the label of those that count for nothing.
    """

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class MaskSet:
    """Images with masks, in memory or read from their files whenever they are asked for.

    Parameters
    ----------
    pictures : Pictures
        Where pixels come from.
    labels : Masks
        Where their classes come from, by the same numbers.
    rows : ndarray of int64, shape (N,)
        Which of those pictures belong to the set, in their order.
    files : tuple of str
        Where each of the N images comes from, e.g. ``"train/0001TP_006690.jpg"``.
    names : tuple of str
        Of the classes.
    ignore_label : int or None
        The label of pixels that count for nothing, such as CamVid's void; None if there is none.
        It may be beyond the classes or one of them.
    source : str
        What the images are: a path, or ``"procedural scenes (seed 0)"``.
    faults : tuple of (str, str), default ()
        Place and fault of everything that was skipped because it is broken.

    Raises
    ------
    ShapeError
        If there is not one file for each row.
    ConfigError
        If there are no classes.
    """

    pictures: Pictures
    labels: Masks
    rows: np.ndarray
    files: tuple[str, ...]
    names: tuple[str, ...]
    ignore_label: int | None
    source: str
    faults: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.files):
            raise ShapeError(
                f"MaskSet: {len(self.rows)} pictures, {len(self.files)} files; give one for each"
            )
        if not self.names:
            raise ConfigError("MaskSet: no class has a name; give one or more")

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        masks: npt.ArrayLike,
        names: Sequence[str],
        ignore_label: int | None = None,
        source: str = "arrays",
    ) -> MaskSet:
        """Make a set of images of one size that are in memory.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            RGB.
        masks : array_like of int, shape (N, H, W)
            The class of each pixel.
        names : sequence of str
            Of the classes.
        ignore_label : int, optional
            The label of pixels that count for nothing.
        source : str, default "arrays"
            What the images are.

        Returns
        -------
        MaskSet
            The set; images are named by their numbers.

        Raises
        ------
        ShapeError
            If masks are not of the images' sizes, or no whole numbers.
        ConfigError
            If a label is neither a class nor to be ignored.

        Examples
        --------
        >>> images, masks = np.zeros((2, 32, 48, 3), np.uint8), np.zeros((2, 32, 48), np.uint8)
        >>> masks[0, :8] = 1
        >>> MaskSet.of(images, masks, ["road", "sky"]).counts().tolist()
        [2688, 384]
        """
        given = np.asarray(masks)
        if given.shape != images.shape[:3] or given.dtype.kind not in "iu":
            raise ShapeError(
                f"MaskSet: images {images.shape} with masks {given.dtype} {given.shape}; give "
                "(N, H, W, 3) and whole numbers (N, H, W)"
            )
        for number, mask in enumerate(given):
            if fault := label_fault(mask, len(names), ignore_label):
                raise ConfigError(f"MaskSet: mask {number} {fault}; name all classes")
        stored = StoredMasks(given.astype(mask_dtype(len(names), ignore_label)))
        files = tuple(f"{i:05d}" for i in range(len(images)))
        rows, names = np.arange(len(images)), tuple(names)
        return cls(StoredPictures(images), stored, rows, files, names, ignore_label, source)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> MaskExample:
        """Return an image with its mask; either may be of an unsound file: a DataError."""
        row = int(self.rows[index])
        return MaskExample(self.pictures.read(row), self.labels.read(row))

    def __iter__(self) -> Iterator[MaskExample]:
        return (self[i] for i in range(len(self)))

    @property
    def sizes(self) -> np.ndarray:
        """Height and width of each image in pixels, int64 (N, 2)."""
        sizes = [self.pictures.size(row) for row in self.rows.tolist()]
        return np.array(sizes, np.int64).reshape(-1, 2)

    @cached_property
    def images(self) -> np.ndarray:
        """All images, uint8 (N, H, W, 3), if they are of one size; see `fit_masks`."""
        self._check_stackable()
        return self.pictures.stacked(self.rows)

    @cached_property
    def masks(self) -> np.ndarray:
        """All masks, uint8 or int64 (N, H, W), if they are of one size; see `fit_masks`."""
        self._check_stackable()
        return self.labels.stacked(self.rows)

    def _check_stackable(self) -> None:
        if len(np.unique(self.sizes, axis=0)) > 1:
            raise ShapeError(
                f"MaskSet: the images of {self.source} are of several sizes; bring them to one "
                "with fit_masks"
            )
        if not len(self):
            raise ShapeError(f"MaskSet: {self.source} has no images to stack")

    def select(self, rows: npt.ArrayLike) -> MaskSet:
        """Return the set of some of the images, in the order given; pixels are not copied.

        Parameters
        ----------
        rows : array_like of int or bool, shape (M,)
            Row numbers, or one truth value for each image.

        Returns
        -------
        MaskSet
            Of those; `faults` stay as they are.
        """
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        return replace(self, rows=self.rows[index], files=tuple(self.files[i] for i in index))

    def counts(self) -> np.ndarray:
        """Count the pixels of each class; reads every mask.

        Returns
        -------
        ndarray of int64, shape (K,)
            How many there are, those to be ignored not among them.
        """
        total = np.zeros(len(self.names), np.int64)
        for row in self.rows.tolist():
            mask = self.labels.read(row)
            total += np.bincount(mask[mask != self.ignore_label], minlength=len(total))
        return total

    def fingerprint(self) -> str:
        """Return a digest that changes when the set does; of files, without reading them.

        Returns
        -------
        str
            64 hexadecimal digits. For files: of their names, sizes and times, or the checksums in
            an archive.
        """
        both = self.pictures.fingerprint(self.rows), self.labels.fingerprint(self.rows)
        return self._summed("".join(both).encode())

    def digest(self) -> str:
        """Return a SHA-256 of images, masks and names, to tell whether two sets are the same.

        Returns
        -------
        str
            64 hexadecimal digits. Of images and masks in files, the files' bytes count.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256()
        for row in self.rows.tolist():
            self.pictures.feed(row, sha.update)
            self.labels.feed(row, sha.update)
        return self._summed(sha.digest())

    def _summed(self, pixels: bytes) -> str:
        """Return a SHA-256 of everything but the pixels, and of what stands for those."""
        told = len(self), self.names, self.ignore_label, self.sizes.tolist()
        return hashlib.sha256(repr(told).encode() + pixels).hexdigest()
