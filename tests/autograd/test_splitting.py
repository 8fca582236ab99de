"""Cutting into parts and repeating, against loops over the elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, concatenate, repeat, split, tile
from minicnn.errors import ConfigError, ShapeError
from tests.autograd.moving import MOVED, call, filled, in_order, whole, x_of
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.values import normal, seeds, shapes


def parts_in_reverse(x: Tensor, sizes: Any, axis: int = 0) -> Tensor:
    """The parts, each times another factor, the last one first: one tensor to be judged."""
    parts = split(x, sizes, axis)
    assert isinstance(parts, tuple)
    return concatenate([(k + 2) * part for k, part in enumerate(parts)][::-1], axis)


def split_definition(x, sizes, axis=0):
    n = x.shape[axis]
    lengths = [n // sizes] * sizes if isinstance(sizes, int) else sizes
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        part, start = 0, 0
        while at[axis] >= start + lengths[part]:
            start += lengths[part]
            part += 1
        before = sum(lengths[part + 1 :])
        to = list(at)
        to[axis] += before - start
        y[tuple(to)] = (part + 2) * x[at]
    return y


@st.composite
def splits(draw: st.DrawFn) -> Case:
    shape = list(draw(shapes(1, 3)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    sizes: Any
    if draw(st.booleans()):
        sizes = draw(st.integers(1, 3))
        shape[axis] *= sizes
    else:
        sizes = tuple(draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
        shape[axis] = sum(sizes)
    return call(tuple(shape), draw(seeds), sizes=sizes, axis=axis)


SPLIT = OpSpec(
    name="split",
    op=parts_in_reverse,
    cases=splits(),
    oracle=split_definition,
    integers=Case((whole(2, 3),), {"sizes": (1, 2), "axis": 1}),
    edges={
        "empty": call((0, 4), sizes=2, axis=1),
        "empty parts": call((0, 4), sizes=3, axis=0),
        "one part": call((3, 2), sizes=1),
        "one of them empty": call((3, 2), sizes=[3, 0]),
    },
    errors=(
        ErrorCase(
            lambda: split(x_of(2, 4), 3, 1),
            ShapeError,
            r"split: axis 1 of shape \(2, 4\) has no 3 equal parts; give a list of lengths",
        ),
        ErrorCase(lambda: split(x_of(2, 4), 0), ShapeError, "has no 0 equal parts"),
        ErrorCase(
            lambda: split(x_of(2, 4), (1, 2), 1),
            ShapeError,
            r"split: lengths \(1, 2\) must be >= 0 and add up to 4, the length of axis 1 of shape "
            r"\(2, 4\)",
        ),
        ErrorCase(lambda: split(x_of(2, 4), (5, -1), 1), ShapeError, r"lengths \(5, -1\) must"),
        ErrorCase(lambda: split(x_of(2, 4), 1, 2), ShapeError, "split: axis 2 does not fit"),
        ErrorCase(lambda: split(x_of(2, 4), 2.0), ConfigError, "sizes must be whole numbers"),
    ),
    forward_mutants={"in order": lambda y, x, sizes, axis=0: np.flip(y, axis)},
    backward_mutants={
        "of the next element": MOVED["one place off"],
        "all alike": lambda pull, g, x, **o: [pull(g, x, **o)[0] * 0 + 2 * g],
    },
)


@st.composite
def repetitions(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3, longest=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1)) if shape and draw(st.booleans()) else None
    count = int(np.prod(shape)) if axis is None else shape[axis]
    repeats: Any = draw(st.integers(0, 3))
    if draw(st.booleans()):
        repeats = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    return call(shape, draw(seeds), repeats=repeats, axis=axis)


def repeat_definition(x, repeats, axis=None):
    if axis is None:
        x, axis = filled((x.size,), in_order(x)), 0
    n = x.shape[axis]
    times = [repeats] * n if isinstance(repeats, int) else (list(repeats) * n)[:n]
    from_where = [i for i, k in enumerate(times) for _ in range(k)]
    shape = list(x.shape)
    shape[axis] = len(from_where)
    y = np.empty(shape)
    for at in np.ndindex(y.shape):
        source = list(at)
        source[axis] = from_where[at[axis]]
        y[at] = x[tuple(source)]
    return y


def first_only(definition: Any) -> Any:
    """`=` for `+=`: an element gets the gradient of its last copy alone."""

    def mutant(pull, g, x, **options):
        places = definition(np.arange(float(x.size)).reshape(x.shape), **options)
        d = np.zeros(x.size)
        d[places.reshape(-1).astype(int)] = g.reshape(-1)
        return [d.reshape(x.shape)]

    return mutant


REPEAT = OpSpec(
    name="repeat",
    op=repeat,
    cases=repetitions(),
    oracle=repeat_definition,
    integers=Case((whole(2, 3),), {"repeats": 2, "axis": 1}),
    edges={
        "empty": call((0, 3), repeats=2, axis=1),
        "of none": call((0, 3), repeats=2, axis=0),
        "one number": call((), repeats=3),
        "pixels": call((1, 2, 2, 2), repeats=2, axis=3),
        "one in a list": call((2, 3), repeats=[2], axis=1),
    },
    errors=(
        ErrorCase(
            lambda: repeat(x_of(2, 3), [1, 2], 1),
            ConfigError,
            r"repeat: repeats \[1, 2\] must be >= 0, one number or 3 of them, for axis 1 of shape "
            r"\(2, 3\)",
        ),
        ErrorCase(lambda: repeat(x_of(2, 3), -1), ConfigError, "repeats -1 must be >= 0"),
        ErrorCase(lambda: repeat(x_of(2, 3), 1, 2), ShapeError, "repeat: axis 2 does not fit"),
    ),
    forward_mutants={
        "side by side": lambda y, x, repeats, axis=None: np.roll(y, 1, axis) if y.size else y
    },
    backward_mutants={
        "= for +=": first_only(repeat_definition),
        "one place off": MOVED["one place off"],
    },
    summands=lambda case: 3,
)


@st.composite
def tilings(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3, longest=3))
    repeats: Any = tuple(draw(st.lists(st.integers(0, 2), max_size=4)))
    if draw(st.integers(0, 3)) == 0:
        repeats = draw(st.integers(0, 3))
    return call(shape, draw(seeds), repeats=repeats)


def tile_definition(x, repeats):
    times = (repeats,) if isinstance(repeats, int) else tuple(repeats)
    times = (1,) * (x.ndim - len(times)) + times
    wide = x.reshape((1,) * (len(times) - x.ndim) + x.shape)
    y = np.empty([k * n for k, n in zip(times, wide.shape, strict=True)])
    for at in np.ndindex(y.shape):
        y[at] = wide[tuple(i % n for i, n in zip(at, wide.shape, strict=True))]
    return y


TILE = OpSpec(
    name="tile",
    op=tile,
    cases=tilings(),
    oracle=tile_definition,
    integers=Case((whole(2, 3),), {"repeats": (1, 2)}),
    edges={
        "empty": call((0, 3), repeats=(2, 2)),
        "one number": call((), repeats=(2, 1)),
        "new axes": call((2,), repeats=(2, 1, 2)),
        "no numbers": call((2, 3), repeats=()),
    },
    errors=(
        ErrorCase(
            lambda: tile(x_of(2, 3), (1, -1)),
            ConfigError,
            r"tile: repeats \(1, -1\) of shape \(2, 3\) must be >= 0",
        ),
        ErrorCase(lambda: tile(x_of(2, 3), 1.5), ConfigError, "repeats must be whole numbers"),
    ),
    forward_mutants={
        "each element repeated": lambda y, x, repeats: np.sort(y.reshape(-1)).reshape(y.shape)
    },
    backward_mutants={
        "= for +=": first_only(tile_definition),
        "one place off": MOVED["one place off"],
    },
    summands=lambda case: 8,
)

SPECS = (SPLIT, REPEAT, TILE)
TestSplitting = proof_of(*SPECS)


def test_parts_are_views_and_join_to_what_they_were():
    x = Tensor(normal(0, 2, 7))
    for sizes in ([3, 4], [0, 7], 7, np.array([1, 6])):
        parts = split(x, sizes, 1)
        assert all(np.shares_memory(p.data, x.data) for p in parts if p.size)
        np.testing.assert_array_equal(concatenate(parts, 1).data, x.data)


@pytest.mark.parametrize("op", [lambda x: repeat(x, 2, 0), lambda x: tile(x, (2, 1))])
def test_lists_are_taken_too(op):
    assert op([[1.0, 2.0]]).shape == (2, 2)
