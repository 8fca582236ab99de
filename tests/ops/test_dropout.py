"""Dropout: the right numbers are dropped, and the rest grows by as much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import dropout, spatial_dropout
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds, shapes


def drop(x: Tensor, rate: float, seed: int) -> Tensor:
    return dropout(x, rate, Stream(seed, "dropout"))


def drop_channels(x: Tensor, rate: float, seed: int) -> Tensor:
    return spatial_dropout(x, rate, Stream(seed, "dropout"))


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

SPECS = (DROPOUT, SPATIAL_DROPOUT)
TestDropout = proof_of(*SPECS)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_drops_the_share_it_is_told_and_keeps_the_mean(rate):
    y = dropout(Tensor(np.ones((400, 500), np.float32)), rate, Stream(0, "share")).data
    assert (y == 0).mean() == pytest.approx(rate, abs=0.005)  # 4 standard deviations
    assert y.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - rate), rtol=1e-6)


def test_spatial_dropout_drops_whole_channels_of_single_examples():
    y = spatial_dropout(Tensor(np.ones((50, 20, 3, 3), np.float32)), 0.5, Stream(0, "share")).data
    dropped = (y == 0).reshape(50, 20, 9)
    assert (dropped.all(-1) == dropped.any(-1)).all()
    assert dropped.any(-1).mean() == pytest.approx(0.5, abs=0.05)
    assert dropped.any(-1).std(axis=0).min() > 0  # not the same examples for every channel


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
