"""A model's graph as the importer runs it: nodes in order, each with its operator and settings."""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from minicnn._reading import shown
from minicnn.errors import ConfigError, DataError
from minicnn.interop.onnx import _operator, _reader, _values
from minicnn.interop.onnx._operator import DTYPES, Misfit, Operator, Table

Proto = Any
_SHOWN = 20  # kinds of problems that a message lists
# The attributes of Constant, what their values are (see _operator), and NumPy's type for them
_CONSTANTS = {
    "value": ("Array", None), "value_float": ("float", "float32"), "value_int": ("int", "int64"),
    "value_floats": ("tuple", "float32"), "value_ints": ("Ints", "int64"),
}  # fmt: skip


class Port(NamedTuple):
    """An input of a graph: what may be given."""

    name: str
    dtype: np.dtype | None  # None: not said
    shape: tuple[int | str | None, ...] | None  # a name stands for any length, always the same


@dataclass
class Node:
    """One call of an operator."""

    label: str  # for messages
    kind: str
    opset: int
    inputs: tuple[str, ...]  # "" where one is left out
    outputs: tuple[str, ...]
    operator: Operator
    settings: dict[str, Any]
    frees: tuple[str, ...] = ()  # values that nobody needs after it

    def __str__(self) -> str:
        return f"node {self.label} ({self.kind}, opset {self.opset})"

    def subgraphs(self) -> Iterator[Graph]:
        """Yield the graphs among its settings."""
        for setting in self.settings.values():
            if isinstance(setting, Graph):
                yield setting

    def reads(self) -> Iterator[str]:
        """Yield the names of all values it needs, those of its subgraphs too."""
        yield from (name for name in self.inputs if name)
        for graph in self.subgraphs():
            yield from graph.captured()


@dataclass
class Graph:
    """Nodes in an order in which they can run."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[str, ...]
    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)  # of initializers
    constants: dict[str, np.ndarray] = field(default_factory=dict)  # of Constant nodes
    held: dict[str, Any] = field(default_factory=dict)  # both as Tensors, once there is a module

    def made(self) -> set[str]:
        """Return the names of all values that come from within."""
        inside = {port.name for port in self.inputs} | set(self.weights) | set(self.constants)
        return inside.union(*(node.outputs for node in self.nodes))

    def captured(self) -> set[str]:
        """Return the names of values that come from around it."""
        needed = {name for node in self.nodes for name in node.reads()} | set(self.outputs)
        return needed - self.made()

    def all_graphs(self) -> Iterator[Graph]:
        """Yield this graph and all below it."""
        yield self
        for node in self.nodes:
            for graph in node.subgraphs():
                yield from graph.all_graphs()


class Builder:
    """Turns ONNX's messages into a `Graph`, and notes whatever it cannot.

    Parameters
    ----------
    opsets : mapping of str to int
        The version of each domain.
    tables : mapping of str to Table
        The operators of each domain.
    """

    def __init__(self, opsets: Mapping[str, int], tables: Mapping[str, Table]) -> None:
        self.opsets, self.tables = opsets, tables
        self.problems: dict[str, list[str]] = {}  # what is wrong -> where
        self.unknown: dict[
            tuple[str, str], int
        ] = {}  # operators that are in no table: domain, kind
        self._found: dict[tuple[str, str], Operator | None] = {}
        self._exists: dict[tuple[str, str], bool] = {}

    def build(self, proto: Proto, outer: Scope | None = None) -> Graph:
        """Return a graph; `outer` names the values around it."""
        weights: dict[str, np.ndarray] = {}
        for tensor in proto.initializer:
            if tensor.name in weights:
                raise DataError(f"has two initializers {shown(tensor.name)!r}")
            self._note(f"initializer {tensor.name!r}", weights, tensor.name, tensor)
        for sparse in proto.sparse_initializer:
            self._problem("sparse weights", f"initializer {sparse.values.name!r}")
        own = {tensor.name for tensor in proto.initializer}
        ports = tuple(self._port(v) for v in proto.input if v.name not in own)
        graph = Graph(proto.name, ports, tuple(v.name for v in proto.output), weights=weights)
        known = Scope({p.name for p in ports} | own, outer)
        if len(known.names) < len(ports) + len(own):
            raise DataError(f"has two inputs of one name in graph {shown(proto.name)!r}")
        for number, node in enumerate(in_order(proto, known)):
            self._add(graph, node, number, known)
            known.names.update(node.output)
        _plan_lifetimes(graph)
        return graph

    def _port(self, value: Proto) -> Port:
        """Return a graph's input, and note if no tensor of NumPy's can be one."""
        kind, element = value.type.WhichOneof("value"), value.type.tensor_type.elem_type
        if kind not in (None, "tensor_type"):
            self._problem(f"values of kind {kind.removesuffix('_type')}", f"input {value.name!r}")
        elif element and element not in DTYPES:
            type_name = _operator.type_name(element)
            self._problem(f"values of type {type_name}", f"input {value.name!r}")
        return port_of(value)

    def _add(self, graph: Graph, proto: Proto, number: int, known: Scope) -> None:
        label = (
            repr(proto.name) if proto.name else f"#{number} (-> {next(iter(proto.output), '')!r})"
        )
        domain = _reader.plain_domain(proto.domain)
        if proto.op_type == "Constant" and not domain:
            self._constant(graph, proto, label)
            return
        opset = self.opsets.get(domain, 1)
        what = f"{proto.op_type} (domain {domain or 'ai.onnx'!r}, opset {opset})"
        operator = self._find(domain, proto.op_type, opset)
        if operator is None:
            self._problem(what, f"node {label}")
            self.unknown[domain, proto.op_type] = opset
            return
        if not self._exists[domain, proto.op_type]:
            self._problem(f"{what}, which is newer than that opset,", f"node {label}")
            return
        try:
            operator.check_inputs(tuple(proto.input))
            given = {a.name: _values.attribute_of(a) for a in proto.attribute}
            settings = operator.read_settings(given)
        except Misfit as misfit:
            self._problem(f"{what}: {misfit}", f"node {label}")
            return
        for name, p in operator.settings.items():
            if str(p.annotation).startswith("Graph") and settings.get(name) is not None:
                settings[name] = self.build(settings[name], known)
        inputs, outputs = tuple(proto.input), tuple(proto.output)
        graph.nodes.append(Node(label, proto.op_type, opset, inputs, outputs, operator, settings))

    def _find(self, domain: str, kind: str, opset: int) -> Operator | None:
        """Look an operator up, once for all nodes."""
        if (domain, kind) not in self._found:
            self._found[domain, kind] = _operator.find(self.tables, domain, kind, opset)
            self._exists[domain, kind] = _reader.exists(domain, kind, opset)
        return self._found[domain, kind]

    def _constant(self, graph: Graph, proto: Proto, label: str) -> None:
        try:
            if len(proto.output) != 1:
                raise Misfit(f"it has {len(proto.output)} outputs")
            if len(proto.attribute) != 1 or proto.attribute[0].name not in _CONSTANTS:
                raise Misfit(f"its attributes {[a.name for a in proto.attribute]} are not known")
            attribute = proto.attribute[0]
            value = _values.attribute_of(attribute)
            hint, dtype = _CONSTANTS[attribute.name]
            if not _operator.FITS[hint](value):
                raise Misfit(f"its {attribute.name} is of another kind than its name says")
        except Misfit as misfit:
            self._problem(f"Constant: {misfit}", f"node {label}")
            return
        graph.constants[proto.output[0]] = np.asarray(value, dtype)

    def _note(self, what: str, into: dict[str, np.ndarray], name: str, tensor: Proto) -> None:
        try:
            into[name] = _values.array_of(tensor)
        except Misfit as misfit:
            self._problem(str(misfit), what)

    def _problem(self, what: str, where: str) -> None:
        self.problems.setdefault(what, []).append(where)

    def refuse(self, label: str) -> None:
        """Raise an error that names all that was noted, if anything was.

        Raises
        ------
        ConfigError
            With one line for each kind of problem.
        """
        if not self.problems:
            return
        lines = [
            f"\n  {what} in {', '.join(places[:3])}"
            + (f" and {len(places) - 3} more" if places[3:] else "")
            for what, places in self.problems.items()
        ]
        lines = [line[:400] for line in lines]
        raise ConfigError(
            f"from_onnx: {label} asks for what minicnn does not know; export it in other terms or "
            "another opset, or give a function of Tensors for an operator, "
            f"operators={{'Name': function}}; these are ({len(lines)}):"
            + "".join(lines[:_SHOWN])
            + (f"\n  and {len(lines) - _SHOWN} more" if lines[_SHOWN:] else "")
        )


def port_of(value: Proto) -> Port:
    """Return what a graph says about one of its inputs."""
    tensor = value.type.tensor_type
    name = DTYPES.get(tensor.elem_type)
    shape: tuple[int | str | None, ...] | None = None
    if value.type.HasField("tensor_type") and tensor.HasField("shape"):
        shape = tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param or None
            for d in tensor.shape.dim
        )
    return Port(value.name, None if name is None else np.dtype(name), shape)


class Scope:
    """Names of values: those of a graph, and those of the graphs around it."""

    def __init__(self, names: Iterable[str], outer: Scope | None = None) -> None:
        self.names, self.outer = set(names), outer

    def __contains__(self, name: object) -> bool:
        return name in self.names or (self.outer is not None and name in self.outer)


def in_order(proto: Proto, known: Container[str]) -> list[Proto]:
    """Return a graph's nodes so that each comes after those it needs.

    Files should have them in order, and nearly all do; nodes that could come next come in the
    order of the file.

    Raises
    ------
    DataError
        If a node needs what nothing makes, or two make the same.
    """
    makers: dict[str, int] = {}
    for i, node in enumerate(proto.node):
        for name in filter(None, node.output):
            if name in makers:
                raise DataError(f"has two nodes that make {shown(name)!r}")
            makers[name] = i
    needs = [{n for n in _reads(node) if n not in known} for node in proto.node]
    users: dict[str, list[int]] = {}
    for i, names in enumerate(needs):
        for name in names:
            users.setdefault(name, []).append(i)
    ready = [i for i, names in enumerate(needs) if not names]
    ordered = []
    while ready:
        i = heapq.heappop(ready)
        ordered.append(proto.node[i])
        for name in proto.node[i].output:
            for user in users.pop(name, ()):
                needs[user].discard(name)
                if not needs[user]:
                    heapq.heappush(ready, user)
    if len(ordered) < len(proto.node):
        late = next(i for i, names in enumerate(needs) if names)
        raise DataError(
            f"cannot be run: node {proto.node[late].name!r} ({proto.node[late].op_type}) of graph "
            f"{shown(proto.name)!r} needs {shown(str(sorted(needs[late])[:10]))}, which nothing "
            "before it makes; check the model with onnx.checker"
        )
    absent = [v.name for v in proto.output if v.name not in makers and v.name not in known]
    if absent:
        raise DataError(
            f"has a hole: nothing in graph {shown(proto.name)!r} makes its outputs "
            f"{shown(str(absent[:10]))}"
        )
    return ordered


def _reads(node: Proto) -> set[str]:
    names = {name for name in node.input if name}
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names |= _captured(attribute.g)
    return names


def _captured(graph: Proto) -> set[str]:
    made = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    made |= {name for node in graph.node for name in node.output}
    needed = {v.name for v in graph.output}.union(*(_reads(node) for node in graph.node))
    return needed - made


def _plan_lifetimes(graph: Graph) -> None:
    """Note at each node which values are needed for the last time."""
    own = {name for node in graph.nodes for name in node.outputs}
    own |= {port.name for port in graph.inputs}
    done = set(graph.outputs)
    for node in reversed(graph.nodes):
        names = {name for name in (*node.reads(), *node.outputs) if name}
        node.frees = tuple(sorted((names & own) - done))
        done |= names
