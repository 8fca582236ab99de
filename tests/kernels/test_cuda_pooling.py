"""CUDA pooling beside its definition, in any memory; NaN, ties, and many winners at one place."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import ORDERS, close, last, there
from tests.kernels.test_pooling_kernels import results, spans_of

TYPES = (np.float16, np.float32, np.float64)
IMAGES = {1: (11,), 2: (7, 9), 3: (5, 4, 6)}
ROUGH = {"lp_pool": 40, "lp_unpool": 40, "lp_take": 60}  # powers of powers: further roundings


def numbers(shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["sliding", "adaptive"])
@pytest.mark.parametrize("rank", IMAGES)
@pytest.mark.parametrize("channels", [3, 8])
def test_every_kernel_on_what_the_definition_gives(channels, rank, kind, dtype, cuda):
    x = numbers((2, channels, *IMAGES[rank]), dtype)
    spans = spans_of(kind, x.shape[2:])
    steps = Inputs(x, spans)
    for order in ORDERS:
        for name, right, got in steps.each(cuda, order):
            if got.dtype == np.int32:
                np.testing.assert_array_equal(got.get(), right)
            else:
                close(got, right, dtype, ROUGH.get(name.split()[0], 12))


class Inputs:
    """Calls each kernel on the same numbers, in narrow and in wide precision."""

    def __init__(self, x, spans):
        self.x, self.spans = x, spans
        self.y, self.winner = plain.max_pool(x, spans)
        self.norm = (abs(plain.sum_pool(x, spans, 0.25)) + 1).astype(x.dtype)

    def each(self, cuda, order):
        wide = dict(self.calls(plain, self.widened))
        for name, got in self.calls(cuda, order):
            yield name, wide[name], got

    def widened(self, a):
        return a.astype(np.float64) if a.dtype.kind == "f" else a

    def calls(self, k, move):
        x, y, winner, norm = (move(a) for a in (self.x, self.y, self.winner, self.norm))
        spans, shape = self.spans, self.x.shape
        yield "max_pool", k.max_pool(x, spans)[0]
        yield "winner", k.max_pool(x, spans)[1]
        yield "max_unpool", k.max_unpool(norm, winner, shape, spans)
        yield "max_unpool anywhere", k.max_unpool(norm, winner, shape, None)
        yield "take_winners", k.take_winners(x, winner)
        yield "sum_pool", k.sum_pool(x, spans, 0.25)
        yield "sum_unpool", k.sum_unpool(y, shape, spans, 0.25)
        for p in (1, 2, 3.5):
            yield f"lp_pool {p}", k.lp_pool(x, spans, p)
            yield f"lp_unpool {p}", k.lp_unpool(y, x, norm, spans, p - 1, True)
            yield f"lp_take {p}", k.lp_take(x, x, norm, spans, p - 2, False)


@pytest.mark.parametrize("shape", [(0, 4, 7, 9), (2, 0, 7, 9)])
def test_nothing_to_pool(shape, cuda):
    x, spans = numbers(shape), spans_of("sliding", (7, 9))
    for (name, got), (_, right) in zip(
        results(cuda, there(x), spans), results(plain, x, spans), strict=True
    ):
        assert got.shape == right.shape, name


@pytest.mark.parametrize("kind", ["sliding", "adaptive"])
@pytest.mark.parametrize("channels", [1, 4])
def test_the_first_of_equals_wins_and_the_first_nan_over_all(channels, kind, cuda):
    x = np.round(numbers((2, channels, 7, 9)), 0)
    x[0, 0, 3, 3:7], x[1, 0, :, 2] = np.nan, -np.inf
    spans = spans_of(kind, x.shape[2:])
    for got, right in zip(cuda.max_pool(last(x), spans), plain.max_pool(x, spans), strict=True):
        np.testing.assert_array_equal(got.get(), right)


def test_half_precision_is_summed_in_single(cuda):
    ones = np.ones((1, 1, 64, 64), np.float16)  # in float16, 2048 + 1 is 2048
    whole = spans_of("adaptive", (4, 4))[0]._replace(starts=np.array([0]), counts=np.array([64]))
    assert cuda.sum_pool(there(ones), (whole, whole), 1.0).get() == 4096
    every = there(np.zeros(ones.shape, np.int32))
    assert cuda.max_unpool(there(ones), every, (1, 1, 2, 2), None).get()[0, 0, 0, 0] == 4096


def test_norms_of_zeros_infinities_and_nan(cuda):
    x = numbers((1, 3, 7, 9), np.float64)
    x[0, 0], x[0, 1, 2, 2], x[0, 2, 2, 2], x[0, 2, 5] = 0, np.inf, np.nan, 1e-30
    x[0, 1:, :, 4] = 0
    spans = spans_of("sliding", x.shape[2:])
    with np.errstate(invalid="ignore", divide="ignore"):
        rights = list(results(plain, x, spans))
    for (name, got), (_, right) in zip(results(cuda, there(x), spans), rights, strict=True):
        np.testing.assert_allclose(got.get(), right, rtol=1e-11, atol=1e-11, err_msg=name)


def test_whole_numbers_are_pooled_by_the_definition(cuda):
    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 7, 9))
    spans = spans_of("sliding", x.shape[2:])
    y, winner = plain.max_pool(x, spans)
    for got, right in zip(cuda.max_pool(there(x), spans), (y, winner), strict=True):
        np.testing.assert_array_equal(got.get(), right)
    got = cuda.max_unpool(there(y), there(winner), x.shape, spans)
    np.testing.assert_array_equal(got.get(), plain.max_unpool(y, winner, x.shape, spans))
