"""Where layers get their random numbers from: never from a global generator.

Initial weights are named by the order in which layers are created inside
``with seed(n):``.  What a layer draws in a call (dropout) is named by the layer and,
inside ``with random_key(seed, step):``, by the step, so that a resumed run draws the
same numbers as one that was never stopped.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from minicnn.backend.random import Stream
from minicnn.errors import CaptureError
from minicnn.kernels import capturing
from minicnn.nn._calls import qualified_name

if TYPE_CHECKING:
    from minicnn.nn.module import Module

__all__ = ["CallStreams", "init_stream", "random_key", "seed"]


Name = tuple[int | str, ...]  # of a Stream: its seed and key


class Source:
    """Gives out names of streams, numbered by what they are for."""

    def __init__(self, *name: int | str) -> None:
        self._name = name
        self._numbers: dict[str, Iterator[int]] = {}

    def next(self, purpose: str) -> Name:
        """Return the name of the next stream for a purpose."""
        # setdefault is one step for all threads, and so is next
        return (*self._name, purpose, next(self._numbers.setdefault(purpose, itertools.count())))


_program = Source(0)  # outside of `seed`, for all layers of the program in order of creation
_source: contextvars.ContextVar[Source | None] = contextvars.ContextVar(
    "minicnn_source", default=None
)


class _Key:
    """The seed and step of one `random_key` block, and how often each layer drew in it."""

    def __init__(self, seed: int, step: int) -> None:
        self.seed, self.step = seed, step
        self.calls: defaultdict[Name, Iterator[int]] = defaultdict(itertools.count)


_key: contextvars.ContextVar[_Key | None] = contextvars.ContextVar("minicnn_key", default=None)


@contextlib.contextmanager
def source(new: Source) -> Iterator[None]:
    """Let layers created inside the ``with`` block draw from `new`."""
    token = _source.set(new)
    try:
        yield
    finally:
        _source.reset(token)


def seed(number: int) -> contextlib.AbstractContextManager[None]:
    """Draw the weights of layers created in a ``with`` block from this seed.

    The n-th layer created in the block draws from ``Stream(number, "init", n)``: the same code
    in a block of the same seed gives the same weights, whatever ran before, and two layers of
    one block differ. Outside of any block the seed is 0 and n counts all layers of the program,
    so that a program gives the same weights each time it runs.

    Parameters
    ----------
    number : int
        The seed.

    Returns
    -------
    context manager
        For ``with``; it may also decorate a function that builds a net.

    Raises
    ------
    ConfigError
        If `number` is not an int.

    Examples
    --------
    >>> from minicnn import nn
    >>> with nn.seed(0):
    ...     first = nn.Dense(3, 2)
    >>> with nn.seed(0):
    ...     second = nn.Dense(3, 2)
    >>> bool((first.weight == second.weight).numpy().all())
    True
    """
    Stream(number)  # checks it

    @contextlib.contextmanager
    def seeded() -> Iterator[None]:
        with source(Source(number)):
            yield

    return seeded()


@contextlib.contextmanager
def random_key(seed: int, step: int) -> Iterator[None]:
    """Name what layers draw in a ``with`` block by a seed and a step.

    A layer named ``head.dropout`` in the net that is called draws from
    ``Stream(seed, "dropout", "head.dropout", step)``; one that is called alone is named by the
    order of its creation. A layer called again in the same block draws other numbers, named
    by one more number; a new block of the same seed and step starts over.

    Parameters
    ----------
    seed : int
        The seed of the run.
    step : int
        The training step.

    Raises
    ------
    ConfigError
        If one of them is not an int.
    """
    Stream(seed, step)  # checks both
    token = _key.set(_Key(seed, step))
    try:
        yield
    finally:
        _key.reset(token)


def next_name(purpose: str) -> Name:
    """Return the name of a stream for something that is being created."""
    return (_source.get() or _program).next(purpose)


def init_stream() -> Stream:
    """Return the random numbers for the parameters of the layer that is being created.

    Returns
    -------
    Stream
        ``Stream(seed, "init", n)`` in the n-th call inside ``with seed(...)``. A layer calls it
        once and gives each parameter a stream of its own: ``stream.child("weight")``.
    """
    return Stream(*next_name("init"))  # type: ignore[arg-type]


class CallStreams:
    """The random numbers that one layer draws, a new stream for each of its calls.

    Parameters
    ----------
    purpose : str
        What for, such as ``"dropout"``.

    Notes
    -----
    Made when the layer is made. Outside of `random_key` the streams are those of a counter that
    belongs to this layer alone, so that calls differ.
    """

    def __init__(self, purpose: str) -> None:
        self._purpose = purpose
        self._name = next_name(purpose)
        self._calls = 0

    def next(self, layer: Module) -> Stream:
        """Return the stream for a call.

        Parameters
        ----------
        layer : Module
            The layer whose call it is.

        Returns
        -------
        Stream
            At its beginning.
        """
        key = _key.get()
        if key is None:
            self._calls += 1
            return Stream(*self._name, self._calls - 1)  # type: ignore[arg-type]
        qualified = qualified_name(layer)
        name = (qualified,) if qualified else self._name
        again = next(key.calls[name])
        stream = self._stream(key, name, again)
        if capturing.recorder() is None:
            return stream
        return stream.renewed_by(lambda: self._stream(_current_key(), name, again))

    def _stream(self, key: _Key, name: Name, again: int) -> Stream:
        """Return the stream of a step, for a call of the layer after so many others."""
        stream = Stream(key.seed, self._purpose, *name, key.step)
        return stream.child(again) if again else stream


def _current_key() -> _Key:
    key = _key.get()
    if key is None:
        raise CaptureError("replay: it has layers that draw; replay it inside random_key")
    return key
