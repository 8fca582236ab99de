"""The modules `cupy`, `cupy.cuda`, `cupyx` and theirs, put together from the other files."""

from __future__ import annotations

import functools
import types

import numpy as np

from . import _device, _functions, _indexing, _memory, _methods, _nvrtc
from ._array import ndarray
from ._names import CUDA, CUPYX, OTHERS
from ._ufuncs import ufunc

_CONSTANTS = {
    "Inf": np.inf, "Infinity": np.inf, "PINF": np.inf, "infty": np.inf, "inf": np.inf,
    "NINF": -np.inf, "NAN": np.nan, "NaN": np.nan, "nan": np.nan, "PZERO": 0.0, "NZERO": -0.0,
    "float_": np.float64, "complex_": np.complex128, "cfloat": np.complex128,
    "singlecomplex": np.complex64,
}  # fmt: skip
_NVRTC = (
    "NVRTCError addNameExpression compileProgram createProgram destroyProgram getCUBIN "
    "getLoweredName getPTX getProgramLog getSupportedArchs getVersion"
)


class _Module(types.ModuleType):
    """A module that says what it has, and tells what CuPy has too but it has not."""

    def __init__(self, name, has, known=()):
        super().__init__(name)
        self.__dict__.update(has)
        self.__dict__["__stand_in__"], self.__dict__["_known"] = True, frozenset(known)

    def __getattr__(self, name):
        if name in self.__dict__.get("_known", ()):
            raise NotImplementedError(f"{self.__name__} has {name}, but its stand-in has not")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Cupy(_Module):
    """`cupy` itself: its functions are made when they are asked for."""

    def __getattr__(self, name):
        if name == "RawModule":
            from ._module import RawModule

            return RawModule
        found = None if "." in name else _functions.find(name)
        return super().__getattr__(name) if found is None else found

    def __dir__(self):
        plain = [name for name in _functions.TABLE if "." not in name]
        return sorted({*super().__dir__(), *plain, *_methods.ufuncs})


def made():
    """Return the modules by their names."""
    runtime = _Module("cupy.cuda.runtime", _runtime())
    memory = _Module(
        "cupy.cuda.memory", _only(_memory, "MemoryPointer MemoryPool OutOfMemoryError")
    )
    stream = _Module("cupy.cuda.stream", _only(_device, "Event Stream get_current_stream"))
    nvrtc = _Module("cupy.cuda.nvrtc", _only(_nvrtc, _NVRTC), ("getLTOIR", "check_status"))
    parts = {"runtime": runtime, "memory": memory, "stream": stream, "nvrtc": nvrtc}
    cuda = _Module("cupy.cuda", _cuda() | parts, CUDA.split())
    tricks = _Module(
        "cupy.lib.stride_tricks",
        {"as_strided": as_strided, "sliding_window_view": sliding_window_view},
    )
    lib = _Module("cupy.lib", {"stride_tricks": tricks})
    linear = [name for name in _functions.TABLE if name.startswith("linalg.")]
    has = {name.removeprefix("linalg."): _functions.find(name) for name in linear}
    linalg = _Module("cupy.linalg", has | {"LinAlgError": np.linalg.LinAlgError})
    exceptions = _Module("cupy.exceptions", {"AxisError": np.exceptions.AxisError})
    parts = {"cuda": cuda, "lib": lib, "linalg": linalg, "exceptions": exceptions}
    cupy = _Cupy("cupy", _others() | parts, OTHERS.split())
    found = [cupy, runtime, memory, stream, nvrtc, cuda, tricks, lib, linalg, exceptions, _cupyx()]
    for module in (cupy, cuda, lib):
        module.__path__ = []  # a package
    return {module.__name__: module for module in found}


def _only(module, names):
    return {name: getattr(module, name) for name in names.split()}


def _others():
    """The types and constants; what NumPy has not is missing here."""
    has = {"__version__": "14.2.0", "ndarray": ndarray, "ufunc": ufunc, "newaxis": None}
    for name in OTHERS.split():
        if name in _CONSTANTS:
            has[name] = _CONSTANTS[name]
        elif isinstance(found := getattr(np, name, None), type | float):
            has.setdefault(name, found)
    for name in ("promote_types", "s_", "index_exp", "min_scalar_type"):
        has[name] = getattr(np, name)
    return has


def _runtime():
    return {
        "CUDARuntimeError": _device.CUDARuntimeError,
        "getDeviceCount": lambda: 1,
        "getDevice": lambda: 0,
        "setDevice": lambda device: _device.Device(device).use(),
        "getDeviceProperties": _device.device_properties,
        "deviceSynchronize": lambda: _device.Device().synchronize(),
        "driverGetVersion": lambda: 12080,
        "runtimeGetVersion": lambda: 12080,
        "memGetInfo": lambda: _device.Device().mem_info,
        "is_hip": False,
        "streamCaptureModeGlobal": 0,
        "streamCaptureModeThreadLocal": 1,
        "streamCaptureModeRelaxed": 2,
    }


def _cuda():
    has = _only(_device, "Device Event Graph Stream get_current_stream get_elapsed_time")
    has |= _only(
        _memory,
        "MemoryPointer MemoryPool PinnedMemoryPool alloc alloc_pinned_memory get_allocator "
        "set_allocator set_pinned_memory_allocator using_allocator",
    )
    return has | {
        "Memory": _memory.Memory,
        "is_available": lambda: True,
        "get_device_id": lambda: 0,
    }


def _cupyx():
    has = _only(_memory, "empty_pinned zeros_pinned empty_like_pinned zeros_like_pinned")
    for how in ("add", "max", "min"):
        has[f"scatter_{how}"] = functools.partial(_scatter, how)
    return _Module("cupyx", has, CUPYX.split())


def _scatter(how, a, slices, value):
    _indexing.scatter(a, slices, value, how)


def as_strided(x, shape=None, strides=None):
    """A view with any shape and strides; nothing is checked."""
    shape = x.shape if shape is None else tuple(shape)
    strides = x.strides if strides is None else tuple(strides)
    pointer = x.data
    made = ndarray(shape, x.dtype, pointer, strides)
    return x._view(made._host)


def sliding_window_view(x, window_shape, axis=None, *, subok=False, writeable=False):
    """All windows of a shape, as a view."""
    return x._view(np.lib.stride_tricks.sliding_window_view(x._host, window_shape, axis))
