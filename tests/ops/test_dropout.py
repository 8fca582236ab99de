"""Dropout: the right numbers are dropped, and the rest grows by as much."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import alpha_dropout, dropout, spatial_dropout
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds, shapes


def drop(x: Tensor, rate: float, seed: int) -> Tensor:
    return dropout(x, rate, Stream(seed, "dropout"))


def drop_channels(x: Tensor, rate: float, seed: int) -> Tensor:
    return spatial_dropout(x, rate, Stream(seed, "dropout"))


def drop_to_alpha(x: Tensor, rate: float, seed: int) -> Tensor:
    return alpha_dropout(x, rate, Stream(seed, "dropout"))


def definition(x, rate, seed):
    """One number of the stream for each element; it is dropped if that is below the rate."""
    numbers = Stream(seed, "dropout").uniform(x.size, dtype=np.float32).tolist()
    y = np.empty(x.shape)
    for k, at in enumerate(np.ndindex(x.shape)):
        y[at] = 0 if numbers[k] < rate else x[at] / (1 - rate)
    return y


def channels_definition(x, rate, seed):
    """One number of the stream for each channel of each example."""
    numbers = Stream(seed, "dropout").uniform(x.shape[0] * x.shape[1], dtype=np.float32).tolist()
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        dropped = numbers[at[0] * x.shape[1] + at[1]] < rate
        y[at] = 0 if dropped else x[at] / (1 - rate)
    return y


LEAST = -1.758099340847376624  # what SELU gives for -inf


def alpha_definition(x, rate, seed):
    """A dropped number becomes LEAST; then all are scaled and shifted to mean 0, variance 1."""
    if rate == 0:
        return x
    kept = definition(np.ones(x.shape), rate, seed)
    mean = rate * LEAST
    square = (1 - rate) + rate * LEAST**2
    deviation = math.sqrt(square - mean**2)
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        y[at] = ((x[at] if kept[at] else LEAST) - mean) / deviation
    return y


def calls(least_axes: int) -> st.SearchStrategy[Case]:
    rates = st.sampled_from([0.0, 0.1, 0.5, 0.9])
    return st.builds(
        lambda seed, shape, rate: Case((normal(seed, *shape),), {"rate": rate, "seed": seed % 99}),
        seeds,
        shapes(least_axes, 4),
        rates,
    )


def _edges() -> dict[str, Case]:
    some = {"rate": 0.4, "seed": 3}
    return {
        "empty": Case((np.zeros((0, 3, 4, 4)),), some),
        "1x1 maps": Case((normal(0, 2, 3, 1, 1),), some),
        "vectors": Case((normal(0, 4, 5),), some),
    }


def _errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    x = Tensor(np.ones((2, 3)))
    return (
        ErrorCase(
            lambda: op(x, 1.0, Stream(0)),
            ConfigError,
            f"{name}: rate is the probability to drop, 0 <= rate < 1, got 1.0",
        ),
        ErrorCase(lambda: op(x, -0.1, Stream(0)), ConfigError, "got -0.1"),
        ErrorCase(lambda: op(x, float("nan"), Stream(0)), ConfigError, "got nan"),
        ErrorCase(lambda: op(x, "0.5", Stream(0)), ConfigError, "got '0.5'"),
        ErrorCase(
            lambda: op(x, 0.5, 7),
            ConfigError,
            f"{name}: stream must be a minicnn.backend.random.Stream, got 7; make one with "
            rf"Stream\(seed, '{name}'\)",
        ),
        ErrorCase(
            lambda: op(Tensor(np.ones((2, 3), int)), 0.5, Stream(0)),
            DTypeError,
            rf"{name}: needs floats, got int64; use .astype\('float32'\)",
        ),
    )


FORWARD = {
    "not scaled": lambda y, x, rate, seed: y * (1 - rate),
    "scaled by the rate": lambda y, x, rate, seed: y * (1 - rate) / (rate or 1),
    "another mask": lambda y, x, rate, seed: definition(x, rate, seed + 1),
    "keeps with the rate": lambda y, x, rate, seed: definition(x, 1 - rate or 0.5, seed),
}
BACKWARD = {
    "passes everything": lambda pull, g, x, rate, seed: [g / (1 - rate)],
    "not scaled": lambda pull, g, x, rate, seed: [(1 - rate) * pull(g, x, rate=rate, seed=seed)[0]],
    "another mask": lambda pull, g, x, rate, seed: pull(g, x, rate=rate, seed=seed + 1),
}

DROPOUT = OpSpec(
    name="dropout",
    op=drop,
    cases=calls(0),
    oracle=definition,
    integers="dropout: needs floats, got int64",
    edges=_edges(),
    special={
        "NaN stays where it is kept": Special(
            Case((np.full(4, np.nan),), {"rate": 0.0, "seed": 0}), np.full(4, np.nan)
        )
    },
    errors=_errors(dropout, "dropout"),
    forward_mutants=FORWARD,
    backward_mutants=BACKWARD,
)

SPATIAL_DROPOUT = OpSpec(
    name="spatial_dropout",
    op=drop_channels,
    cases=calls(2),
    oracle=channels_definition,
    integers="spatial_dropout: needs floats, got int64",
    edges=_edges(),
    errors=(
        *_errors(spatial_dropout, "spatial_dropout"),
        ErrorCase(
            lambda: spatial_dropout(Tensor(np.ones(3)), 0.5, Stream(0)),
            ShapeError,
            r"spatial_dropout: needs channels \(N, C, ...\), got shape \(3,\)",
        ),
    ),
    forward_mutants={
        **FORWARD,
        "single pixels": lambda y, x, rate, seed: definition(x, rate, seed),
    },
    backward_mutants=BACKWARD,
)

ALPHA_DROPOUT = OpSpec(
    name="alpha_dropout",
    op=drop_to_alpha,
    cases=calls(0),
    oracle=alpha_definition,
    integers="alpha_dropout: needs floats, got int64",
    edges=_edges(),
    special={
        "NaN stays where it is kept": Special(
            Case((np.full(4, np.nan),), {"rate": 0.0, "seed": 0}), np.full(4, np.nan)
        )
    },
    errors=_errors(alpha_dropout, "alpha_dropout"),
    forward_mutants={
        "drops to 0": lambda y, x, rate, seed: definition(x, rate, seed),
        "not shifted": lambda y, x, rate, seed: y if rate == 0 else y - y.mean(),
        "another mask": lambda y, x, rate, seed: alpha_definition(x, rate, seed + 1),
        "keeps with the rate": lambda y, x, rate, seed: alpha_definition(
            x, (1 - rate) % 1 or 0.5, seed
        ),
    },
    backward_mutants={
        "passes everything": lambda pull, g, x, rate, seed: [np.ones(x.shape) * g],
        "scaled as dropout is": lambda pull, g, x, rate, seed: [
            np.sign(pull(g, x, rate=rate, seed=seed)[0]) * abs(g) / (1 - rate)
        ],
        "another mask": BACKWARD["another mask"],
    },
)

SPECS = (DROPOUT, SPATIAL_DROPOUT, ALPHA_DROPOUT)
TestDropout = proof_of(*SPECS)


COUNT = 400 * 500
SIGMAS = 5  # one right dropout in two million is refused


def wrongly_dropped(dropped: np.ndarray, rate: float) -> list[str]:
    """Say in what a mask differs from independent draws, by more than chance would.

    The share of dropped ones in all has a standard deviation of sqrt(p (1-p) / n); so has the
    share of neighbours that are dropped together, with p squared for p (a little more, for pairs
    overlap), and of rows and columns the shares scatter as much as n of their length would.
    """
    found = []

    def compare(what: str, share: float, p: float, count: int, slack: float = 1.0) -> None:
        if abs(share - p) > SIGMAS * slack * math.sqrt(p * (1 - p) / count):
            found.append(f"{what}: {share} where {p} is right")

    compare("all", dropped.mean(), rate, dropped.size)
    for axis in (0, 1):
        first = dropped.take(range(dropped.shape[axis] - 1), axis)
        second = dropped.take(range(1, dropped.shape[axis]), axis)
        compare(f"neighbours on axis {axis}", (first & second).mean(), rate**2, first.size, 1.5)
        worst = abs(dropped.mean(axis) - rate).max()
        if worst > 6 * math.sqrt(rate * (1 - rate) / dropped.shape[axis]):
            found.append(f"a line of axis {axis}: off by {worst}")
    return found


@pytest.mark.parametrize("op", [dropout, alpha_dropout])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.8])
def test_drops_each_by_itself_with_the_probability_it_is_told(op, rate):
    x = np.ones((400, 500), np.float32)
    y = op(Tensor(x), rate, Stream(0, "share")).data
    assert wrongly_dropped(y != y.max(), rate) == []
    if op is dropout:
        assert y.min() == 0
        np.testing.assert_allclose(y.max(), 1 / (1 - rate), rtol=1e-6)


def test_a_wrong_mask_is_noticed():
    """The bounds above would be worth nothing if they let these pass."""
    right = dropout(Tensor(np.ones((400, 500))), 0.5, Stream(0, "share")).data == 0
    assert wrongly_dropped(right, 0.49)
    assert wrongly_dropped(right, 0.51)
    assert wrongly_dropped(np.repeat(right[:, ::2], 2, axis=1), 0.5)  # pairs
    assert wrongly_dropped(np.broadcast_to(right[:1], right.shape), 0.5)  # every row the same
    chessboard = np.indices(right.shape).sum(axis=0) % 2 == 0
    assert wrongly_dropped(chessboard, 0.5)


def moments_off(y: np.ndarray) -> list[str]:
    """Say whether mean and variance differ from 0 and 1 by more than those of n draws do.

    The deviation of the variance follows from the fourth moment of what is measured.
    """
    found = []
    n = y.size
    if abs(y.mean()) > SIGMAS * math.sqrt(y.var() / n):
        found.append(f"mean {y.mean()}")
    fourth = np.mean((y - y.mean()) ** 4)
    if abs(y.var() - 1) > SIGMAS * math.sqrt((fourth - y.var() ** 2) / n):
        found.append(f"variance {y.var()}")
    return found


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5, 0.8])
def test_alpha_dropout_keeps_mean_0_and_variance_1(rate):
    """Of numbers that have them; dropout keeps the mean alone, and not that of SELU's numbers."""
    x = Stream(0, "x").normal((400, 500))
    assert moments_off(x) == []
    y = alpha_dropout(Tensor(x), rate, Stream(1, "alpha")).data
    assert moments_off(y) == []
    kept = dropout(Tensor(np.ones(x.shape)), rate, Stream(1, "alpha")).data != 0
    dropped_only = np.where(kept, x, LEAST)  # without the scale and the shift
    assert len(moments_off(dropped_only)) == 2
    assert moments_off(y + 0.02)
    assert moments_off(y * 1.02)
    assert moments_off(dropout(Tensor(x), rate, Stream(1, "alpha")).data)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_mean(rate):
    x = Stream(0, "x").normal((400, 500)) + 1
    y = dropout(Tensor(x), rate, Stream(1, "mean")).data
    assert abs(y.mean() - x.mean()) < SIGMAS * math.sqrt(y.var() / y.size)
    assert abs(y.mean() * (1 - rate) - x.mean()) > SIGMAS * math.sqrt(y.var() / y.size)


@pytest.mark.parametrize("space", [(3,), (3, 3), (2, 3, 2)])
def test_spatial_dropout_drops_whole_channels_of_single_examples(space):
    ones = np.ones((400, 500, *space), np.float32)
    y = spatial_dropout(Tensor(ones), 0.5, Stream(0, "share")).data
    dropped = (y == 0).reshape(400, 500, -1)
    assert (dropped.all(-1) == dropped.any(-1)).all()
    assert wrongly_dropped(dropped.any(-1), 0.5) == []


def test_the_stream_advances_and_the_same_stream_gives_the_same_mask():
    x, stream = Tensor(np.ones((8, 8))), Stream(0, "mask")
    first, second = dropout(x, 0.5, stream).data, dropout(x, 0.5, stream).data
    assert (first != second).any()
    np.testing.assert_array_equal(first, dropout(x, 0.5, Stream(0, "mask")).data)


def test_the_same_mask_in_every_type():
    x = np.ones((30, 30))
    masks = [
        dropout(Tensor(x.astype(d)), 0.3, Stream(0)).data == 0
        for d in (np.float16, np.float32, np.float64)
    ]
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
