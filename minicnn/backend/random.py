"""Random numbers that depend on nothing but what they are for.

A `Stream` is named by a seed and a key: ``Stream(seed, "shuffle", epoch)``.  Its
numbers come from a counter, not from a state that others could advance, so they
are the same in any order, on any number of threads, before and after a resume.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minicnn.backend import kernels_for
from minicnn.errors import ConfigError
from minicnn.kernels import capturing

Shape = int | tuple[int, ...]
_NOTHING = np.empty(0)  # stands for "the CPU" where a kernel is chosen by array


class Stream:
    """A reproducible sequence of random numbers, named by a seed and a key.

    Parameters
    ----------
    seed : int
        The seed of the whole run; any integer.
    *key : int or str
        What the numbers are for. Different keys give independent streams.

    Attributes
    ----------
    position : int
        How many blocks of four 32-bit words were drawn; set it to jump.

    References
    ----------
    Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011 (Philox4x32-10).

    Examples
    --------
    >>> Stream(0, "example").integers(0, 10, shape=3).tolist()
    [9, 7, 7]
    """

    __slots__ = ("_name", "_philox_key", "_philox_stream", "_renew", "position")

    def __init__(self, seed: int, *key: int | str) -> None:
        for part in (seed, *key):
            if not isinstance(part, int | str | np.integer):
                raise ConfigError(f"Stream: seed and key are ints and strings, got {part!r}")
        self._name = tuple(p if isinstance(p, str) else int(p) for p in (seed, *key))
        digest = hashlib.blake2b(repr(self._name).encode(), digest_size=16).digest()
        self._philox_key = int.from_bytes(digest[:8], "little")
        self._philox_stream = int.from_bytes(digest[8:], "little")
        self._renew: Callable[[], Stream] | None = None
        self.position = 0

    def __repr__(self) -> str:
        return f"Stream({', '.join(map(repr, self._name))}) at {self.position}"

    def child(self, *key: int | str) -> Stream:
        """Return the stream of this name with `key` appended; this one does not advance."""
        return Stream(*self._name, *key)  # type: ignore[arg-type]

    def renewed_by(self, renew: Callable[[], Stream]) -> Self:
        """Say which stream stands for this one when a captured step is replayed.

        Parameters
        ----------
        renew : callable
            Returns the stream of the step that is being done.

        Returns
        -------
        Stream
            Itself.
        """
        self._renew = renew
        return self

    def take(self, count: int) -> Any:
        """Skip the next `count` words of 32 bits, for a kernel that makes them itself.

        Parameters
        ----------
        count : int
            How many; whole blocks of four are skipped.

        Returns
        -------
        (int, int, int)
            The key and the stream of Philox, and the first block. While a step is captured it is
            what lets each replay find its own.

        Raises
        ------
        CannotCaptureError
            While a step is captured, if no one said which stream will stand for this one.
        """
        first, renew = self.position, self._renew
        self.position += -(-count // 4)
        if renew is None:
            capturing.refuse(
                f"{self!r} would give the same numbers in every replay; let layers draw, inside "
                "random_key"
            )

        def place() -> tuple[int, int, int]:
            stream = self if renew is None else renew()
            return stream._philox_key, stream._philox_stream, first

        return capturing.later(place, f"the place of {self!r}")

    def uniform(
        self,
        shape: Shape = (),
        low: float = 0.0,
        high: float = 1.0,
        dtype: npt.DTypeLike = np.float64,
    ) -> Any:
        """Draw numbers evenly from [low, high).

        Parameters
        ----------
        shape : int or tuple of int, default ()
            The shape of the result; () for a single number.
        low, high : float
            The bounds.
        dtype : dtype, default float64
            float64 (53 random bits each) or float32 (24 random bits each).

        Returns
        -------
        ndarray or float
            The numbers.
        """
        shape = _as_shape(shape)
        if np.dtype(dtype) == np.float32:
            count = int(np.prod(shape))
            bits = (self._words(count) >> np.uint32(8)).astype(np.float32)  # exact: 24 bits
            numbers = bits * np.float32(2**-24) * np.float32(high - low) + np.float32(low)
        else:
            numbers = self._bits53(shape) * 2.0**-53
            numbers = (numbers * (high - low) + low).astype(dtype, copy=False)
        if high > low:  # the largest ones may have been rounded up to `high`
            kind = numbers.dtype.type
            numbers = np.minimum(numbers, np.nextafter(kind(high), kind(low)))
        return _shaped(numbers, shape)

    def normal(
        self,
        shape: Shape = (),
        mean: float = 0.0,
        std: float = 1.0,
        dtype: npt.DTypeLike = np.float64,
    ) -> Any:
        """Draw numbers from a normal distribution, by Box and Muller's transform.

        Parameters
        ----------
        shape : int or tuple of int, default ()
            The shape of the result; () for a single number.
        mean, std : float
            The mean and the standard deviation.
        dtype : dtype, default float64
            The type of the result; the numbers are computed in float64.

        Returns
        -------
        ndarray or float
            The numbers.
        """
        shape = _as_shape(shape)
        pairs = -(-int(np.prod(shape)) // 2)
        u = 1.0 - self._bits53((2, pairs)) * 2.0**-53  # in (0, 1]: the logarithm is finite
        radius = np.sqrt(-2.0 * np.log(u[0]))
        angle = 2.0 * np.pi * u[1]
        numbers = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
        numbers = numbers[: int(np.prod(shape))] * std + mean
        return _shaped(numbers.astype(dtype, copy=False), shape)

    def integers(self, low: int, high: int, shape: Shape = ()) -> Any:
        """Draw whole numbers evenly from ``low, ..., high - 1``.

        Parameters
        ----------
        low, high : int
            The first number, and the first number that is not drawn any more.
        shape : int or tuple of int, default ()
            The shape of the result; () for a single number.

        Returns
        -------
        ndarray of int64, or int
            The numbers; with ``high - low`` of n, some are likelier by n * 2**-53 at most.

        Raises
        ------
        ConfigError
            If there is nothing to draw from.
        """
        if not low < high <= low + 2**53:
            raise ConfigError(f"integers: needs low < high <= low + 2**53, got {low} and {high}")
        shape = _as_shape(shape)
        numbers = np.floor(self._bits53(shape) * 2.0**-53 * (high - low)).astype(np.int64) + low
        return _shaped(numbers, shape)

    def bytes(self, shape: Shape = ()) -> Any:
        """Draw whole numbers from 0 to 255, four from each word: the cheapest numbers there are.

        Parameters
        ----------
        shape : int or tuple of int, default ()
            The shape of the result; () for a single number.

        Returns
        -------
        ndarray of uint8, or int
            The numbers.
        """
        shape = _as_shape(shape)
        count = int(np.prod(shape))
        words = self._words(-(-count // 4)).astype("<u4", copy=False)
        return _shaped(words.view(np.uint8)[:count], shape)

    def bernoulli(self, p: float, shape: Shape = ()) -> Any:
        """Draw True with probability `p`, else False.

        Parameters
        ----------
        p : float
            The probability of True, from 0 to 1.
        shape : int or tuple of int, default ()
            The shape of the result; () for a single one.

        Returns
        -------
        ndarray of bool, or bool
            The draws.
        """
        return self.uniform(shape, dtype=np.float32) < p

    def permutation(self, n: int) -> np.ndarray:
        """Return ``0, ..., n - 1`` in random order.

        Parameters
        ----------
        n : int
            How many.

        Returns
        -------
        ndarray of int64, shape (n,)
            Every order is equally likely (up to ties among n 53-bit numbers).
        """
        return np.argsort(self._bits53((n,)), kind="stable")

    def _bits53(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return whole numbers below 2**53, as float64."""
        words = self._words(2 * int(np.prod(shape))).astype(np.uint64).reshape(-1, 2)
        return (
            ((words[:, 0] << np.uint64(21)) ^ (words[:, 1] >> np.uint64(11)))
            .astype(np.float64)
            .reshape(shape)
        )

    def _words(self, count: int) -> np.ndarray:
        """Return the next `count` random 32-bit words; whole blocks of four are drawn."""
        capturing.refuse(f"{self!r} is drawn from on the host, which is not done again")
        blocks = -(-count // 4)
        k = kernels_for(_NOTHING)
        words = k.philox_words(self._philox_key, self._philox_stream, self.position, blocks)
        self.position += blocks
        return words.ravel()[:count]


def _as_shape(shape: Shape) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)


def _shaped(numbers: np.ndarray, shape: tuple[int, ...]) -> Any:
    return numbers.reshape(shape)[()]
