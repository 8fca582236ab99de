"""Importing: from a file to a Module."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from minicnn.errors import ConfigError
from minicnn.interop.onnx import _reader
from minicnn.interop.onnx._graph import Builder
from minicnn.interop.onnx._module import OnnxModule

NEWEST_OPSET = 28  # of the domain ai.onnx: what the tables of operators were written for

Source = Any  # str | Path | bytes | onnx.ModelProto


def from_onnx(
    source: Source, operators: Mapping[str | tuple[str, str], Callable[..., Any]] | None = None
) -> OnnxModule:
    """Make a Module of an ONNX model.

    Weights that are arrays of floats become parameters, running statistics, indices and single
    numbers become buffers, all under the names they have in the file; whoever trains the net
    freezes what should stay as it is, ``parameter.requires_grad = False``. The net is in evaluation
    mode, unless the file asks for batch normalisation as in training; ``train()`` switches dropout
    on, and gradients flow as in any net.

    Each node means what its operator means in the opset that the file names. Functions in the file
    are expanded, and so are operators that are not known here but that ONNX itself defines by
    others.

    Parameters
    ----------
    source : str, Path, bytes or onnx.ModelProto
        The model. Weights in other files are looked for beside a path.
    operators : mapping, optional
        Functions for further operators, by name or (domain, name), which take precedence: the
        node's inputs come as Tensors in order, its attributes by keyword.

    Returns
    -------
    OnnxModule
        Call it with the graph's inputs in order or by name.

    Raises
    ------
    DataError
        If the file cannot be read, is no ONNX model, or weights are missing.
    ConfigError
        If the onnx package is not installed (``pip install 'minicnn[onnx]'``), the file is of an
        opset newer than is known, or needs operators that are not; the message lists all of them.

    Examples
    --------
    >>> import numpy as np
    >>> from onnx import TensorProto, helper
    >>> x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 2]) for n in "xy")
    >>> graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    >>> net = from_onnx(helper.make_model(graph))
    >>> net(np.array([[-1.0, 2.0]], np.float32)).numpy().tolist()
    [[0.0, 2.0]]
    """
    model, label = _reader.read_model(source)
    label = os.path.basename(label)
    opsets = {_reader.plain_domain(o.domain): o.version for o in model.opset_import}
    if opsets.get("", 1) > NEWEST_OPSET:
        raise ConfigError(
            f"from_onnx: {label} is of opset {opsets['']}, the newest that is known is "
            f"{NEWEST_OPSET}; export it in an older one, or convert it with onnx.version_converter"
        )
    with _reader.naming(label):
        builder, graph = _built(model, opsets, operators or {})
    builder.refuse(label)
    net = OnnxModule(graph, label)
    return net.train(any(_asks_for_training(g) for g in graph.all_graphs()))


def _built(model: Any, opsets: dict[str, int], operators: Mapping[Any, Any]) -> tuple[Builder, Any]:
    """Build the graph, expanding operators by ONNX's definitions as long as that helps."""
    from minicnn.interop.onnx._operators import TABLES

    tables = {domain: dict(table) for domain, table in TABLES.items()}
    for name, function in operators.items():
        domain, kind = name if isinstance(name, tuple) else ("", name)
        tables.setdefault(domain, {})[kind] = function
    tried: set[tuple[str, str]] = set()
    while True:
        builder = Builder(opsets, tables)
        graph = builder.build(model.graph)
        kinds = [
            known
            for known, opset in builder.unknown.items()
            if known not in tried and _reader.has_definition(*known, opset)
        ]
        if not kinds:
            return builder, graph
        tried.update(kinds)
        larger = _reader.expanded(model, kinds, opsets)
        if larger is None:
            return builder, graph
        model = larger
        for o in model.opset_import:  # a definition may need domains of its own
            opsets.setdefault(_reader.plain_domain(o.domain), o.version)


def _asks_for_training(graph: Any) -> bool:
    return any(node.settings.get("training_mode") for node in graph.nodes)
