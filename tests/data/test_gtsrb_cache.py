"""The cache is used when it is right, made again when it is not, and never in the way."""

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gtsrb_files import encoded, expect, image, kaggle, official, write, zipped

from minicnn.data import gtsrb, image_cache
from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import DataError


@pytest.fixture
def decoded(monkeypatch):
    """The names of the images that were really decoded."""
    names = []
    original = gtsrb._picture

    def spy(tree, record, size, roi):
        names.append(record.name)
        return original(tree, record, size, roi)

    monkeypatch.setattr(gtsrb, "_picture", spy)
    return names


def same(a, b):
    for column in ("images", "labels", "tracks"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
        assert getattr(a, column).dtype == getattr(b, column).dtype
    assert (a.names, a.source, a.skipped, a.notes) == (b.names, b.source, b.skipped, b.notes)


def test_second_time_nothing_is_decoded(tmp_path, decoded):
    folder = official(tmp_path / "a")
    first = load_gtsrb(folder, size=8, cache=tmp_path / "c")
    assert len(decoded) == 12
    second = load_gtsrb(folder, size=8, cache=str(tmp_path / "c"))
    assert len(decoded) == 12
    same(first, second)
    expect(second)
    assert [p.suffix for p in (tmp_path / "c").iterdir()] == [".npz"]


def test_no_cache_writes_nothing(tmp_path, monkeypatch, decoded):
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "c"))
    for cache in (None, False):
        load_gtsrb(official(tmp_path / "a"), size=8, cache=cache)
    assert len(decoded) == 24
    assert not (tmp_path / "c").exists()


def test_the_usual_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MINICNN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert image_cache.cache_folder() == tmp_path / "x/minicnn"
    monkeypatch.setenv("MINICNN_CACHE", str(tmp_path / "m"))
    assert image_cache.cache_folder() == tmp_path / "m"
    load_gtsrb(official(tmp_path / "a"), size=8)
    assert len(list((tmp_path / "m").glob("gtsrb-train-8-*.npz"))) == 1
    monkeypatch.delenv("MINICNN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert image_cache.cache_folder() == tmp_path / ".cache/minicnn"


def test_anything_that_matters_makes_another_file(tmp_path, decoded):
    folder, cache = kaggle(kaggle(tmp_path / "a"), "Test"), tmp_path / "c"
    variants = [{}, {"size": 9}, {"roi": False}, {"part": "test"}]
    for count, options in enumerate(variants, 1):
        load_gtsrb(folder, cache=cache, **{"size": 8, **options})
        assert len(list(cache.iterdir())) == count
    assert len(decoded) == 12 * len(variants)


def test_a_changed_image_or_label_is_seen(tmp_path, decoded):
    folder, cache = kaggle(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=8, cache=cache)
    file = folder / "Train/0/00000_00000_00000.png"
    write(file, encoded(image(0, 0, 0)[0] // 2, "PNG"))
    os.utime(file, (1e9, 1e9))
    changed = load_gtsrb(folder, size=8, cache=cache)
    assert changed.images[0, 4, 4].tolist() == [20, 30, 25]
    table = kaggle(tmp_path / "b", "Test") / "Test.csv"
    for label in (1, 4):  # in the test part no folder says the class as well
        write(table, table.read_text().replace(",1,Test", f",{label},Test"))
        found = load_gtsrb(table.parent, size=8, part="test", cache=cache).labels.tolist()
        assert found == [0] * 4 + [label] * 4 + [2] * 4
    assert len(decoded) == 48


def test_a_zip_may_move(tmp_path, decoded):
    first = load_gtsrb(zipped(kaggle(tmp_path / "a"), tmp_path / "b.zip"), 8, cache=tmp_path / "c")
    (tmp_path / "b.zip").rename(tmp_path / "d.zip")
    second = load_gtsrb(tmp_path / "d.zip", 8, cache=tmp_path / "c")
    assert len(decoded) == 12
    assert first.source.endswith("b.zip")
    assert second.source.endswith("d.zip")


def test_skipped_records_are_remembered_but_never_taken_for_whole(tmp_path, decoded):
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    write(folder / "GTSRB/Final_Training/Images/00001/00000_00001.ppm", b"")
    first = load_gtsrb(folder, size=8, cache=cache, skip_bad=True)
    same(first, load_gtsrb(folder, size=8, cache=cache, skip_bad=True))
    assert len(decoded) == 12
    with pytest.raises(DataError, match="is an empty file"):
        load_gtsrb(folder, size=8, cache=cache)


def damage_cut(data):
    return data[: len(data) // 2]


def damage_flip(data):
    place = len(data) // 3
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        damage_cut,
        damage_flip,
        lambda data: b"",
        lambda data: b"not a cache",
        lambda data: data[:-3],
    ],
)
def test_broken_cache_is_made_again(tmp_path, decoded, caplog, damage):
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=16, cache=cache)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    with caplog.at_level(logging.WARNING):
        table = load_gtsrb(folder, size=16, cache=cache)
    expect(table)
    assert len(decoded) == 24
    assert f"{file} is broken" in caplog.text
    assert load_gtsrb(folder, size=16, cache=cache)
    assert len(decoded) == 24


def with_columns(file, **changes):
    """The cache's file with some columns changed, or given as the raw bytes of a .npy file."""
    with np.load(file) as columns:
        new = {name: columns[name] for name in columns.files} | changes
    with zipfile.ZipFile(file, "w") as members:
        for name, column in new.items():
            content = io.BytesIO()
            if isinstance(column, bytes):
                content.write(column)
            else:
                np.save(content, column)
            members.writestr(f"{name}.npy", content.getvalue())


def header(shape, kind="|u1"):
    file = io.BytesIO()
    description = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, description)
    return file.getvalue() + bytes(100)


def text(content):
    return np.frombuffer(
        content if isinstance(content, bytes) else json.dumps(content).encode(), np.uint8
    )


def other_text(file, **changes):
    with np.load(file) as columns:
        return text(json.loads(bytes(columns["text"])) | changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: {"images": np.zeros((3, 8, 8, 3), np.uint8)},
        lambda file: {"images": np.zeros((12, 8, 8, 3), np.float32)},
        lambda file: {"images": header((2**40, 8, 8, 3))},
        lambda file: {"images": header((2**62, 2**62, 2**62, 3))},
        lambda file: {"images": header((-1, 8, 8, 3))},
        lambda file: {"images": header((12, 8, 8, 3), "|O")},
        lambda file: {"images": b"\x93NUMPY\x01\0\xff\xff" + b"(" * 70_000},
        lambda file: {"labels": np.full(12, 43)},
        lambda file: {"labels": np.zeros(12, np.int32)},
        lambda file: {"tracks": np.zeros((12, 1), np.int64)},
        lambda file: {"text": text(b"[" * 100_000)},
        lambda file: {"text": text(b"9" * 10_000)},
        lambda file: {"text": text([])},
        lambda file: {"text": text(b"\xff\xfe")},
        lambda file: {"text": other_text(file, key="of another")},
        lambda file: {"text": other_text(file, names=[1] * 12)},
        lambda file: {"text": other_text(file, skipped=[[1, 2]])},
        lambda file: {"text": other_text(file, skipped=[["a", "b", "c"]])},
        lambda file: {"text": other_text(file, source=None)},
        lambda file: {"more": np.zeros(3)},
    ],
)
def test_foreign_cache_file_is_not_used(tmp_path, decoded, caplog, change):
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=8, cache=cache)
    (file,) = cache.iterdir()
    with_columns(file, **change(file))
    with caplog.at_level(logging.WARNING):
        expect(load_gtsrb(folder, size=8, cache=cache))
    assert f"{file} is broken (" in caplog.text
    assert len(decoded) == 24
    expect(load_gtsrb(folder, size=8, cache=cache))
    assert len(decoded) == 24


def test_a_rewritten_cache_file_that_is_right_is_used(tmp_path, decoded):
    """Else the test above would pass for the wrong reason."""
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=8, cache=cache)
    (file,) = cache.iterdir()
    with_columns(file)
    expect(load_gtsrb(folder, size=8, cache=cache))
    assert len(decoded) == 12


def test_packed_cache_file_is_not_unpacked(tmp_path, decoded):
    """A zip bomb in place of the cache."""
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=8, cache=cache)
    (file,) = cache.iterdir()
    with np.load(file) as columns:
        np.savez_compressed(file, **columns)
    expect(load_gtsrb(folder, size=8, cache=cache))
    assert len(decoded) == 24


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_place_of_the_cache_file(tmp_path, caplog):
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=8, cache=cache)
    (file,) = cache.iterdir()
    file.unlink()
    os.mkfifo(file)
    with caplog.at_level(logging.WARNING):
        expect(load_gtsrb(folder, size=8, cache=cache))
    assert "is a pipe, not a file" in caplog.text


def test_threads_that_make_the_same_cache_at_once(tmp_path, caplog):
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    start = threading.Barrier(4)

    def load():
        start.wait()
        expect(load_gtsrb(folder, size=8, cache=cache))

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(load) for _ in range(4)]:
            done.result()
    assert [p.suffix for p in cache.iterdir()] == [".npz"]
    assert not caplog.text


def test_ctrl_c_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def stop(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        load_gtsrb(official(tmp_path / "a"), size=8, cache=tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_cache_folder_that_cannot_be(tmp_path, caplog):
    write(tmp_path / "c", "a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        expect(load_gtsrb(official(tmp_path / "a"), size=8, cache=tmp_path / "c"))
    assert "going on without" in caplog.text


def test_disk_full_while_writing(tmp_path, monkeypatch, caplog):
    """The run goes on, says so, and leaves no half-written file."""

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        expect(load_gtsrb(official(tmp_path / "a"), size=8, cache=tmp_path / "c"))
    assert "No space left on device); going on without" in caplog.text
    assert list((tmp_path / "c").iterdir()) == []


def test_disk_that_really_refuses_half_way(tmp_path):
    """The system itself cuts the file at 20 kB, in a process of its own."""
    pytest.importorskip("resource")
    program = """
        import resource, signal, sys
        from minicnn.data.gtsrb import load_gtsrb
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        print(len(load_gtsrb(sys.argv[1], size=64, cache=sys.argv[2])))
    """
    paths = [str(official(tmp_path / "a")), str(tmp_path / "c")]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *paths],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert run.stdout.split() == ["12"], run.stderr
    assert "File too large); going on without" in run.stderr
    assert "Exception ignored" not in run.stderr
    assert list((tmp_path / "c").iterdir()) == []


def test_leftovers_of_killed_runs_are_swept(tmp_path):
    folder, cache = official(tmp_path / "a"), tmp_path / "c"
    load_gtsrb(folder, size=8, cache=cache)
    (file,) = cache.iterdir()
    file.unlink()
    old, young, other = (cache / f"{n}.npz.{n}-0.tmp" for n in (111, 222, 333))
    for leftover in (old, young, other):
        leftover.touch()
    os.utime(old, (1e9, 1e9))
    os.utime(other, (1e11, 1e11))  # before the clock was set back
    load_gtsrb(folder, size=8, cache=cache)
    assert sorted(cache.iterdir()) == sorted([file, young])
