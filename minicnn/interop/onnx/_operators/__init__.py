"""The operators that are known, one file for each theme."""

from minicnn.interop.onnx._operator import Table
from minicnn.interop.onnx._operators import (
    activation,
    arithmetic,
    convolution,
    flow,
    indexing,
    linear,
    logic,
    losses,
    normalization,
    pooling,
    quantization,
    reductions,
    regions,
    resizing,
    sampling,
    shaping,
)

_THEMES = (
    activation, arithmetic, convolution, flow, indexing, linear, logic, losses, normalization,
    pooling, quantization, reductions, regions, resizing, sampling, shaping,
)  # fmt: skip

TABLES: dict[str, Table] = {
    "": {name: entry for theme in _THEMES for name, entry in theme.OPERATORS.items()}
}
