"""An imported model: a Module that runs the nodes of an ONNX graph."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minicnn._reading import shown
from minicnn.autograd import Tensor
from minicnn.backend.device import to_device
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, MinicnnError, ShapeError
from minicnn.interop.onnx import _room
from minicnn.interop.onnx._graph import Graph, Node, Port
from minicnn.interop.onnx._operator import Call
from minicnn.nn import Buffer, CallStreams, Module, Parameter

# What Python and NumPy raise where an operator's inputs make no sense
_RAW = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
Values = MutableMapping[str, Any]


class OnnxModule(Module):
    """A net that was read from an ONNX file; `from_onnx` makes it.

    Its parameters and buffers are named as the initializers in the file. Call it with the graph's
    inputs in order or by name; it returns the graph's output, or a tuple if there are several.

    Parameters
    ----------
    graph : Graph
        The graph; the module fills in its weights.
    label : str
        What to call the model in messages.

    Attributes
    ----------
    input_names, output_names : tuple of str
        As in the file.
    most_elements : int
        How many elements a value may have, 2**28 by default: a small file can ask for any number.
    """

    def __init__(self, graph: Graph, label: str) -> None:
        self.most_elements = _room.MOST_ELEMENTS
        self._graph = graph
        self._label = label
        self._float: np.dtype | None = None  # what `astype` made of the floats
        self._streams = CallStreams("dropout")
        self._weights: dict[str, Parameter | Buffer] = {}
        self._constants: list[Tensor] = []
        graphs = list(graph.all_graphs())
        trainable = _trainable(graphs)
        for g in graphs:
            g.held = {name: Tensor(array) for name, array in g.constants.items()}
            self._constants += g.held.values()
            for name, array in g.weights.items():
                member = Parameter(array) if name in trainable else Buffer(array)
                g.held[name] = member
                # Two branches of an If may use a name for different things.
                self._weights[name if name not in self._weights else f"{g.name}.{name}"] = member
        self.input_names = tuple(port.name for port in graph.inputs)
        self.output_names = graph.outputs

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Yield the weights under their own names, not those of a container."""
        yield from self._weights.items()

    def __repr__(self) -> str:
        given = ", ".join(map(_port_text, self._graph.inputs))
        return f"OnnxModule({given} -> {', '.join(self.output_names)})"

    def to(self, device: str) -> Self:
        """Move all parameters, buffers and constants to a device; see `Module.to`."""
        for constant in self._constants:
            constant.data = to_device(constant.data, device)
        return super().to(device)

    def astype(self, dtype: npt.DTypeLike) -> Self:
        """Convert all parameters, buffers and constants of floats; see `Module.astype`.

        Inputs of floats are expected in that type from then on.
        """
        super().astype(dtype)
        self._float = np.dtype(dtype)
        for constant in self._constants:
            if constant.dtype.kind == "f":
                constant.data = constant.data.astype(dtype)
        return self

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Compute the outputs.

        Parameters
        ----------
        *inputs, **named : Tensor or ndarray
            The graph's inputs, in order or by name.

        Returns
        -------
        Tensor or tuple of Tensor
            The output, or all of them if there are several.

        Raises
        ------
        ConfigError
            If an input is missing, given twice or unknown.
        ShapeError
            If an input has another shape than the file says, or a node cannot do with its inputs.
        DTypeError
            If an input is of another type.
        """
        given = self._given(inputs, named)
        try:
            with _room.room_for(self.most_elements):
                outputs = self.run(self._graph, given, {})
        except MinicnnError as error:
            error.args = (f"{self._label}: {error}",)
            raise
        return outputs[0] if len(outputs) == 1 else outputs

    def run(
        self, graph: Graph, inputs: Sequence[Tensor], around: Mapping[str, Any]
    ) -> tuple[Tensor, ...]:
        """Run a graph; the values `around` it can be seen from within."""
        here: dict[str, Any] = {
            port.name: value for port, value in zip(graph.inputs, inputs, strict=True)
        }
        values: Values = ChainMap(here, graph.held, around)  # type: ignore[arg-type]
        for node in graph.nodes:
            for name, value in zip(node.outputs, self._outputs(node, values), strict=False):
                if name:
                    here[name] = value
            for name in node.frees:
                here.pop(name, None)
        return tuple(values[name] for name in graph.outputs)

    def _outputs(self, node: Node, values: Mapping[str, Any]) -> tuple[Any, ...]:
        operator = node.operator
        more = {"call": Call(node, self, values)} if operator.takes_call else {}
        try:
            given = operator.prepare([values[name] if name else None for name in node.inputs])
            if operator.own:
                _room.check_inputs(node.kind, given, node.settings)
            result = operator.function(*given, **node.settings, **more)
            results = result if isinstance(result, tuple) else (result,)
            made = tuple(r if r is None or isinstance(r, Tensor) else Tensor(r) for r in results)
            for value in made:
                _room.check_result(node.kind, value)
        except MinicnnError as error:
            raise type(error)(f"{node}: {error}") from error
        except MemoryError as error:
            raise ShapeError(f"{node}: its result does not fit in memory ({error})") from error
        except _RAW as error:
            if not operator.own or getattr(error, "__notes__", None):  # somebody else's
                error.add_note(f"in {node} of {self._label}")
                raise
            kind = DTypeError if isinstance(error, TypeError) else ShapeError
            said = f"{type(error).__name__}: {shown(str(error))[:300]}"
            raise kind(f"{node}: its inputs make no sense together ({said})") from error
        except Exception as error:
            error.add_note(f"in {node} of {self._label}")
            raise
        return made

    def _given(self, inputs: Sequence[Any], named: Mapping[str, Any]) -> list[Tensor]:
        """Return the graph's inputs in order, after checking them."""
        ports = self._graph.inputs
        given = dict(zip(self.input_names, inputs, strict=False))
        twice, unknown = set(given) & set(named), set(named) - set(self.input_names)
        missing = [n for n in self.input_names if n not in given and n not in named]
        if len(inputs) > len(ports) or twice or unknown or missing:
            raise ConfigError(
                f"{self._label}: takes {', '.join(map(_port_text, ports)) or 'no inputs'}; got "
                f"{len(inputs)} in order" + (f" and {sorted(named)} by name" if named else "")
            )
        given.update(named)
        lengths: dict[str, int] = {}
        return [self._checked(port, given[port.name], lengths) for port in ports]

    def _checked(self, port: Port, value: Any, lengths: dict[str, int]) -> Tensor:
        tensor = value if isinstance(value, Tensor) else Tensor(value)
        dtype = port.dtype
        if dtype is not None and dtype.kind == "f" and self._float is not None:
            dtype = self._float
        if dtype is not None and tensor.dtype != dtype:
            raise DTypeError(
                f"{self._label}: input {port.name!r} is {tensor.dtype} {tensor.shape}, it must be "
                f"{dtype}; use .astype({dtype.name!r})"
            )
        fits = port.shape is None or len(port.shape) == tensor.ndim
        for expected, n in zip(port.shape or (), tensor.shape, strict=False):
            if isinstance(expected, str):
                fits &= lengths.setdefault(expected, n) == n
            else:
                fits &= expected is None or expected == n
        if not fits:
            known = {name: n for name, n in lengths.items() if name in (port.shape or ())}
            also = f" with {known}" if known else ""
            raise ShapeError(
                f"{self._label}: input {port.name!r} has shape {tensor.shape}, it must be "
                f"{_shape_text(port)}{also}"
            )
        return tensor

    def next_stream(self) -> Stream:
        """Return random numbers for a node that draws."""
        return self._streams.next(self)


def _trainable(graphs: list[Graph]) -> set[str]:
    """Return the names of the weights that training may change.

    These are arrays of floats that some operator takes as a Tensor. A float that is a single number
    is none: it is a constant of a formula, such as the 0.5 in GELU.
    """
    used = {
        name
        for graph in graphs
        for node in graph.nodes
        for i, name in enumerate(node.inputs)
        if (taken := node.operator.input(i)) is not None and taken.kind == "Tensor"
    }
    weights = {name: array for graph in graphs for name, array in graph.weights.items()}
    return {n for n in used & set(weights) if weights[n].dtype.kind == "f" and weights[n].ndim}


def _port_text(port: Port) -> str:
    return f"{port.name}: {port.dtype or 'any type'} {_shape_text(port)}"


def _shape_text(port: Port) -> str:
    if port.shape is None:
        return "of any shape"
    return "(" + ", ".join("?" if n is None else str(n) for n in port.shape) + ")"
