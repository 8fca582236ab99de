"""PyTorch's ``.pth`` files, read without PyTorch and without trusting them.

Since 1.6 such a file is a zip archive: ``data.pkl`` says which tensors there are, ``data/0``,
``data/1``, ... hold their numbers.  Older files are five pickles in a row, then the numbers.
"""

from __future__ import annotations

import io
import math
import os
import reprlib
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from minicnn._reading import open_regular, shown
from minicnn.errors import CheckpointError, ConfigError, DataError
from minicnn.interop._safetensors import widen_bfloat16
from minicnn.interop._unpickling import Pending, Storage, unpickle

_OLD_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before 1.6
_OLD_VERSION = 1001
_EXPANDED = 1 << 20  # elements that a tensor may have beyond those of its storage
# What all tensors may take: views may overlap, and bfloat16 becomes twice as large
_TIMES_FILE, _ALLOWANCE = 4, 16 * 2**20
_LONGEST_LIST = (
    32 * 2**20
)  # bytes of an archive's list of members: that of 100,000 tensors has 8 MB
_MOST_MEMBERS = 250_000
_LONGEST_PICKLE = 64 * 2**20
_LARGEST = 2**59  # an axis, a stride or an offset beyond it fits no array of 8-byte elements

Bytes = Callable[[Storage], np.ndarray]


def read_pytorch(path: str | Path, key: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a file that ``torch.save`` wrote.

    Only tensors and plain data (dicts, lists, numbers, text) are read. A pickle can call any
    function; one that names anything else is refused before it is run.

    Parameters
    ----------
    path : str or Path
        A state dict, or a checkpoint with one in it (under "state_dict", "model", ...).
    key : str, optional
        Under which key the state dict is, ``"outer.inner"`` if it lies deeper; by default the
        only one that holds tensors.

    Returns
    -------
    dict of str to ndarray
        The tensors by name, C-contiguous; bfloat16 as float32. Names for one tensor, as of tied
        weights, have one array, as in PyTorch.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, hostile, or holds anything but tensors and plain data.
    ConfigError
        If there are several state dicts in it, or none under `key`.
    """
    label = shown(path)
    with open_file(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if file.read(4) == b"PK\3\4":
                return _read(*_from_zip(file, label), key, label, size)
            if not size:
                raise CheckpointError(f"{label}: is empty")
            file.seek(0)
            return _read(*_from_old(file, label, size), key, label, size)
        except OSError as error:
            reason = error.strerror or error
            raise CheckpointError(f"{label}: cannot be read ({reason})") from error


def open_file(path: str | Path) -> io.BufferedReader:
    """Open a regular file; a pipe would keep the reader waiting, a device never ends.

    Raises
    ------
    CheckpointError
        If it is none, or cannot be opened.
    """
    try:
        return io.BufferedReader(io.FileIO(open_regular(path)))
    except DataError as error:
        raise CheckpointError(f"{shown(path)}: {error}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{shown(path)}: cannot be read ({reason})") from error
    except ValueError as error:  # a NUL in the name
        raise CheckpointError(f"{shown(path)}: cannot be read ({error})") from error


def _read(
    tree: Any, numbers: Bytes, key: str | None, label: str, size: int
) -> dict[str, np.ndarray]:
    """Return the arrays of the state dict in what a file holds."""
    tensors = _state_dict(tree, key, label)
    for name, tensor in tensors:
        _check_reach(tensor, f"{label}: {shown(name)}")
    different = dict(zip(_marks(tensors), (t for _, t in tensors), strict=True))
    needed = sum(math.prod(t.shape) * _item_size(t.storage) for t in different.values())
    most = _TIMES_FILE * size + _ALLOWANCE
    if needed > most:
        raise CheckpointError(
            f"{label}: its tensors would take {needed:,} bytes, and the file has {size:,}: they "
            "repeat few numbers often. Hostile; or save the numbers themselves, .contiguous()"
        )
    if len({name for name, _ in tensors}) < len(tensors):
        raise CheckpointError(f"{label}: two of its tensors have the same name")
    arrays = {mark: _array(tensor, numbers) for mark, tensor in different.items()}
    return {name: arrays[mark] for (name, _), mark in zip(tensors, _marks(tensors), strict=True)}


def _marks(tensors: list[tuple[str, Pending]]) -> list[str]:
    """Return a text for each tensor, the same for the same one.

    Python looks up numbers, and tuples of them, slowly if somebody chose them to be so, but not
    text.
    """
    storages: dict[str, int] = {}
    return [
        repr((storages.setdefault(t.storage.key, len(storages)), t.storage[1:], *t[1:]))
        for _, t in tensors
    ]


def _from_zip(file: io.BufferedReader, label: str) -> tuple[Any, Bytes]:
    """Return what an archive's pickle says and how to get at the numbers."""
    entries, read = _members(file, label)
    if any(name.endswith("/constants.pkl") for name in entries):
        raise CheckpointError(
            f"{label}: is a TorchScript program, not a state dict; save model.state_dict()"
        )
    heads = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(heads) != 1:
        raise CheckpointError(f"{label}: a zip archive without one data.pkl: not from torch.save")
    folder = heads[0].removesuffix("data.pkl")
    said = read(f"{folder}byteorder", 16) if f"{folder}byteorder" in entries else b""
    order = said.decode("ascii", "replace")
    if order not in ("", "little", "big"):
        raise CheckpointError(f"{label}: byte order {order!r} is unknown")

    def numbers(storage: Storage) -> np.ndarray:
        raw = read(f"{folder}data/{storage.key}", os.fstat(file.fileno()).st_size)
        return _elements(raw, storage, order == "big", label)

    tree = unpickle(io.BytesIO(read(f"{folder}data.pkl", _LONGEST_PICKLE)), label)
    return tree, _once(numbers, label)


def _once(numbers: Bytes, label: str) -> Bytes:
    """Return a function that gets the numbers of each storage only once."""
    found: dict[str, tuple[Storage, np.ndarray]] = {}

    def cached(storage: Storage) -> np.ndarray:
        if storage.key not in found:
            found[storage.key] = storage, numbers(storage)
        first, array = found[storage.key]
        if first != storage:
            raise CheckpointError(
                f"{label}: storage {reprlib.repr(storage.key)} has elements of {first.elements} "
                f"and of {storage.elements}, or two lengths; PyTorch writes no such file"
            )
        return array

    return cached


def _members(file: io.BufferedReader, label: str) -> tuple[set[str], Callable[[str, int], bytes]]:
    """Return the names in an archive, and a function that reads one of so many bytes at most."""
    seen = _Archive(file)
    try:
        archive = zipfile.ZipFile(cast(Any, seen))
    except Exception as error:  # whatever zipfile runs into
        raise CheckpointError(f"{label}: a damaged zip archive ({_short(error)})") from error
    seen.listed = True
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    size = os.fstat(file.fileno()).st_size
    inside = sum(max(info.file_size, info.compress_size) for info in infos)
    if inside > size or any(info.compress_type for info in infos):
        raise CheckpointError(
            f"{label}: is compressed or claims {inside} bytes in a file of {size}; PyTorch writes "
            "no such file"
        )
    if len(entries) < len(infos):
        raise CheckpointError(f"{label}: has two files of one name: damaged or hostile")

    def read(name: str, most: int) -> bytes:
        if name not in entries:
            raise CheckpointError(f"{label}: {shown(name)} is missing in the archive")
        if entries[name].file_size > most:
            raise CheckpointError(f"{label}: {shown(name)} has more than {most:,} bytes: hostile")
        try:
            return archive.read(entries[name])
        except Exception as error:  # whatever zipfile runs into
            raise CheckpointError(f"{label}: {shown(name)} is damaged ({_short(error)})") from error

    return set(entries), read


class _Archive:
    """An archive's file as zipfile may see it: with a list of members that is not absurd."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file, self.listed = file, False
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        if self.listed:
            return self._file.read(count)
        if count > _LONGEST_LIST:
            raise CheckpointError(f"a list of members of {count:,} bytes")
        data = self._file.read(_LONGEST_LIST if count < 0 else count)
        if data.count(b"PK\1\2") > _MOST_MEMBERS:  # each is worth twenty times its bytes here
            raise CheckpointError(f"more than {_MOST_MEMBERS:,} members")
        return data


def _from_old(file: io.BufferedReader, label: str, size: int) -> tuple[Any, Bytes]:
    """Return what a file from before PyTorch 1.6 says, and how to get at the numbers."""
    if file.peek(1)[:1] != b"\x80":
        raise CheckpointError(f"{label}: neither a zip archive nor a pickle: not from torch.save")
    if unpickle(file, label) != _OLD_MAGIC:
        raise CheckpointError(f"{label}: a pickle, but not from torch.save")
    version = unpickle(file, label)
    if version != _OLD_VERSION:
        raise CheckpointError(f"{label}: version {reprlib.repr(version)} of the format is unknown")
    system = unpickle(file, label)
    big = isinstance(system, dict) and system.get("little_endian") is False
    tree = unpickle(file, label)
    keys = unpickle(file, label)
    begins = file.tell()
    places: dict[str, tuple[int, int]] = {}  # key -> where its numbers begin, how many there are
    sizes = {s.key: _item_size(s) for s in _storages(tree)}
    for key in keys if isinstance(keys, list) else ():
        if type(key) is not str:
            raise CheckpointError(f"{label}: a storage is called {reprlib.repr(key)}: damaged")
        head = file.read(8)
        count = struct.unpack(">q" if big else "<q", head)[0] if len(head) == 8 else -1
        begins = file.tell()
        after = begins + count * sizes.get(key, size)
        if count < 0 or after > size:
            raise CheckpointError(f"{label}: cut off in the numbers of storage {reprlib.repr(key)}")
        places[key] = begins, count
        file.seek(after)

    def numbers(storage: Storage) -> np.ndarray:
        if storage.key not in places:
            raise CheckpointError(
                f"{label}: the numbers of storage {reprlib.repr(storage.key)} are missing"
            )
        at, count = places[storage.key]
        file.seek(at)
        return _elements(file.read(count * _item_size(storage)), storage, big, label)

    return tree, _once(numbers, label)


def _state_dict(tree: Any, key: str | None, label: str) -> list[tuple[str, Pending]]:
    """Return the named tensors of the state dict in what a file holds."""
    if key is not None:
        for part in _steps(tree, key):
            if not isinstance(tree, Mapping) or part not in tree:
                raise ConfigError(
                    f"{label}: there is no key {reprlib.repr(key)}; it has {_keys(tree)}"
                )
            tree = tree[part]
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{label}: {_kind(tree)} is no state dict; name its key")
    tensors = _tensors(tree)
    if tensors or not tree:
        return tensors
    inner = [name for name, value in tree.items() if isinstance(value, Mapping) and _tensors(value)]
    if len(inner) != 1:
        raise ConfigError(
            f"{label}: {len(inner)} of its keys hold tensors; pass one as key=..., it has "
            f"{_keys(tree)}"
        )
    return _tensors(tree[inner[0]])


def _steps(tree: Any, key: str) -> list[str]:
    """Cut "outer.inner" into its parts, unless it is one name."""
    return [key] if isinstance(tree, Mapping) and key in tree else key.split(".")


def _tensors(tree: Mapping[Any, Any]) -> list[tuple[str, Pending]]:
    return [(str(name), value) for name, value in tree.items() if isinstance(value, Pending)]


def _keys(tree: Any) -> str:
    if not isinstance(tree, Mapping):
        return f"{_kind(tree)} and no keys"
    shown = [f"{reprlib.repr(name)}: {_kind(value)}" for name, value in list(tree.items())[:12]]
    return ", ".join(shown) + (", ..." if len(tree) > 12 else "")


def _kind(value: Any) -> str:
    if isinstance(value, Pending):
        return f"tensor {reprlib.repr(value.shape)}"
    return type(value).__name__


def _storages(tree: Any) -> list[Storage]:
    """Find the storages of all tensors, in whatever they are nested."""
    found, waiting, seen = [], [tree], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Pending):
            found.append(value.storage)
        elif isinstance(value, Mapping | list | tuple | set | frozenset) and id(value) not in seen:
            seen.add(id(value))  # a hostile tree may hold itself, or one branch many times
            waiting.extend(value.values() if isinstance(value, Mapping) else value)
    return found


def _item_size(storage: Storage) -> int:
    return 2 if storage.elements == "bfloat16" else np.dtype(storage.elements).itemsize


def _elements(raw: bytes, storage: Storage, big: bool, label: str) -> np.ndarray:
    """Return a storage's numbers as an array of one axis, in this machine's byte order."""
    if len(raw) != storage.length * _item_size(storage):
        raise CheckpointError(
            f"{label}: storage {reprlib.repr(storage.key)} has {len(raw)} bytes, not those of "
            f"{reprlib.repr(storage.length)} elements of {storage.elements}: damaged"
        )
    order: Literal["<", ">"] = ">" if big else "<"
    if storage.elements == "bfloat16":
        return widen_bfloat16(np.frombuffer(raw, order + "u2"))
    numbers = np.frombuffer(raw, np.dtype(storage.elements).newbyteorder(order))
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def _check_reach(tensor: Pending, name: str) -> None:
    """Refuse a tensor with numbers that its storage does not have, or with absurdly many."""
    count = tensor.storage.length
    size = math.prod(tensor.shape)
    last = tensor.offset + sum(
        (n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)
    )
    largest = max(math.prod(n or 1 for n in tensor.shape), tensor.offset, *tensor.strides, 0)
    if (size and last >= count) or size > max(count, _EXPANDED) or largest > _LARGEST:
        raise CheckpointError(
            f"{name}: shape {reprlib.repr(tensor.shape)} with strides "
            f"{reprlib.repr(tensor.strides)} from {reprlib.repr(tensor.offset)} on reaches outside "
            f"of its {reprlib.repr(count)} numbers: damaged or hostile"
        )


def _array(tensor: Pending, numbers: Bytes) -> np.ndarray:
    """Return a tensor as an array of its own."""
    if not math.prod(tensor.shape):
        kind = tensor.storage.elements
        return np.zeros(tensor.shape, "f4" if kind == "bfloat16" else kind)
    memory = numbers(tensor.storage)
    strides = tuple(step * memory.itemsize for step in tensor.strides)
    view = np.lib.stride_tricks.as_strided(memory[tensor.offset :], tensor.shape, strides)
    return np.array(view, order="C")


def _short(error: Exception) -> str:
    """Return the text of an error of another library, which may be long, or empty."""
    return shown(str(error))[:200] or type(error).__name__
