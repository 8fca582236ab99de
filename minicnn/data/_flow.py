"""Stages that pass elements on in order: take, skip, repeat, batch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.data._stage import (
    END,
    Cursor,
    Length,
    Order,
    Reading,
    Stage,
    State,
    positions,
    recall,
    recall_count,
)
from minicnn.data._trees import Tree, concatenate, stack
from minicnn.errors import ConfigError


@dataclass(frozen=True)
class Follower(Stage):
    """A stage that reads one other."""

    upstream: Stage

    @property
    def inputs(self) -> tuple[Stage, ...]:
        return (self.upstream,)

    @property
    def length(self) -> Length:
        return self.upstream.length


class FollowerCursor(Cursor):
    """A cursor that reads one other."""

    _upstream: Cursor

    def close(self) -> None:
        self._upstream.close()


@dataclass(frozen=True)
class Take(Follower):
    """The first `count` elements."""

    count: int

    @property
    def indexed(self) -> bool:
        return self.upstream.indexed

    @property
    def length(self) -> Length:
        length = self.upstream.length
        return None if length is None else min(self.count, length)

    @property
    def label(self) -> str:
        return f"take({self.count})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        if self.indexed:
            return self.upstream.open(reading, positions(self) if order is None else order, state)
        return TakeCursor(self, reading, state)


class TakeCursor(FollowerCursor):
    """State: how many were delivered, and the upstream's."""

    def __init__(self, stage: Take, reading: Reading, state: State | None) -> None:
        self._count = stage.count
        self._at = recall_count(state, "at", stage.count)
        self._upstream = stage.upstream.open(reading, None, recall(state, "upstream", None))

    @property
    def gathers(self) -> bool:
        return self._upstream.gathers

    def pull(self) -> Tree:
        if self._at == self._count:
            return END
        element = self._upstream.pull()
        self._at += element is not END
        return element

    def gather(self, count: int) -> tuple[int, Tree]:
        if self._at == self._count:
            return 0, None
        found, block = self._upstream.gather(min(count, self._count - self._at))
        self._at += found
        return found, block

    def state(self) -> State:
        return {"at": self._at, "upstream": self._upstream.state()}


@dataclass(frozen=True)
class Skip(Follower):
    """All but the first `count` elements."""

    count: int

    @property
    def indexed(self) -> bool:
        return self.upstream.indexed

    @property
    def length(self) -> Length:
        length = self.upstream.length
        return None if length is None else max(0, length - self.count)

    @property
    def label(self) -> str:
        return f"skip({self.count})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        if self.indexed:
            order = positions(self) if order is None else order
            return self.upstream.open(reading, order + self.count, state)
        return SkipCursor(self, reading, state)


class SkipCursor(FollowerCursor):
    """State: whether the first ones were skipped, and the upstream's."""

    def __init__(self, stage: Skip, reading: Reading, state: State | None) -> None:
        self._left = stage.count - recall_count(state, "skipped", stage.count)
        self._count = stage.count
        self._upstream = stage.upstream.open(reading, None, recall(state, "upstream", None))

    def pull(self) -> Tree:
        while self._left and self._upstream.pull() is not END:
            self._left -= 1
        return self._upstream.pull()

    def state(self) -> State:
        return {"skipped": self._count - self._left, "upstream": self._upstream.state()}


@dataclass(frozen=True)
class Repeat(Follower):
    """The elements again and again, each time as the next epoch."""

    count: int | None

    @property
    def length(self) -> Length:
        if self.count is None:
            return math.inf
        return None if self.upstream.length is None else self.count * self.upstream.length

    @property
    def label(self) -> str:
        return f"repeat({'' if self.count is None else self.count})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        return RepeatCursor(self, reading, state)


class RepeatCursor(FollowerCursor):
    """State: the epoch, how many it has delivered, and the upstream's."""

    def __init__(self, stage: Repeat, reading: Reading, state: State | None) -> None:
        self._stage, self._reading = stage, reading
        last = math.inf if stage.count is None else stage.count - 1
        self._epoch = recall_count(state, "epoch", last)
        self._at = recall_count(state, "at")
        self._upstream = self._open(recall(state, "upstream", None))

    def _open(self, state: State | None) -> Cursor:
        reading = self._reading.epoch(self._epoch, self._stage.count)
        return self._stage.upstream.open(reading, None, state)

    @property
    def gathers(self) -> bool:
        return self._upstream.gathers

    def pull(self) -> Tree:
        while (element := self._upstream.pull()) is END:
            if not self._next_epoch():
                return END
        self._at += 1
        return element

    def gather(self, count: int) -> tuple[int, Tree]:
        while not (found := self._upstream.gather(count))[0]:
            if not self._next_epoch():
                break
        self._at += found[0]
        return found

    def _next_epoch(self) -> bool:
        if self._at == 0:
            raise ConfigError(
                f"repeat: epoch {self._epoch} delivered no element, so there is nothing to "
                "repeat; look at the stages before repeat()"
            )
        if self._epoch + 1 == self._stage.count:
            return False
        self._upstream.close()
        self._epoch, self._at = self._epoch + 1, 0
        self._upstream = self._open(None)
        return True

    def state(self) -> State:
        return {"epoch": self._epoch, "at": self._at, "upstream": self._upstream.state()}


@dataclass(frozen=True)
class Batch(Follower):
    """Elements stacked leaf by leaf, `size` at a time."""

    size: int
    drop_remainder: bool

    @property
    def length(self) -> Length:
        length = self.upstream.length
        if length is None or length == math.inf:
            return length
        return int(length) // self.size if self.drop_remainder else -(-int(length) // self.size)

    @property
    def label(self) -> str:
        return f"batch({self.size}{', drop_remainder=True' * self.drop_remainder})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        return BatchCursor(self, reading, state)


class BatchCursor(FollowerCursor):
    """State: the upstream's, for between two batches nothing is held back."""

    def __init__(self, stage: Batch, reading: Reading, state: State | None) -> None:
        self._size, self._drop_remainder = stage.size, stage.drop_remainder
        self._upstream = stage.upstream.open(reading, None, state)

    def pull(self) -> Tree:
        found, batch = self._gather() if self._upstream.gathers else self._stack()
        return END if found == 0 or (self._drop_remainder and found < self._size) else batch

    def _gather(self) -> tuple[int, Tree]:
        """Copy whole rows at once: one block, or several where an epoch ends in between."""
        found, blocks = 0, []
        while found < self._size:
            count, block = self._upstream.gather(self._size - found)
            if count == 0:
                break
            found += count
            blocks.append(block)
        return found, concatenate(blocks) if blocks else None

    def _stack(self) -> tuple[int, Tree]:
        elements: list[Tree] = []
        while len(elements) < self._size and (element := self._upstream.pull()) is not END:
            elements.append(element)
        return len(elements), stack(elements) if elements else None

    def state(self) -> State:
        return self._upstream.state()
