"""PyTorch's ``.pth`` files, read without PyTorch and without trusting them.

Since 1.6 such a file is a zip archive: ``data.pkl`` says which tensors there are, ``data/0``,
``data/1``, ... hold their numbers.  Older files are five pickles in a row, then the numbers.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minicnn.errors import CheckpointError, ConfigError
from minicnn.interop._unpickling import Pending, Storage, unpickle

_OLD_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before 1.6
_OLD_VERSION = 1001
_EXPANDED = 1 << 20  # elements that a tensor may have beyond those of its storage

# What the standard library raises over an archive with a few wrong bytes
_DAMAGE = (
    zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error,
)  # fmt: skip

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
        The tensors by name, C-contiguous; bfloat16 as float32.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, hostile, or holds anything but tensors and plain data.
    ConfigError
        If there are several state dicts in it, or none under `key`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\3\4":
                return _read(*_from_zip(file, path), key, path)
            if not path.stat().st_size:
                raise CheckpointError(f"{path}: is empty")
            # Mapped, so a hostile length asks for no more memory than the file has
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read(*_from_old(content, path), key, path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error


def _read(tree: Any, numbers: Bytes, key: str | None, path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the state dict in what a file holds."""
    tensors = _state_dict(tree, key, path)
    return {name: _array(tensor, numbers, f"{path}: {name}") for name, tensor in tensors}


def _from_zip(file: Any, path: Path) -> tuple[Any, Bytes]:
    """Return what an archive's pickle says and how to get at the numbers."""
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise CheckpointError(f"{path}: a damaged zip archive ({error})") from None
    entries = {info.filename: info for info in archive.infolist()}
    size = path.stat().st_size
    inside = sum(info.file_size for info in entries.values())
    if inside > size or any(info.compress_type for info in entries.values()):
        raise CheckpointError(
            f"{path}: is compressed or claims {inside} bytes in a file of {size}; PyTorch writes "
            "no such file"
        )
    if any(name.endswith("/constants.pkl") for name in entries):
        raise CheckpointError(
            f"{path}: is a TorchScript program, not a state dict; save model.state_dict()"
        )
    heads = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(heads) != 1:
        raise CheckpointError(f"{path}: a zip archive without one data.pkl: not from torch.save")
    folder = heads[0].removesuffix("data.pkl")

    def read(name: str) -> bytes:
        try:
            return archive.read(entries[folder + name])
        except KeyError:
            raise CheckpointError(f"{path}: {folder + name} is missing in the archive") from None
        except _DAMAGE as error:
            raise CheckpointError(f"{path}: {folder + name} is damaged ({error})") from None

    order = read("byteorder").decode("ascii", "replace") if folder + "byteorder" in entries else ""
    if order not in ("", "little", "big"):
        raise CheckpointError(f"{path}: byte order {order!r} is unknown")
    found: dict[str, bytes] = {}

    def numbers(storage: Storage) -> np.ndarray:
        if storage.key not in found:
            found[storage.key] = read(f"data/{storage.key}")
        return _elements(found[storage.key], storage, order == "big", path)

    return unpickle(io.BytesIO(read("data.pkl")), str(path)), numbers


def _from_old(file: mmap.mmap, path: Path) -> tuple[Any, Bytes]:
    """Return what a file from before PyTorch 1.6 says, and how to get at the numbers."""
    if file[:1] != b"\x80":
        raise CheckpointError(f"{path}: neither a zip archive nor a pickle: not from torch.save")
    if unpickle(file, str(path)) != _OLD_MAGIC:
        raise CheckpointError(f"{path}: a pickle, but not from torch.save")
    version = unpickle(file, str(path))
    if version != _OLD_VERSION:
        raise CheckpointError(f"{path}: version {version!r} of the format is unknown")
    system = unpickle(file, str(path))
    big = isinstance(system, dict) and system.get("little_endian") is False
    tree = unpickle(file, str(path))
    keys = unpickle(file, str(path))
    begins = file.tell()
    places: dict[str, tuple[int, int]] = {}  # key -> where its numbers begin, how many there are
    sizes = {s.key: _item_size(s) for s in _storages(tree)}
    size = path.stat().st_size
    for key in keys if isinstance(keys, list) else ():
        head = file.read(8)
        count = struct.unpack(">q" if big else "<q", head)[0] if len(head) == 8 else -1
        begins = file.tell()
        after = begins + count * sizes.get(key, size)
        if count < 0 or after > size:
            raise CheckpointError(f"{path}: cut off in the numbers of storage {key!r}")
        places[key] = begins, count
        file.seek(after)

    def numbers(storage: Storage) -> np.ndarray:
        if storage.key not in places:
            raise CheckpointError(f"{path}: the numbers of storage {storage.key!r} are missing")
        at, count = places[storage.key]
        file.seek(at)
        return _elements(file.read(count * _item_size(storage)), storage, big, path)

    return tree, numbers


def _state_dict(tree: Any, key: str | None, path: Path) -> list[tuple[str, Pending]]:
    """Return the named tensors of the state dict in what a file holds."""
    if key is not None:
        for part in _steps(tree, key):
            if not isinstance(tree, Mapping) or part not in tree:
                raise ConfigError(f"{path}: there is no key {key!r}; it has {_keys(tree)}")
            tree = tree[part]
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path}: {_kind(tree)} is no state dict; name its key")
    tensors = _tensors(tree)
    if tensors or not tree:
        return tensors
    inner = [name for name, value in tree.items() if isinstance(value, Mapping) and _tensors(value)]
    if len(inner) != 1:
        raise ConfigError(
            f"{path}: {len(inner)} of its keys hold tensors; pass one as key=..., it has "
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
    shown = [f"{name!r}: {_kind(value)}" for name, value in list(tree.items())[:12]]
    return ", ".join(shown) + (", ..." if len(tree) > 12 else "")


def _kind(value: Any) -> str:
    return f"tensor {value.shape}" if isinstance(value, Pending) else type(value).__name__


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


def _elements(raw: bytes, storage: Storage, big: bool, path: Path) -> np.ndarray:
    """Return a storage's numbers as an array of one axis, in this machine's byte order."""
    if len(raw) != storage.length * _item_size(storage):
        raise CheckpointError(
            f"{path}: storage {storage.key!r} has {len(raw)} bytes, not those of "
            f"{storage.length} elements of {storage.elements}: damaged"
        )
    order: Literal["<", ">"] = ">" if big else "<"
    if storage.elements == "bfloat16":
        return widen_bfloat16(np.frombuffer(raw, order + "u2"))
    numbers = np.frombuffer(raw, np.dtype(storage.elements).newbyteorder(order))
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def widen_bfloat16(halves: np.ndarray) -> np.ndarray:
    """Return bfloat16 numbers, given as their 16 bits, as float32: the upper half of one."""
    return (halves.astype(np.uint32) << 16).view(np.float32)


def _array(tensor: Pending, numbers: Bytes, name: str) -> np.ndarray:
    """Return a tensor as an array of its own."""
    count = tensor.storage.length
    size = math.prod(tensor.shape)
    last = tensor.offset + sum(
        (n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)
    )
    if (size and last >= count) or size > max(count, _EXPANDED):
        raise CheckpointError(
            f"{name}: shape {tensor.shape} with strides {tensor.strides} from {tensor.offset} on "
            f"reaches outside of its {count} numbers: damaged or hostile"
        )
    memory = numbers(tensor.storage)
    if not size:
        return np.zeros(tensor.shape, memory.dtype)
    strides = tuple(step * memory.itemsize for step in tensor.strides)
    view = np.lib.stride_tricks.as_strided(memory[tensor.offset :], tensor.shape, strides)
    return np.array(view, order="C")
