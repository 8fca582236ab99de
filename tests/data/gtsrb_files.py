"""Small made-up data sets in the layouts of the real one, for the tests beside this file."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

HEADER = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")


def colour(label, track, frame):
    """A colour that only this image's region of interest has."""
    return (40 + 5 * label, 60 + 15 * track, 50 + 15 * frame)


def image(label, track, frame):
    """Pixels and box: a flat region of interest, its ends included, on black."""
    width, height = 24 + label % 3, 22 + frame
    x1, y1, x2, y2 = 5 + track, 6, width - 5, height - 4
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y1 : y2 + 1, x1 : x2 + 1] = colour(label, track, frame)
    return pixels, (x1, y1, x2, y2)


def encoded(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def numbers(labels=(0, 1, 2), tracks=2, frames=2):
    return [(c, t, f) for c in labels for t in range(tracks) for f in range(frames)]


def line(pixels, box, label):
    height, width, _ = pixels.shape
    return [width, height, *box, label]


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def official(top, inside="GTSRB/Final_Training/Images", which=None):
    """The official training archive, unpacked."""
    folder = Path(top) / inside
    tables = {}
    for label, track, frame in which or numbers():
        pixels, box = image(label, track, frame)
        name = f"{track:05d}_{frame:05d}.ppm"
        write(folder / f"{label:05d}" / name, encoded(pixels, "PPM"))
        rows = tables.setdefault(label, [";".join(("Filename", *HEADER))])
        rows.append(";".join(map(str, (name, *line(pixels, box, label)))))
    for label, rows in tables.items():
        write(folder / f"{label:05d}" / f"GT-{label:05d}.csv", "\r\n".join(rows) + "\r\n")
    return Path(top)


def official_test(top, which=None):
    """The official test images, unpacked, with their table of no labels; returns the labels."""
    folder = Path(top) / "GTSRB/Final_Test/Images"
    bare, full = [";".join(("Filename", *HEADER[:-1]))], [";".join(("Filename", *HEADER))]
    for number, (label, track, frame) in enumerate(which or numbers()):
        pixels, box = image(label, track, frame)
        name = f"{number:05d}.ppm"
        write(folder / name, encoded(pixels, "PPM"))
        cells = [name, *map(str, line(pixels, box, label))]
        bare.append(";".join(cells[:-1]))
        full.append(";".join(cells))
    write(folder / "GT-final_test.test.csv", "\n".join(bare) + "\n")
    return "\n".join(full) + "\n"


def kaggle(top, part="Train", which=None, kind="PNG"):
    """The Kaggle layout of one part."""
    rows = [",".join((*HEADER, "Path"))]
    for number, (label, track, frame) in enumerate(which or numbers()):
        pixels, box = image(label, track, frame)
        path = (
            f"Train/{label}/{label:05d}_{track:05d}_{frame:05d}.{kind.lower()}"
            if part == "Train"
            else f"Test/{number:05d}.{kind.lower()}"
        )
        write(Path(top) / path, encoded(pixels, kind))
        rows.append(",".join(map(str, (*line(pixels, box, label), path))))
    write(Path(top) / f"{part}.csv", "\n".join(rows) + "\n")
    return Path(top)


def zipped(folder, path, within=""):
    """Pack a folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(Path(folder).rglob("*")):
            archive.write(file, Path(within) / file.relative_to(folder))
    return path


def expect(table, which=None):
    """Labels, tracks and, to the last pixel, the regions of interest are those written."""
    which = which or numbers()
    assert table.labels.tolist() == [label for label, _, _ in which]
    wanted = np.array([colour(*numbers) for numbers in which], np.uint8)[:, None, None]
    np.testing.assert_array_equal(table.images, np.broadcast_to(wanted, table.images.shape))
