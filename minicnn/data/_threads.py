"""Threads that can be relied on to end.

All of them are daemons, so that a function that never returns cannot keep Python from
exiting; whoever starts some also ends and joins them (the iterator does, when it is
exhausted, closed, garbage collected, or when Python exits).
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from minicnn.data._stage import Cancelled

# How long, in seconds, to wait for threads that were told to end. One that is in the middle
# of a user's function cannot be interrupted: it is left, and ends when the function returns.
PATIENCE = 2.0


class _Thread(threading.Thread):
    """One of those that are started here."""


def is_ours() -> bool:
    """Tell whether the current thread is one of those that are started here."""
    return isinstance(threading.current_thread(), _Thread)


def start(name: str, function: Callable[..., None], *arguments: Any) -> threading.Thread:
    """Start a thread that sees the caller's context variables (`np.errstate` is one)."""
    run = contextvars.copy_context().run
    thread = _Thread(target=run, args=(function, *arguments), name=name, daemon=True)
    thread.start()
    return thread


def join(threads: Sequence[threading.Thread]) -> None:
    """Wait for threads to end, but not longer than `PATIENCE` in all."""
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        if thread is not threading.current_thread():  # garbage collection runs anywhere
            thread.join(max(0.0, deadline - time.monotonic()))


class Job:
    """A call made on one thread, whose outcome is taken on another."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = [(function, arguments)]  # until it is made
        self._done = threading.Lock()
        self._done.acquire()
        self._value: Any = None
        self._error: BaseException | None = None

    def run(self) -> bool:
        """Make the call; return whether it succeeded."""
        function, arguments = self._call.pop()
        try:
            self._value = function(*arguments)
        except BaseException as error:  # the consumer's to see, when its turn comes
            self._error = error
            return False
        finally:
            self._done.release()
        return True

    def fail(self, error: BaseException) -> None:
        """Do not make the call; let its outcome be `error`."""
        self._call.clear()
        self._error = error
        self._done.release()

    def result(self) -> Any:
        """Wait for the value, or raise what the call raised with the traceback it has."""
        with self._done:
            pass
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error  # its traceback holds this frame: leave no cycle
        return self._value


class Workers:
    """Threads that run jobs in the order they were submitted.

    Parameters
    ----------
    count : int
        How many threads; they start with the first job.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, job: Job) -> None:
        """Have a thread run `job` soon."""
        while len(self._threads) < self._count:
            name = f"minicnn-map-{len(self._threads)}"
            self._threads.append(start(name, self._work))
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._closed:
                job.fail(Cancelled())
            else:
                job.run()
            del job  # do not hold an element while waiting for the next

    def close(self) -> None:
        """End the threads; jobs that have not begun never do."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        join(self._threads)
