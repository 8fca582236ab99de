"""Reading at places that indices name, against loops over the indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, watched_by
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import gather, gather_nd, one_hot, take_along_axis
from tests.ops.driver import for_all, proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal, seeds, shapes


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


def whole(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape)


@st.composite
def indices_below(draw: st.DrawFn, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Indices along an axis of n, from -n to n - 1; some of them alike."""
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from([np.int64, np.int64, np.int32, np.int8]))
    return np.asarray(rng.integers(-n, n, shape), kind)


def called(shape: tuple[int, ...], indices: Any, **options: Any) -> Case:
    return Case((normal(len(shape), *shape),), {"indices": np.array(indices), **options})


def overwritten(places: Any) -> Any:
    """`=` for `+=`: what is taken twice gets the gradient of the last alone."""

    def mutant(pull, g, x, **options):
        numbers = np.arange(float(x.size)).reshape(x.shape)
        at = places(numbers, **options).reshape(-1).astype(int)
        d = np.zeros(x.size)
        d[at] = g.reshape(-1)
        return [d.reshape(x.shape)]

    return mutant


def clipped(definition: Any) -> Any:
    """Negative indices taken for 0."""
    return lambda y, x, indices, **o: definition(x, np.maximum(indices, 0), **o)


def moved(pull: Any, g: np.ndarray, x: np.ndarray, **options: Any) -> list[np.ndarray]:
    return [np.roll(pull(g, x, **options)[0].reshape(-1), 1).reshape(x.shape)]


@st.composite
def gatherings(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 3, longest=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    indices = draw(indices_below(shape[axis], draw(shapes(0, 2, longest=3))))
    return Case((normal(draw(seeds), *shape),), {"indices": indices, "axis": axis})


def gather_definition(x, indices, axis=0):
    axis %= x.ndim
    y = np.empty((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    for at in np.ndindex(y.shape):
        k = indices[at[axis : axis + indices.ndim]]
        y[at] = x[(*at[:axis], k, *at[axis + indices.ndim :])]
    return y


GATHER = OpSpec(
    name="gather",
    op=gather,
    cases=gatherings(),
    oracle=gather_definition,
    integers=Case((whole(2, 3),), {"indices": np.array([2, 0]), "axis": 1}),
    edges={
        "empty": called((0, 3), [0, 0, -1], axis=1),
        "nothing taken": called((2, 3), np.zeros(0, int)),
        "nothing taken of nothing": called((0, 3), np.zeros((2, 0), int)),
        "one index": called((2, 3), 1, axis=1),
        "always the same": called((3, 2), [1, 1, 1, 1]),
        "rows of words": called((4, 3), [[0, 3], [3, -1]]),
        "channels": called((2, 3, 2, 2), [2, 0], axis=1),
        "small unsigned numbers": called((3,), np.array([2, 1], np.uint8)),
        "long rows": called((3, 200), [2, 0, 2, 1]),
    },
    errors=(
        ErrorCase(
            lambda: gather(t(2, 3), [0, 3], 1),
            ShapeError,
            r"gather: index 3 at \(1,\) of indices \(2,\) does not fit axis 1 of x \(2, 3\); use "
            "-3 ... 2",
        ),
        ErrorCase(lambda: gather(t(2, 3), -3), ShapeError, r"index -3 at \(\) of indices \(\) "),
        ErrorCase(
            lambda: gather(t(2, 3), [0.0]),
            DTypeError,
            r"gather: indices \(1,\) are float32; they must be whole numbers, use .astype",
        ),
        ErrorCase(lambda: gather(t(2), np.array([True])), DTypeError, "are bool"),
        ErrorCase(lambda: gather(t(2), 0, 1), ShapeError, "gather: axis 1 does not fit"),
        ErrorCase(lambda: gather(t(), 0), ShapeError, "a single number has no axes"),
        ErrorCase(
            lambda: gather(t(2), on_gpu(2)),
            DeviceError,
            r"gather: x \(2,\) is on cpu, indices \(2,\) on cuda:0; move one",
        ),
    ),
    forward_mutants={"negative ones clipped": clipped(gather_definition)},
    backward_mutants={"= for +=": overwritten(gather_definition), "one place off": moved},
    summands=lambda case: 9,
)


@st.composite
def takings(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 3, longest=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    lengths = [draw(st.sampled_from([n, n, draw(st.integers(1, n))])) for n in shape]
    lengths[axis] = draw(st.integers(1, 4))
    indices = draw(indices_below(shape[axis], tuple(lengths)))
    return Case((normal(draw(seeds), *shape),), {"indices": indices, "axis": axis})


def take_definition(x, indices, axis=-1):
    y = np.empty(indices.shape)
    for at in np.ndindex(y.shape):
        source = list(at)
        source[axis] = indices[at]
        y[at] = x[tuple(source)]
    return y


def along_errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    """What ops say whose indices point along one axis: ``op(x, indices, axis)``."""
    return (
        ErrorCase(
            lambda: op(t(2, 3), np.zeros((2, 3, 1), int), 1),
            ShapeError,
            rf"{name}: indices \(2, 3, 1\) must have as many axes as x \(2, 3\), and be no longer "
            "than it along others than axis 1; reshape them",
        ),
        ErrorCase(
            lambda: op(t(2, 3), np.zeros((3, 3), int), 1), ShapeError, r"indices \(3, 3\) must"
        ),
        ErrorCase(
            lambda: op(t(2, 3), np.array([[0, 1], [1, -4]]), 1),
            ShapeError,
            rf"{name}: index -4 at \(1, 1\) of indices \(2, 2\) does not fit axis 1 of x \(2, 3\)",
        ),
        ErrorCase(lambda: op(t(2, 3), np.ones((2, 3)), 1), DTypeError, "are float64; they must be"),
        ErrorCase(lambda: op(t(2, 3), np.ones((2, 3), int), 2), ShapeError, "axis 2 does not fit"),
    )


TAKE_ALONG_AXIS = OpSpec(
    name="take_along_axis",
    op=take_along_axis,
    cases=takings(),
    oracle=take_definition,
    integers=Case((whole(2, 3),), {"indices": np.array([[2, 0], [1, 1]])}),
    edges={
        "empty": called((0, 3), np.zeros((0, 2), int)),
        "nothing taken": called((2, 3), np.zeros((2, 0), int)),
        "no columns": called((2, 0), np.zeros((2, 0), int), axis=0),
        "always the same": called((3, 2), [[1, 1], [1, 1], [1, 1]], axis=0),
        "a part of x": called((3, 3), [[2, 2, 0, 1]]),
        "images": called((1, 2, 3, 3), np.full((1, 2, 3, 1), -1), axis=3),
    },
    errors=along_errors(take_along_axis, "take_along_axis"),
    forward_mutants={
        "negative ones clipped": clipped(take_definition),
        "along another axis": lambda y, x, indices, axis=-1: (
            take_definition(x, indices % min(x.shape), (axis % x.ndim + 1) % x.ndim)
            if x.size and indices.shape == x.shape
            else y
        ),
    },
    backward_mutants={"= for +=": overwritten(take_definition), "one place off": moved},
    summands=lambda case: 4,
)


@st.composite
def nd_gatherings(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 4, longest=3))
    batch = draw(st.sampled_from([0, 0, 1, 2]))
    batch = min(batch, len(shape))
    deep = draw(st.integers(0, len(shape) - batch))
    lead = (*shape[:batch], *draw(shapes(0, 2, longest=3)))
    columns = [draw(indices_below(n, lead)) for n in shape[batch : batch + deep]]
    indices = np.stack(columns, -1) if columns else np.zeros((*lead, 0), int)
    return Case((normal(draw(seeds), *shape),), {"indices": indices, "batch_dims": batch})


def gather_nd_definition(x, indices, batch_dims=0):
    lead, deep = indices.shape[:-1], indices.shape[-1]
    y = np.empty((*lead, *x.shape[batch_dims + deep :]))
    for at in np.ndindex(y.shape):
        row = tuple(indices[at[: len(lead)]])
        y[at] = x[(*at[:batch_dims], *row, *at[len(lead) :])]
    return y


GATHER_ND = OpSpec(
    name="gather_nd",
    op=gather_nd,
    cases=nd_gatherings(),
    oracle=gather_nd_definition,
    integers=Case((whole(2, 3),), {"indices": np.array([[1, 2], [0, 0]])}),
    edges={
        "empty": called((0, 3), np.zeros((0, 1), int), batch_dims=1),
        "nothing taken": called((2, 3), np.zeros((0, 2), int)),
        "one element": called((2, 3), [1, -1]),
        "the whole": called((2, 3), np.zeros((2, 0), int)),
        "rows": called((2, 3), [[1], [0], [1]]),
        "a batch": called((2, 3, 2), [[[1], [2]], [[0], [0]]], batch_dims=1),
    },
    errors=(
        ErrorCase(
            lambda: gather_nd(t(2, 3), np.zeros((2, 3), int)),
            ShapeError,
            r"gather_nd: indices \(2, 3\) do not fit x \(2, 3\); their first 0 axes must be x's, "
            "and their last no longer than the 2 axes x has behind those",
        ),
        ErrorCase(lambda: gather_nd(t(2, 3), np.zeros((3, 1), int), 1), ShapeError, "first 1 axes"),
        ErrorCase(
            lambda: gather_nd(t(2, 3), np.zeros((2, 1), int), 2),
            ConfigError,
            r"gather_nd: x \(2, 3\) and indices \(2, 1\) have no 2 batch axes \(the last axis of",
        ),
        ErrorCase(lambda: gather_nd(t(2, 3), 1), ConfigError, "have no 0 batch axes"),
        ErrorCase(lambda: gather_nd(t(2, 3), [0], 0.5), ConfigError, "batch_dims must be a whole"),
        ErrorCase(
            lambda: gather_nd(t(2, 3), [[1, 3]]),
            ShapeError,
            r"index 3 at \(0, 1\) of indices \(1, 2\) does not fit axis 1 of x \(2, 3\)",
        ),
    ),
    forward_mutants={"negative ones clipped": clipped(gather_nd_definition)},
    backward_mutants={"= for +=": overwritten(gather_nd_definition), "one place off": moved},
    summands=lambda case: 9,
)

SPECS = (GATHER, TAKE_ALONG_AXIS, GATHER_ND)
TestIndexing = proof_of(*SPECS)


@st.composite
def hot(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3, longest=3))
    rng = np.random.default_rng(draw(seeds))
    depth = draw(st.integers(1, 4))
    options: dict[str, Any] = {
        "depth": depth,
        "axis": draw(st.integers(-len(shape) - 1, len(shape))),
    }
    outside = draw(st.sampled_from(["error", "off", "wrap"]))
    low, high = (0, depth) if outside == "error" else (-2 * depth, 2 * depth)
    if outside != "error":
        options["outside"] = outside
    if draw(st.booleans()):
        options |= {"on": 3, "off": -2, "dtype": draw(st.sampled_from([np.int32, np.float64]))}
    return Case((rng.integers(low, high, shape),), options)


def one_hot_definition(indices, depth, axis=-1, on=1.0, off=0.0, dtype=np.float32, outside="error"):
    at = axis % (indices.ndim + 1)
    y = np.full((*indices.shape[:at], depth, *indices.shape[at:]), off, dtype)
    for place in np.ndindex(indices.shape):
        k = int(indices[place])
        if outside == "wrap" and -depth <= k < 0:
            k += depth
        if 0 <= k < depth:
            y[(*place[:at], k, *place[at:])] = on
    return y


def test_one_hot_is_the_definition():
    def check(case: Case) -> None:
        y = one_hot(*case.arrays, **case.options)
        right = one_hot_definition(*case.arrays, **case.options)
        assert y.dtype == right.dtype
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, right)

    for_all(hot(), check, 200)


def test_one_hot_of_nothing_and_of_a_list():
    assert one_hot([], 3).shape == (0, 3)
    assert one_hot(np.zeros((2, 0), np.int8), 3, axis=0).shape == (3, 2, 0)
    assert one_hot([1, 0], 0, outside="off").shape == (2, 0)
    assert one_hot(Tensor([2, 0]), 3).data.tolist() == [[0, 0, 1], [1, 0, 0]]


ERRORS = (
    ErrorCase(
        lambda: one_hot([[0, 1], [2, -1]], 3),
        ConfigError,
        r"one_hot: index -1 at \(1, 1\) of indices \(2, 2\) is outside 0 ... 2; mend it",
    ),
    ErrorCase(lambda: one_hot(3, 3), ConfigError, r"index 3 at \(\) of indices \(\) is outside"),
    ErrorCase(lambda: one_hot([3], 3), ConfigError, r"index 3 at \(0,\) of indices \(1,\) is outs"),
    ErrorCase(
        lambda: one_hot([0], -1),
        ConfigError,
        "one_hot: needs depth >= 0 and outside 'error', 'off'",
    ),
    ErrorCase(lambda: one_hot([0], 1, outside="clip"), ConfigError, "got 1 and 'clip'"),
    ErrorCase(lambda: one_hot([0], 1.0), ConfigError, "depth must be a whole number, got 1.0"),
    ErrorCase(lambda: one_hot([0.0], 1), DTypeError, "one_hot: indices .* must be whole numbers"),
    ErrorCase(lambda: one_hot([0], 3, axis=2), ShapeError, "one_hot: axis 2 does not fit"),
    ErrorCase(
        lambda: one_hot([0], 3, dtype="big"), DTypeError, "one_hot: 'big' is no type of real"
    ),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:30])
def test_one_hot_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


def test_who_looks_on_sees_one_op():
    seen = []
    with watched_by(lambda op, args, kwargs, y: seen.append(op.__name__)):
        gather(t(2, 3), [0])
        take_along_axis(t(2, 3), [[0]])
        gather_nd(t(2, 3), [0])
        one_hot([0], 2)
    assert seen == ["gather", "take_along_axis", "gather_nd", "one_hot"]
