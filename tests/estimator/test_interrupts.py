"""Ctrl-C, once and more often, at any moment."""

import errno
import os
import signal

import pytest
import small_runs
from small_runs import bits, estimator, training_data

from minicnn import _files
from minicnn.estimator import (
    EarlyStopping,
    Estimator,
    Hook,
    Interrupted,
    OutputHook,
    ValidationHook,
)
from minicnn.optim import SGD
from minicnn.train import main

STEPS = 14


@pytest.fixture(scope="module")
def unbroken():
    run = estimator()
    with run:
        return bits(run.train(training_data, steps=STEPS))


class CtrlCHook(Hook):
    def __init__(self, step, times=1):
        self.step, self.times = step, times

    def before_update(self, context):
        if context.step == self.step:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("times", "done"), [(1, 5), (2, 4), (7, 4)])
def test_ctrl_c(times, done, tmp_path, unbroken, capfd):
    """Once: the step is finished. Twice: it is dropped. Saved either way."""
    before = signal.getsignal(signal.SIGINT)
    run = estimator(tmp_path)
    with pytest.raises(Interrupted) as caught:
        run.train(training_data, steps=STEPS, hooks=[CtrlCHook(4, times), OutputHook()])
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.step == done == run.step
    assert caught.value.checkpoint == tmp_path / "checkpoints" / f"step-{done:08}"
    assert f"stopped after step {done}, saved in {tmp_path}" in str(caught.value)
    assert "run the same again" in str(caught.value)
    assert "finishing this step" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    again = estimator(tmp_path)
    assert again.step == done
    assert bits(again.train(training_data, max_steps=STEPS)) == unbroken


def test_ctrl_c_without_a_place_to_save():
    with pytest.raises(Interrupted, match="stopped after step 3; not saved"):
        estimator().train(training_data, steps=9, hooks=[CtrlCHook(2)])


def test_ctrl_c_in_the_step_in_which_early_stopping_ends_the_run(tmp_path):
    """Interrupted, a run keeps its own weights; gone on with, it ends with the best ones."""

    def hooks(*more):
        every_step = ValidationHook(small_runs.validation_data, 1)
        return [every_step, EarlyStopping("accuracy", patience=2), *more]

    whole = estimator().train(training_data, steps=60, hooks=hooks())
    last = whole.step
    assert 2 < last < 60
    run = estimator(tmp_path)
    with pytest.raises(Interrupted):
        run.train(training_data, steps=60, hooks=hooks(CtrlCHook(last - 1)))
    assert bits(run) == bits(estimator().train(training_data, steps=last)) != bits(whole)
    for _ in range(3):
        run = estimator(tmp_path)
        assert bits(run.train(training_data, steps=60, hooks=hooks())) == bits(whole)
        assert run.saved_at.name == f"step-{last:08}.1"  # once, not each time


def test_no_ctrl_c_gets_between_the_weights(tmp_path, unbroken, monkeypatch):
    """However often it is pressed while weights change or are saved, these are done as a whole."""

    def pressed(function):
        def call(*args, **kwargs):
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(SGD, "_update", pressed(SGD._update))
        patch.setattr(Estimator, "save", pressed(Estimator.save))
        run = estimator(tmp_path)
        with pytest.raises(Interrupted, match="stopped after step 1, saved in"):
            run.train(training_data, steps=STEPS)
    assert bits(estimator(tmp_path).train(training_data, max_steps=STEPS)) == unbroken


class SignalHook(Hook):
    """Does what a system does that wants the program to end."""

    def __init__(self, number, step, times=1):
        self.number, self.step, self.times = number, step, times

    def before_update(self, context):
        if context.step == self.step:
            for _ in range(self.times):
                signal.raise_signal(self.number)


SIGNALS = [s for s in ("SIGTERM", "SIGHUP") if hasattr(signal, s)]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(("times", "done"), [(1, 5), (2, 4)])
def test_a_system_that_ends_the_program(name, times, done, tmp_path, unbroken):
    number = getattr(signal, name)
    run = estimator(tmp_path)
    with pytest.raises(Interrupted, match=f"stopped by {name} after step {done}, saved") as caught:
        run.train(training_data, steps=STEPS, hooks=[SignalHook(number, 4, times)])
    assert caught.value.number == number
    assert signal.getsignal(number) is signal.SIG_DFL
    assert bits(estimator(tmp_path).train(training_data, max_steps=STEPS)) == unbroken


@pytest.mark.parametrize("name", SIGNALS)
def test_what_a_program_does_about_signals_itself_is_left_alone(name, unbroken):
    number, seen = getattr(signal, name), []
    before = signal.signal(number, lambda n, _: seen.append(n))
    try:
        run = estimator().train(training_data, steps=STEPS, hooks=[SignalHook(number, 4)])
        signal.signal(number, signal.SIG_IGN)  # as nohup does
        estimator().train(training_data, steps=6, hooks=[SignalHook(number, 4)])
    finally:
        signal.signal(number, before)
    assert seen == [number]
    assert bits(run) == unbroken


def test_interrupted_with_a_full_disk_says_both(tmp_path, monkeypatch):
    run = estimator(tmp_path, save_every=2)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class FullHook(CtrlCHook):
        def before_update(self, context):
            super().before_update(context)
            if context.step == self.step:
                monkeypatch.setattr(_files, "_write", full)

    with pytest.raises(
        Interrupted,
        match=r"stopped after step 3, which could not be saved: .*No space left.*step-00000002",
    ) as caught:
        run.train(training_data, steps=STEPS, hooks=[FullHook(2)])
    assert caught.value.checkpoint is None


def test_the_command_line_ends_as_a_shell_expects(monkeypatch, capsys):
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):

        def stopped(*_, number=number):
            raise Interrupted(7, None, number)

        monkeypatch.setattr("minicnn.apps._commands.train", stopped)
        assert main(["gtsrb"]) == status
        assert "stopped" in capsys.readouterr().err
