"""Zip archives of pictures and their table, read in place."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import zipfile

from PIL import Image

from minicnn.data.archives import MAX_FILE_BYTES, ZipTree, unsafe
from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import DataError
from tests.fuzz.answers import naming

NAME = "archives"
TABLE = (
    b"Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n"
    b"8,6,1,1,6,4,5,Train/5/00005_00000_00000.png\n"
)
DICTIONARY = [
    b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08", b"Train.csv", b"Train/5/",
    b"../", b"\\", b"C:", b"\0\0", b"\x08\0", b"\x0c\0", b"\x0e\0", b"\x01\0\x18\0",
    b"\xff\xff\xff\xff", b"\xff\xff",
]  # fmt: skip


def seeds() -> list[bytes]:
    picture = io.BytesIO()
    Image.new("RGB", (8, 6), (9, 99, 199)).save(picture, "PNG")
    members = [("Train.csv", TABLE), ("Train/5/00005_00000_00000.png", picture.getvalue())]
    sound = packed(members)
    bomb = packed([("Train.csv", TABLE), ("Train/5/00005_00000_00000.png", bytes(2**20))])
    entry = sound.rindex(b"PK\1\2")
    return [
        sound,
        packed(members, zipfile.ZIP_STORED),
        packed(members, zipfile.ZIP_BZIP2),
        packed(members, zipfile.ZIP_LZMA),
        packed([(f"sub/{name}", data) for name, data in members]),
        packed([*members, ("x/" * 500 + "y", b"")]),
        packed([*members, ("../y", b"y")]),
        packed([*members, ("/etc/y", b"y")]),
        packed([("a\\..\\b", b"")]),
        packed([("a\0b", b"")]),
        packed([("é\x1b[2J", b"")]),
        packed([("link", b"/etc/passwd")], mode=stat.S_IFLNK | 0o777),
        packed([("pipe", b"")], mode=stat.S_IFIFO | 0o666),
        packed([]),
        sound + b"behind",
        b"in front" + sound,
        sound[:-5],
        sound[: len(sound) // 2],
        b"",
        b"PK\5\6" + bytes(18),
        b"PK\5\6" + bytes(8) + struct.pack("<II", 2**32 - 1, 0) + bytes(2),
        changed(sound, entry + 8, b"\1\0"),  # encrypted
        changed(sound, entry + 10, b"\x63\0"),  # a method that is none
        changed(sound, entry + 16, b"\1\2\3\4"),  # another checksum
        changed(sound, entry + 20, struct.pack("<II", 2**31, 2**31)),  # sizes
        changed(sound, entry + 24, struct.pack("<I", 3)),  # claims less than it holds
        changed(bomb, bomb.rindex(b"PK\1\2") + 24, struct.pack("<I", 40)),
        changed(sound, entry + 42, bytes(4)),  # where the other one begins
        zip64(sound, 2**62),
        zip64(sound, sound.rindex(b"PK\5\6") - sound.index(b"PK\1\2")),
    ]


def run(data: bytes, folder) -> None:
    path = folder / "signs.zip"
    path.write_bytes(data)
    with naming(path):
        tree = ZipTree(path)
    try:
        names = below(tree, "", 3)
        tree.fingerprint(names)
        for name in names[:20]:
            assert not unsafe(name)
            with contextlib.suppress(DataError):  # the caller names the file
                assert len(tree.read(name)) <= MAX_FILE_BYTES
    finally:
        tree.close()
    with naming(path):
        table = load_gtsrb(path, size=4, cache=None, workers=1, skip_bad=True)
    assert table.images.shape == (len(table), 4, 4, 3)


def below(tree: ZipTree, folder: str, depth: int) -> list[str]:
    listing = tree.entries(folder)
    names = [f"{folder}/{file}".lstrip("/") for file in listing.files]
    if depth:
        for name in listing.folders[:5]:
            names.extend(below(tree, f"{folder}/{name}".lstrip("/"), depth - 1))
    return names


def packed(
    members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED, mode: int = 0o644
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo("n" * len(name))
            info.filename = name  # as it is: the constructor would mend it
            info.external_attr = mode << 16
            info.compress_type = method
            archive.writestr(info, data)
    return file.getvalue()


def changed(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def zip64(data: bytes, size: int) -> bytes:
    """Return an archive whose end is in the long form, and claims so large a list."""
    start, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2, 2, size, start)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, end, 1)
    return data[:end] + record + locator + changed(data[end:], 12, b"\xff" * 8)
