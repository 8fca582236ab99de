"""What an operator is to the importer: a function, whose signature says all there is to know.

An ONNX operator is written as a plain function on Tensors.  Its positional parameters are the
operator's inputs in order, those with a default may be left out, ``*rest`` takes any number.  How
a parameter is annotated says how it wants its input:

    Tensor    as a Tensor; a float weight that goes here can be trained
    Array     as an array; running statistics, indices and the like, which nobody trains
    Ints      as a tuple of ints: a shape, axes, pads
    Number    as a Python number

Its keyword-only parameters are the attributes, with ONNX's defaults; a `Literal` lists the values
that are known, `DType` turns ONNX's number of a type into NumPy's, `Graph` a subgraph into one that
``call.run`` takes.  A parameter named ``call`` is given the `Call`.
"""

from __future__ import annotations

import inspect
import reprlib
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError
from minicnn.nn import Buffer

if typing.TYPE_CHECKING:
    from minicnn.interop.onnx._graph import Graph, Node
    from minicnn.interop.onnx._module import OnnxModule

Array = Any  # numpy.ndarray or cupy.ndarray
Ints = tuple[int, ...]
Number = Any  # int, float or bool
DType = np.dtype
Function = Callable[..., Any]
Versions = Mapping[int, Function]  # first opset with this meaning -> function
Table = Mapping[str, "Function | Versions"]

# ONNX's numbers of the types that a Tensor can hold; strings, complex numbers and the narrow floats
# and ints (bfloat16, float8, int4, ...) are missing, for NumPy has no such types.
DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip
_IGNORED = {"consumed_inputs"}  # a note of opsets 1 to 5 on memory reuse; it means nothing


class Misfit(Exception):  # noqa: N818 - it never reaches anybody
    """An attribute or input that an operator does not know; the importer collects these."""


class Input(NamedTuple):
    """One input of an operator."""

    name: str
    kind: str  # Tensor, Array, Ints or Number
    required: bool


class Operator:
    """A function and what its signature says.

    Parameters
    ----------
    function : callable
        See the top of this file.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.inputs: list[Input] = []
        self.rest: Input | None = None
        self.settings: dict[str, inspect.Parameter] = {}
        inner = getattr(function, "func", function)  # of a functools.partial
        self.own = str(getattr(inner, "__module__", "")).startswith("minicnn.")
        self.takes_call = self.takes_any_setting = False
        for p in inspect.signature(function).parameters.values():
            if p.kind is p.KEYWORD_ONLY and p.name == "call":
                self.takes_call = True
            elif p.kind is p.KEYWORD_ONLY:
                self.settings[p.name] = p
            elif p.kind is p.VAR_KEYWORD:
                self.takes_any_setting = True
            elif p.kind is p.VAR_POSITIONAL:
                self.rest = Input(p.name, _kind(p), False)
            else:
                self.inputs.append(Input(p.name, _kind(p), p.default is p.empty))

    def input(self, i: int) -> Input | None:
        """Return what the operator takes as its input i, None if it takes no so many."""
        return self.inputs[i] if i < len(self.inputs) else self.rest

    def check_inputs(self, given: tuple[str, ...]) -> None:
        """Refuse too many inputs, and an empty name where an input is needed."""
        if self.input(len(given) - 1) is None and given:
            raise Misfit(f"it has {len(given)} inputs, {len(self.inputs)} are known")
        for i, expected in enumerate(self.inputs):
            if expected.required and not (i < len(given) and given[i]):
                raise Misfit(f"its input {i} ({expected.name}) is missing")

    def read_settings(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return a node's attributes as keyword arguments."""
        found = {}
        for name, value in attributes.items():
            if name in _IGNORED and name not in self.settings:
                continue
            if name in self.settings:
                self._check_kind(name, value)
                found[name] = self._read(name, value)
            elif self.takes_any_setting:
                found[name] = value
            else:
                raise Misfit(f"its attribute {name}={_short(value)} is not known")
        for name, p in self.settings.items():
            if p.default is p.empty and name not in found:
                raise Misfit(f"its attribute {name} is missing")
        return found

    def _check_kind(self, name: str, value: Any) -> None:
        """Refuse a list where a number is wanted, and so on."""
        hint = str(self.settings[name].annotation).partition(" |")[0].partition("[")[0]
        if hint in FITS and not FITS[hint](value):
            raise Misfit(f"its attribute {name}={_short(value)} is of another kind than {hint}")

    def _read(self, name: str, value: Any) -> Any:
        hint = str(self.settings[name].annotation)
        if hint.startswith("DType"):
            if value not in DTYPES:
                raise Misfit(f"its attribute {name}={type_name(value)} is no type of NumPy's")
            return np.dtype(DTYPES[value])
        if hint == "bool":
            return bool(value)
        if hint.startswith("Literal"):
            known = typing.get_args(eval(hint, {"Literal": typing.Literal}))
            if value not in known:
                raise Misfit(
                    f"its attribute {name}={value!r} is none of {', '.join(map(repr, known))}"
                )
        return value

    def prepare(self, given: list[Tensor | None]) -> list[Any]:
        """Turn the values of a node's inputs into what the function wants."""
        return [
            None if value is None else _CONVERT[self.input(i).kind](value)  # type: ignore[union-attr]
            for i, value in enumerate(given)
        ]


class Call:
    """One call of an operator: what else it may ask.

    Attributes
    ----------
    node : Node
        The node.
    module : OnnxModule
        The net.
    values : mapping of str to Tensor
        All values known at this point, by name.
    """

    def __init__(self, node: Node, module: OnnxModule, values: Mapping[str, Any]) -> None:
        self.node, self.module, self.values = node, module, values

    @property
    def outputs(self) -> int:
        """How many outputs the node has."""
        return len(self.node.outputs)

    def wants(self, i: int) -> bool:
        """Tell whether output i has a name."""
        return i < len(self.node.outputs) and bool(self.node.outputs[i])

    @property
    def training(self) -> bool:
        """Whether the net is in training."""
        return self.module.training

    def stream(self) -> Stream:
        """Return random numbers for this call."""
        return self.module.next_stream()

    def store(self, i: int, value: Array) -> None:
        """Write to the buffer that is the node's input i, if it is one."""
        held = self.values[self.node.inputs[i]]
        if isinstance(held, Buffer):
            held.data = value.astype(held.dtype)

    def run(self, graph: Graph, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of a subgraph, which sees all values around it."""
        return self.module.run(graph, inputs, self.values)


def find(tables: Mapping[str, Table], domain: str, kind: str, opset: int) -> Operator | None:
    """Return an operator as an opset defines it, None if it is not known."""
    entry = tables.get(domain, {}).get(kind)
    if entry is None or callable(entry):
        return None if entry is None else Operator(entry)
    since = max((version for version in entry if version <= opset), default=None)
    return None if since is None else Operator(entry[since])


def type_name(number: int) -> str:
    """Return ONNX's name of an element type."""
    import onnx

    names = {value: name for name, value in onnx.TensorProto.DataType.items()}
    return names.get(number, str(number))


def _kind(p: inspect.Parameter) -> str:
    hint = str(p.annotation).partition(" |")[0]
    return hint if hint in _CONVERT else "Tensor"


def _ints(value: Tensor) -> Ints:
    numbers = value.numpy().ravel().tolist()
    if any(n != int(n) for n in numbers):  # the first opsets had them as floats
        raise ConfigError(f"needs whole numbers, got {reprlib.repr(numbers)}")
    return tuple(map(int, numbers))


_CONVERT: dict[str, Callable[[Tensor], Any]] = {
    "Tensor": lambda value: value,
    "Array": lambda value: value.data,
    "Ints": _ints,
    "Number": lambda value: value.item(),
}


# What an attribute must be, by how its parameter is annotated; other annotations take anything
FITS: dict[str, Callable[[Any], bool]] = {
    "Array": lambda value: isinstance(value, np.ndarray),
    "DType": lambda value: isinstance(value, int),
    "Graph": lambda value: hasattr(value, "node"),
    "Ints": lambda value: isinstance(value, tuple) and all(isinstance(n, int) for n in value),
    "Literal": lambda value: isinstance(value, int | str),
    "bool": lambda value: isinstance(value, int),
    "float": lambda value: isinstance(value, int | float),
    "int": lambda value: isinstance(value, int),
    "str": lambda value: isinstance(value, str),
    "tuple": lambda value: isinstance(value, tuple) and not any(isinstance(n, str) for n in value),
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
