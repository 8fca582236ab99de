"""Small made-up sets of images with boxes in the layouts of the real ones, for the tests here."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn.data.objects import ObjectSet, load_objects


def picture(height=40, width=60, kind="PNG"):
    """The bytes of a file."""
    pixels = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3) % 251
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def write(folder, files):
    """Write files, given by name as bytes or text; return the folder."""
    for name, data in files.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return Path(folder)


def packed(path, files):
    """The same as a zip archive; return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def voc_object(label, left, top, right, bottom, more=""):
    box = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    return f"<object><name>{label}</name>{more}<bndbox>{box}</bndbox></object>"


def voc_file(*objects, size=(40, 60), name="1.png"):
    height, width = size
    told = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{told}{''.join(objects)}</annotation>"


def voc(parts=True):
    """Three images: two objects, one of them difficult; none; one."""
    hard = voc_object("dog", 11, 12, 30, 40, "<difficult>1</difficult>")
    files = {
        "Annotations/1.xml": voc_file(voc_object("cat", 1, 1, 60, 40), hard),
        "Annotations/2.xml": voc_file(),
        "Annotations/3.xml": voc_file(voc_object("dog", 2.5, 3, 9, 10)),
        **{f"JPEGImages/{i}.png": picture() for i in (1, 2, 3)},
    }
    if parts:
        files["ImageSets/Main/train.txt"] = "3\n1\n"
        files["ImageSets/Main/val.txt"] = "2\n"
    return files


def coco(name="annotations/instances_train2017.json", folder="train2017", **changes):
    """Two images; ids neither begin at 0 nor come in order."""
    table = {
        "images": [
            {"id": 70, "file_name": "a.png", "height": 40, "width": 60},
            {"id": 7, "file_name": "b.png", "height": 40, "width": 60},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"image_id": 7, "category_id": 9, "bbox": [10.5, 4, 20, 8.25], "iscrowd": 0},
            {"image_id": 7, "category_id": 3, "bbox": [0, 0, 60, 40], "iscrowd": 1},
        ],
        **changes,
    }
    return {
        name: json.dumps(table),
        f"{folder}/a.png": picture(),
        f"{folder}/b.png": picture(),
    }


def yolo():
    """Three images: two boxes, no file of boxes, an empty one."""
    return {
        "data.yaml": "train: images/train\nnc: 2\nnames: ['cat', \"dog\"]\n",
        "images/train/1.png": picture(),
        "images/train/2.png": picture(),
        "images/val/3.png": picture(),
        "labels/train/1.txt": "1 0.5 0.5 0.5 0.25\n0 0.1 0.25 0.2 0.5\n",
        "labels/val/3.txt": "",
    }


def gtsdb(*lines, size=(40, 60)):
    """Three images, the last of the test part; lines are those of gt.txt."""
    given = lines or ("00000.png;10;12;29;31;1", "00000.png;0;0;20;20;38", "00600.png;5;5;25;25;14")
    return {
        "gt.txt": "\n".join(given) + "\n",
        **{f"{name}.png": picture(*size) for name in ("00000", "00001", "00600")},
    }


def some(count=4, size=(32, 48)):
    """Image i has i boxes, of classes 0, 1, 0, ...; the last is difficult."""
    generator = np.random.default_rng(0)
    return ObjectSet.of(
        generator.integers(0, 256, (count, *size, 3), np.uint8),
        [[[2, 3, 2 + 6 * (j + 1), 20] for j in range(i)] for i in range(count)],
        [[j % 2 for j in range(i)] for i in range(count)],
        ["cat", "dog"],
        difficult=[[j == i - 1 for j in range(i)] for i in range(count)],
        crowd=[[False] * i for i in range(count)],
    )


def several(tmp_path):
    """Three sizes, in an archive."""
    files = voc(parts=False) | {
        "Annotations/2.xml": voc_file(size=(30, 80)),
        "JPEGImages/2.png": picture(30, 80),
        "Annotations/3.xml": voc_file(voc_object("dog", 1, 1, 20, 10), size=(20, 20)),
        "JPEGImages/3.png": picture(20, 20),
    }
    return load_objects(packed(tmp_path / "a.zip", files))["all"]
