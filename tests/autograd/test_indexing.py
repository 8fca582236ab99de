"""Taking parts and putting them back, against loops over the elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import (
    Tensor,
    getitem,
    scatter,
)
from minicnn.errors import DTypeError, ShapeError
from tests.autograd.moving import call, filled, in_order, rolled, whole, x_of
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.values import normal, seeds, shapes

NAN = math.nan


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
        "rows of rows": call((3, 2, 2), index=(np.array([2, 0, 2]),)),
        "a mask of two axes": call((2, 2, 3), index=np.array([[True, False], [True, True]])),
        "a mask and a list": call((2, 3, 2), index=(np.array([True, True]), [2, 2])),
        "a mask behind a slice": call((2, 3), index=(slice(None), np.array([True, False, True]))),
        "a mask of nothing": call((2, 3), index=np.zeros((2, 3), bool)),
        "true": call((2, 3), index=True),
        "a list of masks": call((2, 3), index=[True, False]),
        "around": call((2, 3), index=(..., -1, None)),
    },
    errors=(
        ErrorCase(
            lambda: getitem(x_of(2, 3), 2),
            ShapeError,
            r"getitem: index 2 does not fit shape \(2, 3\): index 2 is out of bounds",
        ),
        ErrorCase(lambda: getitem(x_of(2, 3), (0, 0, 0)), ShapeError, "too many indices"),
        ErrorCase(
            lambda: getitem(x_of(2, 3), 0.5),
            DTypeError,
            r"getitem: index 0.5 is of floats; use whole numbers \(.astype\('int64'\)\), slices",
        ),
        ErrorCase(lambda: x_of(2, 3)[:, Tensor([0.0])], DTypeError, "is of floats"),
        ErrorCase(lambda: x_of(2, 3)[[1.0]], DTypeError, "is of floats"),
        ErrorCase(
            lambda: x_of(2, 3)[[[0], [0, 1]]],
            ShapeError,
            r"getitem: index \[\[0\], \[0, 1\]\] is not one array; give rows of one length",
        ),
        ErrorCase(lambda: x_of(2, 3)[::0], ShapeError, "slice step cannot be zero"),
        ErrorCase(lambda: x_of(2, 3)[0.0:1.0], ShapeError, "slice indices must be integers"),
        ErrorCase(lambda: x_of(2, 3)["a"], ShapeError, "only integers, slices"),
        ErrorCase(lambda: x_of(2, 3)[[0, 1], [0, 1, 2]], ShapeError, "does not fit shape"),
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
            r"scatter: x has shape \(3,\), but index \[0 1\] of shape \(5,\) takes \(2,\); ",
        ),
        ErrorCase(
            lambda: scatter(x_of(2), [0, 5], (5,)),
            ShapeError,
            r"scatter: index \[0 5\] does not fit shape \(5,\): index 5 is out of bounds",
        ),
    ),
    forward_mutants={
        "= for +=": lambda y, x, index, shape: twice_taken_once(None, x, y, index)[0],
        "one place off": lambda y, x, index, shape: np.roll(y.reshape(-1), 1).reshape(shape),
    },
    backward_mutants={"one place off": rolled},
    summands=lambda case: 16,
)

SPECS = (GETITEM, SCATTER)
TestIndexing = proof_of(*SPECS)


def test_indices_may_be_tensors():
    x = Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    assert x[Tensor([1, 0]), Tensor([2, 0])].data.tolist() == [5, 0]
    assert x[x > 2.0].data.tolist() == [3, 4, 5]
    x[x > 2.0].sum().backward()
    assert x.grad.data.tolist() == [[0, 0, 0], [1, 1, 1]]
