"""Archives are read in place, and what is unsafe in them is refused by name."""

import os
import stat
import zipfile

import pytest
from gtsrb_files import kaggle, official, zipped
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data import archives
from minicnn.data.archives import FolderTree, ZipTree, open_tree, unsafe
from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import DataError

CLEAN = st.lists(
    st.text(
        st.characters(exclude_characters="/\\:\0", exclude_categories=("Cs",)), min_size=1
    ).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=4,
).map("/".join)


def archive_with(path, name, data=b"x", mode=0o644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, data)
    return path


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../evil.sh", "climbs out"),
        ("a/../../evil.sh", "climbs out"),
        ("..\\evil.sh", "climbs out"),
        ("/etc/passwd", "absolute path"),
        ("\\evil.sh", "absolute path"),
        ("C:\\evil.sh", "absolute path"),
    ],
)
def test_unsafe_member_refuses_the_archive(tmp_path, name, fault):
    path = archive_with(zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip"), name)
    with pytest.raises(DataError, match=rf"b\.zip: refused, its member .*evil|passwd.*{fault}"):
        load_gtsrb(path, cache=None)


def test_link_refuses_the_archive(tmp_path):
    path = zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip")
    archive_with(path, "Train/0/link.png", b"/etc/passwd", stat.S_IFLNK | 0o777)
    with pytest.raises(DataError, match=r"member 'Train/0/link\.png' is a symbolic link"):
        load_gtsrb(path, cache=None)


@given(CLEAN)
def test_ordinary_names_are_safe(name):
    assert unsafe(name) is None


@given(CLEAN, st.sampled_from(["../", "/", "\\", "C:", "a/../../", "a\\..\\"]))
def test_names_that_lead_elsewhere_are_not(name, prefix):
    assert unsafe(prefix + name)


@given(st.text())
def test_safe_names_stay_inside(name):
    inside = os.path.normpath(os.path.join("/top", name))
    assert unsafe(name) or inside == "/top" or inside.startswith("/top/")


@pytest.mark.parametrize("cut", [10, 2000])
def test_cut_archive(tmp_path, cut):
    path = zipped(official(tmp_path / "a"), tmp_path / "b.zip")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r"b\.zip: not a zip archive, or a broken one .*fetch it"):
        load_gtsrb(path, cache=None)


def test_member_that_claims_gigabytes(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 1000)
    path = archive_with(tmp_path / "b.zip", "a.ppm", b"0" * 1001)
    tree = ZipTree(path)
    with pytest.raises(DataError, match="claims 1,001 bytes; more than 1,000 are refused"):
        tree.read("a.ppm")
    tree.close()
    (tmp_path / "c.ppm").write_bytes(b"0" * 1001)
    with pytest.raises(DataError, match="claims 1,001 bytes"):
        FolderTree(tmp_path).read("c.ppm")


def test_folder_and_zip_list_alike(tmp_path):
    folder = official(tmp_path / "a")
    packed = open_tree(zipped(folder, tmp_path / "b.zip"))
    plain = open_tree(folder)
    for place in ("", "GTSRB", "GTSRB/Final_Training/Images/00001", "nowhere", "GTSRB/nowhere"):
        assert packed.entries(place) == plain.entries(place)
    name = "GTSRB/Final_Training/Images/00001/00000_00000.ppm"
    assert packed.read(name) == plain.read(name)
    for tree in (packed, plain):
        with pytest.raises(DataError, match="is missing"):
            tree.read("GTSRB/nothing.ppm")
        tree.close()


def test_zip_without_folder_entries_lists_its_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("x/y/z.txt", "z")
    tree = ZipTree(tmp_path / "b.zip")
    assert tree.entries("") == (("x",), ())
    assert tree.entries("x/y") == ((), ("z.txt",))
    tree.close()


def test_folder_refuses_to_read_outside(tmp_path):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="climbs out"):
        FolderTree(tmp_path / "in").read("../secret")


def test_fingerprint_follows_the_files(tmp_path):
    folder = kaggle(tmp_path / "a")
    names = ["Train/0/00000_00000_00000.png", "Train/1/00001_00000_00000.png", "none.png"]
    before = FolderTree(folder).fingerprint(names)
    assert before == FolderTree(folder).fingerprint(names)
    os.utime(folder / names[1], (1e9, 1e9))
    assert before != FolderTree(folder).fingerprint(names)
    first = ZipTree(zipped(folder, tmp_path / "b.zip"))
    moved = ZipTree(zipped(folder, tmp_path / "c.zip"))
    assert first.fingerprint(names) == moved.fingerprint(names)
    content = (folder / names[0]).read_bytes()
    (folder / names[0]).write_bytes(content[:-1] + b"x")  # as long as before
    other = ZipTree(zipped(folder, tmp_path / "d.zip"))
    assert first.fingerprint(names) != other.fingerprint(names)
    for tree in (first, moved, other):
        tree.close()
