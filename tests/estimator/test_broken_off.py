"""Whatever cuts a run off, and wherever: every batch and every evaluation counts once."""

import errno
import signal
import threading
import time

import numpy as np
import pytest
import small_runs
from small_runs import bits, estimator, training_data

from minicnn import _files
from minicnn.errors import CheckpointError, CheckpointWarning, OutputError
from minicnn.estimator import (
    EarlyStopping,
    Hook,
    Interrupted,
    OutputHook,
    ValidationHook,
    check_checkpoint,
    list_checkpoints,
)
from minicnn.estimator._appending import AppendedFile
from minicnn.estimator._training import TrainingRun
from minicnn.estimator.nan_guard import NumberCheck

STEPS = 14
EVERY = 3
LIMIT = 20  # seconds after which something hangs

wakes_the_main_thread = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="no signal ends a wait on this system"
)


def press(times=1):
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def unbroken():
    with estimator() as run:
        return bits(run.train(training_data, steps=STEPS))


class AtStep(Hook):
    """Does something at a place in a step, once."""

    def __init__(self, place, step, action):
        self.place, self.step, self.action = place, step, action

    def before_update(self, context):
        self._act("before_update", context)

    def after_step(self, context):
        self._act("after_step", context)

    def _act(self, place, context):
        if (place, context.step) == (self.place, self.step):
            self.step = None
            self.action(context)


@wakes_the_main_thread
def test_a_second_ctrl_c_while_a_step_waits_for_a_prediction(tmp_path, unbroken):
    run = estimator(tmp_path)
    run.train(training_data, steps=1)
    inside, main = threading.Event(), threading.main_thread().ident

    def predict():
        with run.turns.reading():
            inside.set()
            end = time.monotonic() + LIMIT
            while run.turns._changer is None and time.monotonic() < end:
                time.sleep(0.001)
            for _ in range(2):
                time.sleep(0.05)
                signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.05)

    def begin(_):
        thread.start()
        assert inside.wait(LIMIT)

    thread = threading.Thread(target=predict)
    with pytest.raises(Interrupted) as caught:
        run.train(training_data, max_steps=STEPS, hooks=[AtStep("after_step", 3, begin)])
    thread.join(LIMIT)
    assert caught.value.step == run.step == run.input.state_dict()["at"] == 3
    assert bits(estimator(tmp_path).train(training_data, max_steps=STEPS)) == unbroken


@pytest.mark.parametrize("place", ["_undo", "the input"])
def test_a_third_ctrl_c_while_a_step_is_undone(place, tmp_path, unbroken, monkeypatch):
    run = estimator(tmp_path)
    kind, name = (
        (TrainingRun, "_undo") if place == "_undo" else (type(run.input), "load_state_dict")
    )
    real, pressed = getattr(kind, name), []

    def undo(*arguments):
        press(3)
        pressed.append(1)
        return real(*arguments)

    def twice(_):
        monkeypatch.setattr(kind, name, undo)
        press(2)

    with pytest.raises(Interrupted) as caught:
        run.train(training_data, max_steps=STEPS, hooks=[AtStep("before_update", 4, twice)])
    monkeypatch.undo()
    assert pressed == [1]
    assert caught.value.step == run.step == run.input.state_dict()["at"] == 4
    assert bits(estimator(tmp_path).train(training_data, max_steps=STEPS)) == unbroken


def test_a_second_ctrl_c_in_the_look_at_the_weights(tmp_path, unbroken, monkeypatch):
    """The step counts by then, so every hook must see it."""
    look, seen = NumberCheck.after_update, []

    def pressed(self):
        look(self)
        if self._context.step == 6:
            press(2)

    class Seen(Hook):
        def after_step(self, context):
            seen.append(context.step)

    monkeypatch.setattr(NumberCheck, "after_update", pressed)
    with pytest.raises(Interrupted, match="after step 6"):
        estimator(tmp_path).train(training_data, max_steps=STEPS, hooks=[Seen(), OutputHook()])
    monkeypatch.undo()
    run = estimator(tmp_path).train(training_data, max_steps=STEPS, hooks=[Seen(), OutputHook()])
    assert seen == list(range(1, STEPS + 1))
    rows = (tmp_path / "training.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == seen
    assert bits(run) == unbroken


def train_until_it_stops(folder, patience, *, validation=small_runs.validation_data, first=False):
    """Train with an EarlyStopping that finds nothing better than the first evaluation."""
    stopping = EarlyStopping(patience=patience, min_change=1e9, restore_best=False)
    hooks = [ValidationHook(validation, EVERY), stopping]
    hooks.insert(0 if first else 2, OutputHook())
    with estimator(folder) as run:
        return run.train(training_data, max_steps=60, hooks=hooks)


def same_end(run, whole, tmp_path):
    assert run.step == whole.step
    assert bits(run) == bits(whole)
    for name in ("training.csv", "validation.csv"):
        assert (tmp_path / "cut" / name).read_text() == (tmp_path / "whole" / name).read_text()


@pytest.mark.parametrize("first", [False, True])
def test_an_evaluation_whose_row_cannot_be_written_counts_once(first, tmp_path, monkeypatch):
    whole = train_until_it_stops(tmp_path / "whole", 3, first=first)
    assert whole.step == 4 * EVERY
    append = AppendedFile.append

    def full(self, content):
        if self.path.name == "validation.csv" and content.startswith(b"6,"):
            raise OutputError(errno.ENOSPC, "planted")
        append(self, content)

    monkeypatch.setattr(AppendedFile, "append", full)
    with pytest.raises(OutputError, match="planted"):
        train_until_it_stops(tmp_path / "cut", 3, first=first)
    monkeypatch.undo()
    same_end(train_until_it_stops(tmp_path / "cut", 3, first=first), whole, tmp_path)


def test_an_owed_evaluation_that_ends_the_run_is_done_before_any_step(tmp_path):
    whole = train_until_it_stops(tmp_path / "whole", 1)
    assert whole.step == 2 * EVERY
    evaluations = []

    def cut_off():
        evaluations.append(1)
        if len(evaluations) == 2:
            press(2)
        return small_runs.validation_data()

    with pytest.raises(Interrupted, match=f"after step {2 * EVERY}, saved"):
        train_until_it_stops(tmp_path / "cut", 1, validation=cut_off)
    for _ in range(2):
        again = train_until_it_stops(tmp_path / "cut", 1, validation=cut_off)
        same_end(again, whole, tmp_path)
    assert len(evaluations) == 3, "it is done once, for the checkpoint knows of it"


def test_an_owed_evaluation_may_predict_in_its_pipeline(tmp_path):
    """It is done between two steps: inside of one, the prediction would wait for its end."""
    answers = []

    def go_on(fails):
        run = estimator(tmp_path)

        def teach(features, _):
            return features, np.stack([row["class"] for row in run.predict(lambda: [features])])

        def validation():
            if fails:
                raise RuntimeError("planted")
            return small_runs.validation_data().take(2).map(teach, workers=1)

        answers.append(run.train(training_data, 2, hooks=[ValidationHook(validation, 2)]).step)

    with pytest.raises(RuntimeError, match="planted"):
        go_on(True)
    thread = threading.Thread(target=go_on, args=(False,), daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert answers == [4]


def test_a_hook_that_cannot_write_costs_no_step(tmp_path, unbroken):
    """Only a checkpoint of the run's own that failed is not tried twice."""
    (tmp_path / "file").touch()
    run = estimator(tmp_path / "run", save_every=None)
    export = AtStep("after_step", 7, lambda c: c.estimator.export(tmp_path / "file" / "weights"))
    with pytest.raises(CheckpointError, match="file") as caught:
        run.train(training_data, max_steps=STEPS, hooks=[export])
    assert "minicnn: the run is saved at step 7" in str(caught.value.__notes__)
    again = estimator(tmp_path / "run")
    assert again.step == 7
    assert bits(again.train(training_data, max_steps=STEPS)) == unbroken


def test_a_checkpoint_that_took_the_name_of_a_damaged_one_stays(tmp_path):
    estimator(tmp_path, save_every=3).train(training_data, steps=6)
    folder = tmp_path / "checkpoints"
    path = folder / "step-00000006" / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.warns(CheckpointWarning, match="is damaged"):
        slow, other = estimator(tmp_path), estimator(tmp_path)
    assert slow.step == other.step == 3
    with other:
        other.train(training_data, max_steps=6)
    there = sorted(p.name for p in folder.iterdir())
    assert "damaged-step-00000006" in there
    with pytest.raises(CheckpointError, match="another run has gone on with it, to step-00000006"):
        slow.train(training_data, max_steps=6)
    assert sorted(p.name for p in folder.iterdir()) == there
    assert check_checkpoint(folder / "step-00000006") is None
    assert estimator(tmp_path).step == 6


@pytest.mark.parametrize("what", ["sync_folder", "delete_folder"])
def test_a_save_that_failed_when_its_checkpoint_was_there(what, tmp_path, unbroken, monkeypatch):
    """It is this Estimator's own: no other run has gone on."""
    run = estimator(tmp_path, save_every=None, keep=1)
    run.train(training_data, steps=4)

    def fail(folder):
        if what == "delete_folder":
            raise KeyboardInterrupt
        if folder.name == "checkpoints":
            raise OSError(errno.EIO, "planted")

    run.load_weights(run.module.state_dict())
    monkeypatch.setattr(_files, what, fail)
    with pytest.raises((CheckpointError, KeyboardInterrupt)):
        run.save()
    monkeypatch.undo()
    assert list_checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000004.1"
    assert bits(run.train(training_data, max_steps=STEPS)) == unbroken
