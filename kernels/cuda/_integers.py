"""Adding whole numbers to places, for which there are no kernels of our own."""

import numpy as np


def added(kernel, x, *rest):
    """Call a kernel of kernels.plain that adds x's numbers to places.

    CuPy does so for some types only.  Sums of int64 and of uint64 have the same bits, and in any
    order: all whole numbers are added as the latter.
    """
    if x.dtype.kind not in "iub":
        return kernel(x, *rest)
    words = x.astype(np.int64).view(np.uint64)
    return kernel(words, *rest).view(np.int64).astype(x.dtype, copy=False)
