"""Every way people have GTSRB on their disk reads as the same table."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from gtsrb_files import (
    encoded,
    expect,
    image,
    kaggle,
    numbers,
    official,
    official_test,
    write,
    zipped,
)

from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import ConfigError, DataError


def load(path, **options):
    return load_gtsrb(path, size=8, cache=None, **options)


@pytest.mark.parametrize(
    "below", ["", "GTSRB", "GTSRB/Final_Training", "GTSRB/Final_Training/Images"]
)
def test_official_folder_at_every_level(tmp_path, below):
    table = load(official(tmp_path) / below)
    expect(table)
    assert table.names[:2] == ("00000/00000_00000.ppm", "00000/00000_00001.ppm")
    assert table.tracks.tolist() == [label * 100_000 + t for label, t, _ in numbers()]
    assert not table.skipped


@pytest.mark.parametrize("inside", ["", "Images", "mine/GTSRB/Final_Training/Images", "mine"])
def test_official_folder_wrapped_otherwise(tmp_path, inside):
    expect(load(official(tmp_path, inside)))


def test_official_zip_is_read_in_place(tmp_path):
    archive = zipped(official(tmp_path / "a"), tmp_path / "GTSRB_Final_Training_Images.zip")
    shutil.rmtree(tmp_path / "a")
    expect(load(archive))
    assert [p.name for p in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_kaggle_folder(tmp_path, kind):
    table = load(kaggle(tmp_path, kind=kind))
    expect(table)
    assert table.names[0] == f"Train/0/00000_00000_00000.{kind.lower()}"
    assert table.tracks.tolist() == [label * 100_000 + t for label, t, _ in numbers()]


@pytest.mark.parametrize("within", ["", "archive", "GTSRB"])
def test_kaggle_zip_even_in_a_folder(tmp_path, within):
    expect(load(zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip", within)))


def test_kaggle_duplicates_are_not_read_twice(tmp_path):
    """Kaggle's own zip holds everything again under lower-case names, and pictures of signs."""
    folder = kaggle(kaggle(tmp_path / "a"), "Test")
    for name in ("Train", "Test"):
        shutil.copytree(folder / name, folder / f"low_{name}")
    write(folder / "Meta.csv", "Path,ClassId\nMeta/0.png,0\n")
    write(folder / "Meta/0.png", encoded(image(0, 0, 0)[0], "PNG"))
    archive = tmp_path / "gtsrb.zip"
    zipped(folder, archive)
    import zipfile

    with zipfile.ZipFile(archive, "a") as members:
        for file in sorted((folder / "Train").rglob("*.png")):
            members.write(file, f"train/{file.parent.name}/{file.name}")
    expect(load(archive))
    expect(load(archive, part="test"))


def test_kaggle_test_part_has_no_tracks(tmp_path):
    table = load(kaggle(tmp_path, "Test"), part="test")
    expect(table)
    assert table.tracks.tolist() == list(range(len(table)))


@pytest.mark.parametrize(
    "place", ["GTSRB/Final_Test/Images", "GTSRB/Final_Test", "GTSRB", "", ".."]
)
def test_official_test_labels_wherever_people_unpack_them(tmp_path, place):
    top = tmp_path / "data"
    truth = official_test(top)
    write(top / place / "GT-final_test.csv", truth)
    expect(load(top, part="test"))
    if place != "":
        expect(load(top / "GTSRB", part="test"))


def test_official_test_labels_in_their_own_archive(tmp_path):
    truth = official_test(tmp_path / "a")
    write(tmp_path / "t/GT-final_test.csv", truth)
    zipped(tmp_path / "t", tmp_path / "GTSRB_Final_Test_GT.zip")
    images = zipped(tmp_path / "a", tmp_path / "GTSRB_Final_Test_Images.zip")
    expect(load(tmp_path / "a", part="test"))
    expect(load(images, part="test"))


def test_a_folder_of_downloaded_archives(tmp_path):
    truth = official_test(tmp_path / "a/test")
    write(tmp_path / "a/truth/GT-final_test.csv", truth)
    official(tmp_path / "a/train")
    folder = tmp_path / "gtsrb"
    folder.mkdir()
    zipped(tmp_path / "a/train", folder / "GTSRB_Final_Training_Images.zip")
    zipped(tmp_path / "a/test", folder / "GTSRB_Final_Test_Images.zip")
    zipped(tmp_path / "a/truth", folder / "GTSRB_Final_Test_GT.zip")
    expect(load(folder))
    expect(load(folder, part="test"))


def test_missing_test_labels_are_named(tmp_path):
    official_test(tmp_path)
    with pytest.raises(DataError, match=r"labels are not: put GT-final_test.csv or GTSRB_Final"):
        load(tmp_path, part="test")


def test_two_archives_are_ambiguous(tmp_path):
    one = zipped(official(tmp_path / "src/a"), tmp_path / "one.zip")
    two = zipped(kaggle(tmp_path / "src/b"), tmp_path / "two.zip")
    with pytest.raises(ConfigError, match=f"several data sets; give one of {one}, {two}"):
        load(tmp_path)
    expect(load(one))
    expect(load(two))


def test_two_folders_are_ambiguous(tmp_path):
    kaggle(official(tmp_path))
    with pytest.raises(
        ConfigError, match=r"several data sets; give one of .*Final_Training/Images"
    ):
        load(tmp_path)


def test_whole_picture_without_region_of_interest(tmp_path):
    table = load(official(tmp_path), roi=False)
    assert (table.images[:, 0, 0] == 0).all()
    assert (table.images[:, 4, 4] > 0).all()


def test_crop_is_exact_to_the_pixel(tmp_path):
    """The box's ends belong to the sign, and nothing beyond them bleeds in."""
    pixels = np.random.default_rng(0).integers(0, 256, (15, 16, 3), np.uint8)
    write(tmp_path / "Train/0/00000_00000_00000.png", encoded(pixels, "PNG"))
    row = "16,15,3,2,10,9,0,Train/0/00000_00000_00000.png"
    write(tmp_path / "Train.csv", "Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,ClassId,Path\n" + row)
    table = load_gtsrb(tmp_path, size=8, cache=None)
    np.testing.assert_array_equal(table.images[0], pixels[2:10, 3:11])


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_any_number_of_threads(tmp_path, workers):
    which = numbers((0, 7, 42), 10, 12)
    expect(load(kaggle(tmp_path, which=which), workers=workers), which)


def test_grey_and_transparent_images_become_rgb(tmp_path):
    folder = kaggle(tmp_path, which=[(0, 0, 0), (1, 0, 0)])
    from PIL import Image

    for file, mode in zip(sorted(folder.rglob("*.png")), ("L", "RGBA"), strict=True):
        with Image.open(file) as original:
            original.convert(mode).save(file)
    table = load(folder)
    assert table.images.shape == (2, 8, 8, 3)
    assert len(set(table.images[0, 4, 4].tolist())) == 1


def test_missing_class_is_noted(tmp_path):
    notes = load(official(tmp_path)).notes
    assert "class 3 has no images" in notes
    assert "class 2 has no images" not in notes
    assert len(notes) == 40


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda top: top / "nowhere", "nowhere: there is nothing here; accepted are the official"),
        (lambda top: top, r"holds no GTSRB train images, but nothing at all; accepted are"),
        (lambda top: write(top / "a/b.txt", "x").parent, r"but b\.txt; accepted are the official"),
        (lambda top: write(top / "signs.zip", "no zip"), r"signs\.zip: not a zip archive, or a br"),
        (lambda top: kaggle(top, "Test"), "holds the test part of GTSRB, but not the train part"),
        (
            lambda top: write(top / "GT-final_test.csv", "x").parent,
            "labels of the test images, but",
        ),
    ],
)
def test_wrong_places_are_explained(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        load(make(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "val"}, "part 'val' does not exist; say 'train' or 'test'"),
        ({"size": 0}, "size 0 is not between 1 and 4096"),
        ({"workers": 0}, "0 workers cannot decode"),
    ],
)
def test_wrong_arguments(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        load_gtsrb(official(tmp_path), cache=None, **options)


def test_home_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(official(tmp_path)))
    expect(load("~/GTSRB"))
    expect(load(str(Path("~"))))
