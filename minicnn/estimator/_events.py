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
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types
_files = itertools.count()


class EventWriter:
    """Appends scalars to a new event file.

    Parameters
    ----------
    folder : Path
        Where; created if need be.
    first_step : int
        The first step that will be written. TensorBoard then drops that step and
        later ones from older files of the folder, which an interrupted run may have left.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}.{next(_files)}"
        self.path = folder / f"events.out.tfevents.{name}"
        self._file = self.path.open("xb")
        self._write(_event(0, _field(3, b"brain.Event:2")))
        self._write(_event(first_step, _field(7, _key(1, _VARINT) + b"\x01")))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of one step, by their tags."""
        summary = b"".join(
            _field(1, _field(1, tag.encode()) + _key(2, _FLOAT) + struct.pack("<f", value))
            for tag, value in values.items()
        )
        self._write(_event(step, _field(5, summary)))

    def flush(self) -> None:
        """Hand everything to the system, so that readers see it."""
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def _write(self, content: bytes) -> None:
        length = struct.pack("<Q", len(content))
        self._file.write(length + _checksum(length) + content + _checksum(content))


def _event(step: int, rest: bytes) -> bytes:
    head = _key(1, _DOUBLE) + struct.pack("<d", time.time())
    return head + _key(2, _VARINT) + _varint(step) + rest


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
