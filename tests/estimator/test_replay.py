"""Numbers that break are caught in their step, saved for replay, and never become a checkpoint."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import planted as plant
import pytest
from planted import BATCH, STEP, STEPS, looking
from small_runs import bits

from minicnn import _files, ops
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.errors import CheckpointError, ConfigError, GradientError
from minicnn.estimator import (
    Estimator,
    EstimatorSpec,
    Hook,
    Interrupted,
    RunConfig,
    list_checkpoints,
    load_checkpoint,
    replay,
)
from minicnn.nn import BatchNorm1d, layers
from minicnn.optim import SGD

PLANTS = {
    "data": r"loss is nan in step 7; the batch came with NaN in features, example\(s\) 1 of 4",
    "forward": r"step 7; \w+ first in the output of trap \(Trap\); to_infinity in 'trap': 1 of 576",
    "gradient": r"in step 7 the loss is [\d.]+, but the gradients of .* parameters are not finite; "
    r"backward, the first is that of 'conv.normalizer.\w+' \(BatchNorm2d\); gradient of "
    r"with_no_slope in 'trap': ",
    "update": r"step 7 made the parameter\(s\) '[^;]* NaN or infinite: '[\w.]+' \(\w+\) has .*, "
    r"the largest gradient [\d.e+]+ \(of '[\w.]+'\), the learning rate 1e\+300 \(SGD\), so it was "
    r"the update that overflowed",
}
numpy_complains = pytest.mark.filterwarnings("ignore::RuntimeWarning")
all_plants = pytest.mark.parametrize("what", PLANTS)
undone_plants = pytest.mark.parametrize("what", [what for what in PLANTS if what != "update"])


class Losses(Hook):
    def __init__(self):
        self.by_step = {}

    def after_step(self, context):
        self.by_step[context.step] = context.loss


@pytest.fixture(scope="module")
def unbroken():
    """The bits of the run in which nothing breaks, and its losses."""
    losses = Losses()
    return bits(plant.estimator().train(plant.data, steps=STEPS, hooks=[losses])), losses.by_step


@pytest.fixture
def planted(monkeypatch):
    """Plant a fault, or take it away."""
    return lambda what: monkeypatch.setitem(plant.planted, "what", what)


def broken_run(what, planted, folder, steps=STEPS, hooks=(), **config):
    """Train until it breaks; return the message."""
    planted(what)
    run = plant.estimator(folder, **config)
    with pytest.raises(GradientError) as caught:
        run.train(plant.data, max_steps=steps, hooks=hooks)
    assert run.step == (STEP if what == "update" else STEP - 1)
    return str(caught.value)


def test_the_plants_change_nothing_before_their_step(planted, unbroken):
    planted("forward")
    run = plant.estimator().train(plant.data, steps=STEP - 1)
    planted("")
    assert bits(run.train(plant.data, steps=STEPS - STEP + 1)) == unbroken[0]


@numpy_complains
@all_plants
@pytest.mark.parametrize(
    ("steps", "config"),
    [(STEPS, {"save_every": 3}), (STEPS, {"save_every": STEP, "keep": 1}), (STEP, {})],
    ids=["between saves", "at a save", "at the end"],
)
def test_a_fault_is_caught_in_its_step_and_not_saved(
    what, steps, config, planted, tmp_path, unbroken
):
    message = broken_run(what, planted, tmp_path, steps, **config)
    assert re.search(PLANTS[what], message), message
    saved = list_checkpoints(tmp_path / "checkpoints")
    if what == "update" and config.get("save_every") != 3:
        assert not saved
        assert "no checkpoint was saved before" in message
    else:
        newest = load_checkpoint(saved[-1])
        assert newest.step == STEP - 1
        assert all(np.isfinite(x).all() for x in {**newest.weights, **newest.optimizer}.values())
    if what == "update" and saved:
        assert f"a new Estimator goes on from {saved[-1]}" in message
    planted("")
    again = plant.estimator(tmp_path)
    assert bits(again.train(plant.data, max_steps=STEPS)) == unbroken[0]


@numpy_complains
@all_plants
def test_the_batch_is_saved_bit_for_bit(what, planted, tmp_path):
    message = broken_run(what, planted, tmp_path)
    folder = tmp_path / "faults" / f"step-{STEP:08}"
    assert f"the batch is saved in {folder} (" in message
    images, labels = plant.pictures()
    fault = load_checkpoint(folder)
    rows = slice(BATCH * (STEP - 1), BATCH * STEP)
    assert fault.state["features"].tobytes() == images[rows].tobytes()
    assert fault.state["labels"].tobytes() == labels[rows].tobytes()
    if what == "update":
        assert fault.weights == {}
    else:
        before = load_checkpoint(tmp_path / "checkpoints")
        assert {k: v.tobytes() for k, v in fault.weights.items()} == {
            k: v.tobytes() for k, v in before.weights.items()
        }


@numpy_complains
@undone_plants
def test_replay_says_the_same_and_is_content_when_the_cause_is_gone(
    what, planted, tmp_path, unbroken
):
    message = broken_run(what, planted, tmp_path)
    folder = tmp_path / "faults" / f"step-{STEP:08}"
    assert f"minicnn.estimator.replay(estimator, '{folder}') computes it again" in message
    run = plant.estimator()
    before = bits(run)
    with pytest.raises(GradientError) as caught:
        replay(run, folder)
    said = str(caught.value).removeprefix("replay: ")
    assert message.removeprefix("train: ").startswith(said)
    assert bits(run) == before
    planted("")
    if what != "data":
        assert replay(run, folder) == unbroken[1][STEP], "with the same random numbers"


@numpy_complains
def test_replay_in_a_fresh_process(planted, tmp_path):
    message = broken_run("gradient", planted, tmp_path)
    folder = tmp_path / "faults" / f"step-{STEP:08}"
    found = subprocess.run(
        [sys.executable, plant.__file__, "gradient", folder],
        env=os.environ | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
    )
    said = found.stdout.strip().removeprefix("replay: ")
    assert "gradient of with_no_slope in 'trap'" in said
    assert message.removeprefix("train: ").startswith(said)


@numpy_complains
def test_a_fault_that_comes_again_is_saved_once(planted, tmp_path):
    for _ in range(3):
        assert "is saved in" in broken_run("forward", planted, tmp_path)
    assert [p.name for p in (tmp_path / "faults").iterdir()] == [f"step-{STEP:08}"]


@numpy_complains
def test_no_more_than_a_few_faults_are_kept(tmp_path):
    for i in range(5):
        run = plant.estimator(tmp_path, loss=lambda outputs, _: outputs.sum() / 0.0)
        with pytest.raises(GradientError) as caught:
            run.train(lambda i=i: plant.data().skip(i), steps=1)
    names = sorted(p.name for p in (tmp_path / "faults").iterdir())
    assert names == ["step-00000001", "step-00000001.1", "step-00000001.2"]
    assert "the batch is not saved: " in str(caught.value)
    assert "holds 3 already; delete them" in str(caught.value)


@numpy_complains
def test_a_full_disk_does_not_hide_the_fault(planted, tmp_path, monkeypatch):
    def write(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_files, "_write", write)
    message = broken_run("forward", planted, tmp_path)
    assert re.search(PLANTS["forward"], message)
    assert "the batch is not saved, for that failed too: cannot write" in message
    assert "No space left on device" in message
    assert not list(tmp_path.glob("faults/*"))


@numpy_complains
@pytest.mark.parametrize("what", ["forward", "update"])
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_that_step(what, times, planted, tmp_path, unbroken):
    class CtrlC(Hook):
        def before_step(self, context):
            if context.step == STEP - 1:
                signal.raise_signal(signal.SIGINT)

        def before_update(self, context):
            if context.step == STEP - 1 and times == 2:
                signal.raise_signal(signal.SIGINT)

    planted(what)
    run = plant.estimator(tmp_path, save_every=3)
    with pytest.raises(GradientError if times == 1 else Interrupted):
        run.train(plant.data, max_steps=STEPS, hooks=[CtrlC()])
    assert load_checkpoint(tmp_path / "checkpoints").step == STEP - 1
    planted("")
    again = plant.estimator(tmp_path)
    assert bits(again.train(plant.data, max_steps=STEPS)) == unbroken[0]


def test_replay_refuses_what_it_cannot_do(planted, tmp_path):
    run = plant.estimator(tmp_path).train(plant.data, steps=1)
    with pytest.raises(CheckpointError, match="holds no batch to replay; it is an ordinary check"):
        replay(run, run.saved_at)
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        replay(run, tmp_path / "nowhere")


@numpy_complains
def test_what_an_update_has_spoilt_is_not_replayed(planted, tmp_path):
    broken_run("update", planted, tmp_path, save_every=3)
    with pytest.raises(ConfigError, match=r"a batch without weights, .* step 7 will break again"):
        replay(plant.estimator(), tmp_path / "faults" / f"step-{STEP:08}")


@numpy_complains
def test_a_damaged_fault_is_named(planted, tmp_path):
    broken_run("forward", planted, tmp_path)
    file = tmp_path / "faults" / f"step-{STEP:08}" / "arrays.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=f"{file} is damaged"):
        replay(plant.estimator(), file.parent)


@numpy_complains
def test_a_model_function_and_a_batch_of_any_form(tmp_path):
    """Layers of the model's own are made anew for a replay; text in the batch comes along."""

    def model_fn(features, labels, mode, params):
        x = layers.dense(features["pair"][1], 3, normalizer=BatchNorm1d, name="first")
        loss = (layers.dropout(x, 0.5).mean() - labels) ** 2
        loss = loss.mean() + (0.0 if params.get("mended") else ops.log(features["zero"]).mean() * 0)
        return EstimatorSpec(mode, loss=loss, optimizer=lambda p: SGD(p, 0.1))

    stream = Stream(3)
    x = stream.normal((12, 5), dtype=np.float32)
    features = {
        "pair": (np.arange(12), x),
        "zero": np.repeat(np.float32([1, 1, 0]), 4),
        "name": np.array([f"{i}.ppm" for i in range(12)]),
    }
    data = Dataset.from_slices((features, x[:, 0] * 1.0)).batch(4)
    run = Estimator(model_fn, {}, RunConfig(tmp_path, **looking({})))
    with pytest.raises(GradientError, match="log: 4 of 4 elements") as caught:
        run.train(lambda: data)
    folder = tmp_path / "faults" / "step-00000003"
    fresh = Estimator(model_fn)
    with pytest.raises(GradientError, match="log: 4 of 4 elements"):
        replay(fresh, folder)
    assert bits(fresh)["step"] == 0
    assert load_checkpoint(folder).state["features"]["name"] == [f"{i}.ppm" for i in range(8, 12)]
    assert str(caught.value).startswith("train: the loss is nan in step 3; all layers' outputs")
    loss = replay(Estimator(model_fn, {"mended": True}), folder)
    assert 0 < loss < 100
