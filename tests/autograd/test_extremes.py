"""The largest and smallest elements and where they are, against loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minicnn.autograd import Tensor, argmax, argmin, check_gradients, max, min, stack
from minicnn.errors import ConfigError, ShapeError
from tests.autograd.reducing import (
    edges,
    errors,
    nothing,
    other_axis,
    reduced,
    reductions,
    rows,
    whole,
    x_of,
)
from tests.ops.driver import for_all, proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec
from tests.ops.values import distinct

INF, NAN = math.inf, math.nan


def extreme(name: str, op: Any, oracle: Any, worse: Any) -> OpSpec:
    def to_all(pull, g, x, axis, keepdims=False):
        return [spread(g, x, axis)]

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


def spread(g: np.ndarray, x: np.ndarray, axis: Any) -> np.ndarray:
    kept = reduced(len)(x, axis, True).shape
    return np.array(np.broadcast_to(g.reshape(kept), x.shape))


MAX = extreme("max", max, lambda group: sorted(group)[-1], lambda group: sorted(group)[0])
MIN = extreme("min", min, lambda group: sorted(group)[0], lambda group: sorted(group)[-1])

SPECS = (MAX, MIN)
TestExtremes = proof_of(*SPECS)

ERRORS = tuple(
    error
    for op, name in ((argmax, "argmax"), (argmin, "argmin"))
    for error in (
        *(case for case in errors(op, name) if "twice" not in case.match),
        nothing(op, name),
        ErrorCase(
            lambda op=op: op(x_of(2, 3), (0, 1)),
            ConfigError,
            rf"{name}: axis must be a whole number, got \(0, 1\)",
        ),
        ErrorCase(
            lambda op=op: op(x_of(0, 3)), ShapeError, rf"{name}: shape \(0, 3\) has no elements"
        ),
    )
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:30])
def test_argmax_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("op", "best"), [(argmax, 1), (argmin, -1)])
def test_argmax_and_argmin_find_the_first_or_last_place(op, best, last):
    def check(case: Case) -> None:
        (x,) = case.arrays
        x = np.rint(x)  # ties
        axis, keepdims = case.options["axis"], case.options["keepdims"]
        axis = axis if axis is None or isinstance(axis, int) else (axis[0] if axis else None)

        def place(group):
            k = 0
            for i in range(len(group)):
                ahead = best * (group[i] - group[k])
                k = i if ahead > 0 or (last and ahead == 0) else k
            return k

        y = op(Tensor(x, requires_grad=True), axis, keepdims=keepdims, last=last)
        assert y.dtype == np.int64
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, reduced(place)(x, axis, keepdims))

    for_all(reductions(), check, 60)


@pytest.mark.parametrize("op", [argmax, argmin])
def test_a_nan_is_found_before_all_others(op):
    x = [[1.0, NAN, INF, NAN], [NAN, -INF, 1.0, 2.0]]
    assert op(x, 1).data.tolist() == [1, 0]
    assert op(x, 1, last=True).data.tolist() == [3, 0]


@pytest.mark.parametrize("op", [max, min])
def test_ties_share_the_gradient_equally(op):
    x = Tensor(np.array([[2.0, 2.0, 2.0], [1.0, 5.0, 5.0]]), requires_grad=True)
    y = op(x, axis=1)
    y.backward(np.array([3.0, 4.0]))
    expected = [[1, 1, 1], [0, 2, 2]] if op is max else [[1, 1, 1], [4, 0, 0]]
    assert x.grad.data.tolist() == expected


@pytest.mark.parametrize("op", [max, min])
def test_a_nan_takes_the_gradient_of_its_row_alone(op):
    x = Tensor(np.array([[NAN, 1.0, NAN], [1.0, 2.0, 0.0]]), requires_grad=True)
    op(x, axis=1).backward(np.array([4.0, 1.0]))
    best = [0, 1, 0] if op is max else [0, 0, 1]
    assert x.grad.data.tolist() == [[2, 0, 2], best]


@pytest.mark.parametrize("op", [max, min])
def test_the_gradient_of_ties_may_be_differentiated(op):
    """Both equals move together, so the shares do not matter: the slope is that of one."""
    check_gradients(lambda x: op(stack([x, x]), 0) ** 2, distinct(0, 3), order=2)
