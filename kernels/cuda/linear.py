"""The matrix product: by cuBLAS, through CuPy, or by kernels of our own."""

import math

import cupy
import numpy as np

from . import _captured_products, _tensor_cores

# CuPy asks cuBLAS for what set_compute_type says, for each type in the whole process; its names
# for that are private (cupy/_core/_routines_linalg.pxd), and so we keep their numbers.
_FLOAT32, _TF32 = 1, 7  # COMPUTE_TYPE_DEFAULT and COMPUTE_TYPE_TF32
_LEAST = 16  # of rows, columns and depth, that fill a quarter of a tile


def matmul(a, b):
    """a (..., I, K), b (..., K, J) -> (..., I, J), as in NumPy."""
    if a.ndim > 2 and b.ndim == 2:  # one product of all rows, not a small one for each matrix
        rows = math.prod(a.shape[:-1])
        return matmul(a.reshape(rows, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    if _is_bfloat(a, b):
        return _tensor_cores.matmul(a, b)
    if _captured_products.applies(a, b):
        return _captured_products.matmul(a, b)
    if a.dtype == np.float32 == b.dtype:
        _tell_cublas()
    return a @ b


def _is_bfloat(a, b):
    """Tell whether our own tensor cores' product is to be taken: cuBLAS rounds to TF32 at most."""
    return (
        a.ndim == b.ndim == 2
        and a.shape[1] == b.shape[0]
        and a.dtype == b.dtype
        and _tensor_cores.kind(a.dtype) == "Bfloat"
        and min(*a.shape, b.shape[1]) >= _LEAST
    )


def _tell_cublas():
    """Let CuPy's products of float32 matrices round as the setting says, from now on."""
    core = getattr(cupy, "_core", None)
    if core is None:  # the stand-in for CuPy does not round
        return
    wanted = _TF32 if _tensor_cores.kind(np.float32) == "Tf32" else _FLOAT32
    if core.get_compute_type(np.float32) != wanted:
        core.set_compute_type(np.float32, wanted)
