import io
import pickle
import subprocess
import sys

import numpy as np
import pytest

from minicnn.errors import ConfigError
from minicnn.visualise import COLORS, confusion_matrix, new_figure

PNG = b"\x89PNG\r\n\x1a\n"


def test_it_has_the_size_in_inches():
    figure = new_figure(5, 2.5)
    assert figure.get_size_inches().tolist() == [5, 2.5]


def test_a_notebook_shows_it():
    from PIL import Image

    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2])
    shown = figure._repr_png_()
    assert shown.startswith(PNG)
    assert Image.open(io.BytesIO(shown)).size == (300, 200)
    assert confusion_matrix(np.eye(3))._repr_png_().startswith(PNG)


@pytest.mark.parametrize("ways", ["subplots", "add_subplot", "add_axes", "twin"])
def test_lines_and_bars_take_colours_that_all_can_tell_apart(ways):
    import matplotlib as mpl

    figure = new_figure(3, 2)
    panel = {
        "subplots": lambda: figure.subplots(2, 2)[1, 1],
        "add_subplot": lambda: figure.add_subplot(1, 2, 2),
        "add_axes": lambda: figure.add_axes((0.1, 0.1, 0.8, 0.8)),
        "twin": lambda: figure.subplots().twinx(),
    }[ways]()
    drawn = [panel.plot([1, 2])[0].get_color() for _ in COLORS]
    assert tuple(drawn) == COLORS
    bars = [panel.bar([1], [2])[0].get_facecolor() for _ in range(2)]
    assert [mpl.colors.to_hex(color).upper() for color in bars] == list(COLORS[:2])
    assert mpl.rcParams["axes.prop_cycle"] == mpl.rcParamsDefault["axes.prop_cycle"]


def test_the_colours_differ_for_every_kind_of_eye():
    """Machado, Oliveira and Fernandes 2009, severity 1: what who lacks one cone sees."""
    sights = {
        "normal": np.eye(3),
        "protan": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deutan": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        "tritan": [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    }
    srgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLORS]) / 255
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    for sight in sights.values():
        seen = np.clip(linear @ np.asarray(sight).T, 0, 1) ** (1 / 2.4)
        apart = np.linalg.norm(seen[:, None] - seen, axis=-1)
        assert apart[~np.eye(len(COLORS), dtype=bool)].min() > 0.1


def test_it_survives_pickling():
    figure = new_figure(3, 2)
    figure.subplots().plot([1, 2])
    assert pickle.loads(pickle.dumps(figure))._repr_png_().startswith(PNG)


@pytest.mark.parametrize("size", [(0, 1), (1, -2), (float("nan"), 1), (1, float("inf"))])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ConfigError, match=r"is no size; give two positive numbers, in inches"):
        new_figure(*size)


def test_matplotlib_waits_for_the_first_figure_and_pyplot_for_ever():
    code = """
import sys
from minicnn.visualise import new_figure
assert "matplotlib" not in sys.modules
new_figure(3, 2)._repr_png_()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
