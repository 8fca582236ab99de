"""Depthwise convolution beside the definition: rows of several parts, strides, many threads."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.ops._windows import Window


@pytest.fixture(scope="module")
def cpu() -> ModuleType:
    return importlib.import_module("minicnn.kernels.cpu")


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return importlib.import_module("minicnn.kernels.plain")


def compare(cpu, plain, seed, images, channels, image, size, **options):
    """Compare all three kernels in float32 with the definition in float64."""
    rng = np.random.default_rng(seed)
    many = options.pop("many", 1)
    window = Window.of("conv", image, size, **options)
    out = window.output_size("conv", image)
    x = rng.standard_normal((images, channels, *image)).astype(np.float32)
    weight = rng.standard_normal((channels * many, 1, *size)).astype(np.float32)
    g = rng.standard_normal((images, channels * many, *out)).astype(np.float32)
    wide_x, wide_weight, wide_g = (a.astype(np.float64) for a in (x, weight, g))
    for found, expected in (
        (
            cpu.conv(x, weight, None, out, window, channels),
            plain.conv(wide_x, wide_weight, None, out, window, channels),
        ),
        (
            cpu.conv_grad_x(g, weight, x.shape, window, channels),
            plain.conv_grad_x(wide_g, wide_weight, x.shape, window, channels),
        ),
        (
            cpu.conv_grad_weight(g, x, weight.shape, window, channels),
            plain.conv_grad_weight(wide_g, wide_x, weight.shape, window, channels),
        ),
    ):
        assert found.dtype == np.float32
        atol = 1e-6 * np.sqrt(g.size) * max(1.0, float(np.abs(expected).max(initial=0)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=min(atol, 1e-2))


CASES = {
    "a row of several parts": (2, 96, (5, 23), (3, 3), {"stride": 1, "padding": 1}),
    "a channel as wide as a part": (2, 700, (4, 3), (3, 3), {"stride": 1, "padding": 1}),
    "one channel a part, the last shorter": (1, 200, (6, 9), (5, 3), {"stride": 1, "padding": 2}),
    "stride 2": (3, 64, (17, 31), (5, 5), {"stride": 2, "padding": 2}),
    "stride 3, window 2": (2, 40, (13, 50), (2, 2), {"stride": 3, "padding": 0}),
    "dilation": (2, 8, (19, 90), (3, 3), {"stride": 2, "padding": 3, "dilation": 3}),
    "two filters a channel": (2, 48, (9, 30), (3, 3), {"stride": 1, "padding": 1, "many": 2}),
    "no images": (0, 8, (9, 9), (3, 3), {"stride": 1, "padding": 1}),
    "signals": (3, 24, (101,), (7,), {"stride": 2, "padding": 3}),
    "volumes": (2, 10, (4, 6, 70), (2, 3, 3), {"stride": (1, 2, 1), "padding": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_definition(name, cpu, plain):
    images, channels, image, size, options = CASES[name]
    compare(cpu, plain, 0, images, channels, image, size, **options)


@given(data=st.data())
@settings(max_examples=40)
def test_definition_of_drawn_shapes(data, cpu, plain):
    draw = data.draw
    size = tuple(draw(st.integers(1, 5)) for _ in range(2))
    dilation = draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2))
    image = tuple(draw(st.integers(max(1, (k - 1) * dilation + 1 - 2 * padding), 20)) for k in size)
    options = {
        "stride": tuple(draw(st.integers(1, 4)) for _ in range(2)),
        "padding": padding,
        "dilation": dilation,
        "many": draw(st.integers(1, 2)),
    }
    images, channels = draw(st.integers(0, 3)), draw(st.sampled_from([2, 3, 16, 130]))
    compare(cpu, plain, draw(st.integers(0, 99)), images, channels, image, size, **options)


def test_the_number_of_threads_changes_no_bit(cpu, monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((37, 20, 15, 40), dtype=np.float32)
    weight = rng.standard_normal((20, 1, 3, 3), dtype=np.float32)
    window = Window.of("conv", (15, 40), (3, 3), 2, 1)
    out = window.output_size("conv", (15, 40))
    found = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        y = cpu.conv(x, weight, None, out, window, 20)
        grads = cpu.conv_grad_x(y, weight, x.shape, window, 20)
        taps = cpu.conv_grad_weight(y, x, weight.shape, window, 20)
        found.append([a.tobytes() for a in (y, grads, taps)])
    assert found[0] == found[1] == found[2]


def test_infinity_stays_where_it_is_seen(cpu):
    """Padding multiplies nothing: an infinite filter beside the image makes no NaN."""
    x = np.ones((1, 2, 4, 4), np.float32)
    x[0, 0, 0, 0], x[0, 1, 3, 3] = np.inf, np.nan
    weight = np.ones((2, 1, 3, 3), np.float32)
    window = Window.of("conv", (4, 4), (3, 3), 1, 1)
    y = cpu.conv(x, weight, None, (4, 4), window, 2)
    assert np.isinf(y[0, 0, :2, :2]).all()
    assert np.isfinite(y[0, 0, 2:]).all()
    assert np.isnan(y[0, 1, 2:, 2:]).all()
    assert np.isfinite(y[0, 1, :2]).all()
