"""What the stages of a pipeline promise one another.

A `Stage` describes one step (``batch(128)``) and never changes; a `Cursor` is one walk
through it.  Opening the last stage opens all those before it, and pulling an element
from the last cursor pulls what it needs from those before it.

**States.** ``cursor.state()`` says, in numbers JSON can hold, what is delivered next:
``stage.open(reading, order, state)`` gives a cursor that goes on exactly there.  Most
stages keep a count and the state of the stage before.  A stage that reads ahead keeps,
beside every element it holds back, the state from which that element is produced, so
its own state is the one beside the oldest element it has not delivered yet.  Whatever
threads have computed beyond it is computed again after a restart and never lost.

**Orders.** A stage is *indexed* if it can produce any of its elements by position.  Such a
stage can be opened in an order, an array of positions.  A shuffle of an indexed stage
is that stage opened in a random order: it holds no buffer, and a `map` before it still
runs on its threads and still knows each element's position.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from minicnn.data._trees import Tree
from minicnn.errors import CheckpointError

State = dict[str, Any]
Order = npt.NDArray[np.int64]
Length = int | float | None  # math.inf if endless, None if unknown until read

# An endless repeat inside another repeat has room for this many epochs of its own.
_ENDLESS = 2**32


class _End:
    def __repr__(self) -> str:
        return "END"


END: Final = _End()  # what pull() returns after the last element


class Cancelled(BaseException):
    """Raised inside a pipeline that is being shut down; users never see it."""


class Switch:
    """Tells every thread of one pipeline to stop.

    Sources look at it before every element, so that a thread in the middle of a
    batch ends after one element and not after a hundred.
    """

    def __init__(self, parent: Switch | None = None) -> None:
        self._parent = parent
        self._off = False
        self.has_threads = False

    def note_threads(self) -> None:
        """Note that there are threads that watch this switch, or will be."""
        self.has_threads = True
        if self._parent is not None:
            self._parent.note_threads()

    def turn_off(self) -> None:
        """Stop the threads that watch this switch, and those below it."""
        self._off = True

    def check(self) -> None:
        """Raise `Cancelled` if this switch or one above it is off."""
        if self._off:
            raise Cancelled
        if self._parent is not None:
            self._parent.check()


@dataclass(frozen=True)
class Reading:
    """Who is reading a stage.

    Attributes
    ----------
    key : tuple of int
        One epoch number per pipeline around this one, this pipeline's own last, and
        the number of the child between them where `interleave` opened it.
    switch : Switch
        What stops this reading.
    """

    key: tuple[int, ...]
    switch: Switch

    def epoch(self, number: int, count: int | None) -> Reading:
        """Return epoch `number` of `count`; those of repeats within repeats never coincide."""
        *outer, epoch = self.key
        return Reading((*outer, epoch * (count or _ENDLESS) + number), self.switch)

    def child(self, number: int) -> Reading:
        """Return the reading of the pipeline that `interleave` opened as `number`."""
        return Reading((*self.key, number, 0), self.switch)

    def below(self) -> Reading:
        """Return the same reading with a switch of its own under this one's."""
        return Reading(self.key, Switch(self.switch))


class Cursor(ABC):
    """One walk through a stage, by one thread at a time."""

    @property
    def gathers(self) -> bool:
        """Whether `gather` may be called."""
        return False

    @abstractmethod
    def pull(self) -> Tree:
        """Return the next element, or END, and END again after that."""

    @abstractmethod
    def state(self) -> State:
        """Return where this cursor stands, in a dict that is never written to again."""

    def gather(self, count: int) -> tuple[int, Tree]:
        """Return at least 1 and up to `count` elements as one batch, and how many; 0 at the end."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None:
        """Stop threads, close generators; also those of the stages before."""


class Stage(ABC):
    """One step of a pipeline and, through `inputs`, all those before it."""

    @property
    def indexed(self) -> bool:
        """Whether `open` takes an order."""
        return False

    @property
    def random(self) -> bool:
        """Whether this stage draws random numbers."""
        return False

    @property
    @abstractmethod
    def inputs(self) -> tuple[Stage, ...]:
        """The stages this one reads."""

    @property
    @abstractmethod
    def length(self) -> Length:
        """How many elements one reading has."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What decides this stage's elements, as text; empty if it changes none."""

    @abstractmethod
    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        """Return a cursor at `state`, or at the beginning; nothing runs before its first pull."""

    @property
    def number(self) -> int:
        """How many stages that draw random numbers there are up to this one.

        It is part of the key of their numbers: two with one seed draw differently, and
        a `prefetch` or `batch` put between them changes nothing.
        """
        return self.random + max((stage.number for stage in self.inputs), default=0)

    @property
    def labels(self) -> list[str]:
        """The labels of this stage and those before it, source first."""
        before = self.inputs[0].labels if len(self.inputs) == 1 else []
        return [*before, self.label] if self.label else before


def positions(stage: Stage) -> Order:
    """Return the natural order of an indexed stage."""
    return np.arange(known_length(stage), dtype=np.int64)


def known_length(stage: Stage) -> int:
    """Return the length of an indexed stage, which is neither endless nor unknown."""
    return int(stage.length or 0)


def recall(state: State | None, name: str, default: Any) -> Any:
    """Return an entry of a state, or `default` if there is no state."""
    if state is None:
        return default
    if not isinstance(state, dict) or name not in state:
        raise CheckpointError(
            f"load_state_dict: {name!r} is missing from {state!r}; give what state_dict() returned"
        )
    return state[name]


def recall_count(state: State | None, name: str, limit: float = math.inf) -> int:
    """Return an entry of a state that must be a whole number from 0 to `limit`; 0 without one."""
    count = recall(state, name, 0)
    if not isinstance(count, int) or not 0 <= count <= limit:
        raise CheckpointError(
            f"load_state_dict: {name!r} is {count!r}, not a whole number from 0 to {limit}; "
            "give what state_dict() returned"
        )
    return count
