"""What can go wrong with a checkpoint: kills, full disks, odd memory orders, foreign files."""

import errno
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minicnn import _files
from minicnn.errors import CheckpointError, ConfigError
from minicnn.estimator.checkpoint import (
    check_checkpoint,
    checkpoint_sha256,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    newest_sound_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, np.float32)}


def save(folder, step, value=0.0, **more):
    weights = {name: w + np.float32(value) for name, w in WEIGHTS.items()}
    return save_checkpoint(folder, step, weights, {"step": np.array(step)}, **more)


def everything_in(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def test_every_kind_of_array_comes_back(tmp_path):
    x = np.arange(24.0).reshape(2, 3, 4)
    arrays = {
        "transposed": x.T,
        "channels last": np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
        "gaps": x[:, ::2, 1::2],
        "backwards": x[::-1, :, ::-1],
        "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
        "column": np.ones((3, 1)).T,
        "float16": x.astype(np.float16),
        "int64": np.array([-(2**62), 2**62]),
        "uint8": np.arange(5, dtype=np.uint8),
        "bool": np.array([[True, False], [False, False]]).T,
        "scalar": np.array(7.5),
        "number": np.float32(2.5),
        "empty": np.zeros((0, 3)),
        "big endian": np.arange(3, dtype=">i4"),
        "special": np.array([np.nan, np.inf, -0.0]),
    }
    path = save_checkpoint(tmp_path, 1, arrays, dict(reversed(arrays.items())))
    back = load_checkpoint(path)
    for given in (back.weights, back.optimizer):
        assert list(given) == sorted(arrays)
        for name, a in arrays.items():
            np.testing.assert_array_equal(given[name], a)
            assert given[name].shape == np.shape(a)
            assert given[name].dtype == a.dtype.newbyteorder("=")
    assert np.signbit(back.weights["special"][2])


def test_state_with_arrays_comes_back(tmp_path):
    state = {
        "list": [1, 2.5, None, "x", True, {"deep": np.arange(3)}],
        "tuple": (1, np.array([[1.5]])),
        "infinite": float("-inf"),
        "numpy": np.int64(3),
        "empty": {},
    }
    back = load_checkpoint(save(tmp_path, 3, state=state)).state
    assert back["list"][:5] == [1, 2.5, None, "x", True]
    np.testing.assert_array_equal(back["list"][5]["deep"], np.arange(3))
    np.testing.assert_array_equal(back["tuple"][1], [[1.5]])
    assert back["infinite"] == float("-inf")
    assert back["numpy"] == 3
    assert back["empty"] == {}


def test_newest_is_the_highest_step_not_the_latest_file(tmp_path):
    paths = [save(tmp_path, step) for step in (5, 100, 99_999_999, 100_000_000)]
    os.utime(paths[0], (2**31, 2**31))
    assert list_checkpoints(tmp_path) == paths
    assert newest_checkpoint(tmp_path) == paths[-1]
    assert load_checkpoint(tmp_path).step == 100_000_000
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_keep_deletes_the_oldest(tmp_path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000003", "step-00000004"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]
    save(tmp_path, 5)
    assert len(list_checkpoints(tmp_path)) == 3
    save(tmp_path, 6, keep=1)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000006"]


def test_a_step_saved_again_replaces_it_without_a_gap(tmp_path, monkeypatch):
    save(tmp_path, 7, value=1, keep=1)
    seen = []
    delete = _files.delete_folder
    monkeypatch.setattr(
        _files, "delete_folder", lambda p: (seen.append(newest_checkpoint(tmp_path)), delete(p))
    )
    again = save(tmp_path, 7, value=2, keep=1)
    assert again.name == "step-00000007.1"
    assert seen == [again]  # the new one was there before the old one went
    assert list_checkpoints(tmp_path) == [again]
    assert load_checkpoint(tmp_path).weights["b"][0] == 2
    assert save(tmp_path, 7, value=3, keep=1).name == "step-00000007.2"
    assert save(tmp_path, 8, keep=1).name == "step-00000008"
    with pytest.raises(CheckpointError, match="is of a later step than 7"):
        save(tmp_path, 7)


def test_leftovers_are_ignored_and_cleaned(tmp_path):
    good = save(tmp_path, 3)
    (tmp_path / ".unfinished-step-00000009-77-0").mkdir()
    shutil.copy(good / "state.json", tmp_path / ".unfinished-step-00000009-77-0")
    (tmp_path / "step-00000010").write_text("a file")
    (tmp_path / "step-11").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    assert list_checkpoints(tmp_path) == [good]
    save(tmp_path, 4)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert not [n for n in names if n.startswith(".unfinished")]
    assert "notes.txt" in names


@pytest.mark.parametrize("at", ["write", "fsync", "rename", "mkdir"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, at):
    for step in (1, 2):
        save(tmp_path, step)
    before = everything_in(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def half(path, content):
        path.write_bytes(content[:10])
        full()

    with monkeypatch.context() as patch:
        if at == "write":
            patch.setattr(_files, "_write", half)
        elif at == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, at, full)
        with pytest.raises(CheckpointError) as caught:
            save(tmp_path, 3, keep=1)
    message = str(caught.value)
    assert "step-00000003: No space left on device" in message
    assert "bytes are needed" in message
    assert "earlier ones are untouched, newest step-00000002" in message
    assert isinstance(caught.value.__cause__, OSError)
    assert everything_in(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000002"]
    save(tmp_path, 3, keep=1)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-00000003"]


def test_a_real_limit_on_file_size(tmp_path):
    """As above with nothing replaced: the system itself refuses to write more."""
    save(tmp_path, 1)
    before = everything_in(tmp_path)
    code = """
import resource, signal, sys
import numpy as np
from minicnn.errors import CheckpointError
from minicnn.estimator.checkpoint import save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    save_checkpoint(sys.argv[1], 2, {"w": np.zeros(10000)}, {})
except CheckpointError as error:
    print(error)
"""
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    ).stdout
    assert "cannot write" in out
    assert "File too large (80" in out
    assert everything_in(tmp_path) == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 5000


def test_a_kill_while_saving_loses_nothing(tmp_path):
    """Killed at each system call of the second save, the first checkpoint stays loadable."""
    code = """
import os, sys
from pathlib import Path
import numpy as np
from minicnn.estimator.checkpoint import save_checkpoint
folder, left = Path(sys.argv[1]), int(sys.argv[2])
save_checkpoint(folder, 1, {"w": np.ones(3)}, {}, keep=1)
def counted(function):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os.kill(os.getpid(), 9)
        left -= 1
        return function(*args, **kwargs)
    return call
os.fsync, os.rmdir, os.unlink = counted(os.fsync), counted(os.rmdir), counted(os.unlink)
Path.rename, Path.open = counted(Path.rename), counted(Path.open)
save_checkpoint(folder, 2, {"w": np.full(3, 2.0)}, {}, keep=1)
"""
    found = []
    for left in range(0, 30, 2):
        folder = tmp_path / str(left)
        done = subprocess.run([sys.executable, "-c", code, folder, str(left)], check=False)
        back = load_checkpoint(folder)
        assert back.weights["w"].tolist() == [float(back.step)] * 3
        found.append(back.step)
        save_checkpoint(folder, 3, {}, {}, keep=1)
        assert [p.name for p in folder.iterdir()] == ["step-00000003"]
        if done.returncode == 0:
            break
        assert done.returncode == -9
    assert done.returncode == 0  # it was killed everywhere
    assert found == sorted(found)
    assert set(found) == {1, 2}


FILES = ["weights.safetensors", "optimizer.safetensors", "arrays.safetensors", "state.json"]


@pytest.mark.parametrize("name", [*FILES, "SHA256SUMS"])
def test_damage_is_found(tmp_path, name):
    """Every bit of every file counts, and so does its length."""
    path = save(tmp_path, 4, state={"a": 1, "b": np.zeros(3)})
    content = (path / name).read_bytes()
    generator = np.random.default_rng(4)
    for at in {0, len(content) - 1, *generator.integers(0, len(content), 20).tolist()}:
        flipped = bytearray(content)
        flipped[at] ^= 1 << int(generator.integers(8))
        (path / name).write_bytes(flipped)
        with pytest.raises(CheckpointError, match=f"{path.name}.*is damaged"):
            load_checkpoint(path)
        assert str(path) in check_checkpoint(path)
    for other in (content[: len(content) // 2], content + b"\n", b""):
        (path / name).write_bytes(other)
        with pytest.raises(CheckpointError, match=f"{name} is damaged|which {name} names"):
            load_checkpoint(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=f"is damaged: .*{name}.* is missing"):
        load_checkpoint(path)
    (path / name).write_bytes(content)
    assert check_checkpoint(path) is None


def test_sha256sum_verifies_a_checkpoint(tmp_path):
    path = save(tmp_path, 4, state={"b": np.zeros(3)})
    lines = (path / "SHA256SUMS").read_text().splitlines()
    assert sorted(line.split("  ")[1] for line in lines) == sorted(FILES)
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=path, check=True)


def test_a_checkpoint_of_version_1_is_read(tmp_path):
    """Then the digests were in state.json, which had none itself."""
    path = save(tmp_path, 4, state={"a": 1})
    head = json.loads((path / "state.json").read_text())
    digests = {n: hashlib.sha256((path / n).read_bytes()).hexdigest() for n in FILES[:2]}
    (path / "state.json").write_text(json.dumps(head | {"version": 1, "sha256": digests}))
    (path / "SHA256SUMS").unlink()
    assert load_checkpoint(path).state == {"a": 1}
    (path / FILES[0]).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=f"{FILES[0]} is damaged"):
        load_checkpoint(path)


def test_foreign_files_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path)
    path = save(tmp_path, 4)
    (path / "SHA256SUMS").unlink()
    deep = "[" * 100_000
    for text, message in (
        ("[]", "not of a minicnn checkpoint"),
        ("{", "no intact JSON"),
        (deep, "no intact JSON"),
        ('{"format": "minicnn checkpoint", "version": 99}', "version 99; this minicnn reads 2"),
        ('{"format": "minicnn checkpoint", "version": 2}', "is damaged: state.json says"),
        ('{"format": "minicnn checkpoint", "version": 2, "step": 4, "state": 0}', "SHA256SUMS"),
    ):
        (path / "state.json").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)


def test_a_folder_that_was_renamed_is_no_later_step(tmp_path):
    path = save(tmp_path, 4)
    with pytest.raises(CheckpointError, match=r"state\.json says it is of step 4"):
        load_checkpoint(path.rename(tmp_path / "step-00000900"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    path = save(tmp_path, 4)
    (path / "weights.safetensors").unlink()
    os.mkfifo(path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: it is no file"):
        load_checkpoint(path)


def test_the_newest_sound_one(tmp_path):
    assert newest_sound_checkpoint(tmp_path) == (None, [])
    paths = [save(tmp_path, step, keep=None) for step in (1, 2, 3)]
    for path in paths[1:]:
        (path / "weights.safetensors").write_bytes(b"")
    found, damaged = newest_sound_checkpoint(tmp_path)
    assert found is not None
    assert found.path == paths[0]
    assert [path for path, _ in damaged] == [paths[2], paths[1]]
    assert all("weights.safetensors is damaged" in fault for _, fault in damaged)


def test_what_cannot_be_read_now_is_not_called_damaged(tmp_path, monkeypatch):
    """With too many open files, say: a run must not go back to an older one for that."""
    paths = [save(tmp_path, step, keep=None) for step in (1, 2)]
    read = Path.read_bytes

    def exhausted(path):
        if path.parent == paths[1]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", exhausted)
    with pytest.raises(CheckpointError, match=r"cannot read .*step-00000002.*: Too many open"):
        newest_sound_checkpoint(tmp_path)


def test_pruning_keeps_the_newest_sound_ones_and_the_best(tmp_path):
    best = {"best": {"step": 2}}
    paths = {step: save(tmp_path, step, state=best, keep=None) for step in (1, 2, 3, 4, 5, 6)}
    (paths[6] / "state.json").write_bytes(b"")
    assert prune_checkpoints(tmp_path, keep=1, dry_run=True) == [paths[1], paths[3], paths[4]]
    assert len(list_checkpoints(tmp_path)) == 6
    prune_checkpoints(tmp_path, keep=2)
    assert list_checkpoints(tmp_path) == [paths[2], paths[4], paths[5], paths[6]]
    with pytest.raises(ConfigError, match="keep at least 1"):
        prune_checkpoints(tmp_path, keep=0)


def test_the_digest_is_of_the_weights_alone(tmp_path):
    a = save(tmp_path / "a", 5, state={"when": 1})
    b = save(tmp_path / "b", 6, state={"when": 2})
    assert checkpoint_sha256(a) == checkpoint_sha256(b) == checkpoint_sha256(tmp_path / "b")
    assert checkpoint_sha256(save(tmp_path / "c", 5, value=1)) != checkpoint_sha256(a)
    content = (a / "weights.safetensors").read_bytes()
    assert checkpoint_sha256(a) == hashlib.sha256(content).hexdigest()
    with pytest.raises(CheckpointError, match="no checkpoint"):
        checkpoint_sha256(tmp_path / "d")


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="keep at least 1"):
        save(tmp_path, 1, keep=0)
    with pytest.raises(CheckpointError, match=r"cannot be saved: \{'w': '<U1'\}"):
        save_checkpoint(tmp_path, 1, {"w": np.array(["x"])}, {})
    assert not list(tmp_path.iterdir())


def test_one_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "deep" / "curves.png"
    _files.write_file(target, b"one")
    _files.write_file(target, b"two")
    assert target.read_bytes() == b"two"

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"curves\.png: No space left on device"):
        _files.write_file(target, b"three")
    assert target.read_bytes() == b"two"
    assert [p.name for p in target.parent.iterdir()] == ["curves.png"]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def forbidden(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(CheckpointError, match=f"cannot read {tmp_path}: Permission denied"):
        list_checkpoints(tmp_path)


def test_no_state_is_written_that_would_not_be_read(tmp_path, monkeypatch):
    """JSON takes fifty times its size in memory, so there is a bound; arrays have none."""
    monkeypatch.setattr(_files, "MOST_JSON", 1000)
    save(tmp_path, 1, state={"long": np.arange(1000)})
    with pytest.raises(CheckpointError, match=r"saved as JSON: .* bytes; keep long tables in arr"):
        save(tmp_path, 2, state={"long": list(range(1000))})
    path = save(tmp_path, 3)
    (path / "SHA256SUMS").unlink()
    (path / "state.json").write_bytes(b" " * 1001)
    with pytest.raises(CheckpointError, match=r"state\.json has 1,001 bytes"):
        load_checkpoint(path)
