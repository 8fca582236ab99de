"""Reading safetensors: a length, a table in JSON, then the numbers, one array after the other."""

from __future__ import annotations

import io
import json
import math
import os
from typing import Any, NamedTuple

import numpy as np

from minicnn._reading import shown
from minicnn.errors import CheckpointError

# How the format names element types, and NumPy's name; bfloat16 is read as its 16 bits
_ELEMENTS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_LONGEST_TABLE = 16 * 2**20  # bytes; that of 100,000 arrays has 12 MB, and takes 20 times as much
_MOST_AXES = 32
_LARGEST = 2**59  # an array of no elements may have axes up to here


class _Entry(NamedTuple):
    """One array: where its numbers are, and what they mean."""

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


def read(file: io.BufferedReader, label: str) -> dict[str, np.ndarray]:
    """Return the arrays in an open file by name, in the order of the names.

    Raises
    ------
    CheckpointError
        If it is damaged, hostile, or holds what NumPy cannot; `label` is what it is called.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _LONGEST_TABLE):
        raise CheckpointError(
            f"{label}: a damaged safetensors file (its table would have {length:,} bytes; there "
            f"are {size:,} in the file, and a table may have {_LONGEST_TABLE:,})"
        )
    entries = _entries(file.read(length), label)
    _check_places(entries, size - 8 - length, label)
    found = {e.name: _numbers(file, 8 + length, e, label) for e in entries}
    return dict(sorted(found.items()))


def _entries(text: bytes, label: str) -> list[_Entry]:
    """Return what the table says, in the order of the numbers."""
    try:
        table = json.loads(text.decode("utf-8"), object_pairs_hook=_no_name_twice)
    except RecursionError:
        raise CheckpointError(f"{label}: a damaged safetensors file (too deep)") from None
    except ValueError as error:
        why = shown(str(error))[:200]
        raise CheckpointError(f"{label}: a damaged safetensors file ({why})") from None
    if not isinstance(table, dict):
        raise CheckpointError(f"{label}: a damaged safetensors file (its table is none)")
    table.pop("__metadata__", None)
    entries = [_entry(name, given, label) for name, given in table.items()]
    return sorted(entries, key=lambda e: (e.start, e.end))


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands twice in its table")
    return made


def _entry(name: str, given: Any, label: str) -> _Entry:
    """Return one line of the table, checked."""
    where = f"{label}: {shown(name)}"
    given = given if isinstance(given, dict) else {}
    kind, shape, places = (given.get(k) for k in ("dtype", "shape", "data_offsets"))
    if not (isinstance(kind, str) and _are_sizes(shape) and _are_sizes(places)):
        raise CheckpointError(f"{where} is not described as an array is: damaged")
    if len(places) != 2 or len(shape) > _MOST_AXES or math.prod(n or 1 for n in shape) > _LARGEST:
        raise CheckpointError(f"{where} has a shape or place that no array has: damaged")
    if kind not in _ELEMENTS:
        raise CheckpointError(
            f"{where} is of type {shown(kind)[:20]}, which NumPy has not; convert the file to "
            "float32 first"
        )
    needed = math.prod(shape) * np.dtype(_ELEMENTS[kind]).itemsize
    if places[1] - places[0] != needed:
        raise CheckpointError(
            f"{where} has {places[1] - places[0]:,} bytes, and its shape {tuple(shape)} of {kind} "
            f"needs {needed:,}: damaged"
        )
    return _Entry(name, kind, tuple(shape), *places)


def _are_sizes(given: Any) -> bool:
    return isinstance(given, list) and all(type(n) is int and 0 <= n < 2**63 for n in given)


def _check_places(entries: list[_Entry], size: int, label: str) -> None:
    """Refuse numbers that belong to two arrays or to none, and those that are missing."""
    at = 0
    for entry in entries:
        if entry.start != at:
            raise CheckpointError(
                f"{label}: {shown(entry.name)} begins at {entry.start:,}, where {at:,} is next: "
                "damaged"
            )
        at = entry.end
    if at != size:
        raise CheckpointError(
            f"{label}: a damaged safetensors file ({size:,} bytes of numbers, its table says "
            f"{at:,})"
        )


def _numbers(file: io.BufferedReader, begin: int, entry: _Entry, label: str) -> np.ndarray:
    """Read one array."""
    array = np.empty(entry.shape, _ELEMENTS[entry.kind])
    file.seek(begin + entry.start)
    raw: Any = array.reshape(-1).view(np.uint8) if array.size else bytearray()
    if file.readinto(raw) != array.nbytes:
        raise CheckpointError(f"{label}: became shorter while it was read; try again")
    if entry.kind == "BF16":
        return widen_bfloat16(array)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def widen_bfloat16(halves: np.ndarray) -> np.ndarray:
    """Return bfloat16 numbers, given as their 16 bits, as float32: the upper half of one."""
    return (halves.astype(np.uint32) << 16).view(np.float32)
