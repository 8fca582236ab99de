"""Where the pixels of a set of images come from: memory, or the files of a folder or archive."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from minicnn._reading import shown
from minicnn.data.archives import Tree
from minicnn.data.pictures import decode
from minicnn.errors import DataError, ShapeError

__all__ = ["FilePictures", "Pictures", "StoredPictures"]


class Pictures(Protocol):
    """Pictures of any sizes, by number; safe to use from several threads."""

    def read(self, row: int) -> np.ndarray:
        """Return a picture, uint8 (H, W, 3), or raise a DataError that names its file."""

    def size(self, row: int) -> tuple[int, int]:
        """Return the height and width of a picture in pixels, without its pixels."""

    def feed(self, row: int, take: Callable[[Any], object]) -> None:
        """Hand all bytes of a picture to a function that sums them up."""

    def fingerprint(self, rows: np.ndarray) -> str:
        """Return a digest that changes when one of these pictures does; cheap if it can be."""

    def stacked(self, rows: np.ndarray) -> np.ndarray:
        """Return pictures of one size, uint8 (N, H, W, 3)."""


class StoredPictures:
    """Pictures of one size, in memory.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
        RGB.

    Raises
    ------
    ShapeError
        If they are not.
    """

    def __init__(self, images: np.ndarray) -> None:
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ShapeError(
                f"StoredPictures: needs uint8 (N, H, W, 3), got {images.dtype} {images.shape}"
            )
        self._keep(images)

    def _keep(self, images: np.ndarray) -> None:
        self._images = np.ascontiguousarray(images).view()
        self._images.flags.writeable = False

    def read(self, row: int) -> np.ndarray:
        """Return a picture; see `Pictures`."""
        return self._images[row]

    def size(self, row: int) -> tuple[int, int]:
        """Return a picture's height and width; see `Pictures`."""
        return self._images.shape[1], self._images.shape[2]

    def feed(self, row: int, take: Callable[[Any], object]) -> None:
        """Hand over a picture's pixels; see `Pictures`."""
        take(self._images[row].data)

    def fingerprint(self, rows: np.ndarray) -> str:
        """Return a digest of the pixels; see `Pictures`."""
        sha = hashlib.sha256(repr(self._images.shape[1:]).encode())
        for row in rows.tolist():
            self.feed(row, sha.update)
        return sha.hexdigest()

    def stacked(self, rows: np.ndarray) -> np.ndarray:
        """Return pictures as one array; see `Pictures`."""
        everything = np.array_equal(rows, np.arange(len(self._images)))
        return self._images if everything else self._images[rows]


class FilePictures:
    """Pictures in files, decoded whenever they are asked for.

    Parameters
    ----------
    tree : Tree
        Holds the files; it is closed when nobody needs the pictures any more.
    files : sequence of str
        Their names in the tree.
    sizes : sequence of (int, int)
        Height and width of each in pixels, as the boxes assume them.
    """

    def __init__(self, tree: Tree, files: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
        self._tree, self._files, self._sizes = tree, tuple(files), tuple(sizes)
        weakref.finalize(self, tree.close)

    @property
    def tree(self) -> Tree:
        """What holds the files; open as long as this is there."""
        return self._tree

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each picture in pixels."""
        return self._sizes

    def read(self, row: int) -> np.ndarray:
        """Return a picture; see `Pictures`."""
        try:
            image = self._decoded(self._tree.read(self._files[row]))
            height, width = self._sizes[row]
            if image.shape[:2] != (height, width):
                raise DataError(
                    f"is {image.shape[1]} x {image.shape[0]} pixels, but its annotation says "
                    f"{width} x {height}: it cannot be right"
                )
        except DataError as error:
            raise DataError(f"{shown(self._tree.path / self._files[row])}: {error}") from error
        return image

    def _decoded(self, data: bytes) -> np.ndarray:
        return np.asarray(decode(data))

    def size(self, row: int) -> tuple[int, int]:
        """Return a picture's height and width; see `Pictures`."""
        return self._sizes[row]

    def feed(self, row: int, take: Callable[[Any], object]) -> None:
        """Hand over a file's bytes; see `Pictures`."""
        try:
            take(self._tree.read(self._files[row]))
        except DataError as error:
            raise DataError(f"{shown(self._tree.path / self._files[row])}: {error}") from error

    def fingerprint(self, rows: np.ndarray) -> str:
        """Return a digest of the files' names, sizes and times or checksums; see `Pictures`."""
        return self._tree.fingerprint(self._files[row] for row in rows.tolist())

    def stacked(self, rows: np.ndarray) -> np.ndarray:
        """Return pictures as one array; see `Pictures`."""
        return np.stack([self.read(row) for row in rows.tolist()])
