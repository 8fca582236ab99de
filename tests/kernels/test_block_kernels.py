"""Sums, extremes and softmax: along any axes, in any order of memory, beside NumPy in float64."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module")
def cpu() -> ModuleType:
    return importlib.import_module("minicnn.kernels.cpu")


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return importlib.import_module("minicnn.kernels.plain")


def laid_out(rng, shape, order, step, dtype):
    """Return random numbers, some equal, whose axes lie in a given order, perhaps with gaps."""
    lengths = [shape[a] for a in order]
    lengths[-1] *= abs(step)
    memory = np.round(rng.standard_normal(lengths), 1).astype(dtype)[..., ::step]
    return memory.transpose(np.argsort(order))


LENGTHS = st.sampled_from([1, 2, 3, 7, 16, 43, 70, 130])


@st.composite
def arrays(draw):
    rank = draw(st.integers(1, 4))
    shape = [draw(LENGTHS if rank < 3 else st.sampled_from([1, 2, 5, 17])) for _ in range(rank)]
    order = draw(st.permutations(range(rank)))
    step = draw(st.sampled_from([1, 1, 2, -1]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = laid_out(rng, shape, order, step, draw(st.sampled_from([np.float32, np.float64])))
    axes = tuple(sorted(draw(st.sets(st.integers(0, rank - 1), min_size=1))))
    return x, axes, rng


def tolerance(x, of=1e-7):
    return {"rtol": 0, "atol": of * 40 if x.dtype == np.float32 else 1e-13 * 40}


@given(case=arrays())
@settings(max_examples=150)
def test_sums(case, cpu):
    x, axes, _ = case
    y = cpu.sum_over(x, axes)
    assert y.dtype == x.dtype
    expected = x.astype(np.float64).sum(axis=axes, keepdims=True)
    scale = max(1.0, np.abs(x).sum(axis=axes).max())
    np.testing.assert_allclose(y / scale, expected / scale, **tolerance(x))


@given(case=arrays(), nans=st.integers(0, 2), largest=st.booleans())
@settings(max_examples=150)
def test_extremes_and_how_they_share(case, nans, largest, cpu, plain):
    x, axes, rng = case
    for _ in range(nans):
        x[tuple(rng.integers(0, n) for n in x.shape)] = np.nan
    before = x.copy()
    y = cpu.extreme_over(x, axes, largest)
    np.testing.assert_array_equal(y, plain.extreme_over(x, axes, largest))
    g = rng.standard_normal(y.shape).astype(x.dtype)
    found, expected = cpu.extreme_over_grad(g, x, y), plain.extreme_over_grad(g, x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-6 if x.dtype == np.float32 else 1e-14)
    np.testing.assert_array_equal(x, before)


@given(case=arrays(), far=st.sampled_from([1.0, 30.0, 1000.0]))
@settings(max_examples=150)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name, case, far, cpu, plain):
    x, axes, rng = case
    x, axis = x * x.dtype.type(far), axes[0]
    wide = x.astype(np.float64)
    y, expected = getattr(cpu, name)(x, axis), getattr(plain, name)(wide, axis)
    assert y.dtype == x.dtype
    close = {"rtol": 1e-6, "atol": 1e-6 * (far if name == "log_softmax" else 1.0)}
    np.testing.assert_allclose(y, expected, **close)
    g = rng.standard_normal(x.shape).astype(x.dtype)
    found = getattr(cpu, f"{name}_grad")(g, y, axis)
    wide_grad = getattr(plain, f"{name}_grad")(g.astype(np.float64), y.astype(np.float64), axis)
    np.testing.assert_allclose(found, wide_grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_infinities_and_nan(axis, cpu):
    x = np.zeros((70, 70), np.float32)
    x[3, 5], x[9, 9] = -np.inf, np.nan
    y = cpu.softmax(x, axis)
    lines = y if axis else y.T
    assert y[3, 5] == 0
    assert np.isnan(lines[9]).all()
    assert np.isfinite(np.delete(lines, 9, axis=0)).all()
    logarithms = cpu.log_softmax(x, axis)
    assert logarithms[3, 5] == -np.inf
    assert np.isnan((logarithms if axis else logarithms.T)[9]).all()


def test_the_sum_of_many_equal_numbers_is_right(cpu):
    """One sum in float32 stops growing at 2**24."""
    x = np.ones((1 << 25,), np.float32)
    assert cpu.sum_over(x, (0,)).item() == 1 << 25


def test_a_mean_far_from_zero(cpu):
    x = (1000 + np.random.default_rng(0).standard_normal((512, 8, 16, 16))).astype(np.float32)
    mean = cpu.sum_over(x, (0, 2, 3)) / (x.size / 8)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean((0, 2, 3), keepdims=True), rtol=1e-7)


@given(case=arrays(), single=st.booleans())
@settings(max_examples=80)
def test_prelu(case, single, cpu, plain):
    x, _, rng = case
    x = x if x.ndim > 1 else x[:, None]
    slope = rng.standard_normal(1 if single else x.shape[1]).astype(x.dtype)
    g = rng.standard_normal(x.shape).astype(x.dtype)
    wide = [a.astype(np.float64) for a in (g, x, slope)]
    np.testing.assert_allclose(cpu.prelu(x, slope), plain.prelu(*wide[1:]), rtol=1e-6)
    grad_x, grad_slope = cpu.prelu_grad(g, x, slope)
    expected_x, expected_slope = plain.prelu_grad(*wide)
    np.testing.assert_allclose(grad_x, expected_x, rtol=1e-6)
    scale = max(1.0, np.abs(g * x).sum())
    np.testing.assert_allclose(grad_slope / scale, expected_slope / scale, **tolerance(x))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_the_number_of_threads_changes_no_bit(order, cpu, monkeypatch):
    rng = np.random.default_rng(0)
    x = laid_out(rng, (33, 12, 30, 31), order, 1, np.float32)
    g = laid_out(rng, x.shape, (0, 2, 3, 1), 1, np.float32)
    slope = rng.standard_normal(12).astype(np.float32)
    found = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        results = [cpu.sum_over(x, axes) for axes in ((0, 2, 3), (1,), (2, 3), (0,), (0, 1, 2, 3))]
        results += [cpu.extreme_over(x, axes, True) for axes in ((1,), (2, 3), (0,))]
        results += [cpu.softmax(x, 1), cpu.log_softmax_grad(g, x, 1), *cpu.prelu_grad(g, x, slope)]
        found.append([np.asarray(a, order="C").tobytes() for a in results])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("shape", [(), (0, 3), (7,), (3, 5), (2, 3, 40, 50), (2, 3, 4, 30, 40)])
def test_a_copy_has_the_same_numbers_in_the_same_order_of_memory(
    monkeypatch, cpu, plain, shape, threads
):
    monkeypatch.setenv("MINICNN_THREADS", threads)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if x.ndim > 2 else x
    for a in (x, last, x.T, x[..., ::2] if x.ndim else x):
        for kind in (cpu, plain):
            y = kind.copied(a)
            np.testing.assert_array_equal(y, a)
            assert not np.shares_memory(y, a)
            assert y.dtype == a.dtype
        assert cpu.copied(a).strides == a.copy(order="K").strides
