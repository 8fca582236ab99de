"""Which array library, which kernels and which device an array belongs to.

An array's own type decides: a NumPy array is computed on the CPU, a CuPy array
on the GPU.  Ops ask here and never import numba, cupy or a kernel directly.
"""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType
from typing import Any

import numpy as np

from minicnn.errors import ConfigError

__all__ = ["Array", "array_module", "jit_enabled", "kernels_for"]

Array = Any  # numpy.ndarray or cupy.ndarray

_NUMPY = (np.ndarray, np.generic)  # x.sum() of an array is an np.generic
# Every op asks for MINICNN_JIT, and os.environ.get raises and catches a KeyError where it is not
# set. The dict behind os.environ answers ten times faster, under the system's form of the name.
_environment: Any = os.environ
_jit: Any = "MINICNN_JIT"
_off: Any = "0"
if hasattr(_environment, "_data"):
    _jit, _off = _environment.encodekey(_jit), _environment.encodevalue(_off)
    _environment = _environment._data


def array_module(x: Array) -> ModuleType:
    """Return ``numpy`` or ``cupy``, whichever made `x`.

    Parameters
    ----------
    x : ndarray
        An array of either.

    Returns
    -------
    module
        The array library.
    """
    if isinstance(x, _NUMPY):
        return np
    return importlib.import_module("cupy")


def kernels_for(x: Array) -> ModuleType:
    """Return the kernels for arrays like `x`: modules of the same functions, one for each device.

    They are ``minicnn.kernels.cpu`` (Numba) for NumPy arrays, ``minicnn.kernels.plain`` (array
    expressions) for them when the environment has MINICNN_JIT=0, and ``minicnn.kernels.cuda``
    for CuPy arrays.

    Parameters
    ----------
    x : ndarray
        An array of either library.

    Returns
    -------
    module
        The kernels.
    """
    if not isinstance(x, _NUMPY):
        return _kernels("cuda")
    return _kernels("cpu" if jit_enabled() else "plain")


def jit_enabled() -> bool:
    """Tell whether kernels are compiled.

    Returns
    -------
    bool
        True, unless the environment has MINICNN_JIT=0.
    """
    return _environment.get(_jit) != _off


@functools.cache
def _kernels(name: str) -> ModuleType:
    kernels = importlib.import_module(f"minicnn.kernels.{name}")
    if name == "cpu":
        try:
            kernels._parallel.threads()  # better now than in the middle of a step
        except ValueError as error:
            raise ConfigError(str(error)) from None
    return kernels
