"""What lies in a run's folder: which checkpoints there are, and whether they are sound."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from minicnn import _files
from minicnn._files import UnreadableError
from minicnn.errors import CheckpointError
from minicnn.estimator import _lock
from minicnn.estimator._checkpoint_files import (
    ARRAY,
    ARRAYS,
    NAME,
    OPTIMIZER,
    STATE,
    WEIGHTS,
    head_of,
)
from minicnn.estimator._stored_arrays import (
    open_file,
    read_at_most,
    stored_arrays,
)
from minicnn.estimator.checkpoint import DAMAGED, best_step, list_checkpoints

if sys.platform != "win32":
    import fcntl

TRIES, _PAUSE = 5, 0.02  # how often to look again, after so many seconds, while a run goes on
_INNER = "checkpoints"  # the folder of them in that of a run
_FAULTS = "faults"  # and that of the batches at which numbers broke


@dataclass(frozen=True)
class Place:
    """What a path that was given leads to.

    Parameters
    ----------
    folder : Path
        Where the checkpoints are.
    run : Path
        The folder that a run would lock.
    checkpoints : list of Path
        The checkpoints, the newest last.
    single : bool
        Whether the path was that of one checkpoint.
    """

    folder: Path
    run: Path
    checkpoints: list[Path]
    single: bool = False

    @property
    def set_aside(self) -> list[Path]:
        """Damaged checkpoints that a run has renamed."""
        return [] if self.single else _named(self.folder, DAMAGED)

    @property
    def faults(self) -> list[Path]:
        """Batches that were saved when the numbers of a run broke."""
        return [] if self.single else list_checkpoints(self.run / _FAULTS)

    @property
    def unfinished(self) -> list[Path]:
        """What a run is writing or deleting, or a killed one has left."""
        if self.single:
            return []
        folders = dict.fromkeys((self.run, self.folder))
        return [path for folder in folders for path in _named(folder, _files.UNFINISHED)]


@dataclass
class Examined:
    """One checkpoint, as far as it was looked at.

    Parameters
    ----------
    path : Path
        Its folder.
    thorough : bool
        Whether every byte was read, or only what is small.
    """

    path: Path
    thorough: bool
    files: list[str] = field(default_factory=list)
    nbytes: int = 0
    written: float | None = None  # seconds since 1970
    step: int | None = None
    state: Any = None  # what state.json holds, where arrays are named only
    fault: str | None = None
    readable: bool = True  # False: nothing is known to be damaged, but it cannot be read
    gone: bool = False  # deleted or renamed, by a run, while it was looked at

    @property
    def sound(self) -> bool:
        """Whether nothing wrong was found."""
        return self.fault is None and not self.gone


def find(path: Path) -> Place:
    """Return what a path leads to: a run's folder, that of its checkpoints, or one of these.

    Raises
    ------
    CheckpointError
        If there is no checkpoint.
    """
    if is_gone(path):
        raise CheckpointError(f"{path} does not exist; give the folder of a run or a checkpoint")
    if not path.is_dir():
        raise CheckpointError(f"{path} is no folder; give the folder of a run or a checkpoint")
    whole = Path(os.path.realpath(path))  # a link to it is locked as it is
    run = folder = path
    if (path / _INNER).is_dir():
        folder = path / _INNER
    elif os.path.lexists(path / STATE) or NAME.fullmatch(whole.name.removeprefix(DAMAGED)):
        return Place(whole.parent, whole.parent, [whole], single=True)
    elif whole.name in (_INNER, _FAULTS):
        run = whole.parent
    for _ in range(TRIES):
        place = Place(folder, run, list_checkpoints(folder))
        if place.checkpoints or place.set_aside:
            return place
        if not place.unfinished:
            raise CheckpointError(f"there is no checkpoint in {folder}")
        time.sleep(_PAUSE)  # a folder that is renamed meanwhile may be listed under neither name
    raise CheckpointError(f"there is no checkpoint in {folder}; only unfinished ones")


def is_gone(path: Path) -> bool:
    """Tell whether there is nothing of this name, and not only nothing to be seen."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: it names a NUL
        return True
    except OSError:  # nobody knows
        return False
    return False


def _named(folder: Path, start: str) -> list[Path]:
    """Return what in a folder has a name that begins so."""
    try:
        return sorted(p for p in folder.iterdir() if p.name.startswith(start))
    except FileNotFoundError:
        return []


def total_bytes(path: Path) -> int:
    """Return how many bytes a file takes, or a folder with all that is in it."""
    total, left = 0, [path]
    while left:
        at = left.pop()
        try:
            if at.is_dir() and not at.is_symlink():
                left += at.iterdir()
            else:
                total += at.lstat().st_size
        except OSError:  # it was deleted meanwhile, or is none of our business
            continue
    return total


def user_of(place: Place) -> str | None:
    """Say who trains in a folder now, if somebody does."""
    path = place.run / _lock.NAME
    try:
        with open_file(path) as file:
            if _taken(file):
                return _lock.holder_of(place.run)
    except (CheckpointError, OSError):
        pass
    return None


def _taken(file: BufferedReader) -> bool:
    """Ask whether a run has locked a file."""
    try:
        if sys.platform == "win32":
            _lock._lock(file)
        else:  # shared: two who ask at once do not take one another for a run
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def examine(path: Path, thorough: bool) -> Examined:
    """Look at one checkpoint; what is wrong with it is told, not raised.

    Parameters
    ----------
    path : Path
        Its folder.
    thorough : bool
        Whether to read all files and check their sums, or only the small ones and all sizes.
    """
    found = Examined(path, thorough)
    with contextlib.suppress(OSError):
        found.written = (path / STATE).lstat().st_mtime
    try:
        _examine(found)
    except (CheckpointError, OSError) as error:
        found.readable = not isinstance(error, UnreadableError | OSError)
        found.fault = str(error).replace(f"{path}{os.sep}", "")
        found.gone = is_gone(path)
    found.nbytes = total_bytes(path)
    return found


def _examine(found: Examined) -> None:
    path = found.path
    sums, head = _sums_and_head(path)
    found.files, found.step, found.state = sorted(sums), head["step"], head["state"]
    names: set[str] = set()
    for name in found.files:
        if name == STATE:
            continue
        with open_file(path / name) as file:
            stored = stored_arrays(file, path / name)
            if found.thorough:
                file.seek(0)
                _check_sum(sums[name], hashlib.file_digest(file, "sha256"), path / name)
        names |= {array.name for array in stored} if name == ARRAYS else set()
    if missing := {WEIGHTS, OPTIMIZER} - set(sums):
        raise CheckpointError(f"it has no {' and no '.join(sorted(missing))}")
    _check_arrays([found.state], names, path / STATE)


def _sums_and_head(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the files' checksums, and what state.json says."""
    sums: dict[str, str] | None = None
    if os.path.lexists(path / _files.SUMS):
        with open_file(path / _files.SUMS) as file:
            content = read_at_most(file, _files.MOST_SUMS, path / _files.SUMS)
        sums = _files.sums_from_bytes(content, path / _files.SUMS)
        if STATE not in sums:
            raise CheckpointError(f"{path / _files.SUMS} does not list {STATE}")
    with open_file(path / STATE) as file:
        content = read_at_most(file, _files.MOST_JSON, path / STATE)
    if sums is not None:
        _check_sum(sums[STATE], hashlib.sha256(content), path / STATE)
    head = head_of(path, content)
    if sums is None:  # version 1 had them in there
        listed = head.get("sha256")
        if not isinstance(listed, dict):
            raise CheckpointError(f"{path / _files.SUMS} is missing")
        if outside := [name for name in listed if Path(name).name != name]:
            raise CheckpointError(f"{path / STATE} lists {outside[0]!r}, which is no file of it")
        sums = {**listed, STATE: ""}
    return sums, head


def _check_sum(wanted: str, found: Any, path: Path) -> None:
    if found.hexdigest() != wanted:
        raise CheckpointError(f"{path}: its SHA-256 is not the one saved with it")


def _check_arrays(tree: Any, arrays: set[str], path: Path) -> None:
    """Check that the arrays that a state names are there."""
    if isinstance(tree, dict):
        name = tree.get(ARRAY)
        if set(tree) == {ARRAY} and not (isinstance(name, str) and name in arrays):
            raise CheckpointError(f"{path} names an array {name!r:.80}, which is not there")
    for inner in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(inner, dict | list):
            _check_arrays(inner, arrays, path)


def newest_sound(found: Sequence[Examined]) -> Examined | None:
    """Return the checkpoint that a resumed run would go on from."""
    return next((one for one in reversed(found) if one.sound), None)


def best_of(found: Sequence[Examined]) -> dict[str, Any] | None:
    """Return what the newest sound checkpoint says of the best evaluation."""
    newest = newest_sound(found)
    if newest is None or best_step(newest.state) is None:
        return None
    best: dict[str, Any] = newest.state["best"]
    return best
