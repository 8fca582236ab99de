"""The kernels' threads: fixed chunks of work, any number of threads, the same bits.

The chunks of a piece of work follow from the problem alone; the threads only
take turns at them.  A sum over chunks is stored chunk by chunk and added up in
chunk order afterwards.  So a result cannot depend on the number of threads.
"""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_pool = None
_blas = None  # the BLAS libraries of this process
_blas_users = 0
_blas_before: list[int] = []
_inside = threading.local()


def threads():
    """Return how many threads the kernels use: MINICNN_THREADS, or the cores of this process."""
    given = os.environ.get("MINICNN_THREADS", "")
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise ValueError(f"MINICNN_THREADS must be a whole number >= 1, got {given!r}")
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chunks(count, most=16):
    """Split range(count) into at most `most` nearly equal (start, stop) pieces."""
    pieces = max(1, min(count, most))
    return [(p * count // pieces, (p + 1) * count // pieces) for p in range(pieces)]


def run(work, pieces):
    """Call ``work(piece, start, stop)`` for every piece, on all threads; return when all are done.

    Thread t takes the pieces t, t + T, t + 2T, ...; the calling thread is one
    of them.  An exception of any piece is raised here, once all have ended.
    """
    team = min(threads(), len(pieces))
    if team == 1 or getattr(_inside, "busy", False):  # a kernel inside a kernel: no second team
        for p, (start, stop) in enumerate(pieces):
            work(p, start, stop)
        return

    def share(first):
        _inside.busy = True
        try:
            for p in range(first, len(pieces), team):
                work(p, *pieces[p])
        finally:
            _inside.busy = False

    others = [_workers(team).submit(share, first) for first in range(1, team)]
    try:
        share(0)
    finally:
        failed = [other.exception() for other in others]  # waits: buffers must outlive the work
    for failure in failed:
        if failure is not None:
            raise failure


@contextlib.contextmanager
def one_blas_thread():
    """Keep the BLAS under NumPy on the calling thread inside a ``with`` block.

    Then the pool's threads do not contend with the BLAS's own, and a product
    has the same bits whatever the machine. Blocks may overlap in time: the
    first one in changes the setting, the last one out restores it.
    """
    global _blas, _blas_users, _blas_before
    with _lock:
        if _blas is None:
            _blas = ThreadpoolController().select(user_api="blas").lib_controllers
        if _blas_users == 0:
            _blas_before = [library.get_num_threads() for library in _blas]
            _set_blas_threads([1] * len(_blas))
        _blas_users += 1
    try:
        yield
    finally:
        with _lock:
            _blas_users -= 1
            if _blas_users == 0:
                _set_blas_threads(_blas_before)


def _set_blas_threads(numbers):
    """Set each BLAS library's threads; `_lock` is held.

    threadpoolctl 3.8 lets the first thread that ever sets a number be the
    only one, and ignores all others.  Our lock does what that is for, so that
    control is taken, and let go of afterwards.
    """
    for library, number in zip(_blas, numbers, strict=True):
        release = getattr(library, "clear_controlling_thread", lambda force: None)
        release(force=True)
        library.set_num_threads(number)
        release(force=True)


def _workers(team):
    """Return a pool of at least team - 1 threads."""
    global _pool
    with _lock:
        if _pool is None or _pool._max_workers < team - 1:
            _pool = ThreadPoolExecutor(team - 1, thread_name_prefix="minicnn-kernel")
        return _pool


def _forget_pool():
    """Start afresh: a forked child has the pool object but none of its threads."""
    global _pool, _lock, _blas_users
    _pool, _lock, _blas_users = None, threading.Lock(), 0
    _inside.busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
