"""Picture files of the usual kinds, made by whomever, as 8-bit RGB: bounded in time and memory.

Pillow knows some forty kinds of files, among them ones that start other programs; only six are
handed to it, told apart by their first bytes, and its decoders are called by name. What files
carry besides a picture (texts, profiles, previews) can be made to unpack to far more than the
picture itself and is cut out first.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicnn._reading import explained, read_regular, shown
from minicnn.data._picture_headers import (
    MOST_PIXELS_WEBP,
    bare_gif,
    bare_jpeg,
    bare_png,
    check_pixels,
    check_ppm,
    orientation,
    webp_size,
)
from minicnn.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "KINDS",
    "decode",
    "decode_labels",
    "picture_size",
    "read_photograph",
    "read_picture",
    "to_rgb",
]

KINDS = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff",
    "PPM": b"P",
    "BMP": b"BM",
    "GIF": b"GIF8",
    "WebP": b"RIFF",
}
"""What is read, and how such a file begins."""
MOST_PIXELS = 16_000_000
"""In a picture of a data set. Files of a few bytes may claim terabytes; signs are below 0.1 MP."""
MOST_PIXELS_ALONE, MOST_BYTES_ALONE = 50_000_000, 64 * 2**20
"""In a picture read by itself: what the cameras of telephones make."""
_LARGE = 1_000_000  # pixels: pictures above are decoded one at a time, so that memory is bounded
_SLOW = {"ppm": 4 * 2**20, "bmp_rle": 4 * 2**20, "ppm_plain": 2**20}
"""Pillow's decoders that are loops of Python, and the largest files that they get, in bytes."""
_MOST_COMMENTS = 1000
"""In a plain PPM: Pillow copies a megabyte for each."""
_MOST_SCANNED = 1_500_000_000
"""Pixels of a JPEG, times the passes over them; progressive ones have about ten."""


def read_picture(path: str | Path, size: int) -> np.ndarray:
    """Read a picture of one sign from a file: PNG, JPEG, PPM, BMP, GIF (its start) or WebP.

    Parameters
    ----------
    path : str or Path
        The file; the sign should fill the picture. A photograph is set upright.
    size : int
        Height and width to resize it to, in pixels.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
        RGB.

    Raises
    ------
    DataError
        If there is no such file, or it is no picture; the message names it.
    """
    from PIL.Image import Resampling

    image = _read_alone(path)
    return np.asarray(image.resize((size, size), Resampling.BILINEAR))


def read_photograph(path: str | Path) -> np.ndarray:
    """Read a picture from a file as it is: PNG, JPEG, PPM, BMP, GIF (its start) or WebP.

    Parameters
    ----------
    path : str or Path
        The file. A photograph is set upright.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    DataError
        If there is no such file, or it is no picture; the message names it.
    """
    return np.asarray(_read_alone(path))


def _read_alone(path: str | Path) -> Image:
    try:
        with explained():
            data = read_regular(path, MOST_BYTES_ALONE)
        return decode(data, MOST_PIXELS_ALONE, upright=True)
    except DataError as error:
        raise DataError(f"{shown(path)}: {error}") from error


def decode(data: bytes, most_pixels: int = MOST_PIXELS, upright: bool = False) -> Image:
    """Decode a picture.

    Parameters
    ----------
    data : bytes
        A file's content.
    most_pixels : int
        The most pixels that are accepted.
    upright : bool, default False
        Whether to turn a photograph as the camera says; boxes in tables mean the pixels as stored.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    DataError
        If it is none, is broken or is larger; the caller names the file.
    """
    with _blamed(data) as kind:
        # GIF and WebP take memory before they tell their size
        with _turn if kind in ("GIF", "WebP") else _FREE:
            opened, exif = _opened(kind, data, most_pixels)
        width, height = opened.size
        check_pixels(width, height, most_pixels)
        _check_speed(opened, data)
        with _turn if width * height > _LARGE else _FREE:
            image = to_rgb(opened)
            return _upright(image, exif or opened.info.get("exif")) if upright else image


def decode_labels(data: bytes, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Decode a picture whose pixels are numbers: the indices of a palette, or greys.

    Parameters
    ----------
    data : bytes
        The content of a PNG; in no other kind of file do numbers surely stay what they were.
    most_pixels : int
        The most pixels that are accepted.

    Returns
    -------
    ndarray of uint8 or uint16, shape (H, W)
        The numbers, as they were written; what colours a palette gives them is not looked at.

    Raises
    ------
    DataError
        If it is no PNG, is broken, larger or of colours; the caller names the file.
    """
    with _blamed(data) as kind:
        if kind != "PNG":
            raise DataError(f"is a {kind} image, in which numbers may change; save it as PNG")
        opened, _ = _opened(kind, data, most_pixels)
        width, height = opened.size
        check_pixels(width, height, most_pixels)
        if opened.mode not in ("1", "L", "P", "I") and not opened.mode.startswith("I;16"):
            raise DataError(
                f"is a picture of colours ({opened.mode}); the number of a pixel's class is to be "
                "its grey or its index in a palette"
            )
        with _turn if width * height > _LARGE else _FREE:
            opened.load()
            numbers = np.asarray(opened)
        bits = data[24] if data[12:16] == b"IHDR" else 8
        if opened.mode == "L" and bits in (2, 4):  # Pillow spreads them over 0 ... 255
            numbers = numbers // (255 // (2**bits - 1))
        return numbers.astype(np.uint16 if numbers.dtype.itemsize > 1 else np.uint8)


def picture_size(data: bytes, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Read how large a picture is, as stored, without decoding it.

    Parameters
    ----------
    data : bytes
        A file's content.
    most_pixels : int
        The most pixels that are accepted.

    Returns
    -------
    (int, int)
        Height and width.

    Raises
    ------
    DataError
        If its beginning is that of no picture or it is larger; the caller names the file.
    """
    with _blamed(data) as kind, _turn if kind in ("GIF", "WebP") else _FREE:
        opened, _ = _opened(kind, data, most_pixels)
        width, height = opened.size
        check_pixels(width, height, most_pixels)
        return height, width


@contextlib.contextmanager
def _blamed(data: bytes) -> Iterator[str]:
    """Tell the kind of a picture; what goes wrong with it becomes a DataError."""
    if not data:
        raise DataError("is an empty file")
    kind = next((kind for kind, start in KINDS.items() if data.startswith(start)), None)
    if kind is None:
        raise DataError(f"is not an image ({', '.join(KINDS)}); it begins with {data[:12]!r}")
    try:
        yield kind
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, ...
        reason = shown(str(error)) or type(error).__name__
        raise DataError(f"is a broken {kind} image ({reason})") from error


def to_rgb(image: Image) -> Image:
    """Return a picture as 8-bit RGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened by Pillow. Of 16-bit greys the upper eight bits are kept; Pillow's own conversion
        would cut them off at 255 and give a white picture. Of a picture of mode I that is
        of no file, the values tell whether they have 8 bits or 16.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.

    Raises
    ------
    DataError
        If its pixels are floating-point numbers: nothing says which of them is white.
    """
    image.load()
    if image.mode == "F":
        raise DataError("has floating-point pixels; save it with 8 bits per colour")
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    image.info.pop("transparency", None)  # Pillow would warn that RGB cannot express it
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image) -> Image:
    """Return greys of 16 bits as ones of 8, a strip at a time: copies are four times as large."""
    from PIL.Image import fromarray

    strip = max(_LARGE // image.width, 1)
    starts = range(0, image.height, strip)
    strips = [(0, y, image.width, min(y + strip, image.height)) for y in starts]
    deep = image.mode != "I" or image.format is not None  # files of mode I have 16 bits
    deep = deep or any(np.asarray(image.crop(box)).max() > 255 for box in strips)
    shift = 8 if deep else 0
    grey = np.empty((image.height, image.width), np.uint8)
    for box in strips:
        grey[box[1] : box[3]] = np.asarray(image.crop(box)) >> shift
    return fromarray(grey)


def _opened(kind: str, data: bytes, most_pixels: int) -> tuple[Image, bytes]:
    """Return what Pillow makes of a file's header, and the camera's notes if they were cut out."""
    exif = b""
    if kind == "WebP":
        check_pixels(*webp_size(data), min(most_pixels, MOST_PIXELS_WEBP))
    elif kind == "GIF":
        data = bare_gif(data, most_pixels)
    elif kind == "PPM":
        check_ppm(data)
    elif kind == "PNG":
        data = bare_png(data)
    elif kind == "JPEG":
        data, exif = bare_jpeg(data)
    return _openers()[kind](io.BytesIO(data)), exif


@functools.cache
def _openers() -> dict[str, Callable[[io.BytesIO], Image]]:
    from PIL import (
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        WebPImagePlugin,
    )

    return {
        "BMP": BmpImagePlugin.BmpImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
        "WebP": WebPImagePlugin.WebPImageFile,
    }


def _check_speed(opened: Image, data: bytes) -> None:
    """Refuse what takes long to decode for its size."""
    tiles = getattr(opened, "tile", None)  # what is to be decoded, by which decoder
    decoder, pixels, size = tiles[0][0] if tiles else "", opened.width * opened.height, len(data)
    most = _SLOW.get(decoder, size)
    if size > most or (decoder in _SLOW and pixels > _LARGE):
        raise DataError(
            f"is of a rare kind ({decoder}) that is slow to read, with {size:,} bytes; more than "
            f"{most:,} or {_LARGE:,} pixels are refused: save it as PNG"
        )
    if decoder == "ppm_plain" and (count := data.count(b"#")) > _MOST_COMMENTS:
        raise DataError(f"has {count:,} comments; more than {_MOST_COMMENTS:,} are refused")
    scans = data.count(b"\xff\xda") if decoder == "jpeg" else 1
    if scans > max(_MOST_SCANNED // pixels, 1):
        raise DataError(f"has {scans:,} scans, too many for {pixels:,} pixels; save it as PNG")


def _upright(image: Image, exif: object) -> Image:
    """Turn a photograph as the camera's notes say, if they do."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(orientation(exif)) if isinstance(exif, bytes) else None
    return image if turn is None else image.transpose(turn)


_turn = threading.Lock()  # of those who decode what takes much memory
_FREE = contextlib.nullcontext()


def _after_fork() -> None:
    global _turn
    _turn = threading.Lock()  # the thread that held it may not be in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
