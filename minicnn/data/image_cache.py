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
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minicnn._reading import open_regular, shown
from minicnn.data.sign_table import SignTable
from minicnn.errors import DataError

__all__ = ["CacheSetting", "cache_folder", "cached"]

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


def cached(
    setting: CacheSetting, stem: str, key: object, make: Callable[[], SignTable]
) -> SignTable:
    """Return a table from the cache, or make it and keep it there.

    A broken file is never used and never fatal: it is logged and made again. If the
    table cannot be kept (a full disk, a folder without write permission), that is
    logged and the run goes on.

    Parameters
    ----------
    setting : bool, str, Path or None
        Where to keep it; see `CacheSetting`.
    stem : str
        The beginning of the file's name, for people who tidy up.
    key : object
        Everything the table depends on; its repr names the file.
    make : callable
        Makes the table.

    Returns
    -------
    SignTable
        The table.
    """
    if setting is None or setting is False:
        return make()
    folder = cache_folder() if setting is True else Path(setting).expanduser()
    digest = hashlib.sha256(repr((FORMAT, key)).encode()).hexdigest()
    path = folder / f"{stem}-{digest[:20]}.npz"
    table = _load(path, digest)
    if table is None:
        table = make()
        _store(path, table, digest)
    return table


def _load(path: Path, digest: str) -> SignTable | None:
    try:
        with open(open_regular(path), "rb") as file:
            return _read(file, digest)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # whatever is wrong with it: it can be made again
        fault = shown(str(error)) or type(error).__name__
    _log.warning("cache %s is broken (%s); making it again", shown(path), fault)
    return None


def _read(file: BinaryIO, digest: str) -> SignTable:
    """Return the table, whose file is trusted in nothing; zip's checksums find flipped bits."""
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as members:
        infos = members.infolist()
        if len(infos) > 4 or any(i.compress_type or i.file_size > size for i in infos):
            raise DataError("it is not as it was written")
    file.seek(0)
    with np.load(file, allow_pickle=False) as columns:
        text = json.loads(bytes(columns["text"]))
        if text["key"] != digest:
            raise DataError("it is of other images")
        skipped = [(name, reason) for name, reason in text["skipped"]]
        strings = [*text["names"], text["source"], *text["notes"], *itertools.chain(*skipped)]
        if not all(isinstance(string, str) for string in strings):
            raise DataError("its names are no strings")
        table = SignTable(
            columns["images"],
            columns["labels"],
            columns["tracks"],
            tuple(text["names"]),
            text["source"],
            tuple(skipped),
            tuple(text["notes"]),
        )
    kinds = [(c.dtype, c.ndim) for c in (table.images, table.labels, table.tracks)]
    if kinds != [(np.uint8, 4), (np.int64, 1), (np.int64, 1)]:
        raise DataError(f"its columns are of the wrong kinds {kinds}")
    table.per_class_counts()  # refuses labels that do not exist
    return table


def _store(path: Path, table: SignTable, digest: str) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}-{next(_numbers)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        with open(temporary, "xb") as file:
            _write(file, table, digest)
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


def _write(file: BinaryIO, table: SignTable, digest: str) -> None:
    text = {
        "key": digest,
        "names": table.names,
        "source": table.source,
        "skipped": table.skipped,
        "notes": table.notes,
    }
    np.savez(
        file,
        images=table.images,
        labels=table.labels,
        tracks=table.tracks,
        text=np.frombuffer(json.dumps(text).encode(), np.uint8),
    )


def _sweep(folder: Path) -> None:
    """Delete what killed runs have left half written; a clock may have been set back since."""
    for old in folder.glob("*.npz.*.tmp"):
        with contextlib.suppress(OSError):
            if abs(time.time() - old.stat().st_mtime) > _STALE_SECONDS:
                old.unlink()
