"""The table of a run that goes on: what is taken for a row, what is dropped, what is refused."""

import csv
import errno
import io
import os
import stat
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.errors import CheckpointError, CheckpointWarning, ConfigError, OutputError
from minicnn.estimator import _table
from minicnn.estimator._table import Table

HEAD = b"step,loss,accuracy\n"
ROWS = [b"1,0.5,0.25\n", b"2,0.25,nan\n", b"3,1e-05,-inf\n"]
WHOLE = HEAD + b"".join(ROWS)


def go_on(path, last_step=3, **row):
    """Open the table and write one row more."""
    table = Table(path, last_step)
    try:
        table.write({"step": last_step + 1, "loss": 4.0, "accuracy": 1.0} | row)
    finally:
        table.close()


NEXT = b"4,4.0,1.0\n"
ONE_MORE = WHOLE + NEXT

TORN = {
    "half a row": b"4,0.5,0.",
    "a row without its end": b"4,0.5,0.25",
    "a whole row and half of one": b"4,0.5,0.25\n5,0.",
    "zeros of a power cut": bytes(5000),
    "zeros in a row": b"4,0.\0\0,0.25\n",
    "no UTF-8": b"4,\xff,0.25\n",
    "text": b"hello, world\n",
    "more cells": b"4,0.5,0.25,7\n",
    "fewer cells": b"4,0.5\n",
    "an empty line": b"\n",
    "empty cells": b"4,,\n",
    "a step that is none": b"x,0.5,0.25\n",
    "a negative step": b"-4,0.5,0.25\n",
    "a step with a fraction": b"1.5,0.5,0.25\n",
    "a step in another script": "\N{ARABIC-INDIC DIGIT ONE},0.5,0.25\n".encode(),
    "a step of 5,000 digits": b"1" * 5000 + b",0.5,0.25\n",
    "a number of 2,000,000 digits": b"1," + b"2" * 2_000_000 + b",0.25\n",
    "quotes": b'"1","0.5","0.25"\n',
    "underscores": b"1_0,0.5,0.25\n",
    "spaces": b" 1, 0.5, 0.25\n",
}


@pytest.mark.parametrize("torn", TORN)
def test_what_is_torn_at_the_end_is_dropped_silently(torn, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(WHOLE + TORN[torn])
    go_on(path)
    assert path.read_bytes() == ONE_MORE


@pytest.mark.parametrize("torn", [name for name in TORN if "without its end" not in name])
def test_what_is_no_row_in_between_is_dropped_with_a_warning(torn, tmp_path):
    path = tmp_path / "t.csv"
    odd = TORN[torn].replace(b"4,0.5,0.25\n", b"").rstrip(b"\n") + b"\n"
    path.write_bytes(HEAD + ROWS[0] + odd + b"".join(ROWS[1:]))
    with pytest.warns(CheckpointWarning, match=r"t.csv: dropped 1 lines that .*: line 3$"):
        go_on(path)
    assert path.read_bytes() == ONE_MORE


def test_a_long_list_of_lines_is_cut(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(HEAD + b"x\n" * 1000 + b"".join(ROWS))
    with pytest.warns(
        CheckpointWarning, match=r"dropped 1000 lines .*: line 2, 3, 4, 5, 6, \.\.\."
    ):
        go_on(path)
    assert path.read_bytes() == ONE_MORE


@pytest.mark.parametrize(
    "edited",
    [
        WHOLE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + WHOLE,
        b'"step","loss","accuracy"\r\n' + b"".join(ROWS),
        HEAD + ROWS[0] + b"9,9,9\n" + b"".join(ROWS[1:]),
    ],
)
def test_what_an_editor_has_changed_is_put_right(edited, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(edited)
    go_on(path)
    assert path.read_bytes() == ONE_MORE


def test_rows_of_a_person_stay_as_they_are(tmp_path):
    """Twice the same step, and not in order: all are rows, and before the step."""
    path = tmp_path / "t.csv"
    rows = ROWS[1] + ROWS[0] + ROWS[1] + b"3,1,2.5E+3\n" + ROWS[2]
    path.write_bytes(HEAD + rows)
    go_on(path)
    assert path.read_bytes() == HEAD + rows + NEXT


@pytest.mark.parametrize("start", ["", "s", "step", "step,", "step,lo", 'step,"a,\n', "\0" * 700])
def test_a_torn_header_is_begun_anew(start, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(start)
    go_on(path)
    assert path.read_bytes() == HEAD + NEXT


@pytest.mark.parametrize(
    "content",
    [
        b"time,loss\n1,2\n",
        b"steps taken\n",
        b"no newline at all",
        b"step;loss;accuracy\n1;2;3\n",
        bytes(100) + b"\n" + ROWS[0],
        b"\n" + WHOLE,
        b"\xff\xfes\0t\0e\0p\0,\0\n\0",
        b"st" + b"x" * 3_000_000,
        bytes(3_000_000),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b'"step,loss\n1,2\n',
        b"step\ra,b\n1,2\n",
    ],
)
def test_what_is_no_table_is_refused_and_not_touched(content, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"OutputHook: .*t\.csv is no table of a run.*; move it a"
    ):
        Table(path, 3)
    assert path.read_bytes() == content


names = st.text(st.characters(codec=None), max_size=6).filter(lambda n: n not in ("step",))


@given(
    st.lists(names, max_size=4, unique_by=lambda n: n.encode("utf-8", "backslashreplace")),
    st.floats(),
)
def test_any_names_and_numbers_read_back_exactly(tmp_path_factory, columns, value):
    path = tmp_path_factory.mktemp("names") / "t.csv"
    row = dict.fromkeys(columns, value)
    for last in (0, 1, 2):  # as a run that is resumed twice
        table = Table(path, last)
        table.write({"step": last + 1} | row)
        table.close()
    head, *rows = csv.reader(io.StringIO(path.read_bytes().decode()))
    assert head == ["step", *(n.encode("utf-8", "backslashreplace").decode() for n in columns)]
    assert [r[0] for r in rows] == ["1", "2", "3"]
    for cells in rows:
        np.testing.assert_equal([float(c) for c in cells[1:]], list(row.values()))


def test_other_columns_are_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(WHOLE)
    table = Table(path, 3)
    with pytest.raises(
        ConfigError, match=r"has the columns .*'accuracy'\], the run now .*NaN wher"
    ):
        table.write({"step": 4, "loss": 1.0})
    table.close()
    assert path.read_bytes() == WHOLE


def test_a_table_that_this_process_has_left_is_read_again_only_if_it_is_another(
    tmp_path, monkeypatch
):
    path, read = tmp_path / "t.csv", []
    real = _table._cut
    monkeypatch.setattr(_table, "_cut", lambda *given: read.append(given) or real(*given))
    path.write_bytes(WHOLE)
    go_on(path, 3)
    assert len(read) == 1
    go_on(path, 4)
    go_on(path, 5)
    assert len(read) == 1
    assert path.read_bytes() == ONE_MORE + b"5,4.0,1.0\n6,4.0,1.0\n"
    with pytest.raises(ConfigError, match="has the columns"):
        go_on(path, 6, more=1)
    go_on(path, 4)  # an earlier step: rows must go
    assert len(read) == 2
    path.write_bytes(ONE_MORE + b"4,2.0,1.0\ntorn")
    go_on(path, 5)
    assert len(read) == 3
    assert path.read_bytes() == ONE_MORE + b"4,2.0,1.0\n6,4.0,1.0\n"
    for number in range(2 * _table._REMEMBERED):
        go_on(tmp_path / f"{number}.csv")
    assert len(_table._left) == _table._REMEMBERED


def test_a_cut_at_the_end_does_not_write_the_file_anew(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(WHOLE)
    number = path.stat().st_ino
    go_on(path, 2)
    assert path.read_bytes() == HEAD + ROWS[0] + ROWS[1] + b"3,4.0,1.0\n"
    assert path.stat().st_ino == number


def test_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    real, path = tmp_path / "disk" / "t.csv", tmp_path / "t.csv"
    path.symlink_to(real)
    for edited in (b"", WHOLE.replace(b"\n", b"\r\n")):
        real.write_bytes(edited)
        go_on(path)
        assert path.is_symlink()
        assert real.read_bytes() == (ONE_MORE if edited else HEAD + NEXT)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_folder_is_refused_at_once_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("pipe", "folder"):
        with pytest.raises(ConfigError, match=f"{name} is no file; give another path"):
            Table(tmp_path / name, 0)
    with pytest.raises(
        OutputError, match=r"cannot write .*loop: Too many levels of symbolic links"
    ):
        Table(tmp_path / "loop", 0)
    go_on(tmp_path.joinpath("/dev/null"))
    with pytest.raises(ConfigError, match="leave out the NUL character"):
        Table(tmp_path / "a\0b", 0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a full disk to try")
def test_a_full_disk_is_told(tmp_path):
    table = Table(tmp_path.joinpath("/dev/full"), 0)
    for _ in range(2):
        with pytest.raises(
            OutputError, match=r"cannot write /dev/full: No space .*; make room, and"
        ):
            table.write({"step": 1})
    table.close()


def write_many(table):
    for step in range(1, 100):
        table.write({"step": step, "loss": 0.125})


resource = pytest.importorskip("resource") if sys.platform != "win32" else None


@pytest.mark.skipif(resource is None, reason="needs a limit for the size of files")
def test_a_row_that_does_not_fit_is_not_begun(tmp_path):
    """The limit is real: the system takes a part of the row, then refuses."""
    path = tmp_path / "t.csv"
    table = Table(path, 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        with pytest.raises(
            OutputError, match=r"t\.csv: File too large; make room, and run the same"
        ):
            write_many(table)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    table.close()
    size = path.stat().st_size
    assert 90 < size <= 100
    assert path.read_bytes().endswith(b",0.125\n")
    Table(path, 99).close()
    assert path.stat().st_size == size  # there was nothing to be dropped


def test_a_table_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_bytes(WHOLE)

    def refuse(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr("os.open", refuse)
        with pytest.raises(
            OutputError, match="Read-only file system; make it writable, or give an"
        ):
            Table(path, 3)
    with monkeypatch.context() as patch:
        patch.setattr("os.truncate", refuse)
        with pytest.raises(
            OutputError, match="Read-only file system; make it writable, or give an"
        ):
            Table(path, 2)
    with monkeypatch.context() as patch:
        patch.setattr("minicnn._files._write", refuse)
        path.write_bytes(WHOLE.replace(b"\n", b"\r\n"))
        with pytest.raises(
            OutputError, match="Read-only file system; make it writable, or give an"
        ):
            Table(path, 2)
    assert path.read_bytes() == WHOLE.replace(b"\n", b"\r\n")
    (tmp_path / "file").touch()
    with pytest.raises(
        OutputError, match=r"t\.csv: a file is where a folder should be; give anoth"
    ):
        Table(tmp_path / "file" / "t.csv", 2)
    assert not isinstance(OutputError("x"), CheckpointError)  # after which nothing is saved


@pytest.mark.skipif(os.name == "nt", reason="about POSIX permissions")
def test_a_new_table_may_be_read_as_other_files_may(tmp_path):
    before = os.umask(0o022)
    try:
        go_on(tmp_path / "t.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "t.csv").stat().st_mode) == 0o644
