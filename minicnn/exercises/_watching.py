"""What exercises give to an answer in order to see how it works, not only what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["Number", "Run", "Watched", "disorder", "value_of"]

Run = Callable[[Callable[[int, int, int], None], list[tuple[int, int]]], None]


class Watched(np.ndarray[Any, Any]):
    """An array that counts how often somebody takes a part of it."""

    looks = 0

    def __getitem__(self, key: Any) -> Any:
        Watched.looks += 1
        return super().__getitem__(key)


class Number:
    """A number that counts products with others of its kind; those with constants are free."""

    products = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def _with(self, other: Any, value: float, is_product: bool = False) -> Number:
        """Return what was made of this and another, and count it if it is a product."""
        Number.products += is_product and isinstance(other, Number)
        return Number(value)

    def __add__(self, other: Any) -> Number:
        return self._with(other, self.value + value_of(other))

    def __sub__(self, other: Any) -> Number:
        return self._with(other, self.value - value_of(other))

    def __rsub__(self, other: Any) -> Number:
        return self._with(other, value_of(other) - self.value)

    def __mul__(self, other: Any) -> Number:
        return self._with(other, self.value * value_of(other), True)

    def __truediv__(self, other: Any) -> Number:
        return self._with(other, self.value / value_of(other), True)

    def __neg__(self) -> Number:
        return Number(-self.value)

    __radd__, __rmul__ = __add__, __mul__


def value_of(number: Any) -> float:
    """Return what a Number, or any other number, is worth."""
    return float(number.value if isinstance(number, Number) else number)


def disorder(seed: int, calls: list[int]) -> Run:
    """Return what runs pieces of work, in an order that a seed decides, and notes how many."""

    def run(work: Callable[[int, int, int], None], pieces: list[tuple[int, int]]) -> None:
        calls.append(len(pieces))
        for p in np.random.default_rng(seed).permutation(len(pieces)):
            work(int(p), *pieces[p])

    return run
