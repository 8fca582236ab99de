"""Writing files so that a crash, a full disk or a kill never leaves half of them.

A folder is written under a name that starts with a dot, forced to the disk, and
then renamed: it is there completely or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import CheckpointError

UNFINISHED = ".unfinished-"  # begins the names of folders being written or deleted
_numbers = itertools.count()
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Create a folder with these files, all of it or nothing.

    Raises
    ------
    CheckpointError
        If it cannot be written; nothing is left behind then.
    """
    part = _unfinished(target)
    try:
        part.mkdir(parents=True)
        for name, content in files.items():
            _write(part / name, content)
        sync_folder(part)
        part.rename(target)  # refuses a folder that exists and is not empty
        sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            shutil.rmtree(part)
        if isinstance(error, OSError):
            raise CheckpointError(_explain(target, files, error)) from error
        raise


def write_file(target: Path, content: bytes) -> None:
    """Create or replace one file, all of it or nothing.

    Raises
    ------
    CheckpointError
        If it cannot be written; a file that was there before stays then.
    """
    part = _unfinished(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(part, content)
        part.replace(target)
        sync_folder(target.parent)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CheckpointError(_explain(target, {"": content}, error)) from error
        raise


def delete_folder(target: Path) -> None:
    """Delete a folder such that half of it is never taken for the whole."""
    part = _unfinished(target)
    target.rename(part)
    shutil.rmtree(part, ignore_errors=True)


def delete_unfinished(folder: Path) -> None:
    """Delete what killed processes left behind."""
    for part in folder.glob(f"{UNFINISHED}*"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def arrays_to_bytes(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays in the safetensors format; the same arrays give the same bytes."""
    import safetensors.numpy

    # safetensors 0.8 takes the memory of an array for its elements in order, whatever its strides
    ordered = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    try:
        return safetensors.numpy.save(ordered)
    except safetensors.SafetensorError as error:
        kinds = {name: str(a.dtype) for name, a in ordered.items()}
        raise CheckpointError(
            f"arrays of these types cannot be saved: {kinds} ({error})"
        ) from error


def arrays_from_bytes(content: bytes, path: Path) -> dict[str, np.ndarray]:
    """Return what `arrays_to_bytes` was given, in the order of the names."""
    import safetensors.numpy

    try:
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is no intact safetensors file: {error}") from error
    return dict(sorted(arrays.items()))  # safetensors gives them in an order that varies


def json_to_bytes(tree: Any) -> bytes:
    """Return a tree of dicts, lists, numbers and strings as readable JSON."""
    return (json.dumps(tree, indent=1) + "\n").encode()


def json_from_bytes(content: bytes, path: Path) -> Any:
    """Return what `json_to_bytes` was given, numbers, lists and dicts with strings as keys."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise CheckpointError(f"{path} is no intact JSON file: {error}") from error


def read_bytes(path: Path) -> bytes:
    """Return a file's content, or raise a CheckpointError that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unfinished(target: Path) -> Path:
    return target.parent / f"{UNFINISHED}{target.name}-{os.getpid()}-{next(_numbers)}"


def _explain(target: Path, files: Mapping[str, bytes], error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        needed = sum(map(len, files.values()))
        reason += f" ({needed:,} bytes are needed)"
    return f"cannot write {target}: {reason}"
