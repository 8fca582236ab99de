"""The matrix product: the BLAS under NumPy, a strip of rows or columns to a thread."""

import numpy as np

from . import _buffers, _parallel

_GRAIN = 1 << 22  # multiplications that are worth a thread
_STRIPS = 8  # each of which costs the BLAS some copying


def matmul(a, b):
    """a (..., I, K), b (..., K, J) -> (..., I, J), as in NumPy."""
    with _parallel.one_blas_thread():
        if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype:
            return a @ b
        rows, columns = a.shape[0], b.shape[1]
        y = _buffers.empty((rows, columns), a.dtype)
        strips = min(_STRIPS, max(1, a.size * columns // _GRAIN))

        # Of the longer side, for each strip reads all of the other factor.
        def work(_, start, stop):
            part = slice(start, stop)
            if rows < columns:
                np.matmul(a, b[:, part], out=y[:, part])
            else:
                np.matmul(a[part], b, out=y[part])

        _parallel.run(work, _parallel.chunks(max(rows, columns), strips))
        return y
