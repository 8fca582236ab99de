"""How every CPU kernel is compiled.

Kernels are plain loops that release the interpreter's lock; `_parallel` runs
them on fixed chunks of the work.  That needs no Numba threading layer, so it
compiles several times faster than ``parallel=True``, never contends with the
BLAS for the cores, and several threads may call kernels at once.
"""

import functools

from numba import njit as _njit


def njit(function):
    """Compile a kernel: no lock, cached on disk, IEEE arithmetic except for fused multiply-add.

    Only contraction is allowed of the fast-math family: the compiler may fuse
    a*b + c, never reorder a sum, so NaN and infinity behave and a result does
    not depend on how a loop was vectorised.
    """
    return _compiled(function, {"contract"})


def njit_as_written(function):
    """Compile a kernel that rounds each product, as NumPy does: to its bits."""
    return _compiled(function, False)


def _compiled(function, fastmath):
    compiler = functools.partial(_njit, nogil=True, fastmath=fastmath, error_model="numpy")
    try:
        return compiler(function, cache=True)
    except RuntimeError:  # nowhere to write a cache: compile anew in each process
        return compiler(function)
