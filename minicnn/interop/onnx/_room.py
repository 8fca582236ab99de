"""How large a value may become while a model runs: what a file asks for has to fit somewhere."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from minicnn.errors import ShapeError

MOST_ELEMENTS = 2**28
"""Of one value, by default: 1 GiB of float32."""
MOST_TURNS = 10_000_000
"""Of one loop: such a model runs for hours."""

_most: ContextVar[int] = ContextVar("_most", default=MOST_ELEMENTS)
_BROADCAST = {
    "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu",
    "Pow", "Sub", "Sum", "Where", "Xor",
}  # fmt: skip
# Products of matrices, and where among their inputs the two matrices are
_PRODUCTS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}


@contextlib.contextmanager
def room_for(most: int) -> Iterator[None]:
    """Let values have so many elements in this thread."""
    token = _most.set(most)
    try:
        yield
    finally:
        _most.reset(token)


def check_room(op: str, shape: Sequence[int]) -> None:
    """Refuse a result that is too large, before it is made.

    Raises
    ------
    ShapeError
        That says how many elements it would have.
    """
    count = math.prod(shape) if min(shape, default=0) >= 0 else 0
    if count > _most.get():
        text = str(tuple(shape))
        raise ShapeError(
            f"{op}: a result of shape {text[:200]} would have {count:.4g} elements, and at most "
            f"{_most.get():,} are made; if the model means it, raise most_elements of the module"
        )


def check_inputs(kind: str, given: Sequence[Any], settings: dict[str, Any]) -> None:
    """Refuse inputs whose combination is too large: n and m of them may make n * m."""
    if kind in _BROADCAST:
        shapes = [v.shape for v in given if hasattr(v, "shape")]
        wide: Sequence[int] = ()
        with contextlib.suppress(ValueError):  # they do not fit, which the operator says better
            wide = np.broadcast_shapes(*shapes)
        check_room(kind, wide)
    elif kind == "Concat":
        check_room(kind, (sum(v.size for v in given),))
    elif kind in _PRODUCTS:
        a, b = (given[i].shape for i in _PRODUCTS[kind])
        stacks: Sequence[int] = ()
        with contextlib.suppress(ValueError):
            stacks = np.broadcast_shapes(a[:-2], b[:-2])
        check_room(kind, (*stacks, *a[-2:-1], *(b[-1:] if len(b) > 1 else ())))
    elif kind == "Gemm" and given[0].ndim == given[1].ndim == 2:
        a, b = given[0].shape, given[1].shape
        rows, columns = a[settings.get("transA", 0)], b[1 - settings.get("transB", 0)]
        check_room(kind, (rows, columns))
    elif kind == "GatherND" and given[0].ndim and given[1].ndim:
        x, at = given[0].shape, given[1].shape
        check_room(kind, (*at[:-1], *x[settings.get("batch_dims", 0) + at[-1] :]))
    elif kind == "GridSample" and given[0].ndim > 2 and given[1].ndim > 2:
        check_room(kind, (*given[0].shape[:2], *given[1].shape[1:-1]))
    elif kind == "Einsum":
        check_room(kind, _einsum_shape(settings["equation"], [v.shape for v in given]))
    elif kind == "Gather" and given[0].ndim:
        x, axis = given[0].shape, settings.get("axis", 0) % given[0].ndim
        check_room(kind, (*x[:axis], *given[1].shape, *x[axis + 1 :]))


def _einsum_shape(equation: str, shapes: list[Sequence[int]]) -> list[int]:
    """Return the lengths that the letters of an einsum's result name; the largest, if it is odd."""
    terms, arrow, out = equation.replace(" ", "").partition("->")
    lengths: dict[str, int] = {}
    around = 1  # what "..." stands for
    for term, shape in zip(terms.split(","), shapes, strict=False):
        before, dots, after = term.partition("...")
        lengths.update(zip(before, shape, strict=False))
        lengths.update(zip(after[::-1], shape[::-1], strict=False))
        if dots:
            inside = shape[len(before) : len(shape) - len(after)]
            around = max(around, math.prod(inside))
    if not arrow:
        out = "..." + "".join(x for x in lengths if terms.count(x) == 1)
    found = [lengths[x] for x in out if x in lengths]
    return [*found, around] if "..." in out else found


def check_result(kind: str, result: Any) -> None:
    """Refuse to go on with a value that is too large: a few doublings later nothing would fit."""
    if result is not None and result.size > _most.get():
        check_room(kind, result.shape)
