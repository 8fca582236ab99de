"""Every hook: when it is called, what it stops, what it finds."""

import math

import numpy as np
import pytest
from small_runs import bits, estimator, training_data, validation_data

from minicnn.errors import CheckpointError, ConfigError
from minicnn.estimator import (
    CheckpointHook,
    EarlyStopping,
    Hook,
    NaNGuard,
    ProgressHook,
    TensorBoardHook,
    ValidationHook,
    list_checkpoints,
    load_checkpoint,
)


class Recorder(Hook):
    """Writes down what is called, and where the run stands then."""

    def __init__(self):
        self.calls = []

    def _note(self, name, context, *more):
        self.calls.append((name, context.step, *more))

    def begin(self, context):
        self._note("begin", context)

    def before_step(self, context):
        self._note("before_step", context, context.batch_size)

    def before_update(self, context):
        grads = [p.grad is not None for p in context.estimator.module.parameters()]
        self._note("before_update", context, all(grads), round(context.loss, 3) > 0)

    def after_step(self, context):
        self._note("after_step", context, context.examples, sorted(context.metrics))

    def after_evaluate(self, context, name, results):
        self._note("after_evaluate", context, name, results["examples"])

    def end(self, context):
        self._note("end", context, context.error)


def test_hooks_are_called_around_every_step():
    hook = Recorder()
    run = estimator().train(training_data, steps=1)
    run.train(training_data, steps=2, hooks=[ValidationHook(validation_data, 2), hook])
    assert hook.calls == [
        ("begin", 1),
        ("before_step", 1, 8),
        ("before_update", 1, True, True),
        ("after_evaluate", 2, "validation", 21),
        ("after_step", 2, 16, ["accuracy"]),
        ("before_step", 2, 8),
        ("before_update", 2, True, True),
        ("after_step", 3, 24, ["accuracy"]),
        ("after_evaluate", 3, "validation", 21),  # at the end
        ("end", 3, None),
    ]
    hook.calls.clear()
    run.evaluate(validation_data, hooks=[hook], name="test")
    assert hook.calls == [("after_evaluate", 3, "test", 21)]


def test_all_hooks_end_even_if_one_fails(tmp_path):
    class Fail(Hook):
        def after_step(self, context):
            raise ValueError("first")

        def end(self, context):
            raise KeyError("second")

    hook = Recorder()
    run = estimator(tmp_path)
    with pytest.raises(ValueError, match="first") as caught:
        run.train(training_data, steps=3, hooks=[Fail(), hook])
    assert [c[0] for c in hook.calls] == [
        "begin",
        "before_step",
        "before_update",
        "after_step",
        "end",
    ]
    assert isinstance(hook.calls[-1][2], ValueError)
    assert "then came KeyError: 'second'" in caught.value.__notes__[0]
    assert "saved at step 1" in caught.value.__notes__[1]
    assert run.step == 1


def test_a_hook_may_stop_and_save(tmp_path):
    class Stop(Hook):
        def after_step(self, context):
            if context.step == 2:
                context.save()
            if context.step == 4:
                context.stop("enough")

    run = estimator(tmp_path).train(training_data, steps=9, hooks=[Stop()])
    names = [p.name for p in list_checkpoints(tmp_path / "checkpoints")]
    assert names == ["step-00000002", "step-00000004"]
    assert run.step == 4


def test_checkpoint_hook_and_save_every(tmp_path):
    config = {"save_every": 3, "keep": None}
    estimator(tmp_path, **config).train(training_data, steps=10, hooks=[CheckpointHook(4)])
    steps = [int(p.name[5:]) for p in list_checkpoints(tmp_path / "checkpoints")]
    assert steps == [3, 4, 6, 8, 9, 10]
    run = estimator(tmp_path / "b", save_every=None).train(training_data, steps=5)
    assert [p.name for p in list_checkpoints(run.checkpoints)] == ["step-00000005"]
    run.train(training_data, steps=0)
    assert [p.name for p in list_checkpoints(run.checkpoints)] == ["step-00000005"]


def test_the_state_of_hooks_is_saved_after_all_have_seen_the_step(tmp_path):
    class Count(Hook):
        seen = 0

        def after_step(self, context):
            self.seen += 1

        def state_dict(self):
            return {"seen": self.seen, "array": np.arange(self.seen)}

        def load_state_dict(self, state):
            self.seen = state["seen"]
            assert state["array"].tolist() == list(range(self.seen))

    hooks = [CheckpointHook(2), Count(), Count()]
    estimator(tmp_path).train(training_data, steps=4, hooks=hooks)
    saved = load_checkpoint(tmp_path / "checkpoints" / "step-00000002").state["hooks"]
    assert saved["Count"]["seen"] == saved["Count-1"]["seen"] == 2
    again = Count()
    run = estimator(tmp_path).train(training_data, steps=1, hooks=[again])
    assert again.seen == 5
    run.train(training_data, steps=1)  # without the hook its state stays
    third = Count()
    run.train(training_data, steps=1, hooks=[third])
    assert third.seen == 6


def test_a_state_that_cannot_be_saved_is_an_error(tmp_path):
    class Bad(Hook):
        def state_dict(self):
            return {"x": {1, 2}}

    with pytest.raises(CheckpointError, match=r"cannot be saved as JSON: .* set "):
        estimator(tmp_path).train(training_data, steps=1, hooks=[Bad()])


@pytest.mark.parametrize(("at_end", "steps"), [(True, [3, 6, 7]), (False, [3, 6])])
def test_validation_hook(at_end, steps):
    recorder = Recorder()
    hook = ValidationHook(validation_data, 3, name="held out", at_end=at_end)
    run = estimator().train(training_data, steps=7, hooks=[hook, recorder])
    found = [c for c in recorder.calls if c[0] == "after_evaluate"]
    assert found == [("after_evaluate", s, "held out", 21) for s in steps]
    assert hook.results["step"] == steps[-1]
    if at_end:
        assert hook.results == run.evaluate(validation_data)
        run.train(training_data, steps=0, hooks=[hook])
        assert len([c for c in recorder.calls if c[0] == "after_evaluate"]) == len(steps)


class FakeEvaluation(Hook):
    """Pretends that an evaluation follows each step, with given results."""

    def __init__(self, values, **more):
        self.values, self.more = values, more

    def after_step(self, context):
        results = {"loss": self.values[context.step - 1], **self.more}
        for hook in context.hooks:
            hook.after_evaluate(context, "validation", results)


def test_early_stopping_keeps_the_best_weights(tmp_path):
    values = [3.0, 2.0, 2.5, math.nan, 2.0, 1.0]
    stopping = EarlyStopping(patience=3)
    run = estimator(tmp_path, save_every=2)
    run.train(training_data, steps=6, hooks=[FakeEvaluation(values), stopping])
    assert (run.step, stopping.best, stopping.best_step) == (5, 2.0, 2)
    best = bits(estimator().train(training_data, steps=2))
    for name, value in bits(run).items():
        if name.startswith("weights/"):
            assert value == best[name]
    # what is saved is what is in memory; gone on with, it ends at once
    again = estimator(tmp_path)
    hooks = [FakeEvaluation(values), EarlyStopping(patience=3)]
    assert bits(again.train(training_data, steps=6, hooks=hooks)) == bits(run)
    assert again.step == 5
    hooks[1] = EarlyStopping(patience=4)
    assert again.train(training_data, steps=1, hooks=hooks).step == 6


def test_early_stopping_is_the_same_after_a_restart(tmp_path):
    values = [3.0, 2.0, 2.5, 2.6, 2.7, 1.0]

    def hooks():
        return [FakeEvaluation(values), EarlyStopping(patience=3)]

    whole = estimator().train(training_data, steps=6, hooks=hooks())
    for _ in range(6):
        run = estimator(tmp_path).train(training_data, steps=1, hooks=hooks())
        run.close()
    assert run.step == whole.step == 5
    assert bits(run) == bits(whole)


@pytest.mark.parametrize(
    ("options", "values", "stops_after"),
    [
        ({}, [1, 2, 2, 2], 3),
        ({"mode": "max"}, [1, 2, 3, 2, 2, 2], 5),
        ({"min_change": 0.5}, [3, 2.9, 2.8, 2.0], 3),
        ({"restore_best": False}, [1, 2, 2, 2], 3),
        ({"name": "other"}, [1, 2, 2, 2, 2], 5),
    ],
)
def test_early_stopping_options(options, values, stops_after):
    hooks = [FakeEvaluation(values), EarlyStopping(patience=2, **options)]
    run = estimator().train(training_data, steps=len(values), hooks=hooks)
    assert run.step == stops_after


def test_early_stopping_guesses_the_direction_and_checks_the_name():
    assert EarlyStopping("top5_error")._sign == -1
    assert EarlyStopping("accuracy")._sign == 1
    for metric in ("acuracy", "matrix"):
        hooks = [FakeEvaluation([1.0], accuracy=1.0, matrix=np.eye(2)), EarlyStopping(metric)]
        with pytest.raises(ConfigError, match=f"{metric}' is no number among the results"):
            estimator().train(training_data, steps=1, hooks=hooks)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CheckpointHook(0), "CheckpointHook: every is 0"),
        (lambda: ValidationHook(validation_data, 1.5), "ValidationHook: every is 1.5"),
        (lambda: EarlyStopping(patience=0), "EarlyStopping: patience is 0"),
        (lambda: EarlyStopping(mode="up"), "mode is 'up'"),
        (lambda: EarlyStopping(min_change=-1), "min_change is -1"),
        (lambda: NaNGuard(True), "NaNGuard: every is True"),
        (lambda: TensorBoardHook(every=0), "TensorBoardHook: every is 0"),
        (lambda: ProgressHook(every=0), "ProgressHook: every is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_importing_is_light():
    import subprocess
    import sys

    code = (
        "import sys, minicnn.estimator, minicnn.optim, minicnn.metrics, minicnn.visualise;"
        "print([m for m in ('numba', 'matplotlib', 'rich', 'safetensors', 'PIL', 'cupy') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
