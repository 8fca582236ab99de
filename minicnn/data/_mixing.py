"""Stages that read in another order or from several datasets: shuffle, zip, interleave."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from minicnn.backend.random import Stream
from minicnn.data._flow import Follower, FollowerCursor
from minicnn.data._stage import (
    END,
    Cursor,
    Length,
    Order,
    Reading,
    Stage,
    State,
    known_length,
    positions,
    recall,
    recall_count,
)
from minicnn.data._trees import Tree, apply
from minicnn.errors import CheckpointError

_DRAWS = 1024  # random numbers drawn at once


@dataclass(frozen=True)
class Shuffle(Follower):
    """The elements in random order, another one each epoch."""

    seed: int
    buffer: int | None  # None: the whole of an indexed upstream

    @property
    def indexed(self) -> bool:
        return self.buffer is None

    @property
    def random(self) -> bool:
        return True

    @property
    def label(self) -> str:
        buffer = "" if self.buffer is None else f", buffer={self.buffer}"
        return f"shuffle(seed={self.seed}{buffer})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        stream = Stream(self.seed, "shuffle", self.number, *reading.key)
        if self.buffer is not None:
            return BufferCursor(self.upstream, self.buffer, stream, reading, state)
        shuffled = stream.permutation(known_length(self.upstream))
        return self.upstream.open(reading, shuffled if order is None else shuffled[order], state)


class Held(NamedTuple):
    """An element in a shuffle's buffer."""

    serial: int  # which element of the upstream it is, counted from some element before it
    origin: State  # from which the upstream produces it
    element: Tree


class BufferCursor(FollowerCursor):
    """Draws one of the `size` elements it holds, and replaces it by the next.

    State: an anchor, and how many elements were drawn since. The anchor is what stood in
    the buffer at some moment, written as numbers relative to the oldest, and the
    upstream's state before that one. To go on, read from there, keep those that
    stood in the buffer, and draw again as often as was drawn since. A new anchor every
    `size` draws keeps both short, and makes state() itself cost nothing.
    """

    def __init__(
        self, upstream: Stage, size: int, stream: Stream, reading: Reading, state: State | None
    ) -> None:
        self._size, self._stream = size, stream
        start = {"draws": 0, "held": [], "pulled": 0, "origin": None}
        self._anchor: State = recall(state, "anchor", start)
        self._since = recall_count(state, "since")
        self._draws = recall_count(self._anchor, "draws")
        self._pulled = recall_count(self._anchor, "pulled")
        self._held: list[Held] = []
        self._revived = False
        self._block = -1
        self._upstream = upstream.open(reading, None, recall(self._anchor, "origin", None))

    def pull(self) -> Tree:
        if not self._revived:
            self._revive()
        if self._since == self._size:
            self._cast_anchor()
        element = self._draw()
        self._since += element is not END
        return element

    def _draw(self) -> Tree:
        while len(self._held) < self._size:
            origin = self._upstream.state()
            element = self._upstream.pull()
            if element is END:
                break
            self._held.append(Held(self._pulled, origin, element))
            self._pulled += 1
        if not self._held:
            return END
        slot = int(self._uniform() * len(self._held))
        self._held[slot], self._held[-1] = self._held[-1], self._held[slot]
        return self._held.pop().element

    def _uniform(self) -> float:
        block, place = divmod(self._draws, _DRAWS)
        if block != self._block:
            self._block, self._numbers = block, self._stream.child(block).uniform(_DRAWS)
        self._draws += 1
        return self._numbers[place]

    def _cast_anchor(self) -> None:
        oldest = min(self._held, default=Held(self._pulled, self._upstream.state(), None))
        self._anchor = {
            "draws": self._draws,
            "held": [held.serial - oldest.serial for held in self._held],
            "pulled": self._pulled - oldest.serial,
            "origin": oldest.origin,
        }
        self._since = 0

    def _revive(self) -> None:
        wanted = dict.fromkeys(recall(self._anchor, "held", []))
        found = {}
        for serial in range(self._pulled):
            origin = self._upstream.state()
            element = self._upstream.pull()
            if element is END:
                raise CheckpointError(
                    f"shuffle: the state needs {self._pulled} elements of the stages before, "
                    f"which now end after {serial}; they must deliver the same each time"
                )
            if serial in wanted:
                found[serial] = Held(serial, origin, element)
        self._held = [found[serial] for serial in wanted]
        for _ in range(self._since):
            self._draw()
        self._revived = True

    def state(self) -> State:
        return {"anchor": self._anchor, "since": self._since}


@dataclass(frozen=True)
class Zip(Stage):
    """Tuples of one element of each input, until the shortest ends."""

    stages: tuple[Stage, ...]

    @property
    def inputs(self) -> tuple[Stage, ...]:
        return self.stages

    @property
    def indexed(self) -> bool:
        return all(stage.indexed for stage in self.stages)

    @property
    def length(self) -> Length:
        known = [stage.length for stage in self.stages if stage.length is not None]
        return min(known) if len(known) == len(self.stages) else None

    @property
    def label(self) -> str:
        return f"zip({', '.join(' -> '.join(stage.labels) for stage in self.stages)})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        if self.indexed and order is None:
            order = positions(self)  # leaves out what the longer ones have more
        return ZipCursor(self, reading, order, state)


class ZipCursor(Cursor):
    """State: those of the inputs."""

    def __init__(
        self, stage: Zip, reading: Reading, order: Order | None, state: State | None
    ) -> None:
        states = recall(state, "inputs", [None] * len(stage.inputs))
        self._inputs = [
            source.open(reading, order, state)
            for source, state in zip(stage.inputs, states, strict=True)
        ]
        self._indexed = stage.indexed

    @property
    def gathers(self) -> bool:
        return self._indexed and all(cursor.gathers for cursor in self._inputs)

    def pull(self) -> Tree:
        parts = []
        for cursor in self._inputs:
            part = cursor.pull()
            if part is END:
                return END
            parts.append(part)
        return tuple(parts)

    def gather(self, count: int) -> tuple[int, Tree]:
        counts, blocks = zip(*(cursor.gather(count) for cursor in self._inputs), strict=True)
        return counts[0], blocks  # indexed inputs are opened in one order, and end together

    def state(self) -> State:
        return {"inputs": [cursor.state() for cursor in self._inputs]}

    def close(self) -> None:
        with ExitStack() as stack:  # closes all, even if one of them raises
            for cursor in self._inputs:
                stack.callback(cursor.close)


@dataclass(frozen=True)
class Interleave(Follower):
    """The elements of several datasets by turns; `function` makes one of each element."""

    function: Callable[..., Stage]
    cycle: int
    block: int

    @property
    def length(self) -> Length:
        return None

    @property
    def label(self) -> str:
        return f"interleave(cycle={self.cycle}, block={self.block})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        return InterleaveCursor(self, reading, state)


class Child(NamedTuple):
    """One of the datasets that are being read."""

    number: int  # of all that were opened
    origin: State  # from which the upstream produces the element it was made of
    stage: Stage
    cursor: Cursor


class InterleaveCursor(FollowerCursor):
    """Takes `block` elements from each of `cycle` children in turn.

    State: the upstream's, whose turn it is and how many it had, and for each child its
    own state and the one from which the upstream produces what it was made of.
    """

    def __init__(self, stage: Interleave, reading: Reading, state: State | None) -> None:
        self._stage, self._reading = stage, reading
        self._opened = recall_count(state, "opened")
        self._turn = recall_count(state, "turn", stage.cycle - 1)
        self._taken = recall_count(state, "taken", stage.block)
        self._children: list[Child | None] = [None] * stage.cycle
        self._saved = state  # until the children are made, by the first pull
        self._ended = False
        self._upstream = stage.upstream.open(reading, None, recall(state, "upstream", None))

    def pull(self) -> Tree:
        if self._saved is not None:
            self._revive(self._saved)
            self._saved = None
        idle = 0
        while idle < self._stage.cycle:  # a whole round without a child is the end
            child = self._children[self._turn] = self._children[self._turn] or self._next_child()
            element = END if child is None else child.cursor.pull()
            idle = idle + 1 if child is None else 0
            if element is not END:
                self._taken += 1
                if self._taken == self._stage.block:
                    self._pass_turn()
                return element
            if child is not None:
                child.cursor.close()
                self._children[self._turn] = None
            self._pass_turn()
        return END

    def _pass_turn(self) -> None:
        self._turn, self._taken = (self._turn + 1) % self._stage.cycle, 0

    def _next_child(self) -> Child | None:
        origin = self._upstream.state()
        element = self._upstream.pull()
        if element is END:
            return None
        self._opened += 1
        return self._child(self._opened - 1, origin, element, None)

    def _child(self, number: int, origin: State, element: Tree, saved: State | None) -> Child:
        stage = apply(self._stage.function, element)
        if recall(saved, "pipeline", stage.labels) != stage.labels:
            raise CheckpointError(
                f"interleave: dataset {number} was {recall(saved, 'pipeline', None)} when the "
                f"state was saved, and is {stage.labels} now; it must be the same each time"
            )
        cursor = stage.open(self._reading.child(number), None, recall(saved, "state", None))
        return Child(number, origin, stage, cursor)

    def _revive(self, state: State) -> None:
        for slot, saved in enumerate(recall(state, "children", [])):
            if saved is None:
                continue
            origin = recall(saved, "origin", None)
            source = self._stage.upstream.open(self._reading, None, origin)
            try:
                element = source.pull()
            finally:
                source.close()
            if element is END:
                raise CheckpointError("interleave: the stages before end sooner than they did")
            number = recall_count(saved, "number")
            self._children[slot] = self._child(number, origin, element, saved)

    def state(self) -> State:
        if self._saved is not None:
            return self._saved
        return {
            "upstream": self._upstream.state(),
            "opened": self._opened,
            "turn": self._turn,
            "taken": self._taken,
            "children": [child and _child_state(child) for child in self._children],
        }

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(self._upstream.close)
            for child in filter(None, self._children):
                stack.callback(child.cursor.close)


def _child_state(child: Child) -> State:
    return {
        "number": child.number,
        "origin": child.origin,
        "pipeline": child.stage.labels,
        "state": child.cursor.state(),
    }
