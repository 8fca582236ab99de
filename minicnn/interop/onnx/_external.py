"""Weights that an ONNX file keeps in other files, which must lie in the model's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np

from minicnn._reading import explained, open_regular, shown
from minicnn.errors import DataError
from minicnn.interop.onnx._checking import graphs_of, nodes_of
from minicnn.interop.onnx._values import shape_of, type_of

Proto = Any
# What tensors may take together, by the size of the files they are in: some share their numbers
_TIMES_FILES, _ALLOWANCE = 4, 16 * 2**20


def load_external(model: Proto, label: str, folder: Path | None) -> None:
    """Put the numbers of tensors that lie in other files into the model.

    Raises
    ------
    DataError
        If one is missing, too short, or anywhere else than in this folder.
    """
    tensors = [t for t in _tensors(model) if t.data_location == t.EXTERNAL]
    if not tensors:
        return
    _check_there(tensors, label, folder)
    with _Files(cast(Path, folder), label) as files:  # without one, all are missing
        for tensor in tensors:
            raw = files.read(tensor)
            tensor.raw_data = raw
            tensor.data_location = tensor.DEFAULT
            del tensor.external_data[:]


def _tensors(model: Proto) -> Iterator[Proto]:
    for graph in graphs_of(model):
        yield from graph.initializer
    for node in nodes_of(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t


def _said(tensor: Proto, key: str) -> str:
    value = next((e.value for e in tensor.external_data if e.key == key), "")
    if not isinstance(value, str):
        raise DataError(f"a name in it is not UTF-8: {shown(repr(value))[:100]}")
    return value


def _check_there(tensors: list[Proto], label: str, folder: Path | None) -> None:
    """Name the files of weights that are not there, all of them at once."""
    missing: dict[str, list[str]] = {}
    there: dict[str, bool] = {}
    for tensor in tensors:
        where = _said(tensor, "location")
        if where not in there:
            there[where] = folder is not None and os.path.lexists(_path(folder, where))
        if not there[where]:
            missing.setdefault(where, []).append(tensor.name)
    if missing:
        what = "; ".join(
            f"{shown(where)!r} with {shown(names[0])!r}"
            + (f" and {len(names) - 1} more" if names[1:] else "")
            for where, names in list(missing.items())[:10]
        )
        hint = (
            "give the path of the model instead, so that they are found beside it"
            if folder is None
            else f"put them into {shown(folder)}"
        )
        raise DataError(f"from_onnx: {label} keeps weights in other files: {what}; {hint}")


def _path(folder: Path, where: str) -> str:
    """Return the path of a file, or refuse a name that leads out of the folder."""
    parts = where.replace("\\", "/").split("/")
    if not where or ".." in parts or not parts[0] or parts[0][1:2] == ":" or "\0" in where:
        raise DataError(
            f"keeps weights in {shown(where)!r}, which is no name of a file beside it; a model "
            "may only name files in its own folder"
        )
    return os.path.join(folder, where)


class _Files:
    """The files in a model's folder that hold its weights, each opened once.

    Parameters
    ----------
    folder : Path
        The folder.
    label : str
        What the model is called.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder, self._label = folder, label
        self._open: dict[str, Any] = {}
        self._size = self._taken = 0

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._open.values():
            file.close()

    def read(self, tensor: Proto) -> bytes:
        """Return the bytes of a tensor."""
        where = _said(tensor, "location")
        try:
            return self._read(tensor, where)
        except DataError as error:
            raise DataError(
                f"from_onnx: weights of {self._label} cannot be read: {shown(tensor.name)!r} in "
                f"{shown(where)!r} {error}"
            ) from error

    def _read(self, tensor: Proto, where: str) -> bytes:
        if where not in self._open:
            self._open[where] = self._opened(where)
            self._size += os.fstat(self._open[where].fileno()).st_size
        file = self._open[where]
        size = os.fstat(file.fileno()).st_size
        needed = int(np.prod(shape_of(tensor), dtype=object)) * type_of(tensor).itemsize
        start = _number(tensor, "offset", 0)
        length = _number(tensor, "length", needed)
        if length != needed:
            raise DataError(f"is said to have {length:,} bytes, and its shape needs {needed:,}")
        if start + length > size:
            raise DataError(f"ends at byte {start + length:,}, and the file has {size:,}")
        self._taken += length
        if self._taken > _TIMES_FILES * self._size + _ALLOWANCE:
            raise DataError("shares its bytes with too many others: hostile")
        file.seek(start)
        raw: bytes = file.read(length)
        if len(raw) != length:
            raise DataError("became shorter while it was read; try again")
        return raw

    def _opened(self, where: str) -> Any:
        """Open a regular file, after all symbolic links in its name, within the folder."""
        root = os.path.realpath(self._folder)
        real = os.path.realpath(_path(self._folder, where))
        if not real.startswith(os.path.join(root, "")):
            raise DataError("leads by a symbolic link out of the model's folder; put a copy there")
        with explained():
            return os.fdopen(open_regular(real, getattr(os, "O_NOFOLLOW", 0)), "rb")


def _number(tensor: Proto, key: str, default: int) -> int:
    text = _said(tensor, key)
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise DataError(f"has {key}={shown(text)[:40]}, which is no number")
    return int(text)
