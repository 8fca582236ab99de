"""How a run multiplies matrices."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from minicnn.backend.precision import mixed_precision

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


@contextlib.contextmanager
def computing_in(precision: str | None) -> Iterator[None]:
    """Let matrices be multiplied in some precision inside a ``with`` block.

    Parameters
    ----------
    precision : {"float32", "tf32", "bfloat16", "float16"} or None
        The first three are values of `minicnn.config.matrix_precision`, which changes for the whole
        program until the block ends; the last is `mixed_precision`. None changes nothing.
    """
    if precision is None:
        yield
        return
    config: Any = importlib.import_module("minicnn.config")
    before, mixed = config.matrix_precision, precision == "float16"
    config.matrix_precision = "float32" if mixed else precision
    try:
        with mixed_precision(mixed):
            yield
    finally:
        config.matrix_precision = before
