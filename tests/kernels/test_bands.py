"""Bands of large images: however images are cut, the result is the definition's."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import settings
from minicnn.kernels.cpu.vector import bands, direct, objects
from tests.kernels.test_vector import SHAPES, Problem, all_three, large

if objects.machine() is None:
    pytest.skip("this CPU has neither AVX2 with FMA nor NEON", allow_module_level=True)


@pytest.fixture(params=[1, 2, 3, 5])
def narrow(request, monkeypatch):
    """Bands of so many rows at least, of every image that has two of them."""
    monkeypatch.setattr(bands, "_cut", cutter(request.param, monkeypatch))


def cutter(rows, monkeypatch):
    monkeypatch.setattr(bands, "_SHORTEST", 2)

    def cut(images, out, inputs, kernel_shape, stride=(1, 1, 1)):
        axis = next((a for a, n in enumerate(out) if n > 1), None)
        if axis is None or not images:
            return 0, 0
        each = -(-rows // stride[axis]) * stride[axis]
        return axis, each if each < out[axis] else 0

    return cut


def through_bands(problem, monkeypatch):
    """Return what `Problem.found` does, from `bands` instead of `direct`, and how often it cut."""
    ran = []
    real = bands._run
    monkeypatch.setattr(bands, "_run", lambda *a: (ran.append(1), real(*a))[1])
    given = {name: getattr(direct, name) for name in ("conv", "conv_grad_x", "conv_grad_weight")}
    depth = []

    def once(name):
        """`bands` itself goes to `direct` where it does not cut."""

        def call(*a):
            if depth:
                return given[name](*a)
            depth.append(1)
            try:
                return getattr(bands, name)(*a)
            finally:
                depth.pop()

        return call

    for name in given:
        monkeypatch.setattr(direct, name, once(name))
    return problem.found(), len(ran)


@pytest.mark.parametrize("name", SHAPES)
def test_agrees_with_the_definition(narrow, monkeypatch, name):
    problem = Problem(name)
    right = problem.right()
    found, _ = through_bands(problem, monkeypatch)
    for what, value in found.items():
        bound = 8 * np.finfo(np.float32).eps * max(1, problem.summands(what)) ** 0.5
        off = np.abs(value - right[what]).max(initial=0)
        assert off <= bound * max(1.0, np.abs(right[what]).max(initial=0)), what


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", SHAPES)
def test_what_is_not_finite_stays_in_the_windows_that_see_it(narrow, monkeypatch, name, bad):
    monkeypatch.setattr(settings, "winograd", False)
    problem = Problem(name)
    for a in (problem.x, problem.grad_y):
        a.reshape(-1)[a.size // 2 : a.size // 2 + 1] = bad
    with np.errstate(invalid="ignore"):
        right = problem.right()
        for what, value in through_bands(problem, monkeypatch)[0].items():
            np.testing.assert_array_equal(np.isnan(value), np.isnan(right[what]), what)
            np.testing.assert_array_equal(np.isposinf(value), np.isposinf(right[what]), what)


def test_images_are_cut_where_they_can_be(monkeypatch):
    """So the tests above test something."""
    monkeypatch.setattr(bands, "_cut", cutter(1, monkeypatch))
    names = ["8 channels, rows of whole tiles", "groups, strided", "a signal", "a volume"]
    for name in names:
        with pytest.MonkeyPatch.context() as patch:
            assert through_bands(Problem(name), patch)[1] >= 2, name


@pytest.mark.parametrize(
    ("images", "out", "channels", "cut"),
    [
        (1, (1, 300, 300), 64, True),
        (2, (1, 200, 200), 32, True),
        (128, (1, 32, 32), 16, False),  # images enough
        (1, (1, 7, 7), 512, False),  # too small
        (16, (1, 512, 512), 16, True),  # their padded copies would leave the cache
        (1, (1, 1, 50_000), 32, True),
        (0, (1, 300, 300), 64, False),
    ],
)
def test_few_and_large_images_are_cut(images, out, channels, cut):
    inputs = np.empty((images, *out, channels), np.float32)
    _, rows = bands._cut(images, out, inputs, (channels, channels, 1, 3, 3))
    assert bool(rows) == cut


def test_the_cuts_do_not_depend_on_the_threads(monkeypatch):
    monkeypatch.setattr(bands, "_cut", cutter(2, monkeypatch))
    x, weight, grad_y, window = large()
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        results.append(all_three(x[:3], weight, grad_y[:3], window))
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)
