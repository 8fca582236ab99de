"""The hooks that write: tables, TensorBoard's files, pictures, progress."""

import io
import re

import numpy as np
import pytest
from event_files import scalars
from small_runs import estimator, training_data, validation_data

from minicnn.errors import ConfigError
from minicnn.estimator import (
    Hook,
    LearningRateHook,
    OutputHook,
    PlotHook,
    ProgressHook,
    TensorBoardHook,
    ValidationHook,
)
from minicnn.optim import Constant, Cosine


def test_output_hook_writes_what_reads_back_exactly(tmp_path):
    class Losses(Hook):
        def __init__(self):
            self.rows = []

        def after_step(self, context):
            values = (context.learning_rate, context.loss, context.metrics["accuracy"])
            self.rows.append((context.step, *values))

    hook = Losses()
    path = tmp_path / "deep" / "out.csv"
    hooks = [OutputHook(path), hook, ValidationHook(validation_data, 2)]
    run = estimator().train(training_data, steps=3, hooks=hooks)
    head, *lines = path.read_text().splitlines()
    assert head == "step,learning_rate,loss,accuracy"
    rows = [tuple(map(float, line.split(","))) for line in lines]
    assert rows == hook.rows
    assert rows[0][1] == pytest.approx(0.05 / 5)  # warm-up
    head, *lines = (tmp_path / "deep" / "validation.csv").read_text().splitlines()
    assert head == "step,loss,accuracy,examples"
    assert [line.split(",")[0] for line in lines] == ["2", "3"]
    assert float(lines[1].split(",")[1]) == run.evaluate(validation_data)["loss"]


@pytest.mark.parametrize("torn", ["", "3,0.1,0.", "3,0.1,0.25,0.5", "\udcff", "x,y,z,w\n"])
def test_output_hook_drops_what_is_done_again(torn, tmp_path):
    path = tmp_path / "training.csv"
    run = estimator(tmp_path, save_every=2)
    run.train(training_data, steps=2, hooks=[OutputHook()])
    run.close()
    two = path.read_text()
    with path.open("a", errors="surrogateescape") as file:
        file.write("3,0.1,7.0,0.5\n4,0.1,7.0,0.5\n" + torn)
    estimator(tmp_path).train(training_data, steps=2, hooks=[OutputHook()])
    whole = path.read_text()
    assert whole.startswith(two)
    assert [row.split(",")[0] for row in whole.splitlines()] == ["step", "1", "2", "3", "4"]
    estimator().train(training_data, steps=4, hooks=[OutputHook(tmp_path / "other.csv")])
    assert (tmp_path / "other.csv").read_text() == whole


def test_output_hook_leaves_a_good_file_alone(tmp_path):
    run = estimator(tmp_path).train(training_data, steps=2, hooks=[OutputHook()])
    number = (tmp_path / "training.csv").stat().st_ino
    run.train(training_data, steps=1, hooks=[OutputHook()])
    assert (tmp_path / "training.csv").stat().st_ino == number


def test_output_hook_refuses_other_columns_but_loses_nothing(tmp_path):
    class Metric(Hook):
        def before_update(self, context):
            context.metrics["new"] = 1.0

    run = estimator(tmp_path).train(training_data, steps=2, hooks=[OutputHook()])
    with pytest.raises(ConfigError, match=r"has the columns .*'accuracy'\], the run now .*'new'\]"):
        run.train(training_data, steps=2, hooks=[Metric(), OutputHook()])
    assert run.step == 3
    assert run.saved_at.name == "step-00000003"


def test_hooks_need_a_place_to_write():
    for hook in (OutputHook(), TensorBoardHook(), PlotHook()):
        with pytest.raises(ConfigError, match=f"{type(hook).__name__}: give a path, or the RunCon"):
            estimator().train(training_data, steps=1, hooks=[hook])


def test_learning_rate_hook_sets_and_shows(tmp_path):
    hook = LearningRateHook(Cosine(0.2, 4))
    run = estimator(tmp_path)
    run.train(training_data, steps=3, hooks=[hook, OutputHook()])
    run.train(training_data, steps=2, hooks=[LearningRateHook(0.5), OutputHook()])
    rows = [r.split(",") for r in (tmp_path / "training.csv").read_text().splitlines()]
    assert rows[0] == ["step", "learning_rate", "loss", "accuracy", "learning_rate"][:4]
    expected = [Cosine(0.2, 4)(s) for s in range(3)] + [0.5, 0.5]
    assert [float(r[1]) for r in rows[1:]] == expected
    assert run.optimizer.learning_rate == Constant(0.5)(0)


def test_tensorboard_hook(tmp_path):
    run = estimator(tmp_path)
    hooks = [TensorBoardHook(every=2), ValidationHook(validation_data, 3)]
    run.train(training_data, steps=4, hooks=hooks)
    (path,) = (tmp_path / "tensorboard").iterdir()
    found = scalars(path)
    tags = [(s, t) for s, t, _ in found]
    step = ["loss/training", "learning_rate/training", "accuracy/training"]
    evaluation = ["loss/validation", "accuracy/validation"]
    assert tags == [
        *((2, t) for t in step),
        *((3, t) for t in evaluation),
        *((4, t) for t in step),
        *((4, t) for t in evaluation),
    ]
    assert found[-2][2] == np.float32(run.evaluate(validation_data)["loss"])


def png_size(path):
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        return image.size


def test_plot_hook_draws_the_whole_run_also_after_a_restart(tmp_path):
    def hooks():
        return [PlotHook(seconds=0), ValidationHook(validation_data, 2)]

    first = hooks()
    estimator(tmp_path).train(training_data, steps=3, hooks=first).close()
    assert min(png_size(tmp_path / "curves.png")) > 200
    again = hooks()
    estimator(tmp_path).train(training_data, steps=2, hooks=again)
    curves = again[0]._curves
    assert [s for s, _ in curves["training"]["loss"].points] == [1, 2, 3, 4, 5]
    assert [s for s, _ in curves["validation"]["accuracy"].points] == [2, 3, 4, 5]
    assert curves["training"]["loss"].points[:3] == first[0]._curves["training"]["loss"].points


def test_progress_in_plain_lines(tmp_path):
    out = io.StringIO()
    hooks = [ProgressHook(every=2, file=out), ValidationHook(validation_data, 4)]
    run = estimator(tmp_path).train(training_data, steps=5, hooks=hooks)
    lines = out.getvalue().splitlines()
    number = r"[-\d.e]+"
    expected = [
        rf"step 2/5  loss {number}  accuracy {number}  [\d,]+ images/s  \d+ s left",
        rf"validation at step 4: loss {number}  accuracy {number}",
        rf"step 4/5  loss {number}  accuracy {number}  [\d,]+ images/s  \d+ s left",
        rf"validation at step 5: loss {number}  accuracy {number}",
        rf"5 steps in \d+ s, now at step 5: loss {number}",
    ]
    found = sorted(lines, key=lambda line: int(re.search(r"(?:at )?step (\d)", line)[1]))
    assert len(found) == len(expected)
    for pattern in expected:
        assert any(re.fullmatch(pattern, line) for line in lines), (pattern, lines)
    run.close()
    out.truncate(0)
    estimator(tmp_path).train(training_data, steps=1, hooks=[ProgressHook(file=out)])
    assert f"going on at step 5, from {tmp_path}" in out.getvalue()


def test_progress_without_a_known_end_and_with_a_reason():
    class Stop(Hook):
        def after_step(self, context):
            if context.step == 1:
                context.stop("enough")

    out = io.StringIO()
    estimator().train(training_data, hooks=[ProgressHook(every=1, file=out), Stop()])
    assert re.match(r"step 1  loss .* images/s\n", out.getvalue())
    assert "; stopped: enough" in out.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_as_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("minicnn.estimator.progress._REDRAW", 0)
    out = Terminal()
    hooks = [ProgressHook(file=out), ValidationHook(validation_data, 2)]
    estimator().train(training_data, steps=4, hooks=hooks)
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", out.getvalue())
    assert "validation at step 2: loss" in text
    assert "4 steps in" in text
    assert "images/s" in text
    assert "/4" in text


def test_log_every_shows_progress(capsys):
    estimator(log_every=2).train(training_data, steps=2)
    assert "step 2/2  loss" in capsys.readouterr().err
    estimator().train(training_data, steps=2)
    assert capsys.readouterr().err == ""
    own = io.StringIO()
    estimator(log_every=1).train(training_data, steps=1, hooks=[ProgressHook(file=own)])
    assert capsys.readouterr().err == ""
    assert "step 1/1" in own.getvalue()
