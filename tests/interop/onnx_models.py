"""Small ONNX models for the tests, written in ONNX's own text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the onnx package: pip install 'minicnn[onnx]'")


def model(text: str, opset: int = 17, **weights: np.ndarray) -> Any:
    """Return the model of a graph in text, with initializers added.

    The text allows no dots in names: write ``conv__weight``.
    """
    import onnx.parser

    head = f'<ir_version: 8, opset_import: ["": {opset}]>\n'
    proto = onnx.parser.parse_model(head + text)
    for node in proto.graph.node:
        node.input[:] = [name.replace("__", ".") for name in node.input]
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    return proto


def one(
    op: str, inputs: list[np.ndarray | None], opset: int, outputs: int = 1, **attributes: Any
) -> Any:
    """Return a model of one node, whose inputs are those of the graph; None leaves one out."""
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(inputs)]
    results = [f"y{i}" for i in range(outputs)]
    node = onnx.helper.make_node(op, names, results, name="n", **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
        )
        for name, x in zip(names, inputs, strict=True)
        if x is not None
    ]
    ends = [onnx.helper.make_empty_tensor_value_info(name) for name in results]
    graph = onnx.helper.make_graph([node], "g", infos, ends)
    return onnx.helper.make_model(
        graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", opset)]
    )
