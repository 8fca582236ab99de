"""Pictures of every kind that is read, as files."""

from __future__ import annotations

import functools
import io
import struct
import zlib

import numpy as np
from PIL import Image

from minicnn.data.pictures import decode, picture_size, read_picture
from minicnn.errors import DataError
from tests.fuzz.answers import naming

NAME = "images"
DICTIONARY = [
    b"\x89PNG\r\n\x1a\n", b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"zTXt", b"iTXt", b"iCCP",
    b"eXIf", b"acTL", b"fcTL", b"fdAT", b"\xff\xd8\xff", b"\xff\xda", b"\xff\xc2", b"\xff\xc4",
    b"\xff\xe1", b"Exif\0\0", b"II*\0\x08\0\0\0", b"MM\0*", b"\x12\x01\x03\0\x01\0\0\0\x06\0",
    b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"Pf", b"#", b"\n255\n", b"\n65535\n", b"BM",
    b"GIF87a", b"GIF89a", b"!\xf9\x04", b"!\xfe", b",\0\0\0\0", b"RIFF", b"WEBPVP8 ", b"VP8L",
    b"VP8X", b"ANIM", b"ANMF", b"ALPH",
]  # fmt: skip


def seeds() -> list[bytes]:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    rgb = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    sixteen = Image.fromarray(np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8))
    made = [
        *(saved(rgb, kind) for kind in ("PNG", "JPEG", "PPM", "BMP", "GIF", "WEBP")),
        *(saved(rgb.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGBA")),
        saved(rgb.convert("P"), "PNG", transparency=bytes(range(256))),
        saved(rgb.convert("P"), "BMP"),
        saved(sixteen, "PNG"),
        saved(sixteen, "PPM"),
        *(saved(rgb, kind, exif=exif) for kind in ("PNG", "JPEG", "WEBP")),
        saved(rgb.convert("CMYK"), "JPEG"),
        saved(rgb.convert("L"), "JPEG", progressive=True),
        saved(rgb, "WEBP", lossless=True),
        *(
            saved(rgb, kind, save_all=True, append_images=[rgb.rotate(180)])
            for kind in ("PNG", "GIF", "WEBP")
        ),
    ]
    return [*made, *nasty()]


def nasty() -> list[bytes]:
    """What once went wrong, here or elsewhere."""
    bits = struct.pack("<IiiHHIIiiII", 40, 8, 6, 1, 8, 1, 0, 0, 0, 2, 0)  # a BMP of run lengths
    return [
        b"",
        b"P6 65536 65536 255\n",
        b"P6 4 2 65535\n" + bytes(48),
        b"P6 4 2 7\n" + bytes(24),
        b"P3 2 1 255\n1 2 3 # four\n4 5 6\n",
        b"P1 3 1\n101",
        b"P2 2 1 300 1 299",
        b"P6 " + b"# " * 500 + b"\n1 1 255\nabc",
        b"Pf 2 1 -1.0\n" + struct.pack("<2f", float("nan"), float("inf")),
        b"P7\nWIDTH 1\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"II*\0\x08\0\0\0" + bytes(20),
        png(4_000_000_000, 4_000_000_000, b""),
        png(2**31, 1, b""),
        png(8, 6, b"zTXt", b"name\0\0" + zlib.compress(bytes(2**22))),
        png(8, 6, b"iCCP", b"name\0\0" + zlib.compress(bytes(2**22))),
        png(8, 6, b"acTL", bytes(8)),
        png(8, 6, b"eXIf", b"II*\0\x08\0\0\0" + struct.pack("<H", 65535) + b"\xff" * 99),
        jpeg_of_scans(),
        b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(14) + b"\xff\xd9",
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02",
        b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\x05hello" * 99 + b"\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
        b"BM" + bytes(8) + struct.pack("<I", 62) + bits + b"\0\0\0\0\xff\0\0\0" + b"\0\2\xff\xff",
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 2**31 - 1, -(2**31)) + bytes(40),
        b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff" * 6,
        b"RIFF\x1a\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + b"\xff" * 9,
    ]  # fmt: skip


def run(data: bytes, folder) -> None:
    path = folder / "picture.ppm"
    path.write_bytes(data)
    with naming(path):
        small = read_picture(path, 4)
    assert (small.shape, small.dtype) == ((4, 4, 3), np.uint8)
    refusal = ""
    try:
        image = decode(data)
    except DataError as error:
        refusal = str(error)
    if refusal:
        assert "more than 16,000,000 are refused" in refusal, "only what is larger"
    else:
        assert image.mode == "RGB"
        assert 0 < image.width * image.height <= 16_000_000
        assert picture_size(data) == (image.height, image.width)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, word: bytes, content: bytes = b"") -> bytes:
    """Return a grey PNG whose header claims a size, with one more chunk."""

    def chunk(name: bytes, inside: bytes) -> bytes:
        check = zlib.crc32(name + inside)
        return struct.pack(">I", len(inside)) + name + inside + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(9 * 6))
    more = chunk(word, content) if word else b""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", body)
        + chunk(b"IEND", b"") + more
    )  # fmt: skip


@functools.cache
def jpeg_of_scans() -> bytes:
    """Return a progressive JPEG that lets its last scan come again and again."""
    data = saved(Image.new("L", (64, 64), 9), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 500 + data[-2:]
