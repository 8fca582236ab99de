"""The CUDA kernels of normalisation beside kernels.plain in float64."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from minicnn.kernels import plain

# Odd channels (folded rows, or single numbers where rows do not fold), single pixels and images,
# packs that are whole, and blocks that stand side by side.
SHAPES = [
    (1, 1, 1, 1),
    (5, 1, 9, 4),
    (2, 3, 5, 7),
    (4, 3, 4, 4),
    (1, 17, 1, 1),
    (6, 17),
    (3, 32, 1, 1),
    (2, 64, 17, 9),
    (4, 130, 3, 3),
    (2, 6, 11),
    (2, 4, 3, 5, 2),
    (3, 271, 2),
]
DTYPES = [np.float16, np.float32, np.float64]
ROUNDING = {np.float16: 1e-3, np.float32: 2e-7, np.float64: 1e-15}
# Rows that are one turn of one warp, of several warps, and several turns.
ROWS = [(1, 1), (5, 3), (7, 32), (3, 130), (70, 17), (9, 768), (2, 1001), (3, 4100), (2, 8200)]


def laid_out(x, layout):
    """Return x on the device with its memory in another order."""
    import cupy

    if layout == "gaps":
        wide = cupy.asarray(np.repeat(x, 2, axis=-1))
        return wide[..., ::2]
    if layout == "unaligned":
        flat = cupy.empty(x.size + 1, x.dtype)
        last = cupy.asarray(np.ascontiguousarray(np.moveaxis(x, 1, -1)))
        flat[1:] = last.reshape(-1)
        return np_moved(flat[1:].reshape(last.shape))
    if layout == "channels last":
        return np_moved(cupy.asarray(np.ascontiguousarray(np.moveaxis(x, 1, -1))))
    return cupy.asarray(x)


def np_moved(x):
    """x (N, *spatial, C) -> view (N, C, *spatial)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


LAYOUTS = ["channels last", "channels first", "gaps", "unaligned"]


def host(*arrays):
    import cupy

    return [cupy.asnumpy(a) for a in arrays]


def device(*arrays):
    import cupy

    return [cupy.asarray(a) for a in arrays]


def numbers(shape, dtype, mean=0.0, seed=0):
    return (mean + np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def cells(x, per_image, seed=1):
    """Return a mean near x's, and four arrays of coefficients, (I, C)."""
    rng = np.random.default_rng(seed)
    shape = (len(x) if per_image else 1, x.shape[1])
    mean = plain.moments(x, per_image)[0] + 0.01 * rng.standard_normal(shape)
    return mean, *(rng.standard_normal((4, *shape)))


def far(dtype):
    """Return a mean that is large beside a spread of 1."""
    return 30.0 if dtype == np.float16 else 1000.0


def assert_near(found, expected, dtype, scale=1.0):
    """Compare to within rounding of `dtype`, relative to `scale` or the expected value."""
    assert found.shape == expected.shape
    bound = 4 * ROUNDING[dtype] * np.maximum(np.abs(expected), scale)
    np.testing.assert_array_less(np.abs(found.astype(np.float64) - expected), bound + 1e-300)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_moments(cuda, shape, dtype, per_image):
    x = numbers(shape, dtype, far(dtype))
    mean, variance = plain.moments(x.astype(np.float64), per_image)
    found = host(*cuda.moments(laid_out(x, "channels last"), per_image))
    assert [a.dtype for a in found] == [np.float64] * 2
    near = 1e-6 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(found[0], mean, rtol=1e-15, atol=near * np.sqrt(variance.max()))
    np.testing.assert_allclose(found[1], variance, rtol=near, atol=1e-25)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_moments_of_any_layout(cuda, layout):
    x = numbers((3, 12, 5, 7), np.float32, 1000)
    expected = host(*cuda.moments(laid_out(x, "channels last"), False))
    for a, b in zip(host(*cuda.moments(laid_out(x, layout), False)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("blocks", [1, 3, 512])
def test_moments_of_long_runs_and_of_few(cuda, monkeypatch, blocks):
    """An outlier where sums are shifted by it: within the 2e-4 that normalization.cu derives."""
    channels = importlib.import_module("minicnn.kernels.cuda._channels")
    monkeypatch.setattr(channels, "_SUMS", blocks)
    x = numbers((3, 8, 37, 41), np.float32, 1000)
    x[0, :, 0, 0] = 3e4
    x[1, 3] = 1000.0
    mean, variance = plain.moments(x.astype(np.float64), False)
    found = host(*cuda.moments(laid_out(x, "channels last"), False))
    np.testing.assert_allclose(found[0], mean, rtol=1e-7)
    np.testing.assert_allclose(found[1], variance, rtol=2e-5)
    g = numbers(x.shape, np.float32, seed=2)
    sums = plain.normalize_sums(g.astype(np.float64), x.astype(np.float64), mean)
    g_last, x_last = (laid_out(a, "channels last") for a in (g, x))
    scales = plain.normalize_sums(np.abs(g), np.abs(x - mean[..., None, None]), 0 * mean)
    found = host(*cuda.normalize_sums(g_last, x_last, *device(mean)))
    for a, b, scale in zip(found, sums, scales, strict=True):
        np.testing.assert_array_less(np.abs(a - b), 1e-6 * scale)


def test_a_channel_that_does_not_vary_has_no_variance(cuda):
    x = np.full((2, 5, 6, 7), 1000.1, np.float32)
    mean, variance = host(*cuda.moments(laid_out(x, "channels last"), False))
    assert not variance.any()
    np.testing.assert_array_equal(mean, np.float64(x[0, 0, 0, 0]))


def test_nan_shows_in_its_channel_alone(cuda):
    x = numbers((2, 5, 3, 3), np.float32)
    x[1, 2, 1, 1] = np.nan
    for a in host(*cuda.moments(laid_out(x, "channels last"), False)):
        np.testing.assert_array_equal(np.isnan(a[0]), np.arange(5) == 2)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_and_sums(cuda, shape, dtype, per_image):
    x, g = numbers(shape, dtype, far(dtype)), numbers(shape, dtype, seed=3)
    x64, g64 = x.astype(np.float64), g.astype(np.float64)
    mean, *abc, beta = cells(x64, per_image)
    x_there, g_there = laid_out(x, "channels last"), laid_out(g, "channels last")
    mean_there, *abc_there, beta_there = device(mean, *abc, beta)

    y = cuda.normalize(x_there, mean_there, abc_there[0], beta_there)
    assert y.dtype == dtype
    assert y.transpose(0, *range(2, y.ndim), 1).flags.c_contiguous
    assert_near(*host(y), plain.normalize(x64, mean, abc[0], beta), dtype, 8)

    grad_x = cuda.normalize_grad_x(g_there, x_there, mean_there, *abc_there)
    expected = plain.normalize_grad_x(g64, x64, mean, *abc)
    assert_near(*host(grad_x), expected, dtype, 16)

    found = host(*cuda.normalize_sums(g_there, x_there, mean_there))
    expected = plain.normalize_sums(g64, x64, mean)
    scale = 3 * np.abs(g64).sum(axis=tuple(range(2, x.ndim))).max() * len(x)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_maps_of_any_layout(cuda, layout):
    x, g = numbers((3, 12, 5, 7), np.float32, 1000), numbers((3, 12, 5, 7), np.float32, seed=3)
    before = x.copy()
    mean, a, b, c, _ = cells(x, False)
    known = device(mean, a, b, c)
    there, g_there = laid_out(x, layout), laid_out(g, "channels last")
    assert_near(
        *host(cuda.normalize(there, *known[:3])), plain.normalize(x, mean, a, b), np.float32, 8
    )
    expected = plain.normalize_grad_x(g, x, mean, a, b, c)
    assert_near(*host(cuda.normalize_grad_x(g_there, there, *known)), expected, np.float32, 16)
    np.testing.assert_array_equal(*host(there), before)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", ROWS)
def test_rows(cuda, shape, dtype, centred):
    x = numbers(shape, dtype, far(dtype) if centred else 0)
    gamma, beta, g = (numbers(s, dtype, seed=i) for i, s in enumerate((shape[1], shape[1], shape)))
    wide = [a.astype(np.float64) for a in (x, gamma, beta, g)]
    there = device(x, gamma, beta, g)
    y, mean, rstd = plain.normalize_rows(*wide[:3], 1e-5, centred)
    found = host(*cuda.normalize_rows(*there[:3], 1e-5, centred))
    # In double precision plain itself rounds a mean of 1000, by some 1e-13.
    size = max(8.0, (1e3 if dtype == np.float64 else 1.0) * rstd.max())
    assert_near(found[0], y, dtype, size)
    assert [a.dtype for a in found] == [dtype, np.float64, np.float64]
    near = 1e-6 if dtype != np.float64 else 1e-11
    np.testing.assert_allclose(found[1], mean, rtol=1e-7 if dtype != np.float64 else 1e-14)
    np.testing.assert_allclose(found[2], rstd, rtol=near)

    expected = plain.normalize_rows_grad(wide[3], wide[0], wide[1], mean, rstd, centred)
    found = host(
        *cuda.normalize_rows_grad(there[3], there[0], there[1], *device(mean, rstd), centred)
    )
    assert_near(found[0], expected[0], dtype, size * max(8.0, rstd.max()))
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=0, atol=3 * near * max(4, shape[0]))


def test_rows_of_other_memory(cuda):
    """Rows with gaps, and rows that begin where no pack can."""
    import cupy

    x, gamma = numbers((5, 64), np.float32), numbers(64, np.float32, seed=1)
    expected = plain.normalize_rows(x, gamma, gamma, 1e-5, True)[0]
    gaps = cupy.asarray(np.repeat(x, 2, axis=1))[:, ::2]
    shifted = cupy.empty(x.size + 1, x.dtype)
    shifted[1:] = cupy.asarray(x.reshape(-1))
    for there in (gaps, shifted[1:].reshape(x.shape)):
        y = cuda.normalize_rows(there, *device(gamma, gamma), 1e-5, True)[0]
        assert_near(*host(y), expected, np.float32, 8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("before", "after"), [(0, 0), (2, 2), (1, 3), (40, 0)])
def test_sum_channels(cuda, before, after, dtype):
    x = numbers((2, 17, 3, 5), dtype)
    y = cuda.sum_channels(laid_out(x, "channels last"), before, after)
    expected = plain.sum_channels(x.astype(np.float64), before, after)
    assert_near(*host(y), expected, dtype, 16)


def test_each_result_is_the_same_in_each_run(cuda):
    x, g = (laid_out(numbers((4, 24, 13, 9), np.float32, seed=s), "channels last") for s in (0, 1))
    known = cuda.moments(x, False)[0]
    rows = g.reshape(-1, 9)
    ones = device(np.ones(9, np.float32))[0]
    _, mean, rstd = cuda.normalize_rows(rows, ones, ones, 1e-5, True)
    for call in (
        lambda: cuda.moments(x, False),
        lambda: cuda.normalize_sums(g, x, known),
        lambda: cuda.normalize_rows_grad(rows, rows, ones, mean, rstd, True),
    ):
        for a, b in zip(host(*call()), host(*call()), strict=True):
            np.testing.assert_array_equal(a, b)


def test_what_the_kernels_do_not_cover(cuda):
    """Mixed types and empty batches are left to the array expressions."""
    import cupy

    x, g = numbers((2, 3, 4), np.float32), numbers((2, 3, 4), np.float64)
    mean, a, b, c, _ = cells(x, False)
    found = cuda.normalize_grad_x(*device(g, x, mean, a, b, c))
    expected = plain.normalize_grad_x(g, x, mean, a, b, c)
    np.testing.assert_allclose(*host(found), expected, rtol=1e-6)
    none = cupy.empty((0, 3, 4, 4), np.float32)
    assert cuda.normalize(none, *device(mean, a, b)).shape == none.shape
    assert cuda.normalize_grad_x(none, none, *device(mean, a, b, c)).shape == none.shape
    assert not host(cuda.normalize_sums(none, none, *device(mean))[0])[0].any()
    assert cuda.sum_channels(none, 1, 1).shape == none.shape
    rows, ones = cupy.empty((0, 5), np.float32), cupy.ones(5, np.float32)
    y, mean, rstd = cuda.normalize_rows(rows, ones, ones, 1e-5, True)
    assert (y.shape, mean.shape, rstd.shape) == ((0, 5), (0,), (0,))
    sums = cuda.normalize_rows_grad(rows, rows, ones, mean, rstd, True)[1:]
    assert not any(s.any() for s in host(*sums))
