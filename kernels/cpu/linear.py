"""The matrix product: the BLAS under NumPy, a strip of rows to a thread."""

import numpy as np

from . import _parallel

_GRAIN = 1 << 20  # multiplications that are worth a thread


def matmul(a, b):
    """a (..., I, K), b (..., K, J) -> (..., I, J), as in NumPy."""
    with _parallel.one_blas_thread():
        if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype:
            return a @ b
        y = np.empty((a.shape[0], b.shape[1]), a.dtype)
        strips = min(16, max(1, a.size * b.shape[1] // _GRAIN))

        def work(_, start, stop):
            np.matmul(a[start:stop], b, out=y[start:stop])

        _parallel.run(work, _parallel.chunks(a.shape[0], strips))
        return y
