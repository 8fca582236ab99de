"""Folders and zip archives behind one face, read safely: nothing is unpacked, nothing escapes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Protocol

from minicnn._reading import check_size, explained, open_regular, read_regular, shown
from minicnn.errors import DataError

__all__ = ["FolderTree", "Listing", "Tree", "ZipTree", "open_tree", "unsafe"]

MAX_FILE_BYTES = 16 * 2**20
"""The largest table of a sign set has 4 MB, the largest image 0.2 MB; a zip bomb has more."""
MAX_LIST_BYTES = 32 * 2**20
"""Of the list of members at an archive's end; Kaggle's archive of 104,000 files has 12 MB."""
MAX_MEMBERS, MAX_FOLDERS = 250_000, 10_000
LONGEST_NAME = 1024  # characters of a file's name, with its folders
_HEADER = 30  # bytes in front of a member of an archive, at least


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

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a file's bytes, or raise a DataError that says why not (the caller names it).

        It may have `most` bytes, by default `MAX_FILE_BYTES`.
        """

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
    if len(name) > LONGEST_NAME:
        return f"has {len(name):,} characters"
    if name[:1] in ("/", "\\") or parts[0][1:2] == ":":
        return "is an absolute path"
    if ".." in parts:
        return "climbs out with .."
    return None


class FolderTree:
    """The files of a folder.

    Symbolic links are followed as long as they stay inside it.

    Parameters
    ----------
    path : Path
        The folder; may itself be a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = os.path.realpath(path)
        self._real: dict[str, str] = {}  # folder within -> where that really is

    def entries(self, folder: str) -> Listing:
        """Return what lies directly in `folder`; see `Tree`."""
        folders: list[str] = []
        files: list[str] = []
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):  # a link to itself, say
                        (folders if entry.is_dir() else files).append(entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return Listing((), ())
        except OSError as error:
            if folder:  # somebody else's private folder lies beside: none of ours
                return Listing((), ())
            raise DataError(f"{shown(self.path)}: cannot be listed: {error.strerror}") from error
        return Listing(tuple(sorted(folders)), tuple(sorted(files)))

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a file's bytes; see `Tree`."""
        most = MAX_FILE_BYTES if most is None else most
        if fault := unsafe(name):
            raise DataError(f"{fault}; names must stay inside {shown(self.path)}")
        with explained():
            path = self._place(name)
            try:
                return read_regular(path, most, getattr(os, "O_NOFOLLOW", 0))
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.EMLINK):
                    raise
            return read_regular(self._inside(name), most, os.O_NOFOLLOW)

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a digest of the files' names, sizes and times; see `Tree`."""
        digest = hashlib.sha256(os.fsencode(self._root))
        for name in names:
            try:
                state = os.stat(f"{self._root}/{name}")
                mark = f"{state.st_size}\0{state.st_mtime_ns}"
            except (OSError, ValueError):
                mark = "missing"
            digest.update(f"{name}\0{mark}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def close(self) -> None:
        """Do nothing; a folder holds nothing open."""

    def _place(self, name: str) -> str:
        """Return a file's path; the folder it is in is real, the file may be a link."""
        folder, _, last = name.rpartition("/")
        if folder not in self._real:
            self._real[folder] = self._inside(folder)
        path = os.path.join(self._real[folder], last)
        if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
            return self._inside(name)
        return path

    def _inside(self, name: str) -> str:
        """Return where a file or folder really is, or refuse if that is not in this folder."""
        real = os.path.realpath(os.path.join(self._root, name))
        if real != self._root and not real.startswith(os.path.join(self._root, "")):
            raise DataError(
                f"leads by a symbolic link out of {shown(self.path)} to {shown(real)}; put a "
                "copy there instead of the link, or give a folder that holds both ends"
            )
        return real


class ZipTree:
    """The files of a zip archive, read in place by any number of threads.

    Parameters
    ----------
    path : Path
        The archive.

    Raises
    ------
    DataError
        If it is not a zip archive, is broken, or holds what no archive of pictures holds: unsafe
        paths, links, the same name twice, members that overlap, or absurdly many of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with explained():
                self._file = _Archive(io.FileIO(open_regular(path)))
        except DataError as error:
            raise DataError(f"{shown(path)}: {error}") from error
        try:
            self._members, self._folders = self._read_list()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the archive's file."""
        self._zip.close()
        self._file.close()

    def entries(self, folder: str) -> Listing:
        """Return what lies directly in `folder`; see `Tree`."""
        folders, files = self._folders.get(folder.strip("/"), (set(), set()))
        return Listing(tuple(sorted(folders)), tuple(sorted(files)))

    def read(self, name: str, most: int | None = None) -> bytes:
        """Return a file's bytes; see `Tree`."""
        info = self._members.get(name)
        if info is None:
            raise DataError(f"is missing from {shown(self.path.name)}")
        check_size(info.file_size, MAX_FILE_BYTES if most is None else most)
        if info.flag_bits & 1:
            raise DataError("is encrypted; unpack the archive and give the folder")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"is packed by method {info.compress_type}; use deflate or none")
        try:
            with self._zip.open(info) as file:
                data = file.read(info.file_size)  # never more, whatever it unpacks to
        except Exception as error:  # zlib, struct, CRC, a local header that differs: one answer
            reason = shown(str(error)) or type(error).__name__
            raise DataError(f"cannot be read from {shown(self.path.name)}: {reason}") from error
        if len(data) != info.file_size:
            raise DataError(f"has {len(data):,} bytes; {info.file_size:,} were announced")
        return data

    def fingerprint(self, names: Iterable[str]) -> str:
        """Return a digest of the files' names, sizes and checksums; see `Tree`."""
        digest = hashlib.sha256()
        for name in names:
            info = self._members.get(name)
            mark = f"{info.file_size}\0{info.CRC}" if info else "missing"
            digest.update(f"{name}\0{mark}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _read_list(self) -> tuple[dict[str, zipfile.ZipInfo], dict[str, tuple[set, set]]]:
        """Return the members by name, and the folders' contents."""
        try:
            self._zip = zipfile.ZipFile(self._file)
        except DataError as error:
            raise DataError(f"{shown(self.path)}: {error}") from error
        except Exception as error:  # BadZipFile, struct.error, UnicodeDecodeError, ...
            reason = shown(str(error)) or type(error).__name__
            raise DataError(
                f"{shown(self.path)}: not a zip archive, or a broken one ({reason}); fetch it again"
            ) from error
        self._file.listed = True
        infos = self._zip.infolist()
        members = {info.filename: info for info in infos}
        if fault := _fault(infos, len(members), self._zip.start_dir):
            raise DataError(
                f"{shown(self.path)}: refused, {fault}; fetch the archive from a place you trust"
            )
        folders: dict[str, tuple[set, set]] = {"": (set(), set())}
        for name in members:
            _enter(name, folders)
            if len(folders) > MAX_FOLDERS:
                raise DataError(f"{shown(self.path)}: refused, it has over {MAX_FOLDERS:,} folders")
        return members, folders


class _Archive(io.BufferedReader):
    """An archive's file, of which zipfile is not given more than a sane list of members."""

    listed = False

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            size = MAX_LIST_BYTES
        if size > MAX_LIST_BYTES:
            raise DataError(
                f"claims a list of members of {size:,} bytes; more than {MAX_LIST_BYTES:,} are "
                "refused"
            )
        data = super().read(size)
        if not self.listed and (count := data.count(b"PK\1\2")) > MAX_MEMBERS:
            raise DataError(f"lists {count:,} members; more than {MAX_MEMBERS:,} are refused")
        return data


def _fault(infos: list[zipfile.ZipInfo], names: int, end: int) -> str | None:
    """Say what makes the members of an archive suspect."""
    for info in infos:
        fault = unsafe(info.orig_filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if fault is None and kind == stat.S_IFLNK:
            fault = "is a symbolic link"
        elif fault is None and kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            fault = "is neither a file nor a folder"
        if fault:
            return f"its member '{shown(info.orig_filename)}' {fault}"
    if names < len(infos):
        twice = Counter(info.filename for info in infos).most_common(1)[0][0]
        return f"it holds '{shown(twice)}' twice"
    for info in sorted(infos, key=lambda i: i.header_offset, reverse=True):
        if info.header_offset + _HEADER + info.compress_size > end:
            return f"its member '{shown(info.filename)}' overlaps what follows it"
        end = info.header_offset
    return None


def _enter(name: str, known: dict[str, tuple[set, set]]) -> None:
    """Enter a member, and the folders it lies in, into the index."""
    parent, _, last = name.rstrip("/").rpartition("/")
    is_folder = name.endswith("/")
    while len(known) <= MAX_FOLDERS:
        is_known = parent in known
        folders, files = known.setdefault(parent, (set(), set()))
        if last:
            (folders if is_folder else files).add(last)
        if is_known:
            return
        parent, _, last = parent.rpartition("/")
        is_folder = True
