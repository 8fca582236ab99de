"""Adaptive pooling against loops over each bin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from tests.ops.driver import for_all, proof_of
from tests.ops.pooling_loops import (
    INF,
    LONGEST,
    NAN,
    across,
    each,
    float_error,
    image_errors,
    ones,
    pooled,
    row,
    scattered,
    winners,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import distinct, normal, seeds

RANKS = (1, 2, 3)
AVG = {1: ops.adaptive_avg_pool1d, 2: ops.adaptive_avg_pool2d, 3: ops.adaptive_avg_pool3d}
MAX = {1: ops.adaptive_max_pool1d, 2: ops.adaptive_max_pool2d, 3: ops.adaptive_max_pool3d}


def bins(image, output_size, end=math.ceil):
    """Return the pixels of each bin of each axis, in the form of `pooling_loops.along`."""
    axes = []
    for n, asked in zip(image, each(output_size, len(image)), strict=True):
        out = n if asked is None else asked
        edges = [(math.floor(i * n / out), end((i + 1) * n / out)) for i in range(out)]
        axes.append([(list(range(a, max(b, a + 1))), max(b - a, 1)) for a, b in edges])
    return axes


def avg_definition(x, output_size):
    return pooled(x, bins(x.shape[2:], output_size), lambda v, _: math.fsum(v) / len(v))


def max_definition(x, output_size):
    return pooled(x, bins(x.shape[2:], output_size), lambda v, _: max(v))


@st.composite
def adaptive(draw: st.DrawFn, rank: int, x: Any) -> Case:
    image = tuple(draw(st.integers(1, LONGEST[rank] + 1)) for _ in range(rank))
    number = st.one_of(st.none(), st.integers(1, 5 - (rank == 3)))
    size = draw(st.one_of(number, st.tuples(*[number] * rank)))
    batch = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return Case((x(draw(seeds), *batch, *image),), {"output_size": size})


def _edges(rank: int, x: Any) -> dict[str, Case]:
    return {
        "empty": Case((x(0, 0, 2, *(4,) * rank),), {"output_size": 3}),
        "bins that overlap": Case((x(1, 1, 2, *(5,) * rank),), {"output_size": 3}),
        "more bins than pixels": Case((x(2, 1, 2, *(2,) * rank),), {"output_size": 3}),
        "all in one": Case((x(3, 2, 2, *(3,) * rank),), {"output_size": 1}),
        "as it is": Case((x(4, 2, 1, *(3,) * rank),), {"output_size": None}),
        "more images than pieces of work": Case((x(5, 19, 1, *(2,) * rank),), {"output_size": 1}),
    }


def _errors(op: Any, name: str, rank: int) -> tuple[ErrorCase, ...]:
    many = (2,) * (rank + 1)
    return (
        *image_errors(op, name, rank, output_size=2),
        ErrorCase(
            lambda: op(ones(1, 1, *(4,) * rank), many),
            ConfigError,
            rf"{name}: output_size must be an int, None or {rank} of them, got \(2, 2",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *(4,) * rank), 0),
            ConfigError,
            f"{name}: output_size must be an int .*>= 1, got",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *(4,) * rank), "2"), ConfigError, f"{name}: output_size must be"
        ),
    )


def _even(summary):
    """Bins of n // out pixels, and what is left over goes nowhere."""

    def mutant(y, x, output_size):
        axes = []
        for n, out in zip(x.shape[2:], y.shape[2:], strict=True):
            size = max(n // out, 1)
            starts = [min(i * size, n - 1) for i in range(out)]
            axes.append([(list(range(a, a + size)), size) for a in starts])
        return pooled(x, axes, summary)

    return mutant


def _cut(summary):
    return lambda y, x, output_size: pooled(x, bins(x.shape[2:], output_size, math.floor), summary)


def _shared_once(pull, g, x, output_size):
    """`=` for `+=` where bins overlap."""
    places = winners(x, bins(x.shape[2:], output_size))
    return [scattered(g, places, x.shape, add=False)]


def _average_spec(rank: int) -> OpSpec:
    name, op = f"adaptive_avg_pool{rank}d", AVG[rank]
    return OpSpec(
        name=name,
        op=op,
        cases=adaptive(rank, normal),
        oracle=avg_definition,
        integers=f"{name}: needs floats, got int64",
        edges=_edges(rank, normal),
        special={
            "NaN stays in its bins": Special(
                Case((row([NAN, 1, 3, 5, 7], rank),), {"output_size": across(3, rank)}),
                row([NAN, 3, 6], rank),
            ),
            "infinity": Special(Case((row([INF, 1], rank),), {"output_size": 1}), row([INF], rank)),
        },
        errors=(*_errors(op, name, rank), float_error(op, name, rank, output_size=2)),
        forward_mutants={
            "even bins": _even(lambda v, _: sum(v) / len(v)),
            "end rounded down": _cut(lambda v, _: sum(v) / len(v)),
            "sum": lambda y, x, output_size: pooled(
                x, bins(x.shape[2:], output_size), lambda v, _: sum(v)
            ),
        },
        backward_mutants={
            "of equal bins": lambda pull, g, x, **o: [
                np.broadcast_to(pull(g, x, **o)[0].mean(-1, keepdims=True), x.shape)
            ],
            "one pixel to the right": lambda pull, g, x, **o: [np.roll(pull(g, x, **o)[0], 1, -1)],
        },
        summands=lambda case: 27,
    )


def _max_spec(rank: int) -> OpSpec:
    name, op = f"adaptive_max_pool{rank}d", MAX[rank]
    numbers = np.arange(-20, -20 + 2 * 4**rank).reshape(1, 2, *(4,) * rank)
    return OpSpec(
        name=name,
        op=op,
        cases=adaptive(rank, distinct),
        oracle=max_definition,
        integers=Case((numbers,), {"output_size": 3}),
        edges=_edges(rank, distinct),
        special={
            "NaN stays in its bins": Special(
                Case((row([NAN, 1, 3, 5, 7], rank),), {"output_size": across(3, rank)}),
                row([NAN, 5, 7], rank),
            ),
            "-inf": Special(
                Case((row([-INF, -INF], rank),), {"output_size": 1}), row([-INF], rank)
            ),
        },
        errors=_errors(op, name, rank),
        forward_mutants={
            "even bins": _even(lambda v, _: max(v)),
            "end rounded down": _cut(lambda v, _: max(v)),
            "smallest": lambda y, x, **o: -max_definition(-x, **o),
        },
        backward_mutants={
            "= for += where bins overlap": _shared_once,
            "to the smallest": lambda pull, g, x, **o: pull(g, -x, **o),
            "one pixel to the right": lambda pull, g, x, **o: [np.roll(pull(g, x, **o)[0], 1, -1)],
        },
        summands=lambda case: 27,
    )


SPECS = (*map(_average_spec, RANKS), *map(_max_spec, RANKS))
TestAdaptivePooling = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("rank", RANKS)
def test_indices_are_the_places_of_the_first_winners(rank, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)

    def check(case: Case) -> None:
        x = np.round(case.arrays[0])
        y, indices = MAX[rank](Tensor(x), **case.options, return_indices=True)
        np.testing.assert_array_equal(indices.data, winners(x, bins(x.shape[2:], **case.options)))
        assert indices.dtype == np.int64
        assert y.shape == indices.shape

    for_all(adaptive(rank, distinct), check, 25)


def test_none_keeps_a_length_and_1_is_global():
    x = Tensor(normal(0, 2, 3, 5, 7))
    assert ops.adaptive_avg_pool2d(x, (None, 3)).shape == (2, 3, 5, 3)
    np.testing.assert_array_equal(ops.adaptive_max_pool2d(x, None).data, x.data)
    one = ops.adaptive_avg_pool2d(x, 1).data[:, :, 0, 0]
    np.testing.assert_allclose(one, ops.global_avg_pool2d(x).data, rtol=1e-12)


def test_halves_are_added_up_in_single_precision():
    x = Tensor(np.full((1, 1, 7, 7), 60000, np.float16))
    y = ops.adaptive_avg_pool2d(x, 3)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.data, np.float16(60000))
