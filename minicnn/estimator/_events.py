"""Files that TensorBoard reads, written without TensorBoard.

An event file is a sequence of records. A record is the length of its content, a
checksum of the length, the content, a checksum of the content::

    uint64 length, uint32 crc(length), byte content[length], uint32 crc(content)

The checksum is CRC-32C (Castagnoli), rotated and shifted so that a checksum of
data that hold checksums stays meaningful. The content is an Event in protocol buffer
encoding: for each field a key, ``number << 3 | wire type``, and the value. The fields used
here, from tensorflow/core/util/event.proto and framework/summary.proto::

    Event    1 wall_time: double   2 step: int64   3 file_version: string
             5 summary: Summary    7 session_log: SessionLog
    Summary  1 value, repeated:  1 tag: string   2 simple_value: float
    SessionLog  1 status: enum, START = 1
"""

from __future__ import annotations

import itertools
import math
import operator
import os
import re
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minicnn.errors import ConfigError
from minicnn.estimator._appending import AppendedFile, cannot_write
from minicnn.estimator._scalars import as_number

_OWNER = "TensorBoardHook"
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types
_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\..*", re.DOTALL)
_LAST_SECOND = 9_999_999_999  # that ten digits can tell
_files = itertools.count()


class EventWriter:
    """Appends scalars to a new event file.

    TensorBoard reads the files of a folder in the order of their names, which begin with the time
    in seconds. A new file gets a later one than all that are there, whatever the clock says.

    Parameters
    ----------
    folder : Path
        Where; created if need be.
    first_step : int
        The first step that will be written. TensorBoard then drops that step and
        later ones from older files of the folder, which an interrupted run may have left.
    make_folder : bool, default True
        Whether to create the folder.

    Raises
    ------
    ConfigError
        If the step is no whole number of 64 bits.
    OutputError
        If the file cannot be written.
    """

    def __init__(self, folder: Path, first_step: int, make_folder: bool = True) -> None:
        version = _event(self._now(), 0, _field(3, b"brain.Event:2"))
        start = _event(self._now(), first_step, _field(7, _key(1, _VARINT) + b"\x01"))
        try:
            if make_folder:
                folder.mkdir(parents=True, exist_ok=True)
            second = _second_after(os.listdir(folder))
        except (OSError, ValueError) as error:
            raise cannot_write(_OWNER, folder, error) from error
        name = f"{second:010}.{_host()}.{os.getpid()}.{next(_files)}"
        self.path = folder / f"events.out.tfevents.{name}"
        self._file = AppendedFile(self.path, _OWNER, new=True)
        self._file.append(_record(version) + _record(start))

    def scalars(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the values of one step, by their tags, and hand them to the system.

        Numbers that no float32 can hold become infinite; characters of a tag that UTF-8 cannot
        hold become what Python's strings write for them, a backslash and four digits.

        Raises
        ------
        ConfigError
            If a value is no single number, or the step no whole number of 64 bits.
        OutputError
            If it cannot be written.
        """
        summary = b"".join(_field(1, _scalar(tag, value)) for tag, value in values.items())
        self._file.append(_record(_event(self._now(), step, _field(5, summary))))

    def replaced(self) -> bool:
        """Tell whether the file is not there any more."""
        return self._file.replaced()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    _time = -math.inf

    def _now(self) -> float:
        """Return the time, which does not go back if the clock does."""
        self._time = max(self._time, time.time())
        return self._time


def _second_after(names: list[str]) -> int:
    """Return the time in seconds, or a later one than all in the names of event files."""
    found = [int(match[1]) for match in map(_NAME.fullmatch, names) if match is not None]
    return min(max(int(time.time()), 0, *(second + 1 for second in found)), _LAST_SECOND)


def _host() -> str:
    """Return this machine's name, as far as it can be part of a file's name."""
    try:
        name = socket.gethostname()
    except (OSError, UnicodeError):
        name = ""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)[:64] or "host"


def _scalar(tag: Any, value: Any) -> bytes:
    if not isinstance(tag, str):
        raise ConfigError(f"{_OWNER}: a tag is {_shown(tag)}; give a string")
    number = as_number(value)
    if number is None:
        raise ConfigError(f"{_OWNER}: {tag!r} is {_shown(value)}; give a single number")
    try:
        content = struct.pack("<f", float(number))
    except OverflowError:
        content = struct.pack("<f", math.copysign(math.inf, number))
    return _field(1, tag.encode("utf-8", "backslashreplace")) + _key(2, _FLOAT) + content


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.100}"
    except ValueError:  # an int of thousands of digits
        return f"a very large {type(value).__name__}"


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _event(seconds: float, step: Any, rest: bytes) -> bytes:
    try:
        step = operator.index(step)
        bits = struct.pack("<q", step)
    except (TypeError, struct.error):
        raise ConfigError(
            f"{_OWNER}: a step is {_shown(step)}; give a whole number of 64 bits"
        ) from None
    (unsigned,) = struct.unpack("<Q", bits)
    head = _key(1, _DOUBLE) + struct.pack("<d", seconds)
    return head + _key(2, _VARINT) + _varint(unsigned) + rest


def _field(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(n: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of some bytes (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def _checksum(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table_entry(n: int) -> int:
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    return n


_TABLE = [_table_entry(n) for n in range(256)]
