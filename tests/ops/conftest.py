"""Says at the end of a run how many wrong ops were planted, and how many were caught."""

from __future__ import annotations

from tests.ops.mutants import counted


def pytest_terminal_summary(terminalreporter):
    ops, planted, caught = counted()
    if planted:
        terminalreporter.write_line(f"mutants: {planted} planted in {ops} ops, {caught} caught")
