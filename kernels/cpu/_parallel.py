"""The kernels' threads: fixed chunks of work, any number of threads, the same bits.

The chunks of a piece of work follow from the problem alone; the threads only
take turns at them.  A sum over chunks is stored chunk by chunk and added up in
chunk order afterwards.  So a result cannot depend on the number of threads.
"""

import contextlib
import functools
import itertools
import os
import threading

from threadpoolctl import ThreadpoolController

_GRAIN = 1 << 16  # bytes that are worth a thread

_lock = threading.Lock()
_idle: list = []  # helpers that wait
_helpers = 0  # how many there are
_blas = None  # how to get and set the threads of each BLAS library of this process
_blas_users = 0
_blas_before: list[int] = []
_forks = 0  # threads that are about to fork, or do so
_changed = threading.Condition(_lock)  # tells of the two above
_paused: list = []  # the latter, of those that do pause now
_at_fork: list = []  # what else must pause: (pause, go on)
_inside = threading.local()

# Kernels ask for MINICNN_THREADS hundreds of times a step. The dict behind os.environ answers ten
# times faster, under the system's form of the name.
_environment = getattr(os.environ, "_data", os.environ)
_name = "MINICNN_THREADS" if _environment is os.environ else os.environ.encodekey("MINICNN_THREADS")


def threads():
    """Return how many threads the kernels use: MINICNN_THREADS, or the cores of this process."""
    if given := _environment.get(_name):
        return _number(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _number(given):
    text = os.fsdecode(given)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"MINICNN_THREADS must be a whole number >= 1, got {text!r}")
    return int(text)


def chunks(count, most=16):
    """Split range(count) into at most `most` nearly equal (start, stop) pieces."""
    pieces = max(1, min(count, most))
    return [(p * count // pieces, (p + 1) * count // pieces) for p in range(pieces)]


def grains(count, size):
    """Split range(count), work on `size` bytes in all, into pieces that are worth a thread."""
    return chunks(count, min(16, max(1, size // _GRAIN)))


def run(work, pieces):
    """Call ``work(piece, start, stop)`` for every piece, on all threads; return when all are done.

    The calling thread is one of them.  Whoever is free takes the next piece.
    An exception of any piece is raised here, once all have ended.
    """
    team = min(threads(), len(pieces)) if len(pieces) > 1 else 1
    if team == 1 or getattr(_inside, "busy", False):  # a kernel inside a kernel: no second team
        for p, (start, stop) in enumerate(pieces):
            work(p, start, stop)
        return
    turn = itertools.count()  # its next() cannot be interrupted: no two threads get one piece
    failures: list[BaseException] = []

    def share():
        _inside.busy = True
        try:
            while not failures and (p := next(turn)) < len(pieces):
                work(p, *pieces[p])
        except BaseException as failure:
            failures.append(failure)
        finally:
            _inside.busy = False

    helpers = _take_helpers(team - 1)
    for helper in helpers:
        helper.start(share)
    share()
    for helper in helpers:
        failures += helper.wait()  # whatever happens: buffers must outlive the work
    _idle.extend(helpers)
    if failures:
        try:
            raise failures[0]
        finally:
            failures.clear()  # else it would hold its own traceback, and that the buffers


class _Helper:
    """A thread that waits for work: a future's condition variables cost more than small pieces."""

    def __init__(self):
        self._wake, self._ended = threading.Lock(), threading.Lock()
        self._wake.acquire()
        self._ended.acquire()
        self._work = None
        threading.Thread(target=self._live, name="minicnn-kernel", daemon=True).start()

    def _live(self):
        while True:
            self._wake.acquire()
            self._work()
            self._work = None  # nor may it keep buffers alive
            self._ended.release()

    def start(self, work):
        """Begin with some work, which raises nothing."""
        self._work = work
        self._wake.release()

    def wait(self):
        """Return when the work has ended, or was not even begun; and what interrupted this."""
        interruptions = []
        while True:
            try:
                if self._wake.acquire(blocking=False):  # still asleep, and all is done: sleep on
                    self._work = None
                else:
                    self._ended.acquire()
                return interruptions
            except BaseException as interruption:  # Ctrl-C, say
                interruptions.append(interruption)


def _take_helpers(count):
    """Return helpers that are idle, no more than `count`; start threads if there were too few.

    Several callers at once share the helpers; who gets none works alone.
    """
    global _helpers
    taken = []
    with _lock:
        while len(taken) < count and (_idle or _helpers < count):
            if not _idle:
                _helpers += 1
                _idle.append(_Helper())
            taken.append(_idle.pop())
    return taken


@contextlib.contextmanager
def one_blas_thread():
    """Keep the BLAS under NumPy on the calling thread inside a ``with`` block.

    Then the pool's threads do not contend with the BLAS's own, and a product
    has the same bits whatever the machine. Blocks may overlap in time: the
    first one in changes the setting, the last one out restores it.
    """
    global _blas, _blas_users, _blas_before
    depth, mine = getattr(_inside, "products", 0), 0
    try:
        with _lock:
            while _forks and not depth and not getattr(_inside, "busy", False):
                _changed.wait()
            if _blas is None:
                libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                _blas = [_controls(library) for library in libraries]
            if _blas_users == 0:
                _blas_before = [get() for get, _ in _blas]
                _set_blas_threads([1] * len(_blas))
            mine = 1  # no call between these two lines, so no Ctrl-C either
            _blas_users += 1
        _inside.products = depth + 1
        yield
    finally:
        _inside.products = depth
        with _lock:
            _blas_users -= mine
            if mine and _blas_users == 0:
                _set_blas_threads(_blas_before)
                _changed.notify_all()


def _set_blas_threads(numbers):
    """Set each BLAS library's threads; `_lock` is held."""
    for (_, put), number, before in zip(_blas, numbers, _blas_before, strict=True):
        if before != 1:  # else nothing was changed, and nothing is to be
            put(number)


def _controls(library):
    """Return two functions: one that gets a BLAS library's number of threads, one that sets it.

    OpenBLAS's own are called directly, as threadpoolctl looks them up again
    in every call, which takes longer than a small product.
    """
    find = getattr(library, "_get_symbol", lambda name: None)
    get, put = find("openblas_get_num_threads"), find("openblas_set_num_threads")
    if get is not None and put is not None:
        return get, put

    # threadpoolctl 3.8 lets the first thread that ever sets a number be the only one, and ignores
    # all others.  Our lock does what that is for, so control is taken, and let go of afterwards.
    def take_and_put(number):
        release = getattr(library, "clear_controlling_thread", lambda force: None)
        release(force=True)
        library.set_num_threads(number)
        release(force=True)

    return library.get_num_threads, take_and_put


def pause_at_fork(pause, go_on):
    """Call ``pause()`` before the process is forked, and ``go_on()`` after it, here and there."""
    _at_fork.append((pause, go_on))


def _pause():
    """Fork when no thread is inside the BLAS: the child would wait for its locks for ever.

    Only then is the rest told to pause, for a product may be what it is needed for.
    """
    global _forks
    _lock.acquire()
    _forks += 1
    try:
        while _blas_users and not getattr(_inside, "products", 0):
            _changed.wait()
    finally:  # Python forks even if Ctrl-C raises here, and goes on as if nothing had happened
        for pause, go_on in _at_fork:
            pause()
            _paused.append(go_on)


def _go_on():
    global _forks
    while _paused:
        _paused.pop()()
    _forks -= 1
    _changed.notify_all()
    _lock.release()


def _start_afresh():
    """Forget the helpers: a forked child has their objects but none of their threads."""
    global _idle, _helpers, _lock, _changed, _blas_users, _forks
    while _paused:
        _paused.pop()()
    _idle, _helpers, _lock, _forks = [], 0, threading.Lock(), 0
    _changed, _blas_users = threading.Condition(_lock), 0
    _inside.busy, _inside.products = False, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_pause, after_in_parent=_go_on, after_in_child=_start_afresh)
