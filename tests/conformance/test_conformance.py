"""What passed.txt says is so: every case on it passes, and no other one does."""

from __future__ import annotations

import importlib.metadata

import pytest

from tests.conformance.cases import all_cases, listed, outcome, run

pytest.importorskip("onnx", reason="needs the onnx package: pip install 'minicnn[onnx]'")
VERSION = "1.23.2"  # as pyproject.toml has it
pytestmark = pytest.mark.skipif(
    importlib.metadata.version("onnx") != VERSION, reason=f"the list is that of onnx {VERSION}"
)
REMEDY = "run python -m tests.conformance.update and look at what it changes"


@pytest.mark.parametrize("name", listed())
def test_passes(name):
    run(all_cases()[name])


def test_no_other_case_passes():
    """Those that do not pass raise: when one of them begins to pass, it belongs on the list."""
    new = [
        name
        for name, case in all_cases().items()
        if name not in set(listed()) and not outcome(case)
    ]
    assert new == [], REMEDY


def test_the_list_is_sorted_and_of_cases_that_exist():
    names = listed()
    assert names == sorted(set(names)), REMEDY
    assert set(names) <= set(all_cases()), REMEDY


def test_each_case_is_run_once():
    """The suite's runner lists each for cpu and cuda; here a case is one model."""
    assert not any(name.endswith(("_cpu", "_cuda")) for name in listed())


def test_a_wrong_result_does_not_pass():
    """The comparison is no formality: a case with a wrong value, type or shape fails."""
    case = all_cases()["test_relu"]
    inputs, (right,) = case.data[0]
    assert outcome(case) == ""
    for wrong in (right + 0.01, right.astype("float64"), right[None]):
        assert outcome(case._replace(data=[(inputs, [wrong])])) != ""
    assert outcome(case._replace(data=[(inputs, [right, right])])) != ""


def test_what_is_not_supported_does_not_pass():
    assert "LSTM" in outcome(all_cases()["test_lstm_defaults"])
