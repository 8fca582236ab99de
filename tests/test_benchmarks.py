"""What the benchmarks measure with; the measuring itself is nobody's test."""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _measure, _minicnn_side, _nets, bench_pipeline, roofline, versus_torch
from benchmarks._measure import SideError, alternate, in_own_process, run_suite, table
from minicnn import Tensor, nn, no_grad, ops, optim
from minicnn.autograd.graph import trace
from minicnn.backend.machine import Peaks
from minicnn.data import Dataset
from minicnn.estimator import Estimator

FILES = sorted(p.stem for p in Path(_measure.__file__).parent.glob("bench_*.py"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.0123"), (1.0, "1.00"), (12.34, "12.3"), (123.4, "123"), (12345.6, "12346")],
)
def test_numbers_get_three_digits(value, text):
    assert _measure.three_digits(value) == text


def test_a_table_is_aligned():
    rows = [("", "ms", "by"), ("a long name", 1.5, "memory"), ("b", None)]
    assert table(rows).splitlines() == [
        "               ms      by",
        "a long name  1.50  memory",
        "b",
    ]


def test_sides_take_turns_and_one_that_fails_is_left_out():
    calls = []

    def side(name, fails=False):
        def call():
            calls.append(name)
            if fails:
                raise SideError("no compiler")
            return len(calls)

        return call

    sides = {"a": side("a"), "b": side("b", fails=True), "c": side("c")}
    results, failures = alternate(sides, 3)
    assert calls == ["a", "b", "c", "c", "a", "a", "c"]
    assert results == {"a": [1, 5, 6], "c": [3, 4, 7]}
    assert failures == {"b": "no compiler"}


def test_a_side_runs_in_a_process_of_its_own():
    found = in_own_process("benchmarks._side", ["sgemm", "seednet", "train", "0"], 1)
    assert len(found["times"]) == _measure.FEWEST
    assert found["parameters"] is None


def test_a_side_that_fails_says_how():
    with pytest.raises(SideError, match=r"ended with 1: KeyError: 'no such net'"):
        in_own_process("benchmarks._side", ["sgemm", "no such net", "train", "0"], 1)


def test_medians_are_those_of_processes():
    processes = [[1.0, 2.0, 300.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    assert _measure.median_of(processes) == 5.0
    assert _measure.least_of(processes) == 1.0


FAKE_MS = {
    "minicnn": 20.0,
    "eager NCHW": 60.0,
    "eager channels_last": 40.0,
    "compile NCHW": 50.0,
    "compile channels_last": 80.0,
}


def pretend(monkeypatch, parameters=None):
    def run_side(arguments, side, net, work, threads):
        ms = FAKE_MS[side] / threads
        counts = parameters or {}
        return {"times": [ms, ms + 1, ms + 100], "parameters": counts.get(side, 7)}

    monkeypatch.setattr(versus_torch, "run_side", run_side)
    monkeypatch.setattr(versus_torch, "has_torch", lambda python: True)


def versus(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["versus_torch", *words])
    versus_torch.main()


def test_results_have_the_form_that_is_promised(monkeypatch, tmp_path, capsys):
    pretend(monkeypatch)
    path = tmp_path / "results.json"
    versus(monkeypatch, "--threads", "1", "2", "--nets", "seednet", "--json", str(path))
    found = json.loads(path.read_text())
    works = ("train", "inference", "inference1")
    assert set(found) == {f"seednet/{work}/{threads}" for work in works for threads in (1, 2)}
    assert found["seednet/train/2"] == {
        "minicnn_ms": 11.0,
        "torch_ms": {side: ms / 2 + 1 for side, ms in FAKE_MS.items() if side != "minicnn"},
        "ratio": 11 / 21,
    }
    line = next(x for x in capsys.readouterr().out.splitlines() if "seednet/train/2" in x)
    assert line.split()[1:] == [
        *("11.0", "(10.0)", "31.0", "(30.0)", "21.0", "(20.0)", "26.0", "(25.0)"),
        *("41.0", "(40.0)", "0.52"),
    ]


def test_the_table_for_readme():
    ms = {"eager NCHW": 60.0, "compile NCHW": 50.0}
    results = {
        "wide/train/1": {"minicnn_ms": 20.0, "torch_ms": {}, "ratio": None},
        "seednet/train/2": {"minicnn_ms": 20.0, "torch_ms": ms, "ratio": 0.4},
    }
    assert versus_torch.markdown(results).splitlines()[2:] == [
        "| seednet/train/2 | 20.0 ms | 50.0 ms | 0.40 |",
        "| wide/train/1 | 20.0 ms | - | - |",
    ]


def test_threads_may_be_given_several_times():
    assert versus_torch.parse(["--threads", "1", "--threads", "2"]).threads == [1, 2]
    assert versus_torch.parse([]).threads == [1, 2]


def test_nets_that_are_not_the_same_are_not_compared(monkeypatch):
    pretend(monkeypatch, parameters={"eager NCHW": 8})
    with pytest.raises(SystemExit, match="differ in their number of parameters"):
        versus(monkeypatch, "--nets", "seednet", "--threads", "1")


def test_without_torch_there_is_no_ratio(monkeypatch, tmp_path, capsys):
    pretend(monkeypatch)
    monkeypatch.setattr(versus_torch, "has_torch", lambda python: False)
    versus(monkeypatch, "--nets", "wide", "--threads", "1", "--json", str(tmp_path / "r"))
    assert json.loads((tmp_path / "r").read_text()) == {
        "wide/train/1": {"minicnn_ms": 21.0, "torch_ms": {}, "ratio": None}
    }
    assert "pip install torch==2.13.0" in capsys.readouterr().out


def test_inference_of_other_nets_is_measured_if_asked_for():
    assert versus_torch.works_of(["seednet", "wide"], None) == [
        ("seednet", "train"),
        ("wide", "train"),
        ("seednet", "inference"),
        ("seednet", "inference1"),
    ]
    assert versus_torch.works_of(["wide"], ["inference"]) == [("wide", "inference")]


@pytest.mark.parametrize(("mine", "code"), [(1.9, 0), (2.1, 1)])
def test_an_alarm_looks_at_the_least_times(mine, code, capsys):
    times = {"minicnn": [[mine, 900.0, 900.0]], "eager NCHW": [[1.0, 9.0, 9.0]]}
    assert versus_torch.verdict(times, 2.0) == code
    assert f"100.00 of medians, {mine:.2f} of least times" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "count"), [("seednet", 38_147), ("resnet20", 274_619), ("unet", 482_856)]
)
def test_nets_are_those_of_the_papers(name, count):
    net = _minicnn_side.build(_nets.NETS[name])
    assert sum(p.size for p in net.parameters()) == count
    with no_grad():
        y = net(Tensor(np.ones((2, 3, 32, 32), np.float32)))
    assert y.shape == ((2, _nets.PIXEL_CLASSES, 32, 32) if name == "unet" else (2, _nets.CLASSES))


def test_the_u_net_is_trained_if_asked_for():
    assert "unet" not in versus_torch.parse([]).nets
    assert versus_torch.parse(["--nets", "unet"]).nets == ["unet"]
    net = _nets.NETS["unet"]._replace(channels=2, size=16, batch=2)
    estimator = _minicnn_side.estimator_of(net)
    assert estimator.train(lambda: _minicnn_side.ready_batches(net), steps=1).step == 1


def test_the_stopwatch_times_the_estimators_steps():
    x, y = np.ones((4, 2), np.float32), np.zeros(4, np.int64)
    estimator = Estimator.from_module(
        nn.Dense(2, 2), ops.sparse_softmax_cross_entropy, lambda p: optim.SGD(p, 0.1)
    )
    times = _minicnn_side.train(estimator, Dataset.from_slices((x[None], y[None])).repeat(), 0.0)
    assert len(times) == _measure.FEWEST
    assert estimator.step == _measure.WARM_UP + _measure.FEWEST
    assert min(times) > 0


def test_a_batch_that_lies_ready_is_not_copied():
    with iter(_minicnn_side.ready_batches(_nets.NETS["seednet"])) as batches:
        (first, _), (second, _) = next(batches), next(batches)
    assert first.shape == (128, 3, 32, 32)
    assert np.shares_memory(first, second)
    assert np.moveaxis(first, 1, -1).flags.c_contiguous


PEAKS = Peaks(100.0, {10: 4.0, 1000: 2.0})


def test_the_bandwidth_is_that_of_the_size():
    assert [PEAKS.bandwidth(size) for size in (1, 10, 11, 5000)] == [4.0, 4.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("flop", "size", "small", "held"),
    [(400, 4, 0.1, "compute"), (100, 16, 0.1, "memory"), (100, 4, 7.0, "overhead")],
)
def test_the_roofline_names_what_holds_an_op(flop, size, small, held):
    part = roofline.single(trace(lambda x: x + 1, np.ones(3)).nodes[0])
    work = roofline.Work(part, "forward", 20.0, flop, size)
    little = roofline.Work(part, "forward", small, 0, 0)
    line, total = roofline.rows([work], [little], PEAKS)
    bound = max(flop / 100, size / (4.0 if size <= 10 else 2.0))
    assert line[-1] == held
    assert line[5:9] == [flop / 20 / 1e9, size / 20 / 1e9, bound * 1e3, f"{bound / 20:.0%}"]
    assert total[-1] == f"{bound / 20:.0%}"


def test_layers_are_measured_whole_forward_and_to_all_they_take():
    with nn.arg_scope(nn.Conv2d, normalizer=nn.BatchNorm2d, activation=ops.relu):
        net = nn.Sequential(nn.Conv2d(2, 3), nn.MaxPool2d(2), nn.Conv2d(3, 4))
    parts = list(roofline.parts_of(trace(net, np.ones((2, 2, 6, 6), np.float32))))
    assert [(p.path, p.op) for p in parts] == [
        ("0", "conv2d + batch_norm + relu"),
        ("1", "max_pool2d"),
        ("2", "conv2d + batch_norm + relu"),
    ]
    found = [list(roofline.passes(part, 0.0)) for part in parts]
    assert [[w.name for w in ws] for ws in found] == [
        ["forward", "grad of weights"],  # its input is given
        ["forward", "grad of input"],
        ["forward", "grad of input", "grad of weights"],
    ]
    x, weights, y = 2 * 3 * 9, 4 * 3 * 9 + 4 + 4, 2 * 4 * 9
    assert {w.flop for w in found[2]} == {2 * y * 3 * 9}
    assert {w.size for w in found[2]} == {4 * (x + weights + y)}
    assert [w.flop for w in found[1]] == [0, 0]
    assert [w.size for w in found[1]] == [4 * (4 * x + x), 4 * (4 * x + 4 * x + x)]


class Fake:
    """A suite as asv knows it."""

    params = ([1, 2], ["a"])
    param_names = ("n", "letter")

    def setup(self, n, letter):
        self.text = letter * n

    def time_nothing(self, n, letter):
        assert self.text == letter * n

    def track_length(self, n, letter):
        return len(self.text)

    track_length.unit = "letters"


def test_a_suite_runs_without_asv():
    module = types.ModuleType(__name__)
    module.Fake = Fake
    head, first, second = run_suite(module, 0.0).splitlines()
    assert head.split() == ["Fake", "nothing", "ms", "length", "letters"]
    assert first.startswith("1, a")
    assert first.endswith("1.00")
    assert second.endswith("2.00")


@pytest.mark.parametrize("name", FILES)
def test_every_suite_has_cases_that_run(name):
    module = importlib.import_module(f"benchmarks.{name}")
    for suite in _measure.suites_of(module):
        case = _measure.cases_of(suite)[0]
        made = _measure.set_up(suite, case)
        for benchmark in _measure.benchmarks_of(suite):
            if benchmark.startswith("time_"):
                getattr(made, benchmark)(*case)


def test_the_largest_archive_of_a_folder_is_taken(tmp_path):
    (tmp_path / "few.zip").write_bytes(b"1")
    (tmp_path / "all.zip").write_bytes(b"123")
    assert bench_pipeline.photographs(str(tmp_path)) == str(tmp_path / "all.zip")
    assert bench_pipeline.photographs(str(tmp_path / "few.zip")) == str(tmp_path / "few.zip")
    assert bench_pipeline.photographs(None) is None


def test_a_net_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        versus_torch.parse(["--nets", "resnet50"])
    assert "resnet50 is none of seednet, seed48" in capsys.readouterr().err
    assert versus_torch.parse(["--device", "cuda", "--nets", "resnet50"]).nets == ["resnet50"]
