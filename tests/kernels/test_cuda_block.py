"""The CUDA kernels of convolution, batch normalisation and ReLU beside kernels.plain in float64."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from minicnn.ops._windows import Window

SHAPES = [
    (1, 1, 1, 1),
    (5, 1, 9, 4),
    (2, 3, 5, 7),
    (6, 17),
    (3, 32, 1, 1),
    (2, 130, 3, 3),
    (2, 8, 11),
]
DTYPES = [np.float16, np.float32, np.float64]
ROUNDING = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-12}
WINDOWS = {1: Window.of("test", (9,), 3, 2, 1), 2: Window.of("test", (6, 7), (3, 2), (2, 1), 1)}


def host(*arrays):
    import cupy

    return [cupy.asnumpy(a) for a in arrays]


def device(*arrays):
    import cupy

    return [None if a is None else cupy.asarray(a) for a in arrays]


def last(x):
    """Return x on the device, channels last in memory."""
    import cupy

    there = cupy.asarray(np.ascontiguousarray(np.moveaxis(x, 1, -1)))
    return there.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def numbers(shape, dtype, mean=0.0, seed=0):
    return (mean + np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def coefficients(channels, mean=0.0, seed=1):
    """Return mean, scale, beta, a, b, c, float64 (1, C)."""
    rng = np.random.default_rng(seed)
    normal = mean + 0.1 * rng.standard_normal((1, channels))
    return normal, *(0.1 + rng.standard_normal((5, 1, channels)))


def wide(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def near(found, expected, dtype, scale=1.0):
    assert found.shape == expected.shape
    bound = ROUNDING[dtype] * np.maximum(scale, np.abs(expected))
    np.testing.assert_array_less(np.abs(found.astype(np.float64) - expected), bound)


def away_from_the_edge(y, mean, scale, beta):
    """Move numbers away from where ReLU begins: rounding must not decide what passes."""
    row = (1, -1, *(1,) * (y.ndim - 2))
    mean, scale, beta = (a.reshape(row) for a in (mean, scale, beta))
    edge = np.abs((y.astype(np.float64) - mean) * scale + beta) < 0.05 * np.abs(scale)
    return np.where(edge, y + np.asarray(0.25, y.dtype), y)


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_normalize_act_and_its_sums(cuda, shape, dtype, rectified):
    far = 30.0 if dtype == np.float16 else 1000.0
    normal = coefficients(shape[1], far)[:3]
    y = away_from_the_edge(numbers(shape, dtype, far), *normal)
    grad_z = numbers(shape, dtype, seed=2)
    there, grad_there, known = last(y), last(grad_z), device(*normal)

    z = cuda.normalize_act(there, *known, rectified)
    assert z.dtype == dtype
    near(*host(z), plain.normalize_act(*wide(y), *normal, rectified), dtype, 8)

    sums = host(*cuda.normalize_act_sums(grad_there, there, *known, rectified))
    expected = plain.normalize_act_sums(*wide(grad_z, y), *normal, rectified)
    size = 4 * np.abs(grad_z).sum(dtype=np.float64)
    for a, b in zip(sums, expected, strict=True):
        assert a.dtype == np.float64
        near(a, b, np.float32 if dtype == np.float16 else dtype, size)


def test_what_passed_forward_passes_back(cuda):
    """Numbers at the very edge of ReLU: both ways round alike."""
    y = numbers((4, 12, 9, 9), np.float32, 1000)
    normal = coefficients(12, 1000)[:3]
    normal = normal[0], normal[1], -(y[0, :, 0, 0] - normal[0]) * normal[1]  # v = 0 or nearly
    z = cuda.normalize_act(last(y), *device(*normal), True)
    sums = cuda.normalize_act_sums(last(np.ones_like(y)), last(y), *device(*normal), True)[0]
    np.testing.assert_array_equal(*host(sums), (host(z)[0] > 0).sum(axis=(0, 2, 3))[None])


def test_nan_is_not_hidden_by_relu(cuda):
    y = numbers((2, 3, 4, 4), np.float32)
    y[0, 1, 2, 3] = np.nan
    z = host(cuda.normalize_act(last(y), *device(*coefficients(3)[:3]), True))[0]
    np.testing.assert_array_equal(np.isnan(z), np.isnan(y))


def convolution(rank, groups, dtype):
    """Return x, weight, bias, what remains of a call, and the lengths of y."""
    window = WINDOWS[rank]
    space = {1: (9,), 2: (6, 7)}[rank]
    x = numbers((3, 4, *space), dtype)
    weight = 0.3 * numbers((6, 4 // groups, *window.size), dtype, seed=1)
    out = window.output_size("test", space)
    return x, weight.astype(dtype), numbers(6, dtype, seed=2), window, out


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_moments(cuda, dtype, rank, groups):
    x, weight, _, window, out = convolution(rank, groups, dtype)
    found = cuda.conv_moments(last(x), *device(weight), out, window, groups)
    y, mean, variance = host(*found)
    near(y, plain.conv(*wide(x, weight), None, out, window, groups), dtype, 4)
    expected = plain.moments(*wide(y), False)
    np.testing.assert_allclose(mean, expected[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(variance, expected[1], rtol=1e-6)


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_act(cuda, dtype, biased, normalized, rectified):
    x, weight, bias, window, out = convolution(2, 1, dtype)
    bias = bias if biased else None
    normal = coefficients(6)[:3] if normalized else None
    geometry = rectified, out, window, 1
    expected = plain.conv_act(*wide(x, weight, bias), normal, *geometry)
    there, weight_there, bias_there = last(x), *device(weight, bias)
    known = tuple(device(*normal)) if normalized else None
    options = weight_there, bias_there, known, *geometry
    near(*host(cuda.conv_act(there, *options)), expected, dtype, 8)
    prepared = cuda.prepare_conv_act(there, *options)
    near(*host(prepared(there)), expected, dtype, 8)
    near(
        *host(prepared(last(-x))),
        plain.conv_act(*wide(-x, weight, bias), normal, *geometry),
        dtype,
        8,
    )


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_conv_block_grad(cuda, dtype, rectified, wanted):
    x, weight, _, window, out = convolution(2, 2, dtype)
    shape = (3, 6, *out)
    normal, slopes = (lambda c: (c[:3], c[3:]))(coefficients(6))
    y = away_from_the_edge(numbers(shape, dtype, seed=4), *normal)
    grad_z = numbers(shape, dtype, seed=5)
    before = y.copy()
    options = rectified, window, 2, wanted
    there = last(grad_z), last(y), last(x), *device(weight)
    found = cuda.conv_block_grad(*there, device(*normal), device(*slopes), *options)
    expected = plain.conv_block_grad(*wide(grad_z, y, x, weight), normal, slopes, *options)
    for a, b, is_wanted in zip(found, expected, wanted, strict=True):
        assert (a is not None) == is_wanted
        if is_wanted:
            assert a.dtype == dtype
            near(*host(a), b, dtype, 3 * np.abs(b).max())
    np.testing.assert_array_equal(*host(there[1]), before)


def test_what_the_kernels_do_not_cover(cuda):
    """Mixed types and empty batches are left to the array expressions."""
    y, grad_z = numbers((2, 3, 4), np.float32), numbers((2, 3, 4), np.float64)
    normal = coefficients(3)[:3]
    sums = cuda.normalize_act_sums(*device(grad_z, y), *device(*normal), True)
    expected = plain.normalize_act_sums(grad_z, *wide(y), *normal, True)
    for a, b in zip(host(*sums), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)
    none = device(np.empty((0, 3, 4), np.float32))[0]
    assert cuda.normalize_act(none, *device(*normal), True).shape == none.shape
    assert not any(
        s.any() for s in host(*cuda.normalize_act_sums(none, none, *device(*normal), True))
    )
