"""Writing files so that a crash, a full disk or a kill never leaves half of them.

A file or a folder is written under a name that starts with a dot, forced to the disk, and
then renamed: it is there completely or not at all.  A folder gets a file ``SHA256SUMS``, in the
format of the program sha256sum, so that what a disk or a copy has changed is found when it is read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.errors import CheckpointError

UNFINISHED = ".unfinished-"  # begins the names of what is being written or deleted
SUMS = "SHA256SUMS"
_SUM = re.compile(r"([0-9a-f]{64})  ([\w.-]{1,100})")  # a line of it
_numbers = itertools.count()
MOST_JSON, MOST_SUMS = 8 << 20, 1 << 20  # bytes: Python takes fifty times as many
_MAY_BE_SOUND = (
    errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE,
    errno.ETIMEDOUT, errno.ENOTCONN,
)  # fmt: skip
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UnreadableError(CheckpointError):
    """A file that may be sound, but the system does not let us read it now."""


def write_folder(target: Path, files: Mapping[str, bytes], replace: bool = False) -> None:
    """Create a folder with these files and their checksums, all of it or nothing.

    Raises
    ------
    CheckpointError
        If it cannot be written, and what was to be replaced stays; or if it was, but the disk does
        not say that its name will outlast a power cut.
    """
    part = _unfinished(target)
    sums = "".join(f"{_sha256(content)}  {name}\n" for name, content in files.items())
    try:
        part.mkdir(parents=True)
        for name, content in {**files, SUMS: sums.encode()}.items():
            _write(part / name, content)
        sync_folder(part)
        if replace and target.exists():
            _swap(part, target)
        else:
            part.rename(target)  # refuses a folder that exists and is not empty
        sync_folder(target.parent)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise CheckpointError(_explain(target, files, error)) from error
        raise


def read_folder(folder: Path) -> dict[str, bytes]:
    """Return the files that `write_folder` was given.

    Raises
    ------
    CheckpointError
        If one is missing, or not as it was written; it is named.
    """
    wanted = sums_from_bytes(read_bytes(folder / SUMS), folder / SUMS)
    for name in wanted:
        if not os.path.lexists(folder / name):
            raise CheckpointError(f"{folder} is damaged: {name}, which {SUMS} names, is missing")
    files = {name: read_bytes(folder / name) for name in wanted}
    for name, content in files.items():
        check_sum(content, wanted[name], folder / name)
    return files


def sums_from_bytes(content: bytes, path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that such a list names, in hexadecimal digits.

    Raises
    ------
    CheckpointError
        If it is none.
    """
    try:
        lines = content.decode("ascii").splitlines() if len(content) <= MOST_SUMS else []
    except UnicodeDecodeError:
        lines = []
    wanted = {m[2]: m[1] for m in map(_SUM.fullmatch, lines) if m is not None}
    if not wanted or len(wanted) != len(lines):
        raise CheckpointError(f"{path} is damaged: it is no list of checksums")
    return wanted


def check_sum(content: bytes, digest: str, path: Path) -> None:
    """Raise a CheckpointError that names the file if these are not the bytes that were written."""
    if _sha256(content) != digest:
        raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one saved with it")


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
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CheckpointError(_explain(target, {"": content}, error)) from error
        raise


def delete_folder(target: Path) -> None:
    """Delete a folder such that half of it is never taken for the whole."""
    shutil.rmtree(take_away(target), ignore_errors=True)


def take_away(target: Path) -> Path:
    """Rename what is to be deleted, so that nobody takes it for a whole; return its new name."""
    part = _unfinished(target)
    target.rename(part)
    return part


def delete_unfinished(folder: Path) -> None:
    """Delete what killed processes left behind."""
    for part in folder.glob(f"{UNFINISHED}*"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force the names in a folder to the disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot
            raise
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
    except Exception as error:  # SafetensorError, KeyError for a type NumPy has not, ...
        raise CheckpointError(f"{path} is no intact safetensors file: {error}") from error
    return dict(sorted(arrays.items()))  # safetensors gives them in an order that varies


def json_to_bytes(tree: Any) -> bytes:
    """Return a tree of dicts, lists, numbers and strings as readable JSON."""
    content = (json.dumps(tree, indent=1) + "\n").encode()
    if len(content) > MOST_JSON:
        raise ValueError(f"{len(content):,} bytes; keep long tables in arrays")
    return content


def json_from_bytes(content: bytes, path: Path) -> Any:
    """Return what `json_to_bytes` was given, numbers, lists and dicts with strings as keys."""
    if len(content) > MOST_JSON:
        raise CheckpointError(f"{path} has {len(content):,} bytes; none of ours has so many")
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no intact JSON file: {error}") from error


def read_bytes(path: Path) -> bytes:
    """Return a file's content, or raise a CheckpointError that names it."""
    try:
        if path.exists() and not path.is_file():  # a pipe would let us wait for ever
            raise CheckpointError(f"cannot read {path}: it is no file")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL character
        reason = getattr(error, "strerror", None) or error
        kind = CheckpointError
        if getattr(error, "errno", None) in _MAY_BE_SOUND:
            kind = UnreadableError
        raise kind(f"cannot read {path}: {reason}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _swap(part: Path, target: Path) -> None:
    """Put a finished folder in the place of another; a kill in between leaves both, unfinished."""
    old = _unfinished(target)
    target.rename(old)
    try:
        part.rename(target)
    except BaseException:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _unfinished(target: Path) -> Path:
    return target.parent / f"{UNFINISHED}{target.name}-{os.getpid()}-{next(_numbers)}"


def _explain(target: Path, files: Mapping[str, bytes], error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in FULL:
        needed = sum(map(len, files.values()))
        reason += f" ({needed:,} bytes are needed)"
    return f"cannot write {target}: {reason}"
