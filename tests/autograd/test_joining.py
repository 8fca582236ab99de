"""Joining, against loops over the elements."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import (
    Tensor,
    concatenate,
    grad,
    stack,
)
from minicnn.errors import DeviceError, ShapeError
from tests.autograd.moving import whole, x_of
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal, seeds, shapes

NAN = math.nan


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
            r"concatenate: axis 2 does not fit shape \(2, 3\); its axes are -2 ... 1",
        ),
        ErrorCase(lambda: concatenate([x_of()]), ShapeError, r"axis 0 does not fit shape \(\)"),
        ErrorCase(
            lambda: concatenate([x_of(2, 3), x_of(2, 4)]),
            ShapeError,
            r"concatenate: shapes \[\(2, 3\), \(2, 4\)\] differ in other axes than 0; make them",
        ),
        ErrorCase(
            lambda: concatenate([x_of(2, 3), on_gpu(2, 3)]),
            DeviceError,
            r"concatenate: tensor 0 \(2, 3\) is on cpu, tensor 1 \(2, 3\) on cuda:0; move one",
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
        ErrorCase(lambda: stack([x_of(2)], 3), ShapeError, "axis 3 does not fit"),
    ),
    forward_mutants={"in reverse": in_reverse(stack_definition)},
    backward_mutants=LISTS,
)


SPECS = (CONCATENATE, STACK)
TestJoining = proof_of(*SPECS)


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
