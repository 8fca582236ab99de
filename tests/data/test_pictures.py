"""Pictures of unusual kinds, and files that want more time or memory than a picture needs."""

import io
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from minicnn.data import _picture_headers, pictures
from minicnn.data.pictures import decode, picture_size, read_picture, to_rgb
from minicnn.errors import DataError

RAMP = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
RGB = Image.fromarray(np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3))
TIFF = b"II*\0\x08\0\0\0"  # begins a TIFF, and the notes of a camera


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def png(*chunks, size=(8, 6), kind=(8, 0)):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, *kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks)


PIXELS = chunk(b"IDAT", zlib.compress(bytes(9 * 6)))
END = chunk(b"IEND", b"")


def bmp(body, width=1000, height=1000):
    """A BMP of run lengths."""
    bits = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 2, 0)
    return b"BM" + bytes(8) + struct.pack("<I", 62) + bits + b"\0\0\0\0\xff\0\0\0" + body


def gif(screen, frame, before=b""):
    """A GIF of no palette."""
    sizes = [struct.pack("<HH", *size) for size in (screen, frame)]
    picture = b",\0\0\0\0" + sizes[1] + b"\0\2\2D\1\0;"
    return b"GIF89a" + sizes[0] + b"\0\0\0" + before + b"!\xf9\4\x08\0\0\0\0" + picture


@pytest.mark.parametrize("kind", pictures.KINDS)
def test_how_large_a_picture_is(kind):
    data = saved(RGB, kind)
    assert picture_size(data) == (6, 8)
    with pytest.raises(DataError, match=r"8 x 6 pixels; more than 47 are refused"):
        picture_size(data, most_pixels=47)
    cut = data[: len(pictures.KINDS[kind])]
    for other, fault in ((b"", "is an empty file"), (b"II*", "is not an image"), (cut, kind)):
        with pytest.raises(DataError, match=fault):
            picture_size(other)


def test_sixteen_bit_greys_keep_their_shades(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "ramp.png")
    with Image.open(tmp_path / "ramp.png") as image:
        seen = np.asarray(to_rgb(image))
    np.testing.assert_array_equal(seen, np.repeat((RAMP >> 8)[..., None], 3, axis=2))


def test_sixteen_bit_greys_are_taken_strip_by_strip(monkeypatch):
    monkeypatch.setattr(pictures, "_LARGE", 24)  # three rows of eight
    for dark in (RAMP, RAMP // 4, RAMP // 256):  # of the last, no value needs more than 8 bits
        for kind in ("PNG", "PPM"):
            seen = np.asarray(decode(saved(Image.fromarray(dark), kind)))
            np.testing.assert_array_equal(seen[..., 1], dark >> 8)


def test_pictures_of_mode_i_in_memory_have_the_depth_of_their_values():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for image in (Image.fromarray(grey).convert("I"), Image.fromarray(grey.astype(np.int32) << 8)):
        np.testing.assert_array_equal(np.asarray(to_rgb(image))[..., 0], grey)


@pytest.mark.parametrize("kind", ["PNG", "PPM", "BMP", "GIF", "WEBP", "JPEG"])
def test_every_kind_is_read(kind):
    data = saved(RGB, kind, **({"lossless": True} if kind == "WEBP" else {}))
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(decode(data)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb_without_a_warning(mode):
    image = RGB.convert("P").convert(mode) if mode == "PA" else RGB.convert(mode)
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    data = saved(image, kind) if mode != "PA" else saved(image.convert("LA"), kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(data).mode == "RGB"
        assert decode(saved(RGB.convert("P"), "PNG", transparency=bytes(256))).mode == "RGB"


def turned(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(RGB.resize((16, 8)), kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_turned_photograph_is_set_upright(kind, orientation):
    from PIL import ImageOps

    data = turned(kind, orientation)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        stored = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(np.asarray(decode(data, upright=True)), expected)
    np.testing.assert_array_equal(np.asarray(decode(data)), stored)


def test_a_turned_photograph_is_read_upright(tmp_path):
    (tmp_path / "turned.png").write_bytes(turned("PNG", 3))
    small = read_picture(tmp_path / "turned.png", 8)
    np.testing.assert_array_equal(
        small, np.asarray(RGB.resize((16, 8)).rotate(180).resize((8, 8), Image.BILINEAR))
    )


@pytest.mark.parametrize("notes", [b"", TIFF, TIFF + b"\xff\xff", b"MM\0*\xff\xff\xff\xff", b"?"])
def test_broken_notes_of_a_camera_do_not_spoil_a_picture(notes):
    segment = b"Exif\0\0" + notes
    jpeg = saved(RGB, "JPEG")
    both = [
        png(chunk(b"eXIf", notes), PIXELS, END),
        jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:],
    ]
    for data in both:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert decode(data, upright=True).size == (8, 6)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is an empty file"),
        (b"\x00" * 20, "is not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image"),
        (saved(RGB, "TIFF"), r"is not an image \(PNG, JPEG, PPM, BMP, GIF, WebP\); it begins with"),
        (saved(Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF"), "is not an image"),
        (b"Pf 2 1 -1.0\n" + struct.pack("<2f", np.nan, np.inf), "not a PPM image of the kinds P1"),
        (b"P7\nWIDTH 1\n", "not a PPM image of the kinds P1 to P6"),
        (png(PIXELS, END, size=(4_000_000_000,) * 2), "claims 4000000000 x 4000000000 pixels; mor"),
        (png(PIXELS, END, size=(0, 6)), "is a broken PNG image"),
        (png(END), "is a broken PNG image"),
        (png(chunk(b"IDAT", b"x"), END), "is a broken PNG image"),
        (png(chunk(b"IDAT", zlib.compress(b"")), END), "is a broken PNG image"),
        (b"\xff\xd8\xff", "is a broken JPEG image"),
        (b"BM" + bytes(60), "is a broken BMP image"),
        (b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02", "claims 65535 x 65535 pi"),
        (gif((1, 1), (13_000, 13_000)), "claims 13000 x 13000 pixels"),
        (gif((13_000, 13_000), (1, 1)), "claims 13000 x 13000 pixels"),
        (b"GIF89a" + bytes(30), "is a broken GIF image"),
        (b"GIF89a", "is a broken GIF image"),
        (b"GIF89a" + bytes(7) + b"!\xfe\x09", "is a broken GIF image"),
        (b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0" + b"\xff" * 20, "claims 16777216 x 16777216 pixels"),
        (b"RIFF\x1a\0\0\0WEBPVP8L\x0a\0\0\0\x2f" + b"\xff" * 9, "claims 16384 x 16384 pixels"),
        (b"RIFF\x1a\0\0\0WAVE", "is a broken WebP image"),
        (b"P6 4001 4000 255\n", "claims 4001 x 4000 pixels; more than 16,000,000 are refused"),
    ],
)
def test_what_is_no_picture_says_so(tmp_path, data, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=message):
            decode(data)
    (tmp_path / "sign.png").write_bytes(data)
    with pytest.raises(DataError, match=r"sign\.png: (is|claims)"):
        read_picture(tmp_path / "sign.png", 8)


def test_no_other_decoder_and_no_other_program_is_called(monkeypatch):
    """Pillow would try forty kinds, and start Ghostscript for one of them."""
    monkeypatch.setattr(Image, "open", None)
    monkeypatch.setattr(os, "posix_spawn", None)
    assert decode(saved(RGB, "PNG")).size == (8, 6)
    with pytest.raises(DataError, match="is not an image"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


BOMBS = {
    "texts": (png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20))) * 99, PIXELS, END), ""),
    "profile": (png(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(2**23))), PIXELS, END), ""),
    "texts behind": (png(PIXELS, chunk(b"iTXt", b"a\0\0\0\0\0b") * 99, END), ""),
    "no animation": (png(chunk(b"acTL", bytes(8)), PIXELS, END), ""),
    "many chunks": (png(chunk(b"prVt", b"") * 500_000, PIXELS, END), "more than 20,000 chunks"),
    "fill bytes": (b"\xff\xd8\xff\xe0\0\4ab" + b"\xff" * 2**23, "more than 20,000 segments"),
    "many segments": (b"\xff\xd8" + b"\xff\xe1\0\2" * 2**20, "more than 20,000 segments"),
    "comment": (b"P6 #" + b" " * 2**23 + b"\n1 1 255\nabc", "first 4,096 bytes are no header"),
    "comments": (b"P3 2 2 255 " + b"#\n" * 2**20, r"slow to read.*; more than 1,048,576 or"),
    "fewer comments": (b"P3 2 2 255 " + b"#\n" * 2**18, "has 262,144 comments; more than 1,000 a"),
    "zeros behind": (png(PIXELS, END) + bytes(500_000), ""),
    "plain": (b"P2 2000 2000 255 " + b"1 " * 99, "slow to read, with .* or 1,000,000 pixels are"),
    "17 shades": (b"P6 2000 2000 17 " + b"1 " * 99, r"of a rare kind \(ppm\)"),
    "run lengths": (bmp(b"\0\0" * 2**22), r"of a rare kind \(bmp_rle\)"),
    "gif comments": (b"GIF89a" + bytes(7) + b"!\xfe" + (b"\xff" + b"c" * 255) * 2**15, "claims 8,"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_files_that_would_take_long_are_defused_or_refused(bomb):
    import time

    data, message = BOMBS[bomb]
    start = time.process_time()
    if message:
        with pytest.raises(DataError, match=message):
            decode(data)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert decode(data).size == (8, 6)
    assert time.process_time() - start < 1


def test_a_jpeg_of_endless_scans():
    data = saved(Image.new("L", (3000, 2000), 9), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert decode(data).size == (3000, 2000)
    with pytest.raises(DataError, match=r"has 505 scans, too many for 6,000,000 pixels; save it"):
        decode(data[:last] + data[last:-2] * 500 + data[-2:])


def test_metadata_that_is_cut_out_leaves_the_same_pixels(monkeypatch):
    cases = [saved(RGB, "PNG"), saved(RGB.convert("CMYK"), "JPEG"), turned("JPEG", 1)]
    whole = [np.asarray(decode(data)) for data in cases]
    monkeypatch.setattr(_picture_headers, "_SMALL", 0)  # always look
    for data, expected in zip(cases, whole, strict=True):
        np.testing.assert_array_equal(np.asarray(decode(data)), expected)


def test_what_comes_before_the_picture_of_a_gif_is_left_out():
    few = RGB.convert("P")
    transparent = saved(few, "GIF", transparency=few.getpixel((0, 0)))
    place = transparent.index(b"!\xf9")
    notes = b"!\xfe" + b"\3abc" * 50 + b"\0"
    for data in (transparent, saved(RGB.convert("L"), "GIF"), saved(RGB, "GIF", comment=b"sign")):
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(np.asarray(decode(data)), np.asarray(to_rgb(image)))
    both = [
        decode(data) for data in (transparent, transparent[:place] + notes + transparent[place:])
    ]
    np.testing.assert_array_equal(*map(np.asarray, both))


def test_a_plain_ppm_of_a_megabyte():
    data = b"P3\n200 200\n255\n" + b"200 100  50 \n" * 40_000
    assert len(data) > 2**18
    assert np.asarray(decode(data))[7, 7].tolist() == [200, 100, 50]


def test_large_pictures_wait_for_one_another(monkeypatch):
    monkeypatch.setattr(pictures, "_LARGE", 10)
    inside, most = [], []
    original = pictures.to_rgb

    def slow(image):
        inside.append(1)
        most.append(len(inside))
        result = original(image)
        inside.pop()
        return result

    monkeypatch.setattr(pictures, "to_rgb", slow)
    data = saved(RGB.resize((400, 400)), "PNG")
    threads = [threading.Thread(target=lambda: [decode(data) for _ in range(10)]) for _ in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 40
    assert max(most) == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no /proc to read the peak in")
def test_memory_is_bounded(tmp_path):
    """16-bit greys took most: eight bytes for each pixel, twice."""
    rows = chunk(b"IDAT", zlib.compress(bytes(1 + 2 * 4000) * 4000, 1))
    (tmp_path / "a.png").write_bytes(png(rows, END, size=(4000, 4000), kind=(16, 0)))
    program = (  # the peak by getrusage would count what the parent had when it forked
        "import sys; from minicnn.data.pictures import read_picture;"
        "print(read_picture(sys.argv[1], 8).shape);"
        "print(*[line for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.png")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-2]) < 260 * 1024, "kB"
