"""Every kernel compiles where it will be compiled; tests/cuda/compile_all.py is the long form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cuda import nvrtc

CUDA = Path(__file__).resolve().parents[2] / "kernels" / "cuda"
SOURCES = sorted(CUDA.glob("*.cu"))
TYPES = ("float", "double", "half_t")
KERNEL = re.compile(
    r"(?:template <(?P<template>[^>]*)>\s*)?(?P<c>extern \"C\" )?__global__ void\s+"
    r"(?:__launch_bounds__\([^)]*\)\s*)?(?P<name>\w+)\("
)
INSTANCES = re.compile(r"^// instances: (.+)$", re.MULTILINE)


def instances(text: str) -> list[str]:
    """Return the kernels of a file: templates on a type alone for each type, others as listed."""
    found = [name for line in INSTANCES.findall(text) for name in re.findall(r"\w+<[^>]*>", line)]
    for kernel in KERNEL.finditer(text):
        template, name = kernel["template"], kernel["name"]
        if template == "typename T":
            found += [f"{name}<{kind}>" for kind in TYPES]
        elif template is None:
            found.append(name)
        else:
            assert any(f.startswith(f"{name}<") for f in found), (
                f"{name} is a template on <{template}>; list what is used of it in a line "
                f"'// instances: {name}<float, ...>, ...'"
            )
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_as_on_users_machines(path: Path) -> None:
    """CuPy compiles with NVRTC, which has none of CUDA's or C++'s header files."""
    library = nvrtc.library()
    if library is None:
        pytest.skip("needs NVRTC: pip install nvidia-cuda-nvrtc")
    text = path.read_text(encoding="utf-8")
    options = ["-std=c++17", f"-I{CUDA}", "--gpu-architecture=compute_80"]
    said = nvrtc.compile_source(library, text, instances(text), options)
    assert not said, f"{path.name}: {said[:4000]}"


def test_no_kernel_is_forgotten() -> None:
    """What a launcher asks for and no line lists would be compiled on users' machines alone."""
    assert instances('template <typename T> __global__ void a(T* x)') == [
        "a<float>", "a<double>", "a<half_t>"
    ]  # fmt: skip
    assert instances('extern "C" __global__ void b(int* x)') == ["b"]
    with pytest.raises(AssertionError, match="list what is used"):
        instances("template <typename T, int N>\n__global__ void c(T* x)")
