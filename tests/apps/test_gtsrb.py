"""The traffic-sign classifier from the outside: what a person types, and what comes back."""

import json
import signal
import time

import numpy as np
import pytest
from command_line import QUICK, result, start
from PIL import Image

from minicnn.apps import gtsrb
from minicnn.data.gtsrb import load_gtsrb

KEYS = {
    "accuracy", "loss", "examples", "steps", "seconds", "images_per_s", "data", "split", "part",
    "skipped", "model_dir", "checkpoint_sha256",
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(archive, tmp_path_factory):
    """A run that is done: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    process = start("--data", archive, "--model-dir", folder, "--json", *QUICK)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return folder, out


def test_training_shows_what_it_learned(trained):
    folder, out = trained
    assert set(result(out)) == KEYS
    assert "validation accuracy" in out
    assert "the mistakes it was surest of" in out
    for picture in ("curves.png", "confusion.png", "mistakes.png"):
        with Image.open(folder / picture) as image:
            assert image.width > 300
    rows = (folder / "training.csv").read_text().splitlines()
    assert len(rows) == 1 + result(out)["steps"]


def test_evaluation_repeats_the_accuracy_of_training(trained, command):
    folder, out = trained
    status, again, _ = command("evaluate", "--model-dir", folder, "--json")
    assert status == 0
    for key in ("accuracy", "examples", "steps", "checkpoint_sha256"):
        assert result(again)[key] == result(out)[key]
    assert result(again)["loss"] == pytest.approx(result(out)["loss"], rel=1e-6)


def test_evaluation_on_a_named_part_is_of_all_its_images(trained, archive, command):
    folder, _ = trained
    for words in (["--part", "train"], []):
        status, out, _ = command(
            "evaluate", "--model-dir", folder, "--data", archive, "--json", *words
        )
        assert (status, result(out)["examples"], result(out)["part"]) == (0, 258, "train")
    status, _, err = command("evaluate", "--model-dir", folder, "--data", archive, "--part", "test")
    assert status == 2
    assert "but not the test part" in err


def test_prediction_names_the_class_the_network_prefers(trained, archive, command):
    folder, _ = trained
    pictures = sorted(archive.glob("Train/14/*.png"))[:2]
    status, out, _ = command("predict", "--model-dir", folder, "--json", *pictures)
    assert status == 0
    run = gtsrb.load_run(folder)
    from minicnn.apps._classification import classify
    from minicnn.data.pictures import read_picture

    images = np.stack([read_picture(p, run.settings.size) for p in pictures])
    for row, p in zip(result(out)["predictions"], classify(run.net, images), strict=True):
        assert row["class"] == p.argmax()
        assert row["probability"] == pytest.approx(p.max())
        assert row["name"] in out.splitlines()[0] + out.splitlines()[1]


@pytest.mark.parametrize(("workers", "threads"), [(0, "1"), (4, "4")])
def test_the_same_seed_gives_the_same_bits_at_any_number_of_threads(
    trained, archive, tmp_path, workers, threads
):
    process = start(
        "--data", archive, "--model-dir", tmp_path, "--json", "--workers", workers, *QUICK,
        MINICNN_THREADS=threads,
    )  # fmt: skip
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert result(out)["checkpoint_sha256"] == result(trained[1])["checkpoint_sha256"]


def test_another_seed_gives_other_weights(trained, archive, tmp_path, command):
    status, out, _ = command(
        "--data", archive, "--model-dir", tmp_path, "--json", "--seed", 1, *QUICK
    )
    assert status == 0
    assert result(out)["checkpoint_sha256"] != result(trained[1])["checkpoint_sha256"]


def wait_for_step(folder, step, process):
    """Wait until a run has written the row of a step."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise AssertionError(f"ended before step {step}: {process.communicate()}")
        try:
            if (folder / "training.csv").read_text().count("\n") > step:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.005)
    raise AssertionError(f"step {step} was not reached in time")


@pytest.mark.parametrize(
    ("stop", "step"), [(signal.SIGKILL, 11), (signal.SIGINT, 3)], ids=["killed", "Ctrl-C"]
)
def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(
    archive, tmp_path, stop, step, command
):
    long = ["--epochs", "12", "--save-every", "4", *QUICK[2:]]
    _, out, _ = command("--data", archive, "--model-dir", tmp_path / "whole", "--json", *long)

    process = start("--data", archive, "--model-dir", tmp_path / "cut", *long)
    wait_for_step(tmp_path / "cut", step, process)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "--resume" in err
    status, resumed, err = command("--resume", "--model-dir", tmp_path / "cut", "--json")
    assert status == 0, err
    assert result(resumed)["checkpoint_sha256"] == result(out)["checkpoint_sha256"]
    csv = [(tmp_path / name / "training.csv").read_text() for name in ("whole", "cut")]
    assert csv[0] == csv[1]


def test_a_folder_that_holds_a_run_is_not_written_over(trained, archive, command):
    folder, _ = trained
    before = sorted((folder / "checkpoints").iterdir())
    status, _, err = command("--data", archive, "--model-dir", folder, *QUICK)
    assert status == 2
    assert "--resume" in err
    assert sorted((folder / "checkpoints").iterdir()) == before


def test_a_run_is_not_resumed_with_other_settings(trained, command):
    status, _, err = command("--resume", "--model-dir", trained[0], "--channels", 3)
    assert status == 2
    assert "--channels was 2, is 3" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--data", __file__], "test_gtsrb.py"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--epochs", "many"], "invalid int value: 'many'"),
        (["--batch-size", "1"], "batch_size must be at least 2"),
        (["--split", "half"], "invalid choice: 'half'"),
        (["--device", "abacus"], "device 'abacus' is unknown"),
        (["--workers", "-1"], "--workers must be 0 or more"),
        (["--resume"], "no gtsrb run is here"),
        (["evaluate"], "no gtsrb run is here"),
        (["predict", "x.png"], "no gtsrb run is here"),
        (["--data", "a", "--download"], "not allowed with"),
    ],
)
def test_wrong_use_gets_one_line_and_status_2(words, message, tmp_path, command):
    action = words if words[0] in ("evaluate", "predict") else [*words]
    status, _, err = command(*action, "--model-dir", tmp_path / "run")
    assert status == 2
    assert message in err
    assert err.strip().count("\n") == 0
    assert not (tmp_path / "run").exists()


def test_a_device_of_the_environment_that_is_not_here_is_told_in_one_line(tmp_path):
    folder, wrong = ("--model-dir", tmp_path / "run"), {"MINICNN_DEVICE": "abacus"}
    process = start("evaluate", *folder, **wrong)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "device 'abacus' is unknown" in err
    assert err.strip().count("\n") == 0
    process = start("evaluate", "--device", "cpu", *folder, **wrong)
    assert "no gtsrb run is here" in process.communicate(timeout=60)[1], "nobody asked for it"


def test_a_wrong_number_of_threads_is_said_in_one_line(archive, tmp_path):
    process = start("--data", archive, "--model-dir", tmp_path, *QUICK, MINICNN_THREADS="many")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "MINICNN_THREADS must be a whole number >= 1, got 'many'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is an empty file"),
        (b"a text", "is not an image (PNG, JPEG, PPM, BMP, GIF, WebP); it begins with b'a text'"),
        (b"P6 is how a picture would begin", "is a broken PPM image"),
        (b"\x89PNG\r\n\x1a\n", "is a broken PNG image"),
    ],
)
def test_a_picture_that_is_none_is_named(trained, tmp_path, command, content, message):
    (tmp_path / "sign.ppm").write_bytes(content)
    status, _, err = command("predict", "--model-dir", trained[0], tmp_path / "sign.ppm")
    assert status == 2
    assert f"sign.ppm: {message}" in err


def test_bad_images_stop_the_run_or_are_counted_by_choice(archive, tmp_path, command):
    import shutil

    bad = tmp_path / "bad"
    shutil.copytree(archive, bad)
    victim = sorted(bad.glob("Train/7/*.png"))[0]
    victim.write_bytes(victim.read_bytes()[:60])
    status, _, err = command("--data", bad, "--model-dir", tmp_path / "run", *QUICK)
    assert status == 2
    assert victim.name in err
    status, out, _ = command(
        "--data", bad, "--model-dir", tmp_path / "run", "--skip-bad", "--json", *QUICK
    )
    assert status == 0
    assert result(out)["skipped"] == 1
    assert "1 broken one is left out; the list is at the end" in out
    assert victim.name in out


def test_an_evaluation_says_that_it_is_of_images_of_training(trained, archive, command):
    words = ["evaluate", "--model-dir", trained[0]]
    status, out, err = command(*words, "--data", archive, "--part", "train")
    assert status == 0, err
    assert "note     the images that it learned from are among these\n" in out
    status, out, err = command(*words)
    assert (status, "note     " in out) == (0, False), err


def test_options_before_a_command_count_too(trained, archive, command):
    folder, _ = trained
    status, out, _ = command(
        "--model-dir", folder, "--data", archive, "--json", "evaluate", "--part", "train"
    )
    assert (status, result(out)["examples"]) == (0, 258)
    picture = next(archive.glob("Train/14/*.png"))
    status, out, _ = command("--json", "--model-dir", folder, "predict", picture)
    assert result(out)["model_dir"] == str(folder)


@pytest.mark.parametrize(
    "words", [["--channels", "4"], ["--resume"], ["--no-augment", "--seed", 3]]
)
def test_options_of_training_are_refused_by_other_commands(trained, archive, words, command):
    picture = next(archive.glob("Train/14/*.png"))
    status, _, err = command(*words, "--model-dir", trained[0], "predict", picture)
    assert status == 2
    assert "means nothing to predict" in err


def test_broken_settings_are_named(trained, tmp_path, command):
    (tmp_path / "settings.json").write_text('{"app": "gtsrb", "size": ')
    status, _, err = command("evaluate", "--model-dir", tmp_path)
    assert status == 2
    assert "settings.json: is broken" in err
    (tmp_path / "settings.json").write_text(json.dumps({"app": "other"}))
    status, _, err = command("evaluate", "--model-dir", tmp_path)
    assert "is not of a gtsrb run" in err


def test_drawn_signs_are_the_default_and_said_to_be(tmp_path, command, monkeypatch):
    monkeypatch.setattr(gtsrb, "PROCEDURAL_TRACKS", 2)
    monkeypatch.setattr(gtsrb, "PROCEDURAL_FRAMES", 3)
    status, out, _ = command("--model-dir", tmp_path, *QUICK)
    assert status == 0
    assert "DRAWN" in out
    status, out, _ = command("evaluate", "--model-dir", tmp_path, "--part", "test", "--json")
    assert status == 0
    assert result(out)["examples"] == 43 * 3


def test_real_photographs_are_learned(real_signs, tmp_path, command):
    """One pass over the real set beats 80 % on signs never seen (12 passes reach 98.5 %)."""
    status, out, _ = command(
        "--data", real_signs / "gtsrb-train-cap64.zip", "--epochs", 1, "--model-dir", tmp_path,
        "--json",
    )  # fmt: skip
    assert status == 0
    assert result(out)["examples"] > 7_000
    assert result(out)["accuracy"] > 0.8


def test_the_digest_tells_data_apart(archive):
    table = load_gtsrb(archive, size=16)
    other = load_gtsrb(archive, size=16)
    assert table.digest() == other.digest()
    other.images.setflags(write=True)
    other.images[5, 3, 3, 1] ^= 1
    assert table.digest() != other.digest()
