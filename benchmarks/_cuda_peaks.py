"""What a GPU can do at most, measured: copies in its memory, and matrix products by cuBLAS."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks._clock import Clock, time_all

COPY = 1 << 30  # bytes that are read, and as many that are written: far more than caches hold
PRODUCT = 8192  # rows and columns of the matrices
# cuBLAS's numbers for types in memory and for how products are added up (cublasComputeType_t).
_MEMORY = {
    "float32": "CUDA_R_32F",
    "tf32": "CUDA_R_32F",
    "bfloat16": "CUDA_R_16BF",
    "float16": "CUDA_R_16F",
}
_PRECISE, _TF32 = "CUBLAS_COMPUTE_32F", "CUBLAS_COMPUTE_32F_FAST_TF32"


class Peaks(NamedTuple):
    """Bytes a second of a copy, read and written; operations a second by precision."""

    bandwidth: float
    flops: dict[str, float]

    def floor(self, size: int, flop: int, precision: str) -> float:
        """Return the milliseconds that so many bytes and operations take at least."""
        products = flop / self.flops[precision] if flop else 0.0
        return max(size / self.bandwidth, products) * 1e3


def measure_peaks(
    clock: Clock, precisions: Sequence[str], seconds: float, quick: bool = False
) -> tuple[Peaks, dict[str, str]]:
    """Measure; the medians count, as they do for the kernels.

    Returns
    -------
    peaks : Peaks
        Of those precisions that the card has.
    failures : dict of str to str
        Why there are no others.
    """
    size, n = (1 << 12, 16) if quick else (COPY, PRODUCT)
    copy = statistics.median(clock.times(copying(size), seconds))
    clock.free()
    works = [(precision, functools.partial(multiplying, n, precision)) for precision in precisions]
    timed = time_all(clock, works, seconds)
    flops = {
        precision: 2 * n**3 / (statistics.median(times) * 1e-3)
        for precision, times in timed.times.items()
    }
    return Peaks(2 * size / (copy * 1e-3), flops), timed.failures


def copying(size: int) -> Callable[[], object]:
    """Return a copy from device memory to device memory, by the driver."""
    import cupy

    source, target = cupy.zeros(size, np.uint8), cupy.zeros(size, np.uint8)
    return lambda: target.data.copy_from_device_async(source.data, size)


def multiplying(n: int, precision: str) -> Callable[[], object]:
    """Return cuBLAS's product of two square matrices of random numbers, added up in float32.

    Zeros would not do: the card takes less power for them, and runs faster.
    """
    import cupy

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, n), dtype=np.float32) for _ in range(2))
    if hasattr(cupy, "__stand_in__"):  # which has no cuBLAS
        x, y = cupy.asarray(a), cupy.asarray(b)
        return lambda: x @ y
    x, y = (cupy.asarray(narrowed(m, precision)) for m in (a, b))
    z = cupy.empty_like(x)
    return lambda: product(precision, x, y, z)


_ONE, _ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)  # cuBLAS reads them at the call


def product(precision: str, x: Any, y: Any, z: Any) -> None:
    """Write the product of two square matrices to z, by cuBLAS: CuPy's matmul has no bfloat16."""
    import cupy
    from cupy_backends.cuda.libs import cublas

    kind, n = getattr(cupy.cuda.runtime, _MEMORY[precision]), len(z)
    compute = getattr(cublas, _TF32 if precision == "tf32" else _PRECISE)
    op, algorithm = cublas.CUBLAS_OP_N, cublas.CUBLAS_GEMM_DEFAULT
    factors = _ONE.ctypes.data, x.data.ptr, kind, n, y.data.ptr, kind, n
    result = _ZERO.ctypes.data, z.data.ptr, kind, n
    handle = cupy.cuda.device.get_cublas_handle()
    cublas.gemmEx(handle, op, op, n, n, n, *factors, *result, compute, algorithm)


def narrowed(matrix: np.ndarray, precision: str) -> np.ndarray:
    """Return a matrix as it lies in memory: bfloat16 is the upper half of float32's bits."""
    if precision == "bfloat16":
        return (matrix.view(np.uint32) >> 16).astype(np.uint16)
    return matrix.astype(np.float16) if precision == "float16" else matrix
