"""Imports only ever point down: each package may use the floors below its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minicnn"
FLOORS = [  # ground floor first; names on one line may not import one another
    {"errors", "kernels"},
    {"_reading"},
    {"_command_line", "_files", "backend", "config"},
    {"autograd"},
    {"ops"},
    {"nn"},
    {"data", "metrics", "models", "optim"},
    {"detection", "segmentation"},
    {"explanation", "interop", "visualise"},
    {"estimator"},  # its PlotHook draws with visualise
    {"apps", "exercises"},
    {"checkpoint", "doctor", "train"},
]
FLOOR_OF = {name: height for height, floor in enumerate(FLOORS) for name in floor}
ENGINES = {"cupy", "llvmlite", "numba"}  # the backend alone decides whether these are used
MAY_NAME_THEM = {"backend", "doctor", "kernels"}


def imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield (line, full name) of whatever a file imports, wherever in it and however."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            name = node.args[0]
            if isinstance(name, ast.Constant):
                yield node.lineno, str(name.value)
            elif isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
                yield node.lineno, str(name.values[0].value)


def offences(source: str, path: Path) -> list[str]:
    """Say what a file of the package, at a path inside it, imports from where it may not."""
    own = path.parts[0].removesuffix(".py")
    package = ("minicnn", *path.parent.parts)
    found = []
    for line, name in imports(ast.parse(source), package):
        top, *rest = name.split(".")
        if top in ENGINES and own not in MAY_NAME_THEM:
            found.append(f"line {line}: {name} is the backend's business")
        if top != "minicnn" or rest[:1] == [own]:
            continue
        other = rest[0] if rest else ""
        if other.startswith("__"):
            continue  # minicnn.__version__
        if other not in FLOOR_OF:
            found.append(f"line {line}: {name} goes through the front door; name the package")
        elif FLOOR_OF[other] >= FLOOR_OF[own]:
            found.append(f"line {line}: {name} is not below {own}")
    return found


FILES = sorted(p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_down(path):
    if path == Path("__init__.py"):
        return  # the front door sees every floor
    assert path.parts[0].removesuffix(".py") in FLOOR_OF, "give it a floor in FLOORS"
    assert offences((PACKAGE / path).read_text(encoding="utf-8"), path) == []


def test_every_floor_is_there():
    there = {p.parts[0].removesuffix(".py") for p in FILES} | {"kernels", "interop"}
    assert set(FLOOR_OF) <= there, "FLOORS lists what does not exist"


@pytest.mark.parametrize(
    ("path", "line", "says"),
    [
        ("ops/pooling.py", "from minicnn.nn import Module", "not below ops"),
        ("ops/pooling.py", "from minicnn import nn", "not below ops"),
        ("ops/pooling.py", "import minicnn.estimator.hook", "not below ops"),
        ("ops/pooling.py", "from ..nn import Module", "not below ops"),
        ("ops/pooling.py", "def f():\n    from minicnn.nn import Module", "not below ops"),
        ("ops/pooling.py", "importlib.import_module('minicnn.nn')", "not below ops"),
        ("ops/pooling.py", "from minicnn import Tensor", "front door"),
        ("ops/pooling.py", "import numba", "backend's business"),
        ("nn/layers.py", "from cupy import asarray", "backend's business"),
        ("optim/sgd.py", "from minicnn.data import Dataset", "not below optim"),
        ("data/signs/shapes.py", "from ...optim import SGD", "not below data"),
        ("errors.py", "from minicnn import kernels", "not below errors"),
        ("train.py", "from minicnn import doctor", "not below train"),
    ],
)
def test_an_upward_import_is_seen(path, line, says):
    assert len(found := offences(line, Path(path))) == 1
    assert says in found[0]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("ops/pooling.py", "from minicnn.autograd import Tensor"),
        ("ops/pooling.py", "from ..backend import kernels_for"),
        ("ops/pooling.py", "from ._windows import Window"),
        ("data/signs/shapes.py", "from ..sign_table import SignTable"),
        ("backend/device.py", "importlib.import_module('cupy')"),
        ("backend/__init__.py", "importlib.import_module(f'minicnn.kernels.{name}')"),
        ("estimator/checkpoint.py", "from minicnn import __version__"),
        ("apps/gtsrb.py", "from minicnn import data, estimator"),
    ],
)
def test_a_downward_import_is_not(path, line):
    assert offences(line, Path(path)) == []
