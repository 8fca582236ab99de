"""CUDA convolutions: every way to compute them, at the borders of tiles, blocks and groups."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.kernels import plain
from minicnn.ops._windows import Window
from tests.kernels.device_arrays import ORDERS, last, shifted, there
from tests.ops.convolving import by_weight, convolution, convolutions, sliding
from tests.ops.driver import for_all
from tests.ops.spec import Case
from tests.ops.values import normal

TYPES = (np.float16, np.float32, np.float64)
WAYS = ("_implicit_gemm", "_columns")  # what can compute any convolution

# x, weight, how the window slides: rows and columns of 7 x 9 and 17 fill no tile.
CASES = [
    ((2, 5, 7, 9), (17, 5, 3, 3), {"padding": 1}),
    ((3, 8, 7, 9), (16, 4, 3, 3), {"padding": ((1, 2), (0, 1)), "stride": 2, "groups": 2}),
    ((3, 6, 7, 9), (4, 3, 3, 2), {"padding": 2, "dilation": 2, "stride": (3, 2), "groups": 2}),
    ((3, 8, 6, 7), (36, 8, 3, 3), {"padding": "same"}),
    ((2, 5, 37), (7, 5, 5), {"stride": 3, "padding": 3, "dilation": 2}),
    ((2, 4, 3, 5, 6), (12, 2, 2, 3, 3), {"stride": (1, 2, 3), "padding": 1, "groups": 2}),
    ((2, 3, 2, 3), (5, 3, 5, 4), {"padding": 3}),  # a window larger than the image
    ((2, 3, 13, 11), (5, 3, 2, 2), {"stride": 5, "padding": 1, "dilation": 3}),  # pixels unseen
    ((2, 3, 1, 2), (5, 3, 1, 1), {"stride": 3, "padding": 2}),  # no pixel of x is seen
    ((2, 3, 4, 5), (6, 3, 1, 1), {}),  # a product
    ((3, 4, 2, 3), (7, 4, 2, 3), {}),
]
DEPTHWISE = [
    ((2, 8, 7, 9), (8, 1, 3, 3), {"padding": 1}),
    ((2, 36, 6, 5), (36, 1, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 6, 7, 9), (18, 1, 3, 3), {"padding": 2, "dilation": 2, "stride": (1, 2)}),
    ((2, 3, 17), (6, 1, 70), {"padding": 60}),  # more offsets than a block keeps near
    ((1, 4, 3, 5, 6), (4, 1, 2, 3, 3), {"stride": (1, 2, 3), "padding": 1}),
    ((7, 132, 8, 9), (132, 1, 2, 2), {}),  # several blocks of channels, chunks of pixels
]


def case_of(x, weight, options):
    """Arrays (x, weight, bias, grad_y) in float64 and what else the kernels are told."""
    groups = options.get("groups", 1)
    slides = {k: v for k, v in options.items() if k != "groups"}
    slides = {"stride": 1, "padding": 0, **slides}
    window = Window.of("conv", x[2:], weight[2:], **slides)
    out = window.output_size("conv", x[2:])
    shapes = x, weight, weight[:1], (x[0], weight[0], *out)
    return [normal(i, *shape) for i, shape in enumerate(shapes)], out, window, groups


def three(kernels, arrays, out, window, groups, move=lambda a: a):
    x, weight, bias, g = arrays
    return (
        kernels.conv(move(x), move(weight), move(bias), out, window, groups),
        kernels.conv_grad_x(move(g), move(weight), x.shape, window, groups),
        kernels.conv_grad_weight(move(g), move(x), weight.shape, window, groups),
    )


def check(kernels, arrays, out, window, groups, dtype=np.float32, move=there):
    """Compare all three with kernels.plain in float64: the error grows as the root of the sums."""
    arrays = [a.astype(dtype) for a in arrays]
    right = three(plain, [a.astype(np.float64) for a in arrays], out, window, groups)
    got = three(kernels, arrays, out, window, groups, move)
    per_filter = arrays[1][0].size
    summands = per_filter, per_filter * len(arrays[1]), len(arrays[0]) * math.prod(out)
    for a, b, count in zip(got, right, summands, strict=True):
        assert a.dtype == dtype
        tolerance = 8 * np.finfo(dtype).eps * np.sqrt(count) * max(1.0, b.std())
        np.testing.assert_allclose(a.get(), b, rtol=0, atol=tolerance)
    return got


def module(name):
    return importlib.import_module(f"minicnn.kernels.cuda.{name}")


@pytest.fixture
def without_tensor_cores(cuda, monkeypatch):
    monkeypatch.setattr(module("convolution"), "_on_tensor_cores", lambda *_: False)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("x", "weight", "options"), CASES)
def test_is_the_plain_one(x, weight, options, dtype, cuda, without_tensor_cores):
    check(module("convolution"), *case_of(x, weight, options), dtype)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("x", "weight", "options"), CASES)
def test_every_way_can_do_all(way, x, weight, options, cuda):
    check(module(way), *case_of(x, weight, options))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("x", "weight", "options"), DEPTHWISE)
def test_depthwise(x, weight, options, dtype, cuda):
    arrays, out, window, _ = case_of(x, weight, options)
    found = module("convolution")._way(there(arrays[0]), x, weight, out, window, x[1])
    assert found is module("_depthwise")
    check(found, arrays, out, window, x[1], dtype)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_is_the_definition(axes, cuda, without_tensor_cores):
    """Plain loops in float64, for windows of all kinds."""
    kernels = module("convolution")

    def definition(case: Case) -> None:
        x, weight, *bias = case.arrays
        window = Window.of("conv", x.shape[2:], weight.shape[2:], *sliding(case.options).values())
        groups, out = case.options.get("groups", 1), window.output_size("conv", x.shape[2:])
        given = there(bias[0]) if bias else None
        y = kernels.conv(there(x), there(weight), given, out, window, groups).get()
        np.testing.assert_allclose(y, convolution(*case.arrays, **case.options), atol=1e-12)
        g = normal(3, *y.shape)
        grad = kernels.conv_grad_weight(there(g), there(x), weight.shape, window, groups).get()
        right = by_weight(g, x, weight.shape, window, groups)
        np.testing.assert_allclose(grad, right, atol=1e-12)
        # <g, y without bias> is linear in x, and its gradient is conv_grad_x.
        grad_x = kernels.conv_grad_x(there(g), there(weight), x.shape, window, groups).get()
        np.testing.assert_allclose((grad_x * x).sum(), (right * weight).sum(), atol=1e-10)
        right = plain.conv_grad_x(g, weight, x.shape, window, groups)
        np.testing.assert_allclose(grad_x, right, atol=1e-12)

    for_all(convolutions(axes), definition, 40)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_columns_are_the_plain_ones(axes, cuda):
    def same(case: Case) -> None:
        x, weight = case.arrays[:2]
        window = Window.of("conv", x.shape[2:], weight.shape[2:], *sliding(case.options).values())
        out = window.output_size("conv", x.shape[2:])
        columns = plain.im2col(x, out, window)
        np.testing.assert_array_equal(cuda.im2col(last(x), out, window).get(), columns)
        columns = normal(4, *columns.shape)
        got = cuda.col2im(there(columns), x.shape, out, window).get()
        right = plain.col2im(columns, x.shape, out, window)
        np.testing.assert_allclose(got, right, atol=1e-13)

    for_all(convolutions(axes), same, 40)


@pytest.mark.parametrize("dtype", TYPES)
def test_columns_of_every_type(dtype, cuda):
    arrays, out, window, _ = case_of(*CASES[1])
    x = arrays[0].astype(dtype)
    columns = plain.im2col(x, out, window)
    np.testing.assert_array_equal(cuda.im2col(there(x), out, window).get(), columns)
    got = cuda.col2im(there(columns), x.shape, out, window).get()
    right = plain.col2im(columns.astype(np.float64), x.shape, out, window)
    rounding = 8 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got, right, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("move", ORDERS)
@pytest.mark.parametrize("which", [3, 5])
def test_any_memory_order(move, which, cuda, without_tensor_cores):
    """Vectors of four need addresses that are multiples of 16; without, numbers come singly."""
    check(module("convolution"), *case_of(*CASES[which]), move=move)
    x, weight, options = DEPTHWISE[0]
    arrays, out, window, _ = case_of(x, weight, options)
    check(module("_depthwise"), arrays, out, window, x[1], move=move)


@pytest.mark.parametrize("tile", range(5))
@pytest.mark.parametrize(
    ("x", "weight", "options"),
    [
        ((3, 8, 7, 9), (36, 8, 3, 3), {"padding": 1}),  # K: 72, one tile in more
        ((2, 6, 9, 8), (18, 3, 3, 3), {"padding": 1, "stride": 2, "groups": 2}),
    ],
)
def test_no_bit_depends_on_the_tile(tile, x, weight, options, cuda, monkeypatch):
    """Each sum is one thread's, k after k, whoever has it."""
    gemm, case = module("_implicit_gemm"), case_of(x, weight, options)
    first = check(gemm, *case)
    for chooser in ("_tile", "_tile_of_weights"):
        monkeypatch.setattr(gemm, chooser, lambda *_: gemm.TILES[tile])
    for a, b in zip(check(gemm, *case), first, strict=True):
        np.testing.assert_array_equal(a.get(), b.get())


@pytest.mark.parametrize("shortest", [1, 16, 100])
@pytest.mark.parametrize(("x", "weight", "options"), [CASES[1], CASES[5], DEPTHWISE[2]])
def test_a_weight_gradient_in_chunks(shortest, x, weight, options, cuda, monkeypatch):
    """From one chunk to more than are added up by one thread; twice the same bits."""
    arrays, out, window, groups = case_of(x, weight, options)
    name = "_implicit_gemm"
    if weight[1] == 1:
        name, groups = "_depthwise", x[1]
    monkeypatch.setattr(module(name), "_SHORTEST", shortest)
    first = check(module(name), arrays, out, window, groups)
    for a, b in zip(check(module(name), arrays, out, window, groups), first, strict=True):
        np.testing.assert_array_equal(a.get(), b.get())


def test_many_pixels_and_filters(cuda, without_tensor_cores):
    """Several blocks along every axis of the grid."""
    for x, weight in (((3, 4, 23, 31), (64, 4, 3, 3)), ((1, 4, 15, 31), (130, 4, 2, 2))):
        check(module("convolution"), *case_of(x, weight, {"padding": 1}))


def test_columns_a_few_images_at_a_time(cuda, monkeypatch):
    monkeypatch.setattr(module("_columns"), "_MEMORY", 1)
    check(module("_columns"), *case_of(*CASES[1]), np.float16)


def test_what_is_too_large_for_32_bits_takes_the_textbooks_way(cuda, monkeypatch):
    """Where nothing else may be asked: even the kernels of the columns step aside."""
    geometry = module("_geometry")
    monkeypatch.setattr(geometry, "_MOST", 30)
    geometry.forward.cache_clear()
    geometry.backward.cache_clear()
    try:
        arrays, out, window, groups = case_of(*CASES[1])
        way = module("convolution")._way(
            there(arrays[0]), arrays[0].shape, arrays[1].shape, out, window, groups
        )
        assert way is module("_columns") or way is module("_tensor_cores")
        check(module("_columns"), arrays, out, window, groups)
    finally:
        geometry.forward.cache_clear()
        geometry.backward.cache_clear()


def test_a_large_stride_has_too_many_classes(cuda, monkeypatch):
    geometry = module("_geometry")
    monkeypatch.setattr(geometry, "_MOST_CLASSES", 3)
    geometry.backward.cache_clear()
    check(module("convolution"), *case_of(*CASES[1]))
    geometry.backward.cache_clear()


@pytest.mark.parametrize("groups", [1, 3])
def test_no_images(groups, cuda):
    arrays, out, window, _ = case_of((2, 3, 5, 7), (3, 3 // groups, 3, 3), {})
    arrays[0], arrays[3] = arrays[0][:0], arrays[3][:0]
    kernels = module("convolution")
    y, grad_x, grad_weight = three(kernels, arrays, out, window, groups, there)
    assert y.shape == arrays[3].shape
    assert grad_x.shape == arrays[0].shape
    np.testing.assert_array_equal(grad_weight.get(), np.zeros_like(arrays[1]))
    assert cuda.im2col(there(arrays[0]), out, window).shape == (0, 27, 15)
    assert cuda.col2im(there(np.zeros((0, 27, 15))), (0, 3, 5, 7), out, window).size == 0


@pytest.mark.parametrize(("x", "weight", "options"), [*CASES[:6], *DEPTHWISE[:3]])
def test_images_are_channels_last_and_weights_are_not(x, weight, options, cuda):
    arrays, out, window, groups = case_of(x, weight, options)
    groups = x[1] if weight[1] == 1 else groups
    y, grad_x, grad = three(module("convolution"), arrays, out, window, groups, there)
    for image in (y, grad_x):
        assert image.transpose(0, *range(2, image.ndim), 1).flags.c_contiguous
    assert grad.flags.c_contiguous


def test_room_for_more_windows_than_are_asked_for(cuda, without_tensor_cores):
    """As a transposed convolution leaves with output_padding; the rest is not seen."""
    for x, weight, options in (CASES[1], CASES[5]):
        arrays, out, window, groups = case_of(x, weight, options)
        out = tuple(max(1, n - 1) for n in out)
        arrays[3] = arrays[3][(..., *map(slice, out))]
        for name in ("convolution", *WAYS):
            check(module(name), arrays, out, window, groups)


def test_a_number_that_is_not_seen_is_not_multiplied(cuda, without_tensor_cores):
    """NaN next to a tile's last row or column would spread if masks were products by zero."""
    arrays, out, window, groups = case_of((2, 8, 5, 6), (20, 8, 3, 3), {"padding": 1})
    flat = there(np.full(3 * arrays[0].size, np.nan))
    x = flat[arrays[0].size : 2 * arrays[0].size].reshape(arrays[0].shape)
    x[...] = there(arrays[0])
    y = module("convolution").conv(x, there(arrays[1]), None, out, window, groups)
    right = plain.conv(arrays[0], arrays[1], None, out, window, groups)
    np.testing.assert_allclose(y.get(), right, atol=1e-12)


def test_other_types_take_the_plain_way(cuda):
    arrays, out, window, groups = case_of(*CASES[1])
    mixed = there(arrays[0].astype(np.float32)), there(arrays[1])
    y = cuda.conv(*mixed, None, out, window, groups)
    assert y.dtype == np.float64
    right = plain.conv(mixed[0].get(), arrays[1], None, out, window, groups)
    np.testing.assert_allclose(y.get(), right, atol=1e-12)


def test_division_by_multiplication(cuda):
    """n / by = (n * (2^32 + magic)) >> (32 + shift), for every n below 2^31."""
    divider = module("_geometry").divider

    def exact(drawn: tuple[int, int]) -> None:
        n, by = drawn
        for dividend in (n, n // by * by, min(n // by * by + by - 1, 2**31 - 1), 2**31 - 1):
            _, magic, shift = divider(by)
            assert magic < 2**32
            high = (dividend * magic) >> 32
            assert (high + dividend) % 2**32 >> shift == dividend // by

    for_all(st.tuples(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1)), exact, 500)


def test_shifted_arrays_are_odd(cuda):
    """The helper does what the test of memory orders relies on."""
    assert shifted(np.zeros((2, 4), np.float32)).data.ptr % 16 == 4
