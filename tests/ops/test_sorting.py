"""Sorting and the largest few, against Python's own sorting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad, watched_by
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import argsort, sort, take_along_axis, top_k
from tests.ops.driver import for_all, proof_of
from tests.ops.loops import lines
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import distinct, seeds, shapes

INF, NAN = math.inf, math.nan


def t(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


def whole(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


def in_order(numbers: list[float], descending: bool = False) -> list[int]:
    """The places of the numbers, sorted: NaN the largest, equals by place."""

    def rank(i: int) -> tuple[float, float, int]:
        v = numbers[i]
        lost = math.isnan(v)
        return (-lost, 0.0 if lost else -v, i) if descending else (lost, 0.0 if lost else v, i)

    return sorted(range(len(numbers)), key=rank)


def along(x: np.ndarray, axis: int, pick: Any, k: int | None = None) -> np.ndarray:
    """Collect the k numbers that `pick` makes of every line along an axis."""
    shape = list(x.shape)
    shape[axis] = shape[axis] if k is None else k
    y = np.empty(shape)
    for at, numbers in lines(x, axis):
        y[at] = pick(numbers)
    return y


def sort_definition(x, axis=-1, descending=False):
    return along(x, axis, lambda v: [v[i] for i in in_order(v, descending)])


def argsort_definition(x, axis=-1, descending=False):
    return along(x, axis, lambda v: in_order(v, descending))


def best_places(numbers, k, largest=True, ordered=True):
    found = in_order(numbers, largest)[:k]
    return found if ordered else sorted(found)


def top_definition(x, k, axis=-1, largest=True, sorted=True):
    return along(x, axis, lambda v: [v[i] for i in best_places(v, k, largest, sorted)], k)


@st.composite
def sorts(draw: st.DrawFn, values: Any = distinct) -> Case:
    shape = draw(shapes(1, 3))
    return Case(
        (values(draw(seeds), *shape),),
        {
            "axis": draw(st.integers(-len(shape), len(shape) - 1)),
            "descending": draw(st.booleans()),
        },
    )


def sort_errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(t(2, 3), 2),
            ShapeError,
            rf"{name}: axis 2 does not fit shape \(2, 3\); its axes are -2 ... 1",
        ),
        ErrorCase(lambda: op(t()), ShapeError, rf"{name}: .* a single number has no axes"),
    )


def in_place(pull: Any, g: np.ndarray, x: np.ndarray, **options: Any) -> list[np.ndarray]:
    """As if nothing had moved."""
    return [g if g.shape == x.shape else 2 * pull(g, x, **options)[0]]


def other_way(option: str, default: bool) -> Any:
    def mutant(pull, g, x, **options):
        return pull(g, x, **{**options, option: not options.get(option, default)})

    return mutant


SORT = OpSpec(
    name="sort",
    op=sort,
    cases=sorts(),
    oracle=sort_definition,
    integers=Case((whole(2, 3)[:, ::-1] - 2,), {"axis": 1}),
    edges={
        "empty": Case((np.zeros((0, 3)),), {}),
        "along nothing": Case((np.zeros((3, 0)),), {}),
        "one number": Case((distinct(0, 1),), {}),
        "more than a handful": Case((distinct(1, 2, 40),), {"descending": True}),
    },
    special={
        "NaN last": Special(Case((np.array([NAN, INF, -INF, 0, NAN]),)), [-INF, 0, INF, NAN, NAN]),
        "NaN first": Special(
            Case((np.array([NAN, INF, -INF, 0]),), {"descending": True}), [NAN, INF, 0, -INF]
        ),
    },
    errors=sort_errors(sort, "sort"),
    forward_mutants={
        "always ascending": lambda y, x, axis=-1, descending=False: np.sort(x, axis),
        "along the last axis": lambda y, x, axis=-1, descending=False: sort_definition(
            x, -1, descending
        ),
    },
    backward_mutants={"in place": in_place, "in the other order": other_way("descending", False)},
)


@st.composite
def bests(draw: st.DrawFn, values: Any = distinct) -> Case:
    shape = list(draw(shapes(1, 3)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    if draw(st.booleans()):
        shape[axis] = draw(st.integers(9, 20))  # where the k best are found before they are sorted
    k = draw(st.one_of(st.integers(0, shape[axis]), st.sampled_from([1, 2, shape[axis]])))
    options = {"k": min(k, shape[axis]), "axis": axis}
    options |= {name: draw(st.booleans()) for name in ("largest", "sorted")}
    return Case((values(draw(seeds), *shape),), options)


TOP_K = OpSpec(
    name="top_k",
    op=lambda x, **options: top_k(x, **options)[0],
    cases=bests(),
    oracle=top_definition,
    integers=Case((whole(2, 30) % 17,), {"k": 3, "largest": False}),
    edges={
        "empty": Case((np.zeros((0, 3)),), {"k": 2}),
        "an empty batch of long rows": Case((np.zeros((0, 30)),), {"k": 2}),
        "none of nothing": Case((np.zeros((2, 0)),), {"k": 0}),
        "none": Case((distinct(0, 2, 30),), {"k": 0}),
        "all": Case((distinct(0, 2, 5),), {"k": 5}),
        "in order of place": Case((distinct(0, 2, 30),), {"k": 3, "sorted": False}),
        "of channels": Case((distinct(0, 2, 20, 2),), {"k": 2, "axis": 1, "largest": False}),
    },
    special={
        "NaN first": Special(Case((np.array([1, NAN, INF, -INF]),), {"k": 3}), [NAN, INF, 1]),
        "NaN last": Special(
            Case((np.array([1, NAN, INF, -INF]),), {"k": 4, "largest": False}), [-INF, 1, INF, NAN]
        ),
        "NaN among many": Special(
            Case((np.array([0, NAN, *range(30), NAN, INF]),), {"k": 4}), [NAN, NAN, INF, 29]
        ),
        "few but NaN": Special(
            Case((np.array([NAN] * 30 + [1]),), {"k": 2, "largest": False}), [1, NAN]
        ),
    },
    errors=(
        *sort_errors(lambda x, axis=-1: top_k(x, 1, axis), "top_k"),
        ErrorCase(
            lambda: top_k(t(2, 3), 4),
            ShapeError,
            r"top_k: k 4 must be from 0 to 3, the length of axis -1 of x \(2, 3\)",
        ),
        ErrorCase(lambda: top_k(t(2, 3), -1, 0), ShapeError, "k -1 must be from 0 to 2"),
        ErrorCase(lambda: top_k(t(2, 3), 1.0), ConfigError, "top_k: k must be a whole number"),
    ),
    forward_mutants={
        "always the largest": lambda y, x, **o: top_definition(x, **{**o, "largest": True}),
        "always sorted": lambda y, x, **o: top_definition(x, **{**o, "sorted": True}),
        "the first ones": lambda y, x, k, axis=-1, **o: np.take(x, range(k), axis),
    },
    backward_mutants={
        "to the others": lambda pull, g, x, **o: pull(g, -x, **o),
        "in the other order": other_way("sorted", True),
    },
)

SPECS = (SORT, TOP_K)
TestSorting = proof_of(*SPECS)

ERRORS = sort_errors(argsort, "argsort")


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:30])
def test_argsort_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


def tied(seed: int, *shape: int) -> np.ndarray:
    """Few different numbers, some of them NaN or infinite."""
    return np.asarray(np.random.default_rng(seed).choice([0.0, -0.0, 1.0, 2.0, NAN, -INF], shape))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.uint8, np.bool_])
def test_equals_stay_in_order(dtype):
    """-0 equals 0, NaN equals NaN."""

    def values(seed: int, *shape: int) -> np.ndarray:
        x = tied(seed, *shape)
        return (
            x.astype(dtype)
            if np.dtype(dtype).kind == "f"
            else np.nan_to_num(x, neginf=3).astype(dtype)
        )

    def check_sort(case: Case) -> None:
        (x,) = case.arrays
        places = argsort(Tensor(x), **case.options)
        assert places.dtype == np.int64
        np.testing.assert_array_equal(places.data, argsort_definition(x, **case.options))
        y = sort(Tensor(x), **case.options)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y.data, sort_definition(x, **case.options).astype(dtype))

    def check_top(case: Case) -> None:
        (x,), options = case.arrays, case.options
        best, places = top_k(Tensor(x), **options)
        assert (best.dtype, places.dtype) == (dtype, np.int64)
        right = along(
            x,
            options["axis"],
            lambda v: best_places(v, options["k"], options["largest"], options["sorted"]),
            options["k"],
        )
        np.testing.assert_array_equal(places.data, right)
        np.testing.assert_array_equal(
            best.data, take_along_axis(x, right.astype(int), options["axis"]).data
        )

    for_all(sorts(values), check_sort, 60)
    for_all(bests(values), check_top, 60)


def test_the_gradient_goes_to_the_elements_found():
    x = Tensor(np.array([3.0, 9.0, 9.0, 1.0]), requires_grad=True)
    best, places = top_k(x, 2)
    assert places.data.tolist() == [1, 2]
    assert not places.requires_grad
    assert grad(best, x, np.array([5.0, 7.0])).data.tolist() == [0, 5, 7, 0]


def test_who_looks_on_sees_one_op_and_both_results():
    seen = []
    with watched_by(lambda op, args, kwargs, y: seen.append((op.__name__, y))):
        result = top_k(t(2, 3), 2)
        argsort(t(3))
        sort(t(3))
    assert [name for name, _ in seen] == ["top_k", "argsort", "sort"]
    assert seen[0][1] is result
