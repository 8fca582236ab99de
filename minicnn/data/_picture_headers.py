"""What stands before the pixels of a picture's file, looked at before Pillow reads it."""

from __future__ import annotations

import re
import struct

from minicnn._reading import check_size
from minicnn.errors import DataError

MOST_PIXELS_WEBP, _MOST_BYTES_GIF = 25_000_000, 8 * 2**20
"""WebP is decoded into three copies; comments in a GIF cost older Pillows their length squared."""
_SMALL, _MOST_PARTS, _MOST_HEADER = 2**16, 20_000, 4096
"""Pillow reads headers byte by byte and part by part: files above so many bytes are looked at."""
_PNG_PARTS = frozenset([b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"])
_PNG_BURDENS = (b"zTXt", b"iTXt", b"iCCP", b"acTL", b"fcTL", b"fdAT")
_PPM_HEADER = re.compile(rb"P[1-6](?:(?:\s|#[^\r\n]*[\r\n])+[0-9]+){2,3}\s")


def check_pixels(width: int, height: int, most: int) -> None:
    """Refuse a picture of more pixels than `most`, whatever its file is like."""
    if width * height > most:
        raise DataError(f"claims {width} x {height} pixels; more than {most:,} are refused")


def bare_png(data: bytes) -> bytes:
    """Return a PNG without texts, profiles and animation: a kilobyte of them unpacks to 1 MB."""
    if len(data) <= _SMALL and not any(word in data for word in _PNG_BURDENS):
        return data
    kept, place = [data[:8]], 8
    for _ in range(_MOST_PARTS):
        if place >= len(data):
            return b"".join(kept)
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        name = data[place + 4 : place + 8]
        if name in _PNG_PARTS:
            kept.append(data[place:end])
        place = len(data) if name == b"IEND" else end  # what is behind belongs to no picture
    raise DataError(f"is a PNG of more than {_MOST_PARTS:,} chunks; refused")


def bare_jpeg(data: bytes) -> tuple[bytes, bytes]:
    """Return a JPEG without what programs noted in it, and the camera's notes by themselves."""
    if len(data) <= _SMALL and b"Exif\0" not in data:
        return data, b""
    kept, exif, place = [data[:2]], b"", 2
    for _ in range(_MOST_PARTS):
        if data[place] != 0xFF or (marker := data[place + 1]) == 0xDA:  # the pixels begin
            return b"".join([*kept, data[place:]]), exif
        end = place + 1 if marker == 0xFF else place + 2  # fill bytes; markers without content
        if marker not in (0xFF, 0x01, *range(0xD0, 0xD9)):
            end += int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xE1 and not exif and data[place + 4 : place + 9] == b"Exif\0":
            exif = data[place + 4 : end]
        elif marker == 0xEE or not (0xE1 <= marker <= 0xEF or marker == 0xFE):
            kept.append(data[place:end])  # Adobe's EE says what the colours are
        place = end
    raise DataError(f"is a JPEG of more than {_MOST_PARTS:,} segments; refused")


def bare_gif(data: bytes, most: int) -> bytes:
    """Return a GIF without what comes before its first picture, whose size is not too large."""
    check_size(len(data), _MOST_BYTES_GIF)
    across, down = struct.unpack_from("<HH", data, 6)
    check_pixels(across, down, most)
    start = place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    control = b""  # says which colour is transparent
    for _ in range(_MOST_PARTS):
        mark = data[place : place + 1]
        if mark == b",":
            x, y, width, height = struct.unpack_from("<4H", data, place + 1)
            check_pixels(max(x + width, across), max(y + height, down), most)
            return data[:start] + control + data[place:]
        end = place + 1
        if mark == b"!":
            end += 1
            while size := data[end]:
                end += 1 + size
            end += 1
            control = data[place:end] if data[place + 1] == 0xF9 else control
        place = end if mark not in (b"", b";") else len(data)
    raise DataError("is a broken GIF image (no picture in it)")


def check_ppm(data: bytes) -> None:
    """Refuse a PPM of other kinds, or one whose header is too long to be read quickly."""
    if data[1:2] not in b"123456":
        raise DataError("is not a PPM image of the kinds P1 to P6")
    if len(data) > _SMALL and not _PPM_HEADER.match(data[:_MOST_HEADER]):
        raise DataError(f"is a PPM whose first {_MOST_HEADER:,} bytes are no header; refused")


def webp_size(data: bytes) -> tuple[int, int]:
    """Return width and height as the first chunk tells them."""
    kind = data[12:16]
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[24:27], "little"),
            1 + int.from_bytes(data[27:30], "little"),
        )
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise DataError("is a broken WebP image (no picture in it)")


def orientation(exif: bytes) -> int:
    """Read tag 0x0112 of the first directory of EXIF notes: 1 to 8; 1 if there is none."""
    notes = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(notes[:2])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(f"{order}I", notes, 4)
        (count,) = struct.unpack_from(f"{order}H", notes, start)
        for i in range(count):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", notes, start + 2 + 12 * i)
            if (tag, kind, number) == (0x0112, 3, 1):
                return value
    except struct.error:
        pass  # broken notes are no reason to refuse a picture
    return 1
