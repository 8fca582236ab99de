"""Random pipelines, each with a plain-Python model of what it delivers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.backend.random import Stream
from minicnn.data import Dataset

# Elements are whole numbers below this; every stage keeps them so.
LIMIT = 10_007


class NothingToRepeatError(Exception):
    """The model's word for an epoch without elements."""


@dataclass(frozen=True)
class Node:
    """A stage of a pipeline: its name, its arguments, the stages before it."""

    op: str
    arguments: tuple[Any, ...] = ()
    inputs: tuple[Node, ...] = ()

    @property
    def indexed(self) -> bool:
        if self.op in ("repeat", "batch", "interleave", "generator"):
            return False
        if self.op == "shuffle" and self.arguments[1] is not None:
            return False
        return all(node.indexed for node in self.inputs)

    @property
    def number(self) -> int:
        draws = self.op in ("shuffle", "random_map")
        return draws + max((node.number for node in self.inputs), default=0)


def build(node: Node, workers: int) -> Dataset:
    """The pipeline; its maps have `workers` threads."""
    inputs = [build(n, workers) for n in node.inputs]
    first, arguments = (inputs or [None])[0], node.arguments
    if node.op == "slices":
        return Dataset.from_slices(list(range(*arguments)))
    if node.op == "generator":
        return Dataset.from_generator(lambda: iter(range(*arguments)))
    if node.op == "map":
        return first.map(lambda x: (x * 7 + 3) % LIMIT, workers=workers)
    if node.op == "random_map":
        return first.map(noisy, workers=workers, random=True, seed=arguments[0])
    if node.op == "batch":
        return first.batch(*arguments).map(lambda xs: digest(xs.tolist()))
    if node.op == "zip":
        return Dataset.zip(*inputs).map(lambda *xs: digest(xs), workers=workers)
    if node.op == "interleave":
        return first.interleave(lambda x: child(int(x), workers), *arguments)
    if node.op == "shuffle":
        seed, buffer = arguments
        return first.shuffle(seed=seed, buffer=buffer)
    return getattr(first, node.op)(*arguments)


def model(node: Node, key: tuple[int, ...] = (0,)) -> list[int]:
    """What the pipeline delivers, from the definition of each stage."""
    arguments = node.arguments
    if node.op in ("slices", "generator"):
        return list(range(*arguments))
    if node.op == "repeat":
        return repeated(node, key)
    if node.op == "cache":
        return model(node.inputs[0], (0,))
    inputs = [model(n, key) for n in node.inputs]
    xs = inputs[0]
    if node.op == "map":
        return [(x * 7 + 3) % LIMIT for x in xs]
    if node.op == "random_map":
        streams = (Stream(arguments[0], "map", node.number, *key, i) for i in itertools.count())
        return [noisy(x, stream) for x, stream in zip(xs, streams, strict=False)]
    if node.op == "shuffle":
        return shuffled(node, xs, key)
    if node.op == "take":
        return xs[: arguments[0]]
    if node.op == "skip":
        return xs[arguments[0] :]
    if node.op == "batch":
        size, drop = arguments
        batches = [xs[i : i + size] for i in range(0, len(xs), size)]
        return [digest(batch) for batch in batches if len(batch) == size or not drop]
    if node.op == "zip":
        return [digest(row) for row in zip(*inputs, strict=False)]
    if node.op == "interleave":
        return interleaved(xs, *arguments, key)
    assert node.op == "prefetch"
    return xs


def digest(xs):
    """One number for several; it depends on their order and count."""
    return sum((i + 2) * int(x) + 1 for i, x in enumerate(xs)) % LIMIT


def noisy(x, stream):
    return (int(x) + stream.integers(0, LIMIT)) % LIMIT


def child(x: int, workers: int) -> Dataset:
    """The dataset that an interleave makes of an element."""
    rows = Dataset.from_slices([x + i for i in range(x % 4)])
    return rows.shuffle(seed=5).map(noisy, workers=workers, random=True, seed=5)


def child_model(x: int, key: tuple[int, ...]) -> list[int]:
    order = Stream(5, "shuffle", 1, *key).permutation(x % 4)
    return [noisy(x + row, Stream(5, "map", 2, *key, i)) for i, row in enumerate(order)]


def repeated(node: Node, key: tuple[int, ...]) -> list[int]:
    *outer, epoch = key
    found = []
    for i in range(node.arguments[0]):
        once = model(node.inputs[0], (*outer, epoch * node.arguments[0] + i))
        if not once:
            raise NothingToRepeatError
        found += once
    return found


def shuffled(node: Node, xs: list[int], key: tuple[int, ...]) -> list[int]:
    seed, size = node.arguments
    stream = Stream(seed, "shuffle", node.number, *key)
    if node.indexed:
        return [xs[i] for i in stream.permutation(len(xs))]
    draws = np.concatenate([stream.child(b).uniform(1024) for b in range(len(xs) // 1024 + 1)])
    waiting, held, out = list(xs), [], []
    while waiting or held:
        while waiting and len(held) < (size or 1024):
            held.append(waiting.pop(0))
        slot = int(draws[len(out)] * len(held))
        held[slot], held[-1] = held[-1], held[slot]
        out.append(held.pop())
    return out


def interleaved(xs: list[int], cycle: int, block: int, key: tuple[int, ...]) -> list[int]:
    waiting = [child_model(x, (*key, i, 0)) for i, x in enumerate(xs)]
    slots: list[list[int] | None] = [None] * cycle
    out = []
    turn = 0
    while waiting or slots != [None] * cycle:
        if slots[turn] is None and waiting:
            slots[turn] = waiting.pop(0)
        if slots[turn] is not None:
            out += slots[turn][:block]
            ended = len(slots[turn]) < block
            slots[turn] = None if ended else slots[turn][block:]
        turn = (turn + 1) % cycle
    return out


@st.composite
def pipelines(draw, stages: int = 6) -> Node:
    """A source and up to `stages` stages after it, with a few dozen elements."""
    node = Node(
        draw(st.sampled_from(["slices", "slices", "generator"])), (draw(st.integers(1, 9)),)
    )
    for _ in range(draw(st.integers(0, stages))):
        node = draw(_following(node, stages))
    return node


def _following(node: Node, stages: int) -> st.SearchStrategy[Node]:
    small = st.integers(1, 5)
    seeds = st.integers(0, 3)
    others = [
        ("map", st.tuples()),
        ("random_map", st.tuples(seeds)),
        ("shuffle", st.tuples(seeds, st.none() | small)),
        ("shuffle", st.tuples(seeds, st.none() | small)),
        ("repeat", st.tuples(st.integers(1, 3))),
        ("batch", st.tuples(small, st.booleans())),
        ("prefetch", st.tuples(small)),
        ("take", st.tuples(st.integers(0, 20))),
        ("skip", st.tuples(st.integers(0, 4))),
        ("interleave", st.tuples(st.integers(1, 3), st.integers(1, 3))),
        ("cache", st.tuples()),
    ]
    one = st.sampled_from(others).flatmap(
        lambda choice: choice[1].map(lambda arguments: Node(choice[0], arguments, (node,)))
    )
    if stages < 3:
        return one
    return one | pipelines(stages=2).map(lambda other: Node("zip", (), (node, other)))
