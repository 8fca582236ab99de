"""Fetch the official GTSRB archives: from several mirrors, resumed, with their SHA-256 checked."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import logging
import os
import shutil
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minicnn._reading import shown
from minicnn.data.image_cache import cache_folder
from minicnn.errors import ConfigError, DataError

__all__ = ["ARCHIVES", "MIRRORS", "Archive", "download_gtsrb", "fetch"]


@dataclass(frozen=True)
class Archive:
    """A file to fetch: its name, its size in bytes and the SHA-256 of its content."""

    name: str
    size: int
    sha256: str


ARCHIVES: dict[str, tuple[Archive, ...]] = {
    "train": (
        Archive(
            "GTSRB_Final_Training_Images.zip",
            276_294_756,
            "d32ac4b5fa9a1cbd1994768413902e8193599d9434cf0a8eb9cfd00a6d3a290c",
        ),
    ),
    "test": (
        Archive(
            "GTSRB_Final_Test_Images.zip",
            88_978_620,
            "48ba6fab7e877eb64eaf8de99035b0aaecfbc279bee23e35deca4ac1d0a837fa",
        ),
        Archive(
            "GTSRB_Final_Test_GT.zip",
            99_620,
            "f94e5a7614d75845c74c04ddb26b8796b9e483f43541dd95dd5b726504e16d6d",
        ),
    ),
}
"""The archives of each part. The hashes of the test part are also torchvision's."""

MIRRORS: tuple[str, ...] = (
    "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/",
    "https://benchmark.ini.rub.de/Dataset/",
)
"""Where the archives lie: the official archive, and the benchmark's own, older address."""

Show = Callable[[int], None]
"""Is told how many bytes have arrived."""

_log = logging.getLogger(__name__)
_BLOCK = 256 * 1024
_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 5  # per mirror, as long as each brings something


class _MirrorError(Exception):
    """A mirror did not deliver; the next one may."""


def download_gtsrb(
    folder: str | Path | None = None,
    parts: Sequence[str] = ("train", "test"),
    mirrors: Sequence[str] = MIRRORS,
) -> Path:
    """Fetch the official archives that are not there yet.

    Archives that are there are checked, too. They are left packed: `load_gtsrb` reads
    the folder that this returns. A run that was cut short goes on where it stopped.

    Parameters
    ----------
    folder : str or Path, optional
        Where to put them; by default ``gtsrb`` in `minicnn.data.image_cache.cache_folder`.
    parts : sequence of {"train", "test"}
        Which parts: 276 MB for training, 89 MB for testing.
    mirrors : sequence of str
        Addresses of folders that hold the archives, tried in this order.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ConfigError
        If a part does not exist or no mirror is given.
    DataError
        If an archive could not be had; the message lists what each mirror said.
    """
    for part in parts:
        if part not in ARCHIVES:
            raise ConfigError(f"download_gtsrb: part {part!r} does not exist; say train or test")
    target = cache_folder() / "gtsrb" if folder is None else Path(folder).expanduser()
    for part in parts:
        for archive in ARCHIVES[part]:
            fetch(archive, target, mirrors)
    return target


def fetch(archive: Archive, folder: Path, mirrors: Sequence[str] = MIRRORS) -> Path:
    """Fetch one archive from the first mirror that delivers it whole and right.

    Parameters
    ----------
    archive : Archive
        What to fetch.
    folder : Path
        Where to put it; made if need be.
    mirrors : sequence of str
        Addresses of folders that hold the file, tried in this order.

    Returns
    -------
    Path
        The file, whose SHA-256 is right.

    Raises
    ------
    ConfigError
        If no mirror is given.
    DataError
        If no mirror delivers, the disk is full or `folder` cannot be written to.
    """
    if not mirrors:
        raise ConfigError(f"fetch: no mirror given for {archive.name}; give an address")
    path = folder / archive.name
    partial = folder / f"{archive.name}.part"
    if path.is_file():
        if _sha256(path) == archive.sha256:
            return path
        _log.warning("%s: its SHA-256 is not the official archive's; fetching it again", path)
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _check_space(archive, folder, partial)
    reasons = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{archive.name}"
        try:
            _from_mirror(url, archive, partial)
        except _MirrorError as error:
            reasons.append(f"{url}: {error}")
            continue
        with _writing(folder):
            os.replace(partial, path)
        return path
    raise DataError(
        f"{archive.name}: no mirror delivered it; {'; '.join(reasons)}; check the connection "
        f"and run again (what has arrived is kept), or fetch it by hand into {folder}"
    )


def _from_mirror(url: str, archive: Archive, partial: Path) -> None:
    """Bring `partial` to its full size and the right content, resuming as often as it helps."""
    fault = _MirrorError("the connection closed before anything arrived")
    with _progress(url, archive) as show:
        for _ in range(_TRIES):
            before = _size(partial)
            try:
                _transfer(url, archive, partial, show)
            except _MirrorError as error:
                fault = error
            arrived = _size(partial)
            if arrived == archive.size:
                if _sha256(partial) == archive.sha256:
                    return
                partial.unlink()
                fault = _MirrorError("wrong content (its SHA-256 differs); thrown away")
                if before == 0:
                    raise fault
            elif arrived <= before:
                raise fault
    raise fault


def _transfer(url: str, archive: Archive, partial: Path, show: Show) -> None:
    """Ask for what is missing and append it; for everything if the server knows no ranges."""
    start = _size(partial)
    if start == archive.size:
        return
    headers = {"User-Agent": "minicnn"}
    if 0 < start < archive.size:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        with _web().open(request, timeout=_TIMEOUT) as response:
            if not _resumes(response, start):
                start = 0
            if response.length not in (None, archive.size - start):
                raise _MirrorError(
                    f"offers {start + response.length:,} bytes, but the archive has "
                    f"{archive.size:,}"
                )
            with _writing(partial.parent), _own(partial) as file:
                file.truncate(start)
                _copy(response, file, archive.size, start, show)
    except DataError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # this mirror's file ends before our first part does
            partial.unlink()
        raise _MirrorError(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _MirrorError(str(error.reason)) from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        raise _MirrorError(f"{type(error).__name__}: {error}") from error


def _web() -> urllib.request.OpenerDirector:
    """Return what opens http and https addresses, and follows redirections to no others."""
    web = urllib.request.OpenerDirector()
    for kind in (
        urllib.request.ProxyHandler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        web.add_handler(kind())
    return web


@contextlib.contextmanager
def _own(partial: Path) -> Iterator[BinaryIO]:
    """Open the first part of a file for appending; never through a link to somewhere else."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(partial, flags, 0o644), "ab") as file:
        _lock(file, partial)
        yield file


def _lock(file: BinaryIO, partial: Path) -> None:
    """Refuse to write what another process is writing; its end takes the lock away."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"{partial}: another process is fetching it; wait for that") from None
    except OSError:  # a file system without locks: the SHA-256 tells in the end
        return


def _resumes(response: http.client.HTTPResponse, start: int) -> bool:
    sent = response.headers.get("Content-Range", "")
    return response.status == 206 and sent.startswith(f"bytes {start}-")


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, size: int, arrived: int, show: Show
) -> None:
    """Append to the file what comes, up to `size` bytes in all."""
    while True:
        show(arrived)
        try:
            block = response.read1(_BLOCK)  # what there is: a silence loses nothing
        except (OSError, http.client.HTTPException) as error:
            raise _MirrorError(f"cut off after {arrived:,} bytes ({error})") from error
        if not block:
            return
        arrived += len(block)
        if arrived > size:
            file.truncate(0)
            raise _MirrorError(f"sends more than the archive's {size:,} bytes")
        file.write(block)
        file.flush()


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say what a failed write means; the bytes that have arrived stay."""
    try:
        yield
    except OSError as error:
        hint = "make room" if error.errno == errno.ENOSPC else "see that it can be written to"
        raise DataError(
            f"{folder}: {error.strerror or error}; {hint} or give another folder, and run "
            "again: the download goes on where it stopped"
        ) from error


def _check_space(archive: Archive, folder: Path, partial: Path) -> None:
    needed = archive.size - _size(partial)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: {archive.name} needs {needed / 1e6:.0f} MB more, but the disk has "
            f"{free / 1e6:.0f} MB left; make room or give another folder"
        )


@contextlib.contextmanager
def _progress(url: str, archive: Archive) -> Iterator[Show]:
    """Show a bar on a terminal, one line elsewhere."""
    if not sys.stderr.isatty():
        print(f"fetching {url} ({archive.size / 1e6:.0f} MB)", file=sys.stderr)
        yield lambda arrived: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(archive.name, total=archive.size)
        yield lambda arrived: bar.update(task, completed=arrived)


def _size(path: Path) -> int:
    try:
        state = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(state.st_mode):  # a link to somebody's file must not be written through
        raise DataError(f"{shown(path)}: is a link or something special; remove it")
    return state.st_size


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
