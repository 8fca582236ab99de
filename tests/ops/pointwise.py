"""What the specs of the non-linearities share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import DTypeError
from tests.autograd.elementwise import near_eighths
from tests.ops.loops import elementwise
from tests.ops.spec import BackwardMutant, Case, ErrorCase, ForwardMutant, OpSpec, Special
from tests.ops.values import away_from_zero, normal, seeds, shapes

Values = Callable[..., np.ndarray]


def wide_steps(seed: int, *shape: int) -> np.ndarray:
    """Numbers of about 3, at least 0.2 from any multiple of 3/4."""
    return np.asarray(3 * near_eighths(seed, *shape))


def wide(seed: int, *shape: int) -> np.ndarray:
    """Numbers of about 2."""
    return np.asarray(2 * normal(seed, *shape))


@st.composite
def any_shape(
    draw: st.DrawFn, values: Values = away_from_zero, options: Sequence[Mapping[str, Any]] = ({},)
) -> Case:
    return Case((values(draw(seeds), *draw(shapes())),), draw(st.sampled_from(list(options))))


def edges(values: Values = away_from_zero, **options: Any) -> dict[str, Case]:
    return {
        "empty": Case((np.zeros((0, 3, 4, 4)),), options),
        "one number": Case((values(3),), options),
        "one number an example": Case((values(0, 2, 1),), options),
        "1x1 maps": Case((values(1, 2, 3, 1, 1),), options),
        "images": Case((values(2, 2, 3, 4, 5),), options),
    }


def needs_floats(op: Any, name: str) -> ErrorCase:
    return ErrorCase(
        lambda: op(Tensor(np.ones((2, 2), int))),
        DTypeError,
        rf"{name}: needs floats, got int64 \(2, 2\); use .astype\('float32'\)",
    )


def special(x: list[float], y: list[float], **options: Any) -> Special:
    return Special(Case((np.array(x),), options), y)


def slope(wrong: Callable[..., np.ndarray]) -> BackwardMutant:
    """Return the mutant whose gradient is g times this (wrong) slope."""
    return lambda pull, g, x, **options: [g * wrong(x, **options)]


def pointwise(
    name: str,
    op: Callable[..., Tensor],
    f: Callable[..., float],
    values: Values = wide,
    *,
    special: Mapping[str, Special],
    forward_mutants: Mapping[str, ForwardMutant],
    backward_mutants: Mapping[str, BackwardMutant],
    options: Sequence[Mapping[str, Any]] = ({},),
    errors: Sequence[ErrorCase] = (),
    proved: Callable[..., Tensor] | None = None,
) -> OpSpec:
    """Return the spec of a function of each number (and of options)."""
    return OpSpec(
        name=name,
        op=proved or op,
        cases=any_shape(values, options),
        oracle=elementwise(f),
        integers=f"{name}: needs floats, got int64",
        edges={
            **edges(values, **options[0]),
            "more than one block": Case((np.resize(values(4, 7), 40_000),), options[0]),
        },
        special=special,
        errors=(needs_floats(op, name), *errors),
        forward_mutants=forward_mutants,
        backward_mutants=backward_mutants,
    )
