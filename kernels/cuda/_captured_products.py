"""Matrix products while a step is captured: CuPy lets nobody call cuBLAS then.

A product is the convolution of signals one pixel long, for which there are kernels of our own;
each of several products side by side is a group.  They add up in another order than cuBLAS, so
what is captured differs in the last digits from what is not, unless `capturing.alike` is asked for.
"""

import math

import cupy
import numpy as np

from .. import capturing
from . import _implicit_gemm, _launch, _tensor_cores
from ._tensor_cores import Point


def applies(a, b):
    """Tell whether the product of a and b, which would be cuBLAS's, is to be ours."""
    return capturing.is_alike() and np.result_type(a.dtype, b.dtype) in _launch.NAMES


def matmul(a, b):
    """a (..., I, K), b (..., K, J) -> (..., I, J), as in NumPy."""
    dtype = np.result_type(a.dtype, b.dtype)
    rows, columns = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if not a.ndim * b.ndim or rows.shape[-1] != columns.shape[-2]:
        raise ValueError(f"matmul: shapes {a.shape} and {b.shape} do not fit")
    rows, columns = rows.astype(dtype, copy=False), columns.astype(dtype, copy=False)
    lead = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    each = rows.shape[-2:], columns.shape[-2:]
    # both (B, *, *)
    rows, columns = (
        cupy.broadcast_to(x, lead + e).reshape(math.prod(lead), *e)
        for x, e in zip((rows, columns), each, strict=True)
    )
    y = _products(rows, columns).reshape(*lead, each[0][0], each[1][1])
    y = y[..., 0] if b.ndim == 1 else y
    return y[..., 0] if a.ndim == b.ndim == 1 else y[..., 0, :] if a.ndim == 1 else y


def _products(a, b):
    """a (B, I, K), b (B, K, J) -> (B, I, J)."""
    (count, i, k), j = a.shape, b.shape[2]
    if not count * i * k * j:
        return cupy.zeros((count, i, j), a.dtype)
    if count == 1 and _is_turned(a[0]):  # a weight's gradient: k, the long sum, goes downwards
        x, grad_y = b[0][:, :, None], a[0].T[:, :, None]  # (K, J, 1), (K, I, 1)
        way = _way(x, (i, j, 1), 1)
        if way is not None:
            return way.conv_grad_weight(grad_y, x, (i, j, 1), Point(), 1)[None, :, :, 0]
    x = a.transpose(1, 0, 2).reshape(i, count * k, 1)
    weight = b.transpose(0, 2, 1).reshape(count * j, k, 1)
    way = _way(x, weight.shape, count)
    if way is None:
        capturing.refuse(
            f"a product of matrices {a.shape} and {b.shape}: too large for our kernels"
        )
        return a @ b
    y = way.conv(x, weight, None, (1,), Point(), count)
    return y.reshape(i, count, j).transpose(1, 0, 2)


def _is_turned(a):
    return a.flags.f_contiguous and not a.flags.c_contiguous


def _way(x, kernel_shape, groups):
    """Return the module whose kernels fit, if there is one."""
    if not _implicit_gemm.applies(x.shape, kernel_shape, (1,), Point(), groups):
        return None
    # What is to be rounded to bfloat16 was: cuBLAS does not, nor do we in its place.
    rounds = _tensor_cores.kind(x.dtype) != "Bfloat"
    if rounds and _tensor_cores.applies(x, kernel_shape, groups):
        return _tensor_cores
    return _implicit_gemm
