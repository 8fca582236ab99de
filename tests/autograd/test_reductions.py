"""Summaries of axes and the matrix product, against loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, argmax, argmin, grad, matmul, max, mean, min, sum, var
from minicnn.errors import ShapeError
from tests.ops.driver import for_all, proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import broadcastable, distinct, normal, seeds, shapes

INF, NAN = math.inf, math.nan


def x_of(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape))


def reduced(summary: Callable[[list[float]], float]) -> Callable[..., np.ndarray]:
    """Return the oracle that collects the numbers of each result and summarises them."""

    def oracle(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
        axes = range(x.ndim) if axis is None else ((axis,) if isinstance(axis, int) else axis)
        gone = {a % x.ndim for a in axes} if x.ndim else set()
        kept = tuple(1 if i in gone else n for i, n in enumerate(x.shape))
        y = np.empty(kept)
        numbers: dict[tuple[int, ...], list[float]] = {at: [] for at in np.ndindex(*kept)}
        for at in np.ndindex(x.shape):
            numbers[tuple(0 if i in gone else k for i, k in enumerate(at))].append(x[at].item())
        for at, group in numbers.items():
            y[at] = summary(group)
        return y if keepdims else y.reshape([n for i, n in enumerate(kept) if i not in gone])

    return oracle


@st.composite
def reductions(draw: st.DrawFn, values: Callable[..., np.ndarray] = normal) -> Case:
    shape = draw(shapes(0, 4, longest=3))
    axes: Any = None
    if shape and draw(st.booleans()):
        axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=3))
        negative = draw(st.booleans())
        axes = tuple(a - len(shape) if negative else a for a in axes)
        axes = axes[0] if len(axes) == 1 and draw(st.booleans()) else axes
    return Case((values(draw(seeds), *shape),), {"axis": axes, "keepdims": draw(st.booleans())})


def edges(empty: tuple[int, ...], axis: Any) -> dict[str, Case]:
    return {
        "empty": Case((np.zeros(empty),), {"axis": axis}),
        "one number": Case((normal(0),), {"axis": None}),
        "no axes": Case((normal(0, 2, 3),), {"axis": ()}),
        "axes of one": Case((normal(0, 1, 3, 1),), {"axis": (0, 2)}),
        "images": Case((distinct(0, 2, 3, 4, 5),), {"axis": (0, 2, 3)}),
        "a long row": Case((normal(0, 2, 999),), {"axis": 1}),
    }


def errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(x_of(2, 3), 2), ShapeError, rf"{name}: axis 2 does not fit shape \(2, 3\)"
        ),
        ErrorCase(lambda: op(x_of(2, 3), (0, -2)), ShapeError, r"axis \(0, -2\) does not fit"),
        ErrorCase(lambda: op(x_of(), 0), ShapeError, r"axis 0 does not fit shape \(\)"),
    )


def nothing(op: Any, name: str) -> ErrorCase:
    return ErrorCase(
        lambda: op(x_of(2, 0), 1),
        ShapeError,
        rf"{name}: shape \(2, 0\) has no elements along axes \(1,\)",
    )


def rows(x: list[list[float]], y: Any, axis: int = 1) -> Special:
    return Special(Case((np.array(x),), {"axis": axis}), y)


def whole(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


def size_of(case: Case) -> int:
    return case.arrays[0].size


def other_axis(pull, g, x, axis, keepdims=False):
    """The gradient spread in the wrong place."""
    (d,) = pull(g, x, axis=axis, keepdims=keepdims)
    return [np.roll(d.reshape(-1), 1).reshape(d.shape)]


def count(x: np.ndarray, y: np.ndarray) -> float:
    return x.size / y.size if y.size else 1.0


def variance(group: list[float]) -> float:
    centre = math.fsum(group) / len(group)
    return math.fsum((v - centre) ** 2 for v in group) / len(group)


SUM = OpSpec(
    name="sum",
    op=sum,
    cases=reductions(),
    oracle=reduced(math.fsum),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 0),
    special={"NaN and infinity": rows([[NAN, 1], [INF, 1], [INF, -INF]], [NAN, INF, NAN])},
    errors=errors(sum, "sum"),
    forward_mutants={
        "mean": lambda y, x, **o: y / (2 * count(x, y)),
        "of the absolute values": lambda y, x, **o: reduced(math.fsum)(abs(x), **o),
    },
    backward_mutants={
        "divided": lambda pull, g, x, **o: [pull(g, x, **o)[0] / (2 * count(x, g))],
        "one place off": other_axis,
    },
    summands=size_of,
)

MEAN = OpSpec(
    name="mean",
    op=mean,
    cases=reductions(),
    oracle=reduced(lambda group: math.fsum(group) / len(group)),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 1),
    special={
        "NaN and infinity": rows([[NAN, 1], [INF, 1], [INF, -INF]], [NAN, INF, NAN]),
        "of nothing": Special(Case((np.zeros((2, 0)),), {"axis": 1}), [NAN, NAN]),
    },
    errors=errors(mean, "mean"),
    forward_mutants={
        "n - 1": lambda y, x, **o: y * count(x, y) / (count(x, y) - 0.5),
        "median": lambda y, x, axis, **o: np.median(x, axis, **o) if axis != () else y,
    },
    backward_mutants={
        "not divided": lambda pull, g, x, **o: [2 * count(x, g) * pull(g, x, **o)[0]],
        "one place off": other_axis,
    },
    summands=size_of,
)

VAR = OpSpec(
    name="var",
    op=var,
    cases=reductions(),
    oracle=reduced(variance),
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges=edges((0, 3), 1),
    special={"NaN": rows([[NAN, 1], [2, 2]], [NAN, 0])},
    errors=errors(var, "var"),
    forward_mutants={
        "n - 1": lambda y, x, **o: y * count(x, y) / (count(x, y) - 0.5),
        "mean of the squares": lambda y, x, axis, **o: (x * x).mean(axis, **o),
        "standard deviation": lambda y, x, **o: np.sqrt(y),
    },
    backward_mutants={
        "2 missing": lambda pull, g, x, **o: [pull(g, x, **o)[0] / 2],
        "mean not subtracted": lambda pull, g, x, axis, keepdims=False: [
            pull(g, x, axis=axis, keepdims=keepdims)[0] + 1e-3 * x
        ],
        "one place off": other_axis,
    },
    summands=lambda case: 4 * case.arrays[0].size,
)


def extreme(name: str, op: Any, oracle: Any, worse: Any) -> OpSpec:
    def to_all(pull, g, x, axis, keepdims=False):
        return [grad_of(sum, g, x, axis, keepdims)]

    return OpSpec(
        name=name,
        op=op,
        cases=reductions(distinct),
        oracle=reduced(oracle),
        integers=Case((whole(2, 3) - 3,), {"axis": 1}),
        edges=edges((0, 3), 1),
        special={
            "NaN shows": rows([[NAN, 1], [1, NAN]], [NAN, NAN]),
            "infinities": rows([[INF, INF], [-INF, -INF]], [INF, -INF]),
        },
        errors=(*errors(op, name), nothing(op, name)),
        forward_mutants={
            "the other end": lambda y, x, **o: reduced(worse)(x, **o),
            "of the absolute values": lambda y, x, **o: reduced(oracle)(abs(x), **o),
        },
        backward_mutants={
            "to the other end": lambda pull, g, x, **o: pull(g, -x, **o),
            "to all": to_all,
            "one place off": other_axis,
        },
    )


def grad_of(op: Any, g: np.ndarray, x: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    kept = reduced(len)(x, axis, True).shape
    return np.array(np.broadcast_to(g.reshape(kept), x.shape))


MAX = extreme("max", max, lambda group: sorted(group)[-1], lambda group: sorted(group)[0])
MIN = extreme("min", min, lambda group: sorted(group)[0], lambda group: sorted(group)[-1])


@st.composite
def products(draw: st.DrawFn) -> Case:
    i, k, j = (draw(st.integers(1, 4)) for _ in range(3))
    lead_a, lead_b = broadcastable(draw, 2, most_axes=2)
    kind = draw(st.sampled_from(["matrices", "matrices", "vector a", "vector b", "vectors"]))
    a = (k,) if kind in ("vector a", "vectors") else (*lead_a, i, k)
    b = (k,) if kind in ("vector b", "vectors") else (*lead_b, k, j)
    seed = draw(seeds)
    return Case((normal(seed, *a), normal(seed + 1, *b)))


def matmul_definition(a, b):
    """y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]; a vector's own axis is dropped."""
    wide_a = a.reshape(1, -1) if a.ndim == 1 else a
    wide_b = b.reshape(-1, 1) if b.ndim == 1 else b
    lead = np.broadcast_shapes(wide_a.shape[:-2], wide_b.shape[:-2])
    wide_a = np.broadcast_to(wide_a, (*lead, *wide_a.shape[-2:]))
    wide_b = np.broadcast_to(wide_b, (*lead, *wide_b.shape[-2:]))
    y = np.empty((*lead, wide_a.shape[-2], wide_b.shape[-1]))
    for *at, i, j in np.ndindex(y.shape):
        y[(*at, i, j)] = math.fsum(
            wide_a[(*at, i, k)] * wide_b[(*at, k, j)] for k in range(wide_a.shape[-1])
        )
    y = y[..., 0, :] if a.ndim == 1 else y
    return y[..., 0] if b.ndim == 1 else y


def product(*two: tuple[int, ...]) -> Case:
    return Case(tuple(normal(k, *shape) for k, shape in enumerate(two)))


def not_transposed(pull, g, a, b):
    right = pull(g, a, b)
    if b.ndim > 1 and b.shape[-1] == b.shape[-2]:
        right[0] = pull(g, a, b.swapaxes(-1, -2))[0]
    return right


def first_of_the_stack(pull, g, a, b):
    """`=` for `+=` over broadcast stacks."""
    right = pull(g, a, b)
    lead = g.ndim - (a.ndim > 1) - (b.ndim > 1)
    if not lead:
        return right
    last = np.zeros_like(g)
    last[-1] = g[-1]
    return [pull(last, a, b)[0] if a.ndim < g.ndim else right[0], right[1]]


def gradients_exchanged(pull, g, a, b):
    first, second = pull(g, a, b)
    return [second, first] if first.shape == second.shape else [-first, second]


MATMUL = OpSpec(
    name="matmul",
    op=matmul,
    cases=products(),
    oracle=matmul_definition,
    integers=Case((whole(2, 3), whole(3, 2))),
    edges={
        "empty": product((0, 3), (3, 2)),
        "an empty stack": product((0, 2, 3), (3, 2)),
        "nothing to sum": product((2, 0), (0, 3)),
        "vectors": product((3,), (3,)),
        "vector and matrix": product((3,), (3, 2)),
        "matrix and vector": product((2, 3), (3,)),
        "stack and vector": product((4, 2, 3), (3,)),
        "vector and stack": product((3,), (4, 3, 2)),
        "stacks that broadcast": product((3, 1, 2, 3), (4, 3, 2)),
        "square": product((3, 3), (3, 3)),
        "more than one piece of work": product((90, 150), (150, 170)),
    },
    special={
        "NaN stays in its row": Special(
            Case((np.array([[NAN, 1], [1, 1]]), np.ones((2, 1)))), [[NAN], [2]]
        ),
    },
    errors=(
        ErrorCase(
            lambda: matmul(x_of(2, 3), x_of(4, 5)),
            ShapeError,
            r"matmul: shapes \(2, 3\) and \(4, 5\) do not fit; the last axis of a must equal the "
            "last but one of b",
        ),
        ErrorCase(
            lambda: matmul(x_of(), x_of(2)), ShapeError, r"shapes \(\) and \(2,\) do not fit"
        ),
        ErrorCase(lambda: matmul(x_of(2, 2, 2), x_of(3, 2, 2)), ShapeError, "do not fit"),
    ),
    forward_mutants={
        "the other way round": lambda y, a, b: b @ a if a.shape == b.shape else y + 1,
        "last summand forgotten": lambda y, a, b: (
            y - matmul_definition(a[..., -1:], b[..., -1:] if b.ndim == 1 else b[..., -1:, :])
        ),
    },
    backward_mutants={
        "not transposed": not_transposed,
        "= for += over the stack": first_of_the_stack,
        "exchanged": gradients_exchanged,
    },
    summands=lambda case: case.arrays[0].size + case.arrays[1].size,
)

SPECS = (SUM, MEAN, VAR, MAX, MIN, MATMUL)
TestReductions = proof_of(*SPECS)

ERRORS = (
    *(
        error
        for op, name in ((argmax, "argmax"), (argmin, "argmin"))
        for error in errors(op, name)[::2]
    ),
    nothing(argmax, "argmax"),
    nothing(argmin, "argmin"),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:30])
def test_argmax_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


@pytest.mark.parametrize(("op", "best"), [(argmax, 1), (argmin, -1)])
def test_argmax_and_argmin_find_the_first_place(op, best):
    def check(case: Case) -> None:
        (x,) = case.arrays
        x = np.rint(x)  # ties
        axis = case.options["axis"]
        axis = axis if axis is None or isinstance(axis, int) else (axis[0] if axis else None)
        lines = (
            [x.reshape(-1)] if axis is None else np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
        )
        places = []
        for line in lines:
            k = 0
            for i in range(len(line)):
                k = i if best * line[i] > best * line[k] else k
            places.append(k)
        y = op(Tensor(x, requires_grad=True), axis)
        assert y.dtype == np.int64
        assert not y.requires_grad
        assert y.data.reshape(-1).tolist() == places

    for_all(reductions(), check, 60)


@pytest.mark.parametrize("op", [max, min])
def test_ties_share_the_gradient_equally(op):
    x = Tensor(np.array([[2.0, 2.0, 2.0], [1.0, 5.0, 5.0]]), requires_grad=True)
    y = op(x, axis=1)
    y.backward(np.array([3.0, 4.0]))
    expected = [[1, 1, 1], [0, 2, 2]] if op is max else [[1, 1, 1], [4, 0, 0]]
    assert x.grad.data.tolist() == expected


def test_variance_survives_a_large_mean():
    x = normal(0, 1000)
    np.testing.assert_allclose(var(Tensor(x + 1e6)).data, np.var(x), rtol=1e-8)
    narrow = Tensor((x + 1000).astype(np.float32))
    np.testing.assert_allclose(var(narrow).data, np.var(narrow.data.astype(float)), rtol=1e-4)


def test_the_mean_of_many_half_precision_numbers_does_not_overflow():
    x = Tensor(np.full((300, 300), 3.0, np.float16), requires_grad=True)
    y = mean(x)
    assert y.dtype == np.float16
    assert y.item() == 3
    assert var(x).item() == 0
    assert grad(mean(x, 0), x, np.ones(300)).dtype == np.float16


def test_axes_may_be_numpy_numbers_and_lists():
    x = normal(0, 2, 3)
    for axis in (np.int64(1), [1], np.array([1])):
        np.testing.assert_allclose(sum(Tensor(x), axis).data, x.sum(1))


def test_a_mean_of_whole_numbers_is_a_float():
    y = mean(Tensor([1, 2]))
    assert y.dtype == np.float64
    assert y.item() == 1.5


def test_the_gradient_of_a_sum_is_not_written_through():
    """dL/dx of a sum is one number seen many times: adding to it in place would spoil it."""
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    sum(x).backward()
    first = x.grad
    sum(x).backward()
    assert first.data.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert x.grad.data.tolist() == [[2, 2, 2], [2, 2, 2]]
    assert grad(sum(x), x).data.sum() == 6
