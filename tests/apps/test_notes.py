"""What the apps say beside their results: what to type next, of the data, and how far it is."""

import contextlib
import io
import re
import shlex
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from minicnn.apps import segment as app
from minicnn.apps._segment_reports import note_unnamed
from minicnn.apps._settings import load_settings
from minicnn.data.masks import MaskSet
from minicnn.data.scenes import make_scenes
from minicnn.errors import ConfigError
from minicnn.estimator import Estimator, Interrupted
from minicnn.train import main

TINY = ["--size", "32", "48", "--channels", "4", "--batch-size", "4", "--epochs", "1"]
STRAY = 200  # a label that no class has


def write_pairs(folder, count=6, seed=1):
    """Write drawn streets beside their masks, a pixel of each gone astray; return the folder."""
    folder.mkdir(parents=True)
    for i, scene in enumerate(make_scenes(count, (32, 48), seed=seed).scenes):
        mask = scene.mask.copy()
        mask[16, 24] = STRAY
        Image.fromarray(scene.image).save(folder / f"{i}.png")
        Image.fromarray(mask).save(folder / f"{i}_mask.png")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("data") / "streets")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A run of segmentation whose folder no shell takes as it is, and what it printed."""
    folder, out = tmp_path_factory.mktemp("run") / "sp ace/it's", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["segment", "--data", str(data), "--model-dir", str(folder), *TINY]) == 0
    return folder, out.getvalue()


def typed(text):
    """The words of a command that is to be copied from the first line that has it."""
    found = re.search(r"python -m minicnn\.train segment.*--model-dir .*", text)
    return shlex.split(found[0])


def test_what_to_type_next_can_be_copied(trained, tmp_path, segment, monkeypatch):
    folder, out = trained
    begin = ["python", "-m", "minicnn.train", "segment"]
    assert typed(out) == [*begin, "evaluate", "--model-dir", str(folder)]
    after = out[out.index("next     ") + 9 :].partition("\n")[2]
    assert typed(after.partition("\n")[0]) == [
        *begin, "predict", "--model-dir", str(folder), "IMAGE..."
    ]  # fmt: skip

    def stop(*_, **__):
        raise Interrupted(0, None)

    monkeypatch.setattr(Estimator, "train", stop)
    status, _, err = segment("--resume", "--model-dir", folder)
    assert status == 130
    assert typed(err) == [*begin, "--resume", "--model-dir", str(folder)]
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "no run", "segment", app.Settings)
    assert typed(str(caught.value)) == [*begin, "--model-dir", str(tmp_path / "no run")]


def test_a_format_without_data_is_refused_by_evaluation_too(trained, segment):
    status, _, err = segment("evaluate", "--model-dir", trained[0], "--format", "pairs")
    assert (status, "--format pairs needs --data" in err) == (2, True)


def test_an_evaluation_says_that_it_is_of_images_of_training(trained, data, tmp_path, segment):
    """Wherever they lie by now; all of them, or only those that were learned from."""
    words = ["evaluate", "--model-dir", trained[0]]
    status, out, err = segment(*words)
    assert (status, "note     " in out) == (0, False), err
    shutil.copytree(data, tmp_path / "moved")
    status, out, err = segment(*words, "--data", tmp_path / "moved")
    assert status == 0, err
    assert "note     the images that it learned from are among these\n" in out
    train = app.load_parts(app.load_run(trained[0]).settings).train
    assert len(train) == 5
    for i in {0, 1, 2, 3, 4, 5} - {int(name.partition(".")[0]) for name in train.files}:
        for name in (f"{i}.png", f"{i}_mask.png"):
            (tmp_path / "moved" / name).unlink()
    status, out, err = segment(*words, "--data", tmp_path / "moved")
    assert status == 0, err
    assert "note     these are the images that it learned from\n" in out
    for count in (1, 6):
        other = write_pairs(tmp_path / f"other{count}", count, seed=2)
        status, out, err = segment(*words, "--data", other)
        assert (status, "note     " in out) == (0, False), err


def test_a_stray_label_is_told_of(trained):
    told = (
        "note     only 9 of the 201 classes occur in the masks; name them in classes.txt, or mend"
    )
    assert told in trained[1]


@pytest.mark.parametrize(
    ("count", "names", "noted"),
    [(3, "01234567", True), (4, "01234567", False), (1, "abcdefgh", False), (2, "01", False)],
)
def test_classes_that_never_occur_are_noted_if_they_are_but_numbers(count, names, noted, capsys):
    masks = np.arange(count, dtype=np.uint8).repeat(4).reshape(1, count, 4)
    note_unnamed(MaskSet.of(np.zeros((1, count, 4, 3), np.uint8), masks, tuple(names), 255))
    assert (f"only {count} of the 8 classes occur" in capsys.readouterr().out) is noted


def test_a_terminal_shows_how_many_pictures_are_seen(trained, data, tmp_path, segment, monkeypatch):
    """And what is found in each has a line of its own there."""
    words = [
        "predict",
        "--model-dir",
        trained[0],
        "--out",
        tmp_path,
        data / "1.png",
        data / "2.png",
    ]
    status, silent, err = segment(*words)
    assert (status, err) == (0, "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    status, out, err = segment(*words)
    assert (status, out) == (0, silent)
    assert err == "\rseen 0 of 2\r\x1b[K\rseen 1 of 2\r\x1b[K"


def test_help_says_what_holds_without_data(segment):
    (_, training, _), (_, evaluation, _) = segment("--help"), segment("evaluate", "--help")
    shown, again = " ".join(training.split()), " ".join(evaluation.split())
    assert "a folder or a zip archive; without, streets are drawn" in shown
    assert "a folder or a zip archive; without, the run's own data" in again
    assert "(on with --data, else off)" in shown
    assert all(f"{name} {s.channels}" in shown for name, s in app.SEGMENTERS.items())
