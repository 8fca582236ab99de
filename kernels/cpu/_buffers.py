"""Memory for results, used again instead of given back.

A fresh array of some megabytes costs a page fault for every 4 KiB when it is
first written: four of 4 MiB took 6.1 ms fresh and 0.56 ms reused.  So the
memory of a large result returns here when the last array that looks at it is
gone, and the next result of about the same size gets it.

How "the last array is gone" is known: NumPy makes the base of a view of a view
the array that lies directly on foreign memory.  That array (`flat` below) is
therefore alive exactly as long as some view of it is, and a weak reference
tells of its end.
"""

import os
import threading
import weakref

import numpy as np

_SMALLEST = 1 << 16  # bytes; below, malloc's own reuse is as good
_MOST = 1 << 28  # bytes kept while unused, in all

_lock = threading.RLock()  # a finaliser may run while the same thread holds it
_unused: dict[int, list[memoryview]] = {}  # bytes -> [memory, ...]
_unused_bytes = 0


def empty(shape, dtype):
    """Return an uninitialised C-contiguous array, from memory that was used before if there is."""
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < _SMALLEST:
        return np.empty(shape, dtype)
    step = 1 << max(size.bit_length() - 4, 12)  # at most 1/8 of the memory is rounding
    room = -(-size // step) * step
    memory = _take(room)
    flat = np.frombuffer(memory, np.uint8)
    weakref.finalize(flat, _give, memory, room).atexit = False
    return flat[:size].view(dtype).reshape(shape)


def unused_bytes():
    """Return how much memory waits here to be used again, in bytes."""
    return _unused_bytes


def release():
    """Give all memory that waits here back to the system."""
    global _unused_bytes
    with _lock:
        _unused.clear()
        _unused_bytes = 0


def _take(room):
    global _unused_bytes
    with _lock:
        waiting = _unused.get(room)
        if waiting:
            _unused_bytes -= room
            return waiting.pop()
    # 64 spare bytes, so that the array can start at a multiple of the vector width
    owner = np.empty(room + 64, np.uint8)
    start = -owner.ctypes.data % 64
    return memoryview(owner)[start : start + room]


def _give(memory, room):
    global _unused_bytes
    with _lock:
        if _unused_bytes + room <= _MOST:
            _unused.setdefault(room, []).append(memory)
            _unused_bytes += room


def _new_lock():
    """Start afresh: another thread may have held the lock when the process was forked."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
