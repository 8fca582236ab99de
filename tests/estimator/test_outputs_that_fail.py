"""A terminal that is gone, a picture that cannot be drawn, a table that vanishes in the run."""

import contextlib
import csv
import io
import os
import re
import select
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import estimator, training_data, validation_data

from minicnn.errors import ConfigError, OutputError, ShapeError
from minicnn.estimator import Hook, OutputHook, PlotHook, ProgressHook, ValidationHook
from minicnn.estimator.record_hooks import _Curve


class Broken(io.StringIO):
    """A terminal, or a pipe, that breaks at the n-th time something is written to it."""

    def __init__(self, error, at, terminal):
        super().__init__()
        self.error, self.at, self.terminal, self.writes = error, at, terminal, 0

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.writes += 1
        if self.writes >= self.at:
            raise self.error
        return super().write(text)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("minicnn.estimator.progress._REDRAW", 0)


ERRORS = [
    BrokenPipeError(32, "Broken pipe"),
    OSError(5, "Input/output error"),
    ValueError("closed"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("at", [1, 2, 5, 9])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_training_goes_on_without_its_terminal(error, at, is_terminal, terminal):
    streams = sys.stdout, sys.stderr
    out = Broken(error, at, is_terminal)
    hooks = [ProgressHook(every=1, file=out), ValidationHook(validation_data, 2)]
    run = estimator().train(training_data, steps=8, hooks=hooks)
    assert run.step == 8
    assert at <= out.writes <= at + 3 * is_terminal  # then silent, but for the bar's end
    assert (sys.stdout, sys.stderr) == streams


@pytest.mark.parametrize("stream", [None, object(), io.StringIO()], ids=["no", "other", "closed"])
def test_training_goes_on_where_there_is_no_stderr(stream, monkeypatch):
    if isinstance(stream, io.StringIO):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    run = estimator(log_every=1).train(training_data, steps=2)
    assert run.step == 2


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_real_terminal_that_is_closed(terminal):
    import pty

    here, there = pty.openpty()

    class Close(Hook):
        def after_step(self, context):
            if context.step == 2:
                os.read(here, 1 << 16)
                os.close(here)

    file = os.fdopen(there, "w")
    hooks = [ProgressHook(file=file), Close(), ValidationHook(validation_data, 3)]
    run = estimator().train(training_data, steps=6, hooks=hooks)
    assert run.step == 6
    with contextlib.suppress(OSError):  # what it holds has nowhere to go
        file.close()


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("columns", ["", "0"])
def test_a_terminal_without_a_width(columns, terminal, monkeypatch):
    import fcntl
    import pty
    import struct
    import termios

    monkeypatch.setenv("COLUMNS", columns)
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("4H", 0, 0, 0, 0))
    with os.fdopen(there, "w") as file:
        estimator().train(training_data, steps=3, hooks=[ProgressHook(file=file)])
        shown = b""
        while b"3 steps in" not in shown and select.select([here], [], [], 5.0)[0]:
            shown += os.read(here, 1 << 16)
        assert b"3 steps in" in shown
    os.close(here)


class Names(Hook):
    def before_update(self, context):
        context.metrics |= {"größe": 1.0, "[red]x": 2, "text": "x", "\udcff": 3, "tall": 10**5000}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("columns", ["200", "60", "1"])
def test_terminals_of_any_encoding(encoding, is_terminal, columns, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding, errors="strict")
    file.isatty = lambda: is_terminal
    hooks = [ProgressHook(every=1, file=file), Names()]
    estimator().train(training_data, steps=2, hooks=hooks)
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", raw.getvalue().decode(encoding))
    size = "größe 1" if encoding != "ascii" else r"gr\xf6\xdfe 1"
    assert "2 steps in" in text  # it was not silent
    if columns == "200" or not is_terminal:
        assert rf"{size}  [red]x 2  \udcff 3  tall inf" in text


def test_the_bar_has_no_thread_of_its_own(terminal):
    threads = set()

    class Look(Hook):
        def after_step(self, context):
            threads.update(threading.enumerate())

    before = set(threading.enumerate())
    hooks = [ProgressHook(file=Broken(OSError(), 10**9, True)), Look()]
    estimator().train(training_data, steps=3, hooks=hooks)
    assert threads <= before


def test_what_the_model_says_is_no_failing_terminal(terminal):
    """On a GPU the loss is fetched when it is shown, and an error of the step with it."""

    class Late(Hook):
        def before_update(self, context):
            context.__dict__.pop("loss", None)  # on a GPU it is not there yet

            def read():
                raise ShapeError("label 7 is no class")

            context.__dict__["_read"] = read

    for is_terminal in (True, False):
        hooks = [Late(), ProgressHook(every=1, file=Broken(OSError(), 10**9, is_terminal))]
        with pytest.raises(ShapeError, match="label 7 is no class"):
            estimator().train(training_data, steps=1, hooks=hooks)


@pytest.mark.parametrize("broken", ["savefig", "import", "write"])
def test_a_picture_that_cannot_be_drawn_ends_no_run(broken, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no font found")

    if broken == "savefig":
        monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    elif broken == "import":
        monkeypatch.setitem(sys.modules, "minicnn.visualise", None)
    else:
        (tmp_path / "curves.png").mkdir()
    reason = {
        "savefig": "RuntimeError: no font",
        "import": "ModuleNot",
        "write": "CheckpointError: ",
    }
    run = estimator(tmp_path)
    hooks = [PlotHook(seconds=0), ValidationHook(validation_data, 1)]
    with pytest.warns(UserWarning, match=f"curves.png is not drawn: {reason[broken]}") as warned:
        run.train(training_data, steps=3, hooks=hooks)
    assert len(warned) == 1
    assert run.step == 3
    assert run.saved_at.name == "step-00000003"
    run.close()


def curve_of(most, count):
    curve = _Curve(most)
    for step in range(1, count + 1):
        curve.add(step, step / 2)
    return curve


@given(st.integers(1, 40), st.integers(1, 1000))
def test_a_curve_keeps_points_at_equal_distances_and_the_newest(most, count):
    steps = [step for step, _ in curve_of(most, count).points]
    assert steps[0] == 1
    assert steps[-1] == count
    if count <= most:
        assert len(steps) == count
    else:
        assert most // 2 <= len(steps) <= most + 1
        distances = set(np.diff(steps[:-1]).tolist())
        assert distances <= {2**k for k in range(1, 11)}
        assert len(distances) <= 1


@given(st.integers(1, 40), st.integers(1, 300), st.integers(1, 300), st.integers(1, 40))
def test_a_curve_that_was_saved_goes_on_as_one_that_was_not(most, count, more, before):
    whole, saved = curve_of(most, count + more), curve_of(most, count)
    every = [(s, s / 2) for s in range(1, count + 1)]  # as earlier versions saved them
    for points, which in ((saved.points, [saved.count, saved.stride]), (every, None)):
        again = _Curve.of(most, np.array(points, np.float64).tolist(), which)
        assert vars(again) == vars(saved)
        for step in range(count + 1, count + more + 1):
            again.add(step, step / 2)
        assert vars(again) == vars(whole)
    other = curve_of(before, count)  # a run that is resumed with another number
    other.most = most
    other.add(count + 1, (count + 1) / 2)
    if before >= most:
        assert vars(other) == vars(curve_of(most, count + 1))
    assert len(other.points) <= most + 1


def test_plot_hook_saves_what_it_needs_and_reads_what_was_saved_before(tmp_path, monkeypatch):
    def hooks():
        return [PlotHook(seconds=1e9, points=4), ValidationHook(validation_data, 2)]

    one, two, three = hooks(), hooks(), hooks()
    monkeypatch.setattr(PlotHook, "_draw", lambda _: None)
    estimator(tmp_path / "a").train(training_data, steps=6, hooks=one).close()
    estimator(tmp_path / "b").train(training_data, steps=3, hooks=two).close()
    estimator(tmp_path / "b").train(training_data, steps=3, hooks=three).close()
    states = [hook[0].state_dict() for hook in (one, three)]
    assert states[0]["counts"]["training"] == {"loss": [6, 2], "accuracy": [6, 2]}
    with pytest.raises(ConfigError, match="PlotHook: points is 0; give a whole number above 0"):
        PlotHook(points=0)
    curves = [state["curves"]["training"]["loss"] for state in states]
    np.testing.assert_array_equal(*curves)
    old = PlotHook(points=4)
    old.load_state_dict(
        {"curves": {"training": {"loss": np.array([[s, s / 2] for s in range(1, 7)])}}}
    )
    assert old.state_dict()["counts"] == {"training": {"loss": [6, 2]}}


def test_a_full_disk_ends_a_run_that_is_saved_and_goes_on(tmp_path, monkeypatch):
    """As if the table lay on another disk than the checkpoints."""
    real = OutputHook.after_step

    def full(self, context):
        real(self, context)
        if context.step == 3:
            raise OutputError("OutputHook: cannot write t.csv: No space left on device; make room")

    monkeypatch.setattr(OutputHook, "after_step", full)
    with pytest.raises(OutputError, match="No space") as caught:
        estimator(tmp_path / "a").train(training_data, steps=5, hooks=[OutputHook()])
    assert f"saved at step 3, in {tmp_path}" in caught.value.__notes__[0]
    monkeypatch.undo()
    again = estimator(tmp_path / "a").train(training_data, steps=2, hooks=[OutputHook()])
    once = estimator(tmp_path / "b").train(training_data, steps=5, hooks=[OutputHook()])
    tables = [(tmp_path / name / "training.csv").read_bytes() for name in "ab"]
    assert tables[0] == tables[1]
    for run in (again, once):
        run.close()


class MeddleHook(Hook):
    """Does something to the folder after a step."""

    def __init__(self, step, meddle):
        self.step, self.meddle = step, meddle

    def after_step(self, context):
        if context.step == self.step:
            self.meddle()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody touch a file that is open")
def test_a_table_that_is_replaced_or_deleted_in_the_run_loses_no_later_rows(tmp_path):
    path = tmp_path / "training.csv"

    def edit():
        (tmp_path / "new").write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        (tmp_path / "new").replace(path)

    hooks = [OutputHook(), MeddleHook(2, edit)]
    run = estimator(tmp_path).train(training_data, steps=4, hooks=hooks)
    steps = [row.split(",")[0] for row in path.read_bytes().decode().split("\n")]
    assert steps == ["step", "1", "2", "3", "4", ""]
    run.train(training_data, steps=3, hooks=[OutputHook(), MeddleHook(5, path.unlink)])
    assert [row.split(",")[0] for row in path.read_text().splitlines()] == ["step", "6", "7"]
    run.close()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody touch a file that is open")
def test_a_folder_that_vanishes_in_the_run_is_named(tmp_path):
    folder = tmp_path / "tables"

    def vanish():
        (folder / "t.csv").unlink()
        folder.rmdir()

    run, hooks = estimator(), [OutputHook(folder / "t.csv"), MeddleHook(2, vanish)]
    with pytest.raises(OutputError, match=r"cannot write .*t\.csv: No such file or directory; g"):
        run.train(training_data, steps=4, hooks=hooks)
    assert run.step == 3
    assert not folder.exists()


def test_evaluations_may_have_any_name(tmp_path):
    hooks = [OutputHook(), ValidationHook(validation_data, 1, name="real/night\\\0")]
    estimator(tmp_path).train(training_data, steps=1, hooks=hooks).close()
    assert (tmp_path / "real-night--.csv").read_text().startswith("step,loss,accuracy,examples\n1,")


def test_only_single_numbers_make_columns_and_all_read_back(tmp_path):
    class Odd(Hook):
        def before_update(self, context):
            context.metrics |= {
                "text": "x", "none": None, "many": np.zeros(3), "complex": 1j, "yes": True,
                "half": np.float16(0.5), "tall": 10**5000, "a,b": np.array(1.5), 7: 1,
            }  # fmt: skip

    path = tmp_path / "training.csv"
    for _ in range(2):
        estimator(tmp_path).train(training_data, steps=1, hooks=[Odd(), OutputHook()]).close()
    head, *rows = csv.reader(io.StringIO(path.read_text()))
    expected = "step,learning_rate,loss,accuracy,yes,half,tall,a|b,7"
    assert "|".join(head).replace("a,b", "a|b") == expected.replace(",", "|")
    assert [row[4:] for row in rows] == [["1", "0.5", "inf", "1.5", "1"]] * 2
