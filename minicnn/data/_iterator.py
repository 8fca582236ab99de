"""The iterator over a dataset, which can say where it stands and go on from there."""

from __future__ import annotations

import contextlib
import copy
import os
import weakref
from types import TracebackType
from typing import Any

from minicnn.data import _threads
from minicnn.data._stage import END, Cancelled, Cursor, Reading, Stage, State, Switch, recall
from minicnn.data._trees import Tree
from minicnn.errors import CheckpointError

_VERSION = 1


class DatasetIterator:
    """One walk through a dataset; ``iter(dataset)`` makes it.

    It ends its threads and generators when it is exhausted, when a function of the
    pipeline raises, when it is closed or garbage collected, and when Python exits. It
    may be used as a context manager, which closes it, and by one thread at a time.  A forked
    child process has a copy, with threads of its own, that goes on where this one stood.

    Examples
    --------
    >>> from minicnn.data import Dataset
    >>> dataset = Dataset.from_slices([10, 11, 12]).repeat()
    >>> iterator = iter(dataset)
    >>> next(iterator), next(iterator)
    (np.int64(10), np.int64(11))
    >>> resumed = iter(dataset)
    >>> resumed.load_state_dict(iterator.state_dict())
    >>> next(resumed), next(iterator)
    (np.int64(12), np.int64(12))
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._start(None)

    def _start(self, state: State | None) -> None:
        switch = Switch()
        self._cursor = self._stage.open(Reading((0,), switch), None, state)
        self._switch = switch
        self._last: State | None = None  # where a closed iterator stood
        self._pulling: State | None = None  # where it stood, while somebody waits for an element
        self._process = os.getpid()
        # Not a __del__: this also runs when Python exits, and cannot see this iterator.
        self._shut_down = weakref.finalize(self, _abandon, switch, self._cursor)

    def __iter__(self) -> DatasetIterator:
        return self

    def __next__(self) -> Tree:
        if self._last is not None:
            raise StopIteration
        if self._switch.has_threads and self._process != os.getpid():
            self._go_on_in_child()
        before = self._pulling = self._cursor.state()
        try:
            element = self._cursor.pull()
        except BaseException as error:
            # The state is the one before this element, whatever was half done: after
            # Ctrl-C a checkpoint still says exactly what was delivered.
            self._close(before)
            if isinstance(error, Cancelled):  # another thread closed this iterator
                raise StopIteration from None
            if isinstance(error, StopIteration):  # would look like the end of the dataset
                raise RuntimeError("a function of the pipeline raised StopIteration") from error
            raise
        self._pulling = None
        if element is END:
            self.close()
            raise StopIteration
        return element

    def _go_on_in_child(self) -> None:
        """Start threads, where a fork has left them in the parent process."""
        self._shut_down.detach()
        self._start(self._standing())

    def _standing(self) -> State:
        if self._last is not None:
            return self._last
        if self._pulling is not None and self._process != os.getpid():
            return self._pulling  # another thread of the parent process was at it
        return self._cursor.state()

    def state_dict(self) -> dict[str, Any]:
        """Return where this iterator stands.

        Returns
        -------
        dict
            Numbers, strings, lists and dicts that JSON can hold. It does not depend on
            the number of threads, nor on what they have read ahead. An iterator that is
            closed, or that raised, still has the state after its last element.
        """
        return {
            "version": _VERSION,
            "pipeline": self._stage.labels,
            "state": copy.deepcopy(self._standing()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another iterator, or this one, stood.

        The next elements are those which that iterator would have delivered next, if
        the pipeline's functions return the same for the same arguments. A generator, a
        cache that is not filled yet and a shuffle with a buffer read up to that place
        again, at the next element.

        Parameters
        ----------
        state : dict
            What `state_dict` returned, for an iterator over the same pipeline; only
            `workers` and `prefetch` may differ.

        Raises
        ------
        CheckpointError
            If the state is of another pipeline or broken; this iterator is then as before.
        """
        version = recall(state, "version", None)
        if version != _VERSION:
            raise CheckpointError(
                f"load_state_dict: the state has version {version!r}, this minicnn reads {_VERSION}"
            )
        _check_pipeline(recall(state, "pipeline", None), self._stage.labels)
        shut_down = self._shut_down
        try:
            self._start(copy.deepcopy(recall(state, "state", None)))
        except (TypeError, ValueError, AttributeError) as error:  # no user's code runs in open()
            raise CheckpointError(f"load_state_dict: the state is broken: {error}") from error
        _call(shut_down)

    def close(self) -> None:
        """End threads and generators; there are no more elements after this."""
        if self._last is None:
            self._close(self._standing())

    def _close(self, last: State) -> None:
        self._last, self._pulling = last, None
        _call(self._shut_down)

    def __enter__(self) -> DatasetIterator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _call(shut_down: weakref.finalize[Any, Any]) -> None:
    """End threads and generators, if that is not done yet, and wait for them."""
    if (found := shut_down.detach()) is not None:
        switch, cursor = found[2]
        switch.turn_off()
        cursor.close()


def _abandon(switch: Switch, cursor: Cursor) -> None:
    """End threads and generators of an iterator that is garbage, or when Python exits.

    Garbage is collected in any thread, also in one that would be waited for; and while it waits,
    no other garbage is collected.
    """
    switch.turn_off()
    if _threads.is_ours():
        with contextlib.suppress(RuntimeError):  # Python exits: no thread starts, and all end
            _threads.start("minicnn-closing", cursor.close)
    else:
        cursor.close()


def _check_pipeline(theirs: Any, ours: list[str]) -> None:
    if theirs == ours:
        return
    if isinstance(theirs, list) and len(theirs) == len(ours):
        i = next(i for i, (a, b) in enumerate(zip(theirs, ours, strict=True)) if a != b)
        difference = f"stage {i} was {theirs[i]}, here it is {ours[i]}"
    else:
        shown = " -> ".join(map(str, theirs)) if isinstance(theirs, list) else repr(theirs)
        difference = f"it was {shown}, here it is {' -> '.join(ours)}"
    raise CheckpointError(
        f"load_state_dict: the state is of another pipeline: {difference}; "
        "build the pipeline that the state was saved from"
    )
