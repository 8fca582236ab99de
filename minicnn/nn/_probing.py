"""One example of zeros through a net, to find out what it does with it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, recording
from minicnn.autograd.graph import Graph, tensors_in, trace
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ConfigError, MinicnnError, ShapeError
from minicnn.nn._calls import Observer, observed_by, outermost_call, qualified_name
from minicnn.nn._parameter import Parameter
from minicnn.nn.evaluating import evaluating
from minicnn.nn.module import Module

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Run:
    """What a net did with one example: its graph, and what its modules returned, in order."""

    graph: Graph
    returned: list[tuple[str, list[Tensor]]]  # the modules' names; "" for the net itself

    def tensors_of(self, name: str) -> list[Tensor]:
        """Return what the module of that name returned last."""
        return next((tensors for n, tensors in self.returned[::-1] if n == name), [])


def traced(op: str, net: Module, input_shapes: Sequence[Shape]) -> Run:
    """Run one example of zeros through a net as `probe` does, and return the graph."""
    returned: list[tuple[str, list[Tensor]]] = []

    def observe(module: Module, _: Any) -> Callable[[Any], None]:
        name = qualified_name(module)
        return lambda output: returned.append((name, list(tensors_in(output))))

    return Run(probe(op, net, input_shapes, observe, trace), returned)


def probe(
    op: str,
    net: Module,
    input_shapes: Sequence[Shape],
    observe: Observer = lambda module, inputs: lambda output: None,
    run: Callable[..., Any] = lambda net, *inputs: net(*inputs),
) -> Any:
    """Run one example of zeros through a net in evaluation mode, showing each call to `observe`.

    Parameters
    ----------
    op : str
        Who asks for it, for messages.
    net : Module
        Any net.
    input_shapes : sequence of tuple of int
        Without the batch axis.
    observe : callable, optional
        Gets each module that is called and its inputs, instead of the module's own hooks, and
        returns a function that gets the output.
    run : callable, optional
        Gets the net and the inputs, and calls the one with the others.

    Returns
    -------
    Any
        What `run` returned.

    Raises
    ------
    ShapeError
        If the net does not take such inputs.
    ConfigError
        If a shape is not a tuple of ints.
    """
    inputs = [_zeros(op, net, shape) for shape in input_shapes]
    if not inputs:
        raise ConfigError(f"{op}: give the shape of one example, such as (3, 32, 32)")
    try:
        with evaluating(), observed_by(observe), recording(True), outermost_call(net):
            return run(net, *inputs)
    except MinicnnError as error:
        given = ", ".join(map(str, input_shapes))
        raise ShapeError(
            f"{op}: the net does not take one example of shape {given} (without the batch "
            f"axis): {error}"
        ) from error


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint that names the nearest of several names, or some of them."""
    known = list(names)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known[:20])}"


def _zeros(op: str, net: Module, shape: Shape) -> Tensor:
    if not isinstance(shape, tuple | list) or not all(isinstance(n, int) for n in shape):
        raise ConfigError(f"{op}: a shape is a tuple of ints such as (3, 32, 32), got {shape!r}")
    member = next((m for _, m in net._walk() if isinstance(m, Parameter)), None)
    dtype = np.float32 if member is None else member.dtype
    device = get_device() if member is None else member.device
    return Tensor(to_device(np.zeros((1, *shape), dtype), device))
