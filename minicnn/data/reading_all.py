"""All images of a set read at once, by several threads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from minicnn.errors import ConfigError, DataError

__all__ = ["AllRead", "check_request", "read_all", "room"]

Result = TypeVar("Result")
LARGEST = 8192  # pixels: the side of a picture that a set can be brought to


class _Files(Protocol):
    """A set of images that knows where each comes from."""

    @property
    def files(self) -> tuple[str, ...]: ...

    @property
    def source(self) -> str: ...


class AllRead(NamedTuple, Generic[Result]):
    """What was read.

    Parameters
    ----------
    rows : ndarray of int64, shape (M,)
        The images that could be read, in ascending order.
    results : list
        What was made of each of them.
    faults : list of (str, str)
        File and fault of each of the others.
    """

    rows: np.ndarray
    results: list[Result]
    faults: list[tuple[str, str]]


def read_all(
    images: _Files, read: Callable[[int], Result], skip_bad: bool, workers: int | None
) -> AllRead[Result]:
    """Read every image of a set on several threads; the result is the same with any number.

    Parameters
    ----------
    images : ObjectSet or MaskSet
        The set.
    read : callable
        Takes the number of an image; of one that is broken, it raises a DataError.
    skip_bad : bool
        Whether to go on then.
    workers : int, optional
        Threads; by default one per CPU.

    Returns
    -------
    AllRead
        What could be read.

    Raises
    ------
    DataError
        If an image is broken, unless it is skipped; or all are.
    """

    def tried(index: int) -> tuple[list[Result], str]:
        try:
            return [read(index)], ""
        except DataError as error:
            if not skip_bad:
                raise
            return [], str(error)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            done = list(pool.map(tried, range(len(images.files))))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    rows = np.flatnonzero([not reason for _, reason in done])
    if not len(rows):
        first = done[0][1] if done else "none at all"
        raise DataError(f"{images.source}: no usable image; {first}")
    faults = [
        (file, reason) for file, (_, reason) in zip(images.files, done, strict=True) if reason
    ]
    return AllRead(rows, [result for results, _ in done for result in results], faults)


def check_request(name: str, size: tuple[int, int], workers: int | None) -> None:
    """Refuse a size that no picture has, or threads that are none; the first is who asks."""
    if not 1 <= min(size) <= max(size) <= LARGEST:
        raise ConfigError(f"{name}: size {size}; give a height and width of 1 to {LARGEST} pixels")
    if workers is not None and workers < 1:
        raise ConfigError(f"{name}: {workers} workers cannot decode; say 1 or more")


def room(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray[Any, Any]:
    """Return an array for as many images, (N, H, W, ...), if there is memory for it."""
    try:
        return np.empty(shape, dtype)
    except MemoryError:
        needed = math.prod(shape) * np.dtype(dtype).itemsize / 2**30
        raise ConfigError(
            f"{name}: {shape[0]:,} images of {shape[1]} x {shape[2]} pixels need {needed:,.0f} GiB "
            "of memory; make the size smaller"
        ) from None
