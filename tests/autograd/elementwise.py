"""What the specs of elementwise ops share: numbers, shapes that broadcast, wrong gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import DTypeError, ShapeError
from tests.ops.loops import elementwise
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import broadcastable, normal, positive, seeds, shapes

INF, NAN = math.inf, math.nan
Values = Callable[..., np.ndarray]


def either_sign(seed: int, *shape: int) -> np.ndarray:
    """Numbers of either sign, from 0.5 to 2.5: one can divide by them."""
    return np.asarray(positive(seed, *shape) * np.sign(normal(seed + 1, *shape)))


def near_quarters(seed: int, *shape: int) -> np.ndarray:
    """Numbers within 0.05 of a multiple of 1/4."""
    return np.asarray(
        np.rint(4 * normal(seed, *shape)) / 4 + 0.05 * np.tanh(normal(seed + 1, *shape))
    )


def near_eighths(seed: int, *shape: int) -> np.ndarray:
    """Numbers halfway between those of `near_quarters`, at least 0.025 from each."""
    return np.asarray(near_quarters(seed + 2, *shape) + 0.125)


def inside(seed: int, *shape: int) -> np.ndarray:
    """Numbers from -0.9 to 0.9."""
    return np.asarray(0.9 * np.tanh(normal(seed, *shape)))


def dividends(seed: int, *shape: int) -> np.ndarray:
    """Numbers within 0.01 of an odd multiple of 1/4."""
    jitter = 0.01 * np.tanh(normal(seed + 1, *shape))
    return np.asarray(np.rint(4 * normal(seed, *shape)) / 2 + 0.25 + jitter)


def divisors(seed: int, *shape: int) -> np.ndarray:
    """Numbers of either sign, within 0.005 of 1/2, 1, 3/2 or 2: no dividend is a multiple."""
    halves = 1 + np.abs(np.rint(2 * normal(seed, *shape))).clip(0, 3)
    jitter = 0.005 * np.tanh(normal(seed + 1, *shape))
    return np.asarray((halves / 2 + jitter) * np.where(normal(seed + 2, *shape) < 0, -1, 1))


@st.composite
def one(draw: st.DrawFn, values: Values = normal) -> Case:
    return Case((values(draw(seeds), *draw(shapes())),))


@st.composite
def two(draw: st.DrawFn, first: Values = normal, second: Values = normal) -> Case:
    seed = draw(seeds)
    a, b = broadcastable(draw, 2)
    return Case((first(seed, *a), second(seed + 10, *b)))


def edges_of(values: Values = normal, **options: Any) -> dict[str, Case]:
    return {
        "empty": Case((values(0, 0, 3),), options),
        "one number": Case((values(0),), options),
        "image": Case((values(0, 2, 3, 4, 5),), options),
    }


def pair_edges(first: Values = normal, second: Values = normal, **options: Any) -> dict[str, Case]:
    return {
        name: Case((first(0, *a), second(10, *b)), options)
        for name, (a, b) in {
            "empty": ((0, 3), (3,)),
            "an empty batch and one image": ((0, 3), (1, 3)),
            "numbers": ((), ()),
            "one number for each channel": ((2, 3, 4, 5), (3, 1, 1)),
            "both are repeated": ((3, 1, 2), (4, 1)),
            "the smaller one first": ((1,), (2, 3)),
        }.items()
    }


def whole(*shape: int) -> np.ndarray:
    """Whole numbers from 1 on."""
    return np.arange(1, 1 + math.prod(shape)).reshape(shape)


def special(x: list[float], y: list[float]) -> Special:
    return Special(Case((np.array(x),)), y)


def specials(a: list[float], b: list[float], y: list[float]) -> Special:
    return Special(Case((np.array(a), np.array(b))), y)


def summed_to(d: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Undo broadcasting, one element at a time."""
    result = np.zeros(shape)
    for at in np.ndindex(d.shape):
        tail = at[len(at) - len(shape) :]
        result[tuple(0 if n == 1 else i for i, n in zip(tail, shape, strict=True))] += d[at]
    return result


def assigned_to(d: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """`=` for `+=`: what broadcasting repeated gets the gradient of its last use."""
    result = np.zeros(shape)
    for at in np.ndindex(d.shape):
        tail = at[len(at) - len(shape) :]
        result[tuple(0 if n == 1 else i for i, n in zip(tail, shape, strict=True))] = d[at]
    return result


def last_use(pull, g, a, b, **options):
    wide = pull(g, *(np.array(v) for v in np.broadcast_arrays(a, b)), **options)
    return [
        assigned_to(np.broadcast_to(d, g.shape), v.shape) for d, v in zip(wide, (a, b), strict=True)
    ]


def averaged(pull, g, *arrays, **options):
    """Broadcasting's sum taken for a mean."""
    return [d * d.size / max(g.size, 1) for d in pull(g, *arrays, **options)]


def slopes(*wrong: Callable[..., np.ndarray]) -> Callable[..., list[np.ndarray]]:
    """Return the mutant whose gradients are g times these (wrong) slopes."""

    def mutant(pull, g, *arrays):
        wide = np.broadcast_arrays(*arrays)
        return [summed_to(g * f(*wide), a.shape) for f, a in zip(wrong, arrays, strict=True)]

    return mutant


def mismatch(op: Any, name: str) -> ErrorCase:
    return ErrorCase(
        lambda: op(Tensor(np.ones((2, 3))), Tensor(np.ones((2, 4)))),
        ShapeError,
        rf"{name}: shapes \(2, 3\) and \(2, 4\) do not broadcast; axes must be equal or 1",
    )


def binary(
    name: str,
    op: Any,
    f: Callable[[float, float], float],
    first: Values = normal,
    second: Values = normal,
    *,
    forward_mutants: dict[str, Any],
    backward_mutants: dict[str, Any],
    special: dict[str, Special],
    errors: tuple[ErrorCase, ...] = (),
) -> OpSpec:
    """Return the spec of an op on two operands that broadcast."""
    return OpSpec(
        name=name,
        op=op,
        cases=two(first, second),
        oracle=elementwise(f),
        integers=Case((whole(2, 3), whole(3))),
        edges=pair_edges(first, second),
        special=special,
        errors=(mismatch(op, name), *errors),
        forward_mutants=forward_mutants,
        backward_mutants={
            "= for += where an axis is repeated": last_use,
            "mean where an axis is repeated": averaged,
            **backward_mutants,
        },
        summands=lambda case: max(16, *(a.size for a in case.arrays)),
    )


def unary(
    name: str,
    op: Any,
    f: Callable[[float], float],
    values: Values = normal,
    *,
    forward_mutants: dict[str, Any],
    backward_mutants: dict[str, Any],
    special: dict[str, Special],
    integers: np.ndarray | None = None,
    errors: tuple[ErrorCase, ...] = (),
) -> OpSpec:
    """Return the spec of an op on one operand."""
    return OpSpec(
        name=name,
        op=op,
        cases=one(values),
        oracle=elementwise(f),
        integers=Case((whole(2, 3) if integers is None else integers,)),
        edges=edges_of(values),
        special=special,
        errors=errors,
        forward_mutants=forward_mutants,
        backward_mutants=backward_mutants,
    )


def needs_numbers(call: Callable[[Tensor], Any], name: str) -> ErrorCase:
    return ErrorCase(
        lambda: call(Tensor(np.ones((2, 3), bool))),
        DTypeError,
        rf"{name}: needs numbers, got bool \(2, 3\); use .astype\('float32'\)",
    )


def gradients(f: Callable[..., Tensor], *values: Any) -> list[list[float]]:
    leaves = [Tensor(np.array(v, float), requires_grad=True) for v in values]
    f(*leaves).sum().backward()
    return [leaf.grad.data.tolist() for leaf in leaves]
