"""A run's folder: one run at a time in it, and what is damaged is named, kept and gone round."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import small_runs
from small_runs import bits, estimator, training_data

from minicnn.errors import CheckpointError, CheckpointWarning, ConfigError, GradientError
from minicnn.estimator import (
    BestCheckpoint,
    Hook,
    ValidationHook,
    _lock,
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from minicnn.estimator._lock import FolderLock

STEPS = 12
LIMIT = 60  # seconds for a process


@pytest.fixture(scope="module")
def unbroken():
    return bits(estimator().train(training_data, steps=STEPS))


@pytest.fixture
def stopped(tmp_path):
    """A run that was stopped at step 9, with checkpoints of steps 3, 6 and 9."""
    estimator(tmp_path, save_every=3).train(training_data, steps=9).close()
    assert [p.name[-1] for p in list_checkpoints(tmp_path / "checkpoints")] == list("369")
    return tmp_path


def damage(path, name="weights.safetensors"):
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)


def names_in(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize("broken", [1, 2])
def test_it_goes_on_from_the_newest_sound_checkpoint(broken, stopped, unbroken):
    paths = list_checkpoints(stopped / "checkpoints")
    for path in paths[-broken:]:
        damage(path)
    before = names_in(stopped / "checkpoints")
    with pytest.warns(CheckpointWarning) as warnings:
        run = estimator(stopped)
    message = str(warnings[0].message)
    assert f"going on from {paths[-broken - 1]}" in message
    for path in paths[-broken:]:
        assert f"{path / 'weights.safetensors'} is damaged" in message
    assert run.step == 9 - 3 * broken
    assert names_in(stopped / "checkpoints") == before  # as long as nothing is trained
    assert bits(run.train(training_data, max_steps=STEPS)) == unbroken
    after = names_in(stopped / "checkpoints")
    assert {f"damaged-{path.name}" for path in paths[-broken:]} <= set(after)
    assert bits(estimator(stopped)) == unbroken  # without a warning now


def test_a_checkpoint_may_be_damaged_twice(stopped, unbroken):
    for _ in range(3):
        damage(stopped / "checkpoints" / "step-00000009")
        with pytest.warns(CheckpointWarning):
            run = estimator(stopped)
        run.train(training_data, steps=3).close()
    damaged = [n for n in names_in(stopped / "checkpoints") if n.startswith("damaged")]
    assert damaged == [f"damaged-step-00000009{end}" for end in ("", ".1", ".2")]
    assert bits(estimator(stopped).train(training_data, max_steps=STEPS)) == unbroken


def test_it_never_begins_anew_in_silence(stopped):
    for path in list_checkpoints(stopped / "checkpoints"):
        damage(path)
    before = names_in(stopped / "checkpoints")
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is intact") as caught:
        estimator(stopped)
    for step in (3, 6, 9):
        assert f"step-0000000{step}" in str(caught.value)
    assert names_in(stopped / "checkpoints") == before


def test_one_run_at_a_time(tmp_path, unbroken):
    """A second run is told who is there, and changes nothing."""

    class SecondRun(Hook):
        def after_step(self, context):
            if context.step == 5:
                second = estimator(tmp_path, save_every=1)
                with pytest.raises(CheckpointError) as caught:
                    second.train(training_data, steps=1)
                assert f"{tmp_path} is in use by process {os.getpid()} on " in str(caught.value)
                with pytest.raises(CheckpointError, match="in use"):
                    second.save()

    run = estimator(tmp_path, save_every=2)
    assert bits(run.train(training_data, steps=STEPS, hooks=[SecondRun()])) == unbroken
    assert estimator(tmp_path).step == STEPS


def test_a_run_that_another_has_gone_on_with(tmp_path):
    early, run = estimator(tmp_path), estimator(tmp_path)
    run.train(training_data, steps=4)
    with pytest.raises(CheckpointError, match="another run has gone on with it, to step-00000004"):
        early.train(training_data, steps=9)
    assert early.step == 0
    assert estimator(tmp_path).step == 4


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from minicnn.estimator._lock import FolderLock
    with FolderLock(Path(sys.argv[1])):
        if os.fork() == 0:  # a child of a pipeline's function, say, which outlives it
            os.close(1)
            signal.pause()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_run_leaves_no_lock(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), str(tmp_path)]
    killed = subprocess.run(command, stdout=subprocess.PIPE, timeout=LIMIT)
    assert killed.returncode == -signal.SIGKILL
    with FolderLock(tmp_path):
        pass


def take(folder, answer):
    try:
        with FolderLock(folder):
            answer.put("taken")
    except CheckpointError as error:
        answer.put(str(error))


def test_locks_hold_between_processes_and_may_be_nested(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    answer = spawn.Queue()
    lock = FolderLock(tmp_path / "run")
    with lock:
        with lock:
            pass
        child = spawn.Process(target=take, args=(tmp_path / "run", answer))
        child.start()
        assert "is in use by process" in answer.get(timeout=LIMIT)
        child.join(LIMIT)
    assert not lock.held
    take(tmp_path / "run", answer)
    assert answer.get(timeout=LIMIT) == "taken"


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 9999, b'{"process": 1}'])
def test_whatever_a_lock_file_holds(content, tmp_path):
    (tmp_path / ".lock").write_bytes(content)
    assert _lock.holder_of(tmp_path) == "another process"
    with FolderLock(tmp_path):
        assert _lock.holder_of(tmp_path).startswith(f"process {os.getpid()} on ")


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(_lock, "_lock", refused)
    with pytest.warns(CheckpointWarning, match="a file system without locks"), FolderLock(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_to_is_known_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    run = estimator(tmp_path / "file" / "run")
    with pytest.raises(CheckpointError, match=r"cannot write to .*run: .*; give another model_dir"):
        run.train(training_data, steps=1)
    assert run.step == 0


def test_what_killed_runs_left_is_cleared_away(tmp_path):
    left = tmp_path / ".unfinished-curves.png-1-2", tmp_path / "checkpoints" / ".unfinished-x-1-2"
    left[1].mkdir(parents=True)
    left[0].write_text("half")
    estimator(tmp_path).train(training_data, steps=1)
    assert not any(path.exists() for path in left)


def test_the_best_checkpoint_is_kept(tmp_path):
    """However many come after it; and a run that is stopped keeps the same one."""
    scores = iter([0.5, 0.9, 0.7, float("nan"), 0.8, 0.6])
    hooks = [Scores(scores), ValidationHook(small_runs.validation_data, 2), BestCheckpoint("score")]
    estimator(tmp_path / "a", save_every=1, keep=2).train(training_data, steps=12, hooks=hooks)
    folder = tmp_path / "a" / "checkpoints"
    assert [p.name for p in list_checkpoints(folder)] == [
        f"step-000000{step:02}" for step in (4, 11, 12)
    ]
    assert best_checkpoint(folder) == folder / "step-00000004"
    best = {"step": 4, "name": "validation", "metric": "score", "value": 0.9}
    assert load_checkpoint(folder).state["best"] == best
    scores = iter([0.85, 0.95])
    hooks = [Scores(scores), ValidationHook(small_runs.validation_data, 2), BestCheckpoint("score")]
    run = estimator(tmp_path / "a", save_every=1, keep=2)
    run.train(training_data, steps=3, hooks=hooks)
    assert best_checkpoint(folder) == folder / "step-00000015"
    assert bits(run) == bits(estimator().train(training_data, steps=15))


class Scores(Hook):
    """Gives evaluations a score of our choice."""

    def __init__(self, scores):
        self.scores = scores

    def after_evaluate(self, context, name, results):
        results["score"] = next(self.scores, 0.0)


def test_what_cannot_be_best(tmp_path):
    hooks = [ValidationHook(small_runs.validation_data, 1), BestCheckpoint("absent")]
    with pytest.raises(ConfigError, match="BestCheckpoint: 'absent' is no number among"):
        estimator(tmp_path).train(training_data, steps=1, hooks=hooks)
    assert best_checkpoint(tmp_path / "checkpoints") is None
    assert best_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_not_saved(value, tmp_path):
    run = estimator(tmp_path).train(training_data, steps=2)
    name, weight = next(iter(run.module.named_parameters()))
    weight.data = weight.data.copy()
    weight.data[(0,) * weight.ndim] = value
    with pytest.raises(GradientError, match=f"{name!r} is not finite after step 2"):
        run.save()
    assert Path(list_checkpoints(tmp_path / "checkpoints")[-1]).name == "step-00000002"


def test_the_saved_state_of_another_hook_is_refused_by_name(tmp_path):
    hooks = [ValidationHook(small_runs.validation_data, 1)]
    run = estimator(tmp_path)
    run.train(training_data, steps=1, hooks=hooks)
    run.hook_states["ValidationHook"] = {}
    with pytest.raises(CheckpointError, match=r"saved state of ValidationHook is not one of its"):
        run.train(training_data, steps=1, hooks=hooks)
    assert run.step == 1


def test_a_position_that_is_none_is_refused(tmp_path):
    run = estimator(tmp_path).train(training_data, steps=1)
    position = run.input.state_dict()
    position["position"] = {"pipeline": 7}
    run.input.load_state_dict(position)
    with pytest.raises(CheckpointError, match="cannot go on in this input"):
        run.train(training_data, steps=1)
