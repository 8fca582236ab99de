"""Blocks of rows and of images: however the work is cut, the result is the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.kernels import cpu, plain
from minicnn.kernels.cpu import convolution
from minicnn.ops._windows import Window
from tests.ops.driver import for_all
from tests.ops.spec import Case
from tests.ops.test_convolution import cases
from tests.ops.values import normal


def arguments(case: Case):
    x, weight, *bias = case.arrays
    geometry = (case.options.get(name, default) for name, default in _DEFAULTS)
    window = Window.of("conv2d", x.shape[2:], weight.shape[2:], *geometry)
    return x, weight, bias[0] if bias else None, window, case.options.get("groups", 1)


_DEFAULTS = (("stride", 1), ("padding", 0), ("dilation", 1))


def all_three(kernels, x, weight, bias, window, groups):
    y = kernels.conv2d(x, weight, bias, window, groups)
    g = normal(9, *y.shape).astype(x.dtype)
    return (
        y,
        kernels.conv2d_grad_x(g, weight, x.shape, window, groups),
        kernels.conv2d_grad_weight(g, x, weight.shape, window, groups),
    )


@pytest.mark.parametrize("cache", [1, 300, 2000, 1 << 30])
def test_blocks_of_any_size_give_the_same(cache, monkeypatch):
    """One row at a time, some rows, some images, everything."""
    monkeypatch.setattr(convolution, "_CACHE", cache)

    def check(case: Case) -> None:
        given = arguments(case)
        for got, right in zip(all_three(cpu, *given), all_three(plain, *given), strict=True):
            np.testing.assert_allclose(got, right, rtol=0, atol=1e-12)

    for_all(cases(), check, 40)


@pytest.mark.parametrize(
    ("x", "weight", "options"),
    [
        ((3, 16, 64, 64), (8, 16, 3, 3), {"padding": "same"}),  # rows of an image
        ((2, 4, 130, 257), (8, 4, 5, 3), {"stride": 2, "padding": 1}),
        ((40, 3, 16, 16), (6, 3, 3, 3), {}),  # several images a block
        ((20, 8, 12, 12), (8, 1, 3, 3), {"groups": 8, "padding": 1}),
        ((5, 6, 30, 30), (9, 2, 3, 3), {"groups": 3, "dilation": 2}),
        ((4, 32, 40, 40), (16, 32, 1, 1), {}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_images(x, weight, options, dtype):
    case = Case((normal(0, *x), normal(1, *weight), normal(2, weight[0])), options)
    exact = arguments(case)
    narrow = arguments(Case(tuple(a.astype(dtype) for a in case.arrays), options))
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    for got, right in zip(all_three(cpu, *narrow), all_three(plain, *exact), strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, right, rtol=0, atol=tolerance * np.abs(right).max())


def test_results_are_channels_last_in_memory():
    case = Case((normal(0, 2, 3, 5, 5), normal(1, 4, 3, 3, 3)), {})
    y, grad_x, grad_weight = all_three(cpu, *arguments(case))
    for image in (y, grad_x):
        assert np.moveaxis(image, 1, -1).flags.c_contiguous
    assert grad_weight.flags.c_contiguous


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, tuple[int, int], int]:
    return draw(st.integers(1, 40)), draw(st.tuples(*[st.integers(1, 50)] * 2)), draw(seeds_of_k)


seeds_of_k = st.integers(1, 500)


def test_blocks_cover_every_output_once():
    def check(drawn: tuple[int, tuple[int, int], int]) -> None:
        images, out, k = drawn
        seen = np.zeros((images, out[0]), int)
        for block in convolution._blocks(0, images, out, np.empty((k, 1), np.float32)):
            seen[block.images, block.rows] += 1
            assert block.count == block.last - block.first >= 1
            assert block.bottom > block.top
        assert (seen == 1).all()

    for_all(counts(), check, 100)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble])
def test_other_float_types_take_the_plain_way(dtype):
    case = Case(tuple(normal(k, *s).astype(dtype) for k, s in enumerate(SHAPES)), {})
    given = arguments(case)
    for got, right in zip(all_three(cpu, *given), all_three(plain, *given), strict=True):
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, right)


SHAPES = ((1, 2, 4, 4), (3, 2, 2, 2))
