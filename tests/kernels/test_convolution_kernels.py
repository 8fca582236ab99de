"""Blocks of images, rows and windows: however the work is cut, the result is the textbook's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.kernels import cpu, plain
from minicnn.kernels.cpu import convolution
from minicnn.ops._windows import Window
from tests.ops.convolving import convolutions, sliding
from tests.ops.driver import for_all
from tests.ops.spec import Case
from tests.ops.values import normal


def arguments(case: Case):
    x, weight, *bias = case.arrays
    window = Window.of("conv", x.shape[2:], weight.shape[2:], *sliding(case.options).values())
    return x, weight, bias[0] if bias else None, window, case.options.get("groups", 1)


def all_three(kernels, x, weight, bias, window, groups):
    out = window.output_size("conv", x.shape[2:])
    y = kernels.conv(x, weight, bias, out, window, groups)
    g = normal(9, *y.shape).astype(x.dtype)
    return (
        y,
        kernels.conv_grad_x(g, weight, x.shape, window, groups),
        kernels.conv_grad_weight(g, x, weight.shape, window, groups),
    )


@pytest.mark.parametrize("cache", [1, 300, 2000, 1 << 30])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_blocks_of_any_size_give_the_same(axes, cache, monkeypatch):
    """One window at a time, some windows, some rows, some images, everything."""
    monkeypatch.setattr(convolution, "_CACHE", cache)

    def check(case: Case) -> None:
        given = arguments(case)
        for got, right in zip(all_three(cpu, *given), all_three(plain, *given), strict=True):
            np.testing.assert_allclose(got, right, rtol=0, atol=1e-12)

    for_all(convolutions(axes), check, 40)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_room_for_more_windows_than_are_asked_for(axes):
    """As a transposed convolution leaves with output_padding; the rest of the image is not seen."""

    def check(case: Case) -> None:
        x, weight, bias, window, groups = arguments(case)
        out = tuple(max(1, n - 1) for n in window.output_size("conv", x.shape[2:]))
        y = cpu.conv(x, weight, bias, out, window, groups)
        whole, *_ = all_three(plain, x, weight, bias, window, groups)
        inside = (slice(None), slice(None), *map(slice, out))
        np.testing.assert_allclose(y, whole[inside], rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            plain.conv(x, weight, bias, out, window, groups), whole[inside], rtol=0, atol=1e-12
        )
        g = normal(9, *y.shape)
        for a, b in (
            (k.conv_grad_x(g, weight, x.shape, window, groups) for k in (cpu, plain)),
            (k.conv_grad_weight(g, x, weight.shape, window, groups) for k in (cpu, plain)),
        ):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)

    for_all(convolutions(axes), check, 60)


@pytest.mark.parametrize(
    ("x", "weight", "options"),
    [
        ((3, 16, 64, 64), (8, 16, 3, 3), {"padding": "same"}),  # rows of an image
        ((2, 4, 130, 257), (8, 4, 5, 3), {"stride": 2, "padding": 1}),
        ((40, 3, 16, 16), (6, 3, 3, 3), {}),  # several images a block
        ((20, 8, 12, 12), (8, 1, 3, 3), {"groups": 8, "padding": 1}),
        ((20, 8, 12, 12), (16, 1, 3, 3), {"groups": 8, "stride": 2}),
        ((5, 6, 30, 30), (9, 2, 3, 3), {"groups": 3, "dilation": 2}),
        ((4, 32, 40, 40), (16, 32, 1, 1), {}),
        ((2, 8, 9000), (4, 8, 80), {"stride": 2, "padding": "same"}),  # windows of a row
        ((17, 4, 300), (8, 1, 9), {"groups": 4, "padding": "same"}),
        ((2, 6, 9, 20, 21), (5, 6, 3, 3, 3), {"padding": "same"}),
        ((3, 4, 8, 10, 12), (8, 1, 3, 3, 3), {"groups": 4, "stride": (1, 2, 2)}),
        ((2, 16, 101, 77), (24, 16, 3, 3), {"padding": 1}),  # bands of few images
        ((1, 8, 160, 90), (16, 8, 5, 5), {"stride": 2, "padding": 2}),
        ((2, 48, 90, 70), (48, 1, 3, 3), {"groups": 48, "stride": 2, "padding": 1}),
        ((3, 9, 64, 50), (9, 1, 5, 5), {"groups": 9, "padding": "same"}),
        ((1, 8, 30_001), (16, 8, 5), {"padding": 2}),
        ((16, 32, 7, 5), (300, 32, 7, 5), {}),  # windows as large as the images
        ((3, 5, 2, 3, 4), (7, 5, 2, 3, 4), {"stride": 2}),
        ((40, 70, 1, 1), (130, 70, 1, 1), {"stride": 3}),
        ((2, 40, 7, 7), (90, 40, 1, 1), {}),  # few pixels
        ((7, 33, 31, 29), (65, 33, 1, 1), {}),  # long rows of them
        ((9, 12, 11, 13), (16, 12, 1, 1), {"stride": 2}),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_inputs(x, weight, options, dtype):
    """The error of float32 grows with the square root of the number of summands, no faster."""
    case = Case((normal(0, *x), normal(1, *weight), normal(2, weight[0])), options)
    exact = arguments(case)
    narrow = arguments(Case(tuple(a.astype(dtype) for a in case.arrays), options))
    got, right = all_three(cpu, *narrow), all_three(plain, *exact)
    window, out = exact[3], right[0].shape[2:]
    summands = (
        np.prod(weight[1:]),
        np.prod(window.size) * weight[0] / options.get("groups", 1),
        x[0] * np.prod(out),
    )
    for a, b, count in zip(got, right, summands, strict=True):
        assert a.dtype == dtype
        tolerance = 8 * np.finfo(dtype).eps * np.sqrt(count)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1.0, np.abs(b).std()))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_results_are_channels_last_in_memory(axes):
    image, size = (5, 4, 6)[:axes], (3, 2, 3)[:axes]
    for weight, groups in (((4, 3, *size), 1), ((6, 1, *size), 3)):
        case = Case((normal(0, 2, 3, *image), normal(1, *weight)), {"groups": groups})
        y, grad_x, grad_weight = all_three(cpu, *arguments(case))
        for result in (y, grad_x):
            assert np.moveaxis(result, 1, -1).flags.c_contiguous
        assert grad_weight.flags.c_contiguous


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, tuple[int, int, int], int]:
    out = draw(st.tuples(st.integers(1, 6), st.integers(1, 30), st.integers(1, 30)))
    return draw(st.integers(1, 40)), out, draw(st.integers(1, 60_000))


def test_blocks_cover_every_output_once():
    def check(drawn: tuple[int, tuple[int, int, int], int]) -> None:
        images, out, k = drawn
        filters = np.empty((k, 1), np.float32)
        seen = np.zeros((images, out[0] * out[1], out[2]), int)
        largest = len(convolution._memory(0, images, out, filters))
        for block in convolution._blocks(0, images, out, filters):
            seen[block] += 1
            assert seen[block].shape == block.shape
            assert min(block.shape) >= 1
            assert np.prod(block.shape) * k <= largest
            # its pixels are one run of memory, so that a product can be written there
            assert np.shares_memory(seen[block].reshape(-1), seen)
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
