"""Annotations of objects; the first byte says in which layout they lie."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image

from minicnn.data.objects import load_objects
from tests.fuzz.answers import naming

NAME = "objects"
LAYOUTS = {
    ord("V"): ("voc", "1.xml"),
    ord("C"): ("coco", "a.json"),
    ord("Y"): ("yolo", "1.txt"),
    ord("N"): ("yolo", "data.yaml"),
    ord("L"): ("voc", "ImageSets/Main/train.txt"),
    ord("G"): ("gtsdb", "gt.txt"),
}
BOX = b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>8</xmax><ymax>6</ymax></bndbox>"
XML = (
    b"<annotation><filename>1.png</filename><size><width>8</width><height>6</height></size>"
    b"<object><name>cat</name><difficult>1</difficult>" + BOX + b"</object></annotation>"
)
TABLE = {
    "images": [{"id": 3, "file_name": "1.png", "width": 8, "height": 6}],
    "annotations": [{"image_id": 3, "category_id": 2, "bbox": [1, 1, 5, 4.5], "iscrowd": 0}],
    "categories": [{"id": 2, "name": "cat"}],
}
DICTIONARY = [
    b"<object>", b"</object>", b"<name>", b"<bndbox>", b"<xmin>", b"<part>", b"<size>", b"<!--",
    b"<![CDATA[", b"<!DOCTYPE", b"<?xml version='1.0' encoding='utf-16'?>", b"&amp;", b"&#0;",
    b"nan", b"inf", b"-1", b"1e308", b"1e-320", b"0.5", b"\xef\xbb\xbf", b"\0", b"\n", b";", b"'",
    b'"id"', b'"bbox"', b'"image_id"', b'"file_name"', b"null", b"true", b"NaN", b"1e999", b"[[",
    b"{}", b"names:", b"names: [", b"\n- ", b"\n  0: ", b"]", b"#", b"1.png", b"../", b"C:\\",
    b"9999", b"99999999999999999999",
]  # fmt: skip


def seeds() -> list[bytes]:
    table = json.dumps(TABLE).encode()
    twice = json.dumps(TABLE | {"images": TABLE["images"] * 2}).encode()
    laughs = b"<!DOCTYPE a [<!ENTITY b 'cc'><!ENTITY d '&b;&b;'>]><annotation>&d;</annotation>"
    xml = [
        XML,
        XML.replace(b"<annotation>", b"<annotation>" + b"<object>" * 400),
        XML.replace(b"<xmax>8", b"<xmax>1"),
        XML.replace(b"<width>8", b"<width>9"),
        XML.replace(b"<width>8</width>", b""),
        XML.replace(b"cat", b"c\xc3\xa4t &lt;\x1b"),
        b"<?xml version='1.0' encoding='latin-1'?>" + XML,
        laughs,
        b"<a>" * 50_000,
        b"",
    ]
    coco = [
        table,
        twice,
        table.replace(b"4.5", b"1" * 5000),
        table.replace(b"4.5", b"NaN"),
        table.replace(b"4.5", b"[" * 900 + b"]" * 900),
        table.replace(b"3,", b"true,"),
        b'"images" "annotations" "categories"' + b"[" * 20_000,
    ]
    yolo = [b"0 .5 .5 .5 .5\n3 0.25 0.25 0.5 0.5", b"0 " + b"9" * 5000, b"\xff", b"0 1 1 1e-320 1"]
    names = [b"names: [cat, 'dog']", b"names:\n- cat\n- dog", b"names:\n 0: a\n 1: b\n", b"names:"]
    names += [
        b"names: [" * 5000,
        b"names: [\n" * 99_000,
        b"names:" + b"\n" * 20_000,
        b"names:\n" + b"- a\n" * 5000,
    ]
    lists = [b"1\n", b"1.png  1\n9\n", b"\n" * 9999]
    signs = [b"1.png;1;1;5;4;3\n", b"1.png;1;1;5;4;3;4\n;;;;;\n", b"../1.png;1;1;5;4;3"]
    return [
        bytes([kind]) + data
        for kind, some in zip(b"VCYNLG", (xml, coco, yolo, names, lists, signs), strict=True)
        for data in some
    ]


def run(data: bytes, folder) -> None:
    layout, name = LAYOUTS[data[0] if data and data[0] in LAYOUTS else ord("V")]
    (folder / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    for _, old in LAYOUTS.values():
        (folder / old).unlink(missing_ok=True)
    if not (folder / "1.png").exists():
        picture = io.BytesIO()
        Image.new("RGB", (8, 6), (9, 99, 199)).save(picture, "PNG")
        (folder / "1.png").write_bytes(picture.getvalue())
    if name.startswith("Image"):
        (folder / "1.xml").write_bytes(XML)
    if name == "data.yaml":
        (folder / "1.txt").write_bytes(b"0 .5 .5 .5 .5\n")
    (folder / name).write_bytes(data[1:])
    with naming(folder):
        parts = load_objects(folder, layout, skip_bad=True)
    faults = ()
    for objects in parts.values():
        faults = objects.faults
        assert len(objects) == 1
        (note,) = objects.annotations
        assert len(note.boxes) == len(note.classes) == len(note.difficult) == len(note.crowd)
        assert np.isfinite(note.boxes).all()
        assert (note.boxes >= 0).all()
        assert (note.boxes[:, :2] < note.boxes[:, 2:]).all()
        assert (note.boxes[:, 2:] <= objects.sizes[0]).all()
        assert ((note.classes >= 0) & (note.classes < len(objects.names))).all()
        assert all(map(len, objects.names))
    for where, fault in faults:
        assert folder.name in where
        assert fault.isprintable()
        assert len(fault) < 4000
    if not faults:
        again = load_objects(folder, layout)
        assert {part: o.digest() for part, o in again.items()} == {
            part: o.digest() for part, o in parts.items()
        }
