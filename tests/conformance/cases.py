"""The cases: loading them, running them, comparing."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PASSED = Path(__file__).with_name("passed.txt")


class Case(NamedTuple):
    """A model, and for some inputs the outputs that are right."""

    name: str
    kind: str
    model: Any  # onnx.ModelProto
    data: list[tuple[Sequence[Any], Sequence[Any]]]
    rtol: float
    atol: float


def listed() -> list[str]:
    """Return the names of the cases that should pass."""
    return PASSED.read_text(encoding="utf-8").split()


@functools.cache
def all_cases() -> dict[str, Case]:
    """Return every case of the suite by name; takes some seconds, for the suite computes them."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # the suite divides by zero on purpose
        loaded = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    cases = {case.name: _case(case) for case in loaded}
    assert len(cases) == len(loaded), "two cases of one name"
    return cases


def _case(case: Any) -> Case:
    import onnx

    if case.model is not None:
        return Case(case.name, case.kind, case.model, case.data_sets, case.rtol, case.atol)
    folder = Path(case.model_dir)
    model = onnx.load(folder / "model.onnx")
    data = [_read(part) for part in sorted(folder.glob("test_data_set*"))]
    return Case(case.name, case.kind, model, data, case.rtol, case.atol)


def _read(folder: Path) -> tuple[list[Any], list[Any]]:
    def arrays(prefix: str) -> Iterator[Any]:
        for i in range(len(list(folder.glob(f"{prefix}_*.pb")))):
            yield _tensor((folder / f"{prefix}_{i}.pb").read_bytes())

    return list(arrays("input")), list(arrays("output"))


def _tensor(content: bytes) -> Any:
    import onnx

    try:
        return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(content))
    except Exception as error:  # a sequence, an optional: no model of ours takes or returns one
        return error


def run(case: Case) -> None:
    """Import a case's model, compute its outputs and compare; raises whatever goes wrong."""
    from minicnn import no_grad
    from minicnn.interop.onnx import from_onnx

    net = from_onnx(case.model)
    for inputs, expected in case.data:
        with np.errstate(all="ignore"), no_grad():
            result = net(*map(_array, inputs))
        results = result if isinstance(result, tuple) else (result,)
        compare([r.numpy() for r in results], [_array(e) for e in expected], case)


def _array(value: Any) -> Any:
    import onnx

    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def compare(results: Sequence[np.ndarray], expected: Sequence[Any], case: Case) -> None:
    """Compare as onnx.backend.test.runner does."""
    assert len(results) == len(expected), f"{len(results)} outputs, expected {len(expected)}"
    for i, (result, right) in enumerate(zip(results, expected, strict=True)):
        assert isinstance(right, np.ndarray | np.generic), f"output {i} is no tensor"
        assert result.shape == right.shape, f"output {i}: {result.shape}, expected {right.shape}"
        assert result.dtype == right.dtype, f"output {i}: {result.dtype}, expected {right.dtype}"
        np.testing.assert_allclose(
            result, right, rtol=case.rtol, atol=case.atol, err_msg=f"output {i}"
        )


def outcome(case: Case) -> str:
    """Return "" if a case passes, else why not, in one line."""
    try:
        run(case)
    except Exception as error:
        lines = [line.strip() for line in f"{type(error).__name__}: {error}".splitlines()]
        return " ".join(line for line in lines if line)
    return ""
