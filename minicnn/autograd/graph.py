"""The graph of a computation: which ops ran, on what, with which options, inside which modules.

`trace` runs a function or a module once and writes down every public op. What looks at nets
(summaries, drawings, exports) looks at the `Graph` it returns.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.autograd.tensor import Tensor
from minicnn.autograd.watching import Call, calls, watched_by

__all__ = ["Graph", "Node", "Value", "trace"]

Shape = tuple[int, ...]


@dataclass(eq=False, repr=False)
class Value:
    """A tensor of the graph: an input, a parameter, a constant, or what an op returned.

    Attributes
    ----------
    kind : str
        ``"input"``, ``"parameter"``, ``"constant"`` or ``"computed"``.
    name : str
        Unique in the graph: the argument's name of an input, the full name of a parameter or
        buffer such as ``"block1.0.weight"``, else one made up: ``"constant"``, ``"conv2d_1"``.
    tensor : Tensor or ndarray
        What was computed with; an array where the op takes or returns an array.
    node : Node or None
        Which op returned it.
    users : list of Node
        Which ops take it, in the order of their calls; one that takes it twice is there once.
    """

    kind: str
    tensor: Any
    name: str = ""
    node: Node | None = None
    users: list[Node] = field(default_factory=list)

    @property
    def data(self) -> Any:
        """The numbers, a NumPy or CuPy array."""
        return self.tensor.data if isinstance(self.tensor, Tensor) else self.tensor

    @property
    def shape(self) -> Shape:
        """The lengths of the axes."""
        return self.tensor.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.tensor.dtype

    @property
    def nbytes(self) -> int:
        """The size of the numbers, in bytes."""
        return self.data.nbytes

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r} {self.shape} {self.dtype}>"


@dataclass(eq=False, repr=False)
class Node:
    """One call of a public op.

    Attributes
    ----------
    number : int
        Its place in the order of the calls, from 0.
    function : callable
        The public op.
    arguments : dict
        Every parameter of the op with what it was given or its default; Tensors, also those in
        lists and tuples, are replaced by their `Value`.
    inputs : tuple of Value
        Those of the arguments, flat and in order.
    outputs : tuple of Value
        What the op returned, in order.
    calls : tuple of Call
        The modules whose calls were in progress, the outermost first; empty outside of any.
    """

    number: int
    function: Callable[..., Any]
    arguments: dict[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    calls: tuple[Call, ...] = ()

    @property
    def op(self) -> str:
        """The name of the op."""
        return self.function.__name__

    @property
    def options(self) -> dict[str, Any]:
        """The arguments without a Value in them, with the defaults filled in."""
        return {n: a for n, a in self.arguments.items() if not any(_values_in(a))}

    @property
    def output(self) -> Value:
        """The first of the outputs: all there is, for most ops."""
        return self.outputs[0]

    @property
    def path(self) -> str:
        """The name of the innermost module around the call, ``"block1.0"``; "" if it has none."""
        return self.calls[-1].name if self.calls else ""

    @property
    def module(self) -> Any:
        """The innermost module around the call; None outside of any."""
        return self.calls[-1].module if self.calls else None

    def __repr__(self) -> str:
        where = f" in {self.path!r}" if self.path else ""
        return f"<node {self.number}: {self.op}{where} -> {[v.shape for v in self.outputs]}>"


@dataclass(eq=False, repr=False)
class Graph:
    """What a function computed: its ops in the order they ran. Printed, one line for each.

    Attributes
    ----------
    name : str
        The module's class, or the function's name.
    nodes : tuple of Node
        The ops; those whose result was not used are there too.
    inputs : tuple of Value
        The tensors that the function was given.
    outputs : tuple of Value
        The tensors it returned, those in lists, tuples and dicts too, flat and in order.
    result : Any
        What it returned, as it returned it.
    """

    name: str
    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    result: Any

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def values(self) -> tuple[Value, ...]:
        """Every value once: the inputs, then each in the order of its first use."""
        found = {id(v): v for v in self.inputs}
        for node in self.nodes:
            for v in (*node.inputs, *node.outputs):
                found.setdefault(id(v), v)
        for v in self.outputs:
            found.setdefault(id(v), v)
        return tuple(found.values())

    @property
    def parameters(self) -> tuple[Value, ...]:
        """The values of kind "parameter"."""
        return tuple(v for v in self.values if v.kind == "parameter")

    def __str__(self) -> str:
        rows = [
            (
                str(n.number),
                n.op,
                n.path,
                ", ".join(v.name for v in n.inputs),
                ", ".join(map(str, (v.shape for v in n.outputs))),
            )
            for n in self.nodes
        ]
        widths = [max((len(row[i]) for row in rows), default=0) for i in range(5)]
        given = ", ".join(f"{v.name} {v.shape}" for v in self.inputs)
        back = ", ".join(v.name for v in self.outputs)
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([f"{self.name}({given}) -> {back}", *lines])

    def __repr__(self) -> str:
        return f"<graph of {self.name}: {len(self)} nodes>"


def trace(f: Callable[..., Any], *inputs: Any, opening: Collection[str] = ()) -> Graph:
    """Run a function or a module once, and return the graph of the public ops it called.

    Inside a module, values and ops get the module's names. The computation is the usual one:
    a module in training does what it does in training, and under `no_grad` no history is kept.
    An op that returns its input unchanged (dropout in evaluation) leaves no node. What was
    computed without ops, such as ``x.detach()`` or arithmetic on ``x.data``, is a constant.

    Parameters
    ----------
    f : callable
        A Module, or a function of Tensors.
    *inputs : Tensor or ndarray
        What it is called with; arrays are wrapped. Tensors in lists, tuples and dicts count too.
    opening : collection of str, optional
        Names of ops written with other ops, such as ``"silu"``, in whose place those are wanted.

    Returns
    -------
    Graph
        It holds every tensor that was computed with.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, ops
    >>> from minicnn.autograd.graph import trace
    >>> graph = trace(lambda x: ops.relu(x * 2).sum(), Tensor(np.ones((2, 3))))
    >>> [node.op for node in graph]
    ['multiply', 'relu', 'sum']
    >>> graph.nodes[2].options
    {'axis': None, 'keepdims': False}
    """
    given = tuple(Tensor(x) if _is_array(x) else x for x in inputs)
    recorder = _Recorder()
    recorder.take_inputs(f, given)
    with watched_by(recorder.watch, opening):
        result = f(*given)
    name = getattr(f, "__name__", type(f).__name__)
    return recorder.graph(name, result)


class _Recorder:
    """Collects the calls of ops while a function runs."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._inputs: list[Value] = []
        self._values: dict[int, Value] = {}  # by the id of the tensor, which the Value keeps alive
        self._arrays: dict[int, tuple[Any, Value]] = {}  # a tensor's array, by its id
        self._leaves: dict[int, tuple[Value, tuple[Call, ...]]] = {}  # and where they were used

    def take_inputs(self, f: Callable[..., Any], given: Sequence[Any]) -> None:
        for name, argument in _named(f, given):
            for tensor in tensors_in(argument):
                if id(tensor) not in self._values:
                    self._inputs.append(self._new("input", tensor, name))

    def watch(
        self,
        op: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        made = [r for r in _leaves_of(result) if id(r) not in self._values]
        if not made:
            return  # it returned what it was given
        signature = inspect.signature(op)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = {
            n: self._as_values(a, _takes_arrays(signature.parameters[n]))
            for n, a in bound.arguments.items()
        }
        inputs = tuple(v for a in arguments.values() for v in _values_in(a))
        node = Node(len(self._nodes), op, arguments, inputs, (), calls.get())
        for r in made:
            self._new("computed", r).node = node
        node.outputs = tuple(self._values[id(r)] for r in _leaves_of(result))
        for v in dict.fromkeys(inputs):
            v.users.append(node)
        self._nodes.append(node)

    def graph(self, name: str, result: Any) -> Graph:
        outputs = tuple(self._value(r) for r in _leaves_of(result))
        nodes = tuple(self._nodes)
        graph = Graph(name, nodes, tuple(self._inputs), outputs, result)
        self._name_leaves()
        _make_unique(graph.values)
        return graph

    def _as_values(self, argument: Any, arrays: bool) -> Any:
        """Return an argument with its tensors, and where they are meant its arrays, as Values."""
        if isinstance(argument, Tensor):
            return self._value(argument)
        if isinstance(argument, list | tuple):
            items = [self._as_values(a, arrays) for a in argument]
            changed = any(a is not b for a, b in zip(items, argument, strict=True))
            return tuple(items) if changed else argument
        if _is_array(argument) and (arrays or id(argument) in self._values):
            return self._value(argument)
        return argument

    def _value(self, tensor: Any) -> Value:
        if (known := self._values.get(id(tensor))) is not None:
            return known
        if not isinstance(tensor, Tensor) and id(tensor) in self._arrays:
            return self._arrays[id(tensor)][1]  # the array of a tensor that is known
        value = self._new("parameter" if _is_trained(tensor) else "constant", tensor)
        self._leaves[id(tensor)] = value, calls.get()
        return value

    def _new(self, kind: str, tensor: Any, name: str = "") -> Value:
        value = Value(kind, tensor, name)
        self._values[id(tensor)] = value
        if isinstance(tensor, Tensor):
            self._arrays[id(tensor.data)] = tensor.data, value
        return value

    def _name_leaves(self) -> None:
        """Name parameters and constants as the outermost module around their use does."""
        names: dict[int, dict[int, str]] = {}
        for value, around in self._leaves.values():
            if around:
                root = around[0]
                if id(root.module) not in names:
                    names[id(root.module)] = root.names()
                value.name = names[id(root.module)].get(id(value.tensor), "")
            value.name = value.name or getattr(value.tensor, "name", "")


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Yield the Tensors of nested lists, tuples and dicts, in order."""
    return (leaf for leaf in _leaves_of(tree) if isinstance(leaf, Tensor))


def _leaves_of(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Tensor) or _is_array(tree):
        yield tree
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _leaves_of(item)
    elif isinstance(tree, dict):
        yield from _leaves_of(list(tree.values()))


def _values_in(argument: Any) -> Iterator[Value]:
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, list | tuple):
        for item in argument:
            yield from _values_in(item)


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) or hasattr(x, "__cuda_array_interface__")


def _is_trained(x: Any) -> bool:
    """Whether a tensor that no op returned is a Parameter, frozen or not, or another leaf."""
    return hasattr(x, "name") or (isinstance(x, Tensor) and x.requires_grad and not x._parents)


def _takes_arrays(parameter: inspect.Parameter) -> bool:
    """Whether an array given here is data, and not a list of numbers such as pad's widths."""
    words = ("Tensor", "Array", "ndarray", "Operand", "Any")
    return any(word in str(parameter.annotation) for word in words)


def _named(f: Callable[..., Any], given: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each argument with the name that the function gives it."""
    try:
        parameters = list(inspect.signature(getattr(f, "forward", f)).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have no signature
        parameters = []
    for i, x in enumerate(given):
        rest = i >= len(parameters) or parameters[i].kind is inspect.Parameter.VAR_POSITIONAL
        if rest:
            parameters = parameters[:i]  # *inputs takes all that follow
        yield "input" if rest else parameters[i].name, x


def _make_unique(values: Sequence[Value]) -> None:
    """Name the unnamed; number all but the first of those with one name."""
    taken = {v.name for v in values if v.name}
    used: set[str] = set()
    for v in values:
        base = v.name or (v.node.op if v.node else "constant")
        name, number = base, 0
        while name in used or (name in taken and (number or not v.name)):
            number += 1
            name = f"{base}_{number}"
        used.add(name)
        v.name = name
