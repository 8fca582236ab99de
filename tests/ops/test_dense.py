"""The dense layer's product against three loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import DeviceError, DTypeError, ShapeError
from minicnn.ops import dense, flatten
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal, seeds, shapes


def definition(x, weight, bias=None):
    """y[n, o] = bias[o] + sum_i weight[o, i] * x[n, i]."""
    y = np.empty((len(x), len(weight)))
    for n, o in np.ndindex(*y.shape):
        y[n, o] = math.fsum(weight[o, i] * x[n, i] for i in range(x.shape[1]))
        y[n, o] += bias[o] if bias is not None else 0.0
    return y


def flatten_definition(x):
    y = np.empty((len(x), math.prod(x.shape[1:])))
    for n in range(len(x)):
        for k, at in enumerate(np.ndindex(*x.shape[1:])):
            y[n, k] = x[(n, *at)]
    return y


@st.composite
def products(draw: st.DrawFn) -> Case:
    n, i, o = (draw(st.integers(1, 6)) for _ in range(3))
    return _product(n, i, o, draw(seeds), draw(st.booleans()))


def _product(n: int, i: int, o: int, seed: int = 0, bias: bool = True) -> Case:
    arrays = [normal(seed, n, i), normal(seed + 1, o, i), normal(seed + 2, o)]
    return Case(tuple(arrays[: 2 + bias]))


def _bias_only(change):
    def mutant(pull, g, x, weight, *bias):
        right = pull(g, x, weight, *bias)
        return [*right[:2], *(change(g, d) for d in right[2:])]

    return mutant


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


DENSE = OpSpec(
    name="dense",
    op=dense,
    cases=products(),
    oracle=definition,
    integers=r"dense: x \(0, 3\), weight \(4, 3\) are int64 and int64, bias int64; they must",
    edges={
        "empty": _product(0, 3, 4),
        "no features": _product(2, 0, 4),
        "1x1": _product(1, 1, 1),
        "more than one piece of work": _product(300, 100, 90),
    },
    special={
        "NaN stays in its row": Special(
            Case((np.array([[np.nan, 1.0], [1.0, 1.0]]), np.ones((1, 2)))), [[np.nan], [2]]
        ),
        "infinity": Special(Case((np.array([[np.inf, 1.0]]), np.ones((1, 2)))), [[np.inf]]),
    },
    errors=(
        ErrorCase(
            lambda: dense(t(2, 3, 4), t(5, 12)),
            ShapeError,
            r"dense: needs x \(N, I\) and weight \(O, I\), got x \(2, 3, 4\), weight \(5, 12\); "
            "flatten x first",
        ),
        ErrorCase(
            lambda: dense(t(2, 3), t(5, 4)),
            ShapeError,
            r"dense: x has 3 features but weight expects 4 \(x \(2, 3\), weight \(5, 4\)\); "
            r"give weight the shape \(O, 3\)",
        ),
        ErrorCase(
            lambda: dense(t(2, 3), t(5, 3), t(3)),
            ShapeError,
            r"dense: bias has shape \(3,\), weight \(5, 3\) needs \(5,\)",
        ),
        ErrorCase(
            lambda: dense(t(2, 3), t(5, 3, dtype=np.float32)),
            DTypeError,
            r"dense: x \(2, 3\), weight \(5, 3\) are float64 and float32; they must be one "
            "float type, use .astype",
        ),
        ErrorCase(
            lambda: dense(t(2, 3), t(5, 3), t(5, dtype=np.float32)),
            DTypeError,
            "are float64 and float64, bias float32; they must be one float type",
        ),
        ErrorCase(
            lambda: dense(t(2, 3), on_gpu(5, 3)),
            DeviceError,
            r"dense: x \(2, 3\) is on cpu, weight \(5, 3\) on cuda:0; move one with .to",
        ),
        ErrorCase(
            lambda: dense(t(2, 3), t(5, 3), on_gpu(5)), DeviceError, r"bias \(5,\) on cuda:0"
        ),
    ),
    forward_mutants={
        "bias forgotten": lambda y, x, weight, *bias: definition(x, weight),
        "weight's rows in the wrong order": lambda y, x, weight, *bias: definition(
            x, weight[::-1], *bias
        ),
        "last feature forgotten": lambda y, x, weight, *bias: definition(
            x[:, :-1], weight[:, :-1], *bias
        ),
    },
    backward_mutants={
        "= for += over the batch": lambda pull, g, x, weight, *bias: [
            pull(g, x, weight, *bias)[0],
            *pull(g[-1:], x[-1:], weight, *bias)[1:],
        ],
        "mean over the batch": lambda pull, g, x, weight, *bias: [
            pull(g, x, weight, *bias)[0],
            *(d / max(len(x), 1) for d in pull(g, x, weight, *bias)[1:]),
        ],
        "bias: first example": _bias_only(lambda g, d: g[0] if len(g) else d),
        "weight's rows in the wrong order": lambda pull, g, x, weight, *bias: [
            pull(g, x, weight[::-1], *bias)[0],
            *pull(g, x, weight, *bias)[1:],
        ],
    },
    summands=lambda case: max(case.arrays[0].size, case.arrays[1].size),
)

FLATTEN = OpSpec(
    name="flatten",
    op=flatten,
    cases=st.builds(lambda seed, shape: Case((normal(seed, *shape),)), seeds, shapes(1, 4)),
    oracle=flatten_definition,
    integers=Case((np.arange(12).reshape(2, 3, 2),)),
    edges={
        "empty": Case((np.zeros((0, 3, 2)),)),
        "no features": Case((np.zeros((2, 0, 2)),)),
        "1x1 maps": Case((normal(0, 2, 3, 1, 1),)),
        "numbers": Case((normal(0, 3),)),
    },
    errors=(
        ErrorCase(
            lambda: flatten(Tensor(1.0)),
            ShapeError,
            r"flatten: needs a batch \(N, ...\), got a single number; add an axis",
        ),
    ),
    forward_mutants={
        "channels last": lambda y, x: np.moveaxis(x, 1, -1).reshape(y.shape) if x.ndim > 1 else y
    },
    backward_mutants={
        "channels last": lambda pull, g, x: [
            np.moveaxis(g.reshape(len(x), *x.shape[2:], x.shape[1]), -1, 1) if x.ndim > 1 else g
        ],
    },
)

SPECS = (DENSE, FLATTEN)
TestDense = proof_of(*SPECS)
