"""The matrix product: the BLAS under NumPy, a strip of rows or columns to a thread."""

import numpy as np

from . import _buffers, _parallel

_GRAIN = 1 << 22  # multiplications that are worth a thread
_STRIPS = 8  # each of which costs the BLAS some copying


def matmul(a, b):
    """a (..., I, K), b (..., K, J) -> (..., I, J), as in NumPy."""
    with _parallel.one_blas_thread():
        if a.dtype == b.dtype and a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0]:
            return _matrices(a, b)
        if a.dtype == b.dtype and a.ndim == b.ndim == 3 and len(a) == len(b):
            return _stacks(a, b)
        return a @ b


def _matrices(a, b):
    rows, columns = a.shape[0], b.shape[1]
    y = _buffers.empty((rows, columns), a.dtype)

    # Strips of the longer side, for each strip reads all of the other factor.
    def work(_, start, stop):
        part = slice(start, stop)
        if rows < columns:
            np.matmul(a, b[:, part], out=y[:, part])
        else:
            np.matmul(a[part], b, out=y[part])

    _parallel.run(work, _strips(max(rows, columns), a.size * columns))
    return y


def _stacks(a, b):
    if a.shape[2] != b.shape[1]:
        return a @ b  # which says what is wrong
    y = _buffers.empty((*a.shape[:2], b.shape[2]), a.dtype)

    def work(_, start, stop):
        np.matmul(a[start:stop], b[start:stop], out=y[start:stop])

    _parallel.run(work, _strips(len(a), a.size * b.shape[2]))
    return y


def _strips(count, products):
    return _parallel.chunks(count, min(_STRIPS, max(1, products // _GRAIN)))
