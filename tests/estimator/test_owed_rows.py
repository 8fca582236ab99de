"""What a stop or a full disk got in the way of is made up for: no table misses a row."""

import errno
import shutil
import signal

import pytest
import small_runs
from small_runs import estimator, training_data

from minicnn.errors import OutputError
from minicnn.estimator import Hook, Interrupted, OutputHook, ValidationHook, list_checkpoints
from minicnn.estimator._appending import AppendedFile

STEPS, EVERY, SAVE_EVERY = 14, 5, 7
TABLES = ("training.csv", "validation.csv")


def train(folder, *more, validation=small_runs.validation_data):
    run = estimator(folder, save_every=SAVE_EVERY)
    hooks = [ValidationHook(validation, EVERY), OutputHook(), *more]
    with run:
        return run.train(training_data, max_steps=STEPS, hooks=hooks)


def tables(folder):
    return {name: (folder / name).read_text() for name in TABLES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    found = tables(folder)
    assert [row.split(",")[0] for row in found["validation.csv"].splitlines()[1:]] == [
        "5", "10", "14",
    ]  # fmt: skip
    return found


class AtStep(Hook):
    """Does something after a step, once."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def after_step(self, context):
        if context.step == self.step:
            self.action()


@pytest.mark.parametrize("step", [STEPS, STEPS - 1])
def test_the_last_evaluation_comes_after_a_stop_at_the_last_step(step, tmp_path, whole):
    with pytest.raises(Interrupted):
        train(tmp_path, AtStep(step, lambda: signal.raise_signal(signal.SIGINT)))
    for _ in range(3):  # and once only
        train(tmp_path)
        assert tables(tmp_path) == whole


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_evaluation_that_was_broken_off_is_done_first(error, tmp_path, whole):
    def broken():
        raise error("planted")

    with pytest.raises((RuntimeError, Interrupted)):
        train(tmp_path, validation=broken)
    assert list_checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000005"
    train(tmp_path)
    assert tables(tmp_path) == whole


def test_an_evaluation_whose_checkpoint_is_missing_is_not_written_twice(tmp_path, whole):
    """As after a kill between its row and the checkpoint that knows of it."""
    train(tmp_path)
    *_, before, last = list_checkpoints(tmp_path / "checkpoints")
    assert (before.name, last.name) == ("step-00000014", "step-00000014.1")
    shutil.rmtree(last)
    train(tmp_path)
    assert tables(tmp_path) == whole


@pytest.mark.parametrize("again", ["in the same process", "in another"])
def test_a_row_that_could_not_be_written_is_written_later(again, tmp_path, whole, monkeypatch):
    append, failing = AppendedFile.append, [True]

    def full(self, content):
        if self.path.name == "training.csv" and content.startswith(b"6,") and failing.pop():
            failing.append(False)
            raise OutputError(errno.ENOSPC, "planted")
        append(self, content)

    monkeypatch.setattr(AppendedFile, "append", full)
    run = estimator(tmp_path, save_every=SAVE_EVERY)
    hooks = [ValidationHook(small_runs.validation_data, EVERY), OutputHook()]
    with run, pytest.raises(OutputError, match="planted"):
        run.train(training_data, max_steps=STEPS, hooks=hooks)
    assert run.step == 6
    if again == "in another":
        run.close()
        train(tmp_path)
    else:
        with run:
            run.train(training_data, max_steps=STEPS, hooks=hooks)
    assert tables(tmp_path) == whole
