"""The tables of the data sets; the first byte says in which layout they lie."""

from __future__ import annotations

from minicnn.data.archives import FolderTree, unsafe
from minicnn.data.gtsrb_layouts import Faults, Layout, read_records
from tests.fuzz.answers import naming

NAME = "tables"
HEADER = b"Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n"
OFFICIAL = b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n"
ROW = b"27,26,5,5,22,20,5,Train/5/00005_00000_00000.png\n"
LAYOUTS = {
    ord("K"): ("Kaggle", "train", "Train.csv", "Train.csv"),
    ord("T"): ("official", "test", "GT-final_test.csv", "GT-final_test.csv"),
    ord("O"): ("official", "train", "00005/GT-00005.csv", "GT-00005.csv"),
}
DICTIONARY = [
    b"Width", b"Height", b"Roi.X1", b"ClassId", b"Path", b"Filename", b",", b";", b'"', b'""',
    b"\r\n", b"\r", b"\n", b"\xef\xbb\xbf", b"1_0", b"+5", b" 5 ", b"\xd9\xa5", b"5.0", b"1e3",
    b"nan", b"-inf", b"0x1b", b"../", b"/etc/", b"C:\\", b"\0", b"00005_00000_00001.ppm",
    b"Train/5/", b"./", b"//", b"42", b"43",
]  # fmt: skip


def seeds() -> list[bytes]:
    official = OFFICIAL + b"00000_00000.ppm;29;30;5;6;24;25;5\r\n00000_00001.ppm;30;30;5;5;25;25;5"
    tables = [
        HEADER + ROW + ROW.replace(b"00000.png", b"00001.png"),
        (HEADER + ROW).replace(b"\n", b"\r"),
        b"\xef\xbb\xbf" + HEADER + b"\n\n" + ROW,
        HEADER + ROW.replace(b"Train", b'"Train').replace(b"png", b'png"'),
        HEADER + ROW + ROW,
        HEADER + (ROW + ROW.replace(b",5,", b",6,")).replace(b"Train/5/", b"Train/"),
        HEADER + ROW.replace(b",5,Train", b",6,Train"),
        (HEADER + ROW).decode().encode("utf-16"),
        HEADER + b'"' + ROW * 20,
        HEADER + ROW.replace(b"27,", b"9" * 5000 + b","),
        HEADER + ROW.replace(b"27,", "٢٧,".encode()),
        HEADER + ROW.replace(b"27,", b"2_7,"),
        HEADER + ROW.replace(b"Train", b"../Train"),
        HEADER + ROW.replace(b"Train/", b"Train/\x1b[2J\xe2\x80\xae"),
        HEADER + ROW.replace(b"Train/5/", b"Train/5/" + b"x" * 9000),
        HEADER.replace(b"Height", b"Width") + ROW,
        HEADER,
        b"",
        HEADER + b"," * 20_000,
        HEADER + b"\n".join([b"x"] * 500),
        b"\xff" * 50,
    ]
    return [b"K" + table for table in tables] + [b"O" + official, b"T" + official]


def run(data: bytes, folder) -> None:
    kind, part, place, name = LAYOUTS[data[0] if data and data[0] in LAYOUTS else ord("K")]
    for old in (key[2] for key in LAYOUTS.values()):
        (folder / old).unlink(missing_ok=True)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(data[1:])
    layout = Layout(kind, part, FolderTree(folder), "")
    faults = Faults(skip=True)
    records = read_records(layout, faults)
    assert len({record.file for record in records}) == len(records)
    for record in records:
        x1, y1, x2, y2 = record.box
        assert 0 <= record.label < 43
        assert 0 <= x1 <= x2 < record.width
        assert 0 <= y1 <= y2 < record.height
        assert not unsafe(record.file)
    for where, fault in faults.found:
        assert name in where
        assert fault.isprintable()
        assert len(fault) < 2000
    with naming(folder / place):
        assert read_records(layout, Faults(skip=False)) == records
    assert not faults.found
