"""Detection from the outside: what a person types, and what comes back."""

import contextlib
import io
import json
import signal

import numpy as np
import pytest
from command_line import result, start, wait_for_step
from PIL import Image
from voc_files import NAMES, write_voc

from minicnn.apps import detect as app
from minicnn.apps._detection import find_in
from minicnn.apps.detect import DETECTORS
from minicnn.data.pictures import read_photograph
from minicnn.train import main

KEYS = {
    "map50", "map_coco", "map_voc2007", "per_class", "detector", "examples", "objects", "steps",
    "seconds", "images_per_s", "data", "part", "skipped", "model_dir", "checkpoint_sha256",
}  # fmt: skip
TINY = ["--size", "48", "64", "--channels", "4", "--batch-size", "4"]
QUICK = [*TINY, "--detector", "faster", "--scenes", "12", "--steps", "6"]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Ten pictures with all that is odd in real data."""
    return write_voc(tmp_path_factory.mktemp("voc"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on drawn streets that is done: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["detect", "--model-dir", str(folder), "--json", *QUICK]) == 0
    return folder, out.getvalue()


def test_training_shows_what_it_learned(trained):
    folder, out = trained
    found = result(out)
    assert set(found) == KEYS
    assert (found["detector"], found["part"], found["steps"]) == ("faster", "validation", 6)
    assert set(found["per_class"]) == {"prohibitory", "danger", "mandatory", "other"}
    assert "These streets are DRAWN" in out
    assert "mAP@0.5 " in out
    assert "(COCO, 101 points)" in out
    for picture in ("curves.png", "precision_recall.png", "found-1.png"):
        with Image.open(folder / picture) as image:
            assert image.width > 300
    head, *rows = (folder / "training.csv").read_text().splitlines()
    assert len(rows) == 6
    assert "loss/objectness" in head


def test_evaluation_repeats_what_training_found(trained, detect):
    folder, out = trained
    status, again, _ = detect("evaluate", "--model-dir", folder, "--json")
    assert status == 0
    for key in KEYS - {"seconds", "images_per_s"}:
        assert result(again)[key] == result(out)[key]


def test_a_format_without_data_is_refused_by_evaluation_too(trained, detect):
    status, _, err = detect("evaluate", "--model-dir", trained[0], "--format", "voc")
    assert (status, "--format voc needs --data" in err) == (2, True)


def test_other_streets_are_the_test_part(trained, detect, monkeypatch):
    monkeypatch.setattr("minicnn.apps._detect_data.TEST_SCENES", 5)
    status, out, _ = detect("evaluate", "--model-dir", trained[0], "--part", "test", "--json")
    assert (status, result(out)["examples"], result(out)["part"]) == (0, 5, "test")
    status, out, _ = detect("--json", "--model-dir", trained[0], "evaluate", "--part", "train")
    assert (status, result(out)["examples"]) == (0, 12)


def test_a_picture_is_not_written_over(trained, tmp_path, detect):
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    status, _, err = detect(
        "predict", "--model-dir", trained[0], "--out", tmp_path, tmp_path / "a.png"
    )
    assert (status, "would be written over it; give another --out" in err) == (2, True)
    assert (tmp_path / "a.png").read_bytes() == before


def test_prediction_draws_and_writes_the_boxes_of_the_picture(trained, tmp_path, detect):
    folder, _ = trained
    pixels = np.random.default_rng(0).integers(0, 256, (90, 150, 3)).astype(np.uint8)
    for name in ("a.png", "b/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    status, out, err = detect(
        "predict", "--model-dir", folder, "--json", "--score", 0, "--out", tmp_path / "seen",
        tmp_path / "a.png", tmp_path / "b/a.png",
    )  # fmt: skip
    assert status == 0, err
    run = app.load_run(folder)
    wanted = find_in(run.net, read_photograph(tmp_path / "a.png"), run.settings.size, 0.0)
    first, second = result(out)["predictions"]
    assert first["detections"] == second["detections"]
    assert len(first["detections"]) == len(wanted.boxes) > 0
    for row, box, score, label in zip(first["detections"], *wanted, strict=True):
        assert row["box"] == pytest.approx(box, abs=0.006)
        assert (row["score"], row["class"]) == (pytest.approx(score), label)
        assert row["name"] == run.settings.names[label]
        y0, x0, y1, x1 = row["box"]
        assert 0 <= y0 <= y1 <= 90
        assert 0 <= x0 <= x1 <= 150
    written = json.loads((tmp_path / "seen/predictions.json").read_text())
    assert written["predictions"] == [first, second]
    assert {first["picture"], second["picture"]} == {
        str(tmp_path / "seen" / name) for name in ("a.png", "a-2.png")
    }
    with Image.open(tmp_path / "seen/a-2.png") as drawn:
        assert drawn.width > 150


def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(trained, tmp_path, detect):
    """Also if the two have other numbers of threads."""
    process = start(
        "--model-dir", tmp_path, "--save-every", 2, "--workers", 0, *QUICK, MINICNN_THREADS="1",
        app="detect",
    )  # fmt: skip
    wait_for_step(tmp_path, 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "minicnn.train detect --resume" in err
    status, resumed, err = detect("--resume", "--model-dir", tmp_path, "--json")
    assert status == 0, err
    assert result(resumed)["checkpoint_sha256"] == result(trained[1])["checkpoint_sha256"]
    csv = [(folder / "training.csv").read_text() for folder in (trained[0], tmp_path)]
    assert csv[0] == csv[1]


def test_what_is_fitted_after_the_last_step_is_made_up_for(tmp_path, detect, monkeypatch):
    voc = write_voc(tmp_path / "voc", count=3, odd=False, held_out=1)
    words = ["--data", voc, "--detector", "rcnn", "--steps", 2, *TINY]
    _, out, _ = detect(*words, "--model-dir", tmp_path / "whole", "--json")
    assert int(app.load_run(tmp_path / "whole").net.finished.numpy()) == 1

    def stopped(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(app, "finish", stopped)
        status, _, err = detect(*words, "--model-dir", tmp_path / "cut")
    assert status == 130
    assert "after the last step" in err
    assert "--resume" in err
    status, again, err = detect("--resume", "--model-dir", tmp_path / "cut", "--json")
    assert status == 0, err
    for key in ("checkpoint_sha256", "map50"):
        assert result(again)[key] == result(out)[key]


@pytest.mark.parametrize("detector", DETECTORS)
def test_odd_boxes_are_trained_through(detector, voc, tmp_path, detect):
    """No box in an image, no area, outside, half outside: no NaN in any detector."""
    status, out, err = detect(
        "--data", voc, "--skip-bad", "--detector", detector, "--steps", 4, *TINY,
        "--model-dir", tmp_path, "--json",
    )  # fmt: skip
    assert status == 0, err
    assert set(result(out)["per_class"]) == set(NAMES)
    assert result(out)["examples"] == 4
    skipped = (tmp_path / "skipped.csv").read_text().splitlines()[1:]
    assert len(skipped) == result(out)["skipped"] == 3
    for line, reason in zip(skipped, ("has no area", "no area inside", "cut off"), strict=True):
        assert reason in line
    weights = app.load_run(tmp_path).net.state_dict()
    assert all(np.isfinite(array).all() for array in weights.values())
    losses = np.loadtxt(tmp_path / "training.csv", delimiter=",", skiprows=1)
    assert np.isfinite(losses).all()


def test_broken_boxes_stop_the_run_unless_they_are_to_be_skipped(voc, tmp_path, detect):
    status, _, err = detect("--data", voc, "--model-dir", tmp_path, *TINY)
    assert status == 2
    assert "001.xml object 3: box from (21, 21) to (21, 21) has no area" in err
    assert "--skip-bad" in err
    assert not any(tmp_path.iterdir())


def test_where_no_object_counts_that_is_said(tmp_path, detect):
    """All are smaller than what is to be found."""
    voc = write_voc(tmp_path / "voc", count=3, odd=False, held_out=1)
    status, out, err = detect(
        "--data", voc, "--detector", "yolo", "--steps", 1, *TINY, "--least", 60, "--json",
        "--model-dir", tmp_path / "run",
    )  # fmt: skip
    assert status == 0, err
    assert "no object counts" in out
    assert (result(out)["map50"], result(out)["objects"]) == (None, 0)
    assert not (tmp_path / "run/precision_recall.png").exists()


@pytest.mark.parametrize("flag", ["--one-class", "--all-classes"])
def test_classes_are_told_apart_as_is_asked(flag, voc, tmp_path, detect):
    words = [*TINY, "--scenes", 12, "--steps", 1, "--detector", "yolo"]
    status, out, err = detect(*words, flag, "--model-dir", tmp_path, "--json")
    assert status == 0, err
    names = app.load_run(tmp_path).settings.names
    assert len(names) == {"--one-class": 1, "--all-classes": 43}[flag]
    assert tuple(result(out)["per_class"]) == names
    status, out, err = detect(
        "evaluate", "--model-dir", tmp_path, "--data", voc, "--skip-bad", "--json"
    )
    assert status == 0, err
    if flag == "--one-class":  # a sign is an object like others
        assert result(out)["objects"] > 0
    else:
        assert "no object counts" in out
        assert "disc" in (tmp_path / "skipped-in-evaluation.csv").read_text()


def test_a_time_is_turned_into_steps_that_a_resumed_run_keeps(tmp_path, detect):
    words = [*TINY, "--scenes", 12, "--detector", "dense", "--minutes", 0.01]
    status, out, err = detect(*words, "--model-dir", tmp_path, "--json")
    assert status == 0, err
    steps = app.load_run(tmp_path).settings.steps
    assert result(out)["steps"] == steps
    assert 1 <= steps < 200  # of 3 ms or more
    status, again, _ = detect("--resume", "--model-dir", tmp_path, "--json")
    assert (status, result(again)["steps"]) == (0, steps)
    assert result(again)["checkpoint_sha256"] == result(out)["checkpoint_sha256"]


def test_a_run_is_judged_on_other_data_if_their_classes_are_its_own(voc, trained, tmp_path, detect):
    words = ["--data", voc, "--skip-bad", "--detector", "ssd", "--steps", 1, *TINY]
    assert detect(*words, "--model-dir", tmp_path / "run")[0] == 0
    status, out, err = detect("evaluate", "--model-dir", tmp_path / "run")  # what it told to do
    assert (status, "skipped  " in out) == (0, True), err
    moved = ["--data", write_voc(tmp_path / "moved"), "--skip-bad"]
    for part, noted in (("train", True), ("validation", False)):
        status, out, err = detect(
            "evaluate", "--model-dir", tmp_path / "run", *moved, "--part", part
        )
        assert (status, "these are the images that it learned from" in out) == (0, noted), err
    other = write_voc(tmp_path / "other", count=7, seed=1, odd=False)
    (other / "ImageSets/Main/test.txt").write_text("000\n002\n")
    status, out, err = detect(
        "evaluate", "--model-dir", tmp_path / "run", "--data", other, "--json"
    )
    assert status == 0, err
    assert (result(out)["part"], result(out)["examples"]) == ("test", 2)
    status, _, err = detect("evaluate", "--model-dir", trained[0], "--data", other)
    assert status == 2
    assert "prohibitory" in err
    assert err.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--data", __file__], "test_detect.py"),
        (["--format", "voc"], "--format voc needs --data"),
        (["--steps", "0"], "steps must be at least 1, got 0"),
        (["--steps", "3", "--minutes", "1"], "not allowed with"),
        (["--minutes", "nan"], "--minutes must be 0.01 to 100,000, got nan"),
        (["--detector", "eye"], "invalid choice: 'eye'"),
        (["--size", "16", "64"], "size must be a height and a width from 32 to 4,096, got 16 64"),
        (["--groups", "--one-class"], "not allowed with"),
        (["--workers", "-1"], "--workers must be 0 or more"),
        (["--device", "abacus"], "device 'abacus' is unknown"),
        (["--resume"], "no detect run is here"),
        (["evaluate"], "no detect run is here"),
        (["predict", "x.png"], "no detect run is here"),
        (["predict", "--score", "2", "x.png"], "--score must be 0 to 1, got 2"),
        (["--steps", "3", "predict", "x.png"], "--steps means nothing to predict"),
        (["--data", "a", "predict", "x.png"], "--data means nothing to predict"),
        (["--seed", "0", "predict", "x.png"], "--seed means nothing to predict"),
        (["--one-class", "predict", "x.png"], "--groups, --all-classes or --one-class means"),
    ],
)
def test_wrong_use_gets_one_line_and_status_2(words, message, tmp_path, detect):
    at = ["--model-dir", tmp_path / "run"]
    status, _, err = detect(*at, *words) if "predict" in words else detect(*words, *at)
    assert status == 2
    assert message in err
    assert err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_groups_are_of_signs_only(voc, tmp_path, detect):
    status, _, err = detect("--data", voc, "--groups", "--model-dir", tmp_path / "run")
    assert status == 2
    assert "only traffic signs have groups" in err


def test_a_run_is_neither_written_over_nor_resumed_with_other_settings(trained, detect):
    before = sorted((trained[0] / "checkpoints").iterdir())
    status, _, err = detect("--model-dir", trained[0], *QUICK)
    assert (status, "--resume" in err) == (2, True)
    status, _, err = detect("--resume", "--model-dir", trained[0], "--channels", 3)
    assert (status, "--channels was 4, is 3" in err) == (2, True)
    status, _, err = detect("--resume", "--model-dir", trained[0], "--size", 64, 48)
    assert (status, "--size was (48, 64), is (64, 48)" in err) == (2, True)
    assert sorted((trained[0] / "checkpoints").iterdir()) == before
