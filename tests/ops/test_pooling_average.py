"""Average pooling, in one to three dimensions, against loops over each window."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import ops
from minicnn.autograd import Tensor, grad
from tests.ops.driver import proof_of
from tests.ops.pooling_loops import (
    INF,
    NAN,
    across,
    axes_of,
    each,
    edges,
    float_error,
    pooled,
    row,
    sliding,
    window_errors,
)
from tests.ops.spec import Case, OpSpec, Special
from tests.ops.values import normal

RANKS = (1, 2, 3)
AVG = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}


def avg_definition(x, count_include_pad=True, **window):
    """The mean of each window: of its places in image and padding, or of its real pixels."""

    def mean(values, count):
        return math.fsum(values) / (count if count_include_pad else len(values))

    return pooled(x, axes_of(x.shape[2:], **window), mean)


def _by_the_whole_window(y, x, size, **window):
    """What lies beyond the padding counts too."""
    whole = math.prod(each(size, x.ndim - 2))
    return pooled(x, axes_of(x.shape[2:], size, **_plain(window)), lambda v, _: sum(v) / whole)


def _plain(options):
    return {k: v for k, v in options.items() if k != "count_include_pad"}


def _spec(rank: int) -> OpSpec:
    name, op = f"avg_pool{rank}d", AVG[rank]
    pair = {"size": across(2, rank)}
    padded = {**pair, "stride": 1, "padding": across((1, 1), rank, (0, 0))}
    real = {f"{n}, real pixels only": c for n, c in edges(rank, count_include_pad=False).items()}
    return OpSpec(
        name=name,
        op=op,
        cases=sliding(rank, normal, average=True),
        oracle=avg_definition,
        integers=f"{name}: needs floats, got int64",
        edges={**edges(rank), **real},
        special={
            "NaN stays in its window": Special(
                Case((row([NAN, 1, 3, 5], rank),), pair), row([NAN, 4], rank)
            ),
            "infinities": Special(
                Case((row([INF, 1, -INF, INF], rank),), pair), row([INF, NAN], rank)
            ),
            "padding counts": Special(Case((row([1], rank),), padded), row([0.5, 0.5], rank)),
            "padding does not count": Special(
                Case((row([1], rank),), {**padded, "count_include_pad": False}), row([1, 1], rank)
            ),
            "what ceil_mode adds beyond the padding does not count": Special(
                Case((row([2, 4, 6], rank),), {**pair, "ceil_mode": True}), row([3, 6], rank)
            ),
        },
        errors=(*window_errors(op, name, rank), float_error(op, name, rank, size=2)),
        forward_mutants={
            "sum": lambda y, x, size, **o: y * math.prod(each(size, rank)),
            "padding always counts": lambda y, x, **o: avg_definition(x, **_plain(o)),
            "padding never counts": lambda y, x, **o: avg_definition(
                x, **{**o, "count_include_pad": False}
            ),
            "divided by the whole window": _by_the_whole_window,
        },
        backward_mutants={
            "padding always counts": lambda pull, g, x, **o: pull(g, x, **_plain(o)),
            "padding never counts": lambda pull, g, x, **o: pull(
                g, x, **{**o, "count_include_pad": False}
            ),
            "not divided": lambda pull, g, x, size, **o: [
                math.prod(each(size, rank)) * d for d in pull(g, x, size=size, **o)
            ],
            "one pixel to the right": lambda pull, g, x, **o: [np.roll(pull(g, x, **o)[0], 1, -1)],
        },
        summands=lambda case: 27,
    )


SPECS = tuple(map(_spec, RANKS))
TestAveragePooling = proof_of(*SPECS)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_halves_are_added_up_in_single_precision(rank, count_include_pad):
    """Sums of halves overflow at 65504, and lose all below 1 / 2048 of what is there."""
    x = Tensor(np.full((1, 1, *(4,) * rank), 60000, np.float16), requires_grad=True)
    y = AVG[rank](x, 3, 1, 1, count_include_pad=count_include_pad)
    assert y.dtype == np.float16
    assert np.isfinite(y.data).all()
    assert y.data.max() == np.float16(60000)
    y.backward(np.full(y.shape, 9000, np.float16))  # in corners 4 windows' parts add up
    assert x.grad.dtype == np.float16
    assert np.isfinite(x.grad.data).all()


def test_the_mean_of_many_halves_is_rounded_once():
    x = np.ones((1, 1, 64, 64), np.float16)
    x[..., ::2] = 1 + 2**-9
    mean = ops.avg_pool2d(Tensor(x), 64)
    assert float(mean.data.item()) == float(np.float16(x.astype(np.float64).mean()))
    assert float(ops.adaptive_avg_pool2d(Tensor(x), 1).data.item()) == float(mean.data.item())


def test_third_derivatives():
    x = Tensor(normal(0, 1, 1, 4, 4), requires_grad=True)
    y = ops.avg_pool2d(x * x * x, 3, 1, 1)
    g = x
    for power in (3, 2, 1):
        g = grad(y.sum() if power == 3 else g.sum(), x, create_graph=True)
    weights = grad(ops.avg_pool2d(x, 3, 1, 1).sum(), x).data
    np.testing.assert_allclose(g.data, 6 * weights, rtol=1e-12)
