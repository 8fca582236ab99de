"""CPU, plain and CUDA kernels are interchangeable (checked by reading, without a GPU)."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
DEVICES = ("plain", "cpu", "cuda")
ALLOWED = {"numpy", "numba", "llvmlite", "cupy", "threadpoolctl"} | sys.stdlib_module_names


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> dict[str, str]:
    """The public functions of a file and their parameters."""
    return {
        node.name: ast.unparse(node.args)
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


def interface(device: str) -> dict[str, str]:
    """What kernels/<device>/__init__.py offers: function -> parameters."""
    offered: dict[str, str] = {}
    for node in tree(KERNELS / device / "__init__.py").body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        names = [alias.name for alias in node.names]
        if node.level == 2 and "*" in names:
            offered |= interface(str(node.module))
        elif node.level == 1 and node.module:
            found = functions(KERNELS / device / f"{node.module}.py")
            offered |= {name: found[name] for name in names if name in found}
    return offered


def exported(device: str) -> list[str] | None:
    """The literal ``__all__`` of a device; None if it is imported."""
    for node in tree(KERNELS / device / "__init__.py").body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return None


@pytest.mark.parametrize("device", DEVICES[1:])
def test_same_functions_with_the_same_parameters(device):
    assert interface("plain"), "nothing was read"
    assert interface(device) == interface("plain")


@pytest.mark.parametrize("device", DEVICES)
def test_all_lists_every_function_in_order(device):
    names = exported(device)
    if names is not None:
        assert names == sorted(interface(device))
    else:
        assert device == "cuda"


@pytest.mark.parametrize("device", DEVICES)
def test_every_public_function_is_offered(device):
    """A kernel that is written but not listed would never be called."""
    families = list((KERNELS / device).glob("[!_]*.py"))
    written = {name for path in families for name in functions(path)}
    assert written <= set(interface(device))


def test_families_have_the_same_names():
    """Whoever knows one name knows all."""
    names = {d: {p.name for p in (KERNELS / d).glob("[!_]*.py")} for d in DEVICES}
    assert names["cpu"] == names["plain"]
    assert names["cuda"] <= names["plain"]


@pytest.mark.parametrize(
    "path", sorted(KERNELS.rglob("*.py")), ids=lambda p: str(p.relative_to(KERNELS))
)
def test_kernels_stand_on_the_ground_floor(path):
    """kernels/ imports nothing of minicnn: they can be read and tested alone."""
    depth = len(path.relative_to(KERNELS).parts)  # how many dots stay inside kernels/
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= ALLOWED, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level <= depth, f"line {node.lineno} leaves kernels/"
        elif isinstance(node, ast.ImportFrom):
            assert str(node.module).split(".")[0] in ALLOWED, node.lineno


@pytest.mark.parametrize("path", sorted((KERNELS / "plain").glob("*.py")), ids=lambda p: p.name)
def test_plain_kernels_need_numpy_alone(path):
    """They are what remains with MINICNN_JIT=0, and what CuPy runs."""
    for node in ast.walk(tree(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [str(node.module)]
        assert set(names) <= {"numpy", "cupy", "math", "typing"}, names


def test_arguments_are_positional_so_that_both_kinds_of_call_agree():
    """A kernel with defaults would be one more place where an op's defaults are written down."""
    for name, parameters in interface("plain").items():
        assert "=" not in parameters, f"{name}({parameters})"
