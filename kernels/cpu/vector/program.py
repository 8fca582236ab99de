"""Programs: which compiled functions see which images, with which memory.

A program says: for each group of images, call these functions, one after the other, with these
arguments.  An argument is a number or an address that moves with the image, with the piece of
work (for partial sums), or with the thread (for memory that is used again and again)::

    Step(forward, (images_of(x), of_thread(frame), fixed(weights), ..., COUNT))

So what one step leaves behind is still in the cache when the next one reads it, and nothing of
Python stands between them.  `team` runs the whole.
"""

from typing import NamedTuple

import numpy as np

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


def fixed(array):
    """Return the address of an array that all calls see."""
    return Argument(array.ctypes.data, memory=array)


def images_of(array):
    """Return the address of image n of an array (N, ...)."""
    return Argument(array.ctypes.data, image=array.strides[0], memory=array)


def of_piece(array):
    """Return the address of a piece's own part of an array (pieces, ...)."""
    return Argument(array.ctypes.data, piece=array.strides[0], memory=array)


def of_thread(array):
    """Return the address of a thread's own part of an array (threads, ...)."""
    return Argument(array.ctypes.data, thread=array.strides[0], memory=array)


def left_by(memory):
    """Return what does the same for ``memory[0]``, a thread's part of which holds a whole group."""
    return lambda array: Argument(array.ctypes.data, thread=memory.strides[0], memory=memory)


def pieces_of(images):
    """Return into how many pieces so many images are cut."""
    return max(1, len(_parallel.chunks(images)))


def run(steps, images, group=1):
    """Run steps for images 0 ... `images`, so many a group; the arrays must live until then."""
    if not images:
        return
    pieces = pieces_of(images)
    program = np.zeros(len(team.HEAD) + len(steps) * team.STEP_WORDS, np.int64)
    program[: len(team.HEAD)] = len(steps), images, pieces, group
    table = program[len(team.HEAD) :].reshape(len(steps), -1)
    table[:, 0] = [step.function for step in steps]
    words = table[:, 1:].reshape(len(steps), team.ARGUMENTS, len(team.ARGUMENT))
    for row, step in zip(words, steps, strict=True):
        row[: len(step.arguments)] = [a[:-1] for a in step.arguments]
    team.run(program, pieces)
