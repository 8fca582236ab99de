"""What `show` says of a run, and of one checkpoint."""

import os
import re
import shutil
import threading

import numpy as np
import pytest

from minicnn.estimator import (
    _inspection as inspection,
)
from minicnn.estimator._lock import FolderLock
from tests.checkpoint_command.folders import (
    WEIGHTS,
    as_json,
    flip,
    rewrite_state,
    save,
)


def test_show_says_what_a_run_holds(run, command):
    shutil.copytree(run / "checkpoints/step-00000200", run / "checkpoints/damaged-step-00000300")
    shutil.copytree(run / "checkpoints/step-00000200", run / "faults/step-00000200")
    (run / "checkpoints" / ".unfinished-step-00000800-1-0").mkdir()
    status, out, _ = command("show", run)
    assert status == 0
    assert re.search(
        r"^step-00000200 +200 +\S+ k?B +\d{4}-\d\d-\d\d \d\d:\d\d +complete$", out, re.M
    )
    assert re.search(r"^step-00000400 .* complete  best$", out, re.M)
    assert re.search(r"^step-00000600 .* complete  newest$", out, re.M)
    assert "3 checkpoints, " in out
    assert re.search(r"^settings +rate=0.1, channels=4, data=null$", out, re.M)
    assert re.search(r"^seed +5$", out, re.M)
    assert re.search(r"^examples +19,200$", out, re.M)
    assert re.search(r"^best +validation accuracy 0.97, at step 400$", out, re.M)
    assert re.search(r"^set aside as damaged: damaged-step-00000300, \S+ k?B$", out, re.M)
    assert "unfinished: .unfinished-step-00000800-1-0, 0 B" in out
    assert re.search(r"^batch at which numbers broke: step-00000200, \S+ k?B$", out, re.M)
    assert "in use" not in out
    assert max(map(len, out.splitlines()[1:])) <= 80  # the first is the path


def test_show_says_who_trains_there(run, command):
    with FolderLock(run):
        assert f"in use by process {os.getpid()} on " in command("show", run)[1]
        assert f"process {os.getpid()}" in as_json(command("show", run, "--json")[1])["in_use_by"]
    assert "in use" not in command("show", run)[1]  # the file of the lock is still there
    assert as_json(command("show", run, "--json")[1])["in_use_by"] is None


def test_to_ask_who_trains_there_stops_nobody(run):
    with FolderLock(run):
        pass
    place = inspection.find(run)
    assert inspection.user_of(place) is None
    with FolderLock(run):  # what asked holds nothing
        pass


def test_show_lists_every_array_with_its_numbers(tmp_path, command):
    odd = np.array([np.nan, 1, np.inf, -np.inf, 3, np.nan], np.float32)
    many = np.random.default_rng(0).normal(5, 2, 300_000).astype(np.float64)  # several pieces
    weights = WEIGHTS | {
        "odd": odd, "none": np.zeros((0, 3)), "only nan": np.full(2, np.nan, np.float16),
        "many": many, "flags": np.array([True, False]), "huge": np.full(4, 1.7e308),
    }  # fmt: skip
    path = save(tmp_path, 3, weights=weights)
    status, out, _ = command("show", path)
    assert status == 0
    assert "2 NaN, 2 inf" in out
    assert "hook ValidationHook: last=3" in out
    assert "input      passes=0, at=3, position=" in out
    arrays = as_json(command("show", path, "--json")[1])["arrays"]
    found = {each["name"]: each for each in arrays["weights.safetensors"]}
    assert set(found) == set(weights)
    for name, a in weights.items():
        its, finite = found[name], a[np.isfinite(a)].astype(np.float64)
        assert (its["type"], its["shape"]) == (str(a.dtype), list(a.shape))
        assert (its["numbers"], its["bytes"]) == (a.size, a.nbytes)
        assert (its["nan"], its["infinite"]) == (np.isnan(a).sum(), np.isinf(a).sum())
        if finite.size and name != "huge":  # whose sum no float64 holds
            np.testing.assert_allclose(
                [its[key] for key in ("least", "largest", "mean", "std")],
                [finite.min(), finite.max(), finite.mean(), finite.std()],
                rtol=1e-12, atol=1e-15,
            )  # fmt: skip
        elif not finite.size:
            assert its["mean"] is its["least"] is None


def test_show_of_a_run_lists_the_newest_sound_arrays_if_asked(run, command):
    (run / "checkpoints/step-00000600/weights.safetensors").write_bytes(b"")
    status, out, _ = command("show", "--arrays", run)
    assert status == 0
    assert "damaged step-00000600: weights.safetensors" in out
    assert "weights.safetensors: 3 arrays, 41 numbers, " in out
    assert re.search(r"^examples +12,800$", out, re.M)


def test_show_reads_everything_only_if_asked(run, command):
    flip(run / "checkpoints/step-00000600/weights.safetensors")
    out = command("show", run)[1]
    assert re.search(r"^step-00000600 .* complete  newest$", out, re.M)
    out = command("show", "--verify", run)[1]
    assert re.search(r"^step-00000400 .* sound +newest, best$", out, re.M)
    assert "damaged step-00000600: weights.safetensors: its SHA-256 is not the one" in out


def test_a_damaged_checkpoint_is_shown_as_far_as_it_can_be_read(run, command):
    path = run / "checkpoints/step-00000600"
    (path / "optimizer.safetensors").write_bytes(b"\xff" * 9)
    (path / "state.json").write_text("{")
    status, out, _ = command("show", path)
    assert status == 0
    assert "damaged step-00000600: state.json: its SHA-256 is not the one saved with it" in out
    assert "optimizer.safetensors is no intact safetensors file" in out
    assert re.search(r"^conv.weight +float32 +4x1x3x3 +36 +599 +601 +600 ", out, re.M)


def test_best_may_point_nowhere(run, command):
    rewrite_state(
        run / "checkpoints/step-00000600",
        lambda h: h | {"state": h["state"] | {"best": {"step": 7}}},
    )
    status, out, _ = command("show", run)
    assert status == 0
    assert "at step 7, of which there is no checkpoint here" in out


@pytest.mark.skipif(os.name != "posix", reason="there, one asks after the other")
def test_two_who_ask_at_once_do_not_take_one_another_for_a_run(run, monkeypatch):
    with FolderLock(run):
        pass
    ask, answers = inspection._taken, []

    def ask_twice(file):
        with (run / ".lock").open("rb") as other:
            answers.extend([ask(file), ask(other)])
        return any(answers)

    monkeypatch.setattr(inspection, "_taken", ask_twice)
    assert inspection.user_of(inspection.find(run)) is None
    assert answers == [False, False]


def test_to_ask_at_the_very_moment_keeps_no_run_out(run):
    fcntl = pytest.importorskip("fcntl")
    with (run / ".lock").open("wb") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.03, asking.close).start()
        with FolderLock(run):
            pass
