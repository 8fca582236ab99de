"""Ops that give the same elements another shape, against loops over the elements."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import (
    Tensor,
    astype,
    broadcast_to,
    expand_dims,
    reshape,
    squeeze,
    sum_to,
    transpose,
)
from minicnn.errors import ConfigError, DTypeError, ShapeError
from tests.autograd.moving import MOVED, call, filled, in_order, whole, x_of
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.values import broadcastable, normal, seeds, shapes

NAN = math.nan


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
            r"reshape: 6 elements of shape \(2, 3\) do not fill shape \(4, 2\); the lengths' "
            "product must be 6, or one length -1",
        ),
        ErrorCase(
            lambda: x_of(2, 3).reshape(2.0, 3),
            ConfigError,
            r"reshape: shape must be whole numbers, got \(2.0, 3\)",
        ),
        ErrorCase(lambda: reshape(x_of(2), "2"), ConfigError, "must be whole numbers, got '2'"),
        ErrorCase(lambda: reshape(x_of(1), True), ConfigError, "whole numbers, got True"),
        ErrorCase(lambda: reshape(x_of(2), [[2]]), ConfigError, r"whole numbers, got \[\[2\]\]"),
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
            r"transpose: axes \(0, 0\) must name each axis of \(2, 3\) once; give 2 numbers",
        ),
        ErrorCase(lambda: transpose(x_of(2), (0.0,)), ConfigError, "axes must be whole numbers"),
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
        ErrorCase(lambda: broadcast_to(x_of(3), (-1, 3)), ShapeError, r"broadcast to \(-1, 3\)"),
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
    errors=(
        ErrorCase(
            lambda: sum_to(x_of(2, 3), (2,)),
            ShapeError,
            r"sum_to: \(2,\) does not broadcast to x's shape \(2, 3\), so nothing can be summed",
        ),
        ErrorCase(lambda: sum_to(x_of(3), (1, 3)), ShapeError, "does not broadcast to x's shape"),
    ),
    summands=lambda case: 27,
)


@st.composite
def squeezes(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 4, longest=3))
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
            r"squeeze: axis 0 of shape \(2, 1\) is longer than 1; only axes of length 1",
        ),
        ErrorCase(
            lambda: squeeze(x_of(2, 1), 3),
            ShapeError,
            r"squeeze: axis 3 does not fit shape \(2, 1\); its axes are -2 ... 1",
        ),
        ErrorCase(
            lambda: squeeze(x_of(), 0),
            ShapeError,
            r"axis 0 does not fit shape \(\); a single number has no axes",
        ),
        ErrorCase(
            lambda: squeeze(x_of(2, 1), (1, -1)),
            ShapeError,
            r"squeeze: axis \(1, -1\) names an axis of shape \(2, 1\) twice; name each once",
        ),
        ErrorCase(lambda: squeeze(x_of(2, 1), 1.0), ConfigError, "axis must be whole numbers"),
    ),
    forward_mutants={"turned around": lambda y, x, axis: y.reshape(-1)[::-1].reshape(y.shape)},
    backward_mutants=MOVED,
)


@st.composite
def expansions(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3))
    count = draw(st.integers(1, 2))
    rank = len(shape) + count
    axes = draw(st.lists(st.integers(0, rank - 1), unique=True, min_size=count, max_size=count))
    axes = tuple(a - rank if draw(st.booleans()) else a for a in axes)
    return call(shape, draw(seeds), axis=axes[0] if len(axes) == 1 else axes)


def expand_definition(x, axis):
    axes = (axis,) if isinstance(axis, int) else axis
    at = [a % (x.ndim + len(axes)) for a in axes]
    rest = list(x.shape)
    return filled(
        tuple(1 if i in at else rest.pop(0) for i in range(x.ndim + len(axes))), in_order(x)
    )


EXPAND_DIMS = OpSpec(
    name="expand_dims",
    op=expand_dims,
    cases=expansions(),
    oracle=expand_definition,
    integers=Case((whole(2, 3),), {"axis": 1}),
    edges={
        "empty": call((0, 3), axis=-1),
        "one number": call((), axis=0),
        "both ends": call((2, 3), axis=(0, -1)),
    },
    errors=(
        ErrorCase(
            lambda: expand_dims(x_of(2, 3), 3),
            ShapeError,
            r"expand_dims: axis 3 does not name places in a result of 3 axes \(x has shape \(2, 3\)"
            r"\); use -3 ... 2, each once",
        ),
        ErrorCase(lambda: expand_dims(x_of(2, 3), -4), ShapeError, "axis -4 does not name places"),
        ErrorCase(lambda: expand_dims(x_of(2), (0, -3)), ShapeError, r"axis \(0, -3\) does not"),
    ),
    forward_mutants={"turned around": lambda y, x, axis: y.reshape(-1)[::-1].reshape(y.shape)},
    backward_mutants=MOVED,
)

SPECS = (RESHAPE, TRANSPOSE, BROADCAST_TO, SUM_TO, SQUEEZE, EXPAND_DIMS)
TestShaping = proof_of(*SPECS)

ERRORS = (
    ErrorCase(
        lambda: astype(x_of(2), "long ago"),
        DTypeError,
        "astype: 'long ago' is no type of real numbers; name one, such as 'float32' or 'int64'",
    ),
    ErrorCase(lambda: astype(x_of(2), complex), DTypeError, "is no type of real numbers"),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:30])
def test_astype_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


def test_slices_and_reshapes_are_views():
    x = Tensor(normal(0, 4, 6))
    for y in (x[1:3], x.reshape(24), x.T, x.expand_dims(0), x.broadcast_to((2, 4, 6)), x.detach()):
        assert np.shares_memory(y.data, x.data)
    assert not np.shares_memory(x[[0, 1]].data, x.data)


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
