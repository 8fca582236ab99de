"""Several threads and one Estimator: none sees the weights of half a step."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator

from minicnn.errors import ConfigError

_all: weakref.WeakSet[Turns] = weakref.WeakSet()


class Turns:
    """Who may use the weights now: threads that read them, or one that changes them.

    A thread that finds a step being done waits for its end; all who waited are let in before the
    next step, and those who come later wait for that one. So neither keeps the other out for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards what follows; threads go by their idents
        self._trainer: int | None = None
        self._changer: int | None = None  # who changes weights, or waits until nobody reads them
        self._depth = 0  # of its blocks
        self._readers: Counter[int] = Counter()
        self._waiting: set[int] = set()  # to become readers
        self._torn = False
        _all.add(self)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Be the thread that trains.

        Raises
        ------
        ConfigError
            If another one does.
        """
        me = threading.get_ident()
        with self._changed:
            self.refuse_others("train")
            before, self._trainer = self._trainer, me
        try:
            yield
        finally:
            self._trainer = before

    def refuse_others(self, what: str) -> None:
        """Raise ConfigError in any thread but the one that trains, if one does."""
        trainer = self._trainer
        if trainer not in (None, threading.get_ident()):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            raise ConfigError(
                f"{what}: the thread {names.get(trainer, trainer)!r} is training this Estimator; "
                "do this in a hook of its own, or wait until train has returned"
            )

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Use the weights, as they are between two steps."""
        me = threading.get_ident()
        with self._changed:
            self._refuse_torn()
            if self._changer in (None, me) or me in self._readers:
                self._readers[me] += 1
            else:
                self._waiting.add(me)
        try:
            if me in self._waiting:
                with self._changed:
                    self._changed.wait_for(lambda: me in self._readers)
            yield
        finally:
            with self._changed:
                self._waiting.discard(me)  # where Ctrl-C ended the waiting
                self._readers[me] -= 1
                if self._readers[me] <= 0:
                    del self._readers[me]
                self._changed.notify_all()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change the weights, when nobody uses them."""
        me = threading.get_ident()
        with self._changed:
            self._refuse_torn()
            self._changed.wait_for(lambda: self._changer in (None, me))
            self._changer, self._depth = me, self._depth + 1
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._readers.keys() - {me})
            yield
        finally:
            with self._changed:
                self._depth -= 1
                if not self._depth:
                    self._changer = None
                    self._readers.update(self._waiting)
                    self._waiting.clear()
                self._changed.notify_all()

    def _refuse_torn(self) -> None:
        if self._torn:
            raise ConfigError(
                "this process was forked while another thread was in the middle of a training "
                "step, so the weights here are those of half a step; fork in a hook, or between "
                "two calls of train, or make an Estimator anew from a checkpoint"
            )

    def after_fork(self) -> None:
        """Forget the threads that a forked child has not."""
        me = threading.get_ident()
        if self._changer not in (None, me):
            self._torn = not self._readers.keys() - {self._changer}  # it waited for no one any more
            self._changer, self._depth = None, 0
        self._changed = threading.Condition()
        self._readers = Counter({me: self._readers[me]} if me in self._readers else {})
        self._waiting.clear()
        if self._trainer != me:
            self._trainer = None


def _after_fork() -> None:
    for turns in list(_all):
        turns.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
