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
    elif kind in ("MatMul", "Gemm") and given[0].ndim == given[1].ndim == 2:
        a, b = given[0].shape, given[1].shape
        rows, columns = a[settings.get("transA", 0)], b[1 - settings.get("transB", 0)]
        check_room(kind, (rows, columns))
    elif kind == "Gather" and given[0].ndim:
        x, axis = given[0].shape, settings.get("axis", 0) % given[0].ndim
        check_room(kind, (*x[:axis], *given[1].shape, *x[axis + 1 :]))


def check_result(kind: str, result: Any) -> None:
    """Refuse to go on with a value that is too large: a few doublings later nothing would fit."""
    if result is not None and result.size > _most.get():
        check_room(kind, result.shape)
