"""Device memory that is host memory: pools that count, pointers, poison, pinned memory."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading

import numpy as np

from . import _guards

UNIT = 512  # CuPy's pools give memory in multiples of this many bytes, aligned to as many
_ABSURD = 0x5A  # every byte of an integer that nobody wrote


class OutOfMemoryError(MemoryError):
    """The limit of a pool is reached."""


class Memory:
    """One allocation: `size` bytes from `ptr`; the pool counts it while it lives."""

    __slots__ = (
        "__weakref__",
        "_asked",
        "_start",
        "block",
        "device_id",
        "fresh",
        "pool",
        "ptr",
        "size",
    )

    def __init__(self, size, pool):
        self.pool = None  # until it has given the memory
        self.size, self._asked, self.device_id = -(-size // UNIT) * UNIT, size, 0
        pool._take(self.size)
        self.pool = pool
        self.fresh = True  # nobody has poisoned it yet
        self.block = np.empty(size + 2 * _guards.WIDTH + UNIT, np.uint8)
        address = self.block.ctypes.data
        self.ptr = -(-(address + _guards.WIDTH) // UNIT) * UNIT
        self._start = self.ptr - address
        _guards.guard(self.block, self._start, size)

    def array(self, shape, dtype, strides=None, order="C", offset=0):
        """A NumPy array that lies in it, `offset` bytes from its start."""
        return np.ndarray(shape, dtype, self.block, self._start + offset, strides, order)

    def check(self):
        """Raise RuntimeError if a kernel wrote before or behind it."""
        _guards.check(self.block, self._start, self._asked)

    def __del__(self, ending=sys.is_finalizing):
        if self.pool is not None and not ending():  # at the end of a process modules are gone
            self.pool._give(self.size)
            try:
                self.check()
            finally:
                _guards.give_back(self.block)


class MemoryPointer:
    """A place in device memory, with the copies that CuPy offers."""

    __slots__ = ("mem", "ptr")

    def __init__(self, mem, offset):
        self.mem, self.ptr = mem, mem.ptr + offset

    def __add__(self, offset):
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    def __int__(self):
        return self.ptr

    @property
    def device_id(self):
        return self.mem.device_id

    @property
    def device(self):
        from ._device import Device

        return Device(self.mem.device_id)

    def copy_from_device_async(self, src, size, stream=None):
        self._move(self.ptr, src.ptr, size, stream)

    def copy_from_host_async(self, mem, size, stream=None):
        self._move(self.ptr, _address(mem), size, stream)

    def copy_to_host_async(self, mem, size, stream=None):
        self._move(_address(mem), self.ptr, size, stream)

    def copy_from_device(self, src, size):
        self._move(self.ptr, src.ptr, size, None)

    def copy_from_host(self, mem, size):
        _refuse_in_capture("a copy from the host that the host waits for")
        self._move(self.ptr, _address(mem), size, None)

    def copy_to_host(self, mem, size):
        _refuse_in_capture("a copy to the host that the host waits for")
        self._move(_address(mem), self.ptr, size, None)

    def memset_async(self, value, size, stream=None):
        from ._device import run

        run(lambda: ctypes.memset(self.ptr, value, size), [self], stream=stream)

    def memset(self, value, size):
        self.memset_async(value, size)

    def _move(self, to, source, size, stream):
        from ._device import run

        run(lambda: ctypes.memmove(to, source, size), [self], stream=stream)


def _address(mem):
    return mem.value if isinstance(mem, ctypes.c_void_p) else int(mem)


def _refuse_in_capture(what):
    from ._device import refuse_in_capture

    refuse_in_capture(what)


class MemoryPool:
    """A pool that counts as CuPy's does: what is used, and what is kept for the next array."""

    def __init__(self, allocator=None):
        self._used, self._free, self._limit = 0, 0, 0
        self._lock = threading.RLock()  # a Memory may be collected while the lock is held

    def malloc(self, size):
        return MemoryPointer(Memory(size, self), 0)

    def used_bytes(self):
        return self._used

    def free_bytes(self):
        return self._free

    def total_bytes(self):
        return self._used + self._free

    def n_free_blocks(self):
        return -(-self._free // UNIT)

    def free_all_blocks(self, stream=None):
        with self._lock:
            self._free = 0

    def get_limit(self):
        return self._limit

    def set_limit(self, size=None, fraction=None):
        if (size is None) == (fraction is None):
            raise ValueError("size and fraction: exactly one must be given")
        self._limit = int(fraction * TOTAL_BYTES) if size is None else int(size)

    def _take(self, size):
        with self._lock:
            if self._limit and self._used + size > self._limit:
                raise OutOfMemoryError(
                    f"Out of memory allocating {size:,} bytes (allocated so far: "
                    f"{self._used:,} bytes, limit set to: {self._limit:,} bytes)."
                )
            self._used += size
            self._free = max(0, self._free - size)

    def _give(self, size):
        with self._lock:
            self._used -= size
            self._free += size


TOTAL_BYTES = 1 << 34  # what the played GPU says it has
default_pool = MemoryPool()
_local = threading.local()
_everywhere = [default_pool.malloc]


def get_allocator():
    """The function that gives this thread memory."""
    return getattr(_local, "allocator", None) or _everywhere[0]


def set_allocator(allocator=None):
    """Let all threads take their memory there."""
    if getattr(_local, "allocator", None) is not None:
        raise ValueError(
            "Can't change the global allocator inside `using_allocator` context manager"
        )
    _everywhere[0] = default_pool.malloc if allocator is None else allocator


@contextlib.contextmanager
def using_allocator(allocator=None):
    """Let this thread take its memory there, for a while."""
    before = getattr(_local, "allocator", None)
    _local.allocator = default_pool.malloc if allocator is None else allocator
    try:
        yield
    finally:
        _local.allocator = before


def alloc(size):
    """Take `size` bytes from the current allocator."""
    return get_allocator()(size)


def poison(array):
    """Fill an array with what nobody can take for a result: NaN, or an absurd number."""
    if array.dtype.kind in "fc":
        array.fill(np.nan)
    elif array.dtype.kind == "b":
        array.fill(True)
    else:
        array.fill(int.from_bytes(bytes([_ABSURD]) * array.itemsize, "little"))


class PinnedMemory(bytearray):
    """Pinned host memory with the buffer interface, so that NumPy can lie on it."""

    @property
    def ptr(self):
        return np.frombuffer(self, np.uint8).ctypes.data

    @property
    def mem(self):
        return self

    def size(self):
        return len(self)


class PinnedMemoryPool:
    """A pool that only has the methods."""

    def malloc(self, size):
        return PinnedMemory(b"\xff" * (-(-max(size, 1) // UNIT) * UNIT))

    def free_all_blocks(self):
        pass

    def n_free_blocks(self):
        return 0


default_pinned_pool = PinnedMemoryPool()


_allocate_pinned = default_pinned_pool.malloc


def alloc_pinned_memory(size):
    """Take pinned memory; all bits are set: NaN, or -1."""
    return _allocate_pinned(size)


def set_pinned_memory_allocator(allocator=None):
    """Let pinned memory, that of uploads too, come from an allocator."""
    global _allocate_pinned
    _allocate_pinned = default_pinned_pool.malloc if allocator is None else allocator


def is_pinned(array):
    """Whether a NumPy array lies in pinned memory."""
    while isinstance(array, np.ndarray):
        array = array.base
    owner = array.obj if isinstance(array, memoryview) else array
    return isinstance(owner, PinnedMemory)


def empty_pinned(shape, dtype=float, order="C"):
    """A NumPy array in pinned memory, not initialised."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    dtype = np.dtype(dtype)
    memory = alloc_pinned_memory(int(np.prod(shape)) * dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=memory, order=order)


def zeros_pinned(shape, dtype=float, order="C"):
    """A NumPy array of zeros in pinned memory."""
    array = empty_pinned(shape, dtype, order)
    array.fill(0)
    return array


def empty_like_pinned(a, dtype=None, order="K", subok=None, shape=None):
    """A NumPy array like `a` in pinned memory, not initialised."""
    by_columns = a.flags.f_contiguous and not a.flags.c_contiguous
    order = {"K": "A"}.get(order, order)
    order = ("F" if by_columns else "C") if order == "A" else order
    return empty_pinned(a.shape if shape is None else shape, dtype or a.dtype, order)


def zeros_like_pinned(a, dtype=None, order="K", subok=None, shape=None):
    """A NumPy array of zeros like `a` in pinned memory."""
    array = empty_like_pinned(a, dtype, order, subok, shape)
    array.fill(0)
    return array
