"""From a name to a running kernel.

The sources (.cu) lie beside their launchers and are compiled for the card at hand when a kernel
is first called (see _compiler.py).  `kernel("pooling", "max_pool<float>")` compiles all the
kernels of pooling.cu that are templates on the number type alone, for float; a kernel with more
template parameters is compiled for itself.
"""

import functools
import re

import cupy
import numpy as np

from .. import capturing
from . import _compiler

_ONE_TYPE = re.compile(
    r"template <typename T>\s*__global__ void (?:__launch_bounds__\([^)]*\)\s*)?(\w+)\("
)
_MOST_BLOCKS = 1 << 20  # of a flat grid; its threads take further elements in strides
_TABLES = 4096  # small arrays that are kept on the device
_STATIC_SHARED = 32 << 10  # bytes: 48 KB go without asking, but a kernel has static ones, too

NAMES = {
    np.dtype(np.float16): "half_t",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
}
THREADS = 256  # in a block of a flat grid: eight warps


def covers(*arrays):
    """Tell whether the kernels know the type of these arrays, one for all."""
    return all(a.dtype == arrays[0].dtype for a in arrays) and arrays[0].dtype in NAMES


def launch(file, name, grid, block, *args, shared=0):
    """Run a kernel on a grid of blocks of threads, with some bytes of dynamic shared memory.

    Python's ints arrive as Index, floats as double, NumPy's bools as bool, None as a null pointer.
    """
    current = cupy.cuda.runtime.getDevice()
    home = next((a.data.device_id for a in args if isinstance(a, cupy.ndarray)), current)
    if home != current:  # it would read other memory under the same addresses
        raise RuntimeError(
            f"{name}: the arrays are on cuda:{home}, but CuPy computes on cuda:{current}; compute "
            f"inside `with minicnn.on_device('cuda:{home}'):`"
        )
    function = _kernel(file, name, current)
    args = tuple(0 if a is None else a for a in args)  # CuPy 13 takes None for another address
    if shared > _STATIC_SHARED:
        function.max_dynamic_shared_size_bytes = shared
    function(grid, block, args, shared_mem=shared)


def flat(file, name, count, *args):
    """Run a kernel that loops from `first_index` by `index_step` over `count` elements."""
    if count:
        blocks = min(-(-count // THREADS), _MOST_BLOCKS)
        launch(file, name, (blocks,), (THREADS,), *args)


def kernel(file, name):
    """Return a kernel of a file by its name with template arguments, compiled."""
    return _kernel(file, name, cupy.cuda.runtime.getDevice())


@functools.cache
def _kernel(file, name, device):
    base, _, arguments = name.partition("<")
    together = _one_type(file)
    names = (name,)
    if base in together:
        names = tuple(f"{each}<{arguments}" for each in together)
    module, lowered = _module(file, names, device)
    return module.get_function(lowered[name])


@functools.cache
def _module(file, names, device):
    return _compiler.module(file, names, _capability(device))


@functools.cache
def _one_type(file):
    (_, source), *_ = _compiler.sources(file)
    return _ONE_TYPE.findall(source)


def table(values, dtype=np.int64):
    """Return a small array of numbers, given in host memory, on the device, where it is kept.

    Nobody may write to it.
    """
    array = np.ascontiguousarray(values, dtype)
    device = cupy.cuda.runtime.getDevice()
    key = (array.tobytes(), array.shape, array.dtype.str, device)
    found = _tables.get(key)
    if found is None:
        if len(_tables) >= _TABLES:
            _tables.clear()
        with capturing.aside():
            found = _tables[key] = cupy.asarray(array)
            cupy.cuda.get_current_stream().synchronize()  # once; then any stream may read it
    return capturing.keep(found)


_tables: dict = {}


def capability():
    """Return what the current card can do, as a number: 75, 80, 90, 100."""
    return _capability(cupy.cuda.runtime.getDevice())


@functools.cache
def _capability(device):
    return int(cupy.cuda.Device(device).compute_capability)
