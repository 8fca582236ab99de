"""Convolution on tensor cores: exact but for the rounding of factors, at all borders of tiles."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from minicnn.kernels import plain, settings
from minicnn.ops._windows import Window
from tests.kernels.device_arrays import ORDERS, there
from tests.ops.convolving import convolutions, sliding
from tests.ops.driver import for_all
from tests.ops.spec import Case
from tests.ops.values import normal

PRECISIONS = ("tf32", "bfloat16", "float16")
# A tile has 64 rows and columns, a stage 32 of k (64 in float16), a copy takes 4 channels (or 8).
CASES = [
    ((2, 16, 7, 9), (24, 16, 3, 3), {"padding": 1}),
    ((1, 20, 6, 5), (17, 20, 3, 2), {"stride": (2, 1), "padding": (1, 0)}),  # copies one by one
    ((2, 18, 9, 8), (30, 18, 3, 3), {"stride": 2, "padding": ((1, 2), (0, 1))}),
    ((2, 32, 9, 8), (32, 16, 3, 3), {"stride": 2, "padding": 2, "dilation": (3, 1), "groups": 2}),
    ((1, 16, 33), (16, 16, 3), {"stride": 2, "padding": 1, "dilation": 2}),
    ((1, 16, 3, 4, 5), (16, 16, 2, 3, 2), {"stride": (1, 2, 1), "padding": 1}),
    ((2, 16, 9, 8), (72, 16, 1, 1), {"stride": 3}),  # most pixels are never seen
    ((2, 72, 17, 16), (80, 72, 1, 1), {}),
    ((2, 16, 2, 3), (16, 16, 4, 3), {"padding": 2}),  # a window larger than the image
]  # fmt: skip


def module(name):
    return importlib.import_module(f"minicnn.kernels.cuda.{name}")


def rounded(x, precision):
    """What a factor becomes: 10 bits of mantissa, ties away from 0; 7 bits, ties to even."""
    if precision == "float16":
        return x.astype(np.float64)
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    if precision == "tf32":
        bits = bits + np.uint32(0x1000) & np.uint32(0xFFFFE000)
    else:
        bits = bits + np.uint32(0x7FFF) + (bits >> 16 & 1) & np.uint32(0xFFFF0000)
    return bits.view(np.float32).astype(np.float64)


def case_of(x, weight, options, precision):
    """Arrays (x, weight, bias, grad_y) in the precision's type, and what else kernels are told."""
    groups = options.get("groups", 1)
    slides = {"stride": 1, "padding": 0, **options}
    slides.pop("groups", None)
    window = Window.of("conv", x[2:], weight[2:], **slides)
    out = window.output_size("conv", x[2:])
    dtype = np.float16 if precision == "float16" else np.float32
    shapes = x, weight, weight[:1], (x[0], weight[0], *out)
    return [normal(i, *shape).astype(dtype) for i, shape in enumerate(shapes)], out, window, groups


def results(kernels, arrays, out, window, groups, move=lambda a: a):
    x, weight, bias, g = arrays
    bias = None if bias is None else move(bias)
    return (
        kernels.conv(move(x), move(weight), bias, out, window, groups),
        kernels.conv_grad_x(move(g), move(weight), x.shape, window, groups),
        kernels.conv_grad_weight(move(g), move(x), weight.shape, window, groups),
    )


def close(got, right):
    """Sums are float32; float16 is rounded to once, at the end."""
    dtype, got = got.dtype, got.get().astype(np.float64)
    assert got.shape == right.shape
    once = 2.0**-11 if dtype == np.float16 else 0
    scale = np.abs(right).max(initial=1)
    np.testing.assert_allclose(got, right, rtol=once, atol=1e-5 * scale)


def check(arrays, out, window, groups, precision, move=there):
    """Compare all three with kernels.plain in float64, whose factors are rounded before."""
    x, weight, bias, g = arrays
    wide = [rounded(x, precision), rounded(weight, precision), None, rounded(g, precision)]
    wide[2] = None if bias is None else bias.astype(np.float64)
    got = results(module("_tensor_cores"), arrays, out, window, groups, move)
    for y, right in zip(got, results(plain, wide, out, window, groups), strict=True):
        assert y.dtype == x.dtype
        close(y, right)
    return got


@pytest.fixture(params=PRECISIONS)
def precision(request, cuda, monkeypatch):
    monkeypatch.setattr(settings, "matrix_precision", request.param)
    return request.param


@pytest.fixture
def tf32(cuda, monkeypatch):
    monkeypatch.setattr(settings, "matrix_precision", "tf32")
    return "tf32"


@pytest.mark.parametrize(("x", "weight", "options"), CASES)
def test_is_the_plain_one_of_rounded_factors(x, weight, options, precision):
    arrays, *rest = case_of(x, weight, options, precision)
    y, grad_x, grad_weight = check(arrays, *rest, precision)
    for image in (y, grad_x):  # channels last
        assert image.transpose(0, *range(2, image.ndim), 1).flags.c_contiguous
    assert grad_weight.flags.c_contiguous


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_any_window(axes, tf32):
    """With as few channels as may be: whatever `applies` thinks of them."""

    def same(case: Case) -> None:
        x, weight, *bias = (a.astype(np.float32) for a in case.arrays)
        window = Window.of("conv", x.shape[2:], weight.shape[2:], *sliding(case.options).values())
        groups, out = case.options.get("groups", 1), window.output_size("conv", x.shape[2:])
        g = normal(3, len(x), len(weight), *out).astype(np.float32)
        check([x, weight, bias[0] if bias else None, g], out, window, groups, tf32)

    for_all(convolutions(axes), same, 20)


@pytest.mark.parametrize("move", ORDERS)
def test_any_memory_order(move, precision):
    check(*case_of(*CASES[0], precision), precision, move)


def test_room_for_more_windows_than_are_asked_for(tf32):
    arrays, out, window, groups = case_of(*CASES[2], tf32)
    out = tuple(n - 1 for n in out)
    arrays[3] = arrays[3][(..., *map(slice, out))]
    check(arrays, out, window, groups, tf32)


@pytest.mark.parametrize("shape", [(0, 16, 7, 9), (2, 16, 1, 2)])
def test_nothing_to_do(shape, precision):
    """No images, or none with a window: the gradient of the weights is 0."""
    (_, weight, bias, _), _, window, _ = case_of(*CASES[0], precision)
    x, out = np.ones(shape, weight.dtype), (7, 9) if not shape[0] else (0, 0)
    arrays = [x, weight, bias, np.ones((shape[0], 24, *out), weight.dtype)]
    y, grad_x, grad = results(module("_tensor_cores"), arrays, out, window, 1, there)
    assert y.shape == arrays[3].shape
    np.testing.assert_array_equal(grad_x.get(), np.zeros_like(x))
    np.testing.assert_array_equal(grad.get(), np.zeros_like(weight))


@pytest.mark.parametrize("sides", [(128, 128), (128, 64), (64, 128)])
def test_no_bit_depends_on_the_tile(sides, precision, monkeypatch):
    """A sum goes k after k, whoever has it; the tile only says who."""
    cores = module("_tensor_cores")
    case = case_of((1, 24, 13, 11), (136, 24, 2, 2), {"padding": 1}, precision)
    first = check(*case, precision)
    for chooser in ("_tile", "_tile_of_weights"):
        monkeypatch.setattr(cores, chooser, lambda *_: sides)
    for a, b in zip(check(*case, precision), first, strict=True):
        np.testing.assert_array_equal(a.get(), b.get())


@pytest.mark.parametrize("least", [1, 2, 100])
def test_a_weight_gradient_in_parts(least, precision, monkeypatch):
    """286 pixels are 9 stages; twice the same bits, however many parts."""
    monkeypatch.setattr(module("_tensor_cores"), "_LEAST_STAGES", least)
    case = case_of((2, 16, 13, 11), (24, 16, 3, 3), {"padding": 1}, precision)
    first = check(*case, precision)
    for a, b in zip(check(*case, precision), first, strict=True):
        np.testing.assert_array_equal(a.get(), b.get())


def test_parts_follow_from_the_shape(cuda):
    parts = module("_tensor_cores")._parts
    assert parts(32 * 64, 1) == (8, 8)
    assert parts(33, 1) == (2, 1)
    assert parts(10**6, 5) == (307, 102)
    assert parts(10**6, 600) == (31250, 1)


def test_a_number_that_is_not_seen_is_not_multiplied(precision):
    """NaN around the image in memory, and in pixels between the windows."""
    arrays, out, window, groups = case_of((2, 16, 7, 9), (24, 16, 2, 2), {"stride": 3}, precision)
    check(arrays, out, window, groups, precision)
    x = arrays[0]
    seen = np.zeros(x.shape, bool)
    for h in range(out[0]):
        for w in range(out[1]):
            seen[:, :, 3 * h : 3 * h + 2, 3 * w : 3 * w + 2] = True
    clean = results(module("_tensor_cores"), arrays, out, window, groups, there)
    arrays[0] = np.where(seen, x, np.array(np.nan, x.dtype))
    dirty = results(module("_tensor_cores"), arrays, out, window, groups, there)
    for a, b in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(a.get(), b.get())


def test_the_setting_decides(cuda, monkeypatch):
    cores, launch = module("_tensor_cores"), module("_launch")
    shape = (32, 16, 3, 3)
    x = {t: there(np.ones((1, 16, 4, 4), t)) for t in (np.float16, np.float32, np.float64)}
    for setting, kinds in (
        ("float32", ("Half", None, None)),
        ("tf32", ("Half", "Tf32", None)),
        ("bfloat16", ("Half", "Bfloat", None)),
    ):
        monkeypatch.setattr(settings, "matrix_precision", setting)
        for a, kind in zip(x.values(), kinds, strict=True):
            assert cores.kind(a.dtype) == kind
            assert cores.applies(a, shape, 1) is (kind is not None)
            assert not cores.applies(a, shape, 4)  # 8 filters in a group
            assert not cores.applies(a, (32, 15, 3, 3), 1)
    assert not cores.applies(x[np.float32], x[np.float64].reshape(16, 16, 1, 1), 1)
    monkeypatch.setattr(launch, "capability", lambda: 75)
    assert cores.kind(np.dtype(np.float16)) is None
    monkeypatch.setattr(launch, "capability", lambda: 80)
    monkeypatch.setattr(settings, "matrix_precision", "TF32")
    with pytest.raises(ValueError, match="float32, tf32, bfloat16, got 'TF32'"):
        cores.kind(np.dtype(np.float32))


def test_what_is_too_large_takes_the_plain_way(tf32, monkeypatch):
    cores = module("_tensor_cores")
    arrays, out, window, groups = case_of(*CASES[0], tf32)
    monkeypatch.setattr(cores, "_MOST_PIXELS", 1)
    found = results(cores, arrays, out, window, groups, there)
    for got, right in zip(found, results(plain, arrays, out, window, groups), strict=True):
        close(got, right)


UNITS = r"""
#include "matrix_units.cuh"
// 16 x 16 numbers of 16 bits, as they lie (fetched, turned) and the product with the same, by mma.
template <typename T>
__global__ void units(const T* a, unsigned* fetched, unsigned* turned, float* product) {
  __shared__ T tile[16][24];
  const int lane = threadIdx.x;
  for (int i = lane; i < 256; i += 32) tile[i / 16][i % 16] = a[i];
  __syncthreads();
  const T* row = &tile[lane % 16][lane / 16 * 8];
  Register words[4], others[4];
  load_matrices(words, row);
  load_matrices_transposed(others, row);
  float sums[4] = {};
  const Register right[2] = {words[0], words[2]};  // columns are rows 0 to 7: a times its transpose
  mma_half(sums, words, right);
  for (int i = 0; i < 4; ++i) {
    fetched[i * 32 + lane] = words[i];
    turned[i * 32 + lane] = others[i];
    product[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sums[i];
  }
}
"""


def test_fragments_are_what_the_instructions_take(cuda):
    """The layout of matrix_units.cuh, said once more in NumPy: lane 4 g + t, register i."""
    import cupy

    options = ("-std=c++17", f"-I{module('_compiler').FOLDER}")
    code = cupy.RawModule(code=UNITS, options=options, name_expressions=("units<half_t>",))
    a = np.arange(256, dtype=np.float16).reshape(16, 16) - 100
    out = [cupy.empty((4, 8, 4), np.uint32), cupy.empty((4, 8, 4), np.uint32)]
    product = cupy.empty((16, 8), np.float32)
    code.get_function("units<half_t>")((1,), (32,), (there(a), *out, product))
    fetched, turned = (o.get().view(np.float16).reshape(2, 2, 8, 4, 2) for o in out)
    blocks = a.reshape(2, 8, 2, 8).transpose(2, 0, 1, 3)  # [k half, row half, row, k]
    np.testing.assert_array_equal(fetched, blocks.reshape(2, 2, 8, 4, 2))
    np.testing.assert_array_equal(turned, blocks.swapaxes(2, 3).reshape(2, 2, 8, 4, 2))
    wide = a.astype(np.float64)
    np.testing.assert_array_equal(product.get(), wide @ wide[:8].T)
