"""Broken files stop a run and are named, or are left out by choice: counted, listed, written."""

import csv
import os
import shutil
import signal

import pytest
from command_line import QUICK, result, start
from PIL import Image

from minicnn.data.gtsrb import load_gtsrb
from minicnn.errors import DataError

ONE = ["--epochs", "1", *QUICK[2:]]
LINE = "20,20,1,1,18,18,{label},{path}"


def spoil(folder):
    """Break ten files of the set, each in a way of its own; return their names."""
    victims = [sorted(folder.glob(f"Train/{label}/*.png"))[0] for label in range(20, 28)]
    whole = victims[0].read_bytes()
    victims[0].write_bytes(b"")
    victims[1].write_bytes(whole[: len(whole) // 2])
    victims[2].write_bytes(b"a text, whatever its name says")
    victims[3].write_bytes(b"P6 60000 60000 255\n")
    victims[4].unlink()
    Image.new("RGB", (21, 20)).save(victims[5])
    flipped = bytearray(whole)
    flipped[-30] ^= 255
    victims[6].write_bytes(flipped)
    victims[7].unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(victims[7])
    else:
        victims[7].mkdir()
    table = folder / "Train.csv"
    again = "Train/30/00030_00000_00000.png"
    outside = "../Train/31/00031_00000_00000.png"
    lines = [LINE.format(label=30, path=again), LINE.format(label=43, path=outside)]
    table.write_text(table.read_text() + "\n".join(lines) + "\n")
    return [victim.name for victim in victims] + ["Train.csv line 260", "Train.csv line 261"]


@pytest.fixture(scope="module")
def bad(archive, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad") / "set"
    shutil.copytree(archive, folder)
    return folder, spoil(folder)


@pytest.fixture(scope="module")
def skipped(bad, tmp_path_factory):
    """A run on the others, by the real command line: its folder, and what it printed."""
    run = tmp_path_factory.mktemp("run")
    process = start(
        "--data", bad[0], "--model-dir", run, "--skip-bad", "--json", *ONE,
        PYTHONIOENCODING="ascii",
    )  # fmt: skip
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == "" or "Traceback" not in err
    return run, out


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_by_default_the_run_stops_and_says_which(bad, tmp_path):
    process = start("--data", bad[0], "--model-dir", tmp_path / "run", *ONE)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Train.csv line 260: lists 'Train/30/00030_00000_00000.png' again; line" in err
    assert "mend it, or skip what is broken (--skip-bad)" in err
    assert err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_each_of_them_stops_the_run(archive, tmp_path):
    """One after the other is named, and mended, until none is left."""
    folder = tmp_path / "set"
    shutil.copytree(archive, folder)
    names = spoil(folder)
    for left in range(10, 0, -1):
        with pytest.raises(DataError, match="mend it") as caught:
            load_gtsrb(folder, size=16, cache=None)
        named = [name for name in names if name in str(caught.value).partition(": ")[0]]
        assert len(named) == 1, f"{left} are left: {caught.value}"
        names.remove(named[0])
        if named[0].startswith("Train.csv"):
            table = folder / "Train.csv"
            lines = table.read_text().splitlines()
            lines[int(named[0].split()[-1]) - 1] = ""
            table.write_text("\n".join(lines))
        else:
            (victim,) = archive.glob(f"Train/*/{named[0]}")
            mended = folder / victim.relative_to(archive)
            mended.unlink(missing_ok=True)
            shutil.copy(victim, mended)
    assert len(load_gtsrb(folder, size=16, cache=None)) == 258


def test_by_choice_they_are_counted_and_listed_at_the_end(bad, skipped):
    run, out = skipped
    lines = out.splitlines()
    assert "10 broken ones are left out; the list is at the end" in out
    end = lines.index("skipped  10 broken ones:")
    assert end > next(i for i, line in enumerate(lines) if line.startswith("trained "))
    listed = "\n".join(lines[end + 1 : end + 11])
    rows = rows_of(run / "skipped.csv")
    assert rows[0] == ["file", "fault"]
    assert len(rows) == 11
    for name in bad[1]:
        assert name in listed
        assert sum(name in file for file, _ in rows) == 1
    assert f"the whole list is in {run / 'skipped.csv'}" in out
    assert result(out)["skipped"] == 10


def test_the_list_says_what_is_wrong_with_each(skipped):
    rows = rows_of(skipped[0] / "skipped.csv")
    faults = "\n".join(fault for _, fault in rows[1:])
    for fault in (
        "is an empty file", "is a broken PNG image", "is not an image (PNG, JPEG", "is missing",
        "claims 60000 x 60000 pixels", "is 21 x 20 pixels, but its table says 20 x 20",
        "class 43 does not exist", "again; line ",
    ):  # fmt: skip
        assert fault in faults
    assert "is a pipe, not a file" in faults or not hasattr(os, "mkfifo")


def test_evaluation_does_likewise(bad, skipped, command):
    run, out = skipped
    status, _, err = command("evaluate", "--model-dir", run, "--data", bad[0], "--part", "train")
    assert status == 2
    assert "Train.csv line 260" in err
    status, again, _ = command("evaluate", "--model-dir", run, "--json")
    assert status == 0, "on its own data a run leaves out what it left out in training"
    assert result(again)["skipped"] == 10
    assert result(again)["accuracy"] == result(out)["accuracy"]
    assert "skipped  10 broken ones:" in again
    assert len(rows_of(run / "skipped-in-evaluation.csv")) == 11


def test_a_resumed_run_leaves_out_the_same(bad, tmp_path, command, skipped):
    status, out, err = command("--resume", "--model-dir", skipped[0], "--json")
    assert status == 0, err
    assert result(out)["skipped"] == 10
    assert result(out)["checkpoint_sha256"] == result(skipped[1])["checkpoint_sha256"]


def test_none_left_is_an_error(archive, tmp_path, command):
    folder = tmp_path / "set"
    shutil.copytree(archive, folder)
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    status, _, err = command("--data", folder, "--model-dir", tmp_path / "run", "--skip-bad")
    assert status == 2
    assert f"{folder}: no usable image; " in err
    assert "is an empty file; and 255 more" in err
    assert not (tmp_path / "run").exists()


def test_a_sound_set_lists_nothing(archive, tmp_path, command):
    status, out, _ = command("--data", archive, "--model-dir", tmp_path, "--skip-bad", *ONE)
    assert status == 0
    assert "skipped  0 broken ones\n" in out
    assert rows_of(tmp_path / "skipped.csv") == [["file", "fault"]]


def test_names_of_any_bytes_are_printed(archive, tmp_path, command):
    """On a terminal of UTF-8 they would end the program with a UnicodeEncodeError."""
    try:
        os.mkdir(os.fsencode(tmp_path) + b"/sign\xe9s")
    except OSError:
        pytest.skip("this file system takes no such names")
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/sign\xe9s")
    shutil.copytree(archive, folder + "/set")
    victim = sorted((tmp_path / folder / "set/Train/7").glob("*.png"))[0]
    victim.rename(victim.with_name(os.fsdecode(b"\xff.png")))
    run = folder + "/run"
    status, out, err = command("--data", folder, "--model-dir", run, "--skip-bad", "--json", *ONE)
    assert status == 0, err
    assert "sign\\xe9s/set" in out
    assert result(out)["skipped"] == 1
    words = ["--model-dir", run, "--data", folder, "--part", "train"]
    process = start("evaluate", *words, PYTHONIOENCODING="utf-8")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "sign\\xe9s/set" in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name != "posix", reason="signals of this kind are POSIX")
def test_a_second_run_in_one_folder_is_told_so(archive, tmp_path, command):
    from test_gtsrb import wait_for_step

    long = ["--epochs", "500", *QUICK[2:]]
    first = start("--data", archive, "--model-dir", tmp_path, *long)
    try:
        wait_for_step(tmp_path, 3, first)
        before = (tmp_path / "settings.json").read_bytes()
        status, _, err = command("--data", archive, "--model-dir", tmp_path, "--seed", 3, *long)
        assert status == 2
        assert f"is in use by process {first.pid} on" in err
        assert (tmp_path / "settings.json").read_bytes() == before
    finally:
        first.send_signal(signal.SIGTERM)
        _, err = first.communicate(timeout=60)
    assert first.returncode == 143
    assert "go on with: python -m minicnn.train gtsrb --resume" in err
