"""Graphs to walk back through, and the ways of walking that go wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

__all__ = [
    "EndlessWalkError",
    "along_paths",
    "assigning",
    "by_recursion",
    "from_one",
    "graphs",
    "in_breadth",
    "oldest_first",
    "paths_by_recursion",
    "unequal",
    "walk_and_read",
]

Recipe = Sequence[Sequence[tuple[int, float]]]  # of each value: its parents, and a slope for each
Case = tuple[Recipe, int, float]  # which value is y, and dL/dy


class EndlessWalkError(RuntimeError):
    """The parents of the values of a graph were asked for far more often than needed."""


class Value:
    """A number that remembers its parents, and counts how often somebody asks for them."""

    def __init__(self, born: int, parents: Sequence[tuple[Value, float]], looks: list[int]) -> None:
        self.born, self.grad = born, 0.0
        self._looks = looks  # how many are left, of all values together
        self._parents = tuple((p, lambda g, slope=slope: g * slope) for p, slope in parents)

    @property
    def parents(self) -> tuple[tuple[Value, Callable[[float], float]], ...]:
        """Whom the number was made of, with what pulls a gradient back; each look is counted."""
        self._looks[0] -= 1
        if self._looks[0] < 0:
            raise EndlessWalkError("a value's parents are asked for again and again")
        return self._parents


def walk_and_read(answer: Callable[..., Any], recipe: Recipe, last: int, grad: float) -> Any:
    """Build a graph, let an answer walk back through it, and return the gradients it left."""
    looks = [50 * len(recipe) + 1000]
    values: list[Value] = []
    for born, parents in enumerate(recipe):
        values.append(Value(born, [(values[i], slope) for i, slope in parents], looks))
    answer(values[last], grad)
    return [value.grad for value in values]


def graphs(rng: np.random.Generator) -> Iterator[Case]:
    """Yield graphs small and tangled, one that punishes haste, a wide one, and a deep one."""
    for count in (5, 7, 8, 9, 12):
        recipe: list[list[tuple[int, float]]] = [[], []]
        for i in range(2, count + 2):
            parents = [i - 1, *rng.choice(i, size=2)]  # of a chain, with more besides
            recipe.append([(int(p), float(rng.uniform(0.5, 2))) for p in parents])
        yield recipe, count - 1, float(rng.uniform(1.5, 3))  # two are younger than y
    # value 1 is reached from the last one at once, and yet must wait for value 2
    yield [[], [(0, 2.0)], [(1, 3.0)], [(2, 1.5)], [(3, 1.0), (1, 0.5)]], 4, 2.0
    yield [[], *([(i, 0.5), (i, 0.25)] for i in range(40))], 40, 1.5
    yield [[], *([(i, 1.0)] for i in range(3000))], 3000, 0.5


def _youngest_first(y: Any) -> list[Any]:
    """Return y and all that it was made of, those born last first."""
    found, waiting = {y}, [y]
    while waiting:
        for parent, _ in waiting.pop().parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return sorted(found, key=lambda value: -value.born)


def _pass_on(y: Any, grad: float, order: Sequence[Any]) -> None:
    """Send each gradient on to the parents, in an order of the values."""
    y.grad = grad
    for value in order:
        for parent, pull_back in value.parents:
            parent.grad = parent.grad + pull_back(value.grad)


def from_one(y: Any, grad: float) -> None:
    """Begin with 1, whatever is given."""
    _pass_on(y, 1.0, _youngest_first(y))


def oldest_first(y: Any, grad: float) -> None:
    """Begin at the wrong end."""
    _pass_on(y, grad, _youngest_first(y)[::-1])


def assigning(y: Any, grad: float) -> None:
    """Keep the last share only."""
    y.grad = grad
    for value in _youngest_first(y):
        for parent, pull_back in value.parents:
            parent.grad = pull_back(value.grad)


def in_breadth(y: Any, grad: float) -> None:
    """Visit what is near first, complete or not."""
    order, waiting = [], deque([y])
    seen = {y}
    while waiting:
        order.append(waiting.popleft())
        for parent, _ in order[-1].parents:
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    _pass_on(y, grad, order)


def along_paths(y: Any, grad: float) -> None:
    """Carry each share to the end by itself: right, and endless."""
    waiting = [(y, grad)]
    while waiting:
        value, share = waiting.pop()
        value.grad = value.grad + share
        waiting += [(parent, pull_back(share)) for parent, pull_back in value.parents]


def paths_by_recursion(y: Any, grad: float) -> None:
    """Do the same by calling oneself."""
    y.grad = y.grad + grad
    for parent, pull_back in y.parents:
        paths_by_recursion(parent, pull_back(grad))


def by_recursion(y: Any, grad: float) -> None:
    """Sort by calling oneself: right, until a graph is deep."""
    order: list[Any] = []
    seen = set()

    def visit(value: Any) -> None:
        if value not in seen:
            seen.add(value)
            for parent, _ in value.parents:
                visit(parent)
            order.append(value)

    visit(y)
    _pass_on(y, grad, order[::-1])


def unequal(got: Sequence[float], expected: Sequence[float]) -> bool:
    """Tell whether any gradient is another."""
    return any(not np.isclose(a, b) for a, b in zip(got, expected, strict=True))
