"""Stages that elements come from: arrays and generators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from minicnn.data._stage import (
    END,
    Cursor,
    Length,
    Order,
    Reading,
    Stage,
    State,
    positions,
    recall_count,
)
from minicnn.data._trees import Tree, gathers_like_stack, leaves, map_leaves, read_only
from minicnn.errors import CheckpointError, ConfigError, ShapeError


@dataclass(frozen=True)
class Slices(Stage):
    """The rows of arrays of one length."""

    arrays: Tree
    rows: int

    indexed = True
    inputs = ()

    @staticmethod
    def of(tree: Tree) -> Slices:
        """Check the arrays and keep read-only views, so that no map() can write into them."""
        arrays = map_leaves(lambda leaf: read_only(_as_array(leaf)), tree)
        lengths = map_leaves(lambda a: a.shape[0], arrays)
        distinct = set(leaves(lengths))
        if not distinct:
            raise ConfigError(f"from_slices: {tree!r} holds no array")
        if len(distinct) > 1:
            raise ShapeError(f"from_slices: arrays of different lengths {lengths}; cut them alike")
        return Slices(arrays, distinct.pop())

    @property
    def length(self) -> Length:
        return self.rows

    @property
    def label(self) -> str:
        return f"from_slices({self.rows})"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        return SlicesCursor(self, reading, positions(self) if order is None else order, state)


class SlicesCursor(Cursor):
    """State: how many elements of the order were delivered."""

    def __init__(self, stage: Slices, reading: Reading, order: Order, state: State | None) -> None:
        self._arrays, self._order, self._check = stage.arrays, order, reading.switch.check
        self._at = recall_count(state, "at", len(order))
        self._gathers = gathers_like_stack(stage.arrays)

    @property
    def gathers(self) -> bool:
        return self._gathers

    def pull(self) -> Tree:
        self._check()
        if self._at == len(self._order):
            return END
        i = self._order[self._at]
        self._at += 1
        return map_leaves(lambda array: array[i], self._arrays)

    def gather(self, count: int) -> tuple[int, Tree]:
        self._check()
        rows = self._order[self._at : self._at + count]
        self._at += len(rows)
        return len(rows), map_leaves(lambda array: array[rows], self._arrays)

    def state(self) -> State:
        return {"at": self._at}

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Generator(Stage):
    """What the iterator that a function returns delivers; a new one each epoch."""

    function: Callable[[], Iterable[Tree]]

    inputs = ()
    length = None
    label = "from_generator"

    def open(self, reading: Reading, order: Order | None, state: State | None) -> Cursor:
        return GeneratorCursor(self, reading, state)


class GeneratorCursor(Cursor):
    """State: how many elements were delivered; to go on there, as many are read and dropped."""

    def __init__(self, stage: Generator, reading: Reading, state: State | None) -> None:
        self._function, self._check = stage.function, reading.switch.check
        self._at = recall_count(state, "at")
        self._iterator: Iterator[Tree] | None = None
        self._ended = False

    def pull(self) -> Tree:
        if self._iterator is None:
            self._iterator = self._start()
            for read in range(self._at):
                self._check()
                if next(self._iterator, END) is END:
                    raise CheckpointError(
                        f"from_generator: the state stands after element {self._at}, but the "
                        f"function now delivers only {read}; it must deliver the same each time"
                    )
        self._check()
        element = END if self._ended else next(self._iterator, END)
        self._ended = element is END
        self._at += not self._ended
        return element

    def _start(self) -> Iterator[Tree]:
        iterable = self._function()
        try:
            return iter(iterable)
        except TypeError:
            raise ConfigError(
                f"from_generator: the function returned {iterable!r}; it must return an iterator"
            ) from None

    def state(self) -> State:
        return {"at": self._at}

    def close(self) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()


def _as_array(leaf: object) -> np.ndarray:
    try:
        array = np.asarray(leaf)
    except ValueError as error:
        raise ShapeError(
            "from_slices: a list whose rows have different shapes; use from_generator"
        ) from error
    if array.ndim == 0:
        raise ShapeError(f"from_slices: {leaf!r} has no rows; give an array or a list")
    return array
