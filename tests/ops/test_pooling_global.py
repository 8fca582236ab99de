"""Global average and max pooling against loops over the pixels."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from minicnn import ops
from minicnn.autograd import Tensor
from tests.ops.driver import proof_of
from tests.ops.pooling_loops import INF, NAN, image_errors, row
from tests.ops.spec import Case, OpSpec, Special
from tests.ops.values import distinct, seeds

RANKS = (1, 2, 3)
AVG = {1: ops.global_avg_pool1d, 2: ops.global_avg_pool2d, 3: ops.global_avg_pool3d}
MAX = {1: ops.global_max_pool1d, 2: ops.global_max_pool2d, 3: ops.global_max_pool3d}


def definition(summary):
    def of_each_channel(x):
        y = np.empty(x.shape[:2])
        for at in np.ndindex(*y.shape):
            y[at] = summary([float(x[(*at, *pixel)]) for pixel in np.ndindex(*x.shape[2:])])
        return y

    return of_each_channel


@st.composite
def whole_images(draw: st.DrawFn, rank: int) -> Case:
    most_images, longest = {1: (6, 10), 2: (4, 6), 3: (3, 4)}[rank]
    batch = draw(st.tuples(*[st.integers(1, most_images)] * 2))
    shape = batch + draw(st.tuples(*[st.integers(1, longest)] * rank))
    return Case((distinct(draw(seeds), *shape),))


def _edges(rank: int) -> dict[str, Case]:
    return {
        "empty": Case((np.zeros((0, 2, *(3,) * rank)),)),
        "one pixel": Case((distinct(0, 2, 3, *(1,) * rank),)),
        "one row": Case((distinct(0, 2, 3, *(1,) * (rank - 1), 5),)),
    }


def _whole_numbers(rank: int) -> Case:
    return Case((np.arange(6 * 2**rank).reshape(2, 3, *(2,) * rank),))


def _back(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(g.reshape(*g.shape, *(1,) * (x.ndim - 2)), x.shape).copy()


def _average_spec(rank: int) -> OpSpec:
    name, op = f"global_avg_pool{rank}d", AVG[rank]
    axes = tuple(range(2, rank + 2))
    return OpSpec(
        name=name,
        op=op,
        cases=whole_images(rank),
        oracle=definition(lambda v: math.fsum(v) / len(v)),
        integers=_whole_numbers(rank),
        edges=_edges(rank),
        special={
            "NaN shows": Special(Case((row([NAN, 1], rank),)), [[NAN]]),
            "infinity": Special(Case((row([INF, 1], rank),)), [[INF]]),
        },
        errors=image_errors(op, name, rank),
        forward_mutants={
            "sum": lambda y, x: x.sum(axes),
            "median": lambda y, x: np.median(x, axes),
        },
        backward_mutants={"not divided": lambda pull, g, x: [_back(g, x)]},
        summands=lambda case: 64,
    )


def _max_spec(rank: int) -> OpSpec:
    name, op = f"global_max_pool{rank}d", MAX[rank]
    return OpSpec(
        name=name,
        op=op,
        cases=whole_images(rank),
        oracle=definition(max),
        integers=_whole_numbers(rank),
        edges=_edges(rank),
        special={
            "NaN shows": Special(Case((row([NAN, 1], rank),)), [[NAN]]),
            "-inf": Special(Case((row([-INF, -INF], rank),)), [[-INF]]),
        },
        errors=image_errors(op, name, rank),
        forward_mutants={
            "mean": lambda y, x: x.mean(tuple(range(2, rank + 2))),
            "not below 0": lambda y, x: np.maximum(y, 0),
        },
        backward_mutants={
            "to the smallest": lambda pull, g, x: pull(g, -x),
            "to every pixel": lambda pull, g, x: [_back(g, x)],
        },
    )


SPECS = (*map(_average_spec, RANKS), *map(_max_spec, RANKS))
TestGlobalPooling = proof_of(*SPECS)


def test_the_largest_shares_the_gradient_of_ties():
    x = Tensor(np.array([[[[3.0, 1.0], [3.0, 3.0]]]]), requires_grad=True)
    ops.global_max_pool2d(x).backward(np.array([[6.0]]))
    assert x.grad.data.tolist() == [[[[2, 0], [2, 2]]]]


def test_halves_are_added_up_in_single_precision():
    x = Tensor(np.full((2, 3, 40, 40), 60000, np.float16))
    y = ops.global_avg_pool2d(x)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.data, np.float16(60000))
