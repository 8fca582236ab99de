"""The benchmark of detection: every rung in one table, and what happens if one breaks."""

import json

import numpy as np
import pytest

from benchmarks import ladder
from benchmarks._contest import time_in_turns
from minicnn.apps import detect
from minicnn.apps.detect import DETECTORS


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(
        ladder, "QUICK", {"scenes": 8, "size": (48, 64), "steps": 2, "test": 3, "times": 2}
    )
    monkeypatch.setattr("minicnn.apps._detect_data.TEST_SCENES", 4)


def test_the_rungs_are_those_of_the_story():
    assert list(DETECTORS) == [
        "sliding",
        "rcnn",
        "fast",
        "faster",
        "dense",
        "ssd",
        "yolo",
        "retina",
    ]


def test_some_are_measured_though_another_fails(quick, tmp_path, monkeypatch, capsys):
    def broken(settings, *more, **named):
        if settings.detector == "ssd":
            raise RuntimeError("no anchors")
        return make(settings, *more, **named)

    make = detect.make_estimator
    monkeypatch.setattr(detect, "make_estimator", broken)
    file = tmp_path / "out.json"
    words = ["--quick", "--detectors", "faster,ssd,yolo", "--json", str(file)]
    assert ladder.main([*words, "--runs", str(tmp_path / "runs")]) == 1
    out = capsys.readouterr().out
    assert "failed   SSD: RuntimeError: no anchors" in out
    assert "SSD (failed)" in out
    assert "the fastest one-stage detector is YOLO" in out
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["detector"] for line in lines] == ["faster", "ssd", "yolo"]
    for line in lines:
        if line["detector"] == "ssd":
            assert line["failure"] == "RuntimeError: no anchors"
            assert line["ms"] is line["map50"] is None
            continue
        run = detect.load_run(tmp_path / "runs" / line["detector"])
        assert run.step == line["steps"] == 2
        assert line["parameters"] == run.net.count_parameters()
        assert line["ms"] > 0
        assert 0 <= line["map50"] <= 1
        assert line["seconds"] > 0
        assert line["proposals"] > 50


def test_each_turn_shows_all_the_same_picture_another_first():
    seen = []
    looks = {name: lambda turn, name=name: seen.append((name, turn)) for name in "ab"}
    found = time_in_turns(looks, turns=3, seconds=9)
    assert set(found) == {"a", "b"}
    assert seen == [
        ("a", 0), ("b", 0),  # the warm-up
        ("a", 0), ("b", 0), ("b", 1), ("a", 1), ("a", 2), ("b", 2),
    ]  # fmt: skip


def test_a_detector_is_shown_one_picture_after_the_other():
    class Net:
        def find(self, images):
            return images[0, 0, 0, 0].item(), images.shape

    class Images:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return type("Example", (), {"image": np.full((4, 4, 3), index, np.uint8)})

    look = ladder.looker(Net(), Images())
    assert [look(turn) for turn in range(3)] == [(turn % 2, (1, 4, 4, 3)) for turn in range(3)]


def result(name, ms, map50):
    return ladder.Result(name, ms=ms, map50=map50, map_voc2007=map50, map_coco=map50 / 2)


def test_the_story_is_told_in_ratios():
    told = ladder.story(
        [
            result("sliding", 3000, 0.9), result("rcnn", 600, 0.91), result("fast", 100, 0.92),
            result("faster", 12, 0.9), result("yolo", 6, 0.88), result("ssd", 8, 0.85),
        ]
    )  # fmt: skip
    assert told == [
        "R-CNN is 5.0 times as fast as sliding window, mAP@0.5 +1.0 points",
        "Fast R-CNN is 6.0 times as fast as R-CNN, mAP@0.5 +1.0 points",
        "Faster R-CNN is 8.3 times as fast as Fast R-CNN, mAP@0.5 -2.0 points",
        "the fastest one-stage detector is YOLO, 2.0 times as fast as Faster R-CNN",
        "mAP@0.5 from 85.0 % (SSD) to 92.0 % (Fast R-CNN)",
    ]
    assert ladder.story([ladder.Result("yolo", failure="x")]) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detectors", "yolo,eye"], "'eye' is none of sliding, rcnn"),
        (["--minutes", "0"], "--minutes and --test must be above 0"),
        (["--test", "0"], "--minutes and --test must be above 0"),
    ],
)
def test_wrong_use_is_told_in_one_line(words, message, capsys):
    assert ladder.main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.strip().count("\n") == 0


def test_no_more_streets_are_judged_than_there_are(quick, monkeypatch, capsys):
    monkeypatch.setitem(ladder.QUICK, "test", 5)
    assert ladder.main(["--quick"]) == 2
    assert "--test 5: there are 4 streets to judge on; give fewer" in capsys.readouterr().err
