"""Exporting: a net is run once, and the ops that it called are written down as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, concatenate, no_grad
from minicnn.autograd.graph import Graph, Node, Value, trace
from minicnn.backend.device import as_numpy
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError
from minicnn.interop.onnx._import import from_onnx
from minicnn.interop.onnx._reader import onnx_package
from minicnn.nn import Module, evaluating

OPSET = 21  # the newest that tools of 2024 and later read, and enough for all that is written here
_IR_VERSION = 10  # of that opset
_TOLERANCE = 1e-4  # how far the exported net may be from the net itself, for float32


def to_onnx(
    module: Module,
    *inputs: Any,
    path: str | Path | None = None,
    dynamic_batch: bool = True,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Any:
    """Write a net as an ONNX model.

    The net is run once in evaluation mode; the ops that it calls become nodes, its parameters
    and buffers initializers of the same names. Then the model is read back and compared with the
    net, so that what is returned computes what the net computes.

    Parameters
    ----------
    module : Module
        The net. What it computes must not depend on the values of its inputs (no ``if`` on them).
    *inputs : Tensor, ndarray or tuple of int
        An example of each input, or the shape of one example without the batch axis: (C, H, W).
    path : str or Path, optional
        Where to write the model.
    dynamic_batch : bool, default True
        Whether the first axis of all inputs and outputs may have any length; if not, that of the
        examples.
    input_names, output_names : sequence of str, optional
        By default the names of the arguments of `forward`, and ``"output"``, ``"output_1"``, ...

    Returns
    -------
    onnx.ModelProto
        The model, of opset 21, checked by `onnx.checker`.

    Raises
    ------
    ConfigError
        If onnx is not installed, an op has no counterpart in ONNX (the message lists all), or
        what the net computes depends on the length of the batch.

    Examples
    --------
    >>> from minicnn import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, padding="same"), nn.GlobalAvgPool2d())
    >>> model = to_onnx(net, (3, 32, 32))
    >>> [node.op_type for node in model.graph.node]
    ['Conv', 'ReduceMean']
    """
    onnx = onnx_package()
    device = next((p.device for p in module.parameters()), "cpu")
    examples = [_example(x, i).to(device) for i, x in enumerate(inputs)]
    with evaluating():
        graph = _traced(module, examples)
        writer = Writer(graph)
        writer.write_all(input_names, output_names)
        model = writer.model(type(module).__name__, dynamic_batch)
        try:
            onnx.checker.check_model(model, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ConfigError(
                f"to_onnx: {type(module).__name__} makes a model that onnx.checker refuses: {error}"
            ) from error
        _compare(module, model, examples, dynamic_batch)
    if path is not None:
        onnx.save(model, str(path))
    return model


def _example(given: Any, number: int) -> Tensor:
    """Return an input as a Tensor; of a shape alone, two examples of random numbers."""
    if isinstance(given, Tensor):
        return given
    if isinstance(given, tuple) and all(isinstance(n, int) for n in given):
        numbers = np.asarray(Stream(number, "to_onnx").normal((2, *given)))
        return Tensor(numbers.astype(np.float32))
    return Tensor(given)


def _traced(module: Module, examples: list[Tensor]) -> Graph:
    """Run the net; ops without a counterpart are opened, where they are written with others."""
    from minicnn.interop.onnx._writers import TABLE

    opening: set[str] = set()
    while True:
        with no_grad():
            graph = trace(module, *examples, opening=opening)
        unknown = {n.op: n.function for n in _needed(graph) if n.op not in TABLE}
        closed = {op for op, f in unknown.items() if getattr(f, "composed", False)}
        if not closed:
            break
        opening |= closed
    if unknown:
        places = "; ".join(
            f"{n.op} in {n.path!r}" if n.path else n.op for n in _needed(graph) if n.op in unknown
        )
        raise ConfigError(
            f"to_onnx: {type(module).__name__} calls ops that have no counterpart in ONNX: {places}"
        )
    return graph


def _needed(graph: Graph) -> list[Node]:
    """Return the nodes that the outputs depend on, in their order."""
    wanted = {id(v) for v in graph.outputs}
    found = []
    for node in reversed(graph.nodes):
        if any(id(v) in wanted for v in node.outputs):
            wanted.update(id(v) for v in node.inputs)
            found.append(node)
    return found[::-1]


class Writer:
    """Turns the nodes of a graph into those of an ONNX model.

    Called by the functions of the table as ``w(kind, *inputs, **attributes)``: it adds a node
    and returns the name of its output. Inputs are Values of the graph, names that an earlier
    call returned, arrays or numbers (which become initializers), or None where one is left out.

    Parameters
    ----------
    graph : Graph
        What the net computed.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._names: dict[int, str] = {}  # by the id of the Value
        self._taken: set[str] = set()
        self._nodes: list[Any] = []
        self._weights: dict[str, np.ndarray] = {}
        self._now: Node | None = None

    def __call__(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return the name of its output, or a tuple of several."""
        from onnx import helper

        assert self._now is not None
        names = [self._name(x) for x in inputs]
        while names and not names[-1]:
            names.pop()  # optional inputs at the end are simply not there
        base = f"{self._now.path}.{kind}" if self._now.path else kind
        made = [self._unique(base) for _ in range(outputs)]
        given = {k: v for k, v in attributes.items() if v is not None}
        self._nodes.append(helper.make_node(kind, names, made, name=made[0], **given))
        return made[0] if outputs == 1 else tuple(made)

    def made_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of what the op returned."""
        assert self._now is not None
        return tuple(v.shape for v in self._now.outputs)

    def write_all(
        self, input_names: Sequence[str] | None, output_names: Sequence[str] | None
    ) -> None:
        """Write all nodes that are needed."""
        from minicnn.interop.onnx._writers import TABLE

        ends = self._graph.outputs
        self._give_names("input_names", self._graph.inputs, input_names)
        usual = ["output", *(f"output_{i}" for i in range(1, len(ends)))]
        self.output_names = list(usual if output_names is None else output_names)
        _check_count("output_names", self.output_names, ends)
        self._taken.update(self.output_names)
        for node in _needed(self._graph):
            self._now = node
            made = TABLE[node.op](self, **node.arguments)
            for value, name in zip(node.outputs, _several(made), strict=False):
                self._names[id(value)] = name
        for value, name in zip(ends, self.output_names, strict=True):
            self._rename(value, name)

    def _give_names(self, what: str, values: Sequence[Value], names: Sequence[str] | None) -> None:
        chosen = [v.name for v in values] if names is None else list(names)
        _check_count(what, chosen, values)
        for value, name in zip(values, chosen, strict=True):
            self._names[id(value)] = self._unique(name)

    def _rename(self, value: Value, name: str) -> None:
        """Give an output of the net its name, by a node that does nothing if need be."""
        from onnx import helper

        old = self._name(value)
        for node in self._nodes:
            if old in node.output and old not in self.output_names:
                for names in (n.input for n in self._nodes):
                    names[:] = [name if n == old else n for n in names]
                node.output[:] = [name if n == old else n for n in node.output]
                self._names[id(value)] = name
                return
        self._nodes.append(helper.make_node("Identity", [old], [name], name=name))

    def model(self, name: str, dynamic_batch: bool) -> Any:
        """Return the model."""
        from onnx import helper, numpy_helper

        first = "N" if dynamic_batch else None

        def port(label: str, value: Value) -> Any:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            axes = [first or value.shape[0], *value.shape[1:]] if value.shape else []
            return helper.make_tensor_value_info(label, kind, axes)

        weights = [
            numpy_helper.from_array(np.asarray(a, order="C"), label)
            for label, a in self._weights.items()
        ]
        graph = helper.make_graph(
            self._nodes,
            name,
            [port(self._names[id(v)], v) for v in self._graph.inputs],
            [port(n, v) for n, v in zip(self.output_names, self._graph.outputs, strict=True)],
            weights,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="minicnn"
        )

    def _name(self, x: Any) -> str:
        """Return the name of an input of a node; what is not known yet is an initializer."""
        if x is None or isinstance(x, str):
            return x or ""
        if isinstance(x, Value):
            if id(x) not in self._names:
                self._names[id(x)] = self._weight(x.tensor, x.name)
            return self._names[id(x)]
        return self._weight(x, "constant")

    def _weight(self, x: Any, name: str) -> str:
        label = self._unique(name)
        self._weights[label] = x.numpy() if isinstance(x, Tensor) else as_numpy(x)
        return label

    def _unique(self, name: str) -> str:
        chosen, number = name, 0
        while chosen in self._taken:
            number += 1
            chosen = f"{name}_{number}"
        self._taken.add(chosen)
        return chosen


Write = Callable[..., Any]  # (writer, **arguments of the op) -> name or names
WriteTable = Mapping[str, Write]


def _several(made: Any) -> tuple[str, ...]:
    return made if isinstance(made, tuple) else (made,)


def _check_count(what: str, names: Sequence[str], values: Sequence[Value]) -> None:
    if len(names) != len(values) or len(set(names)) != len(names):
        raise ConfigError(
            f"to_onnx: {what} must be {len(values)} different names, got {list(names)}"
        )


def _compare(module: Module, model: Any, examples: list[Tensor], dynamic_batch: bool) -> None:
    """Run the model on the examples, and on another number of them, and compare."""
    read = from_onnx(model).to(examples[0].device)
    with no_grad():
        _compare_once(module, read, examples, "it computes something else; please report this")
        if not dynamic_batch:
            return
        longer = [concatenate([x, x[:1]]) for x in examples if x.ndim]
        if len(longer) < len(examples):
            return
        remedy = (
            "with another batch it computes something else: a shape was fixed on the way; reshape "
            "to (len(x), ...) by -1, or pass dynamic_batch=False"
        )
        _compare_once(module, read, longer, remedy)


def _compare_once(module: Module, read: Module, inputs: list[Tensor], remedy: str) -> None:
    label = f"to_onnx: {type(module).__name__} was exported, but {remedy}"
    right = _leaves(module(*inputs))
    try:
        found = _leaves(read(*inputs))
    except ValueError as error:
        raise ConfigError(f"{label} ({error})") from None
    for a, b in zip(right, found, strict=True):
        tolerance = _TOLERANCE * max(1.0, float(np.abs(a).max(initial=0.0)))
        if a.shape != b.shape or not np.allclose(a, b, atol=tolerance, equal_nan=True):
            raise ConfigError(label)


def _leaves(result: Any) -> list[np.ndarray]:
    if isinstance(result, Tensor):
        return [result.numpy()]
    values = result.values() if isinstance(result, dict) else result
    return [leaf for value in values for leaf in _leaves(value)]
