"""The stage that keeps elements in memory: cache."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from minicnn.data._flow import Follower, FollowerCursor
from minicnn.data._stage import END, Cursor, Order, Reading, State, positions, recall_count
from minicnn.data._trees import Tree, map_leaves, read_only
from minicnn.errors import CheckpointError


class Memory:
    """What a cache has seen; all iterators over its dataset share it.

    Attributes
    ----------
    elements : list
        Indexed upstream: an element or None for each position. Else: all elements
        once a reading came to its end, and nothing before.
    filled : ndarray of bool, shape (length,)
        Indexed upstream: the positions that hold an element.
    complete : bool
        Other upstream: whether `elements` are all there are.
    """

    def __init__(self, length: int) -> None:
        self.elements: list[Tree] = [None] * length
        self.filled = np.zeros(length, bool)
        self.complete = False


@dataclass(frozen=True)
class Cache(Follower):
    """The elements, each produced once.

    Whatever is random before a cache is drawn as in epoch 0, whoever reads first: the
    elements must not depend on the epoch in which they were first asked for.
    """

    memory: Memory = field(compare=False, repr=False)

    @property
    def indexed(self) -> bool:
        return self.upstream.indexed

    @property
    def label(self) -> str:
        return "cache()"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        reading = Reading((0,), reading.switch)
        if self.indexed:
            order = positions(self) if order is None else order
            return IndexedCacheCursor(self, reading, order, state)
        return CacheCursor(self, reading, state)


class IndexedCacheCursor(FollowerCursor):
    """State: how many elements of the order were delivered.

    Those that memory lacks when this cursor opens are read from an upstream that is
    opened in the order of just those; so the state needs nothing of the upstream's, and
    is the same whether memory was full, empty or in between.
    """

    def __init__(self, stage: Cache, reading: Reading, order: Order, state: State | None) -> None:
        self._check = reading.switch.check
        self._memory, self._order = stage.memory, order
        self._at = recall_count(state, "at", len(order))
        self._known = stage.memory.filled[order]
        rest = order[self._at :]
        missing = rest[~self._known[self._at :]]
        self._upstream = stage.upstream.open(reading, missing, None)

    def pull(self) -> Tree:
        self._check()
        if self._at == len(self._order):
            return END
        position = self._order[self._at]
        if not self._known[self._at]:
            self._memory.elements[position] = map_leaves(read_only, self._upstream.pull())
            self._memory.filled[position] = True
        self._at += 1
        return self._memory.elements[position]

    def state(self) -> State:
        return {"at": self._at}


class CacheCursor(FollowerCursor):
    """State: how many elements were delivered.

    Elements are read from memory if it was complete when this cursor opened, else from
    the upstream's beginning, which fills memory also when this reading began in the
    middle.
    """

    def __init__(self, stage: Cache, reading: Reading, state: State | None) -> None:
        self._check, self._memory = reading.switch.check, stage.memory
        self._at = recall_count(state, "at")
        self._reads = not stage.memory.complete
        self._elements = [] if self._reads else stage.memory.elements
        self._upstream = stage.upstream.open(reading, None, None)

    def pull(self) -> Tree:
        self._check()
        while self._reads and len(self._elements) <= self._at:
            element = self._upstream.pull()
            if element is END:
                self._reads = False
                self._memory.elements, self._memory.complete = self._elements, True
            else:
                self._elements.append(map_leaves(read_only, element))
        if self._at > len(self._elements):
            raise CheckpointError(
                f"cache: the state stands after element {self._at}, but only "
                f"{len(self._elements)} come before it; they must be the same each time"
            )
        if self._at == len(self._elements):
            return END
        self._at += 1
        return self._elements[self._at - 1]

    def state(self) -> State:
        return {"at": self._at}
