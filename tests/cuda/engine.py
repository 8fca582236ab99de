"""Which CUDA the tests use: the stand-in (kernels/cuda_host), or with ``pytest -m gpu`` a GPU.

A process can have one of them only: kernels hold on to the library that they were imported with.
"""

from __future__ import annotations

import importlib
import shutil

import pytest

GPU = pytest.param("gpu", marks=pytest.mark.gpu)


def engines(config: pytest.Config) -> list[object]:
    """Return what the tests of this process run on."""
    return [GPU] if config.option.markexpr.strip() == "gpu" else ["host"]


def start(engine: str) -> None:
    """Make CuPy, or the stand-in for it, ready to be imported; or skip."""
    if engine == "gpu":
        missing = no_gpu()
        if missing:
            pytest.skip(missing)
        return
    if shutil.which("g++") is None:
        pytest.skip("the stand-in for a GPU needs g++ to compile the kernels")
    importlib.import_module("minicnn.kernels.cuda_host").install()


def no_gpu() -> str:
    """Say why there is no GPU; nothing if there is one."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return "CuPy is not installed: pip install 'minicnn[cuda]'"
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no usable GPU: {error}"
    return ""
