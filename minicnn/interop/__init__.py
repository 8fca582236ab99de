"""Weights and models from elsewhere: safetensors, PyTorch's files, ONNX."""

from minicnn.interop.pytorch import read_pytorch
from minicnn.interop.weights import load_weights, pytorch_names, read_weights, write_weights

__all__ = ["load_weights", "pytorch_names", "read_pytorch", "read_weights", "write_weights"]
