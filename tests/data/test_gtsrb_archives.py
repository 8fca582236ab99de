"""Archives are read in place, and what is unsafe in them is refused by name."""

import os
import stat
import struct
import threading
import tracemalloc
import zipfile

import pytest
from gtsrb_files import kaggle, numbers, official, zipped
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


LINKS = pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no symbolic links to test here")


@LINKS
@pytest.mark.parametrize("at", ["Train/0/00000_00000_00000.png", "Train/0", "Train", "Train.csv"])
def test_a_link_out_of_the_folder_is_refused(tmp_path, at):
    """The file itself, or any folder above it; both ends are named, and what to do."""
    folder = kaggle(tmp_path / "a")
    (tmp_path / "elsewhere").mkdir()
    (folder / at).rename(tmp_path / "elsewhere/x")
    (folder / at).symlink_to(tmp_path / "elsewhere/x")
    with pytest.raises(DataError) as caught:
        load_gtsrb(folder, size=8, cache=None)
    message = str(caught.value)
    assert f"{folder / at}".rpartition("/")[2] in message
    assert f"by a symbolic link out of {folder} to {tmp_path / 'elsewhere'}" in message
    assert "put a copy there instead of the link, or give a folder that holds both" in message
    assert len(load_gtsrb(tmp_path, size=8, cache=None)) == 12, "the folder that holds both"


@LINKS
def test_links_inside_and_to_the_folder_are_followed(tmp_path):
    folder = kaggle(tmp_path / "a")
    for at in ("Train/0/00000_00000_00000.png", "Train/1"):
        (folder / at).rename(folder / "moved")
        (folder / at).symlink_to(folder / "moved")
        (tmp_path / "linked").unlink(missing_ok=True)
        (tmp_path / "linked").symlink_to(folder)
        assert len(load_gtsrb(tmp_path / "linked", size=8, cache=None)) == 12
        (folder / at).unlink()
        (folder / "moved").rename(folder / at)


@LINKS
def test_links_in_circles(tmp_path):
    folder = kaggle(tmp_path / "a")
    (folder / "round").symlink_to(folder / "round")
    (folder / "above").symlink_to(tmp_path)
    (folder / "self").symlink_to(folder / "Train")
    assert len(load_gtsrb(folder, size=8, cache=None)) == 12
    victim = folder / "Train/0/00000_00000_00000.png"
    victim.unlink()
    victim.symlink_to(victim)
    with pytest.raises(DataError, match=r"00000_00000_00000\.png .*: cannot be read: Too many"):
        load_gtsrb(folder, size=8, cache=None)


@LINKS
def test_a_linked_archive_in_a_folder(tmp_path):
    zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip")
    (tmp_path / "c").mkdir()
    (tmp_path / "c/b.zip").symlink_to(tmp_path / "b.zip")
    assert len(load_gtsrb(tmp_path / "c", size=8, cache=None)) == 12, "laid there by the user"
    assert len(load_gtsrb(tmp_path / "c/b.zip", size=8, cache=None)) == 12, "named by the user"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_do_not_block(tmp_path):
    folder = kaggle(tmp_path / "a")
    victim = folder / "Train/0/00000_00000_00000.png"
    victim.unlink()
    os.mkfifo(victim)
    with pytest.raises(DataError, match=r"00000_00000_00000\.png .*: is a pipe, not a file"):
        load_gtsrb(folder, cache=None)
    os.mkfifo(tmp_path / "b.zip")
    with pytest.raises(DataError, match=r"b\.zip: is a pipe, not a file"):
        load_gtsrb(tmp_path / "b.zip", cache=None)
    (folder / "Train.csv").unlink()
    os.mkfifo(folder / "Train.csv")
    with pytest.raises(DataError, match=r"Train\.csv: is a pipe, not a file"):
        load_gtsrb(folder, cache=None)


def test_names_that_are_not_utf8(tmp_path):
    """They are read, and shown escaped in every text that comes back."""
    folder = os.fsencode(tmp_path) + b"/sign\xe9s \x1b[2J"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system takes no such names")
    kaggle(os.fsdecode(folder) + "/a")
    for where in (os.fsdecode(folder), os.fsdecode(folder) + "/a"):
        first = load_gtsrb(where, size=8, cache=tmp_path / "c")
        assert first.source.endswith("/sign\\xe9s \\x1b[2J/a")
        assert load_gtsrb(where, size=8, cache=tmp_path / "c").source == first.source
    zipped(os.fsdecode(folder + b"/a"), os.fsdecode(folder + b"/b.zip"))
    assert len(load_gtsrb(os.fsdecode(folder + b"/b.zip"), size=8, cache=None)) == 12
    os.unlink(folder + b"/a/Train/0/00000_00000_00000.png")
    with pytest.raises(DataError) as caught:
        load_gtsrb(os.fsdecode(folder), size=8, cache=None)
    assert str(caught.value).isprintable()
    str(caught.value).encode()


def entry_at(data, name):
    """Where the archive's list begins to speak of a member."""
    return data.rindex(b"PK\1\2", 0, data.rindex(name))


def damaged(path, offset, new, name=b"00000_00000_00000"):
    data = bytearray(path.read_bytes())
    place = entry_at(data, name) + offset
    data[place : place + len(new)] = new
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("offset", "new", "message"),
    [
        (8, b"\1\0", "is encrypted; unpack the archive and give the folder"),
        (10, b"\x0c\0", "is packed by method 12; use deflate or none"),
        (10, b"\x63\0", "is packed by method 99"),
        (16, b"\1\2\3\4", "Bad CRC-32"),
        (24, struct.pack("<I", 40), "Bad CRC-32"),
        (24, struct.pack("<I", 2**20), "has .* bytes; 1,048,576 were announced|Bad CRC|reached"),
        (24, struct.pack("<I", 2**31), r"claims 2,147,483,648 bytes; more than 16,777,216 are"),
    ],
)
def test_a_member_that_lies_is_a_fault_of_its_own(tmp_path, offset, new, message):
    path = damaged(zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip"), offset, new)
    with pytest.raises(DataError, match=rf"00000_00000_00000\.png .*({message})"):
        load_gtsrb(path, size=8, cache=None)
    assert len(load_gtsrb(path, size=8, cache=None, skip_bad=True)) == 11


@pytest.mark.parametrize(
    ("offset", "new", "message"),
    [
        (20, struct.pack("<I", 2**30), "its member .* overlaps what follows it"),
        (42, struct.pack("<I", 0), "its member .* overlaps what follows it"),
        (
            38,
            struct.pack("<I", (stat.S_IFIFO | 0o666) << 16),
            "its member .* is neither a file nor a folder",
        ),
    ],
)
def test_a_list_that_makes_no_sense_refuses_the_archive(tmp_path, offset, new, message):
    path = damaged(zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip"), offset, new)
    with pytest.raises(DataError, match=rf"b\.zip: refused, {message}.*; fetch the archive"):
        load_gtsrb(path, size=8, cache=None)


def test_a_bomb_unpacks_to_no_more_than_it_claims(tmp_path):
    """10 MB of zeros behind a member that claims 1,000 bytes."""
    path = archive_with(tmp_path / "b.zip", "a.ppm", b"")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.ppm", bytes(10_000_000))
    tree = ZipTree(damaged(path, 24, struct.pack("<I", 1000), b"a.ppm"))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="Bad CRC-32"):
            tree.read("a.ppm")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
        tree.close()


def test_the_same_name_twice(tmp_path):
    path = archive_with(tmp_path / "b.zip", "Train.csv")
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive_with(path, "Train.csv", b"other")
    with pytest.raises(DataError, match=r"b\.zip: refused, it holds 'Train\.csv' twice"):
        ZipTree(path)


def test_lists_without_end(tmp_path, monkeypatch):
    path = tmp_path / "b.zip"
    with open(path, "wb") as file:  # a hole, and an end that calls all of it a list
        file.truncate(2**31)
        file.seek(0, os.SEEK_END)
        file.write(b"PK\5\6" + bytes(8) + struct.pack("<IIH", 2**31, 0, 0))
    with pytest.raises(DataError, match=r"b\.zip: claims a list of members of 2,147,483,648 bytes"):
        ZipTree(path)
    path.unlink()
    zipped(kaggle(tmp_path / "a"), path)
    for limit, message in (
        ("MAX_MEMBERS", r"b\.zip: lists \d+ members; more than 3 are refused"),
        ("MAX_FOLDERS", r"b\.zip: refused, it has over 3 folders"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(archives, limit, 3)
            with pytest.raises(DataError, match=message):
                ZipTree(path)
    deep = archive_with(tmp_path / "c.zip", "a/" * 600)
    with pytest.raises(DataError, match=r"c\.zip: refused, its member 'a/a/.*' has 1,200 charac"):
        ZipTree(deep)


@pytest.mark.parametrize("harm", ["gone", "replaced", "cut", "overwritten"])
def test_an_archive_that_changes_while_it_is_read(tmp_path, harm):
    """What is open stays readable; what is cut or written over is a fault, never a crash."""
    path, name = tmp_path / "b.zip", "a.bmp"
    for other in ("b.bmp", name):  # more than what a reader holds in its buffer
        archive_with(path, other, os.urandom(100_000))
    tree = ZipTree(path)
    whole = tree.read(name)
    tree.read("b.bmp")
    if harm == "gone":
        path.unlink()
    elif harm == "replaced":
        (tmp_path / "c").write_bytes(b"something else")
        (tmp_path / "c").replace(path)
    elif harm == "cut":
        os.truncate(path, 100)
    else:
        path.write_bytes(b"\x55" * path.stat().st_size)
    if harm in ("gone", "replaced"):
        assert tree.read(name) == whole
    else:
        with pytest.raises(DataError, match=r"cannot be read from b\.zip: "):
            tree.read(name)
    tree.close()


def read_again_and_again(folder):
    while True:
        load_gtsrb(folder, size=8, cache=None, workers=4)


def test_files_that_vanish_while_a_set_is_read(tmp_path):
    """All threads end, with one error that names a file, and in time."""
    folder = kaggle(tmp_path / "a", which=numbers(tracks=12, frames=12))
    victims = sorted(folder.glob("Train/2/*.png"))

    def vanish():
        for i, victim in enumerate(reversed(victims)):
            victim.unlink() if i % 2 else os.truncate(victim, 10)

    thread = threading.Thread(target=vanish)
    thread.start()
    try:
        with pytest.raises(DataError, match=r"00002_.*png .*: (is missing|is a broken|changed)"):
            read_again_and_again(folder)
    finally:
        thread.join()
