"""Running sums and products, and products over axes, against loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, cumprod, cumsum, grad, prod
from minicnn.errors import ConfigError, ShapeError
from tests.autograd.moving import MOVED, call, whole, x_of
from tests.autograd.reducing import (
    count,
    edges,
    errors,
    other_axis,
    reduced,
    reductions,
    rows,
    size_of,
)
from tests.ops.driver import proof_of
from tests.ops.loops import lines
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds, shapes

INF, NAN = math.inf, math.nan


def with_zeros(seed: int, *shape: int) -> np.ndarray:
    """Numbers of about 1; now and then one of them, or several, are 0."""
    x = normal(seed, *shape)
    return np.asarray(
        np.where(normal(seed + 1, *shape) > 1.2 - seed % 3, x, 0.0) if seed % 2 else x
    )


@st.composite
def runs(draw: st.DrawFn, values: Any = normal) -> Case:
    shape = draw(shapes(1, 3))
    return Case(
        (values(draw(seeds), *shape),),
        {
            "axis": draw(st.integers(-len(shape), len(shape) - 1)),
            "exclusive": draw(st.booleans()),
            "reverse": draw(st.booleans()),
        },
    )


def running(combine: Any, first: float) -> Any:
    """Return the oracle that keeps the result of every step."""

    def oracle(x, axis, exclusive=False, reverse=False):
        y = np.empty(x.shape)
        for at, numbers in lines(x, axis):
            done, so_far = [], first
            for v in numbers[::-1] if reverse else numbers:
                after = combine(so_far, v)
                done.append(so_far if exclusive else after)
                so_far = after
            y[at] = done[::-1] if reverse else done
        return y

    return oracle


sums = running(lambda a, b: a + b, 0.0)
products = running(lambda a, b: a * b, 1.0)

RUNS = {
    "empty": call((0, 3), axis=1),
    "along nothing": call((2, 0), axis=1, exclusive=True),
    "one number, exclusive": call((2, 1), axis=1, exclusive=True),
    "from the end": call((2, 3), axis=0, reverse=True),
    "exclusive": call((2, 3), axis=-1, exclusive=True),
    "exclusive, from the end": call((3, 2), axis=0, exclusive=True, reverse=True),
}


def run_errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(x_of(2, 3), 2),
            ShapeError,
            rf"{name}: axis 2 does not fit shape \(2, 3\); its axes are -2 ... 1",
        ),
        ErrorCase(lambda: op(x_of(2, 3), None), ConfigError, f"{name}: axis must be a whole num"),
    )


def without(option: str, oracle: Any) -> Any:
    return lambda y, x, axis, **o: oracle(x, axis, **{**o, option: False})


def turned(pull: Any, g: np.ndarray, x: np.ndarray, **options: Any) -> list[np.ndarray]:
    """From the wrong end."""
    return pull(g, x, **{**options, "reverse": not options.get("reverse")})


def own_too(pull: Any, g: np.ndarray, x: np.ndarray, **options: Any) -> list[np.ndarray]:
    """As if the element were in its own result, or were not."""
    return pull(g, x, **{**options, "exclusive": not options.get("exclusive")})


CUMSUM = OpSpec(
    name="cumsum",
    op=cumsum,
    cases=runs(),
    oracle=sums,
    integers=Case((whole(2, 3),), {"axis": 1, "exclusive": True}),
    edges=RUNS,
    special={
        "NaN and infinity go on": Special(
            Case((np.array([1, INF, 2, NAN, 1]),), {"axis": 0}), [1, INF, INF, NAN, NAN]
        ),
        "not before they come": Special(
            Case((np.array([1, INF, -INF]),), {"axis": 0, "exclusive": True}), [0, 1, INF]
        ),
    },
    errors=run_errors(cumsum, "cumsum"),
    forward_mutants={
        "always inclusive": without("exclusive", sums),
        "always from the start": without("reverse", sums),
        "product": lambda y, x, **o: products(x, **o),
    },
    backward_mutants={"from the wrong end": turned, "own place": own_too, **MOVED},
    summands=lambda case: 4,
)


def divided(oracle: Any) -> Any:
    """The textbook's gradient by division, with its NaN where an element is 0."""

    def mutant(pull, g, x, axis, exclusive=False, reverse=False):
        with np.errstate(all="ignore"):
            y = oracle(x, axis, exclusive, reverse)
            return [sums(g * y, axis, exclusive, not reverse) / x]

    return mutant


CUMPROD = OpSpec(
    name="cumprod",
    op=cumprod,
    cases=runs(with_zeros),
    oracle=products,
    integers=Case((whole(2, 3),), {"axis": 1, "reverse": True}),
    edges={
        **RUNS,
        "zeros": Case((np.array([[2.0, 0.0, 3.0, 0.0, 5.0]]),), {"axis": 1}),
        "zeros first": Case((np.array([[0.0, 0.0, 3.0]]),), {"axis": 1, "reverse": True}),
    },
    special={
        "NaN and infinity go on": Special(
            Case((np.array([1, INF, -2, 0, 1]),), {"axis": 0}), [1, INF, -INF, NAN, NAN]
        ),
    },
    errors=run_errors(cumprod, "cumprod"),
    forward_mutants={
        "always inclusive": without("exclusive", products),
        "always from the start": without("reverse", products),
        "sum": lambda y, x, **o: sums(x, **o),
    },
    backward_mutants={
        "by division": divided(products),
        "from the wrong end": turned,
        "own place": own_too,
        "of the sum": lambda pull, g, x, axis, exclusive=False, reverse=False: [
            sums(g, axis, exclusive, not reverse)
        ],
    },
    summands=lambda case: 16,
)


def prod_by_division(pull, g, x, axis, keepdims=False):
    kept = reduced(len)(x, axis, True).shape
    with np.errstate(all="ignore"):
        return [(g.reshape(kept) * reduced(math.prod)(x, axis, True)) / x]


PROD = OpSpec(
    name="prod",
    op=prod,
    cases=reductions(with_zeros),
    oracle=reduced(math.prod),
    integers=Case((whole(2, 3) + 1,), {"axis": 1}),
    edges={
        **edges((0, 3), 0),
        "one zero": Case((np.array([[2.0, 0.0, 3.0]]),), {"axis": 1}),
        "two zeros": Case((np.array([[0.0, 4.0, 0.0]]),), {"axis": 1}),
        "axes apart": Case((normal(0, 2, 3, 2),), {"axis": (2, 0)}),
    },
    special={
        "NaN and infinity": rows([[NAN, 0], [INF, 0], [INF, -2]], [NAN, NAN, -INF]),
        "of nothing": Special(Case((np.zeros((2, 0)),), {"axis": 1}), [1, 1]),
    },
    errors=errors(prod, "prod"),
    forward_mutants={
        "sum": lambda y, x, **o: reduced(math.fsum)(x, **o),
        "of the absolute values": lambda y, x, **o: reduced(math.prod)(abs(x), **o),
    },
    backward_mutants={
        "by division": prod_by_division,
        "divided": lambda pull, g, x, **o: [pull(g, x, **o)[0] / (2 * count(x, g))],
        "one place off": other_axis,
    },
    summands=size_of,
)

SPECS = (CUMSUM, CUMPROD, PROD)
TestAccumulating = proof_of(*SPECS)


def test_zeros_do_no_harm():
    x = Tensor(np.array([2.0, 0.0, 5.0]), requires_grad=True)
    assert grad(prod(x), x).data.tolist() == [0, 10, 0]
    assert grad(cumprod(x, 0).sum(), x).data.tolist() == [1, 12, 0]
    twice = Tensor(np.array([0.0, 3.0, 0.0]), requires_grad=True)
    assert grad(prod(twice), twice).data.tolist() == [0, 0, 0]


@pytest.mark.parametrize("op", [cumsum, cumprod])
def test_half_precision_does_not_lose_small_steps(op):
    n = 3000
    x = Tensor(np.full(n, 1.0 if op is cumsum else 1.001, np.float16))
    y = op(x, 0)
    assert y.dtype == np.float16
    right = n if op is cumsum else float(x.data[0]) ** n
    assert abs(float(y.data[-1]) / right - 1) < 1e-3
