"""Decoded images kept on disk, so that only the first run has to make them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from minicnn.data.sign_table import SignTable
from minicnn.errors import MinicnnError

__all__ = ["CacheSetting", "cache_folder", "cached"]

CacheSetting = bool | str | Path | None
"""True: the usual folder; a path: that folder; False or None: keep nothing."""

FORMAT = 1
"""Raise it when the meaning of a cache file changes: older files are then left alone."""

_STALE_SECONDS = 3600
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
    table = _load(path)
    if table is None:
        table = make()
        _store(path, table)
    return table


def _load(path: Path) -> SignTable | None:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as columns:
            text = json.loads(bytes(columns["text"]))
            return SignTable(
                columns["images"],
                columns["labels"],
                columns["tracks"],
                tuple(text["names"]),
                text["source"],
                tuple((name, reason) for name, reason in text["skipped"]),
                tuple(text["notes"]),
            )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        fault: Exception = error
    except (zipfile.BadZipFile, MinicnnError, NotImplementedError) as error:
        fault = error
    _log.warning("cache %s is broken (%s); making it again", path, fault)
    return None


def _store(path: Path, table: SignTable) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with open(temporary, "wb") as file:
            _write(file, table)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _log.warning(
            "no cache written to %s (%s); going on without: the next run decodes again",
            path.parent,
            error.strerror or error,
        )


def _write(file: BinaryIO, table: SignTable) -> None:
    text = {
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


def _sweep(path: Path) -> None:
    """Delete what a killed run has left half written."""
    for old in path.parent.glob(f"{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_SECONDS:
                old.unlink()
