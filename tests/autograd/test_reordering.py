"""Ops that give the same elements another order, against loops over the elements."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor, flip, moveaxis, roll, swapaxes
from minicnn.errors import ConfigError, ShapeError
from tests.autograd.moving import MOVED, call, whole, x_of
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.values import seeds, shapes


@st.composite
def axes_of(draw: st.DrawFn, rank: int, count: int | None = None) -> tuple[int, ...]:
    """Different axes, some of them counted from the end."""
    count = draw(st.integers(0, rank)) if count is None else count
    axes = draw(
        st.lists(st.integers(0, rank - 1), unique=True, min_size=count, max_size=count)
        if rank
        else st.just([])
    )
    return tuple(a - rank if draw(st.booleans()) else a for a in axes)


def permuted(x: np.ndarray, order: list[int]) -> np.ndarray:
    y = np.empty([x.shape[a] for a in order])
    for at in np.ndindex(x.shape):
        y[tuple(at[a] for a in order)] = x[at]
    return y


@st.composite
def swaps(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 4, longest=3))
    places = st.integers(-len(shape), len(shape) - 1)
    return call(shape, draw(seeds), axis1=draw(places), axis2=draw(places))


def swap_definition(x, axis1, axis2):
    order = list(range(x.ndim))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return permuted(x, order)


SWAPAXES = OpSpec(
    name="swapaxes",
    op=swapaxes,
    cases=swaps(),
    oracle=swap_definition,
    integers=Case((whole(2, 3),), {"axis1": 0, "axis2": 1}),
    edges={
        "empty": call((0, 3), axis1=0, axis2=-1),
        "an axis with itself": call((2, 3), axis1=1, axis2=-1),
        "a cube": call((2, 2, 2), axis1=0, axis2=2),
    },
    errors=(
        ErrorCase(
            lambda: swapaxes(x_of(2, 3), 0, 2),
            ShapeError,
            r"swapaxes: axis 2 does not fit shape \(2, 3\); its axes are -2 ... 1",
        ),
        ErrorCase(
            lambda: swapaxes(x_of(2, 3), 0.0, 1),
            ConfigError,
            "swapaxes: axis must be a whole number, got 0.0",
        ),
    ),
    forward_mutants={"only reshaped": lambda y, x, axis1, axis2: x.reshape(y.shape)},
    backward_mutants={
        "only reshaped": lambda pull, g, x, axis1, axis2: [g.reshape(x.shape)],
        **MOVED,
    },
)


@st.composite
def moves(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4, longest=3))
    source = draw(axes_of(len(shape)))
    destination: Any = draw(axes_of(len(shape), len(source)))
    if len(source) == 1 and draw(st.booleans()):
        return call(shape, draw(seeds), source=source[0], destination=destination[0])
    return call(shape, draw(seeds), source=source, destination=destination)


def move_definition(x, source, destination):
    given = (source,) if isinstance(source, int) else source
    wanted = (destination,) if isinstance(destination, int) else destination
    at = {d % x.ndim: s % x.ndim for s, d in zip(given, wanted, strict=True)}
    rest = [a for a in range(x.ndim) if a not in at.values()]
    return permuted(x, [at[i] if i in at else rest.pop(0) for i in range(x.ndim)])


MOVEAXIS = OpSpec(
    name="moveaxis",
    op=moveaxis,
    cases=moves(),
    oracle=move_definition,
    integers=Case((whole(2, 3),), {"source": 0, "destination": 1}),
    edges={
        "empty": call((0, 3, 2), source=0, destination=-1),
        "a cube, in a circle": call((2, 2, 2), source=0, destination=2),
        "channels last": call((2, 3, 2, 2), source=1, destination=-1),
    },
    errors=(
        ErrorCase(
            lambda: moveaxis(x_of(2, 3), (0, 1), 0),
            ShapeError,
            r"moveaxis: source \(0, 1\) and destination 0 must be as many axes of shape \(2, 3\)",
        ),
        ErrorCase(lambda: moveaxis(x_of(2, 3), (0, -2), (0, 1)), ShapeError, "each named once"),
        ErrorCase(lambda: moveaxis(x_of(2, 3), (0, 1), (1, 1)), ShapeError, "each named once"),
        ErrorCase(lambda: moveaxis(x_of(2, 3), 2, 0), ShapeError, "axis 2 does not fit"),
    ),
    forward_mutants={
        "only reshaped": lambda y, x, **o: x.reshape(y.shape),
        "the other way": lambda y, x, source, destination: move_definition(
            x, destination, source
        ).reshape(y.shape),
    },
    backward_mutants={"only reshaped": lambda pull, g, x, **o: [g.reshape(x.shape)], **MOVED},
)


@st.composite
def flips(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4, longest=3))
    axis: Any = draw(st.one_of(st.none(), axes_of(len(shape))))
    return call(shape, draw(seeds), axis=axis[0] if axis and len(axis) == 1 else axis)


def flip_definition(x, axis=None):
    axes = range(x.ndim) if axis is None else ((axis,) if isinstance(axis, int) else axis)
    turned = {a % x.ndim for a in axes}
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        to = tuple(x.shape[k] - 1 - i if k in turned else i for k, i in enumerate(at))
        y[to] = x[at]
    return y


FLIP = OpSpec(
    name="flip",
    op=flip,
    cases=flips(),
    oracle=flip_definition,
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges={
        "empty": call((0, 3), axis=0),
        "one number": call((), axis=None),
        "images": call((2, 3, 2, 4), axis=(2, 3)),
    },
    errors=(ErrorCase(lambda: flip(x_of(2, 3), 2), ShapeError, "flip: axis 2 does not fit shape"),),
    forward_mutants={
        "all axes": lambda y, x, axis: flip_definition(x),
        "the first axis": lambda y, x, axis: x[::-1] if x.ndim else x + 1,
    },
    backward_mutants={"not turned back": lambda pull, g, x, axis: [g], **MOVED},
)


@st.composite
def rolls(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3))
    shift: Any = draw(st.integers(-5, 5))
    axes: Any = draw(st.one_of(st.none(), axes_of(len(shape))))
    if axes and draw(st.booleans()):
        shift = tuple(draw(st.integers(-5, 5)) for _ in axes)
    if axes is not None and len(axes) == 1 and isinstance(shift, int):
        axes = axes[0]
    return call(shape, draw(seeds), shift=shift, axis=axes)


def roll_definition(x, shift, axis=None):
    if axis is None:
        row = [x[at] for at in np.ndindex(x.shape)]
        y = np.empty(x.shape)
        for k, at in enumerate(np.ndindex(x.shape)):
            y[at] = row[(k - shift) % len(row)]
        return y
    axes = (axis,) if isinstance(axis, int) else axis
    shifts = (shift,) * len(axes) if isinstance(shift, int) else shift
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        to = list(at)
        for a, s in zip(axes, shifts, strict=True):
            to[a] = (to[a] + s) % x.shape[a]
        y[tuple(to)] = x[at]
    return y


ROLL = OpSpec(
    name="roll",
    op=roll,
    cases=rolls(),
    oracle=roll_definition,
    integers=Case((whole(2, 3),), {"shift": 1, "axis": 1}),
    edges={
        "empty": call((0, 3), shift=1, axis=1),
        "one number": call((), shift=2),
        "a row": call((2, 3), shift=-1),
        "all around": call((2, 3), shift=(3, -4), axis=(1, 0)),
        "one axis twice": call((4,), shift=(1, 2), axis=(0, 0)),
    },
    errors=(
        ErrorCase(
            lambda: roll(x_of(2, 3), (1, 2), 0),
            ConfigError,
            r"roll: shift \(1, 2\) and axis 0 do not fit \(x has shape \(2, 3\)\); give one shift",
        ),
        ErrorCase(lambda: roll(x_of(2, 3), (1, 2)), ConfigError, "axis None do not fit"),
        ErrorCase(lambda: roll(x_of(2, 3), 1, 2), ShapeError, "roll: axis 2 does not fit"),
        ErrorCase(lambda: roll(x_of(2, 3), 0.5), ConfigError, "shift must be whole numbers"),
    ),
    forward_mutants={
        "the other way": lambda y, x, shift, axis=None: roll_definition(
            x, tuple(-s for s in shift) if isinstance(shift, tuple) else -shift, axis
        ),
        "as one row": lambda y, x, shift, axis=None: roll_definition(x, int(np.sum(shift))),
    },
    backward_mutants={"not shifted back": lambda pull, g, x, **o: [g], **MOVED},
)

SPECS = (SWAPAXES, MOVEAXIS, FLIP, ROLL)
TestReordering = proof_of(*SPECS)


def test_nothing_is_copied():
    x = Tensor(np.zeros((2, 3, 4)))
    for y in (swapaxes(x, 0, 2), moveaxis(x, 0, -1), flip(x, 1)):
        assert np.shares_memory(y.data, x.data)
