"""Every error that these floors can raise is raised by some test, in its own words.

The places of all ``raise`` statements are read from the source; the error cases
of all test files are run, and each tells by its traceback where it was raised.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from minicnn import errors
from tests.ops.registry import all_errors
from tests.ops.spec import ErrorCase

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("backend", "autograd", "ops")
FILES = sorted(p for floor in FLOORS for p in (ROOT / "minicnn" / floor).glob("*.py"))


def raises(path: Path) -> Iterator[ast.Raise]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise):
            yield node


def place_of(case: ErrorCase) -> tuple[str, int]:
    """Run a wrong call; return the file and line that refused it."""
    with pytest.raises(case.error, match=case.match) as caught:
        case.call()
    last = caught.traceback[-1]
    return str(last.path), last.lineno + 1


@pytest.fixture(scope="module")
def places() -> set[tuple[str, int]]:
    return {place_of(case) for case in all_errors()}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_raise_is_reached(path, places):
    lines = {line for file, line in places if Path(file) == path}
    missed = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in raises(path)
        if not lines & set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    ]
    assert not missed, "no ErrorCase reaches these; write one each"


def test_errors_are_minicnn_errors_and_built_in_ones_too():
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, errors.MinicnnError)
        assert name == "MinicnnError" or issubclass(kind, ValueError | TypeError | RuntimeError), (
            f"{name} should be caught by people who never heard of minicnn"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_else_is_raised(path):
    """People catch MinicnnError; TypeError is for misuse of the checker itself."""
    for node in raises(path):
        called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        name = ast.unparse(called) if called is not None else ""
        assert name in errors.__all__ or (name == "TypeError" and path.name == "gradcheck.py"), (
            f"{path.name}:{node.lineno} raises {name}"
        )


def test_a_missed_raise_would_be_seen(tmp_path):
    source = tmp_path / "new.py"
    source.write_text("def f():\n    raise ShapeError('new')\n")
    assert [node.lineno for node in raises(source)] == [2]
