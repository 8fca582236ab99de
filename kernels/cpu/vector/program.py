"""Programs: which compiled functions see which images, with which memory.

A program says: for each group of images, call these functions, one after the other, with these
arguments.  An argument is a number or an address that moves with the image, with the piece of
work (for partial sums), or with the thread (for memory that is used again and again)::

    Step(forward, (images_of(x), of_thread(frame), fixed(weights), ..., COUNT))

So what one step leaves behind is still in the cache when the next one reads it, and nothing of
Python stands between them.  `team` runs the whole.
"""

import array
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
    if not images:
        return
    pieces = pieces_of(images)
    words = [len(steps), images, pieces, group]  # team.HEAD
    for step in steps:
        words.append(step.function)
        for argument in step.arguments:
            words += argument[:-1]
        words += [0] * ((team.ARGUMENTS - len(step.arguments)) * len(team.ARGUMENT))
    program = array.array("q", words)
    team.run(program.buffer_info()[0], pieces)
