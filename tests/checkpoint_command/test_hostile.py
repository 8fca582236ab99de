"""Folders that nobody meant to be looked at."""

import json
import os

import numpy as np
import pytest

from minicnn._reading import printable
from minicnn.estimator import (
    check_checkpoint,
)
from tests.checkpoint_command.folders import (
    WEIGHTS,
    as_json,
    replace,
    rewrite_state,
    save,
)

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX's files")


def hostile_places(folder):
    (folder / "empty").mkdir()
    (folder / "file").write_text("x")
    (folder / "lost").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "run/checkpoints").mkdir(parents=True)
    (folder / "run/checkpoints/.unfinished-step-00000001-1-1").mkdir()
    return ["missing", "empty", "file", "lost", "pipe", "run", "nul\0"]


@POSIX
@pytest.mark.parametrize("action", ["show", "verify", "diff", "prune --keep 1"])
def test_where_there_is_no_checkpoint_one_line_says_so(tmp_path, action, command):
    for name in hostile_places(tmp_path):
        status, out, err = command(*action.split(), tmp_path / name)
        assert (status, out) == (2, ""), name
        assert len(err.splitlines()) == 1, err
        assert f"{action.split()[0]}: error: " in err
        assert printable(str(tmp_path / name)) in err


def deep(head):
    nested: object = 1
    for _ in range(300):
        nested = {"deeper": [nested]}
    return head | {"state": nested}


def wrong_types(head):
    state = {
        "params": [1, {"\x1b[31m": "\x1b[2J\r\n\u202e"}], "seed": {"a": 1}, "examples": "many",
        "input": None, "hooks": ["x"], "best": {"step": [1], "value": float("nan")}, "more": 1e999,
    }  # fmt: skip
    return head | {"state": state}


@pytest.mark.parametrize(
    ("change", "sound"),
    [
        (deep, False),
        (wrong_types, True),
        (lambda h: h | {"state": None}, True),
        (lambda h: h | {"state": {"x": {"__array__": ["\x1b[31m"]}}}, False),
        (lambda h: h | {"state": {"x": {"__array__": "\x1b[31m"}}}, False),
        (lambda h: h | {"version": "\x1b[31m"}, False),
        (lambda h: h | {"step": True}, False),
        (lambda h: [h], False),
        (lambda h: h | {"state": {"best": {"step": None}, "params": {"a": [[[]]] * 2000}}}, True),
    ],
)
def test_absurd_states_are_told_not_crashed_on(run, command, change, sound):
    path = run / "checkpoints/step-00000600"
    rewrite_state(path, change)
    assert (check_checkpoint(path) is None) == sound
    assert command("verify", run)[0] == (not sound)
    for words in (
        ["show", run], ["show", path], ["show", run, "--json"], ["diff", run],
        ["verify", "--json", path], ["prune", run, "--keep", "2", "--dry-run"],
    ):  # fmt: skip
        status, out, err = command(*words)
        assert status in (0, 1), err
        assert out
        assert not err
        if "--json" in words:
            as_json(out)
    assert ("DAMAGED" in command("verify", path)[1]) == (not sound)


def test_json_deeper_than_python_reads_is_damage(run, command):
    path = run / "checkpoints/step-00000600"
    replace(path, "state.json", b"[" * 100_000)
    assert check_checkpoint(path) is not None
    status, out, _ = command("verify", run)
    assert status == 1
    assert "DAMAGED step-00000600: " in out


HEADERS = {
    "empty": b"",
    "short": b"\x01\0\0",
    "too long": (1 << 40).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"{{{{",
    "a list": (2).to_bytes(8, "little") + b"[]",
}


def header(**entries):
    content = json.dumps(entries).encode()
    return len(content).to_bytes(8, "little") + content


HEADERS |= {
    "2^60 elements": header(w={"dtype": "F32", "shape": [2**60], "data_offsets": [0, 2**62]}),
    "overflow": header(w={"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}),
    "huge and none": header(w={"dtype": "F32", "shape": [2**62, 0, 8], "data_offsets": [0, 0]}),
    "axes": header(w={"dtype": "U8", "shape": [1] * 9999, "data_offsets": [0, 1]}) + b"0",
    "negative": header(w={"dtype": "U8", "shape": [-1], "data_offsets": [1, 0]}),
    "true": header(w={"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}) + b"0",
    "type": header(w={"dtype": "\x1b[31m", "shape": [], "data_offsets": [0, 0]}),
    "entry": header(w=[1, 2]),
    "gap": header(w={"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}) + b"00",
    "twice": header(
        v={"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        w={"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    ) + b"0",
    "overlap": header(
        v={"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        w={"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
    ) + b"00",
    "behind": header() + b"0",
    "name": header(**{"\x1b[31m\n": {"dtype": "U8", "shape": [2], "data_offsets": [0, 1]}}) + b"0",
}  # fmt: skip


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_absurd_headers_are_damage(run, content, command):
    path = run / "checkpoints/step-00000600"
    replace(path, "weights.safetensors", content)
    assert check_checkpoint(path) is not None
    status, out, _ = command("verify", path)
    assert status == 1
    assert out.startswith("DAMAGED step-00000600: weights.safetensors is no intact safetensors")
    assert len(out.splitlines()) == 1
    status, out, _ = command("show", path)
    assert status == 0
    assert "is no intact safetensors file" in out


@POSIX
@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "SHA256SUMS"])
def test_a_pipe_or_a_folder_in_a_file_s_place_is_not_waited_for(run, name, command):
    path = run / "checkpoints/step-00000600" / name
    path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        status, out, _ = command("verify", run)
        assert status == 1
        assert f"DAMAGED step-00000600: {name} is no file" in out
        assert command("show", path.parent)[0] == 0
        (os.unlink if make is os.mkfifo else os.rmdir)(path)
    path.symlink_to("/dev/zero")
    assert f"{name} is no file" in command("verify", run)[1]


@POSIX
def test_names_do_nothing_to_a_terminal(run, command):
    folder = os.fsencode(run / "checkpoints")
    os.mkdir(folder + b"/damaged-\xff\x1b[31m\n\xe2\x80\xae")
    os.mkdir(folder + b"/.unfinished-\x07\xfe")
    weights = WEIGHTS | {"\x1b]0;title\x07": np.array([np.nan], np.float32)}
    save(run, 800, weights=weights, more={"\x1b[2J": "\x1b[H\u2028"})
    for words in (["show", run], ["show", "--arrays", run], ["verify", run], ["diff", run],
                  ["prune", run, "--keep", 9, "--dry-run"]):  # fmt: skip
        status, out, _ = command(*words)
        assert status in (0, 1)
        assert all(line.isprintable() for line in out.splitlines())
    assert "damaged-\\xff\\x1b[31m\\n\\u202e" in command("show", run)[1]
    assert "\\x1b]0;title\\x07" in command("show", "--arrays", run)[1]
    for words in (["show", "--json", run], ["prune", "--json", run, "--keep", 9, "--dry-run"]):
        out = command(*words)[1]
        assert out.isascii()
        as_json(out)
    assert command("prune", run, "--keep", 9, "--damaged")[0] == 0
    assert len(os.listdir(folder)) == 4


@pytest.mark.parametrize(
    "name", ["a" * 300, "..", "/dev/zero", "\0", "\x1b[31m", "x", "state.json "]
)
def test_checksums_of_files_that_are_none_of_it(run, name, command):
    path = run / "checkpoints/step-00000600"
    sums = (path / "SHA256SUMS").read_text("ascii")
    (path / "SHA256SUMS").write_text(sums + f"{'0' * 64}  {name}\n", "ascii")
    assert check_checkpoint(path) is not None
    status, out, _ = command("verify", run)
    assert status == 1
    assert "DAMAGED step-00000600: " in out


def test_nan_that_processors_complain_of(run, command):
    path = run / "checkpoints/step-00000600"
    content = header(w={"dtype": "F32", "shape": [2], "data_offsets": [0, 8]})
    replace(path, "weights.safetensors", content + b"\1\0\xa0\x7f" * 2)
    assert "2 NaN" in command("show", path)[1]
    assert command("diff", run)[0] == 1
