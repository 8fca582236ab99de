"""A table of what a net does to one example: shapes, parameters, work, memory, what it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minicnn.autograd import Tensor
from minicnn.autograd.graph import Graph, Node, tensors_in, trace
from minicnn.autograd.watching import Call, calls
from minicnn.nn._costs import kept_bytes, macs_of, peak_bytes
from minicnn.nn._parameter import Buffer, Parameter
from minicnn.nn._parts import Weighted
from minicnn.nn._probing import probe
from minicnn.nn.arg_scope import show
from minicnn.nn.module import Module
from minicnn.nn.receptive_field import Sights, Step

__all__ = ["Row", "Summary", "summarize"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One call of one layer, for one example.

    Attributes
    ----------
    name : str
        The layer's name in the net.
    kind : str
        Its class, and those of the parts behind it.
    output_shape : tuple of int
        Without the batch axis.
    parameters : int
        How many numbers training changes, those of its parts too; 0 if counted in a row above.
    macs : int
        Multiply-accumulates of convolutions and matrix products.
    activation_bytes, parameter_bytes : int
        Of the output; and of parameters and buffers.
    receptive_field : tuple of int
        How far an output pixel sees, for each axis of the image, in pixels: see
        `minicnn.nn.ReceptiveField`.
    jump : tuple of int or Fraction
        The step to the next pixel's field; empty where the steps differ.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    macs: int
    activation_bytes: int
    parameter_bytes: int
    receptive_field: tuple[int, ...]
    jump: tuple[Step, ...]


@dataclass(frozen=True)
class Summary:
    """The rows of a net in the order of the calls; printed, a table with totals.

    Attributes
    ----------
    title : str
        The net's class.
    input_shapes : tuple of tuple of int
        The shapes it was run with, without the batch axis.
    rows : tuple of Row
        One for each call of a layer.
    kept_bytes : int
        What a training step keeps for the way back, for one example: all tensors through which
        gradients flow and what pull-backs have saved, each once; parameters not counted.
    peak_bytes : int
        The most memory that tensors need at once in a forward pass under `no_grad`, for one
        example; neither parameters nor the ops' own scratch are counted.
    """

    title: str
    input_shapes: tuple[Shape, ...]
    rows: tuple[Row, ...]
    kept_bytes: int
    peak_bytes: int

    @property
    def parameters(self) -> int:
        """How many numbers training changes; shared ones count once."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one example, forward."""
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all rows' outputs, of one example."""
        return sum(row.activation_bytes for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of all parameters and buffers."""
        return sum(row.parameter_bytes for row in self.rows)

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters", "MACs", "bytes", "weights", "sees", "step")
        body = [
            (
                row.name or "(net)",
                row.kind,
                _times(row.output_shape),
                f"{row.parameters:,}",
                f"{row.macs:,}",
                _bytes(row.activation_bytes),
                _bytes(row.parameter_bytes),
                _square(row.receptive_field),
                _square(row.jump),
            )
            for row in self.rows
        ]
        sums = (_bytes(self.activation_bytes), _bytes(self.parameter_bytes))
        total = ("total", "", "", f"{self.parameters:,}", f"{self.macs:,}", *sums, "", "")
        widths = [max(len(row[i]) for row in [head, *body, total]) for i in range(len(head))]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        given = ", ".join(_times(shape) for shape in self.input_shapes)
        lines = [f"{self.title}, input {given}", *_aligned([head], widths), rule]
        lines += [*_aligned(body, widths), rule, *_aligned([total], widths)]
        kept, peak = _bytes(self.kept_bytes), _bytes(self.peak_bytes)
        lines.append(f"training keeps {kept} of one example for the way back")
        lines.append(f"without a way back, {peak} at most are in use at once")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def summarize(net: Module, *input_shapes: Shape) -> Summary:
    """Run one example of zeros through a net and tabulate its layers.

    The net is run in evaluation mode and keeps its state, its hooks stay silent; only layers that
    did not know their input's size are built. A layer is a module without modules inside, or one
    with weights and parts behind them, such as a convolution with its normaliser and activation.
    A module that holds layers has a row if it multiplies itself, or has parameters of its own.

    All is found by tracing the ops, so plain functions count too, and any graph is right.

    Parameters
    ----------
    net : Module
        Any net; a function becomes one by ``Scope(function)``.
    *input_shapes : tuple of int
        The shape of one example of each input, without the batch axis: (C, H, W) or (I,).

    Returns
    -------
    Summary
        Print it. Its columns: output shape; parameters; multiply-accumulates of convolutions and
        matrix products; bytes of the output; bytes of parameters and buffers; how far an output
        pixel sees and the step from one pixel's field to the next one's, in image pixels (those
        of the first input).

    Raises
    ------
    ShapeError
        If the net does not take such inputs.
    ConfigError
        If a shape is not a tuple of ints.
    """
    notes = _Notes()
    graph = probe("summary", net, input_shapes, notes.observe, trace)
    members = [m for _, m in net._walk() if isinstance(m, Parameter | Buffer)]
    rows = tuple(notes.rows(net, graph))
    shapes = tuple(map(tuple, input_shapes))
    memory = kept_bytes(graph, members), peak_bytes(graph, members)
    return Summary(type(net).__name__, shapes, rows, *memory)


class _Notes:
    """Collects the calls of modules that are in no layer, in the order in which they end."""

    def __init__(self) -> None:
        self._calls: list[tuple[Call, list[Tensor]]] = []  # and what the module returned
        self._inside: Module | None = None  # the layer whose call is in progress

    def observe(self, module: Module, inputs: tuple[Any, ...]) -> Callable[[Any], None]:
        if self._inside is not None:
            return lambda output: None
        if is_layer(module):
            self._inside = module
        call = calls.get()[-1]

        def done(output: Any) -> None:
            if self._inside is module:
                self._inside = None
            self._calls.append((call, list(tensors_in(output))))

        return done

    def rows(self, net: Module, graph: Graph) -> Iterator[Row]:
        values = {id(v.tensor): v for v in graph.values}
        sights = Sights(graph, graph.inputs[0]) if graph.inputs else None
        nodes = self._nodes_of_calls(graph)
        counted: set[int] = set()
        for call, outputs in self._calls:
            module, own = call.module, nodes.get(call, [])
            macs = sum(map(macs_of, own))
            if is_layer(module):
                parameters, size = _fresh(module._walk(), counted)
            else:
                taken = {id(v.tensor) for node in own for v in node.inputs}
                mine = [(name, m) for name, m in module._members() if id(m) in taken]
                parameters, size = _fresh(mine, counted)
                if not (macs or size):
                    continue
            first = values.get(id(outputs[0])) if outputs else None
            field = sights.field(first) if sights and first else None
            sees, jump = (field.size, field.jump) if field else ((), ())
            yield Row(
                call.name,
                kind_of(module),
                first.shape[1:] if first else (),
                parameters,
                macs,
                sum(t.data.nbytes for t in outputs),
                size,
                sees,
                () if None in jump else jump,
            )
        for name, module in net.named_modules():  # what no row has counted
            parameters, size = _fresh(module._members(), counted)
            if size:
                yield Row(name, type(module).__name__, (), parameters, 0, 0, size, (), ())

    def _nodes_of_calls(self, graph: Graph) -> dict[Call, list[Node]]:
        """Return the ops of each call that was noted: of a layer all, else those not in others."""
        noted = {call for call, _ in self._calls}
        found: dict[Call, list[Node]] = {}
        for node in graph:
            around = [call for call in node.calls if call in noted]
            if around:
                found.setdefault(around[-1], []).append(node)
        return found


def is_layer(module: Module) -> bool:
    """Whether a module is one row of a summary, together with what is inside it."""
    if module._only_holds_layers:
        return False
    inside = any(isinstance(m, Module) for _, m in module._members())
    return isinstance(module, Weighted) or not inside


def _fresh(members: Iterable[tuple[str, Any]], counted: set[int]) -> tuple[int, int]:
    """Return the number of parameters, and the bytes of all, that no row has counted yet."""
    fresh = [m for _, m in members if isinstance(m, Parameter | Buffer) and id(m) not in counted]
    counted.update(map(id, fresh))
    return sum(m.size for m in fresh if isinstance(m, Parameter)), sum(m.data.nbytes for m in fresh)


def kind_of(module: Module) -> str:
    """Return what a module is called in tables and drawings: ``Conv2d + BatchNorm2d + relu``."""
    parts = [module, *(getattr(module, name, None) for name in ("normalizer", "activation"))]
    names = [
        type(part).__name__ if isinstance(part, Module) else show(part)
        for part in parts
        if part is not None
    ]
    return " + ".join(names)


def _aligned(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Lay out cells in columns: names to the left, numbers to the right."""
    return [
        "  ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _times(lengths: Sequence[int]) -> str:
    return " x ".join(map(str, lengths)) or "-"


def _square(lengths: Sequence[Step]) -> str:
    """Write equal lengths once."""
    if not lengths:
        return "-"
    return str(lengths[0]) if len(set(lengths)) == 1 else "x".join(map(str, lengths))


def _bytes(n: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"
