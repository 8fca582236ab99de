"""A table of what a net does to one example: shapes, parameters, work, memory, what it sees."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, recording
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ConfigError, MinicnnError, ShapeError
from minicnn.nn._calls import Observer, observed_by, outermost_call, qualified_name
from minicnn.nn._parameter import Buffer, Parameter
from minicnn.nn._receptive import Field
from minicnn.nn.arg_scope import show
from minicnn.nn.module import Module

__all__ = ["Row", "Summary", "probe", "summarize"]

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
        Multiply-accumulates of convolutions and dense products.
    activation_bytes, parameter_bytes : int
        Of the output; and of parameters and buffers.
    receptive_field, jump : tuple of int
        How far an output pixel sees, and the step to its neighbour's field, in image pixels, for
        each spatial axis; empty where unknown.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    macs: int
    activation_bytes: int
    parameter_bytes: int
    receptive_field: tuple[int, ...]
    jump: tuple[int, ...]


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
    """

    title: str
    input_shapes: tuple[Shape, ...]
    rows: tuple[Row, ...]

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
        """Bytes of all outputs of one example: about what training keeps for the way back."""
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
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def summarize(net: Module, *input_shapes: Shape) -> Summary:
    """Run one example of zeros through a net and tabulate its layers.

    The net is run in evaluation mode and keeps its state, its hooks stay silent; only layers that
    did not know their input's size are built. A layer is a module without modules inside, or one
    with its own work, such as a convolution together with its normaliser and activation.

    Receptive fields follow the layers' geometry and, between layers, the history of the tensors,
    so additions and concatenations of branches are right. Convolutions called as plain functions
    are not seen: there the field is too small.

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
        dense products; bytes of the output; bytes of parameters and buffers; how far an output
        pixel sees and the step from one pixel's field to the next one's, in image pixels.

    Raises
    ------
    ShapeError
        If the net does not take such inputs.
    ConfigError
        If a shape is not a tuple of ints.
    """
    table = _Table()
    probe(net, input_shapes, table.start, table.observe)
    return Summary(type(net).__name__, tuple(map(tuple, input_shapes)), tuple(table.rows(net)))


def probe(
    net: Module,
    input_shapes: Sequence[Shape],
    start: Callable[[list[Tensor]], None] = lambda inputs: None,
    observe: Observer = lambda module, inputs: lambda output: None,
) -> None:
    """Run one example of zeros through a net in evaluation mode, showing each call to `observe`.

    Parameters
    ----------
    net : Module
        Any net.
    input_shapes : sequence of tuple of int
        Without the batch axis.
    start : callable, optional
        Gets the inputs before they are used.
    observe : callable, optional
        Gets each module that is called and its inputs, instead of the module's own hooks, and
        returns a function that gets the output.

    Raises
    ------
    ShapeError
        If the net does not take such inputs.
    ConfigError
        If a shape is not a tuple of ints.
    """
    inputs = [_zeros(net, shape) for shape in input_shapes]
    if not inputs:
        raise ConfigError("summary: give the shape of one example, such as (3, 32, 32)")
    start(inputs)
    modes = {id(m): m.training for _, m in net.named_modules()}
    try:
        # History is recorded so that receptive fields can be followed from layer to layer.
        with observed_by(observe), recording(True), outermost_call(net.eval()):
            net(*inputs)
    except MinicnnError as error:
        given = ", ".join(map(str, input_shapes))
        raise ShapeError(
            f"summary: the net does not take one example of shape {given} (without the batch "
            f"axis): {error}"
        ) from error
    finally:
        for _, module in net.named_modules():
            module.training = modes.get(id(module), modes[id(net)])


def _zeros(net: Module, shape: Shape) -> Tensor:
    if not isinstance(shape, tuple | list) or not all(isinstance(n, int) for n in shape):
        raise ConfigError(f"summary: a shape is a tuple of ints such as (3, 32, 32), got {shape!r}")
    member = next((m for _, m in net._walk() if isinstance(m, Parameter)), None)
    dtype = np.float32 if member is None else member.dtype
    device = get_device() if member is None else member.device
    return Tensor(to_device(np.zeros((1, *shape), dtype), device), requires_grad=True)


class _Table:
    """Collects the calls of layers, and the receptive fields of tensors."""

    def __init__(self) -> None:
        self._calls: list[tuple[Module, str, Shape, Any]] = []  # module, name, x's shape, output
        self._fields: dict[Tensor, Field] = {}
        self._inside: Module | None = None  # the layer whose call is in progress

    def start(self, inputs: list[Tensor]) -> None:
        for x in inputs:
            self._fields[x] = Field.of_image(x.shape[2:])

    def observe(self, module: Module, inputs: tuple[Any, ...]) -> Callable[[Any], None]:
        if self._inside is not None or not _is_layer(module):
            return lambda output: None
        self._inside = module
        tensors = [t for t in inputs if isinstance(t, Tensor)]
        field = _joined(map(self._field_of, tensors))
        x_shape = tensors[0].shape if tensors else ()

        def done(output: Any) -> None:
            self._inside = None
            for y in _tensors(output):
                self._fields[y] = module.receptive_field(field, x_shape)
            self._calls.append((module, qualified_name(module), x_shape, output))

        return done

    def _field_of(self, t: Tensor) -> Field:
        """Return a tensor's field: its layer's, or what its nearest known ancestors see."""
        found: list[Field] = []
        waiting, seen = [t], {t}
        while waiting:
            here = waiting.pop()
            if here in self._fields:
                found.append(self._fields[here])
                continue
            parents = [p for p, _ in here._parents if p not in seen]
            seen.update(parents)
            waiting += parents
        return _joined(found)

    def rows(self, net: Module) -> Iterator[Row]:
        counted: set[int] = set()
        for module, name, x_shape, output in self._calls:
            parameters, size = _fresh(module._walk(), counted)
            outputs = list(_tensors(output))
            field = self._fields.get(outputs[0], Field()) if outputs else Field()
            shape = outputs[0].shape if outputs else ()
            macs = module.count_macs(x_shape, shape) if x_shape and shape else 0
            yield Row(
                name,
                _kind(module),
                shape[1:],
                parameters,
                macs,
                sum(y.data.nbytes for y in outputs),
                size,
                field.size,
                field.jump,
            )
        for name, module in net.named_modules():  # what no layer's row has counted
            parameters, size = _fresh(module._members(), counted)
            if size:
                yield Row(name, type(module).__name__, (), parameters, 0, 0, size, (), ())


def _joined(fields: Iterable[Field]) -> Field:
    """Return the field of what depends on all of them."""
    return functools.reduce(Field.joined, fields) if (fields := list(fields)) else Field()


def _is_layer(module: Module) -> bool:
    if module._only_holds_layers:
        return False
    kind = type(module)
    works = kind.count_macs is not Module.count_macs
    mixes = kind.receptive_field is not Module.receptive_field
    return works or mixes or not any(isinstance(m, Module) for _, m in module._members())


def _fresh(members: Iterable[tuple[str, Any]], counted: set[int]) -> tuple[int, int]:
    """Return the number of parameters, and the bytes of all, that no row has counted yet."""
    fresh = [m for _, m in members if isinstance(m, Parameter | Buffer) and id(m) not in counted]
    counted.update(map(id, fresh))
    return sum(m.size for m in fresh if isinstance(m, Parameter)), sum(m.data.nbytes for m in fresh)


def _kind(module: Module) -> str:
    parts = [module, *(getattr(module, name, None) for name in ("normalizer", "activation"))]
    names = [
        type(part).__name__ if isinstance(part, Module) else show(part)
        for part in parts
        if part is not None
    ]
    return " + ".join(names)


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, list | tuple):
        for item in output:
            yield from _tensors(item)
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))


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


def _square(lengths: Sequence[int]) -> str:
    """Write equal lengths once."""
    if not lengths:
        return "-"
    return str(lengths[0]) if len(set(lengths)) == 1 else "x".join(map(str, lengths))


def _bytes(n: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} B"
