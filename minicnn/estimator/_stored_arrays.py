"""Arrays looked at in their safetensors file: piece by piece, however large they are."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._files import UnreadableError
from minicnn.errors import CheckpointError

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?", "C64": "<c8",
}  # fmt: skip
_MOST_HEADER = 16 << 20  # bytes: the names of more than 100,000 arrays
_MOST_BYTES = 1 << 63
_MOST_AXES = 32
_PIECE = 1 << 18  # elements read at a time


@dataclass(frozen=True)
class StoredArray:
    """Where in a file an array lies.

    Parameters
    ----------
    name : str
        Its name.
    dtype : dtype
        The type of its elements, little-endian.
    shape : tuple of int
        Its shape.
    start : int
        Its first byte, counted from the beginning of the file.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return self.size * self.dtype.itemsize


@dataclass(frozen=True)
class Statistics:
    """The numbers in an array; smallest to std are of the finite ones, None if there are none."""

    smallest: float | None = None
    largest: float | None = None
    mean: float | None = None
    std: float | None = None
    nan: int = 0
    infinite: int = 0


@dataclass(frozen=True)
class Difference:
    """How two arrays of one shape and type differ.

    Parameters
    ----------
    elements : int
        How many have not the same bits.
    absolute, relative : float
        The largest difference between two finite elements; relative to the larger one's size.
    not_finite : int
        Where one is NaN or infinite and the other is something else.
    """

    elements: int = 0
    absolute: float = 0.0
    relative: float = 0.0
    not_finite: int = 0


def open_file(path: Path) -> BufferedReader:
    """Open a file for reading; what is no file, a pipe say, is refused without waiting for it.

    Raises
    ------
    CheckpointError
        If it is missing or no file.
    UnreadableError
        If it may not be read.
    """
    try:
        file: BufferedReader = BufferedReader(FileIO(path, "rb", opener=_open))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path} is missing") from None
    except IsADirectoryError:
        raise CheckpointError(f"{path} is no file") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        reason = getattr(error, "strerror", None) or error
        raise UnreadableError(f"cannot read {path}: {reason}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise CheckpointError(f"{path} is no file")
    return file


def _open(path: str, flags: int) -> int:
    # A pipe that nobody writes to is not waited for
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_at_most(file: BufferedReader, most: int, path: Path) -> bytes:
    """Return a small file's content.

    Raises
    ------
    CheckpointError
        If it is larger than `most` bytes.
    """
    # BufferedReader.read makes room for as many bytes as it is asked for
    content = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    if len(content) > most:
        raise CheckpointError(f"{path} is larger than {most >> 20} MiB, which is not of minicnn")
    return content


def stored_arrays(file: BufferedReader, path: Path) -> list[StoredArray]:
    """Return what arrays a safetensors file holds, by name; their numbers are not read.

    Raises
    ------
    CheckpointError
        If the header is damaged, or the file has not the size that it says.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _broken(path, f"{size} bytes are too few for its header")
    if length > _MOST_HEADER:
        raise _broken(path, f"a header of {length} bytes is too large")
    content = file.read(length)
    try:
        header = json.loads(content.decode("utf-8")) if content[:1] == b"{" else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise _broken(path, "its header is no JSON object")
    header.pop("__metadata__", None)
    found = [_entry(name, entry, 8 + length, path) for name, entry in header.items()]
    end = 8 + length
    for array in sorted(found, key=lambda a: (a.start, a.nbytes)):
        if array.start != end:
            raise _broken(path, f"{array.name!r} does not begin where the one before it ends")
        end += array.nbytes
    if end != size:
        raise _broken(path, f"it has {size} bytes where its header says {end}")
    return sorted(found, key=lambda a: a.name)


def _entry(name: str, entry: Any, start: int, path: Path) -> StoredArray:
    """Return what the header says of one array."""
    entry = entry if isinstance(entry, dict) else {}
    kind, shape, place = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    sizes = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not (isinstance(kind, str) and kind in _TYPES) or not sizes or len(shape) > _MOST_AXES:
        raise _broken(path, f"{name!r} has an impossible type or shape")
    dtype = np.dtype(_TYPES[kind])
    if math.prod(n for n in shape if n) * dtype.itemsize >= _MOST_BYTES:
        raise _broken(path, f"{name!r} has an impossible shape")
    if not isinstance(place, list) or len(place) != 2 or any(type(n) is not int for n in place):
        raise _broken(path, f"{name!r} is at an impossible place")
    array = StoredArray(name, dtype, tuple(shape), start + place[0])
    if place[1] - place[0] != array.nbytes:
        raise _broken(path, f"{name!r} has not as many bytes as its shape asks for")
    return array


def _broken(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is no intact safetensors file: {reason}")


def _pieces(file: BufferedReader, array: StoredArray) -> Iterator[np.ndarray]:
    """Yield an array's elements, flat."""
    file.seek(array.start)
    left = array.size
    while left:
        content = file.read(min(left, _PIECE) * array.dtype.itemsize)
        piece = np.frombuffer(content, array.dtype, len(content) // array.dtype.itemsize)
        if not piece.size:
            raise CheckpointError(f"{file.name} has become shorter while it was read")
        left -= piece.size
        yield piece


def statistics(file: BufferedReader, array: StoredArray) -> Statistics:
    """Return the extremes, mean and standard deviation of an array."""
    count, mean, squares, nan, infinite = 0, 0.0, 0.0, 0, 0
    smallest, largest = math.inf, -math.inf
    if array.dtype.kind == "c":
        return Statistics()
    for piece in _pieces(file, array):
        x = _wide(piece)
        if array.dtype.kind == "f":
            missing = int(np.isnan(x).sum())
            nan, infinite = nan + missing, infinite + int(np.isinf(x).sum())
            x = x[np.isfinite(x)]
        if not x.size:
            continue
        smallest, largest = min(smallest, float(x.min())), max(largest, float(x.max()))
        with np.errstate(over="ignore", invalid="ignore"):
            # Chan, Golub and LeVeque 1979: the mean and squares of two parts together
            own = float(x.mean())
            shift, total = own - mean, count + x.size
            squares += float(np.square(x - own).sum()) + shift * shift * count * x.size / total
            mean, count = mean + shift * x.size / total, total
    if not count:
        return Statistics(nan=nan, infinite=infinite)
    return Statistics(smallest, largest, mean, math.sqrt(squares / count), nan, infinite)


def difference(
    one: BufferedReader, array: StoredArray, other: BufferedReader, its: StoredArray
) -> Difference:
    """Compare two arrays of one shape and type."""
    elements, absolute, relative, not_finite = 0, 0.0, 0.0, 0
    for x, y in zip(_pieces(one, array), _pieces(other, its), strict=True):
        bits = f"u{array.dtype.itemsize}"
        changed = np.flatnonzero(x.view(bits) != y.view(bits))
        if not changed.size:
            continue
        elements += changed.size
        a, b = (_wide(z[changed]) for z in (x, y))
        both = np.isfinite(a) & np.isfinite(b)
        same = (np.isnan(a) & np.isnan(b)) | (a == b)
        not_finite += int((~both & ~same).sum())
        a, b = a[both], b[both]
        with np.errstate(over="ignore"):
            gap, size = np.abs(a - b), np.maximum(np.abs(a), np.abs(b))
        absolute = max(absolute, float(gap.max(initial=0)))
        ratio = np.divide(gap, size, out=np.zeros_like(gap), where=size > 0)
        relative = max(relative, float(ratio.max(initial=0)))
    return Difference(elements, absolute, relative, not_finite)


def _wide(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # signalling NaN
        return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)
