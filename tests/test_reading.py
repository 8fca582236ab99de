"""Only regular files are read, up to a size, and names of any bytes can be shown."""

import os
import threading

import pytest

from minicnn import _reading as reading
from minicnn._reading import explained, read_regular, shown
from minicnn.errors import DataError

POSIX = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


def read(path, most=100):
    with explained():
        return read_regular(path, most)


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100])
def test_a_file_is_read_whole(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert read(tmp_path / "a") == content


def test_a_larger_one_is_not(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(2**40)  # a hole: it takes no room on the disk, but would in memory
    with pytest.raises(DataError, match=r"claims 1,099,511,627,776 bytes; more than 100 are"):
        read(tmp_path / "a")


@POSIX
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(DataError, match="is a pipe, not a file"):
        read(tmp_path / "a")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="this system has no /dev/zero")
def test_an_endless_device_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a device, not a file"):
        read(tmp_path / "a")


def test_a_folder_and_nothing_at_all(tmp_path):
    with pytest.raises(DataError, match=r"is a folder, not a file|cannot be read"):
        read(tmp_path)
    with pytest.raises(DataError, match="is missing"):
        read(tmp_path / "a")
    with pytest.raises(DataError, match="has a name that no file can have"):
        read(f"{tmp_path}/a\0b")


@pytest.mark.parametrize("change", [b"xy", b""])
def test_a_file_that_changes_meanwhile_is_noticed(tmp_path, monkeypatch, change):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    check = reading.check_size

    def changes(size, most):
        check(size, most)
        path.write_bytes(change)

    monkeypatch.setattr(reading, "check_size", changes)
    with pytest.raises(DataError, match="changed while it was read"):
        read(path)


def test_a_reader_in_a_thread_needs_no_signal(tmp_path):
    """A refused file leaves no open descriptor behind."""
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    (tmp_path / "a").write_bytes(b"x" * 101)

    def tries():
        for _ in range(50):
            for path in (tmp_path, tmp_path / "a"):
                with pytest.raises(DataError):
                    read(path)

    thread = threading.Thread(target=tries)
    thread.start()
    thread.join()
    if before:
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("Train/5/a b.png", "Train/5/a b.png"),
        ("signe arrêt.png", "signe arrêt.png"),
        (os.fsdecode(b"a\xff\xfe.png"), "a\\xff\\xfe.png"),
        ("a\x1b[2J\n\u202eb", "a\\x1b[2J\\n\\u202eb"),
        ("\ud800", "\\ud800"),
    ],
)
def test_names_are_shown_on_one_line(name, seen):
    assert shown(name) == seen
    shown(name).encode()


def test_endless_names_are_cut():
    assert len(shown("x" * 100_000)) < 1000
