"""`verify` finds whatever is damaged, and nothing else."""

import hashlib
import json
import os
import re
import shutil
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn import _files
from minicnn.estimator import (
    _inspection as inspection,
)
from minicnn.estimator import (
    check_checkpoint,
    list_checkpoints,
    newest_sound_checkpoint,
)
from tests.checkpoint_command.folders import (
    as_json,
    everything_in,
    flip,
    replace,
    save,
)


@pytest.mark.parametrize("inner", ["", "checkpoints", "checkpoints/step-00000600"])
def test_a_run_can_be_named_in_three_ways(run, inner, command, monkeypatch):
    for where in (run / inner, os.path.relpath(run / inner)):
        status, out, _ = command("verify", where)
        assert status == 0
        assert re.search(r"^ok step-00000600  4 files, \S+ k?B$", out, re.M)
        assert ("a resumed run would go on from step 600" in out) == (not inner.endswith("600"))
    monkeypatch.chdir(run / inner)
    assert command("verify", ".")[:2] == (status, out)


def test_verify_names_what_is_damaged_and_what_a_run_would_do(run, command):
    before = everything_in(run)
    flip(run / "checkpoints/step-00000600/weights.safetensors")
    status, out, _ = command("verify", run)
    assert status == 1
    lines = out.splitlines()
    assert lines[0].startswith("ok step-00000200")
    assert lines[2] == (
        "DAMAGED step-00000600: weights.safetensors: its SHA-256 is not the one saved with it"
    )
    assert lines[3] == "a resumed run would go on from step 400; 1 newer checkpoint is damaged"
    report = as_json(command("verify", "--json", run)[1])
    assert (report["sound"], report["newest"], report["newer_damaged"]) == (
        False, "step-00000400", 1,
    )  # fmt: skip
    assert [each["state"] for each in report["checkpoints"]] == ["sound", "sound", "damaged"]
    flip(run / "checkpoints/step-00000600/weights.safetensors")
    after = everything_in(run)
    changed = {path for path in after if before[path] != after[path]}
    assert {path.name for path in changed} == {"weights.safetensors"}  # by this test itself


def test_verify_when_nothing_is_sound(run, command):
    for path in list_checkpoints(run / "checkpoints"):
        (path / "state.json").unlink()
    status, out, _ = command("verify", run)
    assert status == 1
    assert "DAMAGED step-00000200: state.json is missing" in out
    assert "no checkpoint is sound: a resumed run would refuse to begin" in out


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_verify_agrees_with_what_a_run_can_load(tmp_path_factory, data):
    """Whatever is done to whichever file, checksums made good or not."""
    folder = tmp_path_factory.mktemp("run")
    path = save(folder, 200)
    file = data.draw(st.sampled_from(sorted(path.iterdir())))
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "zero", "digit"]))
    if kind == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del content[at : at + data.draw(st.integers(1, len(content)))]
    elif kind == "insert":
        content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    elif kind == "zero":
        content[at : at + 8] = bytes(8)
    else:
        content[at] = data.draw(st.sampled_from(b'0123456789"{}[],: -.eE'))
    if data.draw(st.booleans()) and file.name != "SHA256SUMS":
        replace(path, file.name, bytes(content))
    else:
        file.write_bytes(content)
    found = inspection.examine(path, thorough=True)
    loads = check_checkpoint(path)
    assert (found.fault is None) == (loads is None), (found.fault, loads)
    sound, _ = newest_sound_checkpoint(folder / "checkpoints")
    assert found.sound == (sound is not None)


def test_checkpoints_of_the_first_version_are_verified_too(run, command):
    path = run / "checkpoints/step-00000600"
    sums = _files.sums_from_bytes((path / "SHA256SUMS").read_bytes(), path)
    (path / "SHA256SUMS").unlink()
    digests = {name: digest for name, digest in sums.items() if name != "state.json"}
    head = json.loads((path / "state.json").read_bytes()) | {"version": 1, "sha256": digests}
    (path / "state.json").write_text(json.dumps(head))
    assert check_checkpoint(path) is None
    assert command("verify", path)[0] == 0
    flip(path / "arrays.safetensors")
    assert "DAMAGED step-00000600: arrays.safetensors: " in command("verify", path)[1]
    (path / "state.json").write_text(json.dumps(head | {"sha256": {"../../../secret": "0" * 64}}))
    assert "lists '../../../secret', which is no file of it" in command("verify", path)[1]


def test_a_checkpoint_that_is_deleted_while_it_is_read_is_no_error(run, command, monkeypatch):
    read = inspection.stored_arrays

    def delete_then_read(file, path):
        if path.parent.name == "step-00000200" and path.parent.exists():
            shutil.rmtree(path.parent)
            save(run, 800)  # the run goes on there
        return read(file, path)

    monkeypatch.setattr(inspection, "stored_arrays", delete_then_read)
    status, out, _ = command("verify", run)
    assert status == 0
    assert "gone step-00000200: it was deleted while it was read" in out
    assert "ok step-00000800" in out
    assert out.endswith("a resumed run would go on from step 800\n")


def test_large_arrays_take_little_memory(tmp_path, command):
    path = save(tmp_path, 3)
    size = 64 << 20
    header = json.dumps(
        {"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    ).encode()
    with (path / "weights.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)  # no block of the disk is used
    with (path / "weights.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    sums = re.sub(r"\w+(?=  weights)", digest, (path / "SHA256SUMS").read_text())
    (path / "SHA256SUMS").write_text(sums)
    for action in ("verify", "show"):
        tracemalloc.start()
        try:
            assert command(action, path)[0] == 0
            assert tracemalloc.get_traced_memory()[1] < 24 << 20
        finally:
            tracemalloc.stop()
