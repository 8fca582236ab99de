"""All that the test files declare, found by looking: their SPECS and their ERRORS."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from types import ModuleType

from minicnn import autograd, ops
from tests.ops.spec import ErrorCase, OpSpec

TESTS = Path(__file__).resolve().parents[1]


@functools.cache
def modules() -> tuple[ModuleType, ...]:
    """Import every test file of the floors that are proven here."""
    names = [
        f"tests.{folder}.{path.stem}"
        for folder in ("backend", "autograd", "ops")
        for path in sorted((TESTS / folder).glob("test_*.py"))
    ]
    return tuple(importlib.import_module(name) for name in names)


def all_specs() -> list[OpSpec]:
    """Every `OpSpec` of every family."""
    return [spec for module in modules() for spec in getattr(module, "SPECS", ())]


def as_called() -> list[OpSpec]:
    """Every `OpSpec` of a public op itself; others are proven in another form than people call."""
    return [
        spec
        for spec in all_specs()
        if spec.op in (getattr(ops, spec.name, None), getattr(autograd, spec.name, None))
    ]


def all_errors() -> list[ErrorCase]:
    """Every wrong call of every op, and of the files that list theirs as ERRORS."""
    own = [case for module in modules() for case in getattr(module, "ERRORS", ())]
    return [*own, *(case for spec in all_specs() for case in spec.errors)]
