"""Every error that these floors can raise is raised by some test, in its own words.

The places of all ``raise`` statements are read from the source; the error cases
of all test files are run, and each tells by its traceback where it was raised.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minicnn import errors
from minicnn.autograd import Tensor, tensor, watching
from tests.ops.mutants import cases_of
from tests.ops.registry import all_errors, as_called
from tests.ops.spec import ErrorCase, OpSpec

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("backend", "autograd", "ops")
FILES = sorted(p for floor in FLOORS for p in (ROOT / "minicnn" / floor).glob("*.py"))


def raises(path: Path) -> Iterator[ast.Raise]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise) and node.exc is not None:  # a bare one raises no new error
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
        if issubclass(kind, Warning):
            assert issubclass(kind, UserWarning)
            continue
        assert issubclass(kind, errors.MinicnnError)
        usual = ValueError | TypeError | RuntimeError | OSError
        assert name == "MinicnnError" or issubclass(kind, usual), (
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


DOORS = {tensor.__file__: "on_tensors", watching.__file__: "as_one"}


def test_every_error_of_an_op_names_it_and_says_what_to_do():
    told = []
    for case in all_errors():
        with pytest.raises(case.error) as caught:
            case.call()
        if any(DOORS.get(str(entry.path)) == entry.name for entry in caught.traceback):
            told.append(str(caught.value))
    assert len(told) > 300
    assert [text for text in told if not re.match(r"\w+: ", text) or "; " not in text] == []


def junk(rank: int) -> Iterator[Any]:
    """Yield what an argument must not be, or so it mostly is: a tensor's rank is not `rank`."""
    yield from (None, "text", object(), -1.5, (1, "a"), np.array([1, 1]))
    yield Tensor(np.ones((1,) * (rank + 1)))


@pytest.mark.parametrize("spec", as_called(), ids=lambda spec: spec.name)
def test_whatever_is_given_an_op_works_or_says_what_is_wrong(spec: OpSpec):
    case = next(case for case in cases_of(spec) if all(a.size for a in case.arrays))
    told = []
    for at in (*range(len(case.arrays)), *case.options):
        for wrong in junk(case.arrays[at].ndim if isinstance(at, int) else 0):
            args: list[Any] = [Tensor(a) for a in case.arrays]
            options = dict(case.options)
            if isinstance(at, int):
                args[at] = wrong
            else:
                options[at] = wrong
            with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                try:
                    spec.op(*args, **options)
                except errors.MinicnnError as error:
                    told.append(str(error))
    assert [
        text for text in told if not text.startswith(f"{spec.name}: ") or "; " not in text
    ] == []
