"""The benchmarks on a GPU: what they compare and how, and that all of them run."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from benchmarks import (
    _cuda_cases,
    _cuda_minicnn,
    _cuda_roofline,
    _cuda_torch,
    _cuda_versus,
    _measure,
    _minicnn_side,
    _nets,
    _resnet50,
    roofline,
    versus_torch,
)
from benchmarks._clock import Clock, CupyClock, time_all
from benchmarks._cuda_peaks import Peaks, narrowed
from benchmarks._cuda_request import Request
from minicnn.kernels import capturing


class Device(Clock):
    """A device that works through a queue: each call takes it 3 ms."""

    def __init__(self):
        super().__init__(fewest=4, warm_up=2)
        self.queued = self.done = 0

    def call(self):
        self.queued += 1

    def mark(self):
        return self.queued

    def between(self, first, second):
        assert second <= self.done  # only the past has times
        return 3.0 * (second - first)

    def wait(self):
        self.done = self.queued


def test_a_clock_reads_the_times_when_the_queue_is_empty():
    clock = Device()
    assert clock.times(clock.call, 0.0) == [3.0] * 4
    assert clock.queued == 1 + 2 + 4


def test_calls_that_fail_say_why_and_others_are_timed():
    clock = Device()
    found = time_all(clock, [("bad", lambda: 1 / 0), ("good", lambda: clock.call)], 0.0)
    assert found.failures == {"bad": "ZeroDivisionError: division by zero"}
    assert found.times == {"good": [3.0] * 4}


def test_the_convolutions_are_those_of_resnet50():
    shapes = _resnet50.convolutions()
    assert (len(shapes), sum(shapes.values())) == (23, 53)
    weights = sum(n * s.channels * s.filters * s.window**2 for s, n in shapes.items())
    assert weights == 23_454_912  # 25,557,032 without the normalisation and the dense layer
    assert sum(n * s.flop(1) for s, n in shapes.items()) == 2 * 4_087_136_256
    assert [s.name for s in shapes if "grad of input" not in s.passes] == ["7x7 3->64 @224 /2"]


def test_a_request_travels_as_text():
    request = Request("unet", ("tf32",), ("graph",), 0.5, True)
    assert Request.of(request.to_text()) == request
    assert request.net == _nets.Net("unet", 2, 16, 2)


def test_the_device_side_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(_cuda_torch, "torch", None)
    assert "pip install torch" in _cuda_torch.about()["error"]
    torch = types.SimpleNamespace(
        __version__="2.13.0+cpu", version=types.SimpleNamespace(cuda=None)
    )
    monkeypatch.setattr(_cuda_torch, "torch", torch)
    assert "was built without CUDA" in _cuda_torch.about()["error"]
    torch.version.cuda, torch.cuda = "13.0", types.SimpleNamespace(is_available=lambda: False)
    assert "finds no GPU" in _cuda_torch.about()["error"]


def test_a_side_on_the_gpu_is_a_process_of_its_own(device):
    known = _measure.in_own_process("benchmarks._cuda_side", ["minicnn", "about"], 1)
    assert "CuPy" in known["device"]
    request = Request("resnet50", ("float32",), ("eager",), 0.0, True)
    words = ["minicnn", request._replace(device="cpu").to_text()]
    found = _measure.in_own_process("benchmarks._cuda_side", words, 1)
    assert found["failures"] == {}
    assert found["parameters"] is None
    assert {name.split("/")[1] for name in found["times"]} == {"eager"}


def on_gpu(*words):
    return versus_torch.parse(["--device", "cuda", "--rounds", "1", "--seconds", "0", *words])


def sides(monkeypatch, answers):
    def run_side(arguments, side, request):
        if request == "about":
            return {"device": f"{side}'s card", "stand_in": False}
        return {"parameters": 7, "failures": {}, "times": {}} | answers[side]

    monkeypatch.setattr(_cuda_versus, "run_side", run_side)


def test_ways_are_compared_with_their_like(monkeypatch, tmp_path, capsys):
    answers = {
        "minicnn": {
            "times": {"tf32/eager": [3.0], "tf32/graph": [2.0], "tf32/eager Estimator": [2.5]}
        },
        "torch": {
            "times": {
                "tf32/eager NCHW": [6.0],
                "tf32/eager channels_last": [5.0],
                "tf32/graph NCHW": [4.0],
            },
            "failures": {"tf32/graph channels_last": "out of memory"},
        },
    }
    sides(monkeypatch, answers)
    path = tmp_path / "results.json"
    words = ["--nets", "wide", "--precisions", "tf32", "--markdown", "--json", str(path)]
    _cuda_versus.main(on_gpu(*words))
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("tf32"))
    assert line.split() == ["tf32", "3.00", "5.00", "0.60", "2.50", "2.00", "4.00", "0.50", "-"]
    assert "left out: wide/tf32/graph channels_last of torch: out of memory" in out
    assert "| wide/tf32/graph | 2.00 ms | 4.00 ms | 0.50 |" in out
    found = json.loads(path.read_text())
    assert found["devices"] == {"minicnn": "minicnn's card", "torch": "torch's card"}
    assert found["wide/tf32/eager"]["ratio"] == 0.6
    assert found["wide/tf32/eager"]["torch_formats_ms"] == {"NCHW": 6.0, "channels_last": 5.0}


def test_convolutions_are_added_up_as_often_as_the_net_has_them(monkeypatch, capsys):
    calls = [(s, which) for s in _resnet50.convolutions() for which in s.passes]
    names = [f"{s.name}/{which}" for s, which in calls]
    answers = {
        "minicnn": {"times": {f"tf32/graph/{name}": [3.0] for name in names}},
        "torch": {"times": {f"tf32/graph NCHW/{name}": [2.0] for name in names}},
    }
    lost = "tf32/graph NCHW/3x3 512->512 @7/forward"  # there are two of it
    del answers["torch"]["times"][lost]
    sides(monkeypatch, answers)
    _cuda_versus.main(on_gpu("--nets", "resnet50", "--precisions", "tf32"))
    lines = capsys.readouterr().out.splitlines()
    total = next(line for line in lines if line.startswith("sum over the net"))
    assert total.split()[4:] == ["153", "102", "1.50", "156", "104", "1.50", "159", "106", "1.50"]
    total = next(line for line in lines if line.startswith("all passes"))
    assert total.split()[2:] == ["468", "312", "1.50"]
    lonely = next(line for line in lines if line.startswith("3x3 512->512 @7 "))
    assert lonely.split()[3:7] == ["2", "3.00", "-", "-"]


def test_nets_that_differ_are_not_compared_on_a_gpu(monkeypatch):
    sides(monkeypatch, {"minicnn": {"parameters": 8}, "torch": {}})
    with pytest.raises(SystemExit, match="differ in their number of parameters"):
        _cuda_versus.main(on_gpu("--nets", "wide"))


def test_without_a_gpu_the_benchmarks_say_what_to_install(monkeypatch):
    answer = {"error": "minicnn: device 'cuda' needs CuPy; install CuPy with: pip install ..."}
    monkeypatch.setattr(_cuda_versus, "run_side", lambda *_: answer)
    monkeypatch.setattr(_cuda_roofline, "about", lambda: answer)
    with pytest.raises(SystemExit, match="pip install"):
        _cuda_versus.main(on_gpu())
    monkeypatch.setattr(sys, "argv", ["roofline", "--device", "cuda"])
    with pytest.raises(SystemExit, match="pip install"):
        roofline.main()


def test_a_kernel_is_judged_by_its_floor():
    peaks = Peaks(1e9, {"tf32": 1e12})
    assert peaks.floor(2_000_000, 0, "float32") == 2.0
    assert peaks.floor(2_000_000, 3_000_000_000, "tf32") == 3.0
    for flop, ms, mark in [(0, 2.4, ""), (0, 2.6, "!"), (1, 2.9, ""), (1, 3.1, "!")]:
        case = _cuda_cases.Case("family", "kernel", lambda _: (), flop=flop)
        found = _cuda_roofline.Found(case, "tf32", ms, 2_000_000)
        assert _cuda_roofline.row(found, peaks)[-2:] == [f"{ms / 2:.2f}", mark]


def test_what_a_kernel_must_move_counts_what_it_writes_twice():
    weights, grads = [np.zeros(3, np.float32)] * 2, [np.zeros(3, np.float32)] * 2
    case = _cuda_cases.Case("optimizer", "sgd_update", lambda _: (), written=(0,))
    assert _cuda_cases.size_of(case, (weights, grads, 0.1, None), None) == 3 * 24
    case = _cuda_cases.Case("pooling", "max_pool", lambda _: ())
    assert _cuda_cases.size_of(case, (weights[0],), (grads[0], (grads[0],))) == 3 * 12


def test_bfloat16_is_the_upper_half():
    found = narrowed(np.array([1.0, -2.0], np.float32), "bfloat16")
    assert found.dtype == np.uint16
    assert list(found) == [0x3F80, 0xC000]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_replayed_step_is_the_step(device, precision):
    request = Request("seednet", quick=True)
    called, other = (_cuda_minicnn.Step(request, precision, adaptive=False) for _ in range(2))
    with capturing.alike():  # cuBLAS, which cannot be captured, has other bits
        replay = other.recorded()
        losses = [replay()[0].item() for _ in range(2)]
        expected = [called().item() for _ in range(_cuda_minicnn.WARM_UP + 2)]
    assert losses == expected[-2:]
    state = other.module.state_dict()
    assert all(np.array_equal(v, state[name]) for name, v in called.module.state_dict().items())


@pytest.mark.parametrize("work", ["seednet", "unet", "resnet50"])
def test_the_device_side_measures_all_it_is_asked(device, work):
    precisions = ("tf32", "float16") if work == "resnet50" else ("float16",)
    timed, parameters = _cuda_minicnn.measure(Request(work, precisions, seconds=0.0, quick=True))
    assert timed.failures == {}
    if work != "resnet50":
        ways = [f"float16/{mode}{who}" for mode in ("eager", "graph") for who in ("", " Estimator")]
        assert set(timed.times) == set(ways)
        assert parameters == sum(
            p.size for p in _minicnn_side.build(Request(work, quick=True).net).parameters()
        )
    else:
        assert len(timed.times) == 2 * sum(len(s.passes) for s in _resnet50.chosen(quick=True))
    assert all(len(times) >= 2 for times in timed.times.values())


def test_events_take_the_time(device):
    import cupy

    clock, x = CupyClock(2, 1), cupy.zeros(8)
    times = clock.times(lambda: x + x, 0.0)
    assert len(times) == 2
    assert min(times) > 0


def test_the_roofline_runs_every_family_of_kernels(device, monkeypatch, capsys):
    words = ["--device", "cuda", "--quick", "--seconds", "0", "--precisions", "float32"]
    monkeypatch.setattr(sys, "argv", ["roofline", *words])
    roofline.main()
    out = capsys.readouterr().out
    assert "the times mean nothing" in out
    assert "left out" not in out
    families = {line.split()[0] for line in out.splitlines() if " float32 " in line}
    folder = Path(_measure.ROOT) / "kernels" / "plain"
    left_out = {*_cuda_cases.FEW, *_cuda_cases.ON_THE_HOST}
    assert families == {p.stem for p in folder.glob("[a-z]*.py")} - left_out
