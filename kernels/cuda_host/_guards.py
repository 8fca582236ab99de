"""Bytes before and behind each piece of device memory, which nobody may touch.

A kernel that reads them gets NaN (or -1); one that writes them is found out when the memory is
read by the host or given back.  Under AddressSanitizer they are poisoned for it instead.
"""

from __future__ import annotations

import ctypes
import functools

WIDTH = 512  # at least, on either side
_UNTOUCHED = 0xFF


@functools.cache
def _sanitizer(name):
    """The function of AddressSanitizer, if the process runs under it."""
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError:
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    function.restype = None
    return function


def _sides(block, start, size):
    return block[:start], block[start + size :]


def guard(block, start, size):
    """Make all of a block but ``block[start : start + size]`` forbidden ground."""
    poison = _sanitizer("__asan_poison_memory_region")
    for side in _sides(block, start, size):
        side.fill(_UNTOUCHED)
        if poison is not None:
            poison(side.ctypes.data, side.size)


def check(block, start, size):
    """Raise RuntimeError if something was written outside of the memory."""
    if _sanitizer("__asan_poison_memory_region") is not None:
        return
    sides = _sides(block, start, size)
    if all((side == _UNTOUCHED).all() for side in sides):
        return
    for side in sides:
        side.fill(_UNTOUCHED)  # one complaint is enough
    raise RuntimeError(f"cuda_host: a kernel wrote outside of an array of {size} bytes")


def give_back(block):
    """Allow all of a block again."""
    allow = _sanitizer("__asan_unpoison_memory_region")
    if allow is not None:
        allow(block.ctypes.data, block.size)
