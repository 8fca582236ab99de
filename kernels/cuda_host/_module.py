"""A look-alike of ``cupy.RawModule``: what _nvrtc.py compiled, run by fibers on the CPU."""

import ctypes
import os
import re
import tempfile
import threading
from pathlib import Path

import numpy as np

from . import _device, _nvrtc

_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\s*\('
)
_MOST_STATIC = 48 << 10  # bytes of shared memory that a kernel gets without asking
_running = threading.Lock()  # a block's state is global in each library


class LaunchError(RuntimeError):
    """A kernel was called wrongly, or did what a GPU does not forgive."""


class RawModule:
    """Kernels for NumPy memory.

    Parameters
    ----------
    code : str, optional
        CUDA C++, to be compiled anew each time.
    path : str, optional
        The file of a library that ``cupy.cuda.nvrtc`` made; instead of `code`.
    options : tuple of str
        Of the compiler: ``-I`` folders and ``-D`` definitions are used, others ignored.
    name_expressions : sequence of str, optional
        The instances of templates that will be asked for, such as ``"relu<float>"``.

    Attributes
    ----------
    order : int
        In which order the threads of a block run: 0 by number, 1 backwards, 2 shuffled.
    """

    order = int(os.environ.get("MINICNN_HOST_ORDER", "0"))

    def __init__(self, code=None, *, path=None, options=(), name_expressions=None, **_):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        self._lowered = {}
        if path is not None:
            self._library = ctypes.CDLL(str(path))
        else:
            names = list(name_expressions or []) or _KERNEL.findall(code)
            library, self._lowered = _nvrtc.compiled(code, _in_folders(options), options, names)
            with tempfile.TemporaryDirectory(prefix="minicnn-") as folder:
                file = Path(folder) / "kernels.so"
                file.write_bytes(library)
                self._library = ctypes.CDLL(str(file))
        self._library.host_error.restype = ctypes.c_char_p

    def get_function(self, name):
        """Return the kernel of a name, to be called with grid, block and arguments."""
        symbol = self._lowered.get(name, name)
        if not hasattr(self._library, symbol):
            raise LaunchError(f"there is no kernel {name}; there are {sorted(self._lowered)}")
        return Kernel(self._library, symbol, self.order)


class Kernel:
    """A kernel: ``kernel((3,), (256,), (x, y, n))``."""

    def __init__(self, library, symbol, order):
        self._library, self._order = library, order
        self._launch = getattr(library, symbol)
        about = getattr(library, symbol + _nvrtc.ABOUT)
        about.restype = ctypes.c_char_p
        self.name, parameters = about().decode().split("\n")
        self._parameters = parameters.split()
        self.max_dynamic_shared_size_bytes = _MOST_STATIC

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        """Run it, as ``cupy.RawKernel`` does, at once."""
        grid, block = ((*map(int, sizes), 1, 1)[:3] for sizes in (grid, block))
        if min(grid) < 1 or min(block) < 1 or grid[0] >= 2**31 or max(grid[1:]) > 65535:
            raise LaunchError(f"{self.name}: invalid grid {grid} or block {block}")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise LaunchError(
                f"{self.name}: {shared_mem} bytes of shared memory, but only "
                f"{self.max_dynamic_shared_size_bytes} are allowed; set "
                "max_dynamic_shared_size_bytes"
            )
        values = [_value(arg) for arg in args]
        self._check(args, values)
        arrays = [arg for arg in args if hasattr(arg, "__cuda_array_interface__")]
        _device.run(lambda: self._run(grid, block, shared_mem, values), arrays, stream=stream)

    def _run(self, grid, block, shared_mem, values):
        pointers = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
        with _running:
            failed = self._launch(
                (ctypes.c_uint * 3)(*grid),
                (ctypes.c_uint * 3)(*block),
                ctypes.c_size_t(shared_mem),
                self._order,
                pointers,
            )
            if failed:
                raise LaunchError(self._library.host_error().decode())

    def _check(self, args, values):
        """Compare kinds: on a GPU a wrong one would be read as something else, unnoticed."""
        if len(args) != len(self._parameters):
            raise LaunchError(f"{self.name}: {len(args)} arguments for {self._parameters}")
        for i, (arg, value, wanted) in enumerate(zip(args, values, self._parameters, strict=True)):
            is_array = hasattr(arg, "__cuda_array_interface__")
            given = ("*" if is_array else "") + (arg if is_array else value).dtype.str[1:]
            expected = wanted.replace("&", "*")
            empty = type(arg) is int and arg == 0 and expected.startswith("*")  # no array
            if not empty and expected != given and expected != "*?":
                raise LaunchError(
                    f"{self.name}: argument {i} is {given}, but the kernel takes {wanted}"
                )


def _value(arg):
    """Return what the kernel gets for an argument, in memory, as CuPy makes it."""
    if arg is None:
        raise TypeError("None as an argument: some CuPys make a wild pointer of it; give 0")
    if hasattr(arg, "__cuda_array_interface__"):
        return np.array([arg.data.ptr], np.uint64)
    if isinstance(arg, np.generic):
        return np.array([arg])
    if isinstance(arg, int):  # True is one: NumPy's bool_ is the kernel's bool
        return np.array([arg], np.int64)
    if isinstance(arg, float):
        return np.array([arg], np.float64)
    raise TypeError(f"Unsupported type {type(arg)}")


def _in_folders(options):
    folders = [Path(o[2:].strip()) for o in options if o.startswith("-I")]

    def header(name):
        """Return a header's text; None if there is none."""
        found = [folder / name for folder in folders if (folder / name).is_file()]
        return found[0].read_text(encoding="utf-8") if found else None

    return header
