"""How two checkpoints differ."""

from __future__ import annotations

import contextlib
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from minicnn.errors import CheckpointError
from minicnn.estimator import _settings
from minicnn.estimator._inspection import TRIES, Examined, examine, find, is_gone
from minicnn.estimator._stored_arrays import (
    Difference,
    StoredArray,
    difference,
    open_file,
    stored_arrays,
)

_SETTINGS = {"params": "settings", "seed": "seed", "examples": "examples", "input": "input"}


def find_two(one: Path, other: Path | None) -> tuple[Examined, Examined]:
    """Return the two checkpoints to compare: the newest that each path leads to.

    With one path, they are the newest two sound ones there, the older one first.

    Raises
    ------
    CheckpointError
        If there are not two, or one is damaged.
    """
    if other is not None:
        pair = [examine(_newest(path), thorough=True) for path in (one, other)]
    else:
        pair = _newest_two(one)
    for each in pair:
        if not each.sound:
            raise CheckpointError(f"{each.path}: {each.fault}; compare sound checkpoints")
    return pair[0], pair[1]


def _newest_two(path: Path) -> list[Examined]:
    for _ in range(TRIES):
        place = find(path)
        if place.single:
            raise CheckpointError(f"{path} is one checkpoint; give another to compare it with")
        pair: list[Examined] = []
        gone = False
        for each in reversed(place.checkpoints):
            if len(pair) < 2:
                found = examine(each, thorough=True)
                pair, gone = [*pair, found] if found.sound else pair, gone or found.gone
        if len(pair) == 2 or not gone:
            break
    if len(pair) < 2:
        raise CheckpointError(f"{place.folder} has not two sound checkpoints to compare")
    return pair[::-1]


def _newest(path: Path) -> Path:
    place = find(path)
    if not place.checkpoints:
        raise CheckpointError(f"there is no checkpoint in {place.folder} but damaged ones")
    return place.checkpoints[-1]


class Compared(NamedTuple):
    """An array in two checkpoints; None where it is in one of them only."""

    name: str
    one: StoredArray | None
    other: StoredArray | None
    difference: Difference | None  # None where types or shapes do not allow a comparison

    @property
    def same(self) -> bool:
        """Whether both have the same bits."""
        return self.difference is not None and not self.difference.elements

    @property
    def size(self) -> int:
        """How many elements the array has."""
        return max(array.size for array in (self.one, self.other) if array is not None)

    @property
    def mismatch(self) -> str | None:
        """Why the numbers cannot be compared."""
        if self.one is None or self.other is None:
            return f"only in the {'second' if self.one is None else 'first'}"
        a, b = self.one, self.other
        if a.shape != b.shape:
            return f"of shape {a.shape} and {b.shape}"
        return None if a.dtype == b.dtype else f"of type {a.dtype.name} and {b.dtype.name}"


def state_differences(one: Examined, other: Examined) -> list[tuple[str, str]]:
    """Return what the states of two checkpoints hold, by name, and what of it differs."""
    states = [e.state if isinstance(e.state, dict) else {"state": e.state} for e in (one, other)]
    found = []
    for key in dict.fromkeys((*_SETTINGS, *states[0], *states[1])):
        a, b = (state.get(key, _settings._Nothing) for state in states)
        if not a is b is _settings._Nothing:
            changes = (change.strip() for change in _settings._differences(a, b, ""))
            found.append((_SETTINGS.get(key, key), "; ".join(changes) or "the same"))
    return found


def compare(one: Examined, other: Examined, name: str) -> list[Compared]:
    """Compare the arrays in one file of two checkpoints, which may lack it.

    Raises
    ------
    CheckpointError
        If a file cannot be read.
    """
    try:
        return _compare(one, other, name)
    except CheckpointError as error:
        for each in (one, other):
            if is_gone(each.path):
                text = f"{each.path} was deleted while it was read, as by a run that goes on"
                raise CheckpointError(f"{text}; try again") from error
        raise


def _compare(one: Examined, other: Examined, name: str) -> list[Compared]:
    with contextlib.ExitStack() as stack:
        files, arrays = [], []
        for each in (one, other):
            path = each.path / name
            file = stack.enter_context(open_file(path)) if name in each.files else None
            files.append(file)
            arrays.append({} if file is None else {a.name: a for a in stored_arrays(file, path)})
        pairs = [
            (arrays[0].get(key), arrays[1].get(key)) for key in sorted({**arrays[0], **arrays[1]})
        ]
        return [_compared(a, b, *files) for a, b in pairs]


def _compared(
    a: StoredArray | None,
    b: StoredArray | None,
    one: BufferedReader | None,
    other: BufferedReader | None,
) -> Compared:
    found = None
    if a and b and one and other and (a.shape, a.dtype) == (b.shape, b.dtype):
        found = difference(one, a, other, b)
    name = a.name if a else b.name if b else ""
    return Compared(name, a, b, found)
