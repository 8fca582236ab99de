"""Where arrays live: the CPU, or a CUDA GPU through CuPy."""

from __future__ import annotations

import contextvars
import importlib
from types import ModuleType

import numpy as np

from minicnn.backend import Array
from minicnn.errors import DeviceError

_INSTALL = "install CuPy with: pip install cupy-cuda12x"
_default: contextvars.ContextVar[str] = contextvars.ContextVar("minicnn_device", default="cpu")


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
    """Make `device` the place where new parameters and batches go.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.

    Raises
    ------
    DeviceError
        If there is no such device, or CuPy is not installed.
    """
    _default.set(check_device(device))


def get_device() -> str:
    """Return the place where new parameters and batches go.

    Returns
    -------
    str
        ``"cpu"``, unless `set_device` said otherwise.
    """
    return _default.get()


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


def _cupy(device: str) -> ModuleType:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise DeviceError(f"device {device!r} needs CuPy, which is not here; {_INSTALL}") from error
