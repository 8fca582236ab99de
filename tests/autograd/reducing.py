"""What the specs of ops that summarise axes share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.errors import ConfigError, ShapeError
from tests.autograd.moving import whole as whole
from tests.autograd.moving import x_of as x_of
from tests.ops.spec import Case, ErrorCase, Special
from tests.ops.values import distinct, normal, seeds, shapes


def reduced(summary: Callable[[list[float]], float]) -> Callable[..., np.ndarray]:
    """Return the oracle that collects the numbers of each result and summarises them."""

    def oracle(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
        axes = range(x.ndim) if axis is None else ((axis,) if isinstance(axis, int) else axis)
        gone = {a % x.ndim for a in axes} if x.ndim else set()
        kept = tuple(1 if i in gone else n for i, n in enumerate(x.shape))
        y = np.empty(kept)
        numbers: dict[tuple[int, ...], list[float]] = {at: [] for at in np.ndindex(*kept)}
        for at in np.ndindex(x.shape):
            numbers[tuple(0 if i in gone else k for i, k in enumerate(at))].append(x[at].item())
        for at, group in numbers.items():
            y[at] = summary(group)
        return y if keepdims else y.reshape([n for i, n in enumerate(kept) if i not in gone])

    return oracle


@st.composite
def reductions(draw: st.DrawFn, values: Callable[..., np.ndarray] = normal) -> Case:
    shape = draw(shapes(0, 4, longest=3))
    axes: Any = None
    if shape and draw(st.booleans()):
        axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=3))
        negative = draw(st.booleans())
        axes = tuple(a - len(shape) if negative else a for a in axes)
        axes = axes[0] if len(axes) == 1 and draw(st.booleans()) else axes
    return Case((values(draw(seeds), *shape),), {"axis": axes, "keepdims": draw(st.booleans())})


def edges(empty: tuple[int, ...], axis: Any) -> dict[str, Case]:
    return {
        "empty": Case((np.zeros(empty),), {"axis": axis}),
        "one number": Case((normal(0),), {"axis": None}),
        "no axes": Case((normal(0, 2, 3),), {"axis": ()}),
        "axes of one": Case((normal(0, 1, 3, 1),), {"axis": (0, 2)}),
        "images": Case((distinct(0, 2, 3, 4, 5),), {"axis": (0, 2, 3)}),
        "a long row": Case((normal(0, 2, 999),), {"axis": 1}),
    }


def errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(x_of(2, 3), 2),
            ShapeError,
            rf"{name}: axis 2 does not fit shape \(2, 3\); its",
        ),
        ErrorCase(
            lambda: op(x_of(2, 3), (0, -2)),
            ShapeError,
            r"axis \(0, -2\) names an axis of shape .* twice",
        ),
        ErrorCase(
            lambda: op(x_of(2, 3), 0.5), ConfigError, f"{name}: axis must be (a )?whole number"
        ),
        ErrorCase(lambda: op(x_of(), 0), ShapeError, r"axis 0 does not fit shape \(\)"),
    )


def nothing(op: Any, name: str) -> ErrorCase:
    return ErrorCase(
        lambda: op(x_of(2, 0), 1),
        ShapeError,
        rf"{name}: shape \(2, 0\) has no elements along axes \(1,\), so there is none to choose",
    )


def rows(x: list[list[float]], y: Any, axis: int = 1) -> Special:
    return Special(Case((np.array(x),), {"axis": axis}), y)


def size_of(case: Case) -> int:
    return case.arrays[0].size


def other_axis(pull, g, x, **options):
    """The gradient spread in the wrong place."""
    (d,) = pull(g, x, **options)
    return [np.roll(d.reshape(-1), 1).reshape(d.shape)]


def count(x: np.ndarray, y: np.ndarray) -> float:
    return x.size / y.size if y.size else 1.0
