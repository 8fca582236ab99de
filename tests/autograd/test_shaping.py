"""Ops that move elements, against loops over the elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import (
    Tensor,
    astype,
    broadcast_to,
    concatenate,
    expand_dims,
    getitem,
    grad,
    pad,
    reshape,
    scatter,
    squeeze,
    stack,
    sum_to,
    transpose,
)
from minicnn.errors import DTypeError, ShapeError
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import broadcastable, normal, seeds, shapes

NAN = math.nan


def x_of(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape))


def in_order(x: np.ndarray) -> list[float]:
    """The elements in C order."""
    return [x[at].item() for at in np.ndindex(x.shape)]


def filled(shape: tuple[int, ...], elements: list[float]) -> np.ndarray:
    y = np.empty(shape)
    for at, element in zip(np.ndindex(y.shape), elements, strict=True):
        y[at] = element
    return y


def call(shape: tuple[int, ...], seed: int = 0, /, **options: Any) -> Case:
    return Case((normal(seed, *shape),), options)


def whole(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


# Fortran order and reversal: what a wrong reshape, transpose or pad would do to a gradient.
def fortran(pull, g, x, **options):
    return [np.asarray(pull(g, x, **options)[0].reshape(-1).reshape(x.shape, order="F"))]


def rolled(pull, g, x, **options):
    return [np.roll(pull(g, x, **options)[0].reshape(-1), 1).reshape(x.shape)]


MOVED = {"in column order": fortran, "one place off": rolled}


@st.composite
def reshapes(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4))
    factors = draw(st.permutations(shape))
    cut = draw(st.integers(0, len(shape)))
    new = (*factors[:cut], math.prod(factors[cut:]))
    if draw(st.booleans()):
        at = draw(st.integers(0, len(new) - 1))
        new = (*new[:at], -1, *new[at + 1 :])
    return call(shape, draw(seeds), shape=new)


def reshape_definition(x, shape):
    known = math.prod(n for n in shape if n != -1)
    full = tuple(x.size // known if n == -1 else n for n in shape)
    return filled(full, in_order(x))


RESHAPE = OpSpec(
    name="reshape",
    op=reshape,
    cases=reshapes(),
    oracle=reshape_definition,
    integers=Case((whole(2, 3),), {"shape": (3, 2)}),
    edges={
        "empty": call((0, 3), shape=(3, 0, 2)),
        "one number": call((), shape=(1, 1)),
        "to one number": call((1, 1), shape=()),
    },
    errors=(
        ErrorCase(
            lambda: reshape(x_of(2, 3), (4, 2)),
            ShapeError,
            r"reshape: 6 elements of shape \(2, 3\) do not fill shape \(4, 2\)",
        ),
        ErrorCase(
            lambda: reshape(x_of(2, 3), (-1, -1)), ShapeError, r"do not fill shape \(-1, -1\)"
        ),
    ),
    forward_mutants={"in column order": lambda y, x, shape: x.reshape(y.shape, order="F")},
    backward_mutants=MOVED,
)


@st.composite
def transposes(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4))
    axes = draw(st.one_of(st.none(), st.permutations(range(len(shape)))))
    if axes is not None:
        negative = draw(st.lists(st.booleans(), min_size=len(axes), max_size=len(axes)))
        axes = tuple(a - len(axes) if n else a for a, n in zip(axes, negative, strict=True))
    return call(shape, draw(seeds), axes=axes)


def transpose_definition(x, axes=None):
    order = list(range(x.ndim))[::-1] if axes is None else [a % x.ndim for a in axes]
    y = np.empty([x.shape[a] for a in order])
    for at in np.ndindex(x.shape):
        y[tuple(at[a] for a in order)] = x[at]
    return y


def forth_again(pull, g, x, axes=None):
    """Permuted forth instead of back."""
    d = g.transpose(axes)
    return [d if d.shape == x.shape else pull(g, x, axes=axes)[0]]


TRANSPOSE = OpSpec(
    name="transpose",
    op=transpose,
    cases=transposes(),
    oracle=transpose_definition,
    integers=Case((whole(2, 3),), {"axes": (1, 0)}),
    edges={
        "empty": call((0, 3, 2), axes=(2, 0, 1)),
        "one number": call((), axes=None),
        "a cube, in a circle": call((2, 2, 2), axes=(2, 0, 1)),
    },
    errors=(
        ErrorCase(
            lambda: transpose(x_of(2, 3), (0, 0)),
            ShapeError,
            r"transpose: axes \(0, 0\) must name each axis of \(2, 3\) once",
        ),
        ErrorCase(lambda: transpose(x_of(2, 3), (2, 1)), ShapeError, r"transpose: axes \(2, 1\)"),
        ErrorCase(lambda: transpose(x_of(2, 3), (0,)), ShapeError, r"transpose: axes \(0,\)"),
    ),
    forward_mutants={"only reshaped": lambda y, x, axes: x.reshape(y.shape)},
    backward_mutants={
        "permuted forth": forth_again,
        "only reshaped": lambda pull, g, x, axes: [g.reshape(x.shape)],
        **MOVED,
    },
)


@st.composite
def broadcasts(draw: st.DrawFn) -> Case:
    small, large = broadcastable(draw, 2)
    return call(small, draw(seeds), shape=np.broadcast_shapes(small, large))


def broadcast_definition(x, shape):
    y = np.empty(shape)
    for at in np.ndindex(y.shape):
        tail = at[len(at) - x.ndim :]
        y[at] = x[tuple(0 if n == 1 else i for i, n in zip(tail, x.shape, strict=True))]
    return y


def first_repetition(pull, g, x, shape):
    """`=` for `+=`: the gradient of one repetition."""
    d = g[(0,) * (g.ndim - x.ndim)] if g.ndim > x.ndim else g
    for axis, n in enumerate(x.shape):
        d = d.take([0], axis) if n == 1 else d
    return [d]


BROADCAST_TO = OpSpec(
    name="broadcast_to",
    op=broadcast_to,
    cases=broadcasts(),
    oracle=broadcast_definition,
    integers=Case((whole(3),), {"shape": (2, 3)}),
    edges={
        "empty": call((1, 3), shape=(0, 3)),
        "one number": call((), shape=(2, 3)),
        "nothing to do": call((2, 3), shape=(2, 3)),
    },
    errors=(
        ErrorCase(
            lambda: broadcast_to(x_of(2, 3), (2, 4)),
            ShapeError,
            r"broadcast_to: \(2, 3\) does not broadcast to \(2, 4\); axes must be equal or 1",
        ),
        ErrorCase(lambda: broadcast_to(x_of(2, 3), (3,)), ShapeError, "does not broadcast"),
    ),
    forward_mutants={"only once": lambda y, x, shape: np.where(whole(*shape) < x.size, y, 0)},
    backward_mutants={
        "one repetition": first_repetition,
        "mean over the repetitions": lambda pull, g, x, shape: [
            pull(g, x, shape=shape)[0] * x.size / max(g.size, 1)
        ],
    },
    summands=lambda case: 27,
)


@st.composite
def sums(draw: st.DrawFn) -> Case:
    small, other = broadcastable(draw, 2)
    return call(np.broadcast_shapes(small, other), draw(seeds), shape=small)


def sum_to_definition(x, shape):
    y = np.zeros(shape)
    for at in np.ndindex(x.shape):
        tail = at[len(at) - len(shape) :]
        y[tuple(0 if n == 1 else i for i, n in zip(tail, shape, strict=True))] += x[at]
    return y


SUM_TO = OpSpec(
    name="sum_to",
    op=sum_to,
    cases=sums(),
    oracle=sum_to_definition,
    integers=Case((whole(2, 3),), {"shape": (3,)}),
    edges={
        "empty": call((0, 3), shape=(3,)),
        "to one number": call((2, 3), shape=()),
        "nothing to do": call((2, 3), shape=(2, 3)),
    },
    forward_mutants={
        "the first": lambda y, x, shape: first_repetition(None, x, y, shape)[0],
        "mean": lambda y, x, shape: y * y.size / max(x.size, 1),
    },
    backward_mutants={
        "divided": lambda pull, g, x, shape: [pull(g, x, shape=shape)[0] * g.size / max(x.size, 1)]
    },
    summands=lambda case: 27,
)


@st.composite
def squeezes(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4, longest=2))
    ones = [i for i, n in enumerate(shape) if n == 1]
    axis = draw(st.one_of(st.none(), *([st.sampled_from(ones)] if ones else [])))
    if ones and draw(st.booleans()):
        axis = tuple(draw(st.lists(st.sampled_from(ones), unique=True)))
    if isinstance(axis, int) and draw(st.booleans()):
        axis -= len(shape)
    return call(shape, draw(seeds), axis=axis)


def squeeze_definition(x, axis=None):
    if axis is None:
        drop = [i for i, n in enumerate(x.shape) if n == 1]
    else:
        drop = [a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis)]
    return filled(tuple(n for i, n in enumerate(x.shape) if i not in drop), in_order(x))


SQUEEZE = OpSpec(
    name="squeeze",
    op=squeeze,
    cases=squeezes(),
    oracle=squeeze_definition,
    integers=Case((whole(1, 3),), {"axis": 0}),
    edges={"empty": call((0, 1), axis=1), "to one number": call((1, 1), axis=None)},
    errors=(
        ErrorCase(
            lambda: squeeze(x_of(2, 1), 0),
            ShapeError,
            r"squeeze: shape \(2, 1\) has no axis 0 of length 1",
        ),
        ErrorCase(lambda: squeeze(x_of(2, 1), 3), ShapeError, "has no axis 3"),
        ErrorCase(lambda: squeeze(x_of(), 0), ShapeError, "has no axis 0"),
    ),
    forward_mutants={"turned around": lambda y, x, axis: y.reshape(-1)[::-1].reshape(y.shape)},
    backward_mutants=MOVED,
)


@st.composite
def expansions(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3))
    return call(shape, draw(seeds), axis=draw(st.integers(-len(shape) - 1, len(shape))))


def expand_definition(x, axis):
    at = axis if axis >= 0 else axis + x.ndim + 1
    return filled((*x.shape[:at], 1, *x.shape[at:]), in_order(x))


EXPAND_DIMS = OpSpec(
    name="expand_dims",
    op=expand_dims,
    cases=expansions(),
    oracle=expand_definition,
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges={"empty": call((0, 3), axis=-1), "one number": call((), axis=0)},
    errors=(
        ErrorCase(
            lambda: expand_dims(x_of(2, 3), 3),
            ShapeError,
            "expand_dims: axis 3 does not exist in 3 axes",
        ),
        ErrorCase(lambda: expand_dims(x_of(2, 3), -4), ShapeError, "axis -4 does not exist"),
    ),
    forward_mutants={"turned around": lambda y, x, axis: y.reshape(-1)[::-1].reshape(y.shape)},
    backward_mutants=MOVED,
)


@st.composite
def parts(draw: st.DrawFn, n: int) -> Any:
    """One axis' index: a number, a slice, a list of numbers."""
    start, stop = draw(st.integers(-n, n)), draw(st.integers(-n, n))
    return draw(
        st.one_of(
            st.integers(-n, n - 1),
            st.just(slice(start, stop, draw(st.sampled_from([None, 1, 2, -1, -2])))),
            st.lists(st.integers(-n, n - 1), min_size=1, max_size=4),
        )
    )


@st.composite
def indices(draw: st.DrawFn) -> Case:
    shape = draw(shapes(1, 3))
    kind = draw(st.sampled_from(["tuple", "tuple", "one", "mask", "ellipsis"]))
    x = normal(draw(seeds), *shape)
    index: Any
    if kind == "mask":
        index = normal(draw(seeds), *shape[: draw(st.integers(1, len(shape)))]) > 0
    elif kind == "one":
        index = draw(parts(shape[0]))
    else:
        index = tuple(draw(parts(n)) for n in shape[: draw(st.integers(1, len(shape)))])
        lists = [len(i) for i in index if isinstance(i, list)]
        index = tuple(i[: min(lists)] if isinstance(i, list) else i for i in index)
        if kind == "ellipsis" and not lists:
            index = (None, ..., draw(parts(shape[-1]))) if len(shape) > 1 else (..., None)
    return Case((x,), {"index": index})


def places(shape, index):
    """The flat place of each element that an index takes."""
    return np.arange(math.prod(shape)).reshape(shape)[index]


def getitem_definition(x, index):
    at = np.asarray(places(x.shape, index))
    flat = in_order(x)
    return filled(at.shape, [flat[k] for k in in_order(at)])


def scatter_definition(x, index, shape):
    flat = [0.0] * math.prod(shape)
    for place, value in zip(in_order(np.asarray(places(shape, index))), in_order(x), strict=True):
        flat[place] += value
    return filled(shape, flat)


def twice_taken_once(pull, g, x, index):
    """`=` for `+=`: an element taken twice gets the gradient of the last."""
    d = np.zeros(x.size)
    d[np.asarray(places(x.shape, index)).reshape(-1)] = g.reshape(-1)
    return [d.reshape(x.shape)]


GETITEM = OpSpec(
    name="getitem",
    op=getitem,
    cases=indices(),
    oracle=getitem_definition,
    integers=Case((whole(2, 3),), {"index": (1, [0, 0, 2])}),
    edges={
        "empty": call((0, 3), index=(slice(None), 1)),
        "nothing taken": call((4, 3), index=slice(2, 2)),
        "an empty list": call((4, 3), index=np.array([], int)),
        "a new axis": call((4, 3), index=(None, slice(None), None)),
        "everything": call((4, 3), index=...),
        "one number": call((4, 3), index=(3, -1)),
        "of one number": call((), index=()),
        "the same element often": call((3,), index=np.array([1, 1, 1, 0])),
        "two lists": call((3, 4), index=([0, 2, 2], [1, 3, 3])),
        "a list around a slice": call((2, 3, 4), index=([0, 1], slice(None), [1, 3])),
        "a column of rows": call((3, 4), index=(np.array([[0], [2]]), np.array([[1, 3]]))),
        "backwards": call((5, 4), index=(slice(None, None, -2), slice(3, 0, -1))),
        "a NumPy number": call((3, 2), index=np.int64(2)),
    },
    errors=(
        ErrorCase(
            lambda: getitem(x_of(2, 3), 2),
            ShapeError,
            r"getitem: index 2 does not fit shape \(2, 3\): index 2 is out of bounds",
        ),
        ErrorCase(lambda: getitem(x_of(2, 3), (0, 0, 0)), ShapeError, "too many indices"),
        ErrorCase(lambda: getitem(x_of(2, 3), 0.5), ShapeError, "index 0.5 does not fit"),
        ErrorCase(lambda: x_of(2, 3)[np.ones(3, bool)], ShapeError, "does not fit shape"),
    ),
    forward_mutants={"turned around": lambda y, x, index: y.reshape(-1)[::-1].reshape(y.shape)},
    backward_mutants={
        "= for += where an element is taken twice": twice_taken_once,
        "as if nothing was taken": lambda pull, g, x, index: [np.zeros(x.shape) + g.sum()],
        "one place off": rolled,
    },
    summands=lambda case: 16,
)


@st.composite
def scatterings(draw: st.DrawFn) -> Case:
    return _scattering(draw(indices()))


def _scattering(case: Case) -> Case:
    (x,) = case.arrays
    part = np.asarray(x[case.options["index"]])
    return Case((np.array(part),), {"index": case.options["index"], "shape": x.shape})


SCATTER = OpSpec(
    name="scatter",
    op=scatter,
    cases=scatterings(),
    oracle=scatter_definition,
    integers=Case((whole(3),), {"index": [0, 0, 2], "shape": (4,)}),
    edges={name: _scattering(case) for name, case in GETITEM.edges.items()},
    errors=(
        ErrorCase(
            lambda: scatter(x_of(3), [0, 1], (5,)),
            ShapeError,
            r"scatter: x has shape \(3,\), but index \[0, 1\] takes \(2,\)",
        ),
        ErrorCase(
            lambda: scatter(x_of(2), [0, 5], (5,)),
            ShapeError,
            r"scatter: index \[0, 5\] does not fit shape \(5,\): index 5 is out of bounds",
        ),
    ),
    forward_mutants={
        "= for +=": lambda y, x, index, shape: twice_taken_once(None, x, y, index)[0],
        "one place off": lambda y, x, index, shape: np.roll(y.reshape(-1), 1).reshape(shape),
    },
    backward_mutants={"one place off": rolled},
    summands=lambda case: 16,
)


@st.composite
def lists_of_tensors(draw: st.DrawFn, along: bool = True) -> Case:
    shape, count = draw(shapes(1 if along else 0, 3)), draw(st.integers(1, 4))
    axis = draw(st.integers(-len(shape) - (not along), len(shape) - along))
    seed = draw(seeds)
    arrays = []
    for k in range(count):
        own = list(shape)
        if along:
            own[axis] = draw(st.integers(0, 3))
        arrays.append(normal(seed + k, *own))
    return Case(tuple(arrays), {"axis": axis})


def concatenate_definition(*arrays, axis=0):
    axis %= arrays[0].ndim
    shape = list(arrays[0].shape)
    shape[axis] = sum(a.shape[axis] for a in arrays)
    y, start = np.empty(shape), 0
    for a in arrays:
        for at in np.ndindex(a.shape):
            y[(*at[:axis], at[axis] + start, *at[axis + 1 :])] = a[at]
        start += a.shape[axis]
    return y


def stack_definition(*arrays, axis=0):
    axis %= arrays[0].ndim + 1
    y = np.empty((*arrays[0].shape[:axis], len(arrays), *arrays[0].shape[axis:]))
    for k, a in enumerate(arrays):
        for at in np.ndindex(a.shape):
            y[(*at[:axis], k, *at[axis:])] = a[at]
    return y


def in_reverse(definition):
    def mutant(y, *arrays, axis):
        return definition(*arrays[::-1], axis=axis)

    return mutant


def exchanged(pull, g, *arrays, **options):
    right = pull(g, *arrays, **options)
    swapped = right[::-1]
    return [s if s.shape == r.shape else r for s, r in zip(swapped, right, strict=True)]


def all_of_the_first(pull, g, *arrays, **options):
    right = pull(g, *arrays, **options)
    return [right[0] if r.shape == right[0].shape else r for r in right]


LISTS = {
    "each gets another's part": exchanged,
    "each gets the first part": all_of_the_first,
}

CONCATENATE = OpSpec(
    name="concatenate",
    op=lambda *tensors, axis=0: concatenate(tensors, axis),
    cases=lists_of_tensors(),
    oracle=concatenate_definition,
    integers=Case((whole(2, 3), whole(1, 3)), {"axis": 0}),
    edges={
        "empty": Case((np.zeros((0, 3)), np.zeros((0, 3))), {"axis": 0}),
        "one tensor": Case((normal(0, 2, 3),), {"axis": -1}),
        "one of them empty": Case((normal(0, 2, 3), np.zeros((2, 0))), {"axis": 1}),
    },
    errors=(
        ErrorCase(
            lambda: concatenate([]), ShapeError, "concatenate: needs a list of at least one tensor"
        ),
        ErrorCase(lambda: concatenate(x_of(2, 3)), ShapeError, "needs a list of at least one"),
        ErrorCase(
            lambda: concatenate([x_of(2, 3)], 2),
            ShapeError,
            r"concatenate: axis 2 does not exist in shape \(2, 3\)",
        ),
        ErrorCase(
            lambda: concatenate([x_of()]), ShapeError, r"axis 0 does not exist in shape \(\)"
        ),
        ErrorCase(
            lambda: concatenate([x_of(2, 3), x_of(2, 4)]),
            ShapeError,
            r"concatenate: shapes \[\(2, 3\), \(2, 4\)\] differ in other axes than 0",
        ),
        ErrorCase(lambda: concatenate([x_of(2, 3), x_of(3)]), ShapeError, "differ in other axes"),
    ),
    forward_mutants={"in reverse": in_reverse(concatenate_definition)},
    backward_mutants=LISTS,
)

STACK = OpSpec(
    name="stack",
    op=lambda *tensors, axis=0: stack(tensors, axis),
    cases=lists_of_tensors(along=False),
    oracle=stack_definition,
    integers=Case((whole(2, 3), whole(2, 3)), {"axis": 1}),
    edges={
        "empty": Case((np.zeros((0, 3)), np.zeros((0, 3))), {"axis": 0}),
        "numbers": Case((normal(0), normal(1)), {"axis": 0}),
        "last axis": Case((normal(0, 2), normal(1, 2)), {"axis": -1}),
    },
    errors=(
        ErrorCase(lambda: stack([]), ShapeError, "stack: needs a list of at least one tensor"),
        ErrorCase(
            lambda: stack([x_of(2), x_of(3)]),
            ShapeError,
            r"stack: shapes \[\(2,\), \(3,\)\] differ; they must all be equal",
        ),
        ErrorCase(lambda: stack([x_of(2)], 3), ShapeError, "axis 3 does not exist in 2 axes"),
    ),
    forward_mutants={"in reverse": in_reverse(stack_definition)},
    backward_mutants=LISTS,
)


@st.composite
def pads(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3))
    widths = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape)
    return call(shape, draw(seeds), widths=widths, value=draw(st.sampled_from([0.0, -1.3, 7.1])))


def pad_definition(x, widths, value=0.0):
    y = np.empty([n + sum(both) for n, both in zip(x.shape, widths, strict=True)])
    for at in np.ndindex(y.shape):
        inside = tuple(i - before for i, (before, _) in zip(at, widths, strict=True))
        real = all(0 <= i < n for i, n in zip(inside, x.shape, strict=True))
        y[at] = x[inside] if real else value
    return y


def _cut_at(corner):
    """The part of dL/dy that starts in a wrong corner."""

    def mutant(pull, g, x, widths, **options):
        starts = [corner(both) for both in widths]
        return [g[tuple(slice(s, s + n) for s, n in zip(starts, x.shape, strict=True))]]

    return mutant


PAD = OpSpec(
    name="pad",
    op=pad,
    cases=pads(),
    oracle=pad_definition,
    integers=Case((whole(2, 3),), {"widths": ((1, 0), (0, 2)), "value": 9}),
    edges={
        "empty": call((0, 3), widths=((1, 1), (0, 0))),
        "one number": call((), widths=()),
        "no width": call((2, 3), widths=((0, 0), (0, 0))),
    },
    special={
        "with -inf": Special(
            Case((np.array([NAN]),), {"widths": ((1, 1),), "value": -math.inf}),
            [-math.inf, NAN, -math.inf],
        )
    },
    errors=(
        ErrorCase(
            lambda: pad(x_of(2, 3), [(1, 1)]),
            ShapeError,
            r"pad: widths \(\(1, 1\),\) must be one pair \(before, after\) >= 0 for each axis of "
            r"\(2, 3\)",
        ),
        ErrorCase(
            lambda: pad(x_of(2), [(1, -1)]), ShapeError, r"widths \(\(1, -1\),\) must be one"
        ),
        ErrorCase(
            lambda: pad(Tensor([1, 2]), [(1, 1)], 0.5),
            DTypeError,
            "pad: value 0.5 does not fit int64",
        ),
    ),
    forward_mutants={
        "with zeros": lambda y, x, widths, value=0.0: pad_definition(x, widths, 1e-3),
        "before and after exchanged": lambda y, x, widths, value=0.0: pad_definition(
            x, [both[::-1] for both in widths], value
        ),
    },
    backward_mutants={
        "before and after exchanged": _cut_at(lambda both: both[1]),
        "cut at 0": _cut_at(lambda both: 0),
        **MOVED,
    },
)

SPECS = (
    *(RESHAPE, TRANSPOSE, BROADCAST_TO, SUM_TO, SQUEEZE, EXPAND_DIMS, GETITEM, SCATTER),
    *(CONCATENATE, STACK, PAD),
)
TestShaping = proof_of(*SPECS)


def test_slices_and_reshapes_are_views():
    x = Tensor(normal(0, 4, 6))
    for y in (x[1:3], x.reshape(24), x.T, x.expand_dims(0), x.broadcast_to((2, 4, 6)), x.detach()):
        assert np.shares_memory(y.data, x.data)
    assert not np.shares_memory(x[[0, 1]].data, x.data)


def test_lists_given_by_name_have_gradients():
    a, b = (Tensor(normal(k, 2), requires_grad=True) for k in (0, 1))
    for y in (
        concatenate(tensors=[a, b]),
        stack(tensors=[a, b]),
        concatenate(axis=0, tensors=(a, b)),
    ):
        for d in grad(y.sum(), (a, b)):
            assert d.data.tolist() == [1, 1]


def test_lists_may_mix_tensors_and_arrays():
    a = Tensor(np.ones(2), requires_grad=True)
    for op, shape in ((concatenate, (4,)), (stack, (2, 2))):
        y = op([np.zeros(2), a])
        assert y.shape == shape
        assert grad(y.sum(), a).data.tolist() == [1, 1]


def test_the_same_tensor_twice_in_a_list():
    a = Tensor(np.ones(2), requires_grad=True)
    (concatenate([a, a]) * Tensor(np.array([1.0, 2.0, 10.0, 20.0]))).sum().backward()
    assert a.grad.data.tolist() == [11, 22]


def test_indices_may_be_tensors():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x[Tensor([1, 0]), Tensor([2, 0])].data.tolist() == [5, 0]
    assert x[x > 2.0].data.tolist() == [3, 4, 5]
    x[x > 2.0].sum().backward()
    assert x.grad.data.tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("narrow", [np.float32, np.float16])
def test_astype_brings_the_gradient_back_to_its_own_type(narrow):
    x = Tensor(normal(0, 3, 4), requires_grad=True)
    y = astype(x, narrow)
    assert y.dtype == narrow
    np.testing.assert_array_equal(y.data, x.data.astype(narrow))
    g = normal(1, 3, 4).astype(narrow)
    y.backward(g)
    assert x.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad.data, g.astype(np.float64))


def test_astype_to_whole_numbers_has_no_gradient():
    x = Tensor(np.array([1.7, -1.7]), requires_grad=True)
    y = x.astype(np.int32)
    assert y.data.tolist() == [1, -1]
    assert not y.requires_grad
    assert Tensor([1, 2]).astype("float32").dtype == np.float32
