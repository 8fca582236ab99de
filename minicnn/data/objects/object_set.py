"""Images of any size with the boxes of the objects in them, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicnn.data.objects.truths import LEAST, ignored, padded_truths
from minicnn.data.picture_sources import Pictures, StoredPictures
from minicnn.errors import ConfigError, ShapeError

__all__ = ["Annotation", "Example", "ObjectSet"]


class Annotation(NamedTuple):
    """What is known of an image.

    Parameters
    ----------
    file : str
        Where the image comes from, e.g. ``"JPEGImages/000001.jpg"``.
    boxes : ndarray of float32, shape (T, 4)
        Of its objects, (y0, x0, y1, x1) in pixels, half-open.
    classes : ndarray of int64, shape (T,)
        What they are.
    difficult : ndarray of bool, shape (T,)
        Those that count neither when they are found nor when they are missed.
    crowd : ndarray of bool, shape (T,)
        Boxes around many objects of a class that were not told apart.
    """

    file: str
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


class Example(NamedTuple):
    """An image and what is in it.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    boxes, classes, difficult, crowd
        As in `Annotation`.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray


@dataclass(frozen=True, eq=False)
class ObjectSet:
    """Images with boxes, in memory or read from their files whenever they are asked for.

    Parameters
    ----------
    pictures : Pictures
        Where pixels come from.
    rows : ndarray of int64, shape (N,)
        Which of those pictures belong to the set, in their order.
    annotations : tuple of Annotation
        Of each of the N images.
    names : tuple of str
        Of the classes.
    source : str
        What the images are: a path, or ``"procedural scenes (seed 0)"``.
    faults : tuple of (str, str), default ()
        Place and fault of everything that was skipped because it is broken.

    Raises
    ------
    ShapeError
        If there is not one annotation for each row.
    ConfigError
        If a class has no name.
    """

    pictures: Pictures
    rows: np.ndarray
    annotations: tuple[Annotation, ...]
    names: tuple[str, ...]
    source: str
    faults: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.annotations):
            raise ShapeError(
                f"ObjectSet: {len(self.rows)} pictures, {len(self.annotations)} annotations; give "
                "one for each"
            )
        for note in self.annotations:
            if len(note.classes) and not 0 <= note.classes.min() <= note.classes.max() < len(
                self.names
            ):
                raise ConfigError(
                    f"ObjectSet: {note.file} has classes {note.classes.tolist()}, but only "
                    f"{len(self.names)} have names; name them all"
                )

    @classmethod
    def of(
        cls,
        images: np.ndarray,
        boxes: Sequence[npt.ArrayLike],
        classes: Sequence[npt.ArrayLike],
        names: Sequence[str],
        difficult: Sequence[npt.ArrayLike] | None = None,
        crowd: Sequence[npt.ArrayLike] | None = None,
        source: str = "arrays",
    ) -> ObjectSet:
        """Make a set of images of one size that are in memory.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            RGB.
        boxes : sequence of array_like, shape (T, 4)
            Of the objects of each image, (y0, x0, y1, x1) in pixels, half-open.
        classes : sequence of array_like of int, shape (T,)
            What they are.
        names : sequence of str
            Of the classes.
        difficult, crowd : sequence of array_like of bool, shape (T,), optional
            See `Annotation`; by default none is.
        source : str, default "arrays"
            What the images are.

        Returns
        -------
        ObjectSet
            The set; images are named by their numbers.

        Raises
        ------
        ShapeError
            If the lengths do not fit.

        Examples
        --------
        >>> images = np.zeros((2, 32, 48, 3), np.uint8)
        >>> ObjectSet.of(images, [[[1, 2, 9, 9]], []], [[0], []], ["sign"]).counts().tolist()
        [1]
        """
        none = [np.zeros(len(np.asarray(labels)), bool) for labels in classes]
        columns = boxes, classes, difficult or none, crowd or none
        if {len(column) for column in columns} != {len(images)}:
            lengths = [len(column) for column in columns]
            raise ShapeError(
                f"ObjectSet: {len(images)} images, but boxes, classes, difficult and crowd are "
                f"lists of {lengths}; give one of each for each image"
            )
        notes = []
        for i, (corners, labels, hard, many) in enumerate(zip(*columns, strict=True)):
            note = Annotation(
                f"{i:05d}",
                np.array(corners, np.float32).reshape(-1, 4),
                np.array(labels, np.int64),
                np.array(hard, bool),
                np.array(many, bool),
            )
            if len({len(column) for column in note[1:]}) > 1:
                shapes = [column.shape for column in note[1:]]
                raise ShapeError(f"ObjectSet: image {i} has columns {shapes}; make them one length")
            notes.append(note)
        rows = np.arange(len(images))
        return cls(StoredPictures(images), rows, tuple(notes), tuple(names), source)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        """Return an image with its objects; the image may be of an unsound file: a DataError."""
        _, *objects = self.annotations[index]
        return Example(self.pictures.read(int(self.rows[index])), *objects)

    def __iter__(self) -> Iterator[Example]:
        return (self[i] for i in range(len(self)))

    @property
    def files(self) -> tuple[str, ...]:
        """Where each image comes from."""
        return tuple(note.file for note in self.annotations)

    @property
    def sizes(self) -> np.ndarray:
        """Height and width of each image in pixels, int64 (N, 2)."""
        sizes = [self.pictures.size(row) for row in self.rows.tolist()]
        return np.array(sizes, np.int64).reshape(-1, 2)

    @cached_property
    def images(self) -> np.ndarray:
        """All images, uint8 (N, H, W, 3), if they are of one size; see `fit_all`."""
        if len(np.unique(self.sizes, axis=0)) > 1:
            raise ShapeError(
                f"ObjectSet: the images of {self.source} are of several sizes; bring them to one "
                "with fit_all"
            )
        if not len(self):
            raise ShapeError(f"ObjectSet: {self.source} has no images to stack")
        return self.pictures.stacked(self.rows)

    def truths(self, rows: npt.ArrayLike | None = None, least: float = LEAST) -> dict:
        """Return the objects as detectors are trained with them.

        Parameters
        ----------
        rows : array_like of int, optional
            Of which images; by default of all.
        least : float, default 8.0
            Objects whose smaller side has fewer pixels are ignored, as difficult ones and crowds.

        Returns
        -------
        dict
            "boxes" and "classes"; see `padded_truths`.
        """
        chosen = range(len(self)) if rows is None else np.asarray(rows, np.int64).tolist()
        notes = [self.annotations[i] for i in chosen]
        return padded_truths([(n.boxes, n.classes, n.difficult | n.crowd) for n in notes], least)

    def expected(self, index: int, least: float = LEAST) -> dict[str, np.ndarray]:
        """Return what is to be found in an image, as the metrics of detection take it.

        Parameters
        ----------
        index : int
            Which image.
        least : float, default 8.0
            Objects whose smaller side has fewer pixels are difficult.

        Returns
        -------
        dict
            "boxes", "classes", "difficult" and "crowd".
        """
        note = self.annotations[index]
        difficult = ignored(note.boxes, note.difficult, least)
        return {
            "boxes": note.boxes,
            "classes": note.classes,
            "difficult": difficult,
            "crowd": note.crowd,
        }

    def select(self, rows: npt.ArrayLike) -> ObjectSet:
        """Return the set of some of the images, in the order given; pixels are not copied.

        Parameters
        ----------
        rows : array_like of int or bool, shape (M,)
            Row numbers, or one truth value for each image.

        Returns
        -------
        ObjectSet
            Of those; `faults` stay as they are.
        """
        index = np.asarray(rows)
        index = np.flatnonzero(index) if index.dtype == bool else index.astype(np.int64)
        notes = tuple(self.annotations[i] for i in index)
        return replace(self, rows=self.rows[index], annotations=notes)

    def regrouped(self, to: Sequence[int], names: Sequence[str]) -> ObjectSet:
        """Return the same images with other classes.

        Parameters
        ----------
        to : sequence of int
            The new class of each class; objects of a class that becomes -1 are left out.
        names : sequence of str
            Of the new classes.

        Returns
        -------
        ObjectSet
            The pixels are shared.

        Raises
        ------
        ConfigError
            If not every class has a new one, or that has no name.
        """
        table = np.asarray(to, np.int64)
        low, high = table.min(initial=0), table.max(initial=0)
        if len(table) != len(self.names) or not -1 <= low <= high < len(names):
            raise ConfigError(
                f"regrouped: {len(self.names)} classes become {list(to)} with names {list(names)}; "
                "give each class a new one, from 0 on, or -1"
            )
        notes = []
        for note in self.annotations:
            classes = table[note.classes]
            kept = classes >= 0
            marks = note.difficult[kept], note.crowd[kept]
            notes.append(Annotation(note.file, note.boxes[kept], classes[kept], *marks))
        return replace(self, annotations=tuple(notes), names=tuple(names))

    def fingerprint(self) -> str:
        """Return a digest that changes when the set does; of files, without reading them.

        Returns
        -------
        str
            64 hexadecimal digits. For pictures in files: of their names, sizes and times, or
            the checksums in an archive.
        """
        return self._summed(self.pictures.fingerprint(self.rows).encode())

    def counts(self) -> np.ndarray:
        """Count the objects of each class, difficult ones and crowds not among them.

        Returns
        -------
        ndarray of int64, shape (K,)
            How many there are.
        """
        labels = [n.classes[~(n.difficult | n.crowd)] for n in self.annotations]
        return np.bincount(np.concatenate([np.empty(0, np.int64), *labels]), None, len(self.names))

    def digest(self) -> str:
        """Return a SHA-256 of images, objects and names, to tell whether two sets are the same.

        Returns
        -------
        str
            64 hexadecimal digits. Of pictures in files, the files' bytes count.
        """
        return self._digest

    @cached_property
    def _digest(self) -> str:
        sha = hashlib.sha256()
        for row in self.rows.tolist():
            self.pictures.feed(row, sha.update)
        return self._summed(sha.digest())

    def _summed(self, pixels: bytes) -> str:
        """Return a SHA-256 of everything but the pixels, and of what stands for those."""
        sha = hashlib.sha256(repr((len(self), self.names)).encode())
        for row, note in zip(self.rows.tolist(), self.annotations, strict=True):
            sha.update(repr((len(note.classes), self.pictures.size(row))).encode())
            for column in note[1:]:
                sha.update(np.ascontiguousarray(column).data)
        sha.update(pixels)
        return sha.hexdigest()
