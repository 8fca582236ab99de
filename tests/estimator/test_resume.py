"""A run that is stopped anywhere and gone on with ends with the same bits as one that is not."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small_runs
from small_runs import bits, estimator, training_data

from minicnn import nn, ops
from minicnn.data import Dataset
from minicnn.errors import CheckpointError, ConfigError, DataError
from minicnn.estimator import (
    Estimator,
    Hook,
    OutputHook,
    RunConfig,
    ValidationHook,
    checkpoint_sha256,
    list_checkpoints,
)
from minicnn.metrics import Accuracy
from minicnn.optim import AdamW

STEPS = 14


@pytest.fixture(scope="module")
def unbroken():
    run = estimator()
    with run:
        return bits(run.train(training_data, steps=STEPS))


def test_training_twice_goes_on(unbroken):
    run = estimator()
    data = training_data()
    for steps in (1, 6, 0, 7):
        run.train(lambda: data, steps=steps)
    assert bits(run) == unbroken


def test_the_input_goes_on_in_a_new_dataset_object_too(unbroken):
    run = estimator()
    for steps in (3, 11):
        run.train(training_data, steps=steps)
    assert bits(run) == unbroken


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_stopped_at_random_steps(workers, tmp_path, unbroken):
    generator = random.Random(workers)
    step = 0
    while step < STEPS:
        step = min(STEPS, step + generator.randint(1, 6))
        with estimator(tmp_path, resume=step > 6 or "auto") as run:
            run.train(lambda: training_data(workers), max_steps=step)
            assert run.step == step
    assert bits(run) == unbroken
    again = estimator(tmp_path)
    assert bits(again) == unbroken
    assert bits(again.train(training_data, max_steps=STEPS)) == unbroken  # nothing is left to do


def test_each_pass_over_an_input_that_ends_is_an_epoch(tmp_path):
    """Calls of train without steps are the epochs of one repeated input, across restarts."""
    epoch = training_data(repeat=False)
    whole = estimator().train(lambda: epoch.repeat(3))
    run = estimator(tmp_path)
    for _ in range(2):
        run.train(lambda: epoch)
    run.train(lambda: epoch, steps=3)
    run.close()
    run = estimator(tmp_path)
    run.train(lambda: epoch)  # the rest of that epoch
    assert run.step == 18
    assert bits(run) == bits(whole)


def run_program(*arguments, check=True):
    environment = os.environ | {"MINICNN_JIT": "0", "PYTHONPATH": str(Path.cwd())}
    return subprocess.run(
        [sys.executable, small_runs.__file__, *map(str, arguments)],
        env=environment,
        check=check,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The model_dir of the program, never killed."""
    folder = tmp_path_factory.mktemp("unbroken")
    run_program(folder, 1, STEPS)
    return folder


def files_of(folder):
    """What two runs of the same program have in common."""
    return {
        "weights": checkpoint_sha256(folder / "checkpoints"),
        "optimizer": (
            list_checkpoints(folder / "checkpoints")[-1] / "optimizer.safetensors"
        ).read_bytes(),
        "csv": (folder / "training.csv").read_text(),
        "validation": (folder / "validation.csv").read_text(),
    }


@pytest.mark.parametrize(
    ("workers", "step", "place"),
    [(1, 1, "after_step"), (2, 7, "before_update"), (4, 9, "after_step"), (0, 6, "before_step")],
)
def test_killed_and_started_again(workers, step, place, tmp_path, program):
    killed = run_program(tmp_path, workers, STEPS, step, place, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len((tmp_path / "training.csv").read_text().splitlines()) >= step
    run_program(tmp_path, workers, STEPS)
    assert files_of(tmp_path) == files_of(program)


def test_killed_at_any_moment(tmp_path, program):
    environment = os.environ | {"MINICNN_JIT": "0", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, small_runs.__file__, str(tmp_path), "2", str(STEPS)]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "training.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(random.Random().uniform(0, 0.1))
    process.kill()
    process.wait()
    run_program(tmp_path, 2, STEPS)
    assert files_of(tmp_path) == files_of(program)


class FailHook(Hook):
    """Fails once, in one of its methods, at a step."""

    def __init__(self, method, step, error=None):
        self.step, self.error = step, error or RuntimeError("hook")
        setattr(self, method, self._fail)

    def _fail(self, context):
        if context.step == self.step:
            self.step = -1
            raise self.error


@pytest.mark.parametrize("again", ["in the same process", "in another"])
@pytest.mark.parametrize("method", ["before_step", "before_update", "after_step"])
def test_a_failing_hook_loses_nothing(method, again, tmp_path, unbroken):
    hooks = [OutputHook(), FailHook(method, 5), ValidationHook(small_runs.validation_data, 5)]
    run = estimator(tmp_path)
    with pytest.raises(RuntimeError, match="hook") as caught:
        run.train(training_data, max_steps=STEPS, hooks=hooks)
    saved = tmp_path / "checkpoints" / "step-00000005"
    assert f"saved at step 5, in {saved}" in caught.value.__notes__[0]
    assert run.step == 5
    assert saved.is_dir()
    if again == "in another":
        run.close()
        run = estimator(tmp_path, resume=True)
        hooks = [OutputHook(), ValidationHook(small_runs.validation_data, 5)]
    run.train(training_data, max_steps=STEPS, hooks=hooks)
    assert bits(run) == unbroken
    rows = (tmp_path / "training.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [str(s) for s in range(1, STEPS + 1)]


@pytest.mark.parametrize("step", [0, 4])
def test_a_failing_model_or_input_loses_nothing(step, unbroken, monkeypatch):
    """Both fail once; the step is undone, the moving averages too, and done again."""
    failures = {"model": step, "input": step * 8 + 2}
    seen = {"model": -1, "input": -1}

    def failing(what, error):
        seen[what] += 1
        if failures[what] == seen[what]:
            raise error

    def model_fn(features, labels, mode, params):
        spec = small_runs.model_fn(features, labels, mode, params)
        failing("model", ZeroDivisionError("model"))
        return spec

    original = small_runs.augment

    def augment(image, label, stream):
        failing("input", DataError("row 17 of some.csv is broken"))
        return original(image, label, stream)

    monkeypatch.setattr(small_runs, "augment", augment)
    run = Estimator(model_fn, small_runs.PARAMS)
    data = training_data()
    failed = []
    while run.step < STEPS:
        try:
            run.train(lambda: data, max_steps=STEPS)
        except (ZeroDivisionError, DataError) as error:
            failed.append(type(error).__name__)
            assert run.step == step
    assert sorted(failed) == ["DataError", "ZeroDivisionError"]
    assert bits(run) == unbroken


def test_random_layers_draw_anew_in_each_step():
    seen = []

    def model_fn(features, labels, mode, params):
        seen.append(nn.layers.dropout(features * 0 + 1, 0.5).numpy())
        return small_runs.model_fn(features, labels, mode, params)

    for _ in range(2):
        Estimator(model_fn, small_runs.PARAMS).train(training_data, steps=3)
    assert not np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[1], seen[2])
    np.testing.assert_array_equal(seen[:3], seen[3:])


def test_a_full_disk_ends_the_run_and_keeps_what_is_saved(tmp_path, monkeypatch):
    import errno

    from minicnn import _files

    attempts = []
    write = _files._write

    def full(path, content):
        if "step-00000006" in str(path):
            attempts.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(_files, "_write", full)
    run = estimator(tmp_path, save_every=3, keep=1)
    with pytest.raises(CheckpointError, match=r"No space left .* untouched, newest step-00000003"):
        run.train(training_data, steps=STEPS)
    assert len(attempts) == 1  # and not once more at the end
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000003"]
    monkeypatch.undo()
    assert run.save().name == "step-00000006"  # room was made


@pytest.mark.filterwarnings("ignore:.*moving averages")  # of a net that never trained
def test_evaluation_changes_nothing(unbroken, tmp_path):
    run = estimator(tmp_path)
    run.evaluate(small_runs.validation_data)
    hooks = [ValidationHook(small_runs.validation_data, 3)]
    run.train(training_data, steps=STEPS, hooks=hooks)
    next(run.predict(small_runs.validation_data))
    assert bits(run) == unbroken


def test_two_estimators_do_not_disturb_one_another(unbroken):
    a, b = estimator(), estimator(params={"channels": 5})
    data_a, data_b = training_data(), training_data()
    for _ in range(STEPS):
        a.train(lambda: data_a, steps=1)
        b.train(lambda: data_b, steps=1)
    assert bits(a) == unbroken
    alone = estimator(params={"channels": 5}).train(training_data, steps=STEPS)
    assert bits(b) == bits(alone)


def module(seed=0):
    """A net that learns of its input's size at the first call."""
    with nn.seed(seed):
        return nn.Sequential(
            nn.Conv2d(None, 4, 3, normalizer=nn.BatchNorm2d, activation=ops.relu),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Dense(None, small_runs.CLASSES),
        )


def of_module(net, model_dir=None, **config):
    return Estimator.from_module(
        net,
        ops.sparse_softmax_cross_entropy,
        lambda params: AdamW(params, 0.01),
        {"accuracy": Accuracy},
        config=RunConfig(model_dir, **config),
    )


def test_a_module_resumes_too(tmp_path):
    whole = of_module(module()).train(training_data, steps=9)
    of_module(module(), tmp_path).train(training_data, steps=4).close()
    run = of_module(module(seed=7), tmp_path).train(training_data, steps=5)
    assert bits(run) == bits(whole)
    built = module(seed=8).build((2, 6, 6))
    run = of_module(built, tmp_path)
    assert bits(run) == bits(whole)
    for name, value in built.state_dict().items():
        assert value.tobytes() == bits(whole)[f"weights/{name}"]


def test_another_model_is_refused(tmp_path):
    of_module(module(), tmp_path).train(training_data, steps=2)
    other = nn.Sequential(nn.Conv2d(None, 5, 3), nn.Flatten(), nn.Dense(None, 3))
    with pytest.raises(CheckpointError, match=r"missing \(\d+\)|unexpected \(\d+\)|misshapen"):
        of_module(other, tmp_path).train(training_data, steps=1)
    with pytest.raises(CheckpointError, match="misshapen"):
        of_module(other.build((2, 6, 6)), tmp_path)


def test_other_settings_are_refused_by_name(tmp_path):
    estimator(tmp_path).train(training_data, steps=1)
    with pytest.raises(ConfigError, match=r"params\['rate'\] was 0.05, is 0.5; seed was 0, is 9"):
        estimator(tmp_path, {"rate": 0.5}, seed=9)
    with pytest.raises(ConfigError, match=r"params\['new'\] was not set, is 1\. Give the same"):
        estimator(tmp_path, {"new": 1})
    estimator(tmp_path, keep=9, save_every=1, log_every=1)  # these may differ


def test_another_input_is_refused_until_it_is_restarted(tmp_path):
    estimator(tmp_path).train(training_data, steps=2)
    other = Dataset.from_slices(small_runs.images_and_labels(16)).repeat().batch(4)
    run = estimator(tmp_path)
    with pytest.raises(CheckpointError, match=r"another pipeline.*or call restart_input"):
        run.train(lambda: other, steps=1)
    assert run.step == 2
    run.restart_input()
    assert run.train(lambda: other, steps=1).step == 3


def test_resume_means_what_it_says(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint to resume from in"):
        estimator(tmp_path / "none", resume=True)
    estimator(tmp_path, resume=False).train(training_data, steps=2)
    with pytest.raises(ConfigError, match=r"holds a run already, saved in step-00000002; resume"):
        estimator(tmp_path, resume=False)
    assert estimator(tmp_path).resumed_from == tmp_path / "checkpoints" / "step-00000002"


def test_settings_that_are_no_json_are_compared_by_what_they_are(tmp_path):
    import functools

    rich = {
        "kind": AdamW,
        "make": functools.partial(AdamW, learning_rate=0.1),
        "path": Path("x"),
        "object": object(),
        "numpy": np.float32(0.5),
        "nan": float("nan"),
        "tuple": (1, (2, 3)),
        3: "three",
    }
    estimator(tmp_path, rich).train(training_data, steps=1)
    estimator(tmp_path, rich | {"object": object(), "tuple": [1, [2, 3]]})
    with pytest.raises(ConfigError, match=r"params\['make'\]\['learning_rate'\] was 0.1, is 0.2"):
        estimator(tmp_path, rich | {"make": functools.partial(AdamW, learning_rate=0.2)})


def test_layers_that_only_training_makes(tmp_path):
    """An auxiliary head: evaluation neither needs it nor loses it."""

    def model_fn(features, labels, mode, params):
        spec = small_runs.model_fn(features, labels, mode, params)
        if mode != "train":
            return spec
        extra = nn.layers.dense(nn.layers.flatten(features), 1, name="extra").mean()
        return type(spec)(mode, loss=spec.loss + extra * extra, optimizer=spec.optimizer)

    def make(folder):
        return Estimator(model_fn, small_runs.PARAMS, RunConfig(folder))

    whole = make(None).train(training_data, steps=6)
    assert "weights/extra.weight" in bits(whole)
    make(tmp_path).train(training_data, steps=3).close()
    run = make(tmp_path)
    run.evaluate(small_runs.validation_data)
    run.train(training_data, steps=3)
    assert bits(run) == bits(whole)
