"""Broken data end the run with a line that names the file, or are skipped and counted."""

import re

import numpy as np
import pytest
from gtsrb_files import encoded, image, kaggle, official, write, zipped

from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import DataError

BROKEN = "GTSRB/Final_Training/Images/00001/00000_00001.ppm"
TABLE = "GTSRB/Final_Training/Images/00001/GT-00001.csv"


def load(path, **options):
    return load_gtsrb(path, size=8, cache=None, **options)


def fails_then_skips(folder, message, names=(BROKEN,)):
    """The error names the file and the cause; with skip_bad the rest is read and it is listed."""
    with pytest.raises(DataError) as caught:
        load(folder)
    assert re.search(message, str(caught.value)), caught.value
    assert names[0].rpartition("/")[2] in str(caught.value)
    table = load(folder, skip_bad=True)
    assert len(table.skipped) == len(names)
    assert len(table) == 12 - len(names)
    for (name, reason), wanted in zip(table.skipped, names, strict=True):
        assert wanted.rpartition("/")[2] in name
        assert re.search(message, f"{name}: {reason}")
    return table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encoded(image(1, 0, 1)[0], "PPM")[:-300], r"is a broken PPM image \(.*trunc"),
        (encoded(image(1, 0, 1)[0], "PPM")[:9], "is a broken PPM image"),
        (encoded(image(1, 0, 1)[0], "PNG")[:-40], "is a broken PNG image"),
        (encoded(image(1, 0, 1)[0], "JPEG")[:400], "is a broken JPEG image"),
        (b"this is a text, whatever its name says", "is not an image .*b'this is a te"),
        (b"", "is an empty file"),
        (b"P6 4001 4000 255\n" + b"abc", "claims 4001 x 4000 pixels; more than 16,000,000 are re"),
        (b"P6 9600 9600 255\n" + b"abc", "claims 9600 x 9600 pixels; more than"),
        (b"P6 99999 99999 255\n" + b"abc", "claims 99999 x 99999 pixels; more than"),
        (encoded(image(0, 0, 0)[0], "PPM"), "is 24 x 22 pixels, but its table says 25 x 23"),
    ],
)
def test_broken_image(tmp_path, content, message):
    write(official(tmp_path) / BROKEN, content)
    table = fails_then_skips(tmp_path, message)
    assert table.labels.tolist() == [0] * 4 + [1] * 3 + [2] * 4
    assert (np.asarray(table.images)[:, 4, 4] > 0).all()


def test_missing_image(tmp_path):
    (official(tmp_path) / BROKEN).unlink()
    fails_then_skips(tmp_path, "is missing")


def test_missing_image_in_a_zip(tmp_path):
    (official(tmp_path / "a") / BROKEN).unlink()
    fails_then_skips(zipped(tmp_path / "a", tmp_path / "b.zip"), r"is missing from b\.zip")


def test_many_broken_images_come_in_order(tmp_path):
    names = [BROKEN.replace("00000_00001", n) for n in ("00000_00000", "00001_00001")]
    for name in names:
        write(official(tmp_path) / name, b"")
    names.sort()
    official(tmp_path)
    for name in names:
        write(tmp_path / name, b"")
    fails_then_skips(tmp_path, "is an empty file", tuple(names))


def changed(line, column, value):
    """The table of class 1 with one cell replaced, or ended there; the header is line 1."""

    def change(text):
        lines = text.splitlines()
        cells = lines[line - 1].split(";")
        cells[column:] = [value, *cells[column + 1 :]] if value is not None else []
        lines[line - 1] = ";".join(cells)
        return "\n".join(lines)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            changed(3, 7, "99"),
            r"GT-00001\.csv line 3: class 99 does not exist; classes are 0 to 42",
        ),
        (changed(3, 7, "-1"), "line 3: class -1 does not exist"),
        (changed(3, 7, "2"), "line 3: class 2 in the folder of class 1"),
        (changed(3, 7, "one"), "line 3: ClassId is 'one', not a whole number"),
        (changed(3, 3, "5.5"), r"line 3: Roi\.X1 is '5\.5', not a whole number"),
        (changed(3, 7, ""), "line 3: ClassId is '', not a whole number"),
        (changed(3, 3, "21"), r"line 3: region of interest \(21, 6\) to \(20, 19\) is reversed or"),
        (
            changed(3, 5, "25"),
            r"\(5, 6\) to \(25, 19\) is reversed or outside the image of 25 x 23",
        ),
        (changed(3, 4, "-1"), r"\(5, -1\) to \(20, 19\) is reversed or outside"),
        (changed(3, 0, "../../../x_1_2.ppm"), r"line 3: file name '\.\./.*climbs out with \.\."),
        (changed(3, 0, "/etc/x_1_2.ppm"), "line 3: file name '/etc/.*is an absolute path"),
        (changed(3, 0, "picture.ppm"), "line 3: file name 'picture.ppm' does not say its track"),
        (changed(3, 6, None), r"line 3: has no ClassId; the line ends early"),
    ],
)
def test_broken_line(tmp_path, change, message):
    table = official(tmp_path) / TABLE
    write(table, change(table.read_text().replace("\r\n", "\n")))
    fails_then_skips(tmp_path, message, ("GT-00001.csv",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"GT-00001\.csv: is empty"),
        (b"\r\n\r\n", "is empty"),
        (b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n", "has a header but no im"),
        (b"Filename;Width;Height;ClassId\na.ppm;3;4;1\n", r"lacks the column Roi\.X1, Roi\.Y1"),
        (b"00000_00000.ppm;29;30;5;6;24;25;1\n", "lacks the column Filename, ClassId.*first line"),
        (b"\xff\xfe\x00\x01", "is not a text file"),
        (b'Filename;"ClassId\n"' + b"x" * 200, "is not a line of CSV"),
        (b'Filename;ClassId;"' + b"x" * 200_000, "has 200,018 characters; more than 10,000 are"),
        (None, "is missing"),
    ],
)
def test_broken_table(tmp_path, text, message):
    path = official(tmp_path) / TABLE
    if text is None:
        path.unlink()
    else:
        write(path, text)
    with pytest.raises(DataError, match=message):
        load(tmp_path)
    table = load(tmp_path, skip_bad=True)
    assert table.labels.tolist() == [0] * 4 + [2] * 4
    assert len(table.skipped) == 1
    assert "class 1 has no images" in table.notes


def test_table_with_byte_order_mark_spaces_and_more_columns(tmp_path):
    path = kaggle(tmp_path) / "Train.csv"
    lines = path.read_text().splitlines()
    write(path, "\ufeff" + "\n\n".join(f"{line} , extra" for line in lines).replace(",", " , "))
    assert len(load(tmp_path)) == 12


def test_nothing_left_is_an_error_even_when_skipping(tmp_path):
    for file in official(tmp_path).rglob("*.ppm"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"no usable image; .*is an empty file; and 9 more"):
        load(tmp_path, skip_bad=True)
    write(kaggle(tmp_path / "k") / "Train.csv", "")
    with pytest.raises(DataError, match=r"no usable image; .*Train\.csv: is empty"):
        load(tmp_path / "k", skip_bad=True)


def test_flipped_byte_in_a_zip_is_found(tmp_path):
    """Every member carries a checksum."""
    import zipfile

    path = tmp_path / "stored.zip"
    folder = kaggle(tmp_path / "a", kind="BMP")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder))
    data = bytearray(path.read_bytes())
    place = data.index(b"BM") + 300
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"00000_00000_00000\.bmp .*Bad CRC-32"):
        load(path)
    assert len(load(path, skip_bad=True)) == 11
