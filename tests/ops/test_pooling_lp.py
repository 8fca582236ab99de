"""Lp pooling, of windows and of whole images, against loops over each window."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn import ops
from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError
from tests.ops.driver import proof_of
from tests.ops.pooling_loops import (
    INF,
    NAN,
    across,
    axes_of,
    edges,
    float_error,
    image_errors,
    ones,
    pooled,
    row,
    sliding,
    window_errors,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import away_from_zero, seeds

RANKS = (1, 2, 3)
LP = {1: ops.lp_pool1d, 2: ops.lp_pool2d, 3: ops.lp_pool3d}
GLOBAL = {1: ops.global_lp_pool1d, 2: ops.global_lp_pool2d, 3: ops.global_lp_pool3d}
EXPONENTS = st.sampled_from([1, 1.5, 2, 2.0, 3, 4.5])


def norm(values, p):
    return math.fsum(abs(v) ** p for v in values) ** (1 / p)


def lp_definition(x, p=2.0, **window):
    return pooled(x, axes_of(x.shape[2:], **window), lambda values, _: norm(values, p))


def global_definition(x, p=2.0):
    y = np.empty(x.shape[:2])
    for at in np.ndindex(*y.shape):
        y[at] = norm([float(v) for v in x[at].reshape(-1)], p)
    return y


def _wrong_slopes():
    return {
        "sign lost": lambda pull, g, x, **o: [d * np.sign(x) for d in pull(g, x, **o)],
        "of the next p": lambda pull, g, x, p=2.0, **o: pull(g, x, p=p + 1, **o),
        "power p, not p - 1": lambda pull, g, x, **o: [d * abs(x) for d in pull(g, x, **o)],
        "one pixel to the right": lambda pull, g, x, **o: [np.roll(pull(g, x, **o)[0], 1, -1)],
    }


def _exponent_errors(op, name, rank, **options):
    def call(p):
        return lambda: op(ones(1, 1, *(4,) * rank), p=p, **options)

    return tuple(
        ErrorCase(
            call(p), ConfigError, rf"{name}: p must be a number >= 1, got {p!r}; for infinity take"
        )
        for p in (0.5, INF, NAN, "2", True)
    )


def _spec(rank: int) -> OpSpec:
    name, op = f"lp_pool{rank}d", LP[rank]
    pair = {"size": across(2, rank)}
    cubes = {f"{n}, p = 3": c for n, c in edges(rank, away_from_zero, p=3).items()}
    return OpSpec(
        name=name,
        op=op,
        cases=sliding(rank, away_from_zero, p=EXPONENTS),
        oracle=lp_definition,
        integers=f"{name}: needs floats, got int64",
        edges={**edges(rank, away_from_zero), **cubes},
        special={
            "NaN stays in its window": Special(
                Case((row([NAN, 1, 3, 4, INF, NAN], rank),), pair), row([NAN, 5, NAN], rank)
            ),
            "infinities": Special(
                Case((row([INF, 1e30, -INF, INF, 0, -INF], rank),), pair), row([INF] * 3, rank)
            ),
            "zeros": Special(Case((row([0, 0, 0, -2], rank),), pair), row([0, 2], rank)),
            "neither overflows nor vanishes": Special(
                Case((row([3e30, 4e30, 3e-30, 4e-30], rank),), pair), row([5e30, 5e-30], rank)
            ),
            "large p": Special(
                Case((row([-10, 1, 0.1, 0.05], rank),), {**pair, "p": 90}), row([10, 0.1], rank)
            ),
        },
        errors=(
            *window_errors(op, name, rank),
            *_exponent_errors(op, name, rank, size=2),
            float_error(op, name, rank, size=2),
        ),
        forward_mutants={
            "no root": lambda y, x, p=2.0, **o: y**p,
            "mean": lambda y, x, p=2.0, **o: pooled(
                x,
                axes_of(x.shape[2:], **o),
                lambda v, _: (sum(abs(a) ** p for a in v) / len(v)) ** (1 / p),
            ),
            "sign kept": lambda y, x, p=2.0, **o: pooled(
                x,
                axes_of(x.shape[2:], **o),
                lambda v, _: abs(sum(math.copysign(abs(a) ** p, a) for a in v)) ** (1 / p),
            ),
            "p + 1": lambda y, x, p=2.0, **o: lp_definition(x, p + 1, **o),
            "padded with 1": lambda y, x, p=2.0, **o: pooled(
                x,
                axes_of(x.shape[2:], **o),
                lambda v, count: norm([*v, *[1.0] * (count - len(v))], p),
            ),
        },
        backward_mutants=_wrong_slopes(),
        summands=lambda case: 27 * 9,  # a power multiplies the roundings
    )


@st.composite
def whole_images(draw: st.DrawFn, rank: int) -> Case:
    shape = draw(st.tuples(*[st.integers(1, (8, 4, 3)[rank - 1])] * rank))
    batch = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return Case((away_from_zero(draw(seeds), *batch, *shape),), {"p": draw(EXPONENTS)})


def _global_spec(rank: int) -> OpSpec:
    name, op = f"global_lp_pool{rank}d", GLOBAL[rank]
    return OpSpec(
        name=name,
        op=op,
        cases=whole_images(rank),
        oracle=global_definition,
        integers=f"{name}: needs floats, got int64",
        edges={
            "empty": Case((np.zeros((0, 2, *(3,) * rank)),)),
            "one pixel": Case((away_from_zero(0, 2, 3, *(1,) * rank),)),
            "more images than pieces of work": Case((away_from_zero(0, 19, 2, *(2,) * rank),)),
        },
        special={
            "NaN shows": Special(Case((row([NAN, 1], rank),)), [[NAN]]),
            "zeros": Special(Case((row([0, 0], rank),), {"p": 3}), [[0]]),
            "infinity": Special(Case((row([1, -INF], rank),), {"p": 1}), [[INF]]),
        },
        errors=(
            *image_errors(op, name, rank),
            *_exponent_errors(op, name, rank),
            float_error(op, name, rank),
        ),
        forward_mutants={
            "no root": lambda y, x, p=2.0: y**p,
            "mean": lambda y, x, p=2.0: y / x[0, 0].size ** (1 / p) if len(x) else y,
            "p + 1": lambda y, x, p=2.0: global_definition(x, p + 1),
        },
        backward_mutants=_wrong_slopes(),
        summands=lambda case: 64 * 9,
    )


SPECS = (*map(_spec, RANKS), *map(_global_spec, RANKS))
TestLpPooling = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_a_window_of_zeros_has_no_gradient(p, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.array([[[0.0, 0.0, 0.0, 4.0]]]), requires_grad=True)
    first = grad(ops.lp_pool1d(x, 2, p).sum(), x, create_graph=True)
    assert first.data.tolist() == [[[0, 0, 0, 1]]]
    second = grad((first + 0.0 * x).sum(), x)  # for p = 1 the slopes are constant
    assert np.isfinite(second.data).all()


@pytest.mark.parametrize("jit", ["1", "0"])
def test_second_derivatives_at_a_zero_among_others(jit, monkeypatch):
    """For p = 2 they exist: d2y/dx2 = 1 / y where x is 0."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = np.array([[[0.0, 2.0, -1.0, 0.0, 3.0, 0.5]]])
    check_gradients(lambda t: ops.lp_pool1d(t, 3), x, order=2)
    check_gradients(lambda t: ops.lp_pool1d(t, 3, 4, stride=1), x, order=3)
    t = Tensor(np.array([[[0.0, 2.0]]]), requires_grad=True)
    first = grad(ops.lp_pool1d(t, 2).sum(), t, create_graph=True)
    assert grad(first[0, 0, 0], t).data.tolist() == [[[0.5, 0]]]


@pytest.mark.parametrize("jit", ["1", "0"])
def test_nan_reaches_the_gradient(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    for p in (1, 2, 3):
        x = Tensor(np.array([[[1.0, NAN, 3.0, 4.0]]]), requires_grad=True)
        ops.lp_pool1d(x, 2, p).sum().backward()
        assert np.isnan(x.grad.data[0, 0]).tolist() == [True, True, False, False]


@pytest.mark.parametrize("rank", RANKS)
def test_halves_are_added_up_in_single_precision(rank):
    """Their squares overflow from 256 on."""
    x = Tensor(np.full((1, 1, *(2,) * rank), 3000, np.float16), requires_grad=True)
    for y in (LP[rank](x, 2), GLOBAL[rank](x)):
        assert y.dtype == np.float16
        expected = np.float16(3000 * 2 ** (rank / 2))
        np.testing.assert_allclose(y.data.reshape(-1), expected, rtol=1e-3)
    LP[rank](x, 2).sum().backward()
    np.testing.assert_allclose(x.grad.data.astype(np.float64), 2 ** (-rank / 2), rtol=1e-3)
