"""Weights and models from elsewhere: safetensors, PyTorch's files, ONNX."""

from minicnn.interop.onnx import OnnxModule, from_onnx, to_onnx
from minicnn.interop.pytorch import read_pytorch
from minicnn.interop.torchvision import torchvision_names
from minicnn.interop.weights import load_weights, pytorch_names, read_weights, write_weights

__all__ = [
    "OnnxModule",
    "from_onnx",
    "load_weights",
    "pytorch_names",
    "read_pytorch",
    "read_weights",
    "to_onnx",
    "torchvision_names",
    "write_weights",
]
