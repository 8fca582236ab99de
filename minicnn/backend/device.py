"""Where arrays live: the CPU, or a CUDA GPU through CuPy.

On a machine without a GPU, MINICNN_CUDA=host lets the CPU play one: slowly, but by the same
kernels; see `minicnn.kernels.cuda_host`.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import importlib
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minicnn.backend import Array
from minicnn.errors import ConfigError, DeviceError

_INSTALL = "install CuPy with: pip install cupy-cuda12x (or cupy-cuda13x, for a driver of CUDA 13)"
_program: str | None = None  # what `set_device` said
_here: contextvars.ContextVar[str | None] = contextvars.ContextVar("minicnn_device", default=None)


def check_device(device: str) -> str:
    """Return the full name of a device, ``"cpu"`` or ``"cuda:<index>"``.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` (the first GPU) or ``"cuda:<index>"``.

    Returns
    -------
    str
        The name with its index.

    Raises
    ------
    DeviceError
        If there is no such device, or CuPy is not installed.
    """
    kind, colon, index = str(device).partition(":")
    if kind == "cpu" and not colon:
        return "cpu"
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise DeviceError(f"device {device!r} is unknown; use 'cpu', 'cuda' or 'cuda:<index>'")
    cupy = _cupy(device)
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"device {device!r}: no usable GPU or driver ({error})") from error
    if int(index or 0) >= count:
        raise DeviceError(f"device {device!r}: this machine has {count} GPU(s); count from 0")
    return f"cuda:{int(index or 0)}"


def set_device(device: str) -> None:
    """Make `device` the place where new parameters and batches go, in the whole program.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.

    Raises
    ------
    DeviceError
        If there is no such device, or CuPy is not installed.
    """
    global _program
    _program = check_device(device)
    if _program != "cpu":
        _gpu("set_device", _program)[1].use()  # CuPy launches kernels on its current GPU


def get_device() -> str:
    """Return the place where new parameters and batches go.

    Returns
    -------
    str
        What `on_device` or `set_device` said; else what the variable MINICNN_DEVICE says; else
        ``"cpu"``.

    Raises
    ------
    DeviceError
        If the variable names no device that is here.
    """
    return _here.get() or _program or _by_environment()


@functools.cache
def _by_environment() -> str:
    return check_device(os.environ.get("MINICNN_DEVICE") or "cpu")


@contextlib.contextmanager
def on_device(device: str) -> Iterator[None]:
    """Let new parameters and batches go to `device` inside a ``with`` block, in this thread.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.

    Raises
    ------
    DeviceError
        If there is no such device, or CuPy is not installed.
    """
    before, device = _here.get(), check_device(device)
    _here.set(device)
    # Kernels are launched on CuPy's current GPU, wherever their arrays are.
    current = contextlib.nullcontext() if device == "cpu" else _gpu("on_device", device)[1]
    try:
        with current:
            yield
    finally:  # by `set`, for a generator may be ended in another context than it was begun in
        _here.set(before)


def device_of(x: Array) -> str:
    """Return the name of the device that holds `x`.

    Parameters
    ----------
    x : ndarray
        An array of NumPy or CuPy.

    Returns
    -------
    str
        ``"cpu"`` or ``"cuda:<index>"``.
    """
    if isinstance(x, (np.ndarray, np.generic)):  # far faster than with |
        return "cpu"
    return f"cuda:{x.device.id}"


def to_device(x: Array, device: str) -> Array:
    """Return `x` on `device`.

    Parameters
    ----------
    x : ndarray
        An array of NumPy or CuPy.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.

    Returns
    -------
    ndarray
        `x` itself if it is there, else a copy.

    Raises
    ------
    DeviceError
        If there is no such device, or CuPy is not installed.
    """
    device = check_device(device)
    if device_of(x) == device:
        return x
    cupy = _cupy(device)
    if device == "cpu":
        return cupy.asnumpy(x)
    with cupy.cuda.Device(int(device.partition(":")[2])):
        return cupy.asarray(x)


def as_numpy(x: Any) -> np.ndarray:
    """Return an array of any device, or what NumPy makes an array of, in host memory.

    Parameters
    ----------
    x : array_like
        An array of NumPy or CuPy, a number, a list of numbers.

    Returns
    -------
    ndarray
        Of NumPy; no copy if it was one.
    """
    return np.asarray(x.get() if hasattr(x, "__cuda_array_interface__") else x)


class MemoryUse(NamedTuple):
    """The memory of a GPU, in bytes.

    Attributes
    ----------
    used : int
        By arrays of this process.
    held : int
        By this process: what arrays use, and what freed arrays left for the next ones.
    free : int
        Free on the card.
    total : int
        Of the card.
    """

    used: int
    held: int
    free: int
    total: int


def device_memory(device: str = "cuda") -> MemoryUse:
    """Return how the memory of a GPU is used.

    Parameters
    ----------
    device : str, default "cuda"
        ``"cuda"`` or ``"cuda:<index>"``.

    Returns
    -------
    MemoryUse
        ``used``, ``held``, ``free`` and ``total``, in bytes.

    Raises
    ------
    DeviceError
        If it is the CPU, or there is no such device.
    """
    cupy, gpu = _gpu("device_memory", device)
    with gpu:
        pool = cupy.get_default_memory_pool()
        free, total = gpu.mem_info
        return MemoryUse(pool.used_bytes(), pool.total_bytes(), free, total)


def release_device_memory(device: str = "cuda") -> None:
    """Give the memory that freed arrays left, back to the card, for other programs.

    Parameters
    ----------
    device : str, default "cuda"
        ``"cuda"`` or ``"cuda:<index>"``.

    Raises
    ------
    DeviceError
        If it is the CPU, or there is no such device.
    """
    cupy, gpu = _gpu("release_device_memory", device)
    with gpu:
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()


def _gpu(caller: str, device: str) -> tuple[ModuleType, Any]:
    """Return CuPy, and its name for a GPU."""
    device = check_device(device)
    if device == "cpu":
        raise DeviceError(f"{caller}: the CPU has no pool to tell of; name a GPU, such as 'cuda'")
    cupy = _cupy(device)
    return cupy, cupy.cuda.Device(int(device.partition(":")[2]))


def _cupy(device: str) -> ModuleType:
    """Return CuPy, or what stands for it where the environment has MINICNN_CUDA=host."""
    asked = os.environ.get("MINICNN_CUDA", "")
    if asked not in ("", "host"):
        raise ConfigError(f"MINICNN_CUDA must be host or not be set, got {asked!r}")
    if asked:
        importlib.import_module("minicnn.kernels.cuda_host").install()
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(f"device {device!r} needs CuPy, which is not here; {_INSTALL}") from error
