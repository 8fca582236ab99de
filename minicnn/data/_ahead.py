"""Stages that read ahead on threads: map and prefetch.

Both follow one rule, from which exact restarts follow: beside each element that is not
delivered yet they keep the upstream's state before it, and the state of the stage is
the one beside the oldest such element.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from minicnn.backend.random import Stream
from minicnn.data import _threads
from minicnn.data._flow import Follower, FollowerCursor
from minicnn.data._stage import END, Cancelled, Cursor, Order, Reading, State, recall, recall_count
from minicnn.data._threads import Job, Workers
from minicnn.data._trees import Tree, apply

# Elements a map is ahead of its consumer, per thread: enough that no thread waits while
# the consumer fetches a few at once, few enough to keep memory small.
_AHEAD = 4


@dataclass(frozen=True)
class Map(Follower):
    """What a function makes of each element."""

    function: Callable[..., Tree]
    workers: int
    seed: int | None  # None: the function wants no random numbers

    @property
    def indexed(self) -> bool:
        return self.upstream.indexed

    @property
    def random(self) -> bool:
        return self.seed is not None

    @property
    def label(self) -> str:
        return f"map(random=True, seed={self.seed})" if self.random else "map()"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        if self.workers:
            return ThreadedMapCursor(self, reading, order, state)
        return MapCursor(self, reading, order, state)


@dataclass(frozen=True)
class Call:
    """How a map calls its function; the same on any thread, in any order."""

    function: Callable[..., Tree]
    seed: int | None
    key: tuple[str | int, ...]
    order: Order | None

    def __call__(self, element: Tree, at: int) -> Tree:
        """Return what the function makes of the `at`-th element."""
        if self.seed is None:
            return apply(self.function, element)
        position = at if self.order is None else int(self.order[at])
        return apply(self.function, element, Stream(self.seed, *self.key, position))


class MapCursor(FollowerCursor):
    """State: how many elements were pulled, and the upstream's."""

    def __init__(
        self, stage: Map, reading: Reading, order: Order | None, state: State | None
    ) -> None:
        key: tuple[str | int, ...] = ("map", stage.number, *reading.key)
        self._call = Call(stage.function, stage.seed, key, order)
        self._at = recall_count(state, "at")
        self._upstream = stage.upstream.open(reading, order, recall(state, "upstream", None))

    def pull(self) -> Tree:
        element = self._upstream.pull()
        if element is END:
            return END
        self._at += 1
        return self._call(element, self._at - 1)

    def state(self) -> State:
        return {"at": self._at, "upstream": self._upstream.state()}


class Ahead(NamedTuple):
    """An element on its way: the state from which it is produced, and the call that does."""

    origin: State
    job: Job


class ThreadedMapCursor(MapCursor):
    """The same elements and states as `MapCursor`, computed ahead by threads.

    The consumer's thread reads the upstream and hands calls to the workers; results are
    taken in the order of the calls.
    """

    def __init__(
        self, stage: Map, reading: Reading, order: Order | None, state: State | None
    ) -> None:
        super().__init__(stage, reading, order, state)
        self._workers = Workers(stage.workers)
        self._room = stage.workers * _AHEAD
        self._ahead: deque[Ahead] = deque()
        self._ended = False
        reading.switch.note_threads()

    def pull(self) -> Tree:
        while not self._ended and len(self._ahead) < self._room:
            self._send()
        return self._ahead.popleft().job.result() if self._ahead else END

    def _send(self) -> None:
        """Read one element and have its call made."""
        origin = super().state()
        try:
            element = self._upstream.pull()
        except Exception as error:  # not before the elements that are on their way
            job = Job(self._call)
            job.fail(error)
            self._ahead.append(Ahead(origin, job))
            self._ended = True
            return
        if element is END:
            self._ended = True
            return
        job = Job(self._call, element, self._at)
        self._ahead.append(Ahead(origin, job))
        self._workers.submit(job)
        self._at += 1

    def state(self) -> State:
        return self._ahead[0].origin if self._ahead else super().state()

    def close(self) -> None:
        try:
            self._workers.close()
        finally:
            super().close()


@dataclass(frozen=True)
class Prefetch(Follower):
    """The same elements, up to `count` of them ahead of the consumer."""

    count: int

    @property
    def indexed(self) -> bool:
        return self.upstream.indexed

    @property
    def label(self) -> str:
        return ""  # a state does not depend on it

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        reading = reading.below()
        return PrefetchCursor(self.count, reading, self.upstream.open(reading, order, state))


class PrefetchCursor(FollowerCursor):
    """State: the upstream's before the oldest element in the queue.

    Once the thread runs, only it touches the upstream; it also closes it.
    """

    def __init__(self, count: int, reading: Reading, upstream: Cursor) -> None:
        self._upstream, self._count, self._switch = upstream, count, reading.switch
        self._closing = Job(upstream.close)
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # guards the four below
        self._ready: deque[Ahead] = deque()
        self._next = upstream.state()  # that of the element which is being pulled
        self._ended = self._closed = False
        self._process = os.getpid()
        reading.switch.note_threads()

    def pull(self) -> Tree:
        if self._ended:
            return END
        if self._thread is None:
            self._thread = _threads.start("minicnn-prefetch", self._fill)
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._closed)
            if not self._ready:
                raise Cancelled
            ahead = self._ready.popleft()
            self._changed.notify_all()
        element, _ = ahead.job.result()
        self._ended = element is END
        return element

    def _fill(self) -> None:
        """Pull elements while there is room for them; in the thread."""
        try:
            going = True
            while going and self._wait_for_room():
                job = Job(self._read)
                going = job.run()
                with self._changed:
                    self._ready.append(Ahead(self._next, job))
                    if going:
                        element, self._next = job.result()
                        going = element is not END
                    self._changed.notify_all()
        finally:
            self._closing.run()

    def _read(self) -> tuple[Tree, State]:
        return self._upstream.pull(), self._upstream.state()

    def _wait_for_room(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._count)
            return not self._closed

    def state(self) -> State:
        # In a forked child nothing changes any more, and nobody is there to let go of the lock.
        with self._changed if self._process == os.getpid() else contextlib.nullcontext():
            return self._ready[0].origin if self._ready else self._next

    def close(self) -> None:
        if self._process != os.getpid():
            return  # the upstream is in the hands of a thread that is in the parent process
        self._switch.turn_off()
        with self._changed:
            already, self._closed = self._closed, True
            self._changed.notify_all()
        if self._thread is None:
            if not already:
                self._closing.run()
        else:
            _threads.join([self._thread])
            if self._thread.is_alive():
                return  # in the middle of a user's function, after which it ends
        self._closing.result()
