"""Writing at places that indices name, against loops over the indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import scatter_add, scatter_elements, scatter_nd
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.test_indexing import along_errors, indices_below, t, whole
from tests.ops.values import distinct, seeds, shapes

NAN = math.nan
REDUCTIONS = ["none", "add", "mul", "max", "min"]


def apart(seed: int, *two: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Two arrays of numbers no two of which are close."""
    sizes = [math.prod(shape) for shape in two]
    both = distinct(seed, sum(sizes))
    return both[: sizes[0]].reshape(two[0]), both[sizes[0] :].reshape(two[1])


def combined(old: float, new: float, reduction: str) -> float:
    if reduction == "add":
        return old + new
    if reduction == "mul":
        return old * new
    if reduction == "max":
        return new if new > old else old
    if reduction == "min":
        return new if new < old else old
    return new


@st.composite
def writings(draw: st.DrawFn, reductions: Any = None) -> Case:
    shape = draw(shapes(1, 3, longest=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    lengths = [draw(st.sampled_from([n, n, draw(st.integers(1, n))])) for n in shape]
    lengths[axis] = draw(st.integers(1, 4))
    indices = draw(indices_below(shape[axis], tuple(lengths)))
    options = {"indices": indices, "axis": axis}
    if reductions:
        options["reduction"] = draw(st.sampled_from(reductions))
    return Case(apart(draw(seeds), shape, indices.shape), options)


def elements_definition(x, updates, indices, axis=0, reduction="none"):
    y = x.astype(float)
    for at in np.ndindex(indices.shape):
        to = list(at)
        to[axis] = indices[at]
        y[tuple(to)] = combined(y[tuple(to)], updates[at], reduction)
    return y


def add_definition(x, updates, indices, axis=0):
    return elements_definition(x, updates, indices, axis, "add")


def written(shape: tuple[int, ...], indices: Any, **options: Any) -> Case:
    at = np.array(indices)
    return Case(apart(len(options), shape, at.shape), {"indices": at, **options})


def edges(**more: Any) -> dict[str, Case]:
    return {
        "empty": written((0, 3), np.zeros((0, 2), int), axis=1, **more),
        "nothing written": written((2, 3), np.zeros((0, 3), int), **more),
        "all at one place": written((3,), [1, 1, 1, 1, 1], **more),
        "a part of x": written((3, 3), [[2, 2, 0]], axis=1, **more),
        "no place twice": written((2, 3), [[2, 0, 1], [0, 1, 2]], axis=1, **more),
    }


def of_reduction(right: str, other: str) -> Any:
    def mutant(y, x, updates, **options):
        taken = other if options.get("reduction", "none") == right else options["reduction"]
        return elements_definition(x, updates, **{**options, "reduction": taken})

    return mutant


def nothing_kept_back(pull, g, x, updates, **options):
    """What was overwritten gets its gradient all the same."""
    return [g, pull(g, x, updates, **options)[1]]


def updates_alone(pull, g, x, updates, **options):
    return [pull(g, x, updates, **options)[0], 0.5 * pull(g, x, updates, **options)[1]]


def updates_rolled(pull, g, x, updates, **options):
    d, u = pull(g, x, updates, **options)
    return [d, np.roll(u.reshape(-1), 1).reshape(u.shape)]


def update_errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    """What ops say of their updates: ``op(x (2, 3), updates)`` needs updates (1, 3)."""
    return (
        ErrorCase(
            lambda: op(t(2, 3), t(2, 3)),
            ShapeError,
            rf"{name}: updates have shape \(2, 3\), but x \(2, 3\) and the indices need \(1, 3\)",
        ),
        ErrorCase(
            lambda: op(t(2, 3), t(1, 3, dtype=np.float32)),
            DTypeError,
            rf"{name}: x \(2, 3\) is float64, updates \(1, 3\) are float32; use .astype on one",
        ),
        ErrorCase(
            lambda: op(t(2, 3), on_gpu(1, 3)),
            DeviceError,
            rf"{name}: x \(2, 3\) is on cpu, updates \(1, 3\) on cuda:0; move one with .to",
        ),
    )


ONE_ROW = np.zeros((1, 3), int)

SCATTER_ADD = OpSpec(
    name="scatter_add",
    op=lambda x, updates, indices, axis=0: scatter_add(x, indices, updates, axis),
    cases=writings(),
    oracle=add_definition,
    integers=Case((whole(2, 3), whole(1, 3)), {"indices": np.array([[1, 1, 0]])}),
    edges=edges(),
    special={
        "NaN stays at its place": Special(
            Case((np.array([NAN, 1.0]), np.array([1.0])), {"indices": np.array([1])}), [NAN, 2]
        )
    },
    errors=(
        *along_errors(lambda x, i, axis: scatter_add(x, i, Tensor(i), axis), "scatter_add"),
        *update_errors(lambda x, u: scatter_add(x, ONE_ROW, u), "scatter_add"),
    ),
    forward_mutants={
        "= for +=": lambda y, x, updates, indices, axis=0: elements_definition(
            x, updates, indices, axis
        ),
        "into zeros": lambda y, x, *a, **o: y - x,
    },
    backward_mutants={"updates halved": updates_alone, "updates rolled": updates_rolled},
    summands=lambda case: 8,
)

SCATTER_ELEMENTS = OpSpec(
    name="scatter_elements",
    op=lambda x, updates, indices, axis=0, reduction="none": scatter_elements(
        x, indices, updates, axis, reduction
    ),
    cases=writings(REDUCTIONS),
    oracle=elements_definition,
    integers=Case(
        (whole(2, 3) - 3, whole(2, 3)),
        {"indices": np.array([[1, 1, 0], [1, 0, 0]]), "reduction": "max"},
    ),
    edges={
        f"{name}, {reduction}": case
        for reduction in REDUCTIONS
        for name, case in edges(reduction=reduction).items()
    }
    | edges(),
    special={
        f"NaN, {reduction}": Special(
            Case(
                (np.array([NAN, 1.0, 2.0]), np.array([2.0, NAN, 3.0])),
                {"indices": np.array([0, 1, 2]), "reduction": reduction},
            ),
            right,
        )
        for reduction, right in {
            "none": [2, NAN, 3],
            "add": [NAN, NAN, 5],
            "mul": [NAN, NAN, 6],
            "max": [NAN, NAN, 3],
            "min": [NAN, NAN, 2],
        }.items()
    },
    errors=(
        *along_errors(
            lambda x, i, axis: scatter_elements(x, i, Tensor(i), axis), "scatter_elements"
        ),
        *update_errors(lambda x, u: scatter_elements(x, ONE_ROW, u), "scatter_elements"),
        ErrorCase(
            lambda: scatter_elements(t(2), [0], t(1), reduction="sum"),
            ConfigError,
            "scatter_elements: reduction must be 'none', 'add', 'mul', 'max' or 'min', got 'sum'",
        ),
    ),
    forward_mutants={
        "added for written": of_reduction("none", "add"),
        "written for added": of_reduction("add", "none"),
        "added for multiplied": of_reduction("mul", "add"),
        "written for the largest": of_reduction("max", "none"),
        "written for the smallest": of_reduction("min", "none"),
    },
    backward_mutants={
        "what is overwritten gets its gradient": nothing_kept_back,
        "updates halved": updates_alone,
        "updates rolled": updates_rolled,
    },
    summands=lambda case: 16,
)


@st.composite
def nd_writings(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 3, longest=3))
    deep = draw(st.integers(0, len(shape)))
    lead = draw(shapes(0, 2, longest=3))
    columns = [draw(indices_below(n, lead)) for n in shape[:deep]]
    indices = np.stack(columns, -1) if columns else np.zeros((*lead, 0), int)
    return Case(
        apart(draw(seeds), shape, (*lead, *shape[deep:])),
        {"indices": indices, "reduction": draw(st.sampled_from(REDUCTIONS))},
    )


def nd_definition(x, updates, indices, reduction="none"):
    y = x.astype(float)
    deep, lead = indices.shape[-1], indices.shape[:-1]
    for at in np.ndindex(updates.shape):
        to = (*(int(k) for k in indices[at[: len(lead)]]), *at[len(lead) :])
        y[to] = combined(y[to], updates[at], reduction)
    assert updates.shape == (*lead, *x.shape[deep:])
    return y


def nd_written(shape: tuple[int, ...], indices: Any, **options: Any) -> Case:
    at = np.array(indices)
    updates = (*at.shape[:-1], *shape[at.shape[-1] :])
    return Case(apart(len(shape), shape, updates), {"indices": at, **options})


SCATTER_ND = OpSpec(
    name="scatter_nd",
    op=lambda x, updates, indices, reduction="none": scatter_nd(x, indices, updates, reduction),
    cases=nd_writings(),
    oracle=nd_definition,
    integers=Case((whole(2, 3), whole(1, 3)), {"indices": np.array([[1]]), "reduction": "mul"}),
    edges={
        "empty": nd_written((0, 3), np.zeros((0, 1), int)),
        "nothing written": nd_written((2, 3), np.zeros((0, 2), int), reduction="max"),
        "one element": nd_written((2, 3), [1, -1]),
        "the whole": nd_written((2, 3), np.zeros((2, 0), int), reduction="mul"),
        "rows": nd_written((2, 3), [[1], [0], [1]]),
        "rows, added": nd_written((3, 2), [[1], [1], [-2]], reduction="add"),
        "rows, the smallest": nd_written((3, 2), [[1], [1], [-2]], reduction="min"),
    },
    errors=(
        ErrorCase(
            lambda: scatter_nd(t(2), np.zeros((1, 2), int), t(1)),
            ShapeError,
            r"scatter_nd: indices \(1, 2\) do not fit x \(2,\); their first 0 axes",
        ),
        ErrorCase(lambda: scatter_nd(t(2), [[2]], t(1)), ShapeError, "index 2 at .* axis 0 of x"),
        ErrorCase(
            lambda: scatter_nd(t(2), [[1]], t(1), "sum"), ConfigError, "scatter_nd: reduction must"
        ),
        *update_errors(lambda x, u: scatter_nd(x, [[0]], u), "scatter_nd"),
    ),
    forward_mutants={
        "always added": lambda y, x, updates, indices, reduction="none": nd_definition(
            x, updates, indices, "add"
        ),
        "always written": lambda y, x, updates, indices, reduction="none": nd_definition(
            x, updates, indices
        ),
    },
    backward_mutants={
        "what is overwritten gets its gradient": nothing_kept_back,
        "updates halved": updates_alone,
        "updates rolled": updates_rolled,
    },
    summands=lambda case: 16,
)

SPECS = (SCATTER_ADD, SCATTER_ELEMENTS, SCATTER_ND)
TestScattering = proof_of(*SPECS)


def gradients(x: list[float], updates: list[float], indices: list[int], reduction: Any) -> Any:
    leaves = [Tensor(np.array(v), requires_grad=True) for v in (x, updates)]
    y = scatter_elements(leaves[0], indices, leaves[1], 0, reduction)
    return [d.data.tolist() for d in grad(y, leaves, np.arange(1.0, len(x) + 1))]


def test_only_the_last_one_written_gets_a_gradient():
    assert gradients([1.0, 1.0], [5.0, 6.0, 7.0], [1, 1, 1], "none") == [[1, 0], [0, 0, 2]]


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_those_that_tie_share_the_gradient(reduction):
    x, updates = [3.0, 4.0], [3.0, 3.0, 4.0]
    assert gradients(x, updates, [0, 0, 1], reduction) == [[1 / 3, 1], [1 / 3, 1 / 3, 1]]


@pytest.mark.parametrize("reduction", ["max", "min"])
def test_a_nan_takes_the_gradient(reduction):
    assert gradients([1.0, NAN], [NAN, 3.0], [0, 1], reduction) == [[0, 2], [1, 0]]


def test_zeros_among_factors_do_no_harm():
    x, updates = np.array([2.0, 0.0, 3.0]), np.array([0.0, 5.0, 0.0, 4.0, 7.0, 0.0])
    indices = [0, 0, 1, 1, 1, 2]
    assert gradients(x, updates, indices, "mul") == [[0, 0, 0], [10, 0, 0, 0, 0, 9]]
    check_gradients(lambda a, b: scatter_elements(a, indices, b, 0, "mul"), x + 1, updates, order=2)


def test_what_was_there_is_not_written_to():
    x = np.zeros(3)
    scatter_add(Tensor(x), [1], Tensor(np.ones(1)))
    assert x.tolist() == [0, 0, 0]


def test_sums_are_the_same_each_time():
    rng = np.random.default_rng(0)
    x, updates = np.zeros(7, np.float32), rng.standard_normal(5000).astype(np.float32)
    indices = rng.integers(0, 7, 5000)
    first = scatter_add(Tensor(x), indices, Tensor(updates)).data
    in_order = np.zeros(7, np.float32)
    for k, u in zip(indices, updates, strict=True):
        in_order[k] += u
    np.testing.assert_array_equal(first, in_order)
