"""Folders and zip archives behind one face, read safely: nothing is unpacked, nothing escapes."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from minicnn.errors import DataError

__all__ = ["FolderTree", "Listing", "Tree", "ZipTree", "open_tree", "unsafe"]

MAX_FILE_BYTES = 256 * 2**20
"""No image or table of a sign set comes near this; a zip bomb passes it."""


class Listing(NamedTuple):
    """What lies directly in a folder: the names of its folders and of its files, sorted."""

    folders: tuple[str, ...]
    files: tuple[str, ...]


class Tree(Protocol):
    """A read-only tree of files; names are relative, with ``/`` between their parts."""

    path: Path
    """Where the tree is on disk: a folder or a zip archive."""

    def entries(self, folder: str) -> Listing:
        """Return what lies directly in `folder` (``""`` is the top); nothing if there is none."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes, or raise a DataError that says why not (the caller names it)."""

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a digest that changes when one of these files does, without reading them."""

    def close(self) -> None:
        """Let go of the tree; its files cannot be read any more."""


def open_tree(path: Path) -> FolderTree | ZipTree:
    """Open a folder, or a zip archive as if it were one.

    Parameters
    ----------
    path : Path
        What to open; it exists.

    Returns
    -------
    FolderTree or ZipTree
        The files within.

    Raises
    ------
    DataError
        If it is neither, or the archive is broken or unsafe.
    """
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def unsafe(name: str) -> str | None:
    """Say what makes a name from an archive or a table dangerous, or None if nothing does.

    Parameters
    ----------
    name : str
        A file's name as an archive or a CSV file gives it.

    Returns
    -------
    str or None
        A few words such as ``"climbs out with .."``.

    Examples
    --------
    >>> unsafe("Train/0/00000_00000_00000.png")
    >>> unsafe("../../home/me/.bashrc")
    'climbs out with ..'
    """
    parts = name.replace("\\", "/").split("/")
    if "\0" in name:
        return "holds a NUL character"
    if name[:1] in ("/", "\\") or parts[0][1:2] == ":":
        return "is an absolute path"
    if ".." in parts:
        return "climbs out with .."
    return None


class FolderTree:
    """The files of a folder.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self, folder: str) -> Listing:
        """Return what lies directly in `folder`; see `Tree`."""
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    (folders if entry.is_dir() else files).append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return Listing((), ())
        except OSError as error:
            if folder:  # somebody else's private folder lies beside: none of ours
                return Listing((), ())
            raise DataError(f"{self.path}: cannot be listed: {error.strerror}") from error
        return Listing(tuple(sorted(folders)), tuple(sorted(files)))

    def read(self, name: str) -> bytes:
        """Return a file's bytes; see `Tree`."""
        if fault := unsafe(name):
            raise DataError(f"{fault}; names must stay inside {self.path}")
        try:
            with open(self.path / name, "rb") as file:
                _check_size(os.fstat(file.fileno()).st_size)
                return file.read()
        except FileNotFoundError:
            raise DataError("is missing") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from error

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a digest of the files' names, sizes and times; see `Tree`."""
        digest = hashlib.sha256(os.fsencode(self.path.resolve()))
        for name in names:
            try:
                state = os.stat(self.path / name)
                mark = f"{state.st_size}\0{state.st_mtime_ns}"
            except (OSError, ValueError):
                mark = "missing"
            digest.update(f"{name}\0{mark}\n".encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Do nothing; a folder holds nothing open."""


class ZipTree:
    """The files of a zip archive, read in place by any number of threads.

    Parameters
    ----------
    path : Path
        The archive.

    Raises
    ------
    DataError
        If it is not a zip archive, is broken, or holds an unsafe path or a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(
                f"{path}: not a zip archive, or a broken one ({error}); fetch it again"
            ) from error
        self._members = {info.filename: info for info in self._zip.infolist()}
        try:
            for info in self._members.values():
                self._refuse_unsafe(info)
        except DataError:
            self._zip.close()
            raise
        self._folders: dict[str, tuple[set[str], set[str]]] = {"": (set(), set())}
        for name in self._members:
            self._enter(name)

    def close(self) -> None:
        """Close the archive's file."""
        self._zip.close()

    def entries(self, folder: str) -> Listing:
        """Return what lies directly in `folder`; see `Tree`."""
        folders, files = self._folders.get(folder.strip("/"), (set(), set()))
        return Listing(tuple(sorted(folders)), tuple(sorted(files)))

    def read(self, name: str) -> bytes:
        """Return a file's bytes; see `Tree`."""
        info = self._members.get(name)
        if info is None:
            raise DataError(f"is missing from {self.path.name}")
        _check_size(info.file_size)
        try:
            return self._zip.read(info)
        except Exception as error:  # zlib, struct, CRC, encryption, unknown method: one answer
            raise DataError(f"cannot be read from {self.path.name}: {error}") from error

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a digest of the files' names, sizes and checksums; see `Tree`."""
        digest = hashlib.sha256()
        for name in names:
            info = self._members.get(name)
            mark = f"{info.file_size}\0{info.CRC}" if info else "missing"
            digest.update(f"{name}\0{mark}\n".encode())
        return digest.hexdigest()

    def _refuse_unsafe(self, info: zipfile.ZipInfo) -> None:
        fault = unsafe(info.orig_filename)
        if fault is None and stat.S_ISLNK(info.external_attr >> 16):
            fault = "is a symbolic link"
        if fault:
            raise DataError(
                f"{self.path}: refused, its member {info.orig_filename!r} {fault}; "
                "fetch the archive from a place you trust"
            )

    def _enter(self, name: str) -> None:
        """Enter a member, and the folders it lies in, into the index."""
        parent, _, last = name.rstrip("/").rpartition("/")
        is_folder = name.endswith("/")
        while True:
            known = parent in self._folders
            folders, files = self._folders.setdefault(parent, (set(), set()))
            if last:
                (folders if is_folder else files).add(last)
            if known:
                return
            parent, _, last = parent.rpartition("/")
            is_folder = True


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise DataError(f"claims {size:,} bytes; more than {MAX_FILE_BYTES:,} are refused")
