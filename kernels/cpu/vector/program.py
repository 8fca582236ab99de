"""Programs: which compiled functions see which images, with which memory.

A program says: for each group of images, call these functions, one after the other, with these
arguments.  An argument is a number or an address that moves with the image, with the piece of
work (for partial sums), or with the thread (for memory that is used again and again)::

    Step(forward, (images_of(x), of_thread(frame), fixed(weights), ..., COUNT))

So what one step leaves behind is still in the cache when the next one reads it, and nothing of
Python stands between them.  `team` runs the whole.
"""

import array
import itertools
import os
import threading
import time
from typing import NamedTuple

from .. import _buffers, _parallel
from . import team

_IDLE = 60.0  # seconds after which a prepared program, and the weights that it reads, may go


class Argument(NamedTuple):
    """An integer or an address, and by how much it grows with each image, piece, thread."""

    base: int
    image: int = 0
    piece: int = 0
    thread: int = 0
    group: int = 0
    memory: object = None  # the array, which has to live until the program is done
    remake: object = None  # what gives the array's values at the beginning, if they may be others


class Step(NamedTuple):
    """One call for each group of images."""

    function: int  # its address
    arguments: tuple


_NUMBERS = len(team.ARGUMENT)
COUNT = Argument(0, group=1)  # how many images a group has


def number(n):
    """Return an integer that all calls are given."""
    return Argument(int(n))


def fixed(a):
    """Return the address of an array that all calls see."""
    return Argument(a.ctypes.data, memory=a)


def remade(make, of=fixed):
    """Return the address of what ``make()`` gives, which is asked again before each later run."""
    return of(make())._replace(remake=make)


def once(packed, key, make):
    """Return `remade`, or what it returned before if there is a dict to look it up in."""
    if packed is None:
        return remade(make)
    if key not in packed:
        packed[key] = remade(make)
    return packed[key]


def images_of(a):
    """Return the address of image n of an array (N, ...)."""
    return Argument(a.ctypes.data, image=a.strides[0], memory=a)


def of_piece(a):
    """Return the address of a piece's own part of an array (pieces, ...)."""
    return Argument(a.ctypes.data, piece=a.strides[0], memory=a)


def sums_of_piece(a):
    """Return the address of a piece's own sums, which begin with 0 in each run."""
    return of_piece(a)._replace(remake=int)


def of_thread(a):
    """Return the address of a thread's own part of an array (threads, ...)."""
    return Argument(a.ctypes.data, thread=a.strides[0], memory=a)


def left_by(memory):
    """Return what does the same for ``memory[0]``, a thread's part of which holds a whole group."""
    return lambda a: Argument(a.ctypes.data, thread=memory.strides[0], memory=memory)


def pieces_of(images):
    """Return into how many pieces so many images are cut."""
    return max(1, len(_parallel.chunks(images)))


def run(steps, images, group=1):
    """Run steps for images 0 ... `images`, so many a group; the arrays must live until then."""
    if images:
        words = _written(steps, images, group)
        team.run(words.buffer_info()[0], pieces_of(images), _threads_for(steps))


def _threads_for(steps):
    """Return for how many threads the steps have memory."""
    return min(
        (
            len(a.memory)
            for step in steps
            for a in step.arguments
            if a.thread and a.memory is not None and a.memory.size
        ),
        default=_parallel.threads(),
    )


def _written(steps, images, group):
    """Return a program in the form of `team.HEAD`."""
    words = [len(steps), images, pieces_of(images), group]
    for step in steps:
        words.append(step.function)
        for argument in step.arguments:
            words += argument[:_NUMBERS]
        words += [0] * ((team.ARGUMENTS - len(step.arguments)) * _NUMBERS)
    return array.array("q", words)


class Prepared:
    """A program to be run again and again, each time with other arrays in the place of some.

    It is for one thread of Python at a time: see `free`.

    Parameters
    ----------
    steps, images, group
        As in `run`; there must be images.
    *places : ndarray
        The arrays that others will take the place of, of the same shape and strides.
    """

    def __init__(self, steps, images, group, *places):
        self._words = _written(steps, images, group)
        self._pieces = pieces_of(images)
        self._threads = _parallel.threads()  # for which the steps have memory
        self.free, self.used = threading.Lock(), time.monotonic()
        self._slots, self._remade, self._kept, self.nbytes = [], [], [], 0
        starts = [place.ctypes.data for place in places]
        spans = sorted((start, start + p.nbytes) for start, p in zip(starts, places, strict=True))
        # Where two places share memory, an address does not tell which of them is meant.
        self.is_lasting = all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
        for s, step in enumerate(steps):
            for k, argument in enumerate(step.arguments):
                if argument.memory is None:
                    continue
                word = len(team.HEAD) + s * team.STEP_WORDS + 1 + k * _NUMBERS
                for which, (place, start) in enumerate(zip(places, starts, strict=True)):
                    if 0 <= argument.base - start < place.nbytes:
                        self._slots.append((word, which, argument.base - start))
                        break
                else:
                    self._kept.append(argument.memory)
                    self.nbytes += argument.memory.nbytes
                    if argument.remake is not None:
                        self._remade.append((argument.memory, argument.remake))

    def fits(self):
        """Tell whether there still is memory for every thread."""
        return _parallel.threads() <= self._threads

    def remake(self):
        """Ask again for what may have changed: weights that were written into, sums."""
        for memory, make in self._remade:
            memory[...] = make()

    def run(self, *arrays):
        """Run it on these."""
        words = self._words
        addresses = [a.ctypes.data for a in arrays]
        for word, which, offset in self._slots:
            words[word] = addresses[which] + offset
        team.run(words.buffer_info()[0], self._pieces, self._threads)


class Shelf:
    """Prepared programs that were used lately, by what they depend on, up to so many bytes.

    What is not used any more goes when Python looks for garbage: the net may be gone.
    """

    def __init__(self, most):
        self._most = most
        self._lock = threading.Lock()
        self._known: dict = {}  # the one used last at its end
        self._bytes = 0
        _buffers.tidied(self)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def take(self, key, make):
        """Return (program, finish) of ``make()``, perhaps an earlier one, for this thread alone.

        Let go of it with ``program.free.release()``. Without a key, nothing is kept.
        """
        found = None
        if key is not None:
            with self._lock:
                found = self._known.pop(key, None)
                if found is not None:
                    self._known[key] = found
                    found[0].used = time.monotonic()
        if found is not None and found[0].fits() and found[0].free.acquire(blocking=False):
            try:
                found[0].remake()
            except BaseException:
                found[0].free.release()
                raise
            return found
        found = make()
        found[0].free.acquire()
        if key is not None and found[0].is_lasting:
            self._put(key, found)
        return found

    def clear(self):
        """Forget all, and let go of the memory."""
        with self._lock:
            self._known.clear()
            self._bytes = 0

    def tidy(self):
        """Forget what was not used for long; not now, if somebody is at it."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            while self._known:
                oldest = next(iter(self._known))
                if self._known[oldest][0].used > time.monotonic() - _IDLE:
                    return
                self._bytes -= self._known.pop(oldest)[0].nbytes
        finally:
            self._lock.release()

    def _after_fork(self):
        """Start afresh: what was in use when the process was forked would stay so."""
        self._lock = threading.Lock()
        self.clear()

    def _put(self, key, made):
        size = made[0].nbytes
        with self._lock:
            if size > self._most // 8:
                return
            before = self._known.pop(key, None)
            self._bytes += size - (before[0].nbytes if before else 0)
            self._known[key] = made
            while self._bytes > self._most:
                oldest = next(iter(self._known))
                self._bytes -= self._known.pop(oldest)[0].nbytes
