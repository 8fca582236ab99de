"""ONNX: models that other frameworks wrote, as minicnn Modules.

`from_onnx` reads the graph, keeps its weights as parameters and runs its nodes with minicnn's own
ops, so that an imported net can be trained further like any other.  An operator is looked up in
`_operators`, one file for each theme, by the version of the opset that the file names.
"""

from minicnn.interop.onnx._export import to_onnx
from minicnn.interop.onnx._import import from_onnx
from minicnn.interop.onnx._module import OnnxModule

__all__ = ["OnnxModule", "from_onnx", "to_onnx"]
