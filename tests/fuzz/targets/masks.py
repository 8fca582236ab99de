"""Masks and the names of their classes; the first byte says which, and in which layout."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from minicnn.data.masks import fit_masks, load_masks
from tests.fuzz.answers import naming
from tests.fuzz.targets.images import png, saved

NAME = "masks"
PLACES = {
    ord("C"): ("camvid", "train/1.png", "trainannot/1.png"),
    ord("F"): ("folders", "images/1.png", "masks/1.png"),
    ord("P"): ("pairs", "1.png", "1_mask.png"),
    ord("N"): ("folders", "images/1.png", "classes.txt"),
}
DICTIONARY = [
    b"\x89PNG\r\n\x1a\n", b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"zTXt", b"eXIf", b"acTL",
    b"\xff\xd8\xff", b"GIF89a", b"BM", b"P5\n8 6\n255\n", b"\0\0\0\x08\0\0\0\x06", b"\x01\0",
    b"\x02\0", b"\x04\0", b"\x08\0", b"\x10\0", b"\x08\x03", b"\x08\x02", b"\x10\x06", b"\n",
    b"road", b"\xef\xbb\xbf",
]  # fmt: skip


def seeds() -> list[bytes]:
    numbers = np.arange(48, dtype=np.uint8).reshape(6, 8) % 4
    plain = Image.fromarray(numbers)
    indexed = plain.copy()
    indexed.putpalette(bytes(range(255, -1, -1)) * 3)
    sixteen = Image.fromarray(numbers.astype(np.uint16) * 300)
    masks = [
        saved(plain, "PNG"),
        saved(indexed, "PNG"),
        saved(indexed, "PNG", bits=2),
        saved(indexed, "PNG", transparency=bytes(range(256))),
        saved(sixteen, "PNG"),
        saved(Image.fromarray(numbers > 1), "PNG"),
        saved(Image.fromarray(numbers * 80), "PNG"),
        *(saved(plain.convert(mode), "PNG") for mode in ("LA", "RGB", "RGBA")),
        *(saved(plain, kind) for kind in ("JPEG", "GIF", "BMP", "PPM", "WEBP")),
        saved(plain.resize((7, 6)), "PNG"),
        *(few_bits(bits) for bits in (1, 2, 4)),
        png(4_000_000_000, 4_000_000_000, b""),
        png(8, 6, b"zTXt", b"name\0\0" + zlib.compress(bytes(2**22))),
        b"",
    ]
    names = [
        b"road\ncar\nsky\nsign",
        b"\xef\xbb\xbfroad\r\n",
        b"a\na",
        b"\n\na",
        b"",
        b"a\n" * 99_999,
    ]
    names += ["\n".join(map(str, range(70_000))).encode(), b"\xff", b"c\xc3\xa4t\x1b[2J"]
    kinds = [(kind, masks) for kind in b"CFP"] + [(ord("N"), names)]
    return [bytes([kind]) + data for kind, some in kinds for data in some]


def few_bits(bits: int) -> bytes:
    """Return a grey PNG of few bits a pixel."""
    header = struct.pack(">IIBBBBB", 8, 6, bits, 0, 0, 0, 0)
    body = zlib.compress((b"\0" + bytes([0b00011011] * bits)) * 6)
    parts = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(inside))
        + word
        + inside
        + zlib.crc32(word + inside).to_bytes(4, "big")
        for word, inside in parts
    )


def run(data: bytes, folder) -> None:
    layout, picture, name = PLACES[data[0] if data and data[0] in PLACES else ord("F")]
    for _, image, other in PLACES.values():
        for old in (image, other):
            (folder / old).unlink(missing_ok=True)
            (folder / old).parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (9, 99, 199)).save(buffer, "PNG")
    (folder / picture).write_bytes(buffer.getvalue())
    if name == "classes.txt":
        (folder / "masks/1.png").write_bytes(saved(Image.new("L", (8, 6), 3), "PNG"))
    (folder / name).write_bytes(data[1:])
    with naming(folder):
        parts = load_masks(folder, layout)
    for images in parts.values():
        assert images.sizes.tolist() == [[6, 8]]
        with naming(folder):
            mask = images[0].mask
        assert mask.shape == (6, 8)
        assert mask.dtype in (np.uint8, np.int64)
        assert ((mask >= 0) & ((mask < len(images.names)) | (mask == images.ignore_label))).all()
        assert images.counts().sum() == (mask != images.ignore_label).sum()
        fitted = fit_masks(images, (5, 4), cache=None)
        assert set(np.unique(fitted.masks)) <= {*np.unique(mask).tolist(), images.ignore_label}
        assert load_masks(folder, layout)[next(iter(parts))].digest() == images.digest()
