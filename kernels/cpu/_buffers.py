"""Memory for results, used again instead of given back.

A fresh array of some megabytes costs a page fault for every 4 KiB when it is
first written: four of 4 MiB took 6.1 ms fresh and 0.56 ms reused.  So the
memory of a large result returns here when the last array that looks at it is
gone, and the next result of about the same size gets it.

How "the last array is gone" is known: NumPy makes the base of a view of a view
the array that lies directly on foreign memory.  The array that `empty` returns
is such a one; it is therefore alive exactly as long as some view of it is, and
a weak reference tells of its end.  It tells a list, and nothing more is done at
that moment: an array may end anywhere, in the middle of this file too, and what
Ctrl-C raises while Python cleans up is lost.  Who next asks for memory looks at
the list.

What waits here unused goes back to the system in three ways:
- what waited longer than _AGE: nobody needs it any more;
- the oldest, where more would wait than _SLACK times what was lately in use at
  once: the sizes have changed, as when evaluation follows training;
- all of it, by `release`.
So a loop that repeats itself gets all its memory from here after the first
round, and a program that does many different things keeps no more than it needs.
"""

import _thread
import collections
import contextlib
import gc
import math
import mmap
import os
import signal
import threading
import time
import weakref

import numpy as np

_SMALLEST = 1 << 16  # bytes; below, malloc's own reuse is as good
_HUGE = 1 << 21  # bytes of a huge page: one page fault, not 512
_AGE = 10.0  # seconds; a second fault of the same page within them would cost nothing either
_SLACK = 2  # each size may have its most in use at another time, so 1 would be too little

# Where processes can fork, a child must not write into its parent's arrays.
_PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(os, "fork") else {}


class _End(weakref.ref):
    """Tells of the end of an array, and knows the memory it lay on."""

    __slots__ = ("memory", "room")


_alive: dict[int, _End] = {}  # what nobody holds does not tell
_ended: collections.deque[_End] = collections.deque()  # what has told, and nobody looked yet
_lock = threading.RLock()  # a finaliser may use arrays while the same thread holds it
_unused: dict[int, list[tuple[float, object]]] = {}  # bytes -> [(since when, memory), ...]
_unused_bytes = 0
_used_bytes = 0
_most_used = [0, 0]  # bytes in use at once: in the last _AGE seconds or less, and those before
_swept = 0.0  # when somebody looked for what is old
_returning = False
_taken_anew = 0
_tidying: weakref.WeakSet = weakref.WeakSet()


def tidied(keeper):
    """Call ``keeper.tidy()`` from time to time, as long as it lives; it must not wait for locks."""
    _tidying.add(keeper)


def empty(shape, dtype):
    """Return an uninitialised C-contiguous array, from memory that was used before if there is."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALLEST:
        return np.empty(shape, dtype)
    step = 1 << max(size.bit_length() - 4, 12)  # at most 1/8 of the memory is rounding
    room = -(-size // step) * step
    memory = _take(room)
    array = np.ndarray(shape, dtype, memory)
    end = _End(array, _ended.append)
    end.memory, end.room = memory, room
    _alive[id(end)] = end
    return array


def unused_bytes():
    """Return how much memory waits here to be used again, in bytes."""
    with _lock:
        _collect()
    return _unused_bytes


def taken_anew():
    """Return how often memory was asked of the system, since the program began."""
    return _taken_anew


def release():
    """Give all memory that waits here back to the system."""
    with _lock:
        _collect()
        _return(math.inf)


def _take(room):
    global _unused_bytes, _used_bytes, _taken_anew
    with _lock:
        _collect()
        _used_bytes += room
        if _used_bytes > _most_used[0]:
            _most_used[0] = _used_bytes
        try:
            memory = _unused[room].pop()[1]
        except LookupError:
            _taken_anew += 1
        else:
            _unused_bytes -= room
            return memory
    return _fresh(room)


def _collect():
    """Keep the memory of arrays that are gone; `_lock` is held."""
    global _unused_bytes, _used_bytes, _swept
    now = time.monotonic()
    while _ended:
        end = _ended.popleft()
        del _alive[id(end)]
        _used_bytes -= end.room
        _unused_bytes += end.room
        _unused.setdefault(end.room, []).append((now, end.memory))
        if _unused_bytes > _SLACK * max(_most_used):
            _return(0.0)
    if now - _swept > _AGE:
        _swept = now
        _return(now - _AGE)
        _count()
        _most_used[:] = _used_bytes, _most_used[0]


def _count():
    """Count anew what there is: Ctrl-C may have come between two lines."""
    global _unused_bytes, _used_bytes
    _used_bytes = sum(end.room for end in list(_alive.values()))
    _unused_bytes = sum(room * len(waiting) for room, waiting in _unused.items())


def _return(until):
    """Return to the system what waits since `until` or longer, and the oldest of what is too much.

    `_lock` is held; but the collector may strike in the middle, and arrays then end in this very
    thread. What they give is only added, for whoever is returning memory already goes on.
    """
    global _unused_bytes, _returning
    if _returning:
        return
    _returning = True
    try:
        while rooms := [room for room in list(_unused) if _unused[room]]:
            room = min(rooms, key=lambda r: _unused[r][0][0])  # the oldest of each is its first
            if _unused[room][0][0] > until and _unused_bytes <= _SLACK * max(_most_used):
                return
            _unused[room].pop(0)
            _unused_bytes -= room
    finally:
        _returning = False


def _fresh(room):
    """Return new memory that starts at a page. Malloc's might be kept when it is let go.

    It must not be an array's: views would have that for their base, and not what `empty` returns.
    """
    memory = mmap.mmap(-1, room, **_PRIVATE)
    if room >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _after_collection(phase, info):
    """Look for what is old when Python does: after training, nobody else would."""
    if phase == "stop" and info["generation"] == 2:
        try:
            with _lock:
                _collect()
                _return(time.monotonic() - _AGE)
            for keeper in tuple(_tidying):
                keeper.tidy()
        except KeyboardInterrupt:  # Python would lose it here
            _thread.start_new_thread(_press_ctrl_c_again, ())


def _press_ctrl_c_again():
    time.sleep(0.01)  # until the collection is over
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _start_afresh():
    """Make good what another thread was at when the process was forked: a child has it not."""
    global _lock, _returning
    _lock, _returning = threading.RLock(), False
    _count()


gc.callbacks.append(_after_collection)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_afresh)
