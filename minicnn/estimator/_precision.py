"""How a run multiplies matrices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from minicnn.backend.precision import mixed_precision
from minicnn.kernels import settings

PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


@contextlib.contextmanager
def computing_in(precision: str | None) -> Iterator[None]:
    """Let matrices be multiplied in some precision inside a ``with`` block, in this thread.

    Parameters
    ----------
    precision : {"float32", "tf32", "bfloat16", "float16"} or None
        The first three stand for `minicnn.config.matrix_precision` until the block ends; the last
        is `mixed_precision`. None changes nothing.
    """
    if precision is None:
        yield
        return
    mixed = precision == "float16"
    with settings.precision_here("float32" if mixed else precision), mixed_precision(mixed):
        yield
