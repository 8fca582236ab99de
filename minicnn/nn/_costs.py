"""What ops cost: multiply-accumulates, and the memory of a graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np

from minicnn.autograd import Tensor
from minicnn.autograd.graph import Graph, Node, Value
from minicnn.autograd.walking import arrays_held_by, buffers_of, tape_of


def macs_of(node: Node) -> int:
    """Return the multiply-accumulates of convolutions and of products of matrices; else 0.

    A weight counts for every place it is laid on, in the padding too.
    """
    op, a = node.op.lstrip("_"), node.arguments
    if op in ("conv1d", "conv2d", "conv3d", "dense"):
        return math.prod(node.output.shape) * math.prod(a["weight"].shape[1:])
    if op in ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
        return math.prod(a["x"].shape) * math.prod(a["weight"].shape[1:])
    if op == "matmul":
        return math.prod(node.output.shape) * a["a"].shape[-1]
    if op == "einsum":
        return _einsum(node)
    return 0


def _einsum(node: Node) -> int:
    """All combinations of the letters, once for each further operand."""
    terms = node.options["equation"].replace(" ", "").partition("->")[0].split(",")
    lengths: dict[str, int] = {}
    for term, value in zip(terms, node.arguments["xs"], strict=True):
        head, dots, tail = term.partition("...")
        shape = np.shape(value) if not isinstance(value, Value) else value.shape
        hidden = len(shape) - len(head) - len(tail)
        names = [*head, *(f"...{hidden - i}" for i in range(hidden) if dots), *tail]
        for name, n in zip(names, shape, strict=True):
            lengths[name] = max(n, lengths.get(name, 1))
    return math.prod(lengths.values()) * (len(terms) - 1)


def kept_bytes(graph: Graph, without: Iterable[Tensor]) -> int:
    """Return the bytes that the tape of a graph's outputs keeps alive for the way back.

    Parameters
    ----------
    graph : Graph
        Traced with history.
    without : iterable of Tensor
        Whose memory does not count: parameters and buffers.

    Returns
    -------
    int
        Each buffer once: the tensors on the tape, and what pull-backs have saved.
    """
    tape = tape_of(*(v.tensor for v in graph.outputs if isinstance(v.tensor, Tensor)))
    saved = [t for t in tape if t._parents]
    held = buffers_of(arrays_held_by([[t, [f for _, f in t._parents]] for t in saved]))
    others = buffers_of(t.data for t in without)
    return sum(size for owner, size in held.items() if owner not in others)


def peak_bytes(graph: Graph, without: Iterable[Tensor]) -> int:
    """Return the most bytes in use at once in a forward pass that keeps nothing for the way back.

    Every tensor goes as soon as no further op takes it. Inputs count; parameters do not, nor what
    ops use inside; a view uses its owner's memory.

    Parameters
    ----------
    graph : Graph
        Any.
    without : iterable of Tensor
        Whose memory does not count: parameters and buffers.

    Returns
    -------
    int
        While the op runs that needs most, its inputs and outputs included.
    """
    others = buffers_of(t.data for t in without)
    sizes: dict[int, int] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for v in graph.values:
        made = v.node.number if v.node else 0
        used = max((n.number for n in v.users), default=made)
        used = len(graph) if v in graph.outputs else used
        for owner, size in buffers_of([v.data]).items():
            if owner not in others and v.kind in ("input", "computed"):
                sizes[owner] = size
                first[owner] = min(made, first.get(owner, made))
                last[owner] = max(used, last.get(owner, used))
    change = [0] * (len(graph) + 2)
    for owner, size in sizes.items():
        change[first[owner]] += size
        change[last[owner] + 1] -= size
    return max(itertools.accumulate(change))
