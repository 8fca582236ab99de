"""Ctrl-C, once and more often, at any moment."""

import signal

import pytest
import small_runs
from small_runs import bits, estimator, training_data

from minicnn.estimator import (
    EarlyStopping,
    Estimator,
    Hook,
    Interrupted,
    OutputHook,
    ValidationHook,
)
from minicnn.optim import SGD

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
