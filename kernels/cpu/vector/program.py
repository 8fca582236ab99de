"""Programs: which compiled functions see which images, with which memory.

A program says: for each group of images, call these functions, one after the other, with these
arguments.  An argument is a number or an address that moves with the image, with the piece of
work (for partial sums), or with the thread (for memory that is used again and again)::

    Step(forward, (images_of(x), of_thread(frame), fixed(weights), ..., COUNT))

So what one step leaves behind is still in the cache when the next one reads it, and nothing of
Python stands between them.  `team` runs the whole.
"""

import array
import threading
from typing import NamedTuple

from .. import _parallel
from . import team


class Argument(NamedTuple):
    """An integer or an address, and by how much it grows with each image, piece, thread."""

    base: int
    image: int = 0
    piece: int = 0
    thread: int = 0
    group: int = 0
    memory: object = None  # the array, which has to live until the program is done


class Step(NamedTuple):
    """One call for each group of images."""

    function: int  # its address
    arguments: tuple


COUNT = Argument(0, group=1)  # how many images a group has


def number(n):
    """Return an integer that all calls are given."""
    return Argument(int(n))


def fixed(a):
    """Return the address of an array that all calls see."""
    return Argument(a.ctypes.data, memory=a)


def images_of(a):
    """Return the address of image n of an array (N, ...)."""
    return Argument(a.ctypes.data, image=a.strides[0], memory=a)


def of_piece(a):
    """Return the address of a piece's own part of an array (pieces, ...)."""
    return Argument(a.ctypes.data, piece=a.strides[0], memory=a)


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
        team.run(words.buffer_info()[0], pieces_of(images))


def _written(steps, images, group):
    """Return a program in the form of `team.HEAD`."""
    words = [len(steps), images, pieces_of(images), group]
    for step in steps:
        words.append(step.function)
        for argument in step.arguments:
            words += argument[:-1]
        words += [0] * ((team.ARGUMENTS - len(step.arguments)) * len(team.ARGUMENT))
    return array.array("q", words)


class Prepared:
    """A program to be run again and again, each time with other arrays in the place of some.

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
        self._steps = steps  # with the memory that they work in, of so many threads
        self._threads = _parallel.threads()
        self._one_at_a_time = threading.Lock()
        self._slots = []
        for which, place in enumerate(places):
            start = place.ctypes.data
            for s, step in enumerate(steps):
                for k, argument in enumerate(step.arguments):
                    offset = argument.base - start
                    if argument.memory is not None and 0 <= offset < place.nbytes:
                        word = len(team.HEAD) + s * team.STEP_WORDS + 1 + k * len(team.ARGUMENT)
                        self._slots.append((word, which, offset))

    def run(self, *arrays):
        """Run it on these; return False, with nothing done, if there is no memory for that.

        That is so while another thread runs it, or if there are more threads now than before.
        """
        if _parallel.threads() > self._threads or not self._one_at_a_time.acquire(blocking=False):
            return False
        try:
            addresses = [a.ctypes.data for a in arrays]
            for word, which, offset in self._slots:
                self._words[word] = addresses[which] + offset
            team.run(self._words.buffer_info()[0], self._pieces)
        finally:
            self._one_at_a_time.release()
        return True
