"""What is looked at before anything is made of a model: names, versions, and how it unfolds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from minicnn._reading import shown
from minicnn.errors import DataError

Proto = Any
Key = tuple[str, str, str]  # domain, name and overload of a function

_NEWEST = 2**31 - 1  # of any domain: ONNX counts versions in 32 bits
# What functions in a file may unfold to, beyond what they are as written
_MOST_NODES, _MOST_BYTES = 100_000, 64 * 2**20
_DEEPEST = 100  # calls of functions within functions; ONNX's own inliner calls itself for each


def check_model(model: Proto) -> None:
    """Refuse what is no text where a name must be, versions out of range, and endless functions.

    Raises
    ------
    DataError
        That says what it is; the caller names the file.
    """
    for opset in [*model.opset_import, *(o for f in model.functions for o in f.opset_import)]:
        _check_names(opset.domain)
        if not 0 < opset.version <= _NEWEST:
            raise DataError(f"there is no opset {opset.version} of domain {opset.domain!r}")
    for graph in graphs_of(model):
        _check_names(
            graph.name, *_parts(graph.initializer, graph.input, graph.output, graph.value_info)
        )
        for port in graph.input:
            _check_names(*(d.dim_param for d in port.type.tensor_type.shape.dim))
    for function in model.functions:
        _check_names(function.name, function.domain, function.overload)
        _check_names(*function.input, *function.output, *function.attribute)
    for node in nodes_of(model):
        _check_names(node.name, node.op_type, node.domain, node.overload)
        _check_names(*node.input, *node.output, *(a.name for a in node.attribute))
    if model.functions:
        _check_functions(model)


def _parts(*fields: Iterable[Proto]) -> Iterator[str]:
    return (part.name for field in fields for part in field)


def _check_names(*names: Any) -> None:
    """Refuse names that are not UTF-8: the protobuf package returns bytes in their place."""
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"a name in it is not UTF-8: {shown(repr(name))[:100]}")


def graphs_of(model: Proto) -> Iterator[Proto]:
    """Yield all graphs of a model, those in its functions too."""
    yield model.graph
    for node in nodes_of(model):
        yield from _graphs_in(node)


def nodes_of(model: Proto) -> Iterator[Proto]:
    """Yield all nodes of a model, those in its functions and in subgraphs too."""
    yield from within(model.graph.node)
    for function in model.functions:
        yield from within(function.node)


def within(nodes: Iterable[Proto]) -> Iterator[Proto]:
    """Yield nodes, and those of the graphs in their attributes, however deep."""
    waiting = [iter(nodes)]
    while waiting:
        node = next(waiting[-1], None)
        if node is None:
            waiting.pop()
            continue
        yield node
        waiting += [iter(graph.node) for graph in _graphs_in(node)]


def _graphs_in(node: Proto) -> Iterator[Proto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _check_functions(model: Proto) -> None:
    """Refuse functions that call themselves, or each other so often that they fill the memory."""
    bodies: dict[Key, Sequence[Proto]] = {}
    for function in model.functions:
        key = function.domain, function.name, function.overload
        if key in bodies:
            raise DataError(f"it has two functions {function.name!r}")
        bodies[key] = function.node
    costs: dict[Key, tuple[int, int, int]] = {}
    for start in bodies:
        _measure(start, bodies, costs)
    nodes, size, _ = _sum(model.graph.node, costs)
    written = sum(1 for _ in nodes_of(model))
    if nodes > written + _MOST_NODES or size > 4 * model.ByteSize() + _MOST_BYTES:
        raise DataError(
            f"its functions unfold to {nodes:,} nodes of {size:,} bytes, where the file has "
            f"{written:,}; more than {_MOST_NODES:,} or {_MOST_BYTES // 2**20} MiB beyond what is "
            "written are refused"
        )


def _measure(
    start: Key, bodies: dict[Key, Sequence[Proto]], costs: dict[Key, tuple[int, int, int]]
) -> None:
    """Find how many nodes and bytes calling a function makes, and how deep its calls go."""

    def calls(key: Key) -> Iterator[Key]:
        called = {_key(node) for node in within(bodies[key])}
        return iter([k for k in called if k in bodies])

    path = {} if start in costs else {start: calls(start)}  # a function -> what it calls, not seen
    while path:
        key = next(reversed(path))
        called = next(path[key], None)
        if called is None:
            costs[key] = _sum(bodies[key], costs)
            del path[key]
        elif called in path:
            raise DataError(f"its function {called[1]!r} calls itself")
        elif called not in costs:
            path[called] = calls(called)
        if len(path) > _DEEPEST or (key in costs and costs[key][2] > _DEEPEST):
            raise DataError(f"its functions call one another more than {_DEEPEST} deep")


def _sum(nodes: Iterable[Proto], costs: dict[Key, tuple[int, int, int]]) -> tuple[int, int, int]:
    """Return how many nodes and bytes these are with all that they call, and how deep that is."""
    count = size = depth = 0
    for node in nodes:
        size += node.ByteSize()  # those of its subgraphs with it
        for inner in within([node]):
            more, bytes_, below = costs.get(_key(inner), (0, 0, 0))
            count, size, depth = count + 1 + more, size + bytes_, max(depth, below + 1)
    return count, size, depth


def _key(node: Proto) -> Key:
    return node.domain, node.op_type, node.overload
