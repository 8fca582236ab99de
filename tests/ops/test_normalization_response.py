"""Local response normalisation against a loop over each neighbourhood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import local_response_norm
from tests.ops.driver import proof_of
from tests.ops.norm_loops import ones
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds

NAN = math.nan


def neighbours(c: int, channels: int, size: int) -> range:
    """ONNX's rule: of an even size, the odd channel comes after."""
    before, after = math.floor((size - 1) / 2), math.ceil((size - 1) / 2)
    return range(max(0, c - before), min(channels - 1, c + after) + 1)


def definition(x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    y = np.empty(x.shape)
    for n, c, *place in np.ndindex(x.shape):
        at = (n, c, *place)
        squares = [float(x[(n, j, *place)]) ** 2 for j in neighbours(c, x.shape[1], size)]
        y[at] = x[at] / (k + alpha / size * math.fsum(squares)) ** beta
    return y


@st.composite
def batches(draw: st.DrawFn) -> Case:
    space = draw(st.tuples(*[st.integers(1, 3)] * draw(st.integers(0, 2))))
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 7)), *space
    options = {
        "size": draw(st.integers(1, 8)),
        "alpha": draw(st.sampled_from([0.1, 1.0, 3.0])),
        "beta": draw(st.sampled_from([0.75, 0.5, 1.0, -0.3])),
        "k": draw(st.sampled_from([1.0, 2.0])),
    }
    return Case((normal(draw(seeds), *shape),), options)


def _case(*shape: int, **options: Any) -> Case:
    return Case((normal(0, *shape),), {"alpha": 1.0, **options})


def _denominator(x, size, alpha, k):
    squares = np.stack(
        [(x[:, list(neighbours(c, x.shape[1], size))] ** 2).sum(1) for c in range(x.shape[1])], 1
    )
    return k + alpha / size * squares


def _denominator_constant(pull, g, x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    return [g * _denominator(x, size, alpha, k) ** -beta]


def _own_only(pull, g, x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """A channel's effect on its neighbours forgotten."""
    d = _denominator(x, size, alpha, k)
    return [g * d**-beta - 2 * alpha / size * beta * x * g * x * d ** (-beta - 1)]


def _not_transposed(pull, g, x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """The neighbourhood of a channel where those are meant in whose neighbourhood it is."""
    d = _denominator(x, size, alpha, k)
    inner = g * x * d ** (-beta - 1)
    channels = range(x.shape[1])
    total = np.stack([inner[:, list(neighbours(c, x.shape[1], size))].sum(1) for c in channels], 1)
    return [g * d**-beta - 2 * alpha / size * beta * x * total]


LOCAL_RESPONSE_NORM = OpSpec(
    name="local_response_norm",
    op=local_response_norm,
    cases=batches(),
    oracle=definition,
    integers=r"local_response_norm: needs floats, got int64; use .astype\('float32'\)",
    edges={
        "empty": _case(0, 3, 2, size=3),
        "vectors": _case(2, 5, size=3),
        "defaults": Case((10 * normal(0, 1, 6, 2),)),
        "even size": _case(2, 6, 2, size=4),
        "wider than the channels": _case(1, 3, 2, size=9),
        "one channel": _case(2, 1, 2, 2, size=5),
        "volumes": _case(1, 4, 2, 1, 2, size=3),
    },
    special={
        "NaN shows in its neighbourhoods": Special(
            Case((np.array([[NAN, 0.0, 3.0]]),), {"size": 3, "alpha": 0.0}), [[NAN, NAN, 3]]
        ),
        "of ones": Special(
            Case((np.ones((1, 4)),), {"size": 2, "alpha": 2.0, "beta": 1.0}),
            [[1 / 3, 1 / 3, 1 / 3, 1 / 2]],
        ),
    },
    errors=(
        ErrorCase(
            lambda: local_response_norm(ones(3)),
            ShapeError,
            r"local_response_norm: needs axes \(N, C, ...\), got shape \(3,\)",
        ),
        ErrorCase(
            lambda: local_response_norm(ones(2, 3, dtype=np.int8)),
            DTypeError,
            "local_response_norm: needs floats, got int8",
        ),
        ErrorCase(
            lambda: local_response_norm(ones(2, 3), 0),
            ConfigError,
            "local_response_norm: size must be an int >= 1, got 0",
        ),
        ErrorCase(
            lambda: local_response_norm(ones(2, 3), 2.5), ConfigError, "size must be .* got 2.5"
        ),
        ErrorCase(
            lambda: local_response_norm(ones(2, 3), alpha="a"),
            ConfigError,
            "local_response_norm: alpha must be a number, got 'a'",
        ),
        ErrorCase(lambda: local_response_norm(ones(2, 3), k=NAN), ConfigError, "k must be a"),
    ),
    forward_mutants={
        "alpha not divided by the size": lambda y, x, size=5, alpha=1e-4, **o: definition(
            x, size, alpha * size, **o
        ),
        "odd channel before": lambda y, x, **o: definition(x[:, ::-1], **o)[:, ::-1],
        "size one less": lambda y, x, size=5, alpha=1e-4, **o: definition(
            x, max(size - 1, 1), alpha * max(size - 1, 1) / size, **o
        ),
        "k is 1": lambda y, x, **o: definition(x, **{**o, "k": 1.0}),
    },
    backward_mutants={
        "denominator taken for a constant": _denominator_constant,
        "own square only": _own_only,
        "neighbourhood not turned around": _not_transposed,
    },
    summands=lambda case: 20,
)

SPECS = (LOCAL_RESPONSE_NORM,)
TestLocalResponse = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
def test_large_batches_in_any_memory_order(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = normal(0, 3, 24, 40, 31)
    last = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    right = x * _denominator(x, 5, 1.0, 1.0) ** -0.75
    for a in (x, last):
        leaf = Tensor(a, requires_grad=True)
        y = local_response_norm(leaf, alpha=1.0)
        np.testing.assert_allclose(y.data, right, rtol=1e-12)
        (d,) = _transposed(x, np.ones(x.shape))
        np.testing.assert_allclose(grad(y.sum(), leaf).data, d, rtol=1e-9, atol=1e-12)


def _transposed(x, g):
    """The gradient for alpha 1 and an odd size, whose neighbourhoods are their own transpose."""
    return _not_transposed(None, g, x, 5, 1.0)


def test_half_precision_does_not_overflow():
    x = np.full((1, 9), 400.0, np.float16)
    y = local_response_norm(Tensor(x), alpha=1.0).data
    assert y.dtype == np.float16
    right = local_response_norm(Tensor(x.astype(np.float64)), alpha=1.0).data
    np.testing.assert_allclose(y.astype(np.float64), right, rtol=1e-3)
