"""Broken data end the run with a line that names the file, or are skipped and counted."""

import re

import numpy as np
import pytest
from gtsrb_files import encoded, image, kaggle, official, write, zipped

from minicnn.data import gtsrb, gtsrb_layouts
from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import ConfigError, DataError

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
        (changed(3, 1, "2_5"), "line 3: Width is '2_5', not a whole number"),
        (changed(3, 1, "٢٥"), "line 3: Width is '٢٥', not a whole number"),
        (changed(3, 1, "+25"), "line 3: Width is .\\+25., not a whole number"),
        (changed(3, 1, "9" * 5000), "line 3: Width is '9{40}', not a whole number"),
        (changed(3, 7, "nan"), "line 3: ClassId is 'nan', not a whole number"),
        (changed(3, 3, "-inf"), r"line 3: Roi\.X1 is '-inf', not a whole number"),
        (changed(3, 7, "1e0"), "line 3: ClassId is '1e0', not a whole number"),
        (changed(3, 0, "a\0_1_2.ppm"), r"line 3: file name 'a\\x00_1_2.ppm' holds a NUL"),
        (changed(3, 0, "x" * 5000 + "_1_2.ppm"), r"line 3: file name 'xx.*xx.*has 5,008 char"),
        (changed(3, 0, "x" * 20_000), r"line 3: has 20,\d+ characters; more than 10,000 are"),
        (changed(3, 0, '"00000_00001.ppm'), r"line 3: is not a line of CSV \(unexpected end"),
        (changed(3, 0, '"a"b'), "line 3: is not a line of CSV"),
        (changed(3, 0, "00000_00000.ppm"), "line 3: lists '.*ppm' again; line 2 has it"),
        (changed(3, 0, ".//00000_00000.ppm"), "line 3: lists '.*ppm' again; line 2 has it"),
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
        (b"\xff\xfe\x00\x01", r"is not a text file in UTF-8 \(line 1: invalid start byte\)"),
        ("Filename;ClassId\n".encode("utf-16"), "is not a text file in UTF-8"),
        (b"Filename;\r\r\n\xe9;1\n", r"is not a text file in UTF-8 \(line 3: invalid contin"),
        (
            b"Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId;ClassId\n",
            r"has the column ClassId twice; its first line is 'Filename;Width",
        ),
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


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoted", [False, True])
def test_table_of_any_line_ends_and_quotes(tmp_path, end, quoted):
    path = kaggle(tmp_path) / "Train.csv"
    lines = path.read_text().splitlines()
    if quoted:
        lines = ['"' + line.replace(",", '","') + '"' for line in lines]
    write(path, end.join([*lines, "", ""]))
    assert len(load(tmp_path)) == 12


def test_a_quote_that_is_never_closed_spoils_one_line(tmp_path):
    path = kaggle(tmp_path) / "Train.csv"
    write(path, path.read_text().replace(",1,Train", ',"1,Train', 1))
    table = load(tmp_path, skip_bad=True)
    assert len(table) == 11
    assert [name.rpartition(" ")[2] for name, _ in table.skipped] == ["6"]


def test_contradictions_leave_out_both_lines(tmp_path):
    """The same file as two classes: nothing says which of them is right."""
    folder = kaggle(tmp_path)
    text = (folder / "Train.csv").read_text()
    (folder / "Train/0").rename(folder / "Train/signs")  # a folder that names no class
    text = text.replace("Train/0/", "Train/signs/")
    again = text.splitlines()[2].replace(",0,Train", ",5,Train")
    write(folder / "Train.csv", text + again + "\n")
    with pytest.raises(
        DataError,
        match=r"Train\.csv line 14: says that 'Train/signs/00000_00000_00001\.png' is of class 5, "
        r"but line 3 says 0; mend it",
    ):
        load(folder)
    table = load(folder, skip_bad=True)
    assert len(table) == 11
    assert [name.rpartition(" ")[2] for name, _ in table.skipped] == ["14", "3"]
    assert not any("00000_00000_00001" in name for name in table.names)


def test_the_folder_of_kaggle_contradicts_the_class(tmp_path):
    path = kaggle(tmp_path) / "Train.csv"
    write(path, path.read_text().replace(",1,Train", ",2,Train", 1))
    with pytest.raises(
        DataError,
        match=r"Train\.csv line 6: class 2, but 'Train/1/.*png' is in the folder of class 1",
    ):
        load(tmp_path)
    assert len(load(tmp_path, skip_bad=True)) == 11


def test_tables_without_end(tmp_path, monkeypatch):
    path = kaggle(tmp_path) / "Train.csv"
    with open(path, "ab") as file:
        file.truncate(2**40)
    with pytest.raises(DataError, match=r"Train\.csv: claims 1,099,511,627,776 bytes; more than"):
        load(tmp_path)
    kaggle(tmp_path)
    monkeypatch.setattr(gtsrb_layouts, "MOST_IMAGES", 5)
    with pytest.raises(DataError, match=r"Train\.csv line 7: more than 5 images are refused"):
        load(tmp_path)
    write(path, path.read_text().splitlines()[0] + "\nx" * 20)
    with pytest.raises(
        DataError, match=r"Train\.csv line \d+: .*; and 5 faults before it: give up"
    ):
        load(tmp_path, skip_bad=True)


def test_too_many_pixels_for_the_memory(tmp_path, monkeypatch):
    def no_memory(shape, dtype):
        raise MemoryError

    monkeypatch.setattr(gtsrb.np, "empty", no_memory)
    with pytest.raises(ConfigError, match="12 images of 4096 x 4096 pixels need 1 GiB of memory"):
        load_gtsrb(kaggle(tmp_path), size=4096, cache=None)


def test_a_home_that_is_not_there():
    with pytest.raises(ConfigError, match=r"~nobody-of-this-name: .*; give the whole path"):
        load("~nobody-of-this-name")


def test_a_name_that_is_too_long():
    with pytest.raises(DataError, match="aaa: cannot be opened: File name too long"):
        load("a" * 5000)


@pytest.mark.parametrize("number", ["2021", "00044", "60"])
def test_folders_whose_number_is_no_class(tmp_path, number):
    path = kaggle(tmp_path) / "Train.csv"
    (tmp_path / "Train/1").rename(tmp_path / f"Train/{number}")
    write(path, path.read_text().replace("Train/1/", f"Train/{number}/"))
    assert len(load(tmp_path)) == 12


def test_numbers_of_folders_that_are_not_those_of_classes(tmp_path):
    path = kaggle(tmp_path) / "Train.csv"
    (tmp_path / "Train").rename(tmp_path / "32")
    write(path, path.read_text().replace("Train/", "32/"))
    assert len(load(tmp_path)) == 12


def test_a_folder_of_no_class_is_not_read(tmp_path):
    folder = official(tmp_path) / "GTSRB/Final_Training/Images/00043"
    write(folder / "GT-00043.csv", b"\n" * 100)
    with pytest.raises(DataError, match="Images/00043: is the folder of no class"):
        load(tmp_path)
    table = load(tmp_path, skip_bad=True)
    assert len(table) == 12
    assert [reason for _, reason in table.skipped] == ["is the folder of no class"]


def test_blank_lines_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(gtsrb_layouts, "MOST_LINES", 20)
    path = official(tmp_path) / TABLE
    write(path, path.read_bytes() + b"\r\n" * 15)
    assert len(load(tmp_path)) == 12
    write(path, path.read_bytes() + b"\n")
    with pytest.raises(DataError, match=r"GT-00001\.csv: has 21 lines; more than 20 are refused"):
        load(tmp_path)
    assert len(load(tmp_path, skip_bad=True)) == 8


def test_many_large_tables(tmp_path, monkeypatch):
    size = (official(tmp_path) / TABLE).stat().st_size
    monkeypatch.setattr(gtsrb_layouts._Room.__init__, "__defaults__", (3 * size + 1,))
    assert len(load(tmp_path)) == 12
    monkeypatch.setattr(gtsrb_layouts._Room.__init__, "__defaults__", (2 * size,))
    with pytest.raises(DataError, match=r"GT-00001\.csv: the tables have more than .* together"):
        load(tmp_path)
    table = load(tmp_path, skip_bad=True)
    assert len(table) == 4
    assert len(table.skipped) == 2
