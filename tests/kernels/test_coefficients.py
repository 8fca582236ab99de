"""The coefficients of batch normalisation: the definition, and the same bits on every device."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest

from minicnn.kernels import cpu, plain

CHANNELS = [1, 8, 31, 257, 512]  # more than a block of threads, and less than a warp
DTYPES = [np.float16, np.float32, np.float64]
NAMES = ["normalize_coefficients", "normalize_slopes", "move_averages"]


def call(kernels: ModuleType, name: str, *args: object) -> list[np.ndarray]:
    """Call a kernel with its arrays where it wants them, and fetch what it returns."""
    if not kernels.__name__.endswith("cuda"):
        return [np.asarray(a) for a in getattr(kernels, name)(*args)]
    cupy = importlib.import_module("cupy")
    there = (cupy.asarray(a) if isinstance(a, np.ndarray) else a for a in args)
    return [a.get() for a in getattr(kernels, name)(*there)]


def same(found, right):
    assert len(found) == len(right)
    for f, r in zip(found, right, strict=True):
        assert (f.shape, f.dtype) == (r.shape, r.dtype)
        np.testing.assert_array_equal(f, r)


def statistics(images, channels, seed=0):
    rng = np.random.default_rng(seed)
    return 3 * rng.standard_normal((images, channels)), rng.gamma(1.0, 2.0, (images, channels))


def parameters(channels, dtype, seed=1):
    gamma, beta = np.random.default_rng(seed).standard_normal((2, channels))
    return gamma.astype(dtype), beta.astype(dtype)


class Checks:
    """What holds on every device."""

    @pytest.mark.parametrize("kind", [np.float64, np.float32])  # of a batch, and moving averages
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("channels", CHANNELS)
    @pytest.mark.parametrize("images", [1, 3])
    def test_coefficients(self, kernels, images, channels, dtype, kind):
        given = (
            *(a.astype(kind) for a in statistics(images, channels)),
            *parameters(channels, dtype),
            1e-3,
        )
        mean, var, gamma, beta, epsilon = given
        found = call(kernels, "normalize_coefficients", *given)
        same(found, plain.normalize_coefficients(*given))
        deviation = np.sqrt(var.astype(np.float64) + epsilon)
        right = mean, 1 / deviation, gamma / deviation, np.tile(beta, (images, 1))
        for f, r in zip(found, right, strict=True):
            assert f.dtype == np.float64
            np.testing.assert_allclose(f, r, rtol=1e-15)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_without_scale_or_shift(self, kernels, dtype):
        mean, var = statistics(2, 5)
        gamma, beta = parameters(5, dtype)
        for known in ((None, None), (gamma, None), (None, beta)):
            found = call(kernels, "normalize_coefficients", mean, var, *known, 0.0)
            same(found, plain.normalize_coefficients(mean, var, *known, 0.0))

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("channels", CHANNELS)
    def test_slopes(self, kernels, channels, dtype):
        total, product = statistics(1, channels)
        scale, rstd = statistics(1, channels, seed=2)
        given = total, product, scale, rstd, 77, np.dtype(dtype)
        found = call(kernels, "normalize_slopes", *given)
        right = plain.normalize_slopes(*given)
        if dtype == np.float16:  # a GPU rounds to float32 on the way
            for f, r in zip(found[2:], right[2:], strict=True):
                assert f.dtype == dtype
                np.testing.assert_allclose(f, r, rtol=2e-3)
            found, right = found[:2], right[:2]
        same(found, right)

    def test_slopes_are_those_of_the_normalised_batch(self, kernels):
        """By differences: dL/dx of y = gamma * (x - mean) / sqrt(var + epsilon) + beta."""
        rng = np.random.default_rng(3)
        x, u = rng.standard_normal((2, 9, 4))
        gamma, beta = parameters(4, np.float64)

        def loss(x):
            mean, var = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
            _, _, scale, shift = call(
                kernels, "normalize_coefficients", mean, var, gamma, beta, 1e-2
            )
            return float((u * ((x - mean) * scale + shift)).sum())

        mean, var = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
        _, rstd, scale, _ = call(kernels, "normalize_coefficients", mean, var, gamma, beta, 1e-2)
        total, product = (a.sum(axis=0, keepdims=True) for a in (u, u * (x - mean)))
        given = total, product, scale, rstd, len(x), np.dtype(np.float64)
        b, c, grad_gamma, grad_beta = call(kernels, "normalize_slopes", *given)
        grad_x = scale * u + b * (x - mean) + c
        step = 1e-6
        for i in np.ndindex(3, 4):
            moved = np.zeros_like(x)
            moved[i] = step
            slope = (loss(x + moved) - loss(x - moved)) / (2 * step)
            np.testing.assert_allclose(grad_x[i], slope, rtol=0, atol=1e-8)
        np.testing.assert_allclose(grad_gamma, (u * (x - mean) * rstd).sum(axis=0), rtol=1e-12)
        np.testing.assert_array_equal(grad_beta, total[0])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
    @pytest.mark.parametrize("channels", CHANNELS)
    def test_averages(self, kernels, channels, decay, dtype):
        mean, var = (a[0].astype(dtype) for a in statistics(1, channels))
        batch = tuple(a[0] for a in statistics(1, channels, seed=4))
        given = mean, var, np.asarray(41), *batch, decay, 6
        before = [a.copy() for a in given[:5]]
        found = call(kernels, "move_averages", *given)
        same(found, plain.move_averages(*given))
        unbiased = batch[1] * 6 / 5
        for f, old, new in zip(found, (mean, var), (batch[0], unbiased), strict=False):
            np.testing.assert_allclose(f, decay * old + (1 - decay) * new, rtol=1e-5, atol=1e-6)
        assert found[2] == 42
        for a, b in zip(given, before, strict=False):
            np.testing.assert_array_equal(a, b)

    def test_averages_of_other_types(self, kernels):
        """A half-precision module, or a state from elsewhere."""
        mean, var = (a[0].astype(np.float16) for a in statistics(1, 5))
        batch = tuple(a[0] for a in statistics(1, 5, seed=4))
        for count, old in ((np.asarray(3, np.int32), (mean, var)), (np.asarray(3), (mean, mean))):
            given = *old, count, *batch, 0.9, 6
            for f, r in zip(
                call(kernels, "move_averages", *given), plain.move_averages(*given), strict=True
            ):
                assert f.dtype == r.dtype
                np.testing.assert_allclose(f, r, rtol=2e-3)

    @pytest.mark.parametrize("name", NAMES)
    def test_strange_numbers_stay_what_they_are(self, kernels, name):
        bad = np.array([[np.nan, np.inf, -np.inf, 0.0, 1e300]])
        good, gamma = np.ones((1, 5)), np.ones(5, np.float32)
        given = {
            "normalize_coefficients": (bad, bad, gamma, gamma, 0.0),
            "normalize_slopes": (bad, bad, good, bad, 7, np.dtype(np.float32)),
            "move_averages": (gamma, gamma, np.asarray(0), bad[0], bad[0], 0.9, 7),
        }[name]
        with np.errstate(all="ignore"):
            same(call(kernels, name, *given), plain.__dict__[name](*given))

    def test_no_channels(self, kernels):
        empty, none = np.empty((1, 0)), np.empty(0, np.float32)
        same(
            call(kernels, "normalize_coefficients", empty, empty, none, none, 1e-3),
            [empty, empty, empty, empty],
        )
        given = empty, empty, empty, empty, 7, np.dtype(np.float32)
        same(call(kernels, "normalize_slopes", *given), [empty, empty, none, none])

    def test_memory_with_gaps(self, kernels):
        """Coefficients may be slices of something else."""
        wide = np.random.default_rng(5).uniform(0.5, 2, (1, 24))
        narrow = np.random.default_rng(6).standard_normal(24).astype(np.float32)
        known = wide[:, ::2], wide[:, 1::2], narrow[::2], narrow[1::2]
        same(
            call(kernels, "normalize_coefficients", *known, 1e-3),
            plain.normalize_coefficients(*known, 1e-3),
        )


class TestCPU(Checks):
    @pytest.fixture
    def kernels(self):
        return cpu


class TestCUDA(Checks):
    @pytest.fixture
    def kernels(self, cuda):
        return cuda
