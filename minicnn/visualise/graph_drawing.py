"""A net as a picture: boxes for layers and ops, lines for tensors, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from minicnn.autograd.graph import Graph
from minicnn.errors import ConfigError
from minicnn.nn import Module
from minicnn.nn._probing import traced
from minicnn.visualise._boxes import boxes_of
from minicnn.visualise._svg import render

__all__ = ["Drawing", "draw_graph"]


class Drawing(str):
    """The text of an SVG picture; notebooks show the picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def draw_graph(
    net_or_graph: Module | Graph,
    input_shape: Any = None,
    path: str | Path | None = None,
    detail: Literal["layers", "ops"] = "layers",
) -> Drawing:
    """Draw what a net does, from top to bottom: no other program is needed.

    Each layer is a box with its kind, its place in the net, the shape of what it returns and the
    number of its parameters; ops outside of layers are boxes of their own. Lines are tensors.
    Modules that hold several boxes are framed where that does not cross another. The same net
    gives the same text.

    Parameters
    ----------
    net_or_graph : Module or Graph
        A net, which is run on one example in evaluation mode; or what
        `minicnn.autograd.graph.trace` returned.
    input_shape : tuple of int, or sequence of such, optional
        For a net: the shape of one example of each input, without the batch axis: (C, H, W).
    path : str or Path, optional
        Also write the picture there.
    detail : {"layers", "ops"}, default "layers"
        Whether a layer is one box, together with its normaliser and activation, or every op is.

    Returns
    -------
    Drawing
        The SVG text, a str.

    Raises
    ------
    ConfigError
        If a net is given without a shape or a graph with one, or `detail` is neither.
    ShapeError
        If the net does not take such inputs.
    """
    if detail not in ("layers", "ops"):
        raise ConfigError(f"draw_graph: detail must be 'layers' or 'ops', got {detail!r}")
    if isinstance(net_or_graph, Graph):
        if input_shape is not None:
            raise ConfigError("draw_graph: a graph knows its shapes; leave out input_shape")
        graph, skip = net_or_graph, 0
    elif isinstance(net_or_graph, Module):
        graph, skip = traced("draw_graph", net_or_graph, _shapes(input_shape)).graph, 1
    else:
        raise ConfigError(
            f"draw_graph: needs a Module or a Graph, got {type(net_or_graph).__name__}; "
            "minicnn.autograd.graph.trace(f, x) makes a graph of a function"
        )
    drawing = Drawing(render(*boxes_of(graph, skip, detail == "layers")))
    if path is not None:
        Path(path).write_text(drawing, encoding="utf-8")
    return drawing


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    if input_shape is None:
        raise ConfigError("draw_graph: give input_shape, the shape of one example: (3, 32, 32)")
    several = isinstance(input_shape, list | tuple) and any(
        isinstance(n, list | tuple) for n in input_shape
    )
    return list(input_shape) if several else [input_shape]
