"""What people may choose; the kernels ask here, `minicnn.config` checks it and sets it."""

import contextlib
import contextvars
import os

winograd: bool = os.environ.get("MINICNN_WINOGRAD", "1") != "0"
matrix_precision: str = os.environ.get("MINICNN_MATRIX_PRECISION", "float32")

_here = contextvars.ContextVar("minicnn_matrix_precision", default=None)


def precision():
    """Return `matrix_precision`, or what stands for it in this thread."""
    return _here.get() or matrix_precision


@contextlib.contextmanager
def precision_here(name):
    """Let `precision` be another one in this thread, inside a ``with`` block."""
    before = _here.get()
    _here.set(name)
    try:
        yield
    finally:  # by `set`, for a generator may be ended in another context than it was begun in
        _here.set(before)
