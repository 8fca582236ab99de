"""The benchmark of segmentation: every network in one table."""

import json

import pytest

from benchmarks import segmenters
from minicnn.apps import segment
from minicnn.apps.segment import SEGMENTERS


def test_each_is_trained_judged_and_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(segmenters, "QUICK", {"scenes": 8, "size": (32, 32), "epochs": 2})
    file, runs = tmp_path / "out.json", tmp_path / "runs"
    words = ["--quick", "--models", "unet,noskips", "--json", str(file), "--runs", str(runs)]
    assert segmenters.main(words) == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["model"] for line in lines] == ["unet", "noskips"]
    out = capsys.readouterr().out
    for line in lines:
        run = segment.load_run(runs / line["model"])
        assert (run.step, run.settings.epochs) == (2, 2)
        assert line["parameters"] == run.net.count_parameters()
        assert line["epochs"] == 2
        assert min(line["ms"], line["seconds"]) > 0
        assert all(0 <= line[key] <= 1 for key in ("mean_iou", "pixel_accuracy", "boundary_f1"))
        assert f"{line['parameters']:,}" in out
        assert SEGMENTERS[line["model"]].title in out


def test_what_takes_too_long_gets_fewer_epochs(monkeypatch):
    settings = segment.Settings(scenes=40, size=(32, 32), epochs=50, channels=4)
    parts = segment.load_parts(settings)
    clock = iter(range(0, 1000, 3))  # seconds: 3 for the steps that are measured
    monkeypatch.setattr(segmenters.time, "perf_counter", lambda: next(clock))
    settings = segmenters.replace(settings, names=parts.train.names)
    epochs = segmenters.epochs_in(1, settings, parts.train)
    assert epochs == 60 / 3 * segmenters.MEASURED / 5  # 5 steps an epoch


@pytest.mark.parametrize(
    ("words", "fault"),
    [(["--models", "unet,vgg"], "'vgg' is none of unet"), (["--minutes", "0"], "above 0, got 0")],
)
def test_odd_wishes_are_refused(words, fault, capsys):
    assert segmenters.main(words) == 2
    assert fault in capsys.readouterr().err
