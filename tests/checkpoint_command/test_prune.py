"""What `prune` deletes, and what it never does."""

import os
import re
import shutil

import pytest

from minicnn._command_line import byte_size
from minicnn.estimator import (
    _inspection as inspection,
)
from minicnn.estimator import (
    list_checkpoints,
)
from minicnn.estimator._lock import FolderLock
from tests.checkpoint_command.folders import (
    as_json,
    everything_in,
    flip,
    save,
)


def test_prune_keeps_the_newest_and_the_best(run, command):
    save(run, 800, best={"step": 400})
    (run / "checkpoints/.unfinished-step-00000900-1-0").mkdir()
    (run / "checkpoints/.unfinished-step-00000900-1-0/weights.safetensors").write_bytes(bytes(70))
    (run / ".unfinished-note").write_bytes(bytes(30))
    before = everything_in(run)
    status, planned, _ = command("prune", run, "--keep", 1, "--dry-run")
    assert status == 0
    assert everything_in(run) == before
    status, out, _ = command("prune", run, "--keep", 1)
    assert status == 0
    names = [".unfinished-note", ".unfinished-step-00000900-1-0", "step-00000200", "step-00000600"]
    assert re.findall(r"^deleted (\S+), ", out, re.M) == names
    assert re.findall(r"^would delete (\S+), ", planned, re.M) == names
    assert out.splitlines()[-1].endswith("; what stays: step-00000400, step-00000800")
    assert [p.name for p in (run / "checkpoints").iterdir() if p.name != ".lock"] in (
        ["step-00000400", "step-00000800"], ["step-00000800", "step-00000400"],
    )  # fmt: skip
    assert sorted(p.name for p in run.iterdir()) == [".lock", "checkpoints"]
    freed = sum(len(content) for path, (_, content) in before.items()
                if content and not path.exists())  # fmt: skip
    assert f"freed {byte_size(freed)}; " in out
    assert f"would free {byte_size(freed)}; " in planned
    assert command("verify", run)[0] == 0


def test_prune_neither_counts_nor_deletes_damaged_ones_unless_asked(run, command):
    save(run, 800)
    flip(run / "checkpoints/step-00000800/state.json")
    shutil.copytree(run / "checkpoints/step-00000800", run / "checkpoints/damaged-step-00000100")
    status, out, _ = command("prune", run / "checkpoints", "--keep", 1)
    assert status == 0
    assert re.findall(r"^deleted (\S+), ", out, re.M) == ["step-00000200"]
    assert "damaged step-00000800: stays; --damaged deletes it" in out
    report = as_json(command("prune", run, "--keep", 1, "--damaged", "--json")[1])
    assert report["deleted"] == ["step-00000800", "damaged-step-00000100"]
    assert report["kept"] == ["step-00000400", "step-00000600"]
    assert len(list((run / "checkpoints").iterdir())) == 2


def test_prune_deletes_nothing_where_nothing_is_sound(run, command):
    for path in list_checkpoints(run / "checkpoints"):
        flip(path / "weights.safetensors")
    before = everything_in(run / "checkpoints")
    status, out, err = command("prune", run, "--keep", 1, "--damaged")
    assert (status, out) == (2, "")
    assert "is sound" in err
    assert "none is deleted" in err
    assert everything_in(run / "checkpoints") == before


def test_prune_refuses_while_somebody_trains_there(run, command):
    before = everything_in(run / "checkpoints")
    with FolderLock(run):
        shutil.copytree(run / "checkpoints", run / "faults")
        for where in (run, run / "checkpoints", run / "faults"):
            status, out, err = command("prune", where, "--keep", 1)
            assert (status, out) == (2, "")
            assert f"is in use by process {os.getpid()}" in err
        assert command("prune", run, "--keep", 1, "--dry-run")[0] == 0
    assert everything_in(run / "checkpoints") == before


def test_prune_refuses_through_a_link_too(run, command, tmp_path):
    before = everything_in(run / "checkpoints")
    for name, target in (("run", run), ("checkpoints", run / "checkpoints")):
        link = tmp_path / f"link to {name}"
        try:
            link.symlink_to(target, target_is_directory=True)
        except (OSError, NotImplementedError):
            pytest.skip("no links may be made here")
        with FolderLock(run):
            status, out, err = command("prune", link, "--keep", 1)
        assert (status, out) == (2, "")
        assert f"is in use by process {os.getpid()}" in err
    assert everything_in(run / "checkpoints") == before


def test_prune_that_is_killed_leaves_only_whole_checkpoints(run, command, monkeypatch):
    delete, seen = os.unlink, []

    def stop_at_the_second(name, *arguments, **more):
        seen.append(name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        delete(name, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stop_at_the_second)
        assert command("prune", run, "--keep", 1)[0] == 130
    left = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert left[0].startswith(".unfinished-step-00000200")
    assert left[1:] == ["step-00000400", "step-00000600"]
    assert command("verify", run)[0] == 0
    assert command("prune", run, "--keep", 3)[0] == 0
    assert len(list((run / "checkpoints").iterdir())) == 2


def test_prune_says_what_it_cannot_delete(run, command, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    status, _, err = command("prune", run, "--keep", 1)
    assert status == 2
    assert "step-00000200: Permission denied" in err


def test_what_may_not_be_read_is_not_deleted_as_damaged(run, command, monkeypatch):
    def no_disk(file, path):
        if path.parent.name == "step-00000200":
            raise OSError(5, "Input/output error")
        return []

    monkeypatch.setattr(inspection, "stored_arrays", no_disk)
    monkeypatch.setattr(inspection, "_check_arrays", lambda *_: None)
    status, out, _ = command("verify", run)
    assert status == 1
    assert "UNREADABLE step-00000200: " in out
    report = as_json(command("prune", run, "--keep", 1, "--damaged", "--json")[1])
    assert report["deleted"] == []
    assert "step-00000200" in report["kept"]


@pytest.mark.parametrize("keep", ["0", "-1"])
def test_prune_keeps_at_least_one(run, keep, command):
    status, _, err = command("prune", run, "--keep", keep)
    assert status == 2
    assert f"--keep must be 1 or more, got {keep}" in err
