"""The sources of CUDA kernels, read as text: to show them needs neither CuPy nor a GPU."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

# Kernels whose CUDA C++ has another name than their launcher.
_OTHERS = {
    "conv": (("implicit_gemm", "implicit_gemm"), ("tensor_cores", "window_product")),
    "conv_grad_x": (("implicit_gemm", "implicit_gemm"), ("tensor_cores", "window_product")),
    "conv_grad_weight": (
        ("implicit_gemm", "implicit_gemm_weight"),
        ("tensor_cores", "weight_product"),
    ),
    "col2im": (("columns", "col2im"),),
    "drop": (("dropout", "dropout"),),
    "im2col": (("columns", "im2col"),),
    "log_softmax": (("softmax", "softmax"),),
    "matmul": (("linear", "product_of_registers"),),
    "moments": (("normalization", "moment_parts"),),
    "normalize": (("normalization", "affine"),),
}
_KERNEL = re.compile(
    r"(?:^//[^\n]*\n)*^(?:template <[^>]*>\s*|extern \"C\" )?__global__ void\s+"
    r"(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\(.*?^}$",
    re.MULTILINE | re.DOTALL,
)


def cuda_sources(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield ("cuda", file, source) of a kernel's launcher and of its CUDA C++."""
    module = _homes().get(name)
    if module is None:
        return
    text = _read(f"{module}.py")
    launcher = next(
        (n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name), None
    )
    if launcher is None:
        return
    yield "cuda", f"kernels/cuda/{module}.py", ast.get_source_segment(text, launcher) or ""
    for file, kernel in _OTHERS.get(name, ((module, name),)):
        source = _kernels(file).get(kernel)
        if source is not None:
            yield "cuda", f"kernels/cuda/{file}.cu", source


@functools.cache
def _homes() -> dict[str, str]:
    """Return in which file each kernel's launcher is."""
    return {
        alias.name: str(node.module)
        for node in ast.parse(_read("__init__.py")).body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }


@functools.cache
def _kernels(file: str) -> dict[str, str]:
    """Return the kernels of a .cu file by their names, with the comments above them."""
    if not (_folder() / f"{file}.cu").is_file():
        return {}
    return {match[1]: match[0] for match in _KERNEL.finditer(_read(f"{file}.cu"))}


def _folder() -> Path:
    return Path(importlib.import_module("minicnn.kernels").__path__[0]) / "cuda"


def _read(name: str) -> str:
    return (_folder() / name).read_text(encoding="utf-8")
