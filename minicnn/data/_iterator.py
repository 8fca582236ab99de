"""The iterator over a dataset, which can say where it stands and go on from there."""

from __future__ import annotations

import copy
import weakref
from types import TracebackType
from typing import Any

from minicnn.data._stage import END, Cancelled, Cursor, Reading, Stage, State, Switch, recall
from minicnn.data._trees import Tree
from minicnn.errors import CheckpointError

_VERSION = 1


class DatasetIterator:
    """One walk through a dataset; ``iter(dataset)`` makes it.

    It ends its threads and generators when it is exhausted, when a function of the
    pipeline raises, when it is closed or garbage collected, and when Python exits. It
    may be used as a context manager, which closes it, and by one thread at a time.

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
        self._last: State | None = None  # where a closed iterator stood
        # Not a __del__: this also runs when Python exits, and cannot see this iterator.
        self._shut_down = weakref.finalize(self, _shut_down, switch, self._cursor)

    def __iter__(self) -> DatasetIterator:
        return self

    def __next__(self) -> Tree:
        if self._last is not None:
            raise StopIteration
        before = self._cursor.state()
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
        if element is END:
            self.close()
            raise StopIteration
        return element

    def state_dict(self) -> dict[str, Any]:
        """Return where this iterator stands.

        Returns
        -------
        dict
            Numbers, strings, lists and dicts that JSON can hold. It does not depend on
            the number of threads, nor on what they have read ahead. An iterator that is
            closed, or that raised, still has the state after its last element.
        """
        state = self._cursor.state() if self._last is None else self._last
        return {
            "version": _VERSION,
            "pipeline": self._stage.labels,
            "state": copy.deepcopy(state),
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
        shut_down()

    def close(self) -> None:
        """End threads and generators; there are no more elements after this."""
        if self._last is None:
            self._close(self._cursor.state())

    def _close(self, last: State) -> None:
        self._last = last
        self._shut_down()

    def __enter__(self) -> DatasetIterator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _shut_down(switch: Switch, cursor: Cursor) -> None:
    switch.turn_off()
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
