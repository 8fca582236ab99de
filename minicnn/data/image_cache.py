"""Decoded images kept on disk, so that only the first run has to make them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Generic, NamedTuple, TypeVar

import numpy as np

from minicnn._reading import open_regular, shown
from minicnn.data.sign_table import SignTable
from minicnn.errors import DataError

__all__ = ["CacheSetting", "Form", "cache_folder", "cached", "kept", "pairs", "strings"]

Kept = TypeVar("Kept")

CacheSetting = bool | str | Path | None
"""True: the usual folder; a path: that folder; False or None: keep nothing."""

FORMAT = 2
"""Raise it when the meaning of a cache file changes: older files are then left alone."""

_STALE_SECONDS = 3600
_numbers = itertools.count()
_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder where minicnn keeps what it can make again.

    Returns
    -------
    Path
        ``$MINICNN_CACHE``, or ``$XDG_CACHE_HOME/minicnn``, or ``~/.cache/minicnn``;
        it need not exist yet.
    """
    if given := os.environ.get("MINICNN_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # the XDG specification: relative paths are to be ignored
        base = os.path.expanduser("~/.cache")
    return Path(base) / "minicnn"


class Form(NamedTuple, Generic[Kept]):
    """How something becomes the columns of a file and comes back from them.

    Parameters
    ----------
    kinds : dict of str to (dtype, int)
        The columns' names, types and numbers of axes.
    pack : callable
        Gives the columns, and what else there is to tell as JSON knows it: a dict without "key".
    unpack : callable
        Takes both; raises whatever it likes if they make no sense.
    """

    kinds: Mapping[str, tuple[type, int]]
    pack: Callable[[Kept], tuple[dict[str, np.ndarray], dict[str, Any]]]
    unpack: Callable[[dict[str, np.ndarray], dict[str, Any]], Kept]


def cached(
    setting: CacheSetting, stem: str, key: object, make: Callable[[], SignTable]
) -> SignTable:
    """Return a table of signs from the cache, or make it and keep it there; see `kept`.

    Parameters
    ----------
    setting, stem, key, make
        As `kept` takes them.

    Returns
    -------
    SignTable
        The table.
    """
    return kept(setting, stem, key, make, _SIGNS)


def kept(
    setting: CacheSetting, stem: str, key: object, make: Callable[[], Kept], form: Form[Kept]
) -> Kept:
    """Return something from the cache, or make it and keep it there.

    A broken file is never used and never fatal: it is logged and made again. If it
    cannot be kept (a full disk, a folder without write permission), that is
    logged and the run goes on.

    Parameters
    ----------
    setting : bool, str, Path or None
        Where to keep it; see `CacheSetting`.
    stem : str
        The beginning of the file's name, for people who tidy up.
    key : object
        Everything it depends on; its repr names the file.
    make : callable
        Makes it.
    form : Form
        How it is written and read.

    Returns
    -------
    object
        What `make` returns, or returned before.
    """
    if setting is None or setting is False:
        return make()
    folder = cache_folder() if setting is True else Path(setting).expanduser()
    digest = hashlib.sha256(repr((FORMAT, key)).encode()).hexdigest()
    path = folder / f"{stem}-{digest[:20]}.npz"
    found = _load(path, digest, form)
    if found is None:
        found = make()
        _store(path, digest, *form.pack(found))
    return found


def _load(path: Path, digest: str, form: Form[Kept]) -> Kept | None:
    try:
        with open(open_regular(path), "rb") as file:
            return form.unpack(*_read(file, digest, form.kinds))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # whatever is wrong with it: it can be made again
        fault = shown(str(error)) or type(error).__name__
    _log.warning("cache %s is broken (%s); making it again", shown(path), fault)
    return None


def _read(
    file: BinaryIO, digest: str, kinds: Mapping[str, tuple[type, int]]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return what the file holds; it is trusted in nothing. Zip's checksums find flipped bits."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as members:
        infos = members.infolist()
        if len(infos) > len(kinds) + 1 or any(i.compress_type or i.file_size > size for i in infos):
            raise DataError("it is not as it was written")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        text = json.loads(bytes(arrays["text"]))
        if text.pop("key") != digest:
            raise DataError("it is of other images")
        columns = {name: arrays[name] for name in kinds}
    found = {name: (c.dtype, c.ndim) for name, c in columns.items()}
    if found != {name: (np.dtype(kind), axes) for name, (kind, axes) in kinds.items()}:
        raise DataError(f"its columns are of the wrong kinds {found}")
    return columns, text


def _store(
    path: Path, digest: str, columns: Mapping[str, np.ndarray], text: Mapping[str, Any]
) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with open(temporary, "xb") as file:
            told = json.dumps({"key": digest, **text}).encode()
            everything: Any = {**columns, "text": np.frombuffer(told, np.uint8)}
            np.savez(file, **everything)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        _log.warning(
            "no cache written to %s (%s); going on without: the next run decodes again",
            shown(path.parent),
            error.strerror or error,
        )


def _sweep(folder: Path) -> None:
    """Delete what killed runs have left half written; a clock may have been set back since."""
    for old in folder.glob("*.npz.*.tmp"):
        with contextlib.suppress(OSError):
            if abs(time.time() - old.stat().st_mtime) > _STALE_SECONDS:
                old.unlink()


def _packed(table: SignTable) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    columns = {"images": table.images, "labels": table.labels, "tracks": table.tracks}
    text = {
        "names": table.names,
        "source": table.source,
        "skipped": table.skipped,
        "notes": table.notes,
    }
    return columns, text


def _unpacked(columns: dict[str, np.ndarray], text: dict[str, Any]) -> SignTable:
    skipped = pairs(text["skipped"])
    names, notes = strings(text["names"]), strings(text["notes"])
    (source,) = strings([text["source"]])
    table = SignTable(**columns, names=names, source=source, skipped=skipped, notes=notes)
    table.per_class_counts()  # refuses labels that do not exist
    return table


def strings(found: Any) -> tuple[str, ...]:
    """Return a tuple of strings that was kept.

    Parameters
    ----------
    found : object
        What a file holds in its place.

    Returns
    -------
    tuple of str
        The same.

    Raises
    ------
    DataError
        If it is anything else.
    """
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError("its names are no strings")
    return tuple(found)


def pairs(found: Any) -> tuple[tuple[str, str], ...]:
    """Return pairs of strings that were kept.

    Parameters
    ----------
    found : object
        What a file holds in their place.

    Returns
    -------
    tuple of (str, str)
        The same.

    Raises
    ------
    DataError
        If it is anything else.
    """
    both = [strings(pair) for pair in found]
    if any(len(pair) != 2 for pair in both):
        raise DataError("its pairs are no pairs")
    return tuple((name, reason) for name, reason in both)


_SIGNS = Form(
    {"images": (np.uint8, 4), "labels": (np.int64, 1), "tracks": (np.int64, 1)}, _packed, _unpacked
)
