"""Batch normalisation against its formula, channel by channel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import batch_norm, batch_norm_inference
from tests.ops.driver import for_all, proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal, positive, seeds

NAN = math.nan


def channel(x, c):
    """The numbers of a channel, over every axis but the channels'."""
    return [x[at] for at in np.ndindex(x.shape) if at[1] == c]


def statistics(x):
    """Mean and biased variance of each channel."""
    means = [math.fsum(channel(x, c)) / len(channel(x, c)) for c in range(x.shape[1])]
    variances = [
        math.fsum((v - m) ** 2 for v in channel(x, c)) / len(channel(x, c))
        for c, m in enumerate(means)
    ]
    return np.array(means), np.array(variances)


def inference_definition(x, gamma, beta, mean, var, epsilon=1e-5):
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        c = at[1]
        y[at] = gamma[c] * (x[at] - mean[c]) / math.sqrt(var[c] + epsilon) + beta[c]
    return y


def training_definition(x, gamma, beta, epsilon=1e-5):
    return inference_definition(x, gamma, beta, *statistics(x), epsilon)


def batch_norm_value(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float = 1e-5) -> Tensor:
    return batch_norm(x, gamma, beta, epsilon)[0]


@st.composite
def batches(draw: st.DrawFn) -> Case:
    n, c = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    axes = draw(st.integers(0, 3))
    space = draw(st.tuples(*[st.integers(1, 4 if axes < 3 else 2)] * axes))
    if not space:
        n += 2  # two values would be 1 and -1 whatever they are: no gradient to speak of
    return _batch((n, c, *space), draw(seeds), epsilon=draw(st.sampled_from([1e-5, 1e-3, 0.1])))


def _batch(shape: tuple[int, ...], seed: int = 0, **options: Any) -> Case:
    channels = shape[1]
    x = normal(seed, *shape) * positive(seed, channels, *(1,) * (len(shape) - 2)) + seed % 3
    return Case((x, normal(seed + 1, channels) + 2, normal(seed + 2, channels)), options)


def _with_statistics(case: Case) -> Case:
    channels = case.arrays[0].shape[1]
    given = {"mean": normal(7, channels), "var": positive(8, channels)}
    return Case(case.arrays, {**case.options, **given})


def _mean_not_differentiated(pull, g, x, gamma, beta, epsilon):
    _, var = statistics(x)
    scale = gamma / np.sqrt(var + epsilon)
    direct = g * scale.reshape(-1, *(1,) * (x.ndim - 2))
    return [direct, *pull(g, x, gamma, beta, epsilon=epsilon)[1:]]


def _variance_not_differentiated(pull, g, x, gamma, beta, epsilon):
    (direct, *rest) = _mean_not_differentiated(pull, g, x, gamma, beta, epsilon)
    axes = (0, *range(2, x.ndim))
    return [direct - direct.mean(axis=axes, keepdims=True), *rest]


def _last_example(pull, g, x, gamma, beta, epsilon):
    """`=` for `+=` over the batch, in the sums for gamma and beta."""
    only = np.zeros_like(g)
    only[-1] = g[-1]
    right, wrong = (pull(v, x, gamma, beta, epsilon=epsilon) for v in (g, only))
    return [right[0], *wrong[1:]]


def _unbiased(y, x, gamma, beta, epsilon):
    mean, var = statistics(x)
    count = x.size // x.shape[1]
    return inference_definition(x, gamma, beta, mean, var * count / (count - 1), epsilon)


def _one_mean_for_all(y, x, gamma, beta, epsilon):
    mean, var = statistics(x)
    return inference_definition(x, gamma, beta, mean * 0 + x.mean(), var, epsilon)


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


def _errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(t(4, 3), t(2), t(3)),
            ShapeError,
            rf"{name}: x \(4, 3\) needs axes \(N, C, ...\), gamma \(2,\) and beta \(3,\) one value",
        ),
        ErrorCase(lambda: op(t(3), t(3), t(3)), ShapeError, rf"{name}: x \(3,\) needs axes"),
        ErrorCase(
            lambda: op(t(4, 3, dtype=np.float32), t(3), t(3)),
            DTypeError,
            rf"{name}: x is float32, gamma float64, beta float64; they must be one float type",
        ),
        ErrorCase(
            lambda: op(t(4, 3), on_gpu(3), t(3)),
            DeviceError,
            rf"{name}: x on cpu, gamma on cuda:0, beta on cpu; move them to one device with .to",
        ),
    )


def _inference(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return batch_norm_inference(x, gamma, beta, np.zeros(3), np.ones(3))


SHAPES = {
    "images": (3, 2, 3, 4),
    "1x1 maps": (4, 3, 1, 1),
    "vectors": (5, 3),
    "signals": (3, 2, 4),
    "volumes": (2, 2, 2, 3, 2),
    "one image": (1, 2, 3, 3),
    "more channels than a long row": (3, 300),
    "more than one piece of work": (2, 3, 128, 130),
}

BATCH_NORM = OpSpec(
    name="batch_norm",
    op=batch_norm_value,
    cases=batches(),
    oracle=training_definition,
    integers="batch_norm: x is int64, gamma int64, beta int64; they must be one float type",
    edges={
        name: _batch(shape, epsilon=1e-5) for name, shape in SHAPES.items() if name[:4] != "more"
    },
    special={
        "a constant channel becomes beta": Special(
            Case((np.full((3, 1), 7.0), np.array([5.0]), np.array([2.0]))), np.full((3, 1), 2.0)
        ),
        "NaN shows in its channel only": Special(
            Case((np.array([[NAN, 1.0], [0.0, 3.0]]), np.ones(2), np.zeros(2)), {"epsilon": 0.0}),
            [[NAN, -1], [NAN, 1]],
        ),
    },
    errors=(
        *_errors(batch_norm, "batch_norm"),
        ErrorCase(
            lambda: batch_norm(t(1, 3), t(3), t(3)),
            ShapeError,
            r"batch_norm: x \(1, 3\) has 1 value\(s\) a channel; training needs at least 2: use a "
            "larger batch",
        ),
        ErrorCase(
            lambda: batch_norm(t(0, 3, 2, 2), t(3), t(3)), ShapeError, r"has 0 value\(s\) a channel"
        ),
        ErrorCase(
            lambda: batch_norm(t(4, 3), t(3), t(3), -1.0),
            ConfigError,
            "batch_norm: epsilon must be a number >= 0, got -1.0",
        ),
    ),
    forward_mutants={
        "unbiased variance": _unbiased,
        "epsilon ignored": lambda y, x, gamma, beta, epsilon: training_definition(
            x, gamma, beta, 0
        ),
        "one mean for all channels": _one_mean_for_all,
        "gamma ignored": lambda y, x, gamma, beta, epsilon: training_definition(
            x, gamma * 0 + 1, beta, epsilon
        ),
    },
    backward_mutants={
        "mean and variance taken for constants": _mean_not_differentiated,
        "variance taken for a constant": _variance_not_differentiated,
        "= for += over the batch": _last_example,
        "gamma's gradient of x, not of z": lambda pull, g, x, gamma, beta, epsilon: [
            pull(g, x, gamma, beta, epsilon=epsilon)[0],
            (g * x).sum((0, *range(2, x.ndim))),
            pull(g, x, gamma, beta, epsilon=epsilon)[2],
        ],
        "gamma missing in x's gradient": lambda pull, g, x, gamma, beta, epsilon: [
            pull(g, x, gamma * 0 + 1, beta, epsilon=epsilon)[0],
            *pull(g, x, gamma, beta, epsilon=epsilon)[1:],
        ],
        "epsilon missing": lambda pull, g, x, gamma, beta, epsilon: pull(
            g, x, gamma, beta, epsilon=epsilon / 10
        ),
    },
    summands=lambda case: 10 * case.arrays[0].size,
)

BATCH_NORM_INFERENCE = OpSpec(
    name="batch_norm_inference",
    op=batch_norm_inference,
    cases=batches().map(_with_statistics),
    oracle=inference_definition,
    integers="batch_norm_inference: x is int64, gamma int64, beta int64; they must be one float",
    edges={
        "empty": _with_statistics(_batch((0, 3, 2, 2))),
        **{
            name: _with_statistics(_batch(shape))
            for name, shape in SHAPES.items()
            if name[:4] != "more"
        },
        "one vector": _with_statistics(_batch((1, 3))),
    },
    special={
        "NaN stays": Special(
            Case(
                (np.array([[NAN, 3.0]]), np.ones(2), np.zeros(2)),
                {"mean": np.zeros(2), "var": np.ones(2), "epsilon": 0.0},
            ),
            [[NAN, 3]],
        )
    },
    errors=(
        *_errors(_inference, "batch_norm_inference"),
        ErrorCase(
            lambda: batch_norm_inference(t(2, 3), t(3), t(3), np.zeros(2), np.ones(3)),
            ShapeError,
            r"batch_norm_inference: mean has shape \(2,\), x \(2, 3\) needs \(3,\)",
        ),
        ErrorCase(
            lambda: batch_norm_inference(t(2, 3), t(3), t(3), np.zeros(3), np.ones((3, 1))),
            ShapeError,
            r"var has shape \(3, 1\)",
        ),
        ErrorCase(
            lambda: batch_norm_inference(t(2, 3), t(3), t(3), on_gpu(3).data, np.ones(3)),
            DeviceError,
            "batch_norm_inference: x on cpu, mean on cuda:0, var on cpu; move them to one device",
        ),
        ErrorCase(
            lambda: batch_norm_inference(t(2, 3), t(3), t(3), np.ones(3), np.ones(3), np.nan),
            ConfigError,
            "batch_norm_inference: epsilon must be a number >= 0, got nan",
        ),
    ),
    forward_mutants={
        "the batch's own statistics": lambda y, x, gamma, beta, mean, var, epsilon=1e-5: (
            training_definition(x, gamma, beta, epsilon)
        ),
        "standard deviation for variance": lambda y, x, gamma, beta, mean, var, epsilon=1e-5: (
            inference_definition(x, gamma, beta, mean, np.sqrt(var), epsilon)
        ),
        "epsilon ignored": lambda y, x, gamma, beta, mean, var, epsilon=1e-5: inference_definition(
            x, gamma, beta, mean, var, 0
        ),
    },
    backward_mutants={
        "gamma's gradient without the mean": lambda pull, g, x, gamma, beta, mean, var, **o: pull(
            g, x, gamma, beta, mean=0 * mean, var=var, **o
        ),
        "divided by the variance": lambda pull, g, x, gamma, beta, mean, var, **o: pull(
            g, x, gamma, beta, mean=mean, var=var**2, **o
        ),
        "= for += over the batch": lambda pull, g, x, gamma, beta, **o: [
            pull(g, x, gamma, beta, **o)[0],
            *pull(g[-1:], x[-1:], gamma, beta, **o)[1:],
        ],
    },
    summands=lambda case: 10 * max(case.arrays[0].size, 1),
)

SPECS = (BATCH_NORM, BATCH_NORM_INFERENCE)
TestNormalization = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
def test_returns_the_batch_statistics(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)

    def check(case: Case) -> None:
        _, mean, var = batch_norm(*map(Tensor, case.arrays))
        assert mean.dtype == var.dtype == np.float64
        np.testing.assert_allclose([mean, var], statistics(case.arrays[0]), rtol=1e-12, atol=1e-14)

    for_all(batches(), check, 30)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("shape", [SHAPES[n] for n in SHAPES if n[:4] == "more"])
def test_large_batches(shape, jit, monkeypatch):
    """Sums that are taken in several pieces, rows longer than the kernels' long row."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x, gamma, beta = _batch(shape).arrays
    y, mean, var = batch_norm(*map(Tensor, (x, gamma, beta)))
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(mean, x.mean(axes), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(var, x.var(axes), rtol=1e-12)
    row = (-1, *(1,) * (x.ndim - 2))
    z = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y.data, z * gamma.reshape(row) + beta.reshape(row), atol=1e-12)
    check_gradients(lambda a, b, c: batch_norm(a, b, c)[0], x, gamma, beta, atol=1e-5)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize(
    ("dtype", "centre", "tolerance"),
    [(np.float32, 1e3, 3e-6), (np.float32, 1e5, 3e-6), (np.float64, 1e6, 1e-9)],
)
def test_a_mean_that_is_large_beside_the_spread(dtype, centre, tolerance, jit, monkeypatch):
    """Where a one-pass variance in float32 loses every digit, and the gradient with it."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = (normal(0, 64, 3, 8, 8) + centre).astype(dtype)
    wide = x.astype(np.float64)
    right_mean, right_var = wide.mean((0, 2, 3), keepdims=True), wide.var((0, 2, 3), keepdims=True)
    z = (wide - right_mean) / np.sqrt(right_var + 1e-5)
    g = (normal(1, *x.shape) + z).astype(dtype)  # so that the variance matters
    direct = g - g.mean((0, 2, 3), keepdims=True, dtype=float)
    product = (g * z).mean((0, 2, 3), keepdims=True)

    leaf = Tensor(x, requires_grad=True)
    y, mean, var = batch_norm(leaf, Tensor(np.ones(3, dtype)), Tensor(np.zeros(3, dtype)))
    np.testing.assert_allclose(mean, right_mean.ravel(), rtol=1e-12)
    np.testing.assert_allclose(var, right_var.ravel(), rtol=1e-9)
    np.testing.assert_allclose(y.data, z, rtol=0, atol=tolerance)
    right = (direct - z * product) / np.sqrt(right_var + 1e-5)
    np.testing.assert_allclose(grad(y, leaf, g).data, right, rtol=0, atol=tolerance)


def test_a_second_walk_uses_its_own_cotangent():
    """The three gradients share their sums; those must not outlive the walk they belong to."""
    x, gamma, beta = (Tensor(a, requires_grad=True) for a in _batch((4, 2, 3, 3)).arrays)
    y, _, _ = batch_norm(x, gamma, beta)
    first = grad(y, (x, gamma, beta), np.ones(y.shape), retain_graph=True)
    g = normal(5, *y.shape)
    second = grad(y, (x, gamma, beta), g, retain_graph=True)
    fresh = grad(batch_norm(x, gamma, beta)[0], (x, gamma, beta), g)
    for a, b, c in zip(first, second, fresh, strict=True):
        np.testing.assert_array_equal(b.data, c.data)
        assert np.abs(a.data - b.data).max() > 0.1


def test_gradient_sums_to_zero_over_a_channel():
    """Shifting or scaling a channel changes nothing, so x's gradient is orthogonal to both."""
    x, gamma, beta = (Tensor(a, requires_grad=True) for a in _batch((4, 2, 3, 3)).arrays)
    y, _, _ = batch_norm(x, gamma, beta, epsilon=0.0)
    g = grad(y, x, normal(3, *y.shape)).data
    assert np.abs(g.sum((0, 2, 3))).max() < 1e-12
    assert np.abs((g * x.data).sum((0, 2, 3))).max() < 1e-11
