import io
import subprocess
import sys

import numpy as np
import pytest

from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import confusion_matrix, learning_curves, mistakes, worst_mistakes


def pixels(figure):
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


def test_curves_have_a_panel_for_each_metric_and_a_line_for_each_group():
    curves = {
        "training": {"loss": [(s, 1 / s) for s in range(1, 500)], "accuracy": [(1, 0.5), (2, 0.7)]},
        "validation": {"loss": [(100, 0.5), (200, float("nan")), (300, 0.2)]},
    }
    figure = learning_curves(curves, title="a run")
    loss, accuracy = figure.axes
    assert (loss.get_title(), accuracy.get_title()) == ("loss", "accuracy")
    pale, mean, validation = loss.lines
    assert pale.get_xdata().tolist() == list(range(1, 500))
    assert mean.get_label() == "training, mean of 9 steps"
    np.testing.assert_allclose(mean.get_ydata()[0], np.mean([1 / s for s in range(1, 10)]))
    assert mean.get_xdata()[0] == 9
    np.testing.assert_array_equal(validation.get_xdata(), [100, 200, 300])
    assert len(accuracy.lines) == 1
    assert pixels(figure).std() > 0


def test_the_confusion_matrix_shows_shares_of_each_row():
    figure = confusion_matrix([[8, 2, 0], [0, 0, 0], [1, 0, 3]], ["a", "b", "c"])
    shares = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan)) ** 2
    np.testing.assert_allclose(shares, [[0.8, 0.2, 0], [np.nan] * 3, [0.25, 0, 0.75]])
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["a", "b", "c"]
    assert sorted(t.get_text() for t in figure.axes[0].texts) == ["1", "2", "3", "8"]
    pixels(figure)
    large = confusion_matrix(np.eye(100, dtype=int))
    assert len(large.axes[0].texts) == 0
    pixels(large)


def test_the_surest_mistakes_come_first():
    labels = np.array([0, 1, 2, 0])
    probabilities = np.array(
        [[0.6, 0.4, 0.0], [0.5, 0.4, 0.1], [0.9, 0.1, 0.0], [0.3, 0.5, 0.2]], np.float32
    )
    assert mistakes(labels, probabilities).tolist() == [2, 3, 1]
    images = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    figure = worst_mistakes(images, labels, probabilities, ["x", "y", "z"], count=2, title="t")
    titles = [panel.get_title() for panel in figure.axes]
    assert titles == ["x 90%\nis z", "y 50%\nis x"]
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, np.moveaxis(images[2], 0, -1))
    assert figure.get_suptitle() == "t: 3 of 4 wrong"
    pixels(figure)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_all_kinds(channels, dtype):
    images = np.linspace(-2, 2, 9 * channels * 16).reshape(9, channels, 4, 4).astype(dtype)
    images[0] = 0  # flat
    figure = worst_mistakes(images, np.ones(9, int), np.tile([0.9, 0.1], (9, 1)))
    assert len([p for p in figure.axes if p.images]) == 9
    pixels(figure)


def test_no_mistakes_and_no_examples():
    perfect = worst_mistakes(np.zeros((2, 1, 3, 3)), np.array([0, 1]), np.eye(2))
    assert perfect.get_suptitle() == "0 of 2 wrong"
    pixels(perfect)
    assert mistakes(np.zeros(0, int), np.zeros((0, 3))).tolist() == []
    pixels(worst_mistakes(np.zeros((0, 3, 2, 2)), np.zeros(0, int), np.zeros((0, 2))))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: learning_curves({}), ConfigError, "no points"),
        (lambda: learning_curves({"training": {"loss": []}}), ConfigError, "no points"),
        (lambda: confusion_matrix(np.zeros((2, 3))), ShapeError, r"\(2, 3\); give a square"),
        (lambda: confusion_matrix(np.eye(2), ["a"]), ShapeError, "1 names for 2 classes"),
        (
            lambda: worst_mistakes(np.zeros((2, 4, 4, 3)), [0, 1], np.eye(2)),
            ShapeError,
            "are not .N, 1 or 3, H, W.",
        ),
        (
            lambda: worst_mistakes(np.zeros((2, 3, 4, 4)), [0], np.eye(2)),
            ShapeError,
            "do not fit",
        ),
        (
            lambda: worst_mistakes(np.zeros((2, 3, 4, 4)), [0, 2], np.eye(2)),
            ConfigError,
            r"0 \.\.\. 1",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_pyplot_stays_out_of_it():
    code = """
import sys, io
import numpy as np
from minicnn.visualise import confusion_matrix
assert "matplotlib" not in sys.modules
confusion_matrix(np.eye(3)).savefig(io.BytesIO())
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
