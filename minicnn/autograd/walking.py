"""Backward, one step at a time: the tape as something to look at."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.autograd.tensor import Tensor, _walk_back, recording
from minicnn.backend import Array

__all__ = ["Step", "arrays_held_by", "tape_of", "walk_back"]


@dataclass(frozen=True, eq=False)
class Step:
    """One tensor on the tape, at the moment when its gradient is complete.

    Attributes
    ----------
    number : int
        From 0.
    op : str
        The op that made the tensor; "" for a leaf. One that is written with other ops appears as
        those.
    tensor : Tensor
        The value.
    gradient : Tensor
        dL/d(the tensor), of its shape.
    parents : tuple of Tensor
        Which tensors get a share of the gradient next; none for a leaf.
    pull_backs : tuple of callable
        The closures that will be called for it, one for each parent.
    bytes_held : int
        What the tape from here on keeps alive, before this step lets its share go: the tensors
        on it and what their closures saved, each buffer once, gradients not counted.
    """

    number: int
    op: str
    tensor: Tensor
    gradient: Tensor
    parents: tuple[Tensor, ...]
    pull_backs: tuple[Callable[..., Tensor], ...]
    bytes_held: int

    @property
    def closures(self) -> tuple[str, ...]:
        """The names of the pull-backs, such as ``"grad_x"``."""
        return tuple(p.__name__.replace("<lambda>", "lambda") for p in self.pull_backs)

    def __str__(self) -> str:
        g = self.gradient.data
        largest = float(abs(g).max()) if g.size else 0.0
        kind = self.op or getattr(self.tensor, "name", "") or "leaf"
        calls = " -> " + ", ".join(self.closures) if self.closures else ""
        return (
            f"{self.number:3}  {kind:20} {self.tensor.shape!s:18} |gradient| <= {largest:.3g}  "
            f"{self.bytes_held:,} bytes held{calls}"
        )


def walk_back(
    y: Tensor, grad: Any = None, *, retain_graph: bool = False, create_graph: bool = False
) -> Iterator[Step]:
    """Walk the tape as `Tensor.backward` does, and stop at every tensor to show it.

    It is the same walk, so the gradients are the same bits; but nothing is stored in ``.grad``.
    Nothing happens until the first step is asked for, and a step's closures are called when the
    next one is; so a walk may end anywhere, and what it did not reach is not freed.

    Parameters
    ----------
    y : Tensor
        What to differentiate.
    grad : Tensor or ndarray, optional
        dL/dy, of y's shape; by default 1, for a scalar y.
    retain_graph : bool, default False
        Whether to keep the saved values, so that the graph can be walked again.
    create_graph : bool, default False
        Whether to record the walk, so that the gradients can be differentiated.

    Yields
    ------
    Step
        The youngest tensor first, each after all that used it.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor
    >>> from minicnn.autograd import walk_back
    >>> x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    >>> [step.op or "leaf" for step in walk_back((x * x).exp().sum())]
    ['sum', 'exp', 'multiply', 'leaf']
    """
    walk = _walk_back(y, grad, free=not (retain_graph or create_graph))
    kept = {id(t): buffers_of(_kept_by(t)) for t in tape_of(y)}
    holders = Counter(key for buffers in kept.values() for key in buffers)
    held = sum({key: size for buffers in kept.values() for key, size in buffers.items()}.values())
    number = 0
    while True:
        with recording(create_graph):  # not around the yield: it would hold for the caller too
            item = next(walk, None)
        if item is None:
            return
        t, g = item
        parents = tuple(p for p, _ in t._parents)
        pull_backs = tuple(f for _, f in t._parents)
        yield Step(number, op_of(t), t, g, parents, pull_backs, held)
        number += 1
        for key, size in kept.pop(id(t)).items():
            holders[key] -= 1
            held -= 0 if holders[key] else size


def tape_of(*ys: Tensor) -> list[Tensor]:
    """Return every tensor on the tape, each once, the youngest first.

    Parameters
    ----------
    *ys : Tensor
        Where the tape begins.

    Returns
    -------
    list of Tensor
        Those through which gradients flow; empty if none does.
    """
    waiting = [y for y in ys if y.requires_grad]
    found = {id(y): y for y in waiting}
    while waiting:
        for parent, _ in waiting.pop()._parents:
            if id(parent) not in found:
                found[id(parent)] = parent
                waiting.append(parent)
    return sorted(found.values(), key=lambda t: -t._born)


def arrays_held_by(thing: Any) -> Iterator[Array]:
    """Yield the arrays that a closure, or a tree of tensors, keeps alive.

    Parameters
    ----------
    thing : Any
        A function, whose captured variables are looked at, or Tensors, arrays, lists, tuples and
        dicts.

    Yields
    ------
    ndarray
        Perhaps one several times. Histories of captured tensors are not followed.
    """
    seen: set[int] = set()
    waiting = [thing]
    while waiting:
        here = waiting.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if isinstance(here, Tensor):
            yield here.data
        elif isinstance(here, np.ndarray) or hasattr(here, "__cuda_array_interface__"):
            yield here
        elif isinstance(here, list | tuple | set):
            waiting += here
        elif isinstance(here, dict):
            waiting += here.values()
        elif isinstance(here, functools.partial):
            waiting += [here.func, here.args, here.keywords]
        else:
            for cell in getattr(here, "__closure__", None) or ():
                waiting += _contents(cell)
            waiting += getattr(here, "__defaults__", None) or ()


def buffers_of(arrays: Iterable[Array]) -> dict[int, int]:
    """Return the memory behind arrays: the size in bytes of each buffer, by its owner's id."""
    sizes = {}
    for array in arrays:
        owner = array
        while getattr(owner, "base", None) is not None and hasattr(owner.base, "nbytes"):
            owner = owner.base
        sizes[id(owner)] = owner.nbytes
    return sizes


def op_of(t: Tensor) -> str:
    """Return the name of the op that made a tensor on the tape, "" of a leaf."""
    if not t._parents:
        return ""
    return t._parents[0][1].__qualname__.partition(".")[0].lstrip("_")


def _kept_by(t: Tensor) -> Iterator[Array]:
    yield t.data
    for _, pull_back in t._parents:
        yield from arrays_held_by(pull_back)


def _contents(cell: Any) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # a variable that has no value yet
        return []
