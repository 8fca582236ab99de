"""A pipeline of elements in the manner of tf.data: described first, run when iterated.

    Dataset.from_slices((images, labels)).shuffle(seed=0).repeat().batch(128).prefetch(2)

An element is an array or a scalar, or a tuple or dict of elements.  What each step does
is in the modules beside this one; ``_stage.py`` explains how they work together, and how an
iterator stops and goes on exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minicnn.data._ahead import Map, Prefetch
from minicnn.data._flow import Batch, Repeat, Skip, Take
from minicnn.data._iterator import DatasetIterator
from minicnn.data._memory import Cache, Memory
from minicnn.data._mixing import Interleave, Shuffle, Zip
from minicnn.data._sources import Generator, Slices
from minicnn.data._stage import Stage
from minicnn.data._trees import Tree
from minicnn.errors import ConfigError

_DEFAULT_BUFFER = 1024  # elements a shuffle holds if it cannot reach all of them


class UnknownLengthError(ConfigError, TypeError):
    """The dataset has no length; a TypeError too, so that ``list(dataset)`` still works."""


class Dataset:
    """A sequence of elements, described by how to produce it.

    Start with `from_slices`, `from_generator` or `zip`; every other method returns a new
    dataset and leaves this one as it is. Iterating runs it: each ``iter(dataset)`` starts
    from the beginning, with threads of its own, and delivers the same elements.

    Examples
    --------
    >>> dataset = Dataset.from_slices([1, 2, 3, 4, 5]).map(lambda x: 10 * x).batch(2)
    >>> dataset
    Dataset: from_slices(5) -> map() -> batch(2)
    >>> [batch.tolist() for batch in dataset]
    [[10, 20], [30, 40], [50]]
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @staticmethod
    def from_slices(arrays: Tree) -> Dataset:
        """Make one element of each row of an array, or of several arrays at once.

        Parameters
        ----------
        arrays : array or list, or tuple or dict of them, each of shape (N, ...)
            The rows. Elements are read-only views of them.

        Returns
        -------
        Dataset
            N elements of the structure of `arrays`.

        Raises
        ------
        ShapeError
            If the arrays differ in length, or one has no rows.

        Examples
        --------
        >>> next(iter(Dataset.from_slices({"pixels": np.zeros((2, 3)), "label": [7, 8]})))
        {'pixels': array([0., 0., 0.]), 'label': np.int64(7)}
        """
        return Dataset(Slices.of(arrays))

    @staticmethod
    def from_generator(function: Callable[[], Iterable[Tree]]) -> Dataset:
        """Take elements from the iterator that a function returns.

        Parameters
        ----------
        function : callable
            Called without arguments at the start of every epoch, for example a generator
            function. To resume in the middle, it is called again and what was delivered
            is dropped: it must deliver the same each time.

        Returns
        -------
        Dataset
            The elements; its length is unknown.
        """
        if not callable(function):
            raise ConfigError(
                f"from_generator: got {function!r}, which can be read once at most; "
                "give the function that makes it"
            )
        return Dataset(Generator(function))

    @staticmethod
    def zip(*datasets: Dataset) -> Dataset:
        """Join datasets element by element into tuples, until the shortest ends.

        Parameters
        ----------
        *datasets : Dataset
            One for each part of the tuples.

        Returns
        -------
        Dataset
            The tuples.
        """
        for dataset in datasets:
            if not isinstance(dataset, Dataset):
                raise ConfigError(f"zip: {dataset!r} is not a Dataset")
        if not datasets:
            raise ConfigError("zip: nothing to join; give at least one Dataset")
        return Dataset(Zip(tuple(dataset._stage for dataset in datasets)))

    def map(
        self, function: Callable[..., Tree], workers: int = 0, random: bool = False, seed: int = 0
    ) -> Dataset:
        """Replace each element by what a function makes of it.

        Parameters
        ----------
        function : callable
            Called with the element; if that is a plain tuple, with its parts as arguments.
        workers : int, default 0
            Threads that call `function` ahead of time. Results keep their order. With 0, it is
            called when an element is asked for. Threads help where the time goes into NumPy,
            Pillow, compiled kernels or files, which let other threads run.
        random : bool, default False
            Whether `function` takes one more argument, a `minicnn.backend.random.Stream`. Its
            numbers depend on the seed, the stage, the epoch and the element's position,
            and on nothing else: any number of workers gives the same elements.
        seed : int, default 0
            The seed of those streams.

        Returns
        -------
        Dataset
            As many elements.

        Examples
        --------
        >>> noisy = Dataset.from_slices(np.zeros(1000)).map(
        ...     lambda x, stream: x + stream.normal(), workers=2, random=True, seed=1)
        """
        _check_callable("map", function)
        workers = _whole("map", "workers", workers)
        seed = _whole("map", "seed", seed, -math.inf)
        return Dataset(Map(self._stage, function, workers, seed if random else None))

    def shuffle(self, *, seed: int = 0, buffer: int | None = None) -> Dataset:
        """Put the elements into random order, another one in each epoch of a later `repeat`.

        Parameters
        ----------
        seed : int, default 0
            The same seed gives the same orders.
        buffer : int, optional
            Draw from this many elements at a time, in memory. By default, where elements can
            be reached by number (`from_slices`, then any of `map`, `take`, `skip`, `shuffle`,
            `cache`, `prefetch`, and `zip` of such), every order is equally likely and nothing is
            held in memory; after other stages the buffer has 1024 elements.

        Returns
        -------
        Dataset
            As many elements.
        """
        seed = _whole("shuffle", "seed", seed, -math.inf)
        if buffer is not None:
            buffer = _whole("shuffle", "buffer", buffer, 1)
        elif not self._stage.indexed:
            buffer = _DEFAULT_BUFFER
        return Dataset(Shuffle(self._stage, seed, buffer))

    def repeat(self, count: int | None = None) -> Dataset:
        """Go through the elements several times, each time as a new epoch.

        Parameters
        ----------
        count : int, optional
            How many times; without end by default.

        Returns
        -------
        Dataset
            The epochs one after another.

        Raises
        ------
        ConfigError
            If there is no element: at once, or when an epoch turns out to be empty.
        """
        if count is not None:
            count = _whole("repeat", "count", count, 1)
        if self._stage.length == 0:
            raise ConfigError(f"repeat: there is nothing to repeat, {self!r} is empty")
        return Dataset(Repeat(self._stage, count))

    def batch(self, size: int, drop_remainder: bool = False) -> Dataset:
        """Stack elements, leaf by leaf, along a new first axis.

        Parameters
        ----------
        size : int
            Elements in a batch, N.
        drop_remainder : bool, default False
            Whether to leave out the last batch if it has fewer.

        Returns
        -------
        Dataset
            Elements of the same structure with leaves of shape (N, ...).

        Raises
        ------
        ShapeError
            When the elements of a batch differ in shape or structure.
        """
        return Dataset(Batch(self._stage, _whole("batch", "size", size, 1), bool(drop_remainder)))

    def prefetch(self, count: int) -> Dataset:
        """Have a thread produce elements while the consumer is busy with others.

        Parameters
        ----------
        count : int
            How many elements to be ahead; 0 for no thread. As the last step, 2 lets the
            pipeline work while the network trains.

        Returns
        -------
        Dataset
            The same elements.
        """
        count = _whole("prefetch", "count", count)
        return Dataset(Prefetch(self._stage, count)) if count else self

    def take(self, count: int) -> Dataset:
        """Keep the first elements only.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        Dataset
            `count` elements, or all if there are fewer.
        """
        return Dataset(Take(self._stage, _whole("take", "count", count)))

    def skip(self, count: int) -> Dataset:
        """Leave out the first elements.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        Dataset
            The elements after them.
        """
        return Dataset(Skip(self._stage, _whole("skip", "count", count)))

    def interleave(
        self, function: Callable[..., Dataset], cycle: int = 1, block: int = 1
    ) -> Dataset:
        """Make a dataset of each element, and read several of those by turns.

        Parameters
        ----------
        function : callable
            Called with an element, like that of `map`; returns a `Dataset`.
        cycle : int, default 1
            How many datasets to read by turns. One that ends makes room for the next.
        block : int, default 1
            How many elements to take from one before it is the next one's turn.

        Returns
        -------
        Dataset
            The elements of all of them; its length is unknown.

        Examples
        --------
        >>> dataset = Dataset.from_slices([10, 20, 30]).interleave(
        ...     lambda n: Dataset.from_slices([n, n + 1, n + 2]), cycle=2)
        >>> [int(n) for n in dataset]
        [10, 20, 11, 21, 12, 22, 30, 31, 32]
        """
        _check_callable("interleave", function)

        def stage_of(*element: Tree) -> Stage:
            dataset = function(*element)
            if not isinstance(dataset, Dataset):
                raise ConfigError(
                    f"interleave: the function returned {dataset!r}; it must return a Dataset"
                )
            return dataset._stage

        cycle = _whole("interleave", "cycle", cycle, 1)
        block = _whole("interleave", "block", block, 1)
        return Dataset(Interleave(self._stage, stage_of, cycle, block))

    def cache(self) -> Dataset:
        """Keep the elements in memory, so that each is produced once.

        All iterators over this dataset share the memory. A random `map` or `shuffle` before
        the cache is drawn once, as in epoch 0; after it, in every epoch.

        Returns
        -------
        Dataset
            The same elements; arrays are read-only.
        """
        length = self._stage.length
        if length == math.inf:
            raise ConfigError(f"cache: {self!r} is endless; put cache() before repeat()")
        memory = Memory(int(length or 0) if self._stage.indexed else 0)
        return Dataset(Cache(self._stage, memory))

    def __iter__(self) -> DatasetIterator:
        return DatasetIterator(self._stage)

    def __len__(self) -> int:
        length = self._stage.length
        if length is None:
            raise UnknownLengthError(f"len: {self!r} has no known length; count as you iterate")
        if length == math.inf:
            raise UnknownLengthError(f"len: {self!r} is endless; add take(n) to make it finite")
        return int(length)

    def __bool__(self) -> bool:
        return True  # not len(self) > 0: `if dataset:` must not raise for want of a length

    def __repr__(self) -> str:
        return f"Dataset: {' -> '.join(self._stage.labels)}"


def _whole(stage: str, name: str, value: Any, minimum: float = 0) -> int:
    """Return `value` if it is a whole number of at least `minimum`, as an int."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        bound = "" if minimum == -math.inf else f" of at least {minimum}"
        raise ConfigError(f"{stage}: {name} is {value!r}; give a whole number{bound}")
    return int(value)


def _check_callable(stage: str, function: Any) -> None:
    if not callable(function):
        raise ConfigError(f"{stage}: {function!r} is not a function")
